//! Tests of the row collector: forms, bounds, and columns that change their form late.

use serde_json::json;

use super::*;

const WIDE: RowBounds = RowBounds { rows_max: 1_000, bytes_max: 1_000_000, text_copy: false };

fn collect(bounds: RowBounds, columns: &[Column], rows: Vec<Vec<Value>>) -> ResultSet {
    let mut sink = RowCollector::new(bounds);
    sink.columns(columns).unwrap();
    for row in rows {
        if sink.row(row).unwrap() == Flow::Stop {
            break;
        }
    }
    sink.finish().unwrap()
}

fn one(col_type: ColType, values: Vec<Value>) -> (ColType, serde_json::Value) {
    let result =
        collect(WIDE, &[Column::new("a", col_type, "x")], values.into_iter().map(|v| vec![v]).collect());
    let cells = result.rows().unwrap().into_iter().map(|mut row| row.remove(0)).collect();
    (result.columns[0].col_type, serde_json::Value::Array(cells))
}

#[test]
fn a_late_big_integer_turns_the_whole_column() {
    let (kind, cells) =
        one(ColType::Integer, vec![Value::Int(1), Value::Null, Value::Int(-7), Value::Int(1 << 53)]);
    assert_eq!(kind, ColType::Bigint);
    assert_eq!(cells, json!(["1", null, "-7", "9007199254740992"]));
    let (kind, cells) = one(ColType::Integer, vec![Value::Int(-(1 << 53) + 1), Value::UInt((1 << 53) - 1)]);
    assert_eq!((kind, cells), (ColType::Integer, json!([-9007199254740991_i64, 9007199254740991_i64])));
    let (_, cells) = one(ColType::Integer, vec![Value::UInt(u64::MAX), Value::Int(i64::MIN)]);
    assert_eq!(cells, json!(["18446744073709551615", "-9223372036854775808"]));
}

#[test]
fn mixed_storage_classes_become_any() {
    let (kind, cells) = one(ColType::Bytes, vec![Value::Bytes(vec![1, 2]), Value::Text("x".into())]);
    assert_eq!((kind, cells), (ColType::Any, json!([{"base64": "AQI="}, "x"])));
    let (kind, cells) = one(
        ColType::Integer,
        vec![Value::Int(1), Value::Int(1 << 60), Value::Bytes(vec![]), Value::Float(0.5)],
    );
    assert_eq!((kind, cells), (ColType::Any, json!([1, 1_152_921_504_606_846_976_i64, {"base64": ""}, 0.5])));
    let (kind, _) = one(ColType::String, vec![Value::Text("1".into()), Value::Int(1)]);
    assert_eq!(kind, ColType::Any);
}

#[test]
fn every_kind_has_its_form() {
    let (_, floats) = one(
        ColType::Float,
        vec![
            Value::Float(f64::NAN),
            Value::Float(f64::INFINITY),
            Value::Float(f64::NEG_INFINITY),
            Value::Float(1e300),
        ],
    );
    assert_eq!(floats, json!(["NaN", "Infinity", "-Infinity", 1e300]));
    let (_, decimals) = one(ColType::Decimal, vec![Value::Decimal("1.500".into()), Value::Int(3)]);
    assert_eq!(decimals, json!(["1.500", "3"]));
    let (_, text) = one(ColType::String, vec![Value::Text("a\"\\\n\u{1}é😀".into())]);
    assert_eq!(text, json!(["a\"\\\n\u{1}é😀"]));
    let (_, bytes) = one(ColType::Bytes, vec![Value::Bytes(vec![0xff]), Value::Bytes(b"abc".to_vec())]);
    assert_eq!(bytes, json!(["/w==", "YWJj"]));
    let (_, docs) = one(ColType::Json, vec![Value::Json(json!({"a": [1, null]}))]);
    assert_eq!(docs, json!([{"a": [1, null]}]));
}

#[test]
fn arrays_turn_with_their_elements() {
    let mut column = Column::new("a", ColType::Array, "int8[]");
    column.element_type = Some(ColType::Integer);
    let rows = vec![
        vec![Value::Array(vec![Value::Int(1), Value::Null])],
        vec![Value::Array(vec![Value::Array(vec![Value::Int(i64::MAX)])])],
    ];
    let result = collect(WIDE, &[column], rows);
    assert_eq!(result.columns[0].element_type, Some(ColType::Bigint));
    assert_eq!(
        result.rows().unwrap(),
        vec![vec![json!(["1", null])], vec![json!([["9223372036854775807"]])]]
    );
}

#[test]
fn strings_that_look_like_structure_survive_a_rewrite() {
    let columns = [Column::new("t", ColType::String, ""), Column::new("n", ColType::Integer, "")];
    let rows = vec![
        vec![Value::Text("],[\"\\".into()), Value::Int(5)],
        vec![Value::Text("{,-1".into()), Value::Int(i64::MAX)],
    ];
    let result = collect(WIDE, &columns, rows);
    assert_eq!(
        result.rows().unwrap(),
        vec![vec![json!("],[\"\\"), json!("5")], vec![json!("{,-1"), json!("9223372036854775807")]]
    );
}

#[test]
fn bounds_cut_and_say_so() {
    let columns = [Column::new("t", ColType::String, "")];
    let rows = || (0..10).map(|_| vec![Value::Text("x".repeat(100))]).collect::<Vec<_>>();
    let by_rows = collect(RowBounds { rows_max: 3, ..WIDE }, &columns, rows());
    assert_eq!((by_rows.row_count, by_rows.truncated_by), (3, Some(TruncatedBy::MaxRows)));
    let exact = collect(RowBounds { rows_max: 10, ..WIDE }, &columns, rows());
    assert_eq!((exact.row_count, exact.truncated_by), (10, None));
    let by_bytes = collect(RowBounds { bytes_max: 500, ..WIDE }, &columns, rows());
    assert_eq!((by_bytes.row_count, by_bytes.truncated_by), (4, Some(TruncatedBy::MaxBytes)));
    assert!(by_bytes.rows_json.len() <= 500);
    let twice = collect(RowBounds { bytes_max: 500, text_copy: true, ..WIDE }, &columns, rows());
    assert_eq!(twice.row_count, 2);
}

#[test]
fn a_row_that_does_not_fit_leaves_no_trace() {
    let columns = [Column::new("n", ColType::Integer, ""), Column::new("t", ColType::String, "")];
    let rows = vec![
        vec![Value::Int(1), Value::Text("a".into())],
        vec![Value::Int(i64::MAX), Value::Text("b".repeat(600))],
    ];
    let result = collect(RowBounds { bytes_max: 500, ..WIDE }, &columns, rows);
    assert_eq!(result.columns[0].col_type, ColType::Integer);
    assert_eq!(result.rows().unwrap(), vec![vec![json!(1), json!("a")]]);
}

#[test]
fn a_row_of_wrong_width_is_an_error_and_no_panic() {
    let mut sink = RowCollector::new(WIDE);
    sink.columns(&[Column::new("n", ColType::Integer, "")]).unwrap();
    assert_eq!(sink.row(vec![]).unwrap_err().code, HarvestCode::Internal);
    let none = RowCollector::new(WIDE).finish().unwrap();
    assert_eq!((&*none.rows_json, none.row_count), ("[]", 0));
}

#[test]
fn values_are_collected_within_bounds() {
    let mut sink = ValueCollector::new(2, 10_000);
    sink.columns(&[Column::new("n", ColType::Integer, "")]).unwrap();
    for n in 0..5 {
        if sink.row(vec![Value::Int(n)]).unwrap() == Flow::Stop {
            break;
        }
    }
    let (columns, rows, truncated) = sink.finish();
    assert_eq!((columns.len(), rows.len(), truncated), (1, 2, true));
}
