//! Column rules as tools see them that show structure instead of rows: which columns are guarded, which texts speak of them; it runs nothing.

use harvest::DialectName;
use harvest_gate::identifiers;

use super::{ColumnAction, ColumnRules, glob};

/// The column rules of one caller on one target.
#[derive(Debug, Clone)]
pub struct ColumnGuard {
    rules: ColumnRules,
    dialect: DialectName,
}

impl ColumnGuard {
    pub(crate) fn new(rules: ColumnRules, dialect: DialectName) -> Self {
        Self { rules, dialect }
    }

    /// Whether no rule holds.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.rules.is_empty()
    }

    /// The strictest action on a column.
    #[must_use]
    pub fn action(&self, schema: &str, table: &str, column: &str) -> Option<ColumnAction> {
        self.rules.action(schema, table, column)
    }

    /// Whether a column must not even be named.
    #[must_use]
    pub fn hides(&self, schema: &str, table: &str, column: &str) -> bool {
        self.action(schema, table, column) == Some(ColumnAction::Deny)
    }

    /// Whether an expression over a table's columns names a guarded one. One that cannot be read counts.
    #[must_use]
    pub fn expression_names(&self, schema: &str, table: &str, expression: &str) -> bool {
        !self.is_empty()
            && identifiers(self.dialect, expression).map_or(true, |names| {
                names.iter().any(|name| self.action(schema, table, &name.name).is_some())
            })
    }

    /// Whether a text about any tables, such as the definition of a view, names a guarded column. One that cannot be read
    /// counts.
    #[must_use]
    pub fn text_names(&self, text: &str) -> bool {
        if self.is_empty() {
            return false;
        }
        let Ok(names) = identifiers(self.dialect, text) else { return true };
        let named = |pattern: &str| names.iter().any(|name| glob(pattern, &name.name));
        self.rules.rules.iter().any(|rule| (rule.table == "*" || named(&rule.table)) && named(&rule.column))
    }

    /// Whether rules hold for columns of a table, whichever it has.
    #[must_use]
    pub fn touches(&self, schema: &str, table: &str) -> bool {
        self.rules.rules.iter().any(|rule| rule.on(schema, table))
    }
}
