//! Derived fields of a harvested object: hints of columns, content hash, guessed kind; one rule set for all engines.

use harvest::{ColumnMeta, Dialect, ObjectMeta, ObjectType, TypeFamily};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::keys::hex;
use crate::tokens::{is_id_like, name_tokens, singular};

/// What is derived of one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ColumnHints {
    pub(crate) family: TypeFamily,
    pub(crate) is_pk: bool,
    pub(crate) is_unique: bool,
    pub(crate) is_indexed: bool,
    pub(crate) is_time: bool,
    pub(crate) is_id_like: bool,
}

/// What is derived of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Derived {
    pub(crate) columns: Vec<ColumnHints>,
    pub(crate) has_primary_key: bool,
    pub(crate) has_time_column: bool,
    pub(crate) guessed_kind: &'static str,
    pub(crate) content_hash: String,
}

pub(crate) fn derive(object: &ObjectMeta, dialect: &dyn Dialect) -> Derived {
    let columns: Vec<ColumnHints> = object.columns.iter().map(|c| column_hints(object, c, dialect)).collect();
    let has_time_column = columns.iter().any(|c| c.is_time);
    Derived {
        has_primary_key: object.indexes.iter().any(|i| i.primary),
        has_time_column,
        guessed_kind: guessed_kind(object, &columns),
        content_hash: content_hash(object),
        columns,
    }
}

fn column_hints(object: &ObjectMeta, column: &ColumnMeta, dialect: &dyn Dialect) -> ColumnHints {
    let mut hints = ColumnHints {
        family: dialect.type_family(&column.data_type),
        is_pk: false,
        is_unique: false,
        is_indexed: false,
        is_time: dialect.is_time_type(&column.data_type),
        is_id_like: is_id_like(&column.name),
    };
    for index in &object.indexes {
        let mut keys = index.columns.iter().filter(|c| !c.included);
        let is_member = keys.clone().any(|c| c.name.as_deref() == Some(&column.name));
        if !is_member {
            continue;
        }
        hints.is_indexed = true;
        hints.is_pk |= index.primary;
        let alone = keys.next().is_some_and(|c| c.sub_part.is_none()) && keys.next().is_none();
        hints.is_unique |= alone && (index.unique || index.primary) && index.predicate.is_none();
    }
    hints
}

fn guessed_kind(object: &ObjectMeta, hints: &[ColumnHints]) -> &'static str {
    if !matches!(object.object_type, ObjectType::Table | ObjectType::View | ObjectType::MaterializedView) {
        return "unknown";
    }
    let tokens: Vec<String> = name_tokens(&object.name).iter().map(|t| singular(t)).collect();
    let has = |words: &[&str]| tokens.iter().any(|t| words.contains(&t.as_str()));
    if has(&["log", "event", "audit", "history"]) {
        return "log/event";
    }
    if has(&["order", "invoice", "payment", "transaction", "sale"]) {
        return "fact";
    }
    if has(&["user", "customer", "account", "product", "employee"]) {
        return "entity";
    }
    if is_bridge(object, hints) {
        return "bridge";
    }
    if is_lookup(object, hints) { "lookup" } else { "unknown" }
}

fn is_bridge(object: &ObjectMeta, hints: &[ColumnHints]) -> bool {
    let in_foreign_key =
        |name: &str| object.foreign_keys.iter().any(|fk| fk.columns.iter().any(|(c, _)| c == name));
    object.foreign_keys.len() >= 2
        && object
            .columns
            .iter()
            .zip(hints)
            .all(|(column, hint)| in_foreign_key(&column.name) || hint.is_pk || hint.is_time)
}

fn is_lookup(object: &ObjectMeta, hints: &[ColumnHints]) -> bool {
    let small = object.rows_est.is_some_and(|rows| rows <= 1000);
    let keys = hints.iter().filter(|h| h.is_pk).count();
    let texts = hints.iter().filter(|h| !h.is_pk && h.family == TypeFamily::String).count();
    object.object_type == ObjectType::Table
        && (2..=4).contains(&hints.len())
        && keys == 1
        && texts >= 1
        && small
}

/// Hash over everything that a change of the schema changes; estimates, sizes, times and ids are left out.
fn content_hash(object: &ObjectMeta) -> String {
    let columns: Vec<_> = object
        .columns
        .iter()
        .map(|c| {
            json!([
                c.ordinal,
                c.name,
                c.data_type,
                c.column_type,
                c.nullable,
                c.default,
                c.extra,
                c.generation_expr,
                c.enum_values,
                c.charset,
                c.collation,
                c.comment
            ])
        })
        .collect();
    let indexes: Vec<_> = object
        .indexes
        .iter()
        .map(|i| {
            json!([i.name, i.unique, i.primary, i.index_type, i.predicate, i.visible, i.comment, i.columns])
        })
        .collect();
    let form = json!([
        object.object_type,
        object.subtype,
        object.signature,
        object.parent,
        columns,
        indexes,
        object.constraints,
        object.foreign_keys,
        object.comment,
        object.definition
    ]);
    hex(&Sha256::digest(form.to_string().as_bytes()))
}
