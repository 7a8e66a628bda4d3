//! Cases of the mapping.

use serde_json::json;

use super::*;
use crate::config::Part;

fn config() -> SourceConfig {
    let mut c = SourceConfig::push("shop");
    c.table_name = "posts".into();
    c.doc_map.title.concat = vec![Part::column("t")];
    c.doc_map.body.concat = vec![
        Part { prefix: "<".into(), suffix: ">".into(), ..Part::column("a") },
        Part { lit: Some("|".into()), ..Part::default() },
        Part::column("b"),
    ];
    c.doc_map.metadata.pick = vec!["Tags".into(), "Score".into(), "CreationDate".into(), "price".into()];
    c.doc_map.metadata.rename.insert("Score".into(), "points".into());
    c
}

#[test]
fn rows_become_documents() {
    let mapper = Mapper::new(&config()).unwrap();
    assert_eq!(mapper.columns(), ["t", "a", "b", "Tags", "Score", "CreationDate", "price"]);
    let values = [
        RowValue::Text("it's \\ \"fine\" 👩‍👩‍👧".into()),
        RowValue::Null,
        RowValue::Text("body\0".into()),
        RowValue::Text("<SQL><b-tree>".into()),
        RowValue::Uint(u64::MAX),
        RowValue::Time("1969-12-31T23:59:59Z".into()),
        RowValue::Decimal("12345678901234567.89".into()),
    ];
    let doc = mapper.map(&vec![RowValue::Text("a:b#1%".into()), RowValue::Int(2)], &values).unwrap();
    assert_eq!(doc.doc_id, "posts:a%3Ab%231%25:2");
    assert_eq!(doc.title, "it's \\ \"fine\" 👩‍👩‍👧");
    assert_eq!(doc.body, "|body\u{fffd}");
    assert_eq!(doc.tags, ["b-tree", "sql"]);
    assert_eq!(doc.created_ms, Some(-1000));
    assert_eq!(doc.metadata["points"], json!(u64::MAX));
    assert_eq!(doc.metadata["price"], json!("12345678901234567.89"));
    assert_eq!(doc.score_num, Some(u64::MAX as f64));
}

#[test]
fn names_follow_the_format() {
    let mut c = config();
    c.doc_map.doc_id.format = Some("{_source}/{t}-{{{_pk}}}".into());
    let mapper = Mapper::new(&c).unwrap();
    let doc = mapper.map(&vec![RowValue::Int(7)], &[RowValue::Text("x".into())]).unwrap();
    assert_eq!(doc.doc_id, "shop/x-{7}");
    for broken in ["{t", "t}", "{}", "same", "{a{b}}"] {
        c.doc_map.doc_id.format = Some(broken.into());
        assert!(Mapper::new(&c).is_err(), "{broken}");
    }
}

#[test]
fn decimals_and_keys_keep_their_type() {
    for (text, wanted) in
        [("1.50", json!(1.5)), ("7", json!(7)), ("0.1", json!(0.1)), ("1e400", json!("1e400"))]
    {
        assert_eq!(decimal(text), wanted, "{text}");
    }
    let key = key_of(r#"{"b":"x","a":18446744073709551615}"#, &["a".into(), "b".into()]).unwrap();
    assert_eq!(key, [RowValue::Uint(u64::MAX), RowValue::Text("x".into())]);
}

#[test]
fn tags_of_every_form() {
    for text in ["<a><b>", "[\"A\",\"b\"]", "|a|b|", "b, a", "a b"] {
        assert_eq!(tags(&json!(text)), ["a", "b"], "{text}");
    }
    assert!(tags(&Value::Null).is_empty());
}
