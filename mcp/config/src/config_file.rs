//! The configuration file, TOML or JSON: one section a family, keys equal to column names; it writes no table.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use crate::cell::{Cell, Row};
use crate::error::{ConfigResult, file, refused};
use crate::family::{Family, TableDef};

/// Largest file, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// One section: variables by full name, rows with the columns that they name.
#[derive(Debug, Default)]
pub(crate) struct Section {
    pub(crate) variables: BTreeMap<String, String>,
    /// Table → rows as (columns, values).
    pub(crate) rows: BTreeMap<&'static str, Vec<(Vec<&'static str>, Row)>>,
}

/// Reads the section of a family.
pub(crate) fn read(path: &Path, family: &Family) -> ConfigResult<Section> {
    let size = std::fs::metadata(path).map_err(|e| file(path, &e))?.len();
    if size > FILE_BYTES_MAX {
        return Err(file(path, &format!("larger than {FILE_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|e| file(path, &e))?;
    let is_json = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("json"));
    let root: Value = if is_json {
        serde_json::from_str(&text)
            .map_err(|e| file(path, &format!("no JSON: line {}, column {}", e.line(), e.column())))?
    } else {
        // The parser's own message repeats the line, which may hold a secret.
        toml::from_str(&text).map_err(|e| {
            let at = e.span().map_or(0, |span| span.start);
            let line = text.get(..at).map_or(0, |before| before.matches('\n').count() + 1);
            file(path, &format!("no TOML: line {line}"))
        })?
    };
    let Some(section) = root.get(family.section) else { return Ok(Section::default()) };
    let section = section.as_object().ok_or_else(|| wrong(family.section, "the section is a table"))?;
    let mut found = Section::default();
    for (key, value) in section {
        if key == "variables" {
            variables(family, value, &mut found)?;
            continue;
        }
        let table = table_of(family, key).ok_or_else(|| wrong(key, "no such part of the section"))?;
        let rows = value.as_array().ok_or_else(|| wrong(key, "a list of rows"))?;
        let rows: ConfigResult<Vec<_>> = rows.iter().map(|row| row_of(key, table, row)).collect();
        found.rows.insert(table.name, rows?);
    }
    Ok(found)
}

/// Part of the section → table: `query_rules` is `mcp_query_rules`, `tokens` is `mcp_endpoint_tokens`.
fn table_of(family: &Family, key: &str) -> Option<&'static TableDef> {
    let prefix = family.prefix.trim_end_matches('-');
    let named = family.modules.iter().flat_map(|m| m.tables).copied().find(|table| {
        table.name == key || table.name.strip_prefix(prefix).and_then(|n| n.strip_prefix('_')) == Some(key)
    });
    named.or_else(|| match family.module(key).map(|m| m.tables) {
        Some([only]) => Some(*only),
        _ => None,
    })
}

fn variables(family: &Family, value: &Value, found: &mut Section) -> ConfigResult<()> {
    let map = value.as_object().ok_or_else(|| wrong("variables", "a table of names and values"))?;
    for (name, value) in map {
        let variable = family.variable(name).ok_or_else(|| wrong(name, "no such variable"))?;
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            _ => return Err(wrong(name, "a plain value is expected")),
        };
        found.variables.insert(family.full_name(variable), text);
    }
    Ok(())
}

fn row_of(key: &str, table: &'static TableDef, row: &Value) -> ConfigResult<(Vec<&'static str>, Row)> {
    let row: &Map<String, Value> = row.as_object().ok_or_else(|| wrong(key, "a row is a table"))?;
    let (mut columns, mut cells) = (Vec::new(), Vec::new());
    for (name, value) in row {
        let at = table.position(name).ok_or_else(|| wrong(&format!("{key}.{name}"), "no such column"))?;
        let cell = Cell::from_json(value)
            .ok_or_else(|| wrong(&format!("{key}.{name}"), "a plain value is expected"))?;
        columns.push(table.columns[at].name);
        cells.push(cell);
    }
    Ok((columns, cells))
}

fn wrong(place: &str, what: &str) -> mcp::ToolError {
    refused("configuration file", Some(place), what)
}
