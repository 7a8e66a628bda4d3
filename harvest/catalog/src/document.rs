//! Documents of objects as tools show them, from stored rows or live metadata alike; it reads no store.

use harvest::{ConstraintType, Dialect, ForeignKeyMeta, IndexMeta, ObjectMeta};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::derive::derive;
use crate::object_load::Flags;

/// A column with its derived hints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
// Exhaustive: a plain result record.
pub struct ColumnDoc {
    pub name: String,
    /// Base type, lower case.
    pub data_type: String,
    /// Full type as declared.
    pub column_type: String,
    /// Position, from 1.
    pub ordinal: u32,
    pub nullable: bool,
    pub default: Option<String>,
    /// auto_increment, identity, IN, OUT, ….
    pub extra: String,
    pub comment: String,
    pub charset: Option<String>,
    pub collation: Option<String>,
    /// Labels of an enum or set.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub enum_values: Option<Vec<String>>,
    /// Expression of a generated column.
    pub generated: Option<String>,
    pub is_pk: bool,
    pub is_unique: bool,
    pub is_indexed: bool,
    pub is_time: bool,
    pub is_id_like: bool,
}

/// An index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
// Exhaustive: a plain result record.
pub struct IndexDoc {
    pub name: String,
    #[serde(rename = "type")]
    pub index_type: String,
    pub unique: bool,
    pub primary: bool,
    pub cardinality: Option<i64>,
    /// Predicate of a partial index.
    pub predicate: Option<String>,
    pub columns: Vec<IndexPartDoc>,
}

/// A part of an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
// Exhaustive: a plain result record.
pub struct IndexPartDoc {
    pub seq: u32,
    /// Column, or null for an expression.
    pub name: Option<String>,
    pub expression: Option<String>,
    /// Prefix length.
    pub sub_part: Option<i64>,
    /// asc or desc.
    pub order: String,
}

/// A primary key, unique, foreign key, check or exclusion constraint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
// Exhaustive: a plain result record.
pub struct ConstraintDoc {
    pub table: String,
    pub name: String,
    /// primary_key, unique, foreign_key, check or exclusion.
    #[serde(rename = "type")]
    pub constraint_type: String,
    pub columns: Vec<String>,
    pub referenced_schema: Option<String>,
    pub referenced_table: Option<String>,
    /// In the order of `columns`.
    pub referenced_columns: Vec<String>,
    pub on_update: Option<String>,
    pub on_delete: Option<String>,
    pub expression: Option<String>,
    pub deferrable: bool,
}

/// One table or view in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
// Exhaustive: a plain result record.
pub struct TableDoc {
    pub schema: String,
    pub table: String,
    #[serde(rename = "type")]
    pub object_type: String,
    pub engine: Option<String>,
    pub comment: String,
    pub rows_est: Option<i64>,
    pub size_bytes: Option<i64>,
    pub columns: Vec<ColumnDoc>,
    pub primary_key: Vec<String>,
    pub indexes: Vec<IndexDoc>,
    pub constraints: Vec<ConstraintDoc>,
    pub partitioning: Option<String>,
}

/// One view in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
// Exhaustive: a plain result record.
pub struct ViewDoc {
    pub schema: String,
    pub view: String,
    pub materialized: bool,
    /// Null if the account may not read it.
    pub definition: Option<String>,
    /// Why the definition is null.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub definition_reason: Option<String>,
    pub columns: Vec<ViewColumnDoc>,
    pub depends_on: Vec<DependsOnDoc>,
    pub updatable: Option<bool>,
    pub check_option: Option<String>,
    /// definer or invoker.
    pub security: Option<String>,
}

/// A column of a view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
// Exhaustive: a plain result record.
pub struct ViewColumnDoc {
    pub name: String,
    pub data_type: String,
    pub nullable: bool,
    pub comment: String,
}

/// What a view reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
// Exhaustive: a plain result record.
pub struct DependsOnDoc {
    pub schema: String,
    pub name: String,
    #[serde(rename = "type")]
    pub object_type: Option<String>,
}

pub(crate) fn size_bytes(object: &ObjectMeta) -> Option<i64> {
    match (object.data_bytes, object.index_bytes) {
        (None, None) => None,
        (data, index) => Some(data.unwrap_or(0).saturating_add(index.unwrap_or(0))),
    }
}

/// What kind of table an object's name, keys and columns suggest: log/event, fact, entity, bridge, lookup or unknown.
#[must_use]
pub fn guessed_kind(object: &ObjectMeta, dialect: &dyn Dialect) -> &'static str {
    derive(object, dialect).kind(object.rows_est)
}

/// Hints of the columns of live metadata.
pub(crate) fn live_flags(object: &ObjectMeta, dialect: &dyn Dialect) -> Vec<Flags> {
    derive(object, dialect)
        .columns
        .iter()
        .map(|h| Flags {
            is_pk: h.is_pk,
            is_unique: h.is_unique,
            is_indexed: h.is_indexed,
            is_time: h.is_time,
            is_id_like: h.is_id_like,
        })
        .collect()
}

pub(crate) fn columns(object: &ObjectMeta, flags: &[Flags]) -> Vec<ColumnDoc> {
    object
        .columns
        .iter()
        .zip(flags)
        .map(|(c, f)| ColumnDoc {
            name: c.name.clone(),
            data_type: c.data_type.clone(),
            column_type: c.column_type.clone(),
            ordinal: c.ordinal,
            nullable: c.nullable,
            default: c.default.clone(),
            extra: c.extra.clone(),
            comment: c.comment.clone(),
            charset: c.charset.clone(),
            collation: c.collation.clone(),
            enum_values: c.enum_values.clone(),
            generated: c.generation_expr.clone(),
            is_pk: f.is_pk,
            is_unique: f.is_unique,
            is_indexed: f.is_indexed,
            is_time: f.is_time,
            is_id_like: f.is_id_like,
        })
        .collect()
}

pub(crate) fn indexes(object: &ObjectMeta) -> Vec<IndexDoc> {
    let part = |(seq, p): (u32, &harvest::IndexColumnMeta)| IndexPartDoc {
        seq,
        name: p.name.clone(),
        expression: p.expression.clone(),
        sub_part: p.sub_part,
        order: if p.descending { "desc" } else { "asc" }.to_owned(),
    };
    object
        .indexes
        .iter()
        .map(|i| IndexDoc {
            name: i.name.clone(),
            index_type: i.index_type.clone().unwrap_or_default(),
            unique: i.unique,
            primary: i.primary,
            cardinality: i.cardinality,
            predicate: i.predicate.clone(),
            columns: (1..).zip(&i.columns).map(part).collect(),
        })
        .collect()
}

fn key_columns(index: &IndexMeta) -> Vec<String> {
    index.columns.iter().filter(|c| !c.included).filter_map(|c| c.name.clone()).collect()
}

pub(crate) fn primary_key(object: &ObjectMeta) -> Vec<String> {
    object.indexes.iter().find(|i| i.primary).map(key_columns).unwrap_or_default()
}

/// Constraints of an object: primary key, unique, foreign keys, checks, exclusions.
#[must_use]
pub fn constraint_docs(object: &ObjectMeta) -> Vec<ConstraintDoc> {
    let blank = |name: &str, kind: &str, columns: Vec<String>| ConstraintDoc {
        table: object.name.clone(),
        name: name.to_owned(),
        constraint_type: kind.to_owned(),
        columns,
        referenced_schema: None,
        referenced_table: None,
        referenced_columns: Vec::new(),
        on_update: None,
        on_delete: None,
        expression: None,
        deferrable: false,
    };
    let mut out: Vec<ConstraintDoc> = object
        .indexes
        .iter()
        .filter(|i| i.primary)
        .map(|i| blank(&i.name, "primary_key", key_columns(i)))
        .collect();
    out.extend(object.constraints.iter().map(|k| {
        let kind = match k.constraint_type {
            ConstraintType::Unique => "unique",
            ConstraintType::Check => "check",
            ConstraintType::Exclusion => "exclusion",
        };
        ConstraintDoc { expression: k.expression.clone(), ..blank(&k.name, kind, k.columns.clone()) }
    }));
    out.extend(object.foreign_keys.iter().map(|k| foreign_key(k, &blank)));
    out
}

fn foreign_key(
    key: &ForeignKeyMeta,
    blank: &dyn Fn(&str, &str, Vec<String>) -> ConstraintDoc,
) -> ConstraintDoc {
    let (child, parent): (Vec<String>, Vec<String>) = key.columns.iter().cloned().unzip();
    ConstraintDoc {
        referenced_schema: Some(key.parent_schema.clone()),
        referenced_table: Some(key.parent_table.clone()),
        referenced_columns: parent,
        on_update: key.on_update.clone(),
        on_delete: key.on_delete.clone(),
        deferrable: key.deferrable,
        ..blank(&key.name, "foreign_key", child)
    }
}

impl TableDoc {
    /// The document of live metadata.
    #[must_use]
    pub fn live(object: &ObjectMeta, dialect: &dyn Dialect) -> Self {
        Self::from_parts(object, &live_flags(object, dialect))
    }

    pub(crate) fn from_parts(object: &ObjectMeta, flags: &[Flags]) -> Self {
        Self {
            schema: object.schema.clone(),
            table: object.name.clone(),
            object_type: object.object_type.as_str().to_owned(),
            engine: object.engine.clone(),
            comment: object.comment.clone(),
            rows_est: object.rows_est,
            size_bytes: size_bytes(object),
            columns: columns(object, flags),
            primary_key: primary_key(object),
            indexes: indexes(object),
            constraints: constraint_docs(object),
            partitioning: object.partitioning.clone(),
        }
    }
}

impl ViewDoc {
    /// The document of a view's metadata, live or stored.
    #[must_use]
    pub fn from_meta(object: &ObjectMeta) -> Self {
        Self {
            schema: object.schema.clone(),
            view: object.name.clone(),
            materialized: object.object_type == harvest::ObjectType::MaterializedView,
            definition: object.definition.clone(),
            definition_reason: object.definition_reason.clone(),
            columns: object
                .columns
                .iter()
                .map(|c| ViewColumnDoc {
                    name: c.name.clone(),
                    data_type: c.data_type.clone(),
                    nullable: c.nullable,
                    comment: c.comment.clone(),
                })
                .collect(),
            depends_on: object
                .depends_on
                .iter()
                .map(|d| DependsOnDoc {
                    schema: d.schema.clone(),
                    name: d.name.clone(),
                    object_type: d.object_type.map(|t| t.as_str().to_owned()),
                })
                .collect(),
            updatable: object.updatable,
            check_option: object.check_option.clone(),
            security: object.security.clone(),
        }
    }
}
