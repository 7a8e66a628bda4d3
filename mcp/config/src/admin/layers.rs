//! LOAD and SAVE: rows between file, disk, memory and runtime, each move whole or not at all; it parses nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{AdminReply, AdminSql, FamilyRunning, Inner, Origin, ReplyKind};
use crate::cell::{Cell, Row};
use crate::config_file;
use crate::error::{ConfigResult, refused};
use crate::family::{Candidate, Family, VARIABLES};
use crate::runtime::Applied;
use crate::store::tables;
use crate::variables::{VariableKind, Variables};
use crate::verb::Move;

impl AdminSql {
    /// Runs one LOAD or SAVE.
    pub(super) fn run_move(
        &self,
        family: &Family,
        module: &'static str,
        direction: Move,
        canonical: &str,
    ) -> ConfigResult<AdminReply> {
        let mut inner = self.lock();
        let inner = &mut *inner;
        let mut reply = AdminReply::new(canonical, ReplyKind::Verb);
        let kept = family.tables(module).iter().find(|table| family.runtime.mirrored(table.name).is_some());
        if let (Some(table), Move::DiskToMemory | Move::FileToRuntime | Move::RuntimeToMemory) =
            (kept, direction)
        {
            let cause =
                "the host keeps these rows itself: the table mirrors them and nothing is loaded into it";
            return Err(refused(module, Some(table.name), cause).with("reason", "mirrored"));
        }
        inner.store.mirror(family, family.tables(module))?;
        let applied = match direction {
            Move::DiskToMemory => {
                self.disk_to_memory(inner, family, module)?;
                None
            }
            Move::MemoryToDisk => {
                self.memory_to_disk(inner, family, module)?;
                None
            }
            Move::RuntimeToMemory => {
                self.runtime_to_memory(inner, family, module)?;
                None
            }
            Move::MemoryToRuntime => Some(self.memory_to_runtime(inner, family, &[module])?),
            Move::FileToRuntime => Some(self.file_to_runtime(inner, family, module)?),
        };
        reply.rows_affected = self.module_rows(inner, family, module)?;
        let rows = reply.rows_affected;
        let detail = match &applied {
            Some(applied) => {
                reply.listener = applied.listener;
                let detail = (family.report)(&self.running_candidate(family), module);
                let mut detail = detail.unwrap_or_else(|| format!("{rows} rows in use"));
                if matches!(module, VARIABLES | "tokens") {
                    detail.push_str(&format!("; {}", family.runtime.listener().line()));
                }
                detail
            }
            None => format!("{rows} rows copied"),
        };
        reply.report = Some(detail);
        Ok(reply)
    }

    /// Rows of a module in memory.
    pub(super) fn module_rows(&self, inner: &Inner, family: &Family, module: &str) -> ConfigResult<u64> {
        if module == VARIABLES {
            return Ok(inner.store.variables("main", family.prefix)?.len() as u64);
        }
        let mut count = 0;
        for table in family.tables(module) {
            count += inner.store.rows("main", table)?.len() as u64;
        }
        Ok(count)
    }

    /// disk → memory.
    pub(super) fn disk_to_memory(
        &self,
        inner: &mut Inner,
        family: &Family,
        module: &str,
    ) -> ConfigResult<()> {
        let store = &inner.store;
        if module == VARIABLES {
            let values = store.variables("disk", family.prefix)?;
            store.atomic(|| store.replace_variables("main", family, &values))?;
            for (name, value) in values {
                let is_default =
                    family.variable(&name).is_some_and(|v| family.default_of(v) == value.as_str());
                let origin = if is_default { Origin::Default } else { Origin::Disk };
                inner.origins.insert(name, (value, origin));
            }
            return Ok(());
        }
        store.atomic(|| {
            for table in family.tables(module) {
                store.replace("main", table, &store.rows("disk", table)?)?;
            }
            Ok(())
        })
    }

    /// memory → disk, tokens as hashes only.
    pub(super) fn memory_to_disk(
        &self,
        inner: &mut Inner,
        family: &Family,
        module: &str,
    ) -> ConfigResult<()> {
        let store = &inner.store;
        store.atomic(|| {
            if module == VARIABLES {
                return store.replace_variables("disk", family, &store.variables("main", family.prefix)?);
            }
            if tables(std::slice::from_ref(family)).any(|table| table.hashed) {
                store.hash_tokens("main", std::slice::from_ref(family))?;
            }
            for table in family.tables(module) {
                store.replace("disk", table, &store.rows("main", table)?)?;
            }
            Ok(())
        })
    }

    /// runtime → memory.
    pub(super) fn runtime_to_memory(
        &self,
        inner: &mut Inner,
        family: &Family,
        module: &str,
    ) -> ConfigResult<()> {
        let running = self.running.load();
        let Some(running) = running.get(family.name) else {
            return Err(refused(module, None, "nothing runs yet: see SHOW MCP STATUS"));
        };
        let store = &inner.store;
        if module == VARIABLES {
            store.atomic(|| store.replace_variables("main", family, running.variables.values()))?;
            for (name, value) in running.variables.values() {
                let origin = running.origins.get(name).copied().unwrap_or(Origin::Runtime);
                inner.origins.insert(name.clone(), (value.clone(), origin));
            }
            return Ok(());
        }
        let empty = Vec::new();
        store.atomic(|| {
            for table in family.tables(module) {
                store.replace("main", table, running.tables.get(table.name).unwrap_or(&empty))?;
            }
            Ok(())
        })
    }

    /// memory → runtime, several modules at once: all of them or none.
    pub(super) fn memory_to_runtime(
        &self,
        inner: &mut Inner,
        family: &Family,
        modules: &[&'static str],
    ) -> ConfigResult<Applied> {
        let mut candidate = self.running_candidate(family);
        for module in modules {
            inner.store.mirror(family, family.tables(module))?;
            if *module == VARIABLES {
                let values = inner.store.variables("main", family.prefix)?;
                candidate.variables = Variables::new(family.prefix, normal_set(family, values)?);
            }
            for table in family.tables(module) {
                candidate.tables.insert(table.name, inner.store.rows("main", table)?);
            }
        }
        candidate.changed = modules.to_vec();
        let applied = self.apply(inner, family, &mut candidate, true)?;
        Ok(applied)
    }

    /// configuration file → memory → runtime; memory is unchanged if it is refused.
    fn file_to_runtime(
        &self,
        inner: &mut Inner,
        family: &Family,
        module: &'static str,
    ) -> ConfigResult<Applied> {
        inner.store.run("SAVEPOINT from_file")?;
        let origins = inner.origins.clone();
        let outcome = self
            .file_to_memory(inner, family, &[module])
            .and_then(|()| self.memory_to_runtime(inner, family, &[module]));
        if outcome.is_err() {
            inner.origins = origins;
            inner.store.run("ROLLBACK TO from_file")?;
        }
        inner.store.run("RELEASE from_file")?;
        outcome
    }

    /// configuration file → memory: rows replaced by key, others kept.
    pub(super) fn file_to_memory(
        &self,
        inner: &mut Inner,
        family: &Family,
        modules: &[&'static str],
    ) -> ConfigResult<()> {
        let path =
            self.options.config_file.as_deref().ok_or_else(|| {
                refused("configuration file", None, "no configuration file was given at start")
            })?;
        let section = config_file::read(path, family)?;
        let store = &inner.store;
        let mut fresh = BTreeMap::new();
        store.atomic(|| {
            for module in modules {
                if *module == VARIABLES {
                    for (name, value) in &section.variables {
                        let variable = family.variable(name);
                        let normal = match variable {
                            Some(variable) => self.normal(family, variable, value)?,
                            None => value.clone(),
                        };
                        let is_secret = variable.is_some_and(|v| v.is_secret());
                        store.write_variable("main", name, &normal, is_secret)?;
                        fresh.insert(name.clone(), normal);
                    }
                }
                for table in family.tables(module) {
                    for (columns, row) in section.rows.get(table.name).into_iter().flatten() {
                        let marks = vec!["?"; columns.len()].join(", ");
                        let columns = columns.join(", ");
                        let sql = format!("REPLACE INTO main.{} ({columns}) VALUES ({marks})", table.name);
                        store
                            .connection
                            .execute(&sql, rusqlite::params_from_iter(row))
                            .map_err(|e| refused(module, Some(table.name), e.to_string()))?;
                    }
                }
            }
            Ok(())
        })?;
        for (name, value) in fresh {
            inner.origins.insert(name, (value, Origin::ConfigFile));
        }
        Ok(())
    }

    /// Checks a candidate, writes its normal form back to memory if it came from there, and puts it into use.
    pub(super) fn apply(
        &self,
        inner: &mut Inner,
        family: &Family,
        candidate: &mut Candidate,
        is_from_memory: bool,
    ) -> ConfigResult<Applied> {
        let history = self.history_of(inner, family, candidate)?;
        let store = &inner.store;
        let applied = store.atomic(|| {
            (family.check)(candidate)?;
            if is_from_memory {
                write_back(store, family, candidate)?;
            }
            family.runtime.apply(candidate)
        })?;
        let mut origins = BTreeMap::new();
        let before = self.running.load().get(family.name).map(|r| r.origins.clone()).unwrap_or_default();
        for (name, value) in candidate.variables.values() {
            let origin = match inner.origins.get(name) {
                _ if !is_from_memory || !candidate.changes(VARIABLES) => {
                    before.get(name).copied().unwrap_or(Origin::Default)
                }
                Some((known, origin)) if known == value => *origin,
                _ => Origin::Memory,
            };
            origins.insert(name.clone(), origin);
        }
        let mut running = (**self.running.load()).clone();
        let fresh = FamilyRunning {
            variables: candidate.variables.clone(),
            tables: candidate.tables.clone(),
            origins,
        };
        running.insert(family.name, Arc::new(fresh));
        self.running.store(Arc::new(running));
        if let Some(path) = history {
            inner.store.attach_history(&path)?;
            inner.history = Some(path);
        }
        Ok(applied)
    }

    /// The statistics history, if another file is wanted; it must be usable before anything is applied.
    fn history_of(
        &self,
        inner: &Inner,
        family: &Family,
        candidate: &Candidate,
    ) -> ConfigResult<Option<std::path::PathBuf>> {
        let text = candidate.variables.text("stats_path");
        if family.name != "MCP" || text.is_empty() {
            return Ok(None);
        }
        let path = self.path(text);
        if inner.history.as_ref() == Some(&path) {
            return Ok(None);
        }
        let usable = rusqlite::Connection::open(&path)
            .and_then(|c| c.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())));
        usable.map_err(|e| refused(VARIABLES, Some("mcp-stats_path"), format!("{}: {e}", path.display())))?;
        Ok(Some(path))
    }

    /// The normal form of one value.
    pub(super) fn normal(
        &self,
        family: &Family,
        variable: &crate::variables::VariableDef,
        value: &str,
    ) -> ConfigResult<String> {
        let name = family.full_name(variable);
        let wrong = |expected: String| {
            let got = if variable.is_secret() { crate::secrets::MASK } else { value };
            let got: String = got.chars().take(100).collect();
            mcp::ToolError::invalid(format!("{name} takes {expected}"))
                .with("argument", "value")
                .with("variable", name.as_str())
                .with("expected", expected)
                .with("got", got)
        };
        let normal = variable.normalise(value).map_err(wrong)?;
        if matches!(variable.kind, VariableKind::StartOption) && normal != family.default_of(variable) {
            return Err(wrong("the value of the start option only; restart with another one".to_owned()));
        }
        Ok(normal)
    }
}

/// Every variable in its normal form; unknown, missing and wrong ones refuse the set, each named.
fn normal_set(family: &Family, values: BTreeMap<String, String>) -> ConfigResult<BTreeMap<String, String>> {
    let mut faults = Vec::new();
    let mut normal: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in values {
        let Some(variable) = family.variable(&name) else {
            faults.push(format!("{name} is unknown"));
            continue;
        };
        let canonical = family.full_name(variable);
        match variable.normalise(&value) {
            Err(expected) => faults.push(format!("{name} takes {expected}")),
            Ok(value) => {
                if matches!(variable.kind, VariableKind::StartOption) && value != family.default_of(variable)
                {
                    faults.push(format!("{name} is decided at start"));
                }
                if normal.get(&canonical).is_some_and(|other| *other != value) {
                    faults.push(format!("{name} contradicts another name of {canonical}"));
                }
                normal.insert(canonical, value);
            }
        }
    }
    let missing = family.variables.iter().map(|v| family.full_name(v)).filter(|n| !normal.contains_key(n));
    faults.extend(missing.map(|name| format!("{name} is missing")));
    if faults.is_empty() { Ok(normal) } else { Err(refused(VARIABLES, None, faults.join("; "))) }
}

/// Normal values and hashes of tokens go back to memory.
fn write_back(store: &crate::store::Store, family: &Family, candidate: &Candidate) -> ConfigResult<()> {
    for module in &candidate.changed {
        if *module == VARIABLES && store.variables("main", family.prefix)? != *candidate.variables.values() {
            store.replace_variables("main", family, candidate.variables.values())?;
        }
        for table in family.tables(module) {
            let fresh: &[Row] = candidate.tables.get(table.name).map_or(&[][..], Vec::as_slice);
            if store.rows("main", table)? != fresh {
                store.replace("main", table, fresh)?;
            }
        }
    }
    Ok(())
}

/// The columns of a row as its `runtime_` table shows them.
pub(super) fn projected(family: &Family, table: &'static crate::family::TableDef, row: &Row) -> Row {
    let live = family.runtime.live(&crate::family::RowView { def: table, row });
    let mut shown = row.clone();
    if let Some(cell) =
        table.secret.and_then(|column| table.position(column)).and_then(|at| shown.get_mut(at))
        && cell.as_str().is_some_and(|text| !text.is_empty())
    {
        *cell = Cell::text(crate::secrets::MASK);
    }
    shown.resize(table.columns.len() + table.runtime_columns.len(), Cell::Null);
    for (name, cell) in live {
        let all = table.columns.iter().chain(table.runtime_columns);
        if let Some(at) = all.into_iter().position(|column| column.name == name) {
            shown[at] = cell;
        }
    }
    shown
}
