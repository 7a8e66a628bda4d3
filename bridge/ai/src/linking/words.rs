//! How alike a word of a question and a token of a schema are: forms of one word, abbreviations, common beginnings; it knows no schema.

/// Letters from which a shortened word is more than chance.
const SHORT_MIN: usize = 3;
/// Letters that two words must begin with to be one word in two forms.
const BEGIN_MIN: usize = 4;

/// 1 for the same word, less for forms of it, an abbreviation, or a common beginning; 0 for strangers.
pub(super) fn likeness(word: &str, token: &str) -> f64 {
    if word == token {
        return 1.0;
    }
    if word.len() < SHORT_MIN || token.len() < SHORT_MIN {
        return 0.0;
    }
    let (stem_of_word, stem_of_token) = (stem(word), stem(token));
    if stem_of_word == stem_of_token {
        return 0.9;
    }
    let common = word.chars().zip(token.chars()).take_while(|(a, b)| a == b).count();
    let longer = word.chars().count().max(token.chars().count());
    if common >= BEGIN_MIN && common * 10 >= longer * 7 {
        return 0.7;
    }
    if shortens(token, word) {
        return 0.5;
    }
    0.0
}

/// Whether `short` is `long` with letters left out: `cust`, `dept`, `invc`, `hst`.
fn shortens(short: &str, long: &str) -> bool {
    if short.len() >= long.len() || short.chars().next() != long.chars().next() {
        return false;
    }
    let mut rest = long.chars();
    short.chars().all(|c| rest.any(|have| have == c))
}

/// The common part of the forms of an English word: `shipped`, `shipping` and `shipment` are `ship`.
pub(super) fn stem(word: &str) -> &str {
    const ENDINGS: &[&str] = &[
        "ations", "ation", "ated", "ates", "ate", "ments", "ment", "ings", "ing", "ions", "ion", "ives",
        "ive", "ances", "ance", "ers", "er", "ies", "ied", "ed", "es", "s", "e", "y",
    ];
    if !word.is_ascii() {
        return word;
    }
    for ending in ENDINGS {
        if let Some(stem) = word.strip_suffix(ending)
            && stem.len() >= BEGIN_MIN
        {
            return undoubled(stem);
        }
    }
    word
}

/// `shipp` is `ship`; `bill` and `access` stay.
fn undoubled(stem: &str) -> &str {
    let mut last = stem.bytes().rev();
    let (end, before) = (last.next(), last.next());
    let doubles = end == before && !matches!(end, Some(b'l' | b's' | b'e' | b'o'));
    if doubles && stem.len() > BEGIN_MIN { &stem[..stem.len() - 1] } else { stem }
}

#[cfg(test)]
mod tests {
    use super::{likeness, stem};

    #[test]
    fn forms_of_a_word_have_one_stem() {
        for (a, b) in [
            ("shipped", "shipment"),
            ("delivered", "delivery"),
            ("installed", "install"),
            ("billing", "bill"),
            ("translated", "translation"),
            ("refunded", "refund"),
            ("reserved", "reservation"),
        ] {
            assert_eq!(stem(a), stem(b), "{a} {b}");
        }
        assert_eq!(stem("größe"), "größe");
    }

    #[test]
    fn abbreviations_and_beginnings_count_less_than_the_word() {
        for (word, token) in
            [("customer", "cust"), ("department", "dept"), ("history", "hst"), ("absent", "absence")]
        {
            let likeness = likeness(word, token);
            assert!(likeness > 0.0 && likeness < 0.9, "{word} {token} {likeness}");
        }
        for (word, token) in [("order", "row"), ("id", "idea"), ("note", "no"), ("customer", "custody")] {
            assert!(likeness(word, token).abs() < f64::EPSILON, "{word} {token}");
        }
    }
}
