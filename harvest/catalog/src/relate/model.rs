//! Tables as the scorer of references sees them, from a snapshot or from a stored run; it scores nothing.

use std::collections::HashSet;

use harvest::{ObjectMeta, ObjectType};

use crate::derive::Derived;
use crate::tokens::{name_tokens, singular};

/// A column that may refer or be referred to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ColumnModel {
    pub(crate) name: String,
    /// Singular lower-case tokens.
    pub(crate) tokens: Vec<String>,
    pub(crate) family: String,
    /// Full type, lower case.
    pub(crate) column_type: String,
    pub(crate) collation: Option<String>,
    /// The whole primary key.
    pub(crate) is_pk: bool,
    /// Alone in a unique or primary index.
    pub(crate) is_unique: bool,
    pub(crate) is_indexed: bool,
    pub(crate) is_id_like: bool,
}

/// A table with its columns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TableModel {
    pub(crate) schema: String,
    pub(crate) name: String,
    /// Singular lower-case tokens.
    pub(crate) tokens: Vec<String>,
    pub(crate) columns: Vec<ColumnModel>,
    /// Columns that are the child of a declared foreign key.
    pub(crate) declared: HashSet<String>,
}

impl TableModel {
    pub(crate) fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }
}

pub(crate) fn singular_tokens(name: &str) -> Vec<String> {
    name_tokens(name).iter().map(|t| singular(t)).collect()
}

/// Whether an object takes part in inference.
pub(crate) fn takes_part(object: &ObjectMeta) -> bool {
    object.object_type == ObjectType::Table && object.subtype != "partition"
}

pub(crate) fn from_meta(object: &ObjectMeta, derived: &Derived) -> TableModel {
    let key_columns = derived.columns.iter().filter(|h| h.is_pk).count();
    TableModel {
        schema: object.schema.clone(),
        name: object.name.clone(),
        tokens: singular_tokens(&object.name),
        columns: object
            .columns
            .iter()
            .zip(&derived.columns)
            .map(|(column, hints)| ColumnModel {
                name: column.name.clone(),
                tokens: singular_tokens(&column.name),
                family: hints.family.as_str().to_owned(),
                column_type: column.column_type.to_lowercase(),
                collation: column.collation.clone(),
                is_pk: hints.is_pk && key_columns == 1,
                is_unique: hints.is_unique,
                is_indexed: hints.is_indexed,
                is_id_like: hints.is_id_like,
            })
            .collect(),
        declared: object
            .foreign_keys
            .iter()
            .flat_map(|fk| fk.columns.iter().map(|(child, _)| child.clone()))
            .collect(),
    }
}
