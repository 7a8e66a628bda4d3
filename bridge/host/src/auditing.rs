//! What goes into the audit log: calls, changes of the configuration, refused logins, the listener; it does not know how rows are kept.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use bridge::{Next, ToolLayer};
use mcp::{CallContext, ErrorCode, ToolError, ToolOutput, ToolResult, ToolSpec};
use mcp_config::{AuditEvent, AuditHook, Candidate, ConfigResult, VARIABLES, refused};
use mcp_tools::{AuditLog, AuditRow};
use serde_json::{Map, Value, json};

use crate::host::CONFIG;
use crate::ops::ADMIN;
use crate::runtime::ConfigConsumer;

/// Addresses whose refused logins are counted one by one; more share one row a minute.
const ADDRESSES_MAX: usize = 1_000;
/// Time between two looks at the clock of the counts, in milliseconds.
const LOOK_MS: u64 = 1_000;
/// Time between two looks for rows beyond their retention.
const RETENTION_LOOK: Duration = Duration::from_secs(3_600);

/// One open store.
struct Open {
    path: PathBuf,
    log: AuditLog,
}

impl Open {
    fn new(path: &Path) -> ToolResult<Arc<Self>> {
        Ok(Arc::new(Self { path: path.to_owned(), log: AuditLog::open(path)? }))
    }
}

/// Refused logins by minute, endpoint and address.
type Refusals = BTreeMap<(u64, String, String), u64>;

/// Records what operators and agents do. Of a destructive action the intent is durable before it runs; without it the
/// action does not run.
pub(crate) struct Auditor {
    open: ArcSwap<Open>,
    /// A store that a load has opened and not yet put into use.
    next: Mutex<Option<Arc<Open>>>,
    is_on: AtomicBool,
    retention_days: AtomicU32,
    /// Where the intents of statements that still run were written.
    intents: Mutex<HashMap<u64, (Arc<Open>, i64)>>,
    serial: AtomicU64,
    refusals: Mutex<Refusals>,
    is_closed: Mutex<bool>,
    closing: Condvar,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn minute() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() / 60)
}

impl Auditor {
    /// Opens the store.
    pub(crate) fn open(path: &Path) -> ToolResult<Arc<Self>> {
        let me = Arc::new(Self {
            open: ArcSwap::new(Open::new(path)?),
            next: Mutex::default(),
            is_on: AtomicBool::new(true),
            retention_days: AtomicU32::new(365),
            intents: Mutex::default(),
            serial: AtomicU64::new(1),
            refusals: Mutex::default(),
            is_closed: Mutex::new(false),
            closing: Condvar::new(),
        });
        let weak = Arc::downgrade(&me);
        let thread = std::thread::Builder::new().name("audit".to_owned()).spawn(move || tend(&weak));
        if let Err(cause) = thread {
            tracing::error!(%cause, "no thread for the audit log: refused logins are counted at the end only");
        }
        Ok(me)
    }

    /// The store in use; `None` while the log is off.
    fn current(&self) -> Option<Arc<Open>> {
        self.is_on.load(Ordering::Acquire).then(|| self.open.load_full())
    }

    /// One line about the log, for reports.
    pub(crate) fn line(&self) -> String {
        let open = self.open.load();
        let name = open.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        match (self.is_on.load(Ordering::Acquire), open.log.rows()) {
            (false, _) => "off: mcp-audit_enabled is false".to_owned(),
            (true, Ok(rows)) => format!("on, {rows} rows in {name}"),
            (true, Err(error)) => format!("failing: {error}"),
        }
    }

    /// Path, whether it is on, days of retention.
    #[cfg(test)]
    pub(crate) fn facts(&self) -> (PathBuf, bool, u32) {
        let is_on = self.is_on.load(Ordering::Acquire);
        (self.open.load().path.clone(), is_on, self.retention_days.load(Ordering::Acquire))
    }

    /// A row that follows from something done, where a failure to write it undoes nothing.
    fn note(&self, row: &AuditRow<'_>) {
        if let Some(open) = self.current() {
            // The log reports its own failure.
            let _ = open.log.append(row);
        }
    }

    /// A login was refused. It is counted here and written by the log's own thread, so that the listener never waits.
    pub(crate) fn login_refused(&self, endpoint: &str, address: &str) {
        let mut refusals = lock(&self.refusals);
        let full = refusals.len() >= ADDRESSES_MAX;
        let key = (minute(), endpoint.to_owned(), address.to_owned());
        match refusals.get_mut(&key) {
            Some(count) => *count += 1,
            None if full => *refusals.entry((key.0, String::new(), "others".to_owned())).or_default() += 1,
            None => drop(refusals.insert(key, 1)),
        }
    }

    /// Writes the counts of minutes that are over; with `all` those of this minute too.
    fn flush_refusals(&self, all: bool) {
        let mut refusals = lock(&self.refusals);
        let rest =
            if all { Refusals::new() } else { refusals.split_off(&(minute(), String::new(), String::new())) };
        let over = std::mem::replace(&mut *refusals, rest);
        drop(refusals);
        for ((minute, endpoint, address), count) in over {
            let what = json!({"refused": count, "minute": minute * 60}).to_string();
            self.note(&AuditRow {
                kind: "auth",
                caller: "unknown",
                client_address: Some(&address),
                endpoint: Some(endpoint.as_str()).filter(|endpoint| !endpoint.is_empty()),
                action: "authentication",
                arguments_json: Some(&what),
                outcome: "refused",
                ..AuditRow::default()
            });
        }
    }

    /// The listener was started, moved or stopped, or could not be.
    pub(crate) fn listener(&self, action: &str, outcome: Result<&str, &str>) {
        let (word, detail) = match outcome {
            Ok(detail) => ("ok", detail),
            Err(detail) => ("error", detail),
        };
        self.note(&AuditRow {
            kind: "listener",
            caller: "local",
            action,
            outcome: word,
            detail: Some(detail),
            ..AuditRow::default()
        });
    }

    /// Removes what is older than its retention.
    fn retain(&self) {
        if let Some(open) = self.current() {
            match open.log.retain(self.retention_days.load(Ordering::Acquire)) {
                Ok(0) | Err(_) => {}
                Ok(rows) => tracing::info!(rows, "audit rows beyond their retention were removed"),
            }
        }
    }

    /// Writes what is still counted; the log stays usable.
    pub(crate) fn close(&self) {
        self.flush_refusals(true);
        *lock(&self.is_closed) = true;
        self.closing.notify_all();
    }
}

/// Writes counts when their minute is over, and looks after the retention.
fn tend(auditor: &Weak<Auditor>) {
    let mut looked: Option<Instant> = None;
    while let Some(auditor) = auditor.upgrade() {
        if looked.is_none_or(|at| at.elapsed() >= RETENTION_LOOK) {
            // Not at once: the configuration that says how long is only being read.
            if looked.is_some() {
                auditor.retain();
            }
            looked = Some(Instant::now());
        }
        auditor.flush_refusals(false);
        let closed = lock(&auditor.is_closed);
        let look = Duration::from_millis(LOOK_MS);
        let (closed, _) = auditor.closing.wait_timeout(closed, look).unwrap_or_else(PoisonError::into_inner);
        if *closed {
            return;
        }
    }
}

impl ConfigConsumer for Auditor {
    fn check(&self, candidate: &Candidate) -> ConfigResult<()> {
        let path = candidate.data_dir.join(candidate.variables().text("audit_path"));
        let mut next = lock(&self.next);
        *next = None;
        if self.open.load().path != path {
            let opened = Open::new(&path)
                .map_err(|error| refused(VARIABLES, Some("mcp-audit_path"), error.message))?;
            *next = Some(opened);
        }
        Ok(())
    }

    fn apply(&self, candidate: &Candidate) {
        let variables = candidate.variables();
        let setting = |action: &str, value: &Value| {
            let what = json!({"value": value}).to_string();
            self.note(&AuditRow {
                kind: "config",
                caller: "local",
                action,
                arguments_json: Some(&what),
                outcome: "ok",
                ..AuditRow::default()
            });
        };
        let fresh = lock(&self.next).take();
        if let Some(fresh) = fresh {
            let place = Value::from(variables.text("audit_path"));
            // The old chain says where it goes on, the new one that it begins.
            setting("audit_path", &place);
            self.open.store(fresh);
            setting("audit_path", &place);
        }
        let is_on = variables.flag("audit_enabled");
        if is_on != self.is_on.load(Ordering::Acquire) {
            // Turning it off is itself recorded, and so is turning it on.
            if is_on {
                self.is_on.store(true, Ordering::Release);
            }
            setting("audit_enabled", &Value::Bool(is_on));
            self.is_on.store(is_on, Ordering::Release);
        }
        let days = variables.int("audit_retention_days");
        self.retention_days.store(days, Ordering::Release);
        self.retain();
    }
}

impl AuditHook for Auditor {
    fn intent(&self, event: &AuditEvent) -> ConfigResult<u64> {
        let Some(open) = self.current() else { return Ok(0) };
        let what = json!({"statement": event.statement}).to_string();
        let id = open.log.append(&AuditRow { outcome: "intent", ..row_of(event, &what) })?;
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        lock(&self.intents).insert(serial, (open, id));
        Ok(serial)
    }

    fn done(&self, intent: u64, event: &AuditEvent, outcome: Result<&str, &ToolError>) {
        let Some((open, id)) = lock(&self.intents).remove(&intent) else { return };
        let what = json!({"statement": event.statement}).to_string();
        let error = outcome.err();
        let row = AuditRow {
            outcome: error.map_or("ok", outcome_of),
            error_code: error.map(|e| e.code.as_str()),
            detail: error.map(|e| e.message.as_str()),
            ref_id: Some(id),
            ..row_of(event, &what)
        };
        // The change is made or refused: a log that fails now reports it itself.
        let _ = open.log.append(&row);
    }
}

fn row_of<'a>(event: &'a AuditEvent, what: &'a str) -> AuditRow<'a> {
    let some = |text: &'a str| Some(text).filter(|text| !text.is_empty());
    AuditRow {
        kind: event.kind,
        caller: &event.session.caller,
        client_address: some(&event.session.client_address),
        endpoint: some(&event.session.endpoint),
        action: &event.action,
        arguments_json: Some(what),
        ..AuditRow::default()
    }
}

fn outcome_of(error: &ToolError) -> &'static str {
    match error.code {
        ErrorCode::PermissionDenied | ErrorCode::FailedPrecondition | ErrorCode::InvalidArgument => "refused",
        _ => "error",
    }
}

/// Calls of `/mcp/admin`, and those of destructive tools anywhere. What `/mcp/config` changes is recorded by the admin
/// interface, which knows what is secret in a statement; here are only its calls that a scope refused.
impl ToolLayer for Auditor {
    fn call(
        &self,
        cx: &CallContext,
        spec: &ToolSpec,
        args: Map<String, Value>,
        next: Next<'_>,
    ) -> ToolResult<ToolOutput> {
        let (is_config, destructive) = (&*cx.endpoint == CONFIG, spec.annotations.destructive_hint);
        let audited = destructive || &*cx.endpoint == ADMIN || matches!(spec.name.as_str(), "set_config");
        let Some(open) = self.current().filter(|_| audited || spec.name == "set_cache_ttl") else {
            return next.run(cx, spec, args);
        };
        let arguments = if is_config { Map::new() } else { masked(&args) };
        let arguments = Value::Object(arguments).to_string();
        let target = args.get("target_id").and_then(Value::as_str).map(str::to_owned);
        let address = Some(cx.caller.address.as_str()).filter(|address| !address.is_empty());
        let row = AuditRow {
            kind: "tool",
            caller: &cx.caller.token_name,
            client_address: address,
            endpoint: Some(&cx.endpoint),
            action: &spec.name,
            target_id: target.as_deref(),
            arguments_json: Some(&arguments),
            outcome: "intent",
            ..AuditRow::default()
        };
        let ref_id = if destructive && !is_config { Some(open.log.append(&row)?) } else { None };
        let result = next.run(cx, spec, args);
        let error = result.as_ref().err();
        if is_config && !error.is_some_and(|e| e.code == ErrorCode::PermissionDenied) {
            return result;
        }
        let outcome = match &result {
            Ok(output) if !output.is_error => "ok",
            Err(error) => outcome_of(error),
            Ok(_) => "error",
        };
        let detail = error.map(|e| e.message.as_str());
        let code = error.map(|e| e.code.as_str());
        // The action is done: a log that fails now is reported by the log itself, not as a failure of the action.
        let _ = open.log.append(&AuditRow { outcome, error_code: code, detail, ref_id, ..row });
        result
    }
}

/// Arguments whose names speak of secrets show `***`.
fn masked(args: &Map<String, Value>) -> Map<String, Value> {
    let secret = |name: &str| {
        let name = name.to_ascii_lowercase();
        ["password", "secret", "token", "api_key", "credential"].iter().any(|word| name.contains(word))
            && name != "page_token"
    };
    let mask = |(name, value): (&String, &Value)| {
        (name.clone(), if secret(name) { Value::from("***") } else { masked_value(value) })
    };
    args.iter().map(mask).collect()
}

fn masked_value(value: &Value) -> Value {
    match value {
        Value::Object(inner) => Value::Object(masked(inner)),
        Value::Array(list) => list.iter().map(masked_value).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_arguments_are_masked_at_any_depth() {
        let args =
            json!({"a": [{"api_key": "k"}], "Password": "p", "page_token": "t", "b": {"auth_token": 1}});
        let Value::Object(args) = args else { panic!("an object") };
        let shown = Value::Object(masked(&args));
        assert_eq!(
            shown,
            json!({"a": [{"api_key": "***"}], "Password": "***", "page_token": "t", "b": {"auth_token": "***"}})
        );
    }

    #[test]
    fn refused_logins_are_counted_by_address_and_minute() {
        let folder = tempfile::tempdir().expect("a folder");
        let auditor = Auditor::open(&folder.path().join("audit.db")).expect("opens");
        for _ in 0..3 {
            auditor.login_refused("/mcp/query", "10.0.0.1");
        }
        for n in 0..=ADDRESSES_MAX {
            auditor.login_refused("/mcp/query", &format!("10.1.{}.{}", n / 256, n % 256));
        }
        auditor.close();
        let report = auditor.open.load().log.verify().expect("reads");
        // One row an address, and one for those beyond the bound; more if a minute ended meanwhile.
        assert!(report.rows > ADDRESSES_MAX as u64 && report.fault.is_none(), "{report:?}");
    }
}
