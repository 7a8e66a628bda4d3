//! Lossless coercions of arguments: text that says exactly what the schema wants becomes it; it does not judge validity.

use serde_json::{Map, Number, Value};

/// Deepest nesting that is coerced.
const DEPTH_MAX: usize = 16;

/// Coerces `arguments` in place by their object schema. What cannot be coerced without loss stays as it is, for the
/// validator to refuse. `null` for an optional argument is removed.
pub(crate) fn arguments(schema: &Value, arguments: &mut Map<String, Value>) {
    object(schema, arguments, DEPTH_MAX);
}

fn object(schema: &Value, map: &mut Map<String, Value>, depth: usize) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    if depth == 0 || map.is_empty() {
        return;
    }
    let mut nulls = false;
    for (name, value) in map.iter_mut() {
        if let Some(property) = properties.get(name) {
            one(property, value, depth - 1);
            nulls |= value.is_null() && !accepts(property, "null");
        }
    }
    if nulls {
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        map.retain(|name, value| {
            !value.is_null()
                || required.contains(&name.as_str())
                || properties.get(name).is_none_or(|property| accepts(property, "null"))
        });
    }
}

fn one(schema: &Value, value: &mut Value, depth: usize) {
    if let Value::String(text) = value
        && !accepts(schema, "string")
        && let Some(better) = from_text(schema, text)
    {
        *value = better;
    }
    match value {
        Value::Object(map) => object(schema, map, depth),
        Value::Array(items) if depth > 0 => {
            if let Some(item_schema) = schema.get("items") {
                items.iter_mut().for_each(|item| one(item_schema, item, depth - 1));
            }
        }
        _ => {}
    }
}

/// Whether the schema's `type` admits `kind`; a schema without `type` admits all.
fn accepts(schema: &Value, kind: &str) -> bool {
    match schema.get("type") {
        None => true,
        Some(Value::String(one)) => one == kind,
        Some(Value::Array(many)) => many.iter().any(|k| k.as_str() == Some(kind)),
        Some(_) => false,
    }
}

fn from_text(schema: &Value, text: &str) -> Option<Value> {
    if accepts(schema, "integer")
        && let Some(number) = integer(text)
    {
        return Some(number);
    }
    if accepts(schema, "number")
        && let Some(number) = decimal(text)
    {
        return Some(number);
    }
    if accepts(schema, "boolean")
        && let Ok(flag) = text.parse::<bool>()
    {
        return Some(Value::Bool(flag));
    }
    let start = text.trim_start().as_bytes().first().copied();
    if (start == Some(b'{') && accepts(schema, "object")) || (start == Some(b'[') && accepts(schema, "array"))
    {
        return serde_json::from_str(text).ok();
    }
    let csv = schema.get("x-csv") == Some(&Value::Bool(true));
    (csv && accepts(schema, "array")).then(|| {
        let words = text.split(',').map(str::trim).filter(|w| !w.is_empty());
        Value::Array(words.map(|w| Value::String(w.to_owned())).collect())
    })
}

/// Digits with an optional minus, exactly as an integer prints.
fn integer(text: &str) -> Option<Value> {
    let number =
        text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from)).ok()?;
    (number.to_string() == text).then_some(Value::Number(number))
}

/// Text that is a JSON number whose value survives.
fn decimal(text: &str) -> Option<Value> {
    let number: Number = serde_json::from_str(text).ok()?;
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    // A double holds 15 significant digits; longer text would lose some.
    (digits <= 15 || integer(text).is_some()).then_some(Value::Number(number))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn coerced(kind: Value, value: Value) -> Value {
        let mut map = Map::new();
        map.insert("a".into(), value);
        arguments(&json!({"properties": {"a": kind}}), &mut map);
        map.remove("a").unwrap_or_default()
    }

    #[test]
    fn text_becomes_what_it_says_and_nothing_else() {
        let integer = json!({"type": "integer"});
        assert_eq!(coerced(integer.clone(), json!("12")), json!(12));
        for kept in ["012", "+1", "1.0", " 1", "", "99999999999999999999", "-0"] {
            assert_eq!(coerced(integer.clone(), json!(kept)), json!(kept));
        }
        assert_eq!(coerced(json!({"type": "number"}), json!("1.5")), json!(1.5));
        assert_eq!(
            coerced(json!({"type": "number"}), json!("0.1234567890123456789")),
            json!("0.1234567890123456789")
        );
        assert_eq!(coerced(json!({"type": "boolean"}), json!("true")), json!(true));
        assert_eq!(coerced(json!({"type": "boolean"}), json!("True")), json!("True"));
        assert_eq!(coerced(json!({"type": "array"}), json!("[1, 2]")), json!([1, 2]));
        assert_eq!(coerced(json!({"type": "array"}), json!("a,b")), json!("a,b"));
        assert_eq!(coerced(json!({"type": "array", "x-csv": true}), json!("a, b,")), json!(["a", "b"]));
        assert_eq!(coerced(json!({"type": "object"}), json!("{\"x\":1}")), json!({"x": 1}));
        assert_eq!(coerced(json!({"type": ["string", "integer"]}), json!("12")), json!("12"));
        assert_eq!(coerced(json!({"type": "string"}), json!(12)), json!(12));
        assert_eq!(coerced(json!({"type": "array", "items": {"type": "integer"}}), json!(["1"])), json!([1]));
    }

    #[test]
    fn null_is_absence_where_it_is_optional() {
        let schema = json!({"properties": {"a": {"type": "string"}, "b": {"type": "string"},
                            "c": {"type": ["string", "null"]}}, "required": ["b"]});
        let mut map = json!({"a": null, "b": null, "c": null, "d": null}).as_object().cloned().unwrap();
        arguments(&schema, &mut map);
        assert_eq!(Value::Object(map), json!({"b": null, "c": null, "d": null}));
    }

    proptest! {
        #[test]
        fn an_integer_keeps_its_text(text in "-?[0-9]{1,21}") {
            let value = coerced(json!({"type": "integer"}), json!(text));
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            prop_assert_eq!(shown, text);
        }
    }
}
