//! How names and user words become tokens: splitting identifiers, singular forms, folding; it knows no index.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Splits an identifier into lower-case tokens at `_`, punctuation, digits and case changes.
///
/// `orderId`, `order_id` and `OrderID` all give `order`, `id`.
#[must_use]
pub fn name_tokens(name: &str) -> Vec<String> {
    let chars: Vec<char> = name.chars().collect();
    let mut tokens = Vec::new();
    let mut current = String::new();
    for (at, &c) in chars.iter().enumerate() {
        if !c.is_alphanumeric() {
            flush(&mut tokens, &mut current);
            continue;
        }
        if at > 0 && is_border(chars[at - 1], c, chars.get(at + 1).copied()) {
            flush(&mut tokens, &mut current);
        }
        current.extend(c.to_lowercase());
    }
    flush(&mut tokens, &mut current);
    tokens
}

fn is_border(before: char, c: char, after: Option<char>) -> bool {
    if before.is_numeric() != c.is_numeric() {
        return true;
    }
    if c.is_uppercase() {
        // `userId` splits before I; `HTTPServer` before S; `ID` and the plural `IDs` stay whole.
        let opens_word = after.is_some_and(char::is_lowercase) && after != Some('s');
        return before.is_lowercase() || (before.is_uppercase() && opens_word);
    }
    false
}

fn flush(tokens: &mut Vec<String>, current: &mut String) {
    if !current.is_empty() {
        tokens.push(std::mem::take(current));
    }
}

const IRREGULAR: &[(&str, &str)] = &[
    ("people", "person"),
    ("children", "child"),
    ("men", "man"),
    ("women", "woman"),
    ("mice", "mouse"),
    ("indices", "index"),
    ("vertices", "vertex"),
    ("matrices", "matrix"),
    ("data", "data"),
    ("news", "news"),
    ("series", "series"),
    ("species", "species"),
    ("analyses", "analysis"),
];

/// The singular of an English lower-case word, or the word itself.
#[must_use]
pub fn singular(word: &str) -> String {
    if let Some((_, one)) = IRREGULAR.iter().find(|(many, _)| *many == word) {
        return (*one).to_owned();
    }
    if word.len() < 4 || !word.is_ascii() {
        return word.to_owned();
    }
    if let Some(stem) = word.strip_suffix("ies") {
        return if stem.len() >= 2 { format!("{stem}y") } else { word.to_owned() };
    }
    for ending in ["sses", "shes", "ches", "xes", "zzes", "uses"] {
        if word.ends_with(ending) {
            // `houses` and `causes` lose only the s; `statuses` and `bonuses` lose es.
            if ending == "uses" && (word.ends_with("ouses") || word.ends_with("auses")) {
                return word[..word.len() - 1].to_owned();
            }
            return word[..word.len() - 2].to_owned();
        }
    }
    let keeps = ["ss", "us", "is", "os"].iter().any(|e| word.ends_with(e));
    if word.ends_with('s') && !keeps { word[..word.len() - 1].to_owned() } else { word.to_owned() }
}

/// Lower case without diacritics, as the search index folds text.
#[must_use]
pub(crate) fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.nfd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase).collect()
}

/// The folded words of a text, as the search index sees them.
pub(crate) fn words(text: &str) -> impl Iterator<Item = String> {
    let folded = fold(text);
    let list: Vec<String> =
        folded.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_owned).collect();
    list.into_iter()
}

/// Tokens of a name plus the singular forms that differ, joined by spaces, for the search index.
pub(crate) fn searchable_name(name: &str) -> String {
    let mut out: Vec<String> = Vec::new();
    for token in name_tokens(name) {
        let one = singular(&token);
        let differs = one != token;
        out.push(token);
        if differs {
            out.push(one);
        }
    }
    out.join(" ")
}

/// Whether the name looks like a key: the last token says so.
#[must_use]
pub fn is_id_like(name: &str) -> bool {
    name_tokens(name).last().is_some_and(|last| matches!(last.as_str(), "id" | "uuid" | "guid" | "oid"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_split_alike_in_every_spelling() {
        for name in ["orderId", "order_id", "OrderID", "ORDER_ID", "order.id", "Order Id"] {
            assert_eq!(name_tokens(name), ["order", "id"], "{name}");
        }
        assert_eq!(name_tokens("HTTPServer2x"), ["http", "server", "2", "x"]);
        assert_eq!(name_tokens("Größe"), ["größe"]);
        assert!(name_tokens("--").is_empty());
    }

    #[test]
    fn singular_forms() {
        for (many, one) in [
            ("customers", "customer"),
            ("categories", "category"),
            ("addresses", "address"),
            ("boxes", "box"),
            ("statuses", "status"),
            ("houses", "house"),
            ("status", "status"),
            ("people", "person"),
            ("bus", "bus"),
            ("analysis", "analysis"),
            ("invoices", "invoice"),
            ("branches", "branch"),
        ] {
            assert_eq!(singular(many), one);
        }
    }

    #[test]
    fn id_like_needs_a_whole_token() {
        for yes in ["id", "ID", "customer_id", "userId", "uuid", "rowGUID", "oid"] {
            assert!(is_id_like(yes), "{yes}");
        }
        for no in ["paid", "grid", "identity", "valid", "id_type"] {
            assert!(!is_id_like(no), "{no}");
        }
    }
}
