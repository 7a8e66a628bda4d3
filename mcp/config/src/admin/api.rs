//! What tools ask besides SQL: one variable, a change of one, a reload, sums; it formats nothing.

use mcp::ToolError;

use super::show::{is_like, masked};
use super::{AdminSql, Inner};
use crate::cell::Cell;
use crate::error::ConfigResult;
use crate::family::{Family, VARIABLES};
use crate::runtime::{AdminSession, ListenerChange, ListenerState};
use crate::verb::Layer;

/// Where a running value came from.
// Exhaustive: the words of the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration file.
    ConfigFile,
    /// The disk layer.
    Disk,
    /// The memory layer.
    Memory,
    /// It was set in the runtime layer.
    Runtime,
}

impl Origin {
    /// The word in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::ConfigFile => "config_file",
            Self::Disk => "disk",
            Self::Memory => "memory",
            Self::Runtime => "runtime",
        }
    }
}

/// A running variable.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are those of get_config")]
pub struct VariableInfo {
    pub variable_name: String,
    /// Masked for secrets.
    pub value: String,
    pub type_name: &'static str,
    pub default: String,
    pub origin: Origin,
    pub secret: bool,
    pub restarts_listener: bool,
    pub description: &'static str,
}

/// How far a change reaches; each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
// Exhaustive: the three layers.
pub enum Persist {
    /// What runs.
    Runtime,
    /// And memory.
    Memory,
    /// And disk.
    Disk,
}

/// What a change of one variable did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are those of set_config")]
pub struct SetReport {
    pub variable_name: String,
    pub value: String,
    pub previous_value: String,
    pub layers: Vec<&'static str>,
    pub listener: ListenerChange,
}

/// From where a reload goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
// Exhaustive: the three words of the tool.
pub enum ReloadScope {
    /// disk → memory → runtime.
    Disk,
    /// memory → runtime.
    Memory,
    /// runtime → memory.
    Runtime,
}

/// One module after a reload.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModuleReport {
    /// Key of the module.
    pub module: &'static str,
    /// Rows loaded.
    pub rows: u64,
    /// Rows in use.
    pub effective: u64,
    /// Rows loaded but not in use: id and reason.
    pub skipped: Vec<(String, String)>,
}

/// What a reload did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReloadReport {
    /// The modules.
    pub modules: Vec<ModuleReport>,
    /// What happens to the listener.
    pub listener: ListenerChange,
}

/// The sums of one module.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are those of get_status")]
pub struct ModuleSums {
    pub memory: String,
    pub runtime: String,
    pub disk: String,
    pub in_sync: bool,
}

impl AdminSql {
    /// One running variable; a name without prefix means `mcp-`.
    ///
    /// # Errors
    /// `NOT_FOUND` with similar names.
    pub fn get_variable(&self, name: &str) -> ConfigResult<VariableInfo> {
        let (family, variable) = self.variable(name)?;
        let full = family.full_name(variable);
        let running = self.running.load();
        let running = running.get(family.name);
        let value = running.and_then(|r| r.variables.values().get(&full)).map_or("", String::as_str);
        Ok(VariableInfo {
            value: masked(variable, value).to_owned(),
            type_name: variable.type_name(),
            default: family.default_of(variable).to_owned(),
            origin: running.and_then(|r| r.origins.get(&full)).copied().unwrap_or(Origin::Default),
            secret: variable.is_secret(),
            restarts_listener: variable.restarts_listener,
            description: variable.description,
            variable_name: full,
        })
    }

    /// Running variables by name: a LIKE pattern if the filter holds `%`, else a part of the name.
    #[must_use]
    pub fn list_variables(&self, filter: &str) -> Vec<VariableInfo> {
        let lower = filter.to_lowercase();
        let matches =
            |name: &str| if filter.contains('%') { is_like(name, filter) } else { name.contains(&lower) };
        let names = self.families.iter().flat_map(|f| f.variables.iter().map(|v| f.full_name(v)));
        let mut found: Vec<VariableInfo> =
            names.filter(|name| matches(name)).filter_map(|name| self.get_variable(&name).ok()).collect();
        found.sort_by(|a, b| a.variable_name.cmp(&b.variable_name));
        found
    }

    /// Sets one variable in the runtime layer at once, and in the layers below as far as asked for.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` with the accepted range, `NOT_FOUND`, `PERMISSION_DENIED` for secrets, `FAILED_PRECONDITION`
    /// if the listener cannot take the value; the old value stays then.
    pub fn set_variable(
        &self,
        session: &AdminSession,
        name: &str,
        value: &str,
        persist: Persist,
    ) -> ConfigResult<SetReport> {
        let (family, variable) = self.variable(name)?;
        let full = family.full_name(variable);
        let shown = if variable.is_secret() { crate::secrets::MASK } else { value };
        let statement = format!("{full} = {shown}");
        self.audited(session, "config", &format!("set_config {full}"), &statement, || {
            if variable.is_secret() && !session.may_write_secrets {
                let why = format!("{full} is a secret: change it on the operator's own interface");
                return Err(ToolError::denied("token", why));
            }
            let normal = self.normal(family, variable, value)?;
            let mut inner = self.lock();
            let inner = &mut *inner;
            let is_secret = variable.is_secret();
            let mut candidate = self.running_candidate(family);
            let previous = candidate.variables.values().get(&full).cloned().unwrap_or_default();
            let stored = self.stored_form(inner, &full, &normal, is_secret)?;
            candidate.variables.values_mut().insert(full.clone(), stored.clone());
            candidate.changed = vec![VARIABLES];
            inner.store.run("SAVEPOINT one_variable")?;
            let write =
                |inner: &Inner, layer: &str| inner.store.write_variable(layer, &full, &stored, is_secret);
            let mut layers = vec!["runtime"];
            let outcome = (|| {
                if persist >= Persist::Memory {
                    write(inner, "main")?;
                    layers.push("memory");
                }
                if persist >= Persist::Disk {
                    write(inner, "disk")?;
                    layers.push("disk");
                }
                self.apply(inner, family, &mut candidate, false)
            })();
            if outcome.is_err() {
                inner.store.run("ROLLBACK TO one_variable")?;
            }
            inner.store.run("RELEASE one_variable")?;
            let applied = outcome?;
            self.set_origin(family, &full, Origin::Runtime);
            if persist >= Persist::Memory {
                inner.origins.insert(full.clone(), (stored.clone(), Origin::Runtime));
            }
            Ok(SetReport {
                value: masked(variable, &stored).to_owned(),
                previous_value: masked(variable, &previous).to_owned(),
                variable_name: full.clone(),
                layers,
                listener: applied.listener,
            })
        })
    }

    /// Changes one cell of a row in the runtime layer at once, and in the layers below as far as asked for; where they have
    /// no such row, they stay as they are. Gives the value before.
    ///
    /// # Errors
    /// `NOT_FOUND` for a row that does not run, `FAILED_PRECONDITION` for a value that is refused.
    pub fn set_cell(
        &self,
        session: &AdminSession,
        (table, key): (&str, &[Cell]),
        (column, value): (&str, Cell),
        persist: Persist,
    ) -> ConfigResult<Cell> {
        let of_family = |f: &&Family| f.modules.iter().flat_map(|m| m.tables).any(|t| t.name == table);
        let unknown = || ToolError::not_found("table", table);
        let family = self.families.iter().find(of_family).ok_or_else(unknown)?;
        let module = family.modules.iter().find(|m| m.tables.iter().any(|t| t.name == table));
        let module = module.ok_or_else(unknown)?;
        let def = *module.tables.iter().find(|t| t.name == table).ok_or_else(unknown)?;
        let shown: Vec<String> = key.iter().map(Cell::display).collect();
        let at = def.columns.iter().find(|c| c.name == column).map(|c| c.name);
        let at = at.zip(def.position(column)).ok_or_else(|| ToolError::not_found("column", column))?;
        if def.secret.is_some_and(|secret| secret.eq_ignore_ascii_case(column)) {
            return Err(ToolError::denied("gate", format!("{column} is a secret: change it with SQL")));
        }
        let statement = format!("{table}.{column} of {} = {}", shown.join(", "), value.display());
        self.audited(session, "config", &format!("set {table}.{column}"), &statement, || {
            let mut inner = self.lock();
            let inner = &mut *inner;
            let mut candidate = self.running_candidate(family);
            let row = candidate.tables.get_mut(def.name).into_iter().flatten().find(|row| {
                let cells = def.key.iter().map(|name| def.position(name).and_then(|at| row.get(at)));
                cells.eq(key.iter().map(Some))
            });
            let missing = || ToolError::not_found("row", shown.join(", "));
            let cell = row.and_then(|row| row.get_mut(at.1)).ok_or_else(missing)?;
            let before = std::mem::replace(cell, value.clone());
            candidate.changed = vec![module.key];
            candidate.only_column = Some(at.0);
            inner.store.run("SAVEPOINT one_cell")?;
            let outcome = (|| {
                let reach = [(Persist::Memory, "main"), (Persist::Disk, "disk")];
                for (_, layer) in reach.into_iter().filter(|(least, _)| persist >= *least) {
                    inner.store.write_cell(layer, def, key, (at.0, &value))?;
                }
                self.apply(inner, family, &mut candidate, false)
            })();
            if outcome.is_err() {
                inner.store.run("ROLLBACK TO one_cell")?;
            }
            inner.store.run("RELEASE one_cell")?;
            outcome?;
            Ok(before)
        })
    }

    /// Tokens are hashed before anything keeps them.
    fn stored_form(&self, inner: &Inner, name: &str, value: &str, is_secret: bool) -> ConfigResult<String> {
        if !is_secret || value.is_empty() {
            return Ok(value.to_owned());
        }
        let (family, _) = self.variable(name)?;
        inner.store.run("SAVEPOINT form")?;
        let stored = inner
            .store
            .write_variable("main", name, value, true)
            .and_then(|()| inner.store.variables("main", family.prefix));
        inner.store.run("ROLLBACK TO form; RELEASE form")?;
        Ok(stored?.remove(name).unwrap_or_default())
    }

    fn set_origin(&self, family: &Family, name: &str, origin: Origin) {
        let mut running = (**self.running.load()).clone();
        if let Some(of_family) = running.get_mut(family.name) {
            let mut fresh = (**of_family).clone();
            fresh.origins.insert(name.to_owned(), origin);
            *of_family = std::sync::Arc::new(fresh);
        }
        self.running.store(std::sync::Arc::new(running));
    }

    /// Moves modules of a family between layers: all of them or none. No module named means all.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for an unknown module, `FAILED_PRECONDITION` with module, row and cause.
    pub fn reload(
        &self,
        session: &AdminSession,
        family: &str,
        scope: ReloadScope,
        modules: &[String],
    ) -> ConfigResult<ReloadReport> {
        let family = self.family(family)?;
        let known = family.module_keys();
        if let Some(unknown) = modules.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(ToolError::invalid(format!("module {unknown:?} is unknown"))
                .with("argument", "modules")
                .with("expected", known));
        }
        let wanted: Vec<&'static str> = known
            .into_iter()
            .filter(|key| modules.is_empty() || modules.iter().any(|name| name == key))
            .collect();
        let action = format!("reload_config {scope:?}").to_lowercase();
        self.audited(session, "config", &action, &wanted.join(", "), || {
            let mut inner = self.lock();
            let inner = &mut *inner;
            inner.store.run("SAVEPOINT reload")?;
            let origins = inner.origins.clone();
            let outcome = self.move_all(inner, family, scope, &wanted);
            if outcome.is_err() {
                inner.origins = origins;
                inner.store.run("ROLLBACK TO reload")?;
            }
            inner.store.run("RELEASE reload")?;
            let listener = outcome?;
            let candidate = self.running_candidate(family);
            let mut reports = Vec::new();
            for module in wanted {
                let rows = self.module_rows(inner, family, module)?;
                let skipped = (family.skipped)(&candidate, module);
                let effective = rows.saturating_sub(skipped.len() as u64);
                reports.push(ModuleReport { module, rows, effective, skipped });
            }
            Ok(ReloadReport { modules: reports, listener })
        })
    }

    fn move_all(
        &self,
        inner: &mut Inner,
        family: &Family,
        scope: ReloadScope,
        modules: &[&'static str],
    ) -> ConfigResult<ListenerChange> {
        if scope == ReloadScope::Runtime {
            for module in modules {
                self.runtime_to_memory(inner, family, module)?;
            }
            return Ok(ListenerChange::Unchanged);
        }
        if scope == ReloadScope::Disk {
            for module in modules {
                self.disk_to_memory(inner, family, module)?;
            }
        }
        Ok(self.memory_to_runtime(inner, family, modules)?.listener)
    }

    /// The sums of every module of a family.
    ///
    /// # Errors
    /// What the store fails with.
    pub fn checksums(&self, family: &str) -> ConfigResult<Vec<(&'static str, ModuleSums)>> {
        let family = self.family(family)?;
        let inner = self.lock();
        family.module_keys().into_iter().map(|key| Ok((key, self.sums(&inner, family, key)?))).collect()
    }

    pub(super) fn sums(&self, inner: &Inner, family: &Family, module: &str) -> ConfigResult<ModuleSums> {
        let sum = |layer| self.sum(inner, family, module, layer);
        let (memory, runtime, disk) = (sum(Layer::Memory)?, sum(Layer::Runtime)?, sum(Layer::Disk)?);
        let in_sync = memory == runtime && memory == disk;
        Ok(ModuleSums { memory, runtime, disk, in_sync })
    }

    /// The listener as it is.
    #[must_use]
    pub fn listener(&self) -> ListenerState {
        self.families.first().map(|family| family.runtime.listener()).unwrap_or_default()
    }

    /// Who applies the configuration of a family.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub fn runtime(&self, family: &str) -> ConfigResult<std::sync::Arc<dyn crate::runtime::Runtime>> {
        Ok(std::sync::Arc::clone(&self.family(family)?.runtime))
    }
}
