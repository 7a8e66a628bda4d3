//! Vectors out of the answers of embedding services, in every shape they come in; checked before anybody uses them.

use ai_core::{AiError, AiResult};
use serde_json::Value;

/// `count` vectors in input order.
///
/// # Errors
/// `INTERNAL` when the shape is unknown or count, order, lengths or numbers are wrong.
pub(crate) fn vectors(answer: &Value, count: usize) -> AiResult<Vec<Vec<f32>>> {
    let bad = |why: String| AiError::internal(format!("embed service: {why}"));
    if let Some(error) = answer.get("error").filter(|e| !e.is_null()) {
        let said = error.get("message").and_then(Value::as_str).unwrap_or("no reason given");
        return Err(AiError::unavailable(format!("embed service: {said}")));
    }
    let list =
        ["data", "results", "embeddings"].iter().find_map(|k| answer.get(*k).and_then(Value::as_array));
    let single = [answer.clone()];
    let items: &[Value] = match (list, answer) {
        (Some(items), _) | (None, Value::Array(items)) => items,
        (None, Value::Object(o)) if o.contains_key("embedding") => &single,
        _ => return Err(bad("the answer holds no vectors in a known shape".into())),
    };
    if items.len() != count {
        return Err(bad(format!("{} vectors came for {count} texts", items.len())));
    }
    let mut slots: Vec<Option<Vec<f32>>> = vec![None; count];
    for (at, item) in items.iter().enumerate() {
        let place = match item.get("index") {
            Some(index) => index.as_u64().and_then(|i| usize::try_from(i).ok()).filter(|i| *i < count),
            None => Some(at),
        };
        let place = place.ok_or_else(|| bad("an index is out of range".into()))?;
        let vector = numbers(item.get("embedding").unwrap_or(item)).map_err(&bad)?;
        if slots[place].replace(vector).is_some() {
            return Err(bad(format!("index {place} came twice")));
        }
    }
    let vectors: Vec<Vec<f32>> = slots.into_iter().flatten().collect();
    let dim = vectors.first().map_or(0, Vec::len);
    if vectors.len() != count || dim == 0 || vectors.iter().any(|v| v.len() != dim) {
        return Err(bad("the vectors have unequal lengths".into()));
    }
    if vectors.iter().any(|v| v.iter().all(|x| *x == 0.0)) {
        return Err(bad("a vector has no direction: all its numbers are zero".into()));
    }
    Ok(vectors)
}

/// `[numbers]`, or `[[numbers]]` with a single inner list.
fn numbers(value: &Value) -> Result<Vec<f32>, String> {
    let items = value.as_array().ok_or("a vector is not a list of numbers")?;
    if let [Value::Array(_)] = items.as_slice() {
        return numbers(&items[0]);
    }
    if items.first().is_some_and(Value::is_array) {
        return Err("vectors of single tokens came; start the server with pooling".into());
    }
    let number = |n: &Value| {
        let number = n.as_f64().ok_or("a vector holds something that is not a number")? as f32;
        if number.is_finite() {
            Ok(number)
        } else {
            Err("a vector holds a number that is not finite".to_owned())
        }
    };
    items.iter().map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_shape() {
        let two = vec![vec![1.0, 2.0], vec![3.0, 4.0]];
        for answer in [
            json!({"data": [{"index": 1, "embedding": [3, 4]}, {"index": 0, "embedding": [1, 2]}]}),
            json!({"data": [{"embedding": [1, 2]}, {"embedding": [3, 4]}]}),
            json!({"results": [{"embedding": [1, 2]}, {"embedding": [3, 4]}]}),
            json!({"embeddings": [[1, 2], [3, 4]]}),
            json!([{"index": 1, "embedding": [[3, 4]]}, {"index": 0, "embedding": [[1, 2]]}]),
        ] {
            assert_eq!(vectors(&answer, 2).unwrap(), two, "{answer}");
        }
        assert_eq!(vectors(&json!({"embedding": [1]}), 1).unwrap(), [[1.0]]);
    }

    #[test]
    fn wrong_answers_are_typed() {
        for (answer, count) in [
            (json!({}), 1),
            (json!("text"), 1),
            (json!({"data": []}), 1),
            (json!({"data": [{"embedding": [1]}]}), 2),
            (json!({"data": [{"embedding": [1]}, {"embedding": [1, 2]}]}), 2),
            (json!({"data": [{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [2]}]}), 2),
            (json!({"data": [{"index": 7, "embedding": [1]}]}), 1),
            (json!({"data": [{"embedding": ["NaN"]}]}), 1),
            (json!({"data": [{"embedding": [1e300]}]}), 1),
            (json!({"data": [{"embedding": [0, 0]}]}), 1),
            (json!({"data": [{"embedding": []}]}), 1),
            (json!([{"index": 0, "embedding": [[1], [2]]}]), 1),
        ] {
            assert_eq!(vectors(&answer, count).unwrap_err().code.as_str(), "INTERNAL", "{answer}");
        }
        let said = vectors(&json!({"error": {"message": "busy"}}), 1).unwrap_err();
        assert_eq!(said.code.as_str(), "UNAVAILABLE");
    }
}
