//! What a statement of an operator or agent may touch, decided while SQLite prepares it; it runs nothing.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

/// A table and the column that is never read back.
pub(crate) type Secret = (&'static str, &'static str);

/// What one statement may do and has named.
#[derive(Debug, Default)]
struct State {
    is_on: bool,
    may_write: bool,
    may_touch_tokens: bool,
    deadline: Option<Instant>,
    read: BTreeSet<(String, String)>,
    written: BTreeSet<(String, String)>,
    refusal: Option<String>,
    touches_secret: bool,
}

/// Lists that do not change after the start.
#[derive(Debug, Default)]
struct Lists {
    writable: Vec<&'static str>,
    secrets: Vec<Secret>,
    hashed: Vec<&'static str>,
}

/// Shared between the connection's callbacks and whoever arms them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guard {
    state: Arc<Mutex<State>>,
    lists: Arc<Lists>,
}

/// What a statement has named.
#[derive(Debug, Default)]
pub(crate) struct Named {
    pub(crate) read: BTreeSet<(String, String)>,
    pub(crate) written: BTreeSet<(String, String)>,
    pub(crate) touches_secret: bool,
}

/// Tables with values that stay inside, in every database.
pub(crate) const HIDDEN: &[&str] = &["admin_secrets", "admin_meta"];

const REFUSED_FUNCTIONS: &[&str] = &["load_extension", "fts3_tokenizer", "fts5", "randomblob", "zeroblob"];

impl Guard {
    pub(crate) fn new(writable: Vec<&'static str>, secrets: Vec<Secret>, hashed: Vec<&'static str>) -> Self {
        Self { state: Arc::default(), lists: Arc::new(Lists { writable, secrets, hashed }) }
    }

    /// Watches statements from now on.
    pub(crate) fn arm(&self, may_write: bool, may_touch_tokens: bool, deadline: Instant) {
        *self.lock() =
            State { is_on: true, may_write, may_touch_tokens, deadline: Some(deadline), ..State::default() };
    }

    /// Lets the configuration's own statements through, and gives what was named.
    pub(crate) fn disarm(&self) -> Named {
        let mut state = self.lock();
        state.is_on = false;
        state.deadline = None;
        Named {
            read: std::mem::take(&mut state.read),
            written: std::mem::take(&mut state.written),
            touches_secret: state.touches_secret,
        }
    }

    /// Why the last statement was refused.
    pub(crate) fn take_refusal(&self) -> Option<String> {
        self.lock().refusal.take()
    }

    /// Whether the time of the statement is over.
    pub(crate) fn is_late(&self) -> bool {
        self.lock().deadline.is_some_and(|deadline| Instant::now() > deadline)
    }

    /// The decision about one action.
    pub(crate) fn decide(&self, context: &AuthContext<'_>) -> Authorization {
        let mut state = self.lock();
        if !state.is_on {
            return Authorization::Allow;
        }
        let database = context.database_name.unwrap_or("main").to_ascii_lowercase();
        match context.action {
            AuthAction::Select | AuthAction::Recursive => Authorization::Allow,
            AuthAction::Read { table_name, column_name } => {
                self.read(&mut state, &database, table_name, column_name)
            }
            AuthAction::Insert { table_name }
            | AuthAction::Delete { table_name }
            | AuthAction::Update { table_name, .. } => self.write(&mut state, &database, table_name),
            AuthAction::Function { function_name } => {
                if REFUSED_FUNCTIONS.iter().any(|name| name.eq_ignore_ascii_case(function_name)) {
                    return deny(&mut state, format!("the function {function_name} is not allowed here"));
                }
                Authorization::Allow
            }
            _ => deny(
                &mut state,
                "only SELECT, WITH, VALUES, INSERT, UPDATE, DELETE, REPLACE and the verbs are allowed here"
                    .to_owned(),
            ),
        }
    }

    fn read(&self, state: &mut State, database: &str, table: &str, column: &str) -> Authorization {
        let is_internal = table.starts_with("sqlite_") && !matches!(table, "sqlite_schema" | "sqlite_master");
        if HIDDEN.iter().any(|name| name.eq_ignore_ascii_case(table)) || is_internal || table == "dbstat" {
            return deny(state, format!("the table {table} is not readable"));
        }
        if let Some(refused) = self.token_table(state, table) {
            return refused;
        }
        state.read.insert((database.to_owned(), table.to_ascii_lowercase()));
        let is_secret =
            |(of, name): &Secret| of.eq_ignore_ascii_case(table) && name.eq_ignore_ascii_case(column);
        if self.lists.secrets.iter().any(is_secret) { Authorization::Ignore } else { Authorization::Allow }
    }

    fn write(&self, state: &mut State, database: &str, table: &str) -> Authorization {
        if !state.may_write {
            return deny(state, "this session may only read".to_owned());
        }
        let writable = self.lists.writable.iter().any(|name| name.eq_ignore_ascii_case(table));
        if !writable || !matches!(database, "main" | "disk") {
            return deny(state, format!("the table {database}.{table} is read-only"));
        }
        if let Some(refused) = self.token_table(state, table) {
            return refused;
        }
        state.touches_secret |= self.lists.secrets.iter().any(|(of, _)| of.eq_ignore_ascii_case(table))
            || table.eq_ignore_ascii_case("global_variables");
        state.written.insert((database.to_owned(), table.to_ascii_lowercase()));
        Authorization::Allow
    }

    fn token_table(&self, state: &mut State, table: &str) -> Option<Authorization> {
        let is_token_table = self.lists.hashed.iter().any(|name| name.eq_ignore_ascii_case(table));
        (is_token_table && !state.may_touch_tokens)
            .then(|| deny(state, format!("the table {table} is for the operator's own interface only")))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn deny(state: &mut State, why: String) -> Authorization {
    state.refusal = Some(why);
    Authorization::Deny
}
