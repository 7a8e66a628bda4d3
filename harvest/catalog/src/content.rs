//! The parts of an object as one stored document, and the fingerprint of everything stored of it; it touches no table.

use harvest::{
    ColumnMeta, ConstraintMeta, ConstraintType, DependencyMeta, ForeignKeyMeta, HarvestResult,
    IndexColumnMeta, IndexMeta, ObjectMeta,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::derive::{ColumnHints, Derived};
use crate::fail;
use crate::keys::hex;
use crate::object_load::{Flags, object_type};

/// Version of the document's form, part of every fingerprint.
const FORM: &str = "1";

/// Name, type family and the like, in the order of the arrays; the flags come last.
#[derive(Serialize)]
struct ColumnOut<'a>(
    u32,
    &'a str,
    &'a str,
    &'a str,
    &'static str,
    u8,
    Option<&'a str>,
    &'a str,
    Option<&'a str>,
    Option<&'a [String]>,
    Option<&'a str>,
    Option<&'a str>,
    &'a str,
    u8,
);

#[derive(Deserialize)]
struct ColumnIn(
    u32,
    String,
    String,
    String,
    String,
    u8,
    Option<String>,
    String,
    Option<String>,
    Option<Vec<String>>,
    Option<String>,
    Option<String>,
    String,
    u8,
);

#[derive(Serialize, Deserialize)]
struct PartDoc(Option<String>, Option<String>, Option<i64>, u8, u8, Option<String>);

#[derive(Serialize, Deserialize)]
struct IndexDoc(String, u8, u8, Option<String>, Option<i64>, Option<String>, u8, String, Vec<PartDoc>);

#[derive(Serialize, Deserialize)]
struct ConstraintDoc(String, String, Vec<String>, Option<String>);

#[derive(Serialize, Deserialize)]
struct ForeignKeyDoc(String, String, String, Vec<(String, String)>, Option<String>, Option<String>, u8);

#[derive(Serialize, Deserialize)]
struct DependencyDoc(String, String, Option<String>, u8);

#[derive(Serialize)]
struct DetailOut<'a> {
    c: Vec<ColumnOut<'a>>,
    i: Vec<IndexDoc>,
    k: Vec<ConstraintDoc>,
    f: Vec<ForeignKeyDoc>,
    d: Vec<DependencyDoc>,
}

#[derive(Deserialize)]
struct DetailIn {
    c: Vec<ColumnIn>,
    i: Vec<IndexDoc>,
    k: Vec<ConstraintDoc>,
    f: Vec<ForeignKeyDoc>,
    d: Vec<DependencyDoc>,
}

/// What is stored of an object and shared by runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    /// The parts.
    pub(crate) detail: String,
    /// Facts of some objects only.
    pub(crate) details: Option<String>,
    /// Hash of everything that is stored.
    pub(crate) fingerprint: String,
}

impl Content {
    pub(crate) fn new(object: &ObjectMeta, derived: &Derived) -> HarvestResult<Self> {
        let detail = encode(object, derived)?;
        let details = details(object);
        let mut hash = Sha256::new();
        let mut add = |part: Option<&str>| {
            hash.update((part.map_or(u64::MAX, |p| p.len() as u64)).to_le_bytes());
            hash.update(part.unwrap_or_default());
        };
        for part in [
            Some(FORM),
            Some(object.object_type.as_str()),
            Some(&object.subtype),
            Some(&object.signature),
            object.parent.as_deref(),
            object.engine.as_deref(),
            Some(&object.comment),
            object.definition.as_deref(),
            object.definition_reason.as_deref(),
            details.as_deref(),
            Some(derived.guessed_kind),
            Some(if derived.lookup_if_small { "1" } else { "0" }),
            Some(&detail),
        ] {
            add(part);
        }
        Ok(Self { fingerprint: hex(&hash.finalize()), detail, details })
    }
}

fn details(object: &ObjectMeta) -> Option<String> {
    let has_details = object.partitioning.is_some()
        || object.updatable.is_some()
        || object.check_option.is_some()
        || object.security.is_some();
    has_details.then(|| {
        json!({
            "partitioning": object.partitioning,
            "updatable": object.updatable,
            "check_option": object.check_option,
            "security": object.security,
        })
        .to_string()
    })
}

/// The kind of a constraint as it is stored.
pub(crate) const fn constraint_type(kind: ConstraintType) -> &'static str {
    match kind {
        ConstraintType::Unique => "unique",
        ConstraintType::Check => "check",
        ConstraintType::Exclusion => "exclusion",
    }
}

fn flags(hints: &ColumnHints) -> u8 {
    u8::from(hints.is_pk)
        | u8::from(hints.is_unique) << 1
        | u8::from(hints.is_indexed) << 2
        | u8::from(hints.is_time) << 3
        | u8::from(hints.is_id_like) << 4
}

fn encode(object: &ObjectMeta, derived: &Derived) -> HarvestResult<String> {
    let detail = DetailOut {
        c: object.columns.iter().zip(&derived.columns).map(|(c, hints)| column(c, hints)).collect(),
        i: object.indexes.iter().map(index).collect(),
        k: object
            .constraints
            .iter()
            .map(|k| {
                let kind = constraint_type(k.constraint_type).to_owned();
                ConstraintDoc(k.name.clone(), kind, k.columns.clone(), k.expression.clone())
            })
            .collect(),
        f: object
            .foreign_keys
            .iter()
            .map(|k| {
                let (update, delete) = (k.on_update.clone(), k.on_delete.clone());
                let (schema, table) = (k.parent_schema.clone(), k.parent_table.clone());
                ForeignKeyDoc(
                    k.name.clone(),
                    schema,
                    table,
                    k.columns.clone(),
                    update,
                    delete,
                    k.deferrable.into(),
                )
            })
            .collect(),
        d: object
            .depends_on
            .iter()
            .map(|d| {
                let kind = d.object_type.map(|t| t.as_str().to_owned());
                DependencyDoc(d.schema.clone(), d.name.clone(), kind, d.from_catalog.into())
            })
            .collect(),
    };
    serde_json::to_string(&detail).map_err(|e| fail::internal(format!("the parts of {}: {e}", object.name)))
}

fn column<'a>(c: &'a ColumnMeta, hints: &ColumnHints) -> ColumnOut<'a> {
    ColumnOut(
        c.ordinal,
        &c.name,
        &c.data_type,
        &c.column_type,
        hints.family.as_str(),
        c.nullable.into(),
        c.default.as_deref(),
        &c.extra,
        c.generation_expr.as_deref(),
        c.enum_values.as_deref(),
        c.charset.as_deref(),
        c.collation.as_deref(),
        &c.comment,
        flags(hints),
    )
}

fn index(i: &IndexMeta) -> IndexDoc {
    let part = |p: &IndexColumnMeta| {
        let (descending, included) = (p.descending.into(), p.included.into());
        PartDoc(p.name.clone(), p.expression.clone(), p.sub_part, descending, included, p.collation.clone())
    };
    IndexDoc(
        i.name.clone(),
        i.unique.into(),
        i.primary.into(),
        i.index_type.clone(),
        i.cardinality,
        i.predicate.clone(),
        i.visible.into(),
        i.comment.clone(),
        i.columns.iter().map(part).collect(),
    )
}

/// One column of a stored document with what was derived of it.
pub(crate) struct StoredColumn {
    pub(crate) meta: ColumnMeta,
    pub(crate) family: String,
    pub(crate) flags: Flags,
}

impl From<ColumnIn> for StoredColumn {
    fn from(c: ColumnIn) -> Self {
        let has = |bit: u8| c.13 & bit != 0;
        Self {
            flags: Flags {
                is_pk: has(1),
                is_unique: has(2),
                is_indexed: has(4),
                is_time: has(8),
                is_id_like: has(16),
            },
            family: c.4,
            meta: ColumnMeta {
                ordinal: c.0,
                name: c.1,
                data_type: c.2,
                column_type: c.3,
                nullable: c.5 != 0,
                default: c.6,
                extra: c.7,
                generation_expr: c.8,
                enum_values: c.9,
                charset: c.10,
                collation: c.11,
                comment: c.12,
            },
        }
    }
}

fn parse<'a, T: Deserialize<'a>>(detail: &'a str) -> HarvestResult<T> {
    serde_json::from_str(detail).map_err(|e| fail::internal(format!("a stored object cannot be read: {e}")))
}

/// The columns of a stored document.
pub(crate) fn columns(detail: &str) -> HarvestResult<Vec<StoredColumn>> {
    #[derive(Deserialize)]
    struct Columns {
        c: Vec<ColumnIn>,
    }
    let parsed: Columns = parse(detail)?;
    Ok(parsed.c.into_iter().map(StoredColumn::from).collect())
}

/// Fills the parts of a stored document in; gives what was derived of the columns.
pub(crate) fn decode(detail: &str, object: &mut ObjectMeta) -> HarvestResult<Vec<Flags>> {
    let detail: DetailIn = parse(detail)?;
    let mut flags = Vec::with_capacity(detail.c.len());
    for column in detail.c {
        let column = StoredColumn::from(column);
        flags.push(column.flags);
        object.columns.push(column.meta);
    }
    object.indexes = detail.i.into_iter().map(stored_index).collect();
    object.constraints = detail
        .k
        .into_iter()
        .map(|k| ConstraintMeta {
            name: k.0,
            constraint_type: match k.1.as_str() {
                "check" => ConstraintType::Check,
                "exclusion" => ConstraintType::Exclusion,
                _ => ConstraintType::Unique,
            },
            columns: k.2,
            expression: k.3,
        })
        .collect();
    object.foreign_keys = detail
        .f
        .into_iter()
        .map(|k| ForeignKeyMeta {
            name: k.0,
            parent_schema: k.1,
            parent_table: k.2,
            columns: k.3,
            on_update: k.4,
            on_delete: k.5,
            deferrable: k.6 != 0,
        })
        .collect();
    object.depends_on = detail
        .d
        .into_iter()
        .map(|d| DependencyMeta {
            schema: d.0,
            name: d.1,
            object_type: d.2.as_deref().map(object_type),
            from_catalog: d.3 != 0,
        })
        .collect();
    Ok(flags)
}

fn stored_index(i: IndexDoc) -> IndexMeta {
    let part = |p: PartDoc| IndexColumnMeta {
        name: p.0,
        expression: p.1,
        sub_part: p.2,
        descending: p.3 != 0,
        included: p.4 != 0,
        collation: p.5,
    };
    IndexMeta {
        name: i.0,
        unique: i.1 != 0,
        primary: i.2 != 0,
        index_type: i.3,
        cardinality: i.4,
        predicate: i.5,
        visible: i.6 != 0,
        comment: i.7,
        columns: i.8.into_iter().map(part).collect(),
    }
}
