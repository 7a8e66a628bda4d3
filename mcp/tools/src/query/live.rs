//! Metadata of a target as it is now: one object, all objects of a schema, and what to say when a name is unknown.

use harvest::{MetadataDepth, MetadataRequest, ObjectMeta, ObjectType};
use harvest_gateway::{MetadataLimit, MetadataOutcome};
use mcp::{ToolError, ToolResult};

use crate::deps::{Call, Frame, is_not_found};
use crate::errors::IntoToolResult;

/// Most objects of one live answer.
const OBJECTS_MAX: usize = 200_000;
/// Names that a failure suggests.
const SIMILAR_MAX: usize = 5;

/// Whether the object holds rows.
pub(super) fn is_relation(object: &ObjectMeta) -> bool {
    matches!(object.object_type, ObjectType::Table | ObjectType::View | ObjectType::MaterializedView)
}

/// The frame of an answer from live metadata.
pub(super) fn frame(outcome: &MetadataOutcome) -> Frame {
    Frame::target(outcome.target_id.clone(), outcome.protocol)
        .rules(&outcome.rules_matched, outcome.ok_message.as_deref())
}

/// Schemas of the target.
pub(super) fn schemas(
    call: &Call<'_>,
    target_id: Option<&str>,
    include_system: bool,
    depth: MetadataDepth,
) -> ToolResult<MetadataOutcome> {
    let mut request = MetadataRequest::all(OBJECTS_MAX);
    request.include_system = include_system;
    request.depth = depth;
    call.deps
        .gateway
        .metadata(target_id, None, &request, MetadataLimit::Target, &call.scope, &mut ())
        .for_tool()
}

/// Objects of one schema, or one object of it.
pub(super) fn objects(
    call: &Call<'_>,
    target_id: Option<&str>,
    schema: &str,
    object: Option<&str>,
    depth: MetadataDepth,
) -> ToolResult<MetadataOutcome> {
    let mut request = MetadataRequest::all(OBJECTS_MAX);
    request.schemas = Some(vec![schema.to_owned()]);
    request.object = object.map(str::to_owned);
    request.include_system = true;
    request.depth = depth;
    let read = call.deps.gateway.metadata(
        target_id,
        Some(schema),
        &request,
        MetadataLimit::Target,
        &call.scope,
        &mut (),
    );
    let outcome = read.for_tool()?;
    if outcome.ok_message.is_none()
        && outcome.snapshot.schemas.is_empty()
        && outcome.snapshot.objects.is_empty()
    {
        return Err(unknown_schema(call, target_id, schema));
    }
    Ok(outcome)
}

/// A read of one object: an engine that fails for an unknown name fails here with similar names.
pub(super) fn named(
    call: &Call<'_>,
    target_id: Option<&str>,
    read: ToolResult<MetadataOutcome>,
    schema: &str,
    name: &str,
    kind: &str,
) -> ToolResult<MetadataOutcome> {
    read.map_err(|error| {
        let about_schema = error.details.get("kind").is_some_and(|kind| kind == "schema");
        if is_not_found(&error) && about_schema && schema_exists(call, target_id, schema) {
            return unknown_table(call, target_id, schema, name, kind);
        }
        error
    })
}

fn schema_exists(call: &Call<'_>, target_id: Option<&str>, schema: &str) -> bool {
    let known = schemas(call, target_id, true, MetadataDepth::Schemas);
    known.is_ok_and(|outcome| outcome.snapshot.schemas.iter().any(|known| known.name == schema))
}

/// The table or view of a live read, or `NOT_FOUND` with similar names.
pub(super) fn relation<'o>(
    call: &Call<'_>,
    target_id: Option<&str>,
    outcome: &'o MetadataOutcome,
    schema: &str,
    name: &str,
    kind: &str,
) -> ToolResult<&'o ObjectMeta> {
    let views_only = kind == "view";
    let found = outcome.snapshot.objects.iter().find(|object| {
        object.name == name && is_relation(object) && !(views_only && object.object_type == ObjectType::Table)
    });
    found.ok_or_else(|| unknown_table(call, target_id, schema, name, kind))
}

/// Everything about a table that a statement is composed for.
pub(super) fn table(
    call: &Call<'_>,
    target_id: Option<&str>,
    schema: &str,
    table: &str,
) -> ToolResult<(MetadataOutcome, ObjectMeta)> {
    let outcome = call.deps.gateway.table_metadata(target_id, schema, table, &call.scope).for_tool()?;
    let found =
        outcome.snapshot.objects.iter().find(|object| object.name == table && is_relation(object)).cloned();
    match found {
        Some(object) => Ok((outcome, object)),
        None => Err(unknown_table(call, target_id, schema, table, "table")),
    }
}

/// Checks that a column is there.
pub(super) fn column<'o>(object: &'o ObjectMeta, name: &str) -> ToolResult<&'o harvest::ColumnMeta> {
    object.columns.iter().find(|column| column.name == name).ok_or_else(|| {
        let names = object.columns.iter().map(|column| column.name.as_str());
        ToolError::not_found("column", format!("{}.{name}", object.name))
            .with("similar", similar(name, names))
    })
}

fn unknown_schema(call: &Call<'_>, target_id: Option<&str>, schema: &str) -> ToolError {
    let known = schemas(call, target_id, true, MetadataDepth::Schemas).ok();
    let names: Vec<_> =
        known.iter().flat_map(|o| o.snapshot.schemas.iter().map(|s| s.name.as_str())).collect();
    ToolError::not_found("schema", schema).with("similar", similar(schema, names.into_iter()))
}

/// The failure for a name that is not there; the names that are nearest to it help more than the bare fact.
pub(super) fn unknown_table(
    call: &Call<'_>,
    target_id: Option<&str>,
    schema: &str,
    name: &str,
    kind: &str,
) -> ToolError {
    let known = match objects(call, target_id, schema, None, MetadataDepth::Objects) {
        Ok(outcome) => outcome,
        Err(error) => return error,
    };
    let names =
        known.snapshot.objects.iter().filter(|object| is_relation(object)).map(|object| object.name.as_str());
    ToolError::not_found(kind, format!("{schema}.{name}")).with("similar", similar(name, names))
}

/// The nearest names, best first.
fn similar<'n>(wanted: &str, names: impl Iterator<Item = &'n str>) -> Vec<String> {
    let wanted = wanted.to_lowercase();
    let mut near: Vec<(usize, &str)> = names
        .filter_map(|name| {
            let lower = name.to_lowercase();
            let contained = lower.contains(&wanted) || (wanted.contains(&lower) && lower.len() > 2);
            let distance = distance(&wanted, &lower);
            (contained || distance <= 1 + wanted.chars().count() / 3).then_some((distance, name))
        })
        .collect();
    near.sort_unstable();
    near.into_iter().take(SIMILAR_MAX).map(|(_, name)| name.to_owned()).collect()
}

/// Edits between two short names; long ones are only compared by length.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(128).collect(), b.chars().take(128).collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let next = (diagonal + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[b.len()]
}

/// Whether `name` matches a LIKE pattern with `%`, `_` and `\` as escape; case does not matter.
pub(super) fn like(pattern: &str, name: &str) -> bool {
    enum Part {
        Any,
        One,
        Char(char),
    }
    let mut parts = Vec::new();
    let lower = pattern.to_lowercase();
    let mut chars = lower.chars();
    while let Some(c) = chars.next() {
        parts.push(match c {
            '%' => Part::Any,
            '_' => Part::One,
            '\\' => Part::Char(chars.next().unwrap_or('\\')),
            other => Part::Char(other),
        });
    }
    let text: Vec<char> = name.to_lowercase().chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match parts.get(p) {
            Some(Part::Any) => {
                star = Some((p, t));
                p += 1;
            }
            Some(Part::One) => (p, t) = (p + 1, t + 1),
            Some(Part::Char(c)) if *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, from)) => {
                    p = at + 1;
                    t = from + 1;
                    star = Some((at, from + 1));
                }
                None => return false,
            },
        }
    }
    parts[p..].iter().all(|part| matches!(part, Part::Any))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_patterns_match_as_in_sql() {
        assert!(like("ord%", "Orders") && like("%", "") && like("_rders", "orders"));
        assert!(like("a\\_b", "a_b") && !like("a\\_b", "axb") && like("100\\%", "100%"));
        assert!(!like("ord", "orders") && like("%a%b%", "xxaxxbxx") && !like("%a%b%", "xxbxxaxx"));
    }

    #[test]
    fn near_names_are_found() {
        let names = ["customers", "orders", "order_items", "products", "x"];
        assert_eq!(similar("order", names.into_iter()), ["orders", "order_items"]);
        assert_eq!(similar("custmers", names.into_iter()), ["customers"]);
        assert!(similar("zzzzzz", names.into_iter()).is_empty());
    }
}
