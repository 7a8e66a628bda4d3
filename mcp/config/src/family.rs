//! What a family of configuration consists of: variables of one prefix, modules with their tables, and who applies them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cell::{Cell, Row};
use crate::error::ConfigResult;
use crate::runtime::Runtime;
use crate::variables::{VariableDef, Variables};

/// Key of the module that every family has.
pub const VARIABLES: &str = "variables";

/// One column of an admin table.
#[derive(Debug, Clone, Copy)]
// Exhaustive: tables are written as literals, also by other crates.
pub struct ColumnDef {
    /// Name.
    pub name: &'static str,
    /// Type, default and check, as in CREATE TABLE.
    pub decl: &'static str,
}

/// One admin table, in `main` and on `disk`.
#[derive(Debug, Clone, Copy)]
// Exhaustive: tables are written as literals, also by other crates.
pub struct TableDef {
    /// Name.
    pub name: &'static str,
    /// Columns in order.
    pub columns: &'static [ColumnDef],
    /// Columns of the primary key.
    pub key: &'static [&'static str],
    /// Column that is never read back.
    pub secret: Option<&'static str>,
    /// Whether the secret column holds tokens, of which only hashes reach the disk.
    pub hashed: bool,
    /// Columns that the `runtime_` table adds.
    pub runtime_columns: &'static [ColumnDef],
}

impl TableDef {
    /// Position of a column.
    #[must_use]
    pub fn position(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name.eq_ignore_ascii_case(column))
    }

    /// The row's key, for messages.
    #[must_use]
    pub fn key_of(&self, row: &Row) -> String {
        let part = |name: &&str| {
            let cell = self.position(name).and_then(|at| row.get(at)).map_or_else(String::new, Cell::display);
            format!("{name} {cell}")
        };
        self.key.iter().map(part).collect::<Vec<_>>().join(", ")
    }
}

/// Tables that are loaded and saved together.
#[derive(Debug, Clone, Copy)]
// Exhaustive: modules are written as literals, also by other crates.
pub struct ModuleDef {
    /// Key in tools and reports, such as `query_rules`.
    pub key: &'static str,
    /// Words in verbs, such as `QUERY RULES`.
    pub words: &'static str,
    /// Its tables.
    pub tables: &'static [&'static TableDef],
}

/// Checks a candidate across its tables and brings rows to their normal form.
pub type CandidateCheck = fn(&mut Candidate) -> ConfigResult<()>;

/// Everything of one prefix.
#[derive(Clone)]
// Exhaustive: a family is put together by the crate that owns it.
pub struct Family {
    /// Word in verbs, such as `MCP`.
    pub name: &'static str,
    /// Prefix of its variables, such as `mcp-`.
    pub prefix: &'static str,
    /// Section of the configuration file.
    pub section: &'static str,
    /// Its variables.
    pub variables: &'static [VariableDef],
    /// Other names of variables, without prefix: alias, name.
    pub aliases: &'static [(&'static str, &'static str)],
    /// Values that start options decide, by name without prefix.
    pub start_values: BTreeMap<&'static str, String>,
    /// Its modules besides the variables.
    pub modules: &'static [ModuleDef],
    /// What holds within a candidate.
    pub check: CandidateCheck,
    /// One line about a module that is in use.
    pub report: fn(&Candidate, &str) -> Option<String>,
    /// What of a module is loaded but not in use: id and reason.
    pub skipped: fn(&Candidate, &str) -> Vec<(String, String)>,
    /// Who applies it.
    pub runtime: Arc<dyn Runtime>,
}

impl Family {
    /// A variable by its full or short name; aliases lead to their names.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&'static VariableDef> {
        let name = name.to_ascii_lowercase();
        let short = name.strip_prefix(self.prefix).unwrap_or(&name);
        let short = self.aliases.iter().find(|(alias, _)| *alias == short).map_or(short, |(_, real)| real);
        self.variables.iter().find(|v| v.name == short)
    }

    /// The default of a variable: that of a start option, else that of the table.
    #[must_use]
    pub fn default_of(&self, variable: &VariableDef) -> &str {
        self.start_values.get(variable.name).map_or(variable.default, String::as_str)
    }

    /// The full name of a variable.
    #[must_use]
    pub fn full_name(&self, variable: &VariableDef) -> String {
        format!("{}{}", self.prefix, variable.name)
    }

    /// The keys of all modules, variables last: what they mean may depend on the others.
    #[must_use]
    pub fn module_keys(&self) -> Vec<&'static str> {
        self.modules.iter().map(|m| m.key).chain([VARIABLES]).collect()
    }

    /// A module by its key.
    #[must_use]
    pub fn module(&self, key: &str) -> Option<&'static ModuleDef> {
        self.modules.iter().find(|m| m.key == key)
    }

    /// The tables of a module; none for the variables.
    #[must_use]
    pub fn tables(&self, module: &str) -> &'static [&'static TableDef] {
        self.module(module).map_or(&[], |m| m.tables)
    }
}

impl std::fmt::Debug for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Family").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A whole configuration of one family that is about to run, and which modules of it are new.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Candidate {
    /// Keys of the modules that were loaded now.
    pub changed: Vec<&'static str>,
    /// Base of relative paths.
    pub data_dir: PathBuf,
    /// The only column that differs from what runs, where one cell was changed and nothing loaded.
    pub only_column: Option<&'static str>,
    pub(crate) variables: Variables,
    pub(crate) tables: BTreeMap<&'static str, Vec<Row>>,
    pub(crate) defs: BTreeMap<&'static str, &'static TableDef>,
}

impl Candidate {
    pub(crate) fn new(family: &Family, data_dir: &Path, variables: Variables) -> Self {
        let defs = family.modules.iter().flat_map(|m| m.tables).map(|table| (table.name, *table)).collect();
        Self {
            changed: Vec::new(),
            data_dir: data_dir.to_owned(),
            only_column: None,
            variables,
            tables: BTreeMap::new(),
            defs,
        }
    }

    /// The variables, in normal form.
    #[must_use]
    pub fn variables(&self) -> &Variables {
        &self.variables
    }

    /// Whether a module was loaded now.
    #[must_use]
    pub fn changes(&self, module: &str) -> bool {
        self.changed.contains(&module)
    }

    /// The rows of a table.
    pub fn rows(&self, table: &str) -> impl Iterator<Item = RowView<'_>> + '_ {
        let def = self.defs.get(table).copied();
        let rows = self.tables.get(table).map_or(&[][..], Vec::as_slice);
        def.into_iter().flat_map(move |def| rows.iter().map(move |row| RowView { def, row }))
    }

    /// Replaces one cell in every row of a table, where the function gives a new value.
    pub(crate) fn rewrite(
        &mut self,
        table: &str,
        column: &str,
        mut change: impl FnMut(&RowView<'_>) -> ConfigResult<Option<Cell>>,
    ) -> ConfigResult<()> {
        let Some((def, rows)) = self.defs.get(table).copied().zip(self.tables.get_mut(table)) else {
            return Ok(());
        };
        let Some(at) = def.position(column) else { return Ok(()) };
        for row in rows.iter_mut() {
            let fresh = change(&RowView { def, row })?;
            if let (Some(fresh), Some(cell)) = (fresh, row.get_mut(at)) {
                *cell = fresh;
            }
        }
        Ok(())
    }
}

/// One row with its column names.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct RowView<'a> {
    /// The table.
    pub def: &'static TableDef,
    /// The values.
    pub row: &'a Row,
}

impl<'a> RowView<'a> {
    /// A value.
    #[must_use]
    pub fn cell(&self, column: &str) -> &'a Cell {
        self.def.position(column).and_then(|at| self.row.get(at)).unwrap_or(&Cell::Null)
    }

    /// Text, empty for NULL.
    #[must_use]
    pub fn text(&self, column: &str) -> &'a str {
        self.cell(column).as_str().unwrap_or_default()
    }

    /// Text or NULL.
    #[must_use]
    pub fn optional(&self, column: &str) -> Option<&'a str> {
        self.cell(column).as_str()
    }

    /// A whole number or NULL.
    #[must_use]
    pub fn int(&self, column: &str) -> Option<i64> {
        self.cell(column).as_int()
    }

    /// 0 or 1.
    #[must_use]
    pub fn flag(&self, column: &str) -> bool {
        self.int(column).unwrap_or_default() != 0
    }

    /// The parts of a comma list.
    #[must_use]
    pub fn list(&self, column: &str) -> Vec<String> {
        let parts = self.text(column).split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect()
    }

    /// The key, for messages.
    #[must_use]
    pub fn key(&self) -> String {
        self.def.key_of(self.row)
    }
}
