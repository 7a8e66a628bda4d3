//! The connection with `main`, `disk`, `stats` and `stats_history`: tables, rows in and out; it knows no verb.

use std::collections::BTreeMap;
use std::path::Path;

use mcp::ToolError;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};

use crate::cell::{Cell, Row};
use crate::error::{ConfigResult, file, store};
use crate::family::{ColumnDef, Family, TableDef};
use crate::guard::Guard;
use crate::runtime::StatsTable;
use crate::secrets::{MASK, hash_token, is_token_hash, token_matches};
use crate::variables::VariableKind;

/// Longest wait for another process's lock on the file, in milliseconds.
const BUSY_TIMEOUT_MS: u64 = 2_000;
/// Longest text or row, in bytes.
const LENGTH_BYTES_MAX: i32 = 4 << 20;
/// Instructions between two looks at the clock.
const STEPS_PER_LOOK: i32 = 4_000;

/// The databases that hold configuration.
pub(crate) const LAYERS: [&str; 2] = ["main", "disk"];

/// The connection.
pub(crate) struct Store {
    pub(crate) connection: Connection,
    pub(crate) guard: Guard,
}

impl Store {
    /// Opens the file, makes missing tables.
    pub(crate) fn open(disk: &Path, families: &[Family]) -> ConfigResult<Self> {
        private_file(disk)?;
        let mut connection = Connection::open_in_memory().map_err(|e| store("memory", &e))?;
        let guard = guard_of(families);
        let open = |e: &rusqlite::Error| file(disk, e);
        attach(&connection, "disk", disk)?;
        connection.execute_batch("ATTACH ':memory:' AS stats").map_err(|e| store("stats", &e))?;
        connection
            .execute_batch("PRAGMA disk.journal_mode = DELETE; PRAGMA disk.synchronous = FULL;")
            .map_err(|e| open(&e))?;
        connection.busy_timeout(std::time::Duration::from_millis(BUSY_TIMEOUT_MS)).map_err(|e| open(&e))?;
        connection
            .set_limit(Limit::SQLITE_LIMIT_LENGTH, LENGTH_BYTES_MAX)
            .map_err(|e| store("memory", &e))?;
        let decide = guard.clone();
        connection
            .authorizer(Some(move |context: rusqlite::hooks::AuthContext<'_>| decide.decide(&context)))
            .map_err(|e| store("memory", &e))?;
        let late = guard.clone();
        connection
            .progress_handler(STEPS_PER_LOOK, Some(move || late.is_late()))
            .map_err(|e| store("memory", &e))?;
        let me = Self { connection, guard };
        // One transaction: a hundred small ones would wait for the disk a hundred times.
        me.atomic(|| {
            for layer in LAYERS {
                me.make_tables(layer, families)?;
            }
            for family in families {
                me.fill_defaults("disk", family)?;
                me.fill_defaults("main", family)?;
            }
            for layer in LAYERS {
                me.hide_secrets(layer, families, true)?;
            }
            Ok(())
        })?;
        Ok(me)
    }

    /// Runs statements of the configuration's own.
    pub(crate) fn run(&self, sql: &str) -> ConfigResult<()> {
        self.connection.execute_batch(sql).map_err(|e| store("configuration store", &e))
    }

    /// Runs `work` in a savepoint: everything or nothing.
    pub(crate) fn atomic<T>(&self, work: impl FnOnce() -> ConfigResult<T>) -> ConfigResult<T> {
        self.run("SAVEPOINT step")?;
        match work() {
            Ok(value) => match self.run("RELEASE step") {
                Ok(()) => Ok(value),
                Err(error) => {
                    let _ = self.run("ROLLBACK TO step; RELEASE step");
                    Err(error)
                }
            },
            Err(error) => {
                self.run("ROLLBACK TO step; RELEASE step")?;
                Err(error)
            }
        }
    }

    fn make_tables(&self, layer: &str, families: &[Family]) -> ConfigResult<()> {
        let mut sql = format!(
            "CREATE TABLE IF NOT EXISTS {layer}.global_variables (variable_name TEXT NOT NULL PRIMARY KEY, \
             variable_value TEXT NOT NULL) STRICT, WITHOUT ROWID;\n\
             CREATE TABLE IF NOT EXISTS {layer}.admin_secrets (variable_name TEXT NOT NULL PRIMARY KEY, \
             variable_value TEXT NOT NULL) STRICT, WITHOUT ROWID;\n\
             CREATE TABLE IF NOT EXISTS {layer}.admin_meta (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) \
             STRICT, WITHOUT ROWID;\n"
        );
        for table in tables(families) {
            sql.push_str(&create(layer, table));
            if layer == "main" {
                let live = live_columns(table);
                sql.push_str(&format!("CREATE TABLE IF NOT EXISTS main.runtime_{} ({live});\n", table.name));
            }
        }
        if layer == "main" {
            sql.push_str(
                "CREATE TABLE IF NOT EXISTS main.runtime_global_variables (variable_name TEXT, variable_value TEXT);\n",
            );
        }
        self.run(&sql)
    }

    fn fill_defaults(&self, layer: &str, family: &Family) -> ConfigResult<()> {
        let sql = format!("INSERT OR IGNORE INTO {layer}.global_variables VALUES (?1, ?2)");
        let mut insert = self.connection.prepare(&sql).map_err(|e| store("variables", &e))?;
        for variable in family.variables {
            let value = family.default_of(variable);
            insert
                .execute([family.full_name(variable).as_str(), value])
                .map_err(|e| store("variables", &e))?;
            if matches!(variable.kind, VariableKind::StartOption) {
                self.write_variable(layer, &family.full_name(variable), value, false)?;
            }
        }
        Ok(())
    }

    /// Moves plain values of secret variables out of sight, and hashes those of which only hashes are kept.
    pub(crate) fn hide_secrets(
        &self,
        layer: &str,
        families: &[Family],
        may_write_secrets: bool,
    ) -> ConfigResult<()> {
        for family in families {
            for variable in family.variables.iter().filter(|v| v.is_secret()) {
                let name = family.full_name(variable);
                let sql =
                    format!("SELECT variable_value FROM {layer}.global_variables WHERE variable_name = ?1");
                let found = self.connection.query_row(&sql, [&name], |row| row.get::<_, String>(0));
                let hidden = self.secret(layer, &name)?;
                match found.as_deref() {
                    Ok(MASK) if hidden.is_some() => {}
                    Ok("") if hidden.is_none() => {}
                    Err(_) if hidden.is_none() => {}
                    _ if !may_write_secrets => {
                        return Err(ToolError::denied(
                            "token",
                            format!("{name} is a secret: change it on the operator's own interface"),
                        ));
                    }
                    Ok(MASK) => self.write_variable(layer, &name, "", true)?,
                    Ok(value) => self.write_variable(layer, &name, value, true)?,
                    Err(_) => {
                        let sql = format!("DELETE FROM {layer}.admin_secrets WHERE variable_name = ?1");
                        self.connection.execute(&sql, [&name]).map_err(|e| store("variables", &e))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Hashes plain tokens of a layer.
    pub(crate) fn hash_tokens(&self, layer: &str, families: &[Family]) -> ConfigResult<()> {
        for table in tables(families).filter(|table| table.hashed) {
            let Some(at) = table.secret.and_then(|column| table.position(column)) else { continue };
            let mut rows = self.rows(layer, table)?;
            let mut changed = false;
            for cell in rows.iter_mut().filter_map(|row| row.get_mut(at)) {
                if let Some(plain) = cell.as_str().filter(|text| !is_token_hash(text)) {
                    *cell = Cell::Text(hash_token(plain)?);
                    changed = true;
                }
            }
            if changed {
                self.replace(layer, table, &rows)?;
            }
        }
        Ok(())
    }

    fn secret(&self, layer: &str, name: &str) -> ConfigResult<Option<String>> {
        let sql = format!("SELECT variable_value FROM {layer}.admin_secrets WHERE variable_name = ?1");
        match self.connection.query_row(&sql, [name], |row| row.get(0)) {
            Ok(value) => Ok(Some(value)),
            Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
            Err(error) => Err(store("variables", &error)),
        }
    }

    /// Writes one variable; a secret's value goes where nobody reads it.
    pub(crate) fn write_variable(
        &self,
        layer: &str,
        name: &str,
        value: &str,
        is_secret: bool,
    ) -> ConfigResult<()> {
        let run = |sql: String, values: &[&str]| {
            self.connection
                .execute(&sql, rusqlite::params_from_iter(values))
                .map(drop)
                .map_err(|e| store("variables", &e))
        };
        let shown = if is_secret && !value.is_empty() { MASK } else { value };
        run(format!("REPLACE INTO {layer}.global_variables VALUES (?1, ?2)"), &[name, shown])?;
        if is_secret && !value.is_empty() {
            let value = if is_token_hash(value) || !self.is_hashed(name) {
                value.to_owned()
            } else {
                self.check_new_token(layer, name, value)?;
                hash_token(value)?
            };
            run(format!("REPLACE INTO {layer}.admin_secrets VALUES (?1, ?2)"), &[name, &value])
        } else {
            run(format!("DELETE FROM {layer}.admin_secrets WHERE variable_name = ?1"), &[name])
        }
    }

    /// A token that becomes the value of a variable: long enough, and no other token of its endpoint.
    fn check_new_token(&self, layer: &str, name: &str, token: &str) -> ConfigResult<()> {
        let sql =
            "SELECT variable_value FROM main.global_variables WHERE variable_name = 'mcp-token_min_length'";
        let shortest = self.connection.query_row(sql, [], |row| row.get::<_, String>(0));
        let shortest: usize = shortest.ok().and_then(|text| text.parse().ok()).unwrap_or(16);
        let wrong = |why: String| ToolError::invalid(format!("{name}: {why}")).with("argument", "value");
        if token.chars().count() < shortest {
            return Err(wrong(format!(
                "the token is shorter than mcp-token_min_length, which is {shortest}"
            )));
        }
        let endpoint = name.trim_end_matches("_endpoint_auth").rsplit('-').next().unwrap_or_default();
        let sql = format!("SELECT token_name, token FROM {layer}.mcp_endpoint_tokens WHERE endpoint = ?1");
        let read = || {
            let mut statement = self.connection.prepare(&sql)?;
            let rows = statement.query_map([endpoint], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<(String, String)>>>()
        };
        let others = read().map_err(|e| store("tokens", &e))?;
        match others.iter().find(|(_, other)| other == token || token_matches(token, other)) {
            Some((other, _)) => {
                Err(wrong(format!("the token equals that of {other:?} on the same endpoint")))
            }
            None => Ok(()),
        }
    }

    /// Only tokens are kept as hashes; other secrets are needed as they are.
    fn is_hashed(&self, name: &str) -> bool {
        name.ends_with("_endpoint_auth")
    }

    /// The variables of a prefix with their true values.
    pub(crate) fn variables(&self, layer: &str, prefix: &str) -> ConfigResult<BTreeMap<String, String>> {
        let sql = format!(
            "SELECT v.variable_name, coalesce(s.variable_value, v.variable_value) FROM {layer}.global_variables v \
             LEFT JOIN {layer}.admin_secrets s ON s.variable_name = v.variable_name \
             WHERE substr(v.variable_name, 1, length(?1)) = ?1"
        );
        let read = || {
            let mut statement = self.connection.prepare(&sql)?;
            let rows = statement.query_map([prefix], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<_>>()
        };
        read().map_err(|e| store("variables", &e))
    }

    /// Replaces the variables of a prefix.
    pub(crate) fn replace_variables(
        &self,
        layer: &str,
        family: &Family,
        values: &BTreeMap<String, String>,
    ) -> ConfigResult<()> {
        let prefix = family.prefix;
        for table in ["global_variables", "admin_secrets"] {
            let sql = format!("DELETE FROM {layer}.{table} WHERE substr(variable_name, 1, length(?1)) = ?1");
            self.connection.execute(&sql, [prefix]).map_err(|e| store("variables", &e))?;
        }
        for (name, value) in values {
            let is_secret = family.variable(name).is_some_and(|v| v.is_secret());
            self.write_variable(layer, name, value, is_secret)?;
        }
        Ok(())
    }

    /// All rows of a table in the order of its key.
    pub(crate) fn rows(&self, layer: &str, table: &TableDef) -> ConfigResult<Vec<Row>> {
        let columns = names(table.columns);
        let sql = format!("SELECT {columns} FROM {layer}.{} ORDER BY {}", table.name, table.key.join(", "));
        let read = || {
            let mut statement = self.connection.prepare(&sql)?;
            let width = table.columns.len();
            let mut found = statement.query([])?;
            let mut rows = Vec::new();
            while let Some(row) = found.next()? {
                rows.push((0..width).map(|at| row.get_ref(at).map(Cell::read)).collect::<Result<Row, _>>()?);
            }
            Ok(rows)
        };
        read().map_err(|e| store(table.name, &e))
    }

    /// Brings tables that the host keeps up to date.
    pub(crate) fn mirror(&self, family: &Family, tables: &[&'static TableDef]) -> ConfigResult<()> {
        for table in tables {
            if let Some(rows) = family.runtime.mirrored(table.name) {
                self.atomic(|| self.replace("main", table, &rows))?;
            }
        }
        Ok(())
    }

    /// Replaces all rows of a table.
    pub(crate) fn replace(&self, layer: &str, table: &TableDef, rows: &[Row]) -> ConfigResult<()> {
        self.run(&format!("DELETE FROM {layer}.{}", table.name))?;
        self.insert(&format!("{layer}.{}", table.name), table.columns, rows)
    }

    /// Changes one cell of the row with a key, if there is one.
    pub(crate) fn write_cell(
        &self,
        layer: &str,
        table: &TableDef,
        key: &[Cell],
        (column, value): (&str, &Cell),
    ) -> ConfigResult<()> {
        let same: Vec<String> =
            (table.key.iter().zip(2..)).map(|(name, at)| format!("{name} = ?{at}")).collect();
        let sql = format!("UPDATE {layer}.{} SET {column} = ?1 WHERE {}", table.name, same.join(" AND "));
        let values = std::iter::once(value).chain(key);
        let changed = self.connection.execute(&sql, rusqlite::params_from_iter(values));
        changed.map(drop).map_err(|e| store(table.name, &e))
    }

    /// Inserts rows, in place of those with the same key.
    pub(crate) fn insert(&self, table: &str, columns: &[ColumnDef], rows: &[Row]) -> ConfigResult<()> {
        let marks = vec!["?"; columns.len()].join(", ");
        let sql = format!("REPLACE INTO {table} ({}) VALUES ({marks})", names(columns));
        let write = || {
            let mut statement = self.connection.prepare(&sql)?;
            for row in rows {
                statement.execute(rusqlite::params_from_iter(row))?;
            }
            Ok(())
        };
        write().map_err(|e| store(table, &e))
    }

    /// Makes the tables of a source of statistics.
    pub(crate) fn make_stats(&self, tables: &[StatsTable]) -> ConfigResult<()> {
        for table in tables {
            let columns: Vec<String> =
                table.columns.iter().map(|c| format!("{} {}", c.name, c.decl)).collect();
            let columns = columns.join(", ");
            let mut sql = format!("CREATE TABLE IF NOT EXISTS stats.{} ({columns});", table.name);
            if table.has_reset {
                sql.push_str(&format!("CREATE TABLE IF NOT EXISTS stats.{}_reset ({columns});", table.name));
            }
            self.run(&sql)?;
        }
        Ok(())
    }

    /// Fills a projection.
    pub(crate) fn project(&self, table: &str, columns: &[ColumnDef], rows: &[Row]) -> ConfigResult<()> {
        self.run(&format!("DELETE FROM {table}"))?;
        let marks = vec!["?"; columns.len()].join(", ");
        let sql = format!("INSERT INTO {table} ({}) VALUES ({marks})", names(columns));
        let write = || {
            let mut statement = self.connection.prepare(&sql)?;
            for row in rows {
                statement.execute(rusqlite::params_from_iter(row))?;
            }
            Ok(())
        };
        write().map_err(|e: rusqlite::Error| store(table, &e))
    }

    /// Another file as `stats_history`; the old one stays if the new one cannot be opened.
    pub(crate) fn attach_history(&self, path: &Path) -> ConfigResult<()> {
        private_file(path)?;
        let probe = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
            .map_err(|e| file(path, &e))?;
        probe.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(|e| file(path, &e))?;
        drop(probe);
        let _ = self.connection.execute_batch("DETACH stats_history");
        attach(&self.connection, "stats_history", path)
    }

    /// A value that stays inside, made once.
    pub(crate) fn meta(
        &self,
        name: &str,
        make: impl FnOnce() -> ConfigResult<String>,
    ) -> ConfigResult<String> {
        let sql = "SELECT value FROM disk.admin_meta WHERE name = ?1";
        match self.connection.query_row(sql, [name], |row| row.get(0)) {
            Ok(value) => Ok(value),
            Err(rusqlite::Error::QueryReturnedNoRows) => {
                let value = make()?;
                self.connection
                    .execute("INSERT INTO disk.admin_meta VALUES (?1, ?2)", [name, &value])
                    .map_err(|e| store("configuration store", &e))?;
                Ok(value)
            }
            Err(error) => Err(store("configuration store", &error)),
        }
    }
}

/// The tables of all families.
pub(crate) fn tables(families: &[Family]) -> impl Iterator<Item = &'static TableDef> + '_ {
    families.iter().flat_map(|family| family.modules).flat_map(|module| module.tables).copied()
}

fn guard_of(families: &[Family]) -> Guard {
    let mirrored =
        |table: &&'static TableDef| families.iter().any(|f| f.runtime.mirrored(table.name).is_some());
    let writable = tables(families).filter(|table| !mirrored(table));
    let writable = writable.map(|table| table.name).chain(["global_variables"]).collect();
    let secrets = tables(families).filter_map(|table| Some((table.name, table.secret?))).collect();
    let hashed = tables(families).filter(|table| table.hashed).map(|table| table.name).collect();
    Guard::new(writable, secrets, hashed)
}

fn create(layer: &str, table: &TableDef) -> String {
    let mut parts: Vec<String> = table
        .columns
        .iter()
        .map(|column| format!("{} {}", column.name, column.decl.replace('@', column.name)))
        .collect();
    if !parts.iter().any(|part| part.contains("PRIMARY KEY")) {
        parts.push(format!("PRIMARY KEY ({})", table.key.join(", ")));
    }
    format!("CREATE TABLE IF NOT EXISTS {layer}.{} ({}) STRICT;\n", table.name, parts.join(", "))
}

fn live_columns(table: &TableDef) -> String {
    // Without constraints: the view of what runs is never the place where something is refused.
    let type_of = |decl: &str| decl.split_whitespace().next().unwrap_or("TEXT").to_owned();
    let all = table.columns.iter().chain(table.runtime_columns);
    all.map(|column| format!("{} {}", column.name, type_of(column.decl))).collect::<Vec<_>>().join(", ")
}

fn names(columns: &[ColumnDef]) -> String {
    columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
}

fn attach(connection: &Connection, name: &str, path: &Path) -> ConfigResult<()> {
    let text = path.to_str().ok_or_else(|| file(path, &"the path is no UTF-8"))?;
    connection.execute(&format!("ATTACH ?1 AS {name}"), [text]).map_err(|e| file(path, &e))?;
    let sql = format!("SELECT count(*) FROM {name}.sqlite_schema");
    connection.query_row(&sql, [], |_| Ok(())).map_err(|e| file(path, &e))
}

/// Makes the file, open to its owner only.
fn private_file(path: &Path) -> ConfigResult<()> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let opened = options.open(path).map_err(|e| file(path, &e))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let metadata = opened.metadata().map_err(|e| file(path, &e))?;
        if metadata.permissions().mode() & 0o077 != 0 {
            let private = std::fs::Permissions::from_mode(0o600);
            opened.set_permissions(private).map_err(|e| file(path, &e))?;
        }
    }
    drop(opened);
    Ok(())
}
