//! Tests of cutting answers into pages.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Document, Slice};

/// Puts pages together again: lists are joined, everything else is equal in all of them.
pub(crate) fn join(pages: &[Value]) -> Value {
    let mut whole = pages.first().cloned().unwrap_or_default();
    for page in &pages[1..] {
        merge(&mut whole, page, true);
    }
    let last = pages.last().cloned().unwrap_or_default();
    if let Value::Object(map) = &mut whole {
        map.remove("resource");
        for key in ["truncated", "truncated_by", "next_page_token"] {
            if let Some(value) = last.get(key) {
                map.insert(key.to_owned(), value.clone());
            }
        }
        if let Some(Value::Array(rows)) = map.get("rows") {
            let rows = rows.len();
            map.insert("row_count".to_owned(), rows.into());
        }
    }
    whole
}

fn merge(whole: &mut Value, page: &Value, root: bool) {
    let has_rows = root && whole.get("rows").is_some();
    let (Value::Object(whole), Value::Object(page)) = (whole, page) else { return };
    for (key, value) in page {
        match (whole.get_mut(key), value) {
            (Some(Value::Array(_)), _) if (has_rows && key == "columns") || key == "rules_matched" => {}
            (Some(Value::Array(all)), Value::Array(more)) => all.extend(more.iter().cloned()),
            (Some(Value::Object(all)), Value::Object(more)) if key == "column_stats" => {
                all.extend(more.iter().map(|(k, v)| (k.clone(), v.clone())));
            }
            (Some(inner @ Value::Object(_)), Value::Object(_)) => merge(inner, value, false),
            _ => {}
        }
    }
}

fn pages(document: &Document, bytes_max: usize) -> Vec<Value> {
    let (mut from, mut out) = (0, Vec::new());
    loop {
        let to = document.end_of(from, bytes_max);
        // An item that is larger than the page goes alone.
        let to = if to == from { (from + 1).min(document.items()) } else { to };
        let is_last = to == document.items();
        let slice = Slice {
            from,
            to,
            next_page_token: (!is_last).then(|| "t".to_owned()),
            resource: (!is_last).then(|| json!({"uri": "result://x"})),
        };
        let text = document.page(&slice);
        out.push(serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}")));
        if is_last {
            return out;
        }
        from = to;
    }
}

#[test]
fn a_result_set_keeps_its_columns_in_every_page() {
    let whole = json!({"columns": [{"name": "a"}, {"name": "b"}], "rows": [[1, "x\"],["], [2, null], [3, "ü"]],
        "row_count": 3, "truncated": false, "truncated_by": null, "limits": {"max_rows": 9}, "stats": {"ms": 1}});
    let document = Document::new(whole.to_string());
    assert_eq!(document.items(), 3);
    let pages = pages(&document, document.least_bytes(0));
    assert_eq!(pages.len(), 3);
    assert_eq!((&pages[0]["columns"], &pages[0]["row_count"]), (&whole["columns"], &json!(1)));
    assert_eq!((&pages[0]["truncated"], &pages[0]["truncated_by"]), (&json!(true), &json!("max_bytes")));
    assert_eq!((&pages[2]["truncated"], &pages[2]["next_page_token"]), (&json!(false), &json!(null)));
    let mut joined = join(&pages);
    joined.as_object_mut().unwrap().remove("next_page_token");
    assert_eq!(joined, whole);
}

#[test]
fn entries_and_inner_lists_are_cut_too() {
    let whole = json!({"column_stats": {"a": {"min": 1}, "b": {"min": 2}}, "object": {"columns": [1, 2, 3], "name": "o"},
        "next_page_token": "own", "truncated": true, "target_id": "t"});
    let document = Document::new(whole.to_string());
    assert_eq!((document.items(), document.text_of("target_id").as_deref()), (5, Some("t")));
    let pages = pages(&document, 0);
    assert_eq!(pages.len(), 5);
    assert!(pages.iter().all(|page| page["object"]["name"] == "o"));
    assert_eq!(join(&pages), whole, "the last page carries the tool's own token");
}

fn value(depth: u32) -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a\"\\\\\\[\\]{},:\u{e9}\n]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(depth, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-d\"\\\\]{1,3}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
    .boxed()
}

proptest! {
    #[test]
    fn pages_of_any_answer_make_the_answer(
        entries in prop::collection::btree_map("[a-f\"\\\\]{1,4}", value(4), 0..6),
        bytes_max in 0_usize..400,
    ) {
        let mut map: Map<String, Value> = entries.into_iter().collect();
        map.insert("truncated".to_owned(), Value::Bool(false));
        map.insert("next_page_token".to_owned(), Value::Null);
        let whole = Value::Object(map);
        let document = Document::new(whole.to_string());
        prop_assert_eq!(join(&pages(&document, bytes_max)), whole);
    }
}
