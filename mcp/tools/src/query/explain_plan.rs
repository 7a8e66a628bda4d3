//! Reads the plans of the engines: a value, a text and a short summary; it asks no engine.

#[cfg(test)]
mod tests;

use harvest::DialectName;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// Deepest plan that is looked through.
const DEPTH_MAX: usize = 200;

/// What to look at first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Summary {
    /// Rows that the engine expects.
    pub estimated_rows: Option<f64>,
    /// Cost in the engine's own unit.
    pub estimated_cost: Option<f64>,
    /// Tables that are read in full.
    pub full_scans: Vec<String>,
    /// Indexes that are used.
    pub indexes_used: Vec<String>,
    /// Measured time in milliseconds, with analyze.
    pub actual_ms: Option<f64>,
}

impl Summary {
    fn scan(&mut self, table: &str) {
        push_once(&mut self.full_scans, table);
    }

    fn index(&mut self, index: &str) {
        push_once(&mut self.indexes_used, index);
    }
}

fn push_once(list: &mut Vec<String>, name: &str) {
    if !list.iter().any(|known| known == name) {
        list.push(name.to_owned());
    }
}

/// A plan in all its forms.
#[derive(Debug, Default)]
pub(super) struct ReadPlan {
    pub(super) plan: Value,
    pub(super) text: String,
    pub(super) summary: Summary,
}

/// Reads the rows that an EXPLAIN of `dialect` gave.
pub(super) fn read_plan(dialect: DialectName, rows: &[Vec<Value>]) -> ReadPlan {
    if dialect == DialectName::Sqlite {
        return sqlite(rows);
    }
    let text: Vec<String> =
        rows.iter().map(|row| row.iter().map(cell_text).collect::<Vec<_>>().join("\t")).collect();
    let text = text.join("\n");
    let value = match rows.first().and_then(|row| row.first()) {
        Some(Value::String(json)) if rows.len() == 1 => serde_json::from_str(json).unwrap_or(Value::Null),
        Some(value @ (Value::Array(_) | Value::Object(_))) => value.clone(),
        _ => Value::Null,
    };
    let mut summary = Summary::default();
    match dialect {
        DialectName::Postgresql if value.is_null() => postgres_text(&text, &mut summary),
        DialectName::Postgresql => postgres(&value, &mut summary),
        _ if value.is_null() => mysql_text(rows, &text, &mut summary),
        _ => mysql(&value, &mut summary, 0),
    }
    ReadPlan { plan: value, text, summary }
}

fn cell_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Rows of id, parent, unused, detail.
fn sqlite(rows: &[Vec<Value>]) -> ReadPlan {
    let mut summary = Summary::default();
    let mut nodes: Vec<(i64, i64, String)> = Vec::new();
    for row in rows {
        let number = |at: usize| row.get(at).and_then(Value::as_i64).unwrap_or(0);
        let detail = row.last().map(cell_text).unwrap_or_default();
        sqlite_detail(&detail, &mut summary);
        nodes.push((number(0), number(1), detail));
    }
    let mut text = String::new();
    let plan = sqlite_children(&nodes, 0, 0, &mut text);
    ReadPlan { plan: Value::Array(plan), text, summary }
}

fn sqlite_children(nodes: &[(i64, i64, String)], parent: i64, depth: usize, text: &mut String) -> Vec<Value> {
    let mut out = Vec::new();
    if depth > DEPTH_MAX {
        return out;
    }
    for (id, _, detail) in nodes.iter().filter(|(id, its, _)| *its == parent && *id != parent) {
        text.push_str(&"  ".repeat(depth));
        text.push_str(detail);
        text.push('\n');
        let children = sqlite_children(nodes, *id, depth + 1, text);
        let mut node = Map::new();
        node.insert("id".to_owned(), (*id).into());
        node.insert("detail".to_owned(), detail.as_str().into());
        if !children.is_empty() {
            node.insert("children".to_owned(), Value::Array(children));
        }
        out.push(Value::Object(node));
    }
    out
}

fn sqlite_detail(detail: &str, summary: &mut Summary) {
    let using = ["USING INDEX ", "USING COVERING INDEX ", "USING AUTOMATIC COVERING INDEX "];
    for word in using {
        if let Some(at) = detail.find(word) {
            let name = detail[at + word.len()..].split(" (").next().unwrap_or_default();
            summary.index(if name.starts_with('(') || name.is_empty() { "automatic" } else { name });
        }
    }
    if detail.contains("USING INTEGER PRIMARY KEY") {
        summary.index("PRIMARY");
    }
    let scanned = detail.strip_prefix("SCAN ").map(|rest| rest.strip_prefix("TABLE ").unwrap_or(rest));
    if let Some(rest) = scanned {
        let name = rest.split(" USING ").next().unwrap_or(rest).split(" VIRTUAL ").next().unwrap_or(rest);
        if name != "CONSTANT ROW" && !name.starts_with('(') {
            summary.scan(name);
        }
    }
}

fn postgres(value: &Value, summary: &mut Summary) {
    let root = value.get(0).unwrap_or(value);
    let plan = root.get("Plan").unwrap_or(root);
    summary.estimated_rows = plan.get("Plan Rows").and_then(Value::as_f64);
    summary.estimated_cost = plan.get("Total Cost").and_then(Value::as_f64);
    summary.actual_ms =
        root.get("Execution Time").or_else(|| plan.get("Actual Total Time")).and_then(Value::as_f64);
    postgres_node(plan, summary, 0);
}

fn postgres_node(node: &Value, summary: &mut Summary, depth: usize) {
    let word = |key: &str| node.get(key).and_then(Value::as_str);
    if let (Some("Seq Scan" | "Parallel Seq Scan"), Some(table)) = (word("Node Type"), word("Relation Name"))
    {
        summary.scan(table);
    }
    if let Some(index) = word("Index Name") {
        summary.index(index);
    }
    if depth < DEPTH_MAX {
        for child in node.get("Plans").and_then(Value::as_array).into_iter().flatten() {
            postgres_node(child, summary, depth + 1);
        }
    }
}

fn postgres_text(text: &str, summary: &mut Summary) {
    let number = |part: &str, key: &str| -> Option<f64> {
        let rest = &part[part.find(key)? + key.len()..];
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        rest[..end].trim_end_matches('.').parse().ok()
    };
    for (at, line) in text.lines().enumerate() {
        if at == 0 {
            summary.estimated_rows = number(line, "rows=");
            summary.estimated_cost = line.find("..").and_then(|dots| number(&line[dots..], ".."));
        }
        let word_after = |key: &str| {
            line.find(key).and_then(|at| line[at + key.len()..].split_whitespace().next()).map(str::to_owned)
        };
        if let Some(table) = word_after("Seq Scan on ") {
            summary.scan(&table);
        }
        for key in ["Index Scan using ", "Index Only Scan using ", "Bitmap Index Scan on "] {
            if let Some(index) = word_after(key) {
                summary.index(&index);
            }
        }
        if let Some(time) = number(line, "Execution Time: ") {
            summary.actual_ms = Some(time);
        }
    }
}

/// MySQL and MariaDB name things alike: tables with `access_type` and `key`, costs at several places.
fn mysql(value: &Value, summary: &mut Summary, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| mysql(item, summary, depth + 1)),
        Value::Object(map) => {
            let word = |key: &str| map.get(key).and_then(Value::as_str);
            let number = |key: &str| map.get(key).and_then(as_number);
            if let Some(table) = word("table_name") {
                if word("access_type") == Some("ALL") {
                    summary.scan(table);
                }
                if let Some(index) = word("key").or_else(|| word("index_name")) {
                    summary.index(index);
                }
                let rows = number("rows_produced_per_join")
                    .or_else(|| number("rows"))
                    .or_else(|| number("estimated_rows"));
                summary.estimated_rows = rows.or(summary.estimated_rows);
            }
            let cost =
                number("query_cost").or_else(|| number("cost")).or_else(|| number("estimated_total_cost"));
            if summary.estimated_cost.is_none() {
                summary.estimated_cost = cost;
            }
            if summary.actual_ms.is_none() {
                summary.actual_ms = number("r_total_time_ms").or_else(|| number("actual_last_row_ms"));
            }
            map.values().for_each(|item| mysql(item, summary, depth + 1));
        }
        _ => {}
    }
}

fn as_number(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_f64(),
    }
}

/// The table form: id, select_type, table, partitions, type, possible_keys, key, key_len, ref, rows, …; or a text tree.
fn mysql_text(rows: &[Vec<Value>], text: &str, summary: &mut Summary) {
    for row in rows.iter().filter(|row| row.len() >= 9) {
        let kinds = [
            "ALL",
            "index",
            "range",
            "ref",
            "eq_ref",
            "const",
            "system",
            "ref_or_null",
            "fulltext",
            "index_merge",
        ];
        let Some(at) = row.iter().position(|v| v.as_str().is_some_and(|kind| kinds.contains(&kind))) else {
            continue;
        };
        let table = row.get(2).map(cell_text).unwrap_or_default();
        if row[at] == json!("ALL") {
            summary.scan(&table);
        }
        if let Some(index) = row.get(at + 2).and_then(Value::as_str) {
            summary.index(index);
        }
        summary.estimated_rows = row.get(at + 5).and_then(as_number).or(summary.estimated_rows);
    }
    for line in text.lines() {
        let after = |key: &str| line.find(key).map(|at| line[at + key.len()..].trim());
        let word = |rest: &str| rest.split([' ', '\u{a0}', '(']).next().unwrap_or_default().to_owned();
        if let Some(rest) = after("Table scan on ") {
            summary.scan(&word(rest));
        }
        for key in [" using "] {
            if let Some(rest) = after(key).filter(|_| line.contains("ndex")) {
                summary.index(&word(rest));
            }
        }
        if let (Some(rest), None) = (after("actual time="), summary.actual_ms) {
            let end = rest.split("..").nth(1).map(word).unwrap_or_default();
            summary.actual_ms = end.parse().ok();
        }
        if let (Some(rest), None) = (after("(cost="), summary.estimated_cost) {
            let number: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
            summary.estimated_cost = number.trim_end_matches('.').parse().ok();
        }
    }
}
