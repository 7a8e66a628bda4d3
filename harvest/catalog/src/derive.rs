//! Derived fields of a harvested object: hints of columns, content hash, guessed kind; one rule set for all engines.

use harvest::{ColumnMeta, Dialect, ObjectMeta, ObjectType, TypeFamily};
use sha2::{Digest, Sha256};

use crate::keys::hex;
use crate::names::Names;
use crate::tokens::{name_tokens, singular};

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
    /// The kind without regard to the number of rows.
    pub(crate) guessed_kind: &'static str,
    /// With few rows it is a lookup table instead.
    pub(crate) lookup_if_small: bool,
}

impl Derived {
    /// The kind of the object with this number of rows.
    pub(crate) fn kind(&self, rows_est: Option<i64>) -> &'static str {
        let is_small = rows_est.is_some_and(|rows| rows <= LOOKUP_ROWS_MAX);
        if self.lookup_if_small && is_small { "lookup" } else { self.guessed_kind }
    }
}

/// Rows of a lookup table at most; the view `objects` of the store has the same number.
const LOOKUP_ROWS_MAX: i64 = 1_000;

pub(crate) fn derive(object: &ObjectMeta, dialect: &dyn Dialect) -> Derived {
    derive_with(object, dialect, &mut Names::default())
}

/// [`derive`] for many objects, whose columns often have the same names.
pub(crate) fn derive_with(object: &ObjectMeta, dialect: &dyn Dialect, names: &mut Names) -> Derived {
    let mut columns: Vec<ColumnHints> =
        object.columns.iter().map(|c| column_hints(c, dialect, names)).collect();
    mark_keys(object, &mut columns);
    let has_time_column = columns.iter().any(|c| c.is_time);
    let guessed_kind = guessed_kind(object, &columns);
    Derived {
        has_primary_key: object.indexes.iter().any(|i| i.primary),
        has_time_column,
        guessed_kind,
        lookup_if_small: guessed_kind == "unknown" && is_lookup(object, &columns),
        columns,
    }
}

fn column_hints(column: &ColumnMeta, dialect: &dyn Dialect, names: &mut Names) -> ColumnHints {
    ColumnHints {
        family: dialect.type_family(&column.data_type),
        is_pk: false,
        is_unique: false,
        is_indexed: false,
        is_time: dialect.is_time_type(&column.data_type),
        is_id_like: names.is_id_like(&column.name),
    }
}

/// What the indexes say of the columns.
fn mark_keys(object: &ObjectMeta, columns: &mut [ColumnHints]) {
    for index in &object.indexes {
        let mut keys = index.columns.iter().filter(|c| !c.included);
        let alone = keys.clone().count() == 1 && keys.all(|c| c.sub_part.is_none());
        for part in index.columns.iter().filter(|c| !c.included) {
            let named = object.columns.iter().position(|c| part.name.as_deref() == Some(&c.name));
            let Some(hints) = named.and_then(|at| columns.get_mut(at)) else { continue };
            hints.is_indexed = true;
            hints.is_pk |= index.primary;
            hints.is_unique |= alone && (index.unique || index.primary) && index.predicate.is_none();
        }
    }
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
    if is_bridge(object, hints) { "bridge" } else { "unknown" }
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

/// The shape of a lookup table, whatever its size.
fn is_lookup(object: &ObjectMeta, hints: &[ColumnHints]) -> bool {
    let keys = hints.iter().filter(|h| h.is_pk).count();
    let texts = hints.iter().filter(|h| !h.is_pk && h.family == TypeFamily::String).count();
    object.object_type == ObjectType::Table && (2..=4).contains(&hints.len()) && keys == 1 && texts >= 1
}

/// Hash over everything that a change of the schema changes; estimates, sizes, times and ids are left out.
pub(crate) fn content_hash(object: &ObjectMeta) -> String {
    let columns: Vec<_> = object
        .columns
        .iter()
        .map(|c| {
            (
                c.ordinal,
                &c.name,
                &c.data_type,
                &c.column_type,
                c.nullable,
                &c.default,
                &c.extra,
                &c.generation_expr,
                &c.enum_values,
                &c.charset,
                &c.collation,
                &c.comment,
            )
        })
        .collect();
    let indexes: Vec<_> = object
        .indexes
        .iter()
        .map(|i| {
            (&i.name, i.unique, i.primary, &i.index_type, &i.predicate, i.visible, &i.comment, &i.columns)
        })
        .collect();
    let form = (
        object.object_type,
        &object.subtype,
        &object.signature,
        &object.parent,
        columns,
        indexes,
        &object.constraints,
        &object.foreign_keys,
        &object.comment,
        &object.definition,
    );
    // Text, numbers and lists of them: writing them cannot fail.
    hex(&Sha256::digest(serde_json::to_vec(&form).unwrap_or_default()))
}
