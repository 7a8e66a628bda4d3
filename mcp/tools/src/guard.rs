//! What column rules leave of documents about structure: hidden columns are not named, of others no value is told; it reads no rows.

use harvest_catalog::{
    ColumnDoc, ConstraintDoc, ForeignKeyDoc, IndexDoc, JoinSide, JoinSuggestions, ObjectDocument,
    RelationEnd, Relationships, TableDoc, ViewDoc, parse_object_key,
};
use harvest_gateway::ColumnGuard;
use mcp::{ErrorCode, ToolError, ToolResult};
use serde_json::Value;

use crate::deps::Call;
use crate::errors::IntoToolResult;

/// Why a definition is not shown.
const WITHHELD: &str = "column rules guard what it names";

/// The guard of a call on a target.
pub(crate) fn of(call: &Call<'_>, target_id: Option<&str>) -> ToolResult<ColumnGuard> {
    call.deps.gateway.column_guard(target_id, &call.scope).for_tool()
}

fn columns(guard: &ColumnGuard, (schema, table): (&str, &str), columns: &mut Vec<ColumnDoc>) {
    columns.retain(|column| !guard.hides(schema, table, &column.name));
    for column in columns {
        if guard.action(schema, table, &column.name).is_some() {
            (column.default, column.enum_values, column.generated) = (None, None, None);
        }
        if column.generated.as_ref().is_some_and(|text| guard.expression_names(schema, table, text)) {
            column.generated = None;
        }
    }
}

fn indexes(guard: &ColumnGuard, (schema, table): (&str, &str), indexes: &mut Vec<IndexDoc>) {
    indexes.retain(|index| {
        !index
            .columns
            .iter()
            .filter_map(|part| part.name.as_ref())
            .any(|name| guard.hides(schema, table, name))
    });
    for index in indexes {
        let names = |text: &mut Option<String>| {
            if text.as_ref().is_some_and(|t| guard.expression_names(schema, table, t)) {
                *text = None;
            }
        };
        names(&mut index.predicate);
        for part in &mut index.columns {
            names(&mut part.expression);
            let guarded = |name: &String| guard.action(schema, table, name).is_some();
            if part.name.as_ref().is_some_and(guarded) {
                // How many values there are is told by profiles, which the rules hold for.
                index.cardinality = None;
            }
        }
    }
}

/// Constraints of tables of a schema.
pub(crate) fn constraints(guard: &ColumnGuard, schema: &str, constraints: &mut Vec<ConstraintDoc>) {
    if guard.is_empty() {
        return;
    }
    constraints.retain(|key| {
        let own = key.columns.iter().any(|name| guard.hides(schema, &key.table, name));
        let parent = (key.referenced_schema.as_deref().unwrap_or(schema), key.referenced_table.as_deref());
        let theirs = parent.1.is_some_and(|table| {
            key.referenced_columns.iter().any(|name| guard.hides(parent.0, table, name))
        });
        !own && !theirs
    });
    for key in constraints {
        if key.expression.as_ref().is_some_and(|text| guard.expression_names(schema, &key.table, text)) {
            key.expression = None;
        }
    }
}

/// A table as `describe_table` shows it.
pub(crate) fn table(guard: &ColumnGuard, doc: &mut TableDoc) {
    if guard.is_empty() {
        return;
    }
    let (schema, name) = (doc.schema.clone(), doc.table.clone());
    let place = (schema.as_str(), name.as_str());
    columns(guard, place, &mut doc.columns);
    doc.primary_key.retain(|column| !guard.hides(&schema, &name, column));
    indexes(guard, place, &mut doc.indexes);
    constraints(guard, &schema, &mut doc.constraints);
    if doc.partitioning.as_ref().is_some_and(|text| guard.expression_names(&schema, &name, text)) {
        doc.partitioning = None;
    }
}

/// A view as `describe_view` shows it.
pub(crate) fn view(guard: &ColumnGuard, doc: &mut ViewDoc) {
    if guard.is_empty() {
        return;
    }
    doc.columns.retain(|column| !guard.hides(&doc.schema, &doc.view, &column.name));
    if doc.definition.as_ref().is_some_and(|text| guard.text_names(text)) {
        doc.definition = None;
        doc.definition_reason = Some(WITHHELD.to_owned());
    }
}

/// An object of a run.
pub(crate) fn object(guard: &ColumnGuard, doc: &mut ObjectDocument) {
    if guard.is_empty() {
        return;
    }
    let (schema, name) = (doc.object.schema_name.clone(), doc.object.object_name.clone());
    let place = (schema.as_str(), name.as_str());
    let known: Vec<String> = doc.columns.iter().map(|column| column.name.clone()).collect();
    columns(guard, place, &mut doc.columns);
    indexes(guard, place, &mut doc.indexes);
    constraints(guard, &schema, &mut doc.constraints);
    for keys in [&mut doc.foreign_keys, &mut doc.referenced_by].into_iter().flatten() {
        foreign_keys(guard, place, keys);
    }
    if let Some(definition) = &mut doc.definition_sql
        && definition.as_ref().is_some_and(|text| guard.text_names(text))
    {
        *definition = None;
    }
    let guarded: Vec<&str> =
        known.iter().filter(|c| guard.action(&schema, &name, c).is_some()).map(String::as_str).collect();
    if let Some(profiles) = doc.profiles.as_mut().filter(|_| !guarded.is_empty()) {
        profiles.values_mut().for_each(|profile| forget(profile, &guarded));
    }
}

/// Takes what is said of columns out of a profile: entries under their names, and their names in lists.
fn forget(value: &mut Value, columns: &[&str]) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| !columns.contains(&key.as_str()));
            let about = map.values().any(|v| v.as_str().is_some_and(|text| columns.contains(&text)));
            if about {
                map.clear();
            }
            map.values_mut().for_each(|inner| forget(inner, columns));
        }
        Value::Array(items) => {
            items.retain(|item| item.as_str().is_none_or(|text| !columns.contains(&text)));
            items.iter_mut().for_each(|inner| forget(inner, columns));
        }
        _ => {}
    }
}

fn foreign_keys(guard: &ColumnGuard, (schema, table): (&str, &str), keys: &mut Vec<ForeignKeyDoc>) {
    keys.retain(|key| {
        let child =
            (key.child_schema.as_deref().unwrap_or(schema), key.child_object.as_deref().unwrap_or(table));
        let hides = |(schema, table): (&str, &str), names: &[String]| {
            names.iter().any(|name| guard.hides(schema, table, name))
        };
        !hides(child, &key.child_columns)
            && !hides((&key.parent_schema, &key.parent_object), &key.parent_columns)
    });
}

fn end(guard: &ColumnGuard, end: &RelationEnd) -> bool {
    // A key that cannot be read names nothing that a rule could match.
    parse_object_key(&end.object_key)
        .is_ok_and(|(schema, table)| guard.hides(schema.as_deref().unwrap_or_default(), &table, &end.column))
}

/// What links an object.
pub(crate) fn relationships(guard: &ColumnGuard, place: (&str, &str), links: &mut Relationships) {
    if guard.is_empty() {
        return;
    }
    foreign_keys(guard, place, &mut links.foreign_keys);
    links.inferred_relationships.retain(|link| !end(guard, &link.child) && !end(guard, &link.parent));
    links.llm_relationships.retain(|link| !end(guard, &link.child) && !end(guard, &link.parent));
}

/// Ways to join tables.
pub(crate) fn joins(guard: &ColumnGuard, found: &mut JoinSuggestions) {
    if guard.is_empty() {
        return;
    }
    let before = found.candidates.len();
    let hides = |side: &JoinSide| side.columns.iter().any(|c| guard.hides(&side.schema, &side.table, c));
    found.candidates.retain(|join| !hides(&join.left) && !hides(&join.right));
    found.truncated |= before != found.candidates.len();
}

/// The failure of a search in an index that holds guarded columns.
pub(crate) fn refusal(what: &str, remedy: &str) -> ToolError {
    ToolError::new(ErrorCode::PermissionDenied, format!("column rules guard this target: {what}: {remedy}"))
        .with("by", "policy")
        .with("reason", "column_rule")
        .with("remedy", remedy)
}
