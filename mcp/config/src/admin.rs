//! The one entry of operators and agents to the configuration: verbs and SQL, one at a time; it knows no transport.

mod api;
mod layers;
mod show;
mod sql;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use mcp::ToolError;

use crate::cell::{Cell, Row};
use crate::error::ConfigResult;
use crate::family::{Candidate, Family};
use crate::runtime::{AdminSession, AuditEvent, AuditHook, ListenerChange, StatsTables};
use crate::secrets::random_token;
use crate::store::Store;
use crate::variables::Variables;
use crate::verb::{Layer, Verb, Verbs};

pub use api::{
    ModuleReport, ModuleSums, Origin, Persist, ReloadReport, ReloadScope, SetReport, VariableInfo,
};

/// Longest statement, in bytes: a value of a variable and the words around it.
const STATEMENT_BYTES_MAX: usize = 160 * 1024;

/// Where the configuration lives.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AdminOptions {
    /// Base of relative paths.
    pub data_dir: PathBuf,
    /// The file of the layer `disk`.
    pub disk: PathBuf,
    /// The configuration file, if there is one.
    pub config_file: Option<PathBuf>,
}

impl AdminOptions {
    /// The file `mcp_config.db` in a folder, without a configuration file.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        let data_dir = data_dir.into();
        Self { disk: data_dir.join("mcp_config.db"), data_dir, config_file: None }
    }
}

/// What a statement was.
// Exhaustive: the six words of the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyKind {
    /// Rows.
    Select,
    /// Changed rows.
    Dml,
    /// LOAD and SAVE.
    Verb,
    /// SET.
    Set,
    /// SHOW.
    Show,
    /// CHECKSUM.
    Checksum,
}

impl ReplyKind {
    /// The word in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Select => "select",
            Self::Dml => "dml",
            Self::Verb => "verb",
            Self::Set => "set",
            Self::Show => "show",
            Self::Checksum => "checksum",
        }
    }
}

/// The answer to one statement.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AdminReply {
    /// The statement as it was run, secrets masked.
    pub sql: String,
    /// What it was.
    pub kind: ReplyKind,
    /// Names and declared types of the columns.
    pub columns: Vec<(String, String)>,
    /// The rows.
    pub rows: Vec<Row>,
    /// Whether a bound left rows out.
    pub truncated: bool,
    /// Rows changed or moved.
    pub rows_affected: u64,
    /// What a verb did.
    pub report: Option<String>,
    /// What happens to the listener.
    pub listener: ListenerChange,
}

impl AdminReply {
    fn new(sql: impl Into<String>, kind: ReplyKind) -> Self {
        Self {
            sql: sql.into(),
            kind,
            columns: Vec::new(),
            rows: Vec::new(),
            truncated: false,
            rows_affected: 0,
            report: None,
            listener: ListenerChange::Unchanged,
        }
    }

    fn table(sql: impl Into<String>, kind: ReplyKind, columns: &[&str], rows: Vec<Row>) -> Self {
        let columns = columns.iter().map(|name| ((*name).to_owned(), "TEXT".to_owned())).collect();
        Self { columns, rows, ..Self::new(sql, kind) }
    }
}

/// What runs of one family.
#[derive(Clone)]
pub(crate) struct FamilyRunning {
    pub(crate) variables: Variables,
    pub(crate) tables: BTreeMap<&'static str, Vec<Row>>,
    pub(crate) origins: BTreeMap<String, Origin>,
}

/// What runs of all families, by the family's word.
pub(crate) type Running = BTreeMap<&'static str, Arc<FamilyRunning>>;

/// What the lock protects.
pub(crate) struct Inner {
    pub(crate) store: Store,
    /// Where each value in memory came from, with the value.
    pub(crate) origins: BTreeMap<String, (String, Origin)>,
    pub(crate) history: Option<PathBuf>,
}

/// The admin interface of one server. Share it behind an `Arc`.
pub struct AdminSql {
    inner: Mutex<Inner>,
    families: Vec<Family>,
    verbs: Verbs,
    running: ArcSwap<Running>,
    refusal: Mutex<Option<String>>,
    audit: Mutex<Option<Arc<dyn AuditHook>>>,
    stats: Mutex<Vec<Arc<dyn StatsTables>>>,
    checksum_key: Vec<u8>,
    is_first_start: bool,
    options: AdminOptions,
}

impl AdminSql {
    /// Opens the file and restores memory from it. Nothing runs yet; see [`start`](Self::start).
    ///
    /// # Errors
    /// What the file fails with.
    pub fn open(options: AdminOptions, families: Vec<Family>) -> ConfigResult<Self> {
        let is_first_start = !options.disk.exists();
        let store = Store::open(&options.disk, &families)?;
        let key = store.meta("checksum_key", random_token)?;
        let verbs = Verbs::new(&families);
        let me = Self {
            inner: Mutex::new(Inner { store, origins: BTreeMap::new(), history: None }),
            verbs,
            running: ArcSwap::from_pointee(Running::new()),
            refusal: Mutex::new(Some("not started".to_owned())),
            audit: Mutex::new(None),
            stats: Mutex::new(Vec::new()),
            checksum_key: key.into_bytes(),
            is_first_start,
            options,
            families,
        };
        {
            let mut inner = me.lock();
            for family in &me.families {
                for module in family.module_keys() {
                    me.disk_to_memory(&mut inner, family, module)?;
                }
            }
        }
        Ok(me)
    }

    /// Whether the file of the layer `disk` was made by [`open`](Self::open).
    #[must_use]
    pub fn is_first_start(&self) -> bool {
        self.is_first_start
    }

    /// Puts memory into use: of a first start with the configuration file in it, which is kept on disk then.
    ///
    /// # Errors
    /// What is refused; nothing of that family runs then, and `SHOW … STATUS` says why.
    pub fn start(&self) -> ConfigResult<()> {
        let outcome = self.start_all();
        let refusal = outcome.as_ref().err().map(|error| error.message.clone());
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = refusal;
        outcome
    }

    fn start_all(&self) -> ConfigResult<()> {
        let mut inner = self.lock();
        for family in &self.families {
            let modules = family.module_keys();
            if self.is_first_start && self.options.config_file.is_some() {
                self.file_to_memory(&mut inner, family, &modules)?;
            }
            self.memory_to_runtime(&mut inner, family, &modules)?;
            if self.is_first_start && self.options.config_file.is_some() {
                for module in modules {
                    self.memory_to_disk(&mut inner, family, module)?;
                }
            }
        }
        Ok(())
    }

    /// Why the start was refused.
    #[must_use]
    pub fn start_refusal(&self) -> Option<String> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells every change to an audit log.
    pub fn set_audit(&self, hook: Arc<dyn AuditHook>) {
        *self.audit.lock().unwrap_or_else(PoisonError::into_inner) = Some(hook);
    }

    /// Adds tables to the database `stats`.
    ///
    /// # Errors
    /// A table that cannot be made.
    pub fn add_stats(&self, source: Arc<dyn StatsTables>) -> ConfigResult<()> {
        self.lock().store.make_stats(source.tables())?;
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).push(source);
        Ok(())
    }

    /// The spellings of all verbs.
    #[must_use]
    pub fn verbs(&self) -> Vec<String> {
        self.verbs.list()
    }

    /// The running variables of a family, such as `MCP`.
    #[must_use]
    pub fn running_variables(&self, family: &str) -> Variables {
        self.running.load().get(family).map(|running| running.variables.clone()).unwrap_or_default()
    }

    /// Runs one statement or verb.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for what is no statement, `PERMISSION_DENIED` for what the session may not do,
    /// `FAILED_PRECONDITION` for a load that is refused.
    pub fn execute(
        &self,
        session: &AdminSession,
        text: &str,
        params: &[Cell],
        rows_max: usize,
    ) -> ConfigResult<AdminReply> {
        if text.len() > STATEMENT_BYTES_MAX {
            return Err(ToolError::limit(format!("a statement has at most {STATEMENT_BYTES_MAX} bytes"))
                .with("limit", STATEMENT_BYTES_MAX));
        }
        if text.contains('\0') {
            return Err(ToolError::invalid("a statement holds no NUL character"));
        }
        let Some(verb) = self.verbs.parse(text)? else {
            return self.sql(session, text, params, rows_max);
        };
        if !params.is_empty() {
            return Err(ToolError::invalid("verbs take no parameters").with("argument", "params"));
        }
        match verb {
            Verb::Move { family, module, direction, canonical } => {
                let family = self.family(family)?;
                self.audited(session, "verb", &canonical, &canonical, || {
                    self.run_move(family, module, direction, &canonical)
                })
            }
            Verb::Set { name, value } => self.set(session, &name, &value),
            Verb::Checksum { layer, family, module, canonical } => {
                self.checksum_reply(self.family(family)?, module, layer, &canonical)
            }
            Verb::ShowStatus { family } => self.show_status(self.family(family)?),
            Verb::ShowModule { table } => {
                let select = format!("SELECT * FROM runtime_{table} ORDER BY 1");
                let reply = self.sql(session, &select, &[], rows_max)?;
                Ok(AdminReply { sql: text.trim().to_owned(), kind: ReplyKind::Show, ..reply })
            }
            Verb::ShowVariables { family, like } => self.show_variables(family, like.as_deref(), text),
            Verb::SelectVariable { name } => self.select_variable(&name),
            Verb::ShowDatabases => Ok(self.show_databases()),
            Verb::ShowProcesslist => {
                let reply = self.sql(session, "SELECT * FROM stats.stats_mcp_processlist", &[], rows_max)?;
                Ok(AdminReply { sql: text.trim().to_owned(), kind: ReplyKind::Show, ..reply })
            }
            Verb::ShowTables { database, like } => self.show_tables(database.as_deref(), like.as_deref()),
            Verb::ShowCreateTable { table } => self.show_create(&table),
        }
    }

    fn set(&self, session: &AdminSession, name: &str, value: &str) -> ConfigResult<AdminReply> {
        let (family, variable) = self.variable(name)?;
        let full = family.full_name(variable);
        let shown = if variable.is_secret() { crate::secrets::MASK } else { value };
        let statement = format!("SET {full} = '{}'", shown.replace('\'', "''"));
        self.audited(session, "config", &format!("SET {full}"), &statement, || {
            if variable.is_secret() && !session.may_write_secrets {
                return Err(ToolError::denied(
                    "token",
                    format!("{full} is a secret: change it on the operator's own interface"),
                ));
            }
            let normal = self.normal(family, variable, value)?;
            let inner = self.lock();
            inner
                .store
                .atomic(|| inner.store.write_variable("main", &full, &normal, variable.is_secret()))?;
            let mut reply = AdminReply::new(statement.clone(), ReplyKind::Set);
            reply.rows_affected = 1;
            Ok(reply)
        })
    }

    /// Refuses read-only sessions, tells the audit log before and after.
    pub(crate) fn audited<T>(
        &self,
        session: &AdminSession,
        kind: &'static str,
        action: &str,
        statement: &str,
        work: impl FnOnce() -> ConfigResult<T>,
    ) -> ConfigResult<T> {
        let hook = self.audit.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let event = AuditEvent {
            kind,
            session: session.clone(),
            action: action.to_owned(),
            statement: statement.to_owned(),
        };
        let intent = hook.as_ref().map(|hook| hook.intent(&event)).transpose()?;
        let outcome = if session.may_write {
            work()
        } else {
            Err(ToolError::denied("token", "this session may only read"))
        };
        if let (Some(hook), Some(intent)) = (hook, intent) {
            hook.done(intent, &event, outcome.as_ref().map(|_| "ok"));
        }
        if let Err(error) = &outcome {
            tracing::warn!(action, caller = session.caller, %error, "a change of the configuration is refused");
        } else {
            tracing::info!(action, caller = session.caller, "the configuration was changed");
        }
        outcome
    }

    pub(crate) fn family(&self, name: &str) -> ConfigResult<&Family> {
        self.families
            .iter()
            .find(|family| family.name == name)
            .ok_or_else(|| ToolError::not_found("family", name))
    }

    /// The candidate that runs now, to be changed.
    pub(crate) fn running_candidate(&self, family: &Family) -> Candidate {
        let running = self.running.load().get(family.name).cloned();
        let mut candidate = Candidate::new(
            family,
            &self.options.data_dir,
            running
                .as_ref()
                .map_or_else(|| Variables::new(family.prefix, BTreeMap::new()), |r| r.variables.clone()),
        );
        if let Some(running) = running {
            candidate.tables = running.tables.clone();
        }
        candidate
    }

    pub(crate) fn path(&self, text: &str) -> PathBuf {
        self.options.data_dir.join(Path::new(text))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn sum(
        &self,
        inner: &Inner,
        family: &Family,
        module: &str,
        layer: Layer,
    ) -> ConfigResult<String> {
        let mut sum = crate::checksum::Summer::new(&self.checksum_key);
        let running = self.running.load();
        let running = running.get(family.name);
        let database = if layer == Layer::Disk { "disk" } else { "main" };
        if module == crate::family::VARIABLES {
            match layer {
                Layer::Runtime => {
                    let empty = BTreeMap::new();
                    sum.variables(family, running.map_or(&empty, |r| r.variables.values()));
                }
                _ => sum.variables(family, &inner.store.variables(database, family.prefix)?),
            }
            return Ok(sum.finish());
        }
        for table in family.tables(module) {
            match layer {
                Layer::Runtime => {
                    let rows = running.and_then(|r| r.tables.get(table.name));
                    sum.table(table, rows.map_or(&[][..], Vec::as_slice));
                }
                _ => sum.table(table, &inner.store.rows(database, table)?),
            }
        }
        Ok(sum.finish())
    }
}

impl std::fmt::Debug for AdminSql {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminSql").field("families", &self.families).finish_non_exhaustive()
    }
}
