//! Fills the sample's tables, one function a subject, in one transaction; it does not know the schema's text.

use rusqlite::{Connection, Transaction, params};

use super::words::{self, Dice};

const EMPLOYEES: i64 = 60;
const CUSTOMERS: i64 = 5_000;
const SUPPLIERS: i64 = 80;
const PRODUCTS: i64 = 1_200;
const ORDERS: i64 = 13_000;
const REVIEWS: i64 = 3_500;
const SESSIONS: i64 = 4_000;
/// 2024-01-01 in days since 1970.
const FIRST_DAY: i64 = 19_723;
/// Days that the shop has been open.
const DAYS: i64 = 700;

pub(super) fn fill(connection: &mut Connection) -> rusqlite::Result<()> {
    let tx = connection.transaction()?;
    let mut dice = Dice::new(20_240_101);
    let leaves = lookups(&tx, &mut dice)?;
    people(&tx, &mut dice)?;
    let addresses = customers(&tx, &mut dice)?;
    let prices = products(&tx, &mut dice, &leaves)?;
    orders(&tx, &mut dice, &addresses, &prices)?;
    reviews(&tx, &mut dice)?;
    web(&tx, &mut dice)?;
    audit(&tx, &mut dice)?;
    tx.commit()
}

/// Regions, countries, departments, categories, tags, carriers, warehouses; returns the leaf categories.
fn lookups(tx: &Transaction<'_>, dice: &mut Dice) -> rusqlite::Result<Vec<(i64, &'static str)>> {
    for (name, id) in words::REGIONS.iter().zip(1i64..) {
        tx.execute("INSERT INTO regions VALUES (?1, ?2)", params![id, name])?;
    }
    for (code, name, region, currency) in words::COUNTRIES {
        tx.execute("INSERT INTO countries VALUES (?1, ?2, ?3, ?4)", params![code, name, region, currency])?;
    }
    for (table, names) in
        [("departments", words::DEPARTMENTS), ("tags", words::TAGS), ("carriers", words::CARRIERS)]
    {
        for (name, id) in names.iter().zip(1i64..) {
            tx.execute(&format!("INSERT INTO {table} VALUES (?1, ?2)"), params![id, name])?;
        }
    }
    for ((name, country), id) in words::WAREHOUSES.iter().zip(1i64..) {
        tx.execute("INSERT INTO warehouses VALUES (?1, ?2, ?3)", params![id, name, country])?;
    }
    for id in 1..=SUPPLIERS {
        let name = format!("{} {} Ltd", dice.pick(words::ADJECTIVES), dice.pick(words::LAST));
        let rating = dice.chance(90).then(|| dice.range(20, 50) as f64 / 10.0);
        tx.execute(
            "INSERT INTO suppliers VALUES (?1, ?2, ?3, ?4)",
            params![id, name, dice.pick(words::COUNTRIES).0, rating],
        )?;
    }
    let (mut next, mut leaves) = (1i64, Vec::new());
    for (parent, children) in words::CATEGORIES {
        let parent_id = next;
        tx.execute("INSERT INTO categories VALUES (?1, NULL, ?2)", params![parent_id, parent])?;
        for child in *children {
            next += 1;
            tx.execute("INSERT INTO categories VALUES (?1, ?2, ?3)", params![next, parent_id, child])?;
            leaves.push((next, *child));
        }
        next += 1;
    }
    Ok(leaves)
}

fn people(tx: &Transaction<'_>, dice: &mut Dice) -> rusqlite::Result<()> {
    let mut insert = tx.prepare("INSERT INTO employees VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for id in 1..=EMPLOYEES {
        let name = format!("{} {}", dice.pick(words::FIRST), dice.pick(words::LAST));
        let manager = (id > 1).then(|| dice.range(1, (id - 1).min(8)));
        let department = dice.range(1, words::DEPARTMENTS.len() as i64);
        let hired = words::date(FIRST_DAY - dice.range(30, 3_000));
        insert.execute(params![
            id,
            name,
            format!("staff{id}@penstock-outfitters.example"),
            department,
            manager,
            hired
        ])?;
    }
    Ok(())
}

/// Customers with their addresses; returns the address ids of each customer.
fn customers(tx: &Transaction<'_>, dice: &mut Dice) -> rusqlite::Result<Vec<Vec<i64>>> {
    let mut customer = tx.prepare("INSERT INTO customers VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    let mut address = tx.prepare("INSERT INTO addresses VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    let (mut next, mut all) = (0i64, Vec::new());
    for id in 1..=CUSTOMERS {
        let name = format!("{} {}", dice.pick(words::FIRST), dice.pick(words::LAST));
        let country = dice.pick(words::COUNTRIES).0;
        let segment = *dice.pick(&["private", "private", "private", "business", "club"]);
        let created =
            words::datetime((FIRST_DAY + dice.range(-400, DAYS - 30)) * 86_400 + dice.range(0, 86_399));
        customer.execute(params![
            id,
            name,
            format!("customer{id}@mail.example"),
            country,
            segment,
            dice.chance(35),
            created
        ])?;
        let mut own = Vec::new();
        for kind in ["home", "work"].into_iter().take(if dice.chance(40) { 2 } else { 1 }) {
            next += 1;
            let street = format!("{} {}", dice.pick(words::STREETS), dice.range(1, 199));
            let postcode = format!("{:05}", dice.range(1_000, 99_999));
            address.execute(params![next, id, kind, street, dice.pick(words::CITIES), postcode, country])?;
            own.push(next);
        }
        all.push(own);
    }
    Ok(all)
}

/// Products with prices, tags and stock; returns the list price of each in cents.
fn products(tx: &Transaction<'_>, dice: &mut Dice, leaves: &[(i64, &str)]) -> rusqlite::Result<Vec<i64>> {
    let mut product = tx.prepare("INSERT INTO products VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?;
    let mut history = tx.prepare("INSERT INTO price_history VALUES (?1, ?2, ?3)")?;
    let mut tag = tx.prepare("INSERT OR IGNORE INTO product_tags VALUES (?1, ?2)")?;
    let mut stock = tx.prepare("INSERT INTO stock_levels VALUES (?1, ?2, ?3, ?4, ?5)")?;
    let mut prices = Vec::new();
    for id in 1..=PRODUCTS {
        let (category, leaf) = *dice.pick(leaves);
        let singular = leaf.strip_suffix('s').unwrap_or(leaf).to_lowercase();
        let (line, material, purpose) =
            (dice.pick(words::ADJECTIVES), dice.pick(words::MATERIALS), dice.pick(words::USES));
        let name = format!("{line} {singular} {}", dice.range(10, 90) * 10);
        let description = format!(
            "The {name} is made of {material} and built for {purpose}. It is repairable, and spare parts are kept for ten years."
        );
        let cents = dice.range(900, 60_000);
        let gone = dice.chance(6).then(|| words::date(FIRST_DAY + dice.range(100, DAYS)));
        let sku = format!("PX-{:05}", id * 37 % 100_000);
        let weight = dice.chance(95).then(|| dice.range(20, 4_000));
        product.execute(params![
            id,
            sku,
            name,
            description,
            category,
            dice.range(1, SUPPLIERS),
            words::money(cents),
            weight,
            gone
        ])?;
        for step in 0..dice.range(1, 3) {
            let old = cents * (100 - step * dice.range(2, 9)) / 100;
            history.execute(params![id, words::date(FIRST_DAY + 240 - step * 120), words::money(old)])?;
        }
        for _ in 0..dice.range(0, 3) {
            tag.execute(params![id, dice.range(1, words::TAGS.len() as i64)])?;
        }
        for warehouse in 1..=words::WAREHOUSES.len() as i64 {
            let counted = words::datetime((FIRST_DAY + DAYS - dice.range(0, 60)) * 86_400 + 28_800);
            stock.execute(params![warehouse, id, dice.range(0, 250), dice.range(0, 40), counted])?;
        }
        prices.push(cents);
    }
    Ok(prices)
}

/// Orders with items, invoices, payments, shipments and returns.
fn orders(
    tx: &Transaction<'_>,
    dice: &mut Dice,
    addresses: &[Vec<i64>],
    prices: &[i64],
) -> rusqlite::Result<()> {
    let mut order = tx.prepare("INSERT INTO orders VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
    let mut item = tx.prepare("INSERT INTO order_items (id, order_id, product_id, quantity, unit_price, discount_pct) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    let mut back = tx.prepare(
        "INSERT INTO product_returns (order_item_id, reason, refund, created_at) VALUES (?1, ?2, ?3, ?4)",
    )?;
    let mut next_item = 0i64;
    for id in 1..=ORDERS {
        let customer = dice.skewed(CUSTOMERS);
        let own = &addresses[(customer - 1) as usize];
        let day = FIRST_DAY + id * DAYS / ORDERS;
        let at = words::datetime(day * 86_400 + dice.range(0, 86_399));
        let age = FIRST_DAY + DAYS - day;
        let status = match dice.range(1, 100) {
            1..=4 => "cancelled",
            _ if age < 5 => "open",
            _ if age < 9 => "paid",
            _ if age < 15 => "shipped",
            _ => "delivered",
        };
        let note = dice.chance(5).then_some("please leave at the door");
        let channel = *dice.pick(&["web", "web", "web", "shop", "phone"]);
        order.execute(params![id, customer, at, status, dice.pick(own), dice.pick(own), channel, note])?;
        let mut total = 0i64;
        for _ in 0..dice.range(1, 3) {
            next_item += 1;
            let product = dice.skewed(PRODUCTS);
            let (quantity, price) = (dice.range(1, 4), prices[(product - 1) as usize]);
            let discount = if dice.chance(12) { dice.range(1, 6) * 5 } else { 0 };
            item.execute(params![next_item, id, product, quantity, words::money(price), discount as f64])?;
            total += price * quantity * (100 - discount) / 100;
            if status == "delivered" && dice.chance(3) {
                let created = words::datetime((day + dice.range(6, 20)) * 86_400 + 36_000);
                back.execute(params![next_item, dice.pick(words::REASONS), words::money(price), created])?;
            }
        }
        if status != "cancelled" {
            settle(tx, dice, id, day, age, total, status)?;
        }
    }
    Ok(())
}

/// Invoice, payments and shipment of one order.
fn settle(
    tx: &Transaction<'_>,
    dice: &mut Dice,
    order: i64,
    day: i64,
    age: i64,
    total: i64,
    status: &str,
) -> rusqlite::Result<()> {
    let paid = (status != "open" && dice.chance(96)).then(|| day + dice.range(0, 4));
    tx.prepare_cached("INSERT INTO invoices VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
        100_000 + order,
        order,
        words::date(day),
        words::date(day + 30),
        words::money(total),
        paid.map(words::date)
    ])?;
    if let Some(paid) = paid {
        tx.prepare_cached(
            "INSERT INTO payments (invoice_id, method, amount, received_at) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            100_000 + order,
            dice.pick(words::METHODS),
            words::money(total),
            words::datetime(paid * 86_400 + dice.range(0, 86_399))
        ])?;
    }
    if matches!(status, "shipped" | "delivered") {
        let shipped = day + dice.range(1, 3);
        let delivered = (status == "delivered" && age > 12)
            .then(|| words::datetime((shipped + dice.range(1, 6)) * 86_400 + 50_000));
        tx.prepare_cached("INSERT INTO shipments (order_id, warehouse_id, carrier_id, tracking_no, shipped_at, delivered_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![
                order,
                dice.range(1, words::WAREHOUSES.len() as i64),
                dice.range(1, words::CARRIERS.len() as i64),
                format!("TRK{:012X}", dice.next() & 0xFFFF_FFFF_FFFF),
                words::datetime(shipped * 86_400 + 30_000),
                delivered
            ])?;
    }
    Ok(())
}

fn reviews(tx: &Transaction<'_>, dice: &mut Dice) -> rusqlite::Result<()> {
    let mut insert = tx.prepare("INSERT INTO \"tblReviews\" VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for id in 1..=REVIEWS {
        let stars = *dice.pick(&[1, 2, 3, 4, 4, 5, 5, 5]);
        let words_of = if stars >= 4 { words::PRAISE } else { words::BLAME };
        let body = dice.chance(90).then(|| format!("{} {}", dice.pick(words_of), dice.pick(words_of)));
        let posted = words::datetime((FIRST_DAY + dice.range(10, DAYS)) * 86_400 + dice.range(0, 86_399));
        insert.execute(params![id, dice.skewed(PRODUCTS), dice.range(1, CUSTOMERS), stars, body, posted])?;
    }
    Ok(())
}

fn web(tx: &Transaction<'_>, dice: &mut Dice) -> rusqlite::Result<()> {
    let mut session = tx.prepare("INSERT INTO web_sessions VALUES (?1, ?2, ?3, ?4, ?5)")?;
    let mut event = tx.prepare(
        "INSERT INTO web_events (session_uuid, event_type, product_id, happened_at) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for _ in 0..SESSIONS {
        let (high, low) = (dice.next(), dice.next());
        let uuid = format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xFFFF,
            high & 0xFFF,
            0x8000 | (low >> 50),
            low & 0xFFFF_FFFF_FFFF
        );
        let customer = dice.chance(55).then(|| dice.range(1, CUSTOMERS));
        let start = (FIRST_DAY + dice.range(0, DAYS)) * 86_400 + dice.range(0, 80_000);
        let referrer = dice
            .chance(60)
            .then(|| *dice.pick(&["search", "newsletter", "forum.example", "partner.example"]));
        session.execute(params![
            uuid,
            customer,
            dice.pick(&["phone", "laptop", "tablet"]),
            referrer,
            words::datetime(start)
        ])?;
        for step in 0..dice.range(1, 5) {
            let kind = *dice.pick(words::EVENTS);
            let product = (kind != "search").then(|| dice.skewed(PRODUCTS));
            event.execute(params![
                uuid,
                kind,
                product,
                words::datetime(start + step * dice.range(5, 200))
            ])?;
        }
    }
    Ok(())
}

fn audit(tx: &Transaction<'_>, dice: &mut Dice) -> rusqlite::Result<()> {
    let mut insert = tx.prepare("INSERT INTO audit_log VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    for id in 1..=1_500i64 {
        let table = *dice.pick(&["orders", "products", "customers"]);
        let action = *dice.pick(&["insert", "update", "delete"]);
        let detail = format!("{{\"source\":\"{}\"}}", dice.pick(&["admin", "import", "support"]));
        let at = words::datetime((FIRST_DAY + dice.range(0, DAYS)) * 86_400 + dice.range(0, 86_399));
        insert.execute(params![
            id,
            table,
            dice.range(1, 90_000),
            dice.range(1, EMPLOYEES),
            action,
            detail,
            at
        ])?;
    }
    Ok(())
}
