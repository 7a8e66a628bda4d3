//! Answers by rule, for recording: they read the question as a model would, and try what a model must not do.

use serde_json::{Value, json};

/// The assistant's message to a question.
pub(crate) fn answer(asked: &Value) -> Value {
    let messages = asked["messages"].as_array().cloned().unwrap_or_default();
    let prompt = messages.first().and_then(|m| m["content"].as_str()).unwrap_or_default();
    if prompt.contains("what this database object is") {
        return object(prompt, messages.len());
    }
    let answer = if prompt.contains("numbered pair") {
        pairs(prompt)
    } else if prompt.contains("business domains") {
        domains(prompt)
    } else {
        questions(prompt)
    };
    said(&answer)
}

fn said(answer: &Value) -> Value {
    json!({"role": "assistant", "content": answer.to_string()})
}

fn calls(name: &str, arguments: &Value) -> Value {
    let function = json!({"name": name, "arguments": arguments.to_string()});
    json!({"role": "assistant", "content": null,
           "tool_calls": [{"id": "call_1", "type": "function", "function": function}]})
}

/// One object looks its neighbour up first, another wants to write; one answer is cut off at first.
fn object(prompt: &str, messages: usize) -> Value {
    let head =
        prompt.lines().find(|l| l.starts_with("table ") || l.starts_with("view ")).unwrap_or("table ?");
    let name = head.rsplit_once('.').map_or(head, |(_, name)| name).trim_matches('"');
    match (name, messages) {
        ("orders", 1) => return calls("get_object", &json!({"object_key": "main.customers"})),
        ("payments", 1) => return calls("run_sql_readonly", &json!({"sql": "DELETE FROM payments"})),
        ("shipments", 1) => return json!({"role": "assistant", "content": "{\"hypothesis\": \"Parcels"}),
        _ => {}
    }
    let columns: Vec<&str> =
        prompt.lines().filter_map(|l| l.strip_prefix("column ")?.split(':').next()).collect();
    let of = |words: &[&str]| -> Vec<&str> {
        columns.iter().copied().filter(|c| words.iter().any(|w| c.to_lowercase().contains(w))).collect()
    };
    said(
        &json!({
            "hypothesis": format!("Each row is one of the {}.", name.replace('_', " ")),
            "grain": format!("one row per {}", name.replace('_', " ")),
            "primary_key": columns.first(),
            "time_columns": of(&["_at", "_on", "date"]),
            "dimensions": of(&["status", "kind", "segment", "method", "channel", "reason"]),
            "measures": of(&["total", "amount", "quantity", "price", "refund", "on_hand"]),
            "join_keys": of(&["_id", "code", "uuid"]),
            "example_questions": [format!("How many {} are there?", name.replace('_', " "))],
            "synonyms": [], "warnings": [], "evidence": [format!("columns {}", columns.join(", "))],
            "confidence": 0.85
        })
        .as_object()
        .map(|map| {
            let mut map = map.clone();
            map.insert("primary_key".into(), columns.first().into_iter().copied().collect());
            Value::Object(map)
        })
        .unwrap_or_default(),
    )
}

/// Everything refers; the values have the last word.
fn pairs(prompt: &str) -> Value {
    let numbered = prompt.lines().filter_map(|l| l.split_once(". inferred key")?.0.parse::<usize>().ok());
    let verdict =
        |pair: usize| json!({"pair": pair, "refers": true, "confidence": 0.8, "reason": "the names say so"});
    json!({"pairs": numbered.map(verdict).collect::<Vec<_>>()})
}

/// The subjects of the sample, by the words of its names.
const DOMAINS: &[(&str, &str, &[&str])] = &[
    ("sales", "Sales", &["order", "revenue", "return", "review", "customer"]),
    ("money", "Money", &["invoice", "payment", "price"]),
    ("logistics", "Logistics", &["stock", "warehouse", "shipment", "carrier", "address"]),
    ("catalogue", "Catalogue", &["product", "categor", "tag", "supplier"]),
    ("traffic", "Web traffic", &["web"]),
    ("company", "Company", &[""]),
];

fn domains(prompt: &str) -> Value {
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); DOMAINS.len()];
    for line in prompt.lines() {
        let Some((number, rest)) = line.split_once(". ") else { continue };
        let Ok(number) = number.parse::<usize>() else { continue };
        let name = rest.split(' ').next().unwrap_or_default().to_lowercase();
        let fits = |(_, _, words): &&(&str, &str, &[&str])| words.iter().any(|word| name.contains(word));
        if let Some(at) = DOMAINS.iter().position(|domain| fits(&domain)) {
            members[at].push(number);
        }
    }
    let domains = DOMAINS.iter().zip(members).map(|((key, title, _), members)| {
        let members: Vec<Value> = members.iter().map(|m| json!({"object": m, "role": "entity"})).collect();
        json!({"key": key, "title": title, "description": format!("{title} of the shop."), "members": members, "confidence": 0.7})
    });
    json!({"domains": domains.collect::<Vec<_>>()})
}

/// A count per object, a statement that does not run and one that writes.
fn questions(prompt: &str) -> Value {
    let names: Vec<&str> = prompt
        .lines()
        .filter_map(|l| l.strip_prefix("table main.").or_else(|| l.strip_prefix("view main.")))
        .take(4)
        .collect();
    let metrics = names.iter().map(|name| {
        json!({"key": format!("{name}_count"), "title": format!("Number of {name}"), "description": "Rows.", "grain": "all time",
               "unit": "rows", "sql": format!("SELECT count(*) FROM {name}"), "confidence": 0.8})
    });
    let questions = names.iter().map(|name| {
        json!({"title": format!("All {name}"), "question": format!("How many {} are there?", name.replace('_', " ")),
               "sql": format!("SELECT count(*) AS n FROM {name}"), "confidence": 0.8})
    });
    let mut questions: Vec<Value> = questions.collect();
    questions.push(json!({"title": "Nowhere", "question": "What is not there?", "sql": "SELECT x FROM nowhere", "confidence": 0.9}));
    questions.push(
        json!({"title": "Wipe", "question": "Remove them?", "sql": "DELETE FROM orders", "confidence": 0.9}),
    );
    json!({"metrics": metrics.collect::<Vec<_>>(), "questions": questions})
}
