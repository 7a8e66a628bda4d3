//! Properties over generated statements and bytes: no panic, stable digests, bounded normalisation.

use ai_core_anomaly::{
    Detector, DetectorConfig, Dialect, NORMALIZED_BYTES_MAX, SqlMode, StatementContext, fingerprint,
    normalize,
};
use proptest::prelude::*;

fn dialect() -> impl Strategy<Value = Dialect> {
    prop_oneof![Just(Dialect::Postgres), Just(Dialect::MySql), Just(Dialect::Sqlite)]
}

fn fragment() -> impl Strategy<Value = String> {
    let words = [
        "select",
        "from",
        "where",
        "union",
        "all",
        "or",
        "and",
        "not",
        "(",
        ")",
        ",",
        ";",
        "'",
        "\"",
        "`",
        "--",
        "/*",
        "*/",
        "/*!",
        "#",
        "=",
        "<",
        "||",
        "like",
        "in",
        "between",
        "case",
        "when",
        "then",
        "end",
        "values",
        "insert",
        "into",
        "order",
        "by",
        "limit",
        "1",
        "0x41",
        "'a'",
        "$$",
        "$1",
        "@x",
        "@@y",
        "sleep(",
        "char(",
        "concat(",
        "information_schema",
        ".",
        "::",
        "null",
        "exists",
        "group",
        "having",
        "update",
        "set",
        "\u{e9}",
        "[",
        "]",
    ];
    prop::sample::select(words.to_vec()).prop_map(str::to_owned)
}

fn sql(digest: &str) -> u64 {
    fingerprint(digest.as_bytes(), Dialect::Postgres, SqlMode::default(), 9).structure
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), d in dialect()) {
        let detector = Detector::new(DetectorConfig::default()).unwrap();
        let v = detector.check(&StatementContext::new(d, &bytes).user("u"));
        prop_assert!((0.0..=1.0).contains(&v.risk));
        prop_assert!(normalize(&bytes, d, SqlMode::default()).len() <= NORMALIZED_BYTES_MAX);
    }

    #[test]
    fn no_fragments_panic(parts in prop::collection::vec(fragment(), 0..120), d in dialect(), glue in any::<bool>()) {
        let text = parts.join(if glue { "" } else { " " });
        let detector = Detector::new(DetectorConfig::default()).unwrap();
        let first = detector.check(&StatementContext::new(d, text.as_bytes()).user("u"));
        let second = detector.check(&StatementContext::new(d, text.as_bytes()).user("u"));
        prop_assert_eq!(first.risk.to_bits(), second.risk.to_bits(), "the cached analysis differs");
        _ = normalize(text.as_bytes(), d, SqlMode::default());
    }

    #[test]
    fn digests_ignore_literals(a in "[a-z0-9 %_<>=()-]{0,30}", b in "[a-z0-9 %_<>=()-]{0,30}", n in any::<u32>(), m in any::<u32>()) {
        let text = |s: &str, n: u32| format!("SELECT x, y FROM t WHERE s = '{s}' AND n > {n} ORDER BY x LIMIT {n}");
        prop_assert_eq!(sql(&text(&a, n)), sql(&text(&b, m)));
    }

    #[test]
    fn digests_ignore_blanks_and_comments(blanks in prop::collection::vec("[ \t\n]{1,4}", 11), comment in "[a-z ]{0,20}") {
        let words = ["SELECT", "x", "FROM", "t", "WHERE", "s", "=", "'v'", "AND", "n", ">", "5"];
        let mut text = String::from(words[0]);
        for (w, b) in words[1..].iter().zip(&blanks) {
            text.push_str(b);
            text.push_str(w);
        }
        let commented = text.replacen("WHERE", &format!("/* {comment} */ WHERE"), 1);
        let plain = "select x from t where s = 'w' and n > 77";
        prop_assert_eq!(sql(&text), sql(plain));
        prop_assert_eq!(sql(&commented), sql(plain));
    }

    #[test]
    fn digests_see_names(a in "[a-z]{3,12}", b in "[a-z]{3,12}") {
        prop_assume!(a != b);
        prop_assert_ne!(sql(&format!("SELECT x FROM t WHERE q_{a} = 1")), sql(&format!("SELECT x FROM t WHERE q_{b} = 1")));
    }

    #[test]
    fn an_appended_tautology_is_always_new_and_denied(n in 0_u32..10_000, s in "[a-z]{0,8}") {
        let clean = format!("SELECT x FROM t WHERE s = '{s}'");
        let attack = format!("{clean} OR {n}={n}");
        prop_assert_ne!(sql(&clean), sql(&attack));
        let detector = Detector::new(DetectorConfig::default()).unwrap();
        let denied = detector.check(&StatementContext::new(Dialect::Postgres, attack.as_bytes())).is_denied();
        prop_assert!(denied);
    }
}
