//! Metadata as engines tell it, before anything is derived; it does not know the catalog's tables.

use serde::{Deserialize, Serialize};

use crate::error::HarvestResult;

/// What to read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MetadataRequest {
    /// Only these schemas, compared exactly; `None` means all but the engine's own.
    pub schemas: Option<Vec<String>>,
    /// Only objects of this exact name; used by live describe calls.
    pub object: Option<String>,
    /// More objects than this are `LIMIT_EXCEEDED`.
    pub objects_max: usize,
    /// Whether the engine's own schemas count too.
    pub include_system: bool,
    /// How much to read.
    pub depth: MetadataDepth,
    /// The token of an earlier read of the same: when nothing has changed since, an engine that can tell may leave the
    /// parts out.
    pub known_token: Option<String>,
}

impl MetadataRequest {
    /// Everything of all user schemas, at most `objects_max` objects.
    #[must_use]
    pub fn all(objects_max: usize) -> Self {
        Self {
            schemas: None,
            object: None,
            objects_max,
            include_system: false,
            depth: MetadataDepth::Full,
            known_token: None,
        }
    }
}

/// How much of the metadata is wanted; each level includes the ones before it.
// Exhaustive: drivers branch on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetadataDepth {
    /// Names of schemas.
    Schemas,
    /// Tables and views with estimates and comments.
    Objects,
    /// Everything.
    Full,
}

/// Stages of reading, in order; their names are those of progress messages.
// Exhaustive: progress counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum MetadataStage {
    Schemas,
    Objects,
    Columns,
    Indexes,
    ForeignKeys,
    Constraints,
    Definitions,
}

/// Watches a read: hears of progress, says when to stop.
pub trait MetadataWatch {
    /// `done` objects of `stage` are read (about every 200, and at the start with 0).
    ///
    /// # Errors
    /// `CANCELLED` to stop the read.
    fn stage(&mut self, stage: MetadataStage, done: usize) -> HarvestResult<()>;
}

impl MetadataWatch for () {
    fn stage(&mut self, _: MetadataStage, _: usize) -> HarvestResult<()> {
        Ok(())
    }
}

/// Everything that was read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
// Exhaustive below: every driver builds these, and a new field must reach each of them.
pub struct MetadataSnapshot {
    /// Schemas, by name.
    pub schemas: Vec<SchemaMeta>,
    /// Objects, by schema, type, name, signature.
    pub objects: Vec<ObjectMeta>,
    /// What the account may not read, each with the missing privilege.
    pub warnings: Vec<MetadataWarning>,
    /// Stands for the state of the schema, where the engine can tell it more cheaply than by a whole read.
    pub token: Option<String>,
    /// Nothing has changed since `known_token`: objects have their identity and estimates only.
    pub unchanged: bool,
}

/// A part that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataWarning {
    /// The part, such as `routines`.
    pub part: String,
    /// One sentence naming the missing privilege or the reason.
    pub text: String,
}

/// A schema or database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct SchemaMeta {
    pub name: String,
    pub charset: Option<String>,
    pub collation: Option<String>,
    pub owner: Option<String>,
    pub comment: String,
    /// Belongs to the engine itself.
    pub is_system: bool,
}

/// What an object is.
// Exhaustive: the catalog stores these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum ObjectType {
    #[default]
    Table,
    View,
    MaterializedView,
    Routine,
    Trigger,
    Event,
    Sequence,
    Type,
}

impl ObjectType {
    /// The name in the catalog.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::View => "view",
            Self::MaterializedView => "materialized_view",
            Self::Routine => "routine",
            Self::Trigger => "trigger",
            Self::Event => "event",
            Self::Sequence => "sequence",
            Self::Type => "type",
        }
    }
}

/// Where a row estimate came from.
// Exhaustive: the catalog stores these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowsEstSource {
    /// The engine's statistics.
    Statistics,
    /// The highest rowid (SQLite without statistics).
    MaxRowid,
}

/// One object with all its parts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ObjectMeta {
    /// Schema name.
    pub schema: String,
    /// Object name.
    pub name: String,
    /// What it is.
    pub object_type: ObjectType,
    /// base, partitioned, partition, foreign, virtual, function, procedure, aggregate, enum, domain, composite; may be empty.
    pub subtype: String,
    /// Identity arguments of routines; the table of a trigger.
    pub signature: String,
    /// Partitioned parent, table of a trigger.
    pub parent: Option<String>,
    /// Storage engine.
    pub engine: Option<String>,
    /// Estimated rows.
    pub rows_est: Option<i64>,
    /// Where the estimate came from.
    pub rows_est_source: Option<RowsEstSource>,
    /// Bytes of data.
    pub data_bytes: Option<i64>,
    /// Bytes of indexes.
    pub index_bytes: Option<i64>,
    /// Creation, Unix seconds.
    pub create_time: Option<i64>,
    /// Last change, Unix seconds.
    pub update_time: Option<i64>,
    /// Comment, empty when none.
    pub comment: String,
    /// Body of views, routines, triggers, events; CREATE TABLE of SQLite.
    pub definition: Option<String>,
    /// Why the definition is missing.
    pub definition_reason: Option<String>,
    /// One sentence about partitioning.
    pub partitioning: Option<String>,
    /// Views: whether rows can be changed through it.
    pub updatable: Option<bool>,
    /// Views: CHECK OPTION.
    pub check_option: Option<String>,
    /// Views: definer or invoker.
    pub security: Option<String>,
    /// Columns; parameters of a routine.
    pub columns: Vec<ColumnMeta>,
    /// Indexes, by name.
    pub indexes: Vec<IndexMeta>,
    /// Foreign keys, by name.
    pub foreign_keys: Vec<ForeignKeyMeta>,
    /// Unique, check and exclusion constraints, by name.
    pub constraints: Vec<ConstraintMeta>,
    /// What a view reads.
    pub depends_on: Vec<DependencyMeta>,
}

/// A column or a routine's parameter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ColumnMeta {
    /// Position, from 1.
    pub ordinal: u32,
    pub name: String,
    /// Base type, lower case.
    pub data_type: String,
    /// Full type as declared.
    pub column_type: String,
    pub nullable: bool,
    pub default: Option<String>,
    /// auto_increment, identity, IN, OUT, …
    pub extra: String,
    /// Expression of a generated column.
    pub generation_expr: Option<String>,
    /// Labels of an enum or set.
    pub enum_values: Option<Vec<String>>,
    pub charset: Option<String>,
    pub collation: Option<String>,
    pub comment: String,
}

/// An index.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct IndexMeta {
    pub name: String,
    pub unique: bool,
    pub primary: bool,
    pub index_type: Option<String>,
    pub cardinality: Option<i64>,
    /// Predicate of a partial index.
    pub predicate: Option<String>,
    pub visible: bool,
    pub comment: String,
    pub columns: Vec<IndexColumnMeta>,
}

/// A part of an index.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct IndexColumnMeta {
    /// Column, or `None` for an expression.
    pub name: Option<String>,
    pub expression: Option<String>,
    /// Prefix length.
    pub sub_part: Option<i64>,
    pub descending: bool,
    /// Carried, not a key part.
    pub included: bool,
    pub collation: Option<String>,
}

/// A declared foreign key with its column pairs in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ForeignKeyMeta {
    pub name: String,
    pub parent_schema: String,
    pub parent_table: String,
    /// Child column, parent column.
    pub columns: Vec<(String, String)>,
    pub on_update: Option<String>,
    pub on_delete: Option<String>,
    pub deferrable: bool,
}

/// What a constraint is.
// Exhaustive: the catalog stores these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum ConstraintType {
    #[default]
    Unique,
    Check,
    Exclusion,
}

/// A unique, check or exclusion constraint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ConstraintMeta {
    pub name: String,
    pub constraint_type: ConstraintType,
    pub columns: Vec<String>,
    pub expression: Option<String>,
}

/// An object that a view reads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct DependencyMeta {
    pub schema: String,
    pub name: String,
    pub object_type: Option<ObjectType>,
    /// Told by the engine's catalog; otherwise found by parsing.
    pub from_catalog: bool,
}
