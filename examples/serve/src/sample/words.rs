//! Words that the sample is made of, and the generator of its dice; it writes no rows.

/// SplitMix64 (Steele, Lea, Flood 2014): small, fast, the same everywhere.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `low..=high`.
    pub(super) fn range(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high - low + 1).unsigned_abs()).cast_signed()
    }

    /// True in `percent` of 100 throws.
    pub(super) fn chance(&mut self, percent: i64) -> bool {
        self.range(1, 100) <= percent
    }

    pub(super) fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[(self.next() % list.len() as u64) as usize]
    }

    /// A number in `1..=high` that favours small ones, as popular products do.
    pub(super) fn skewed(&mut self, high: i64) -> i64 {
        let (a, b) = (self.range(1, high), self.range(1, high));
        a.min(b)
    }
}

/// Days since 1970-01-01 to `YYYY-MM-DD` (civil calendar, after Howard Hinnant's days algorithms).
pub(super) fn date(days: i64) -> String {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Seconds since 1970 to `YYYY-MM-DD HH:MM:SS`.
pub(super) fn datetime(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    format!("{} {:02}:{:02}:{:02}", date(days), rest / 3_600, rest / 60 % 60, rest % 60)
}

/// Cents to a decimal amount.
pub(super) fn money(cents: i64) -> f64 {
    cents as f64 / 100.0
}

pub(super) const REGIONS: &[&str] = &["Europe", "North America", "South America", "Asia", "Oceania"];
pub(super) const COUNTRIES: &[(&str, &str, i64, &str)] = &[
    ("AT", "Austria", 1, "EUR"),
    ("AU", "Australia", 5, "AUD"),
    ("BR", "Brazil", 3, "BRL"),
    ("CA", "Canada", 2, "CAD"),
    ("CH", "Switzerland", 1, "CHF"),
    ("CL", "Chile", 3, "CLP"),
    ("DE", "Germany", 1, "EUR"),
    ("ES", "Spain", 1, "EUR"),
    ("FR", "France", 1, "EUR"),
    ("GB", "United Kingdom", 1, "GBP"),
    ("IT", "Italy", 1, "EUR"),
    ("JP", "Japan", 4, "JPY"),
    ("KR", "South Korea", 4, "KRW"),
    ("NO", "Norway", 1, "NOK"),
    ("NZ", "New Zealand", 5, "NZD"),
    ("PL", "Poland", 1, "PLN"),
    ("SE", "Sweden", 1, "SEK"),
    ("US", "United States", 2, "USD"),
];
pub(super) const DEPARTMENTS: &[&str] =
    &["Sales", "Support", "Logistics", "Finance", "Purchasing", "Web", "Management"];
pub(super) const FIRST: &[&str] = &[
    "Ada", "Amir", "Anna", "Bea", "Carlos", "Chloe", "Dario", "Elin", "Emil", "Fatima", "Finn", "Greta",
    "Hana", "Hugo", "Ines", "Jonas", "Kaya", "Lars", "Lucia", "Mara", "Milan", "Nora", "Olga", "Otto",
    "Petra", "Ravi", "Rosa", "Selma", "Tariq", "Uma", "Viktor", "Wanda", "Yara", "Zeno",
];
pub(super) const LAST: &[&str] = &[
    "Almeida",
    "Andersen",
    "Bauer",
    "Bianchi",
    "Brown",
    "Costa",
    "Dubois",
    "Eriksen",
    "Fischer",
    "Garcia",
    "Haas",
    "Hansen",
    "Ito",
    "Jensen",
    "Kim",
    "Kowalski",
    "Larsen",
    "Lindgren",
    "Martin",
    "Meier",
    "Moreau",
    "Nakamura",
    "Novak",
    "O'Brien",
    "Olsen",
    "Park",
    "Rossi",
    "Santos",
    "Schmidt",
    "Silva",
    "Suzuki",
    "Taylor",
    "Vogel",
    "Walker",
    "Weber",
    "Zimmermann",
];
pub(super) const STREETS: &[&str] = &[
    "Mill Lane",
    "Harbour Road",
    "Station Street",
    "Birch Avenue",
    "Quarry Hill",
    "River Walk",
    "Market Square",
];
pub(super) const CITIES: &[&str] = &[
    "Graz", "Perth", "Toronto", "Bern", "Leipzig", "Sevilla", "Lyon", "Leeds", "Torino", "Osaka", "Bergen",
    "Gdansk", "Malmo", "Denver",
];
pub(super) const CATEGORIES: &[(&str, &[&str])] = &[
    ("Tents", &["Tunnel tents", "Dome tents", "Tarps"]),
    ("Sleeping", &["Sleeping bags", "Mats", "Hammocks"]),
    ("Cooking", &["Stoves", "Cookware", "Water filters"]),
    ("Clothing", &["Rain jackets", "Fleece", "Socks", "Gloves"]),
    ("Climbing", &["Ropes", "Harnesses", "Carabiners"]),
    ("Packs", &["Daypacks", "Trekking packs", "Dry bags"]),
    ("Light", &["Headlamps", "Lanterns"]),
];
pub(super) const ADJECTIVES: &[&str] = &[
    "Alpine", "Basalt", "Cirrus", "Drift", "Ember", "Fjord", "Glacier", "Heath", "Ibex", "Juniper", "Karst",
    "Lichen", "Moraine", "Nimbus", "Ridge", "Summit",
];
pub(super) const MATERIALS: &[&str] = &[
    "ripstop nylon",
    "merino wool",
    "anodised aluminium",
    "recycled polyester",
    "titanium",
    "waxed cotton",
    "silicone-coated fabric",
];
pub(super) const USES: &[&str] = &[
    "long winter tours",
    "summer weekends",
    "wet forests",
    "bicycle travel",
    "high-altitude camps",
    "family trips",
    "fast and light hikes",
];
pub(super) const TAGS: &[&str] = &[
    "lightweight",
    "vegan",
    "waterproof",
    "winter",
    "recycled",
    "bestseller",
    "beginner",
    "family",
    "repairable",
    "clearance",
];
pub(super) const CARRIERS: &[&str] = &["Northpost", "Swift Parcel", "Blue Van", "Cargo Tram"];
pub(super) const WAREHOUSES: &[(&str, &str)] =
    &[("Leipzig hub", "DE"), ("Lyon hub", "FR"), ("Leeds hub", "GB"), ("Denver hub", "US")];
pub(super) const METHODS: &[&str] = &["card", "transfer", "wallet", "invoice"];
pub(super) const REASONS: &[&str] =
    &["wrong size", "damaged in transit", "does not like it", "arrived late", "defective zip"];
pub(super) const EVENTS: &[&str] = &["view", "search", "add_to_cart", "checkout", "purchase"];
pub(super) const PRAISE: &[&str] = &[
    "Held up in a storm above the tree line.",
    "Light, and packs down to nothing.",
    "Warm enough for a night at minus five.",
    "The zip runs smoothly even with gloves.",
    "Best purchase of the season.",
];
pub(super) const BLAME: &[&str] = &[
    "A seam opened after two weeks.",
    "Heavier than the page says.",
    "The coating smells for days.",
    "Too small for tall people.",
    "The buckle broke on the first tour.",
];
