//! A scripted engine for tests: answers by text, fails on demand, runs until interrupted; it parses almost nothing.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::connection::{
    AccountFinding, Backend, ConnectParams, Connection, Driver, Flow, Interrupt, Limits, RowSink, ServerInfo,
};
use crate::dialect::{Dialect, DialectName, Protocol, TypeFamily};
use crate::error::{HarvestCode, HarvestError, HarvestResult};
use crate::gate::{CheckedStatement, ExplainOptions, FragmentKind, GatePolicy, StatementKind, TableRef};
use crate::lexer::{LexMode, Lexer, TokenKind, strip_comments};
use crate::metadata::{MetadataRequest, MetadataSnapshot, MetadataWatch};
use crate::value::{ColType, Column, Value};

/// What the fake answers to a statement.
#[derive(Debug, Clone)]
// Exhaustive: only tests build it.
pub enum FakeAnswer {
    /// Columns and rows.
    Rows(Vec<Column>, Vec<Vec<Value>>),
    /// The same row this many times.
    Repeat(Vec<Column>, Vec<Value>, usize),
    /// A failure.
    Fails(HarvestError),
    /// Runs until its time is over or it is interrupted.
    Endless,
    /// Runs until it is interrupted, whatever its time limit says.
    Deaf,
}

#[derive(Default)]
struct State {
    answers: Vec<(String, FakeAnswer)>,
    metadata: MetadataSnapshot,
    statements: Vec<String>,
    schemas: Vec<Option<String>>,
    connects_refused: usize,
    connects: usize,
    open: usize,
    open_max: usize,
    resets: usize,
    running: usize,
    epoch: u64,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The scripted engine. Clones share one state; it is a [`Driver`] and a [`Backend`] at once.
#[derive(Clone, Default)]
pub struct FakeServer {
    shared: Arc<Shared>,
}

impl FakeServer {
    /// An engine that answers every statement with one row holding 1.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Statements that contain `part` are answered by `answer`; the latest script wins.
    pub fn answer(&self, part: &str, answer: FakeAnswer) {
        self.shared.lock().answers.insert(0, (part.to_owned(), answer));
    }

    /// Metadata reads give this.
    pub fn set_metadata(&self, metadata: MetadataSnapshot) {
        self.shared.lock().metadata = metadata;
    }

    /// The next `count` connects fail.
    pub fn refuse_connects(&self, count: usize) {
        self.shared.lock().connects_refused = count;
    }

    /// Breaks every open connection, as a restart of the engine does.
    pub fn restart(&self) {
        self.shared.lock().epoch += 1;
        self.shared.changed.notify_all();
    }

    /// The statements that reached the engine, in order.
    #[must_use]
    pub fn statements(&self) -> Vec<String> {
        self.shared.lock().statements.clone()
    }

    /// The default schema that each statement ran under.
    #[must_use]
    pub fn schemas(&self) -> Vec<Option<String>> {
        self.shared.lock().schemas.clone()
    }

    /// Successful connects so far.
    #[must_use]
    pub fn connects(&self) -> usize {
        self.shared.lock().connects
    }

    /// Open connections now, and the most at any time.
    #[must_use]
    pub fn open(&self) -> (usize, usize) {
        let state = self.shared.lock();
        (state.open, state.open_max)
    }

    /// Session resets so far.
    #[must_use]
    pub fn resets(&self) -> usize {
        self.shared.lock().resets
    }

    /// Statements running now.
    #[must_use]
    pub fn running(&self) -> usize {
        self.shared.lock().running
    }

    fn open_connection(&self) -> HarvestResult<Box<dyn Connection>> {
        let mut state = self.shared.lock();
        if state.connects_refused > 0 {
            state.connects_refused -= 1;
            return Err(HarvestError::new(HarvestCode::Unavailable, "the backend refuses connections"));
        }
        state.connects += 1;
        state.open += 1;
        state.open_max = state.open_max.max(state.open);
        Ok(Box::new(FakeConnection {
            shared: Arc::clone(&self.shared),
            server: ServerInfo::new("fake 1", "main"),
            stop: Arc::new(FakeInterrupt {
                shared: Arc::clone(&self.shared),
                hit: Mutex::new(Hit::default()),
            }),
            epoch: state.epoch,
        }))
    }
}

impl Driver for FakeServer {
    fn protocol(&self) -> Protocol {
        Protocol::Sqlite
    }

    fn schemes(&self) -> &'static [&'static str] {
        &["fake"]
    }

    fn default_port(&self) -> u16 {
        0
    }

    fn dialect(&self) -> &'static dyn Dialect {
        &FakeDialect
    }

    fn connect(&self, _: &ConnectParams) -> HarvestResult<Box<dyn Connection>> {
        self.open_connection()
    }
}

impl Backend for FakeServer {
    fn dialect(&self) -> &'static dyn Dialect {
        &FakeDialect
    }

    fn connect(&self) -> HarvestResult<Box<dyn Connection>> {
        self.open_connection()
    }
}

#[derive(Default)]
struct Hit {
    running: bool,
    interrupted: bool,
}

struct FakeInterrupt {
    shared: Arc<Shared>,
    hit: Mutex<Hit>,
}

impl FakeInterrupt {
    fn hit(&self) -> MutexGuard<'_, Hit> {
        self.hit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Interrupt for FakeInterrupt {
    fn interrupt(&self) {
        {
            let mut hit = self.hit();
            if hit.running {
                hit.interrupted = true;
            }
        }
        drop(self.shared.lock());
        self.shared.changed.notify_all();
    }
}

struct FakeConnection {
    shared: Arc<Shared>,
    server: ServerInfo,
    stop: Arc<FakeInterrupt>,
    epoch: u64,
}

impl FakeConnection {
    fn alive(&self) -> HarvestResult<()> {
        if self.shared.lock().epoch == self.epoch {
            return Ok(());
        }
        Err(HarvestError::new(HarvestCode::Unavailable, "the connection was lost").broken())
    }

    fn run_until_stopped(&self, timeout_ms: u64) -> HarvestResult<()> {
        let end = (timeout_ms > 0).then(|| Instant::now() + Duration::from_millis(timeout_ms));
        let mut state = self.shared.lock();
        loop {
            if self.stop.hit().interrupted {
                return Err(HarvestError::new(HarvestCode::Cancelled, "the statement was interrupted"));
            }
            if state.epoch != self.epoch {
                return Err(HarvestError::new(HarvestCode::Unavailable, "the connection was lost").broken());
            }
            let now = Instant::now();
            let wait = match end {
                Some(end) if end <= now => {
                    return Err(HarvestError::new(
                        HarvestCode::DeadlineExceeded,
                        format!("the statement ran longer than {timeout_ms} ms"),
                    ));
                }
                Some(end) => end - now,
                None => Duration::from_secs(1),
            };
            let waited = self.shared.changed.wait_timeout(state, wait);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn reply(&self, answer: FakeAnswer, limits: &Limits, sink: &mut dyn RowSink) -> HarvestResult<()> {
        match answer {
            FakeAnswer::Rows(columns, rows) => {
                sink.columns(&columns)?;
                for row in rows {
                    if sink.row(row)? == Flow::Stop {
                        break;
                    }
                }
                Ok(())
            }
            FakeAnswer::Repeat(columns, row, count) => {
                sink.columns(&columns)?;
                for _ in 0..count {
                    if sink.row(row.clone())? == Flow::Stop {
                        break;
                    }
                }
                Ok(())
            }
            FakeAnswer::Fails(error) => Err(error),
            FakeAnswer::Endless => self.run_until_stopped(limits.timeout_ms),
            FakeAnswer::Deaf => self.run_until_stopped(0),
        }
    }
}

impl Drop for FakeConnection {
    fn drop(&mut self) {
        self.shared.lock().open -= 1;
    }
}

impl Connection for FakeConnection {
    fn server(&self) -> &ServerInfo {
        &self.server
    }

    fn dialect(&self) -> &'static dyn Dialect {
        &FakeDialect
    }

    fn interrupt(&self) -> Arc<dyn Interrupt> {
        Arc::clone(&self.stop) as Arc<dyn Interrupt>
    }

    fn query(
        &mut self,
        statement: &CheckedStatement,
        _params: &[Value],
        schema: Option<&str>,
        limits: &Limits,
        sink: &mut dyn RowSink,
    ) -> HarvestResult<()> {
        self.alive()?;
        *self.stop.hit() = Hit { running: true, interrupted: false };
        let answer = {
            let mut state = self.shared.lock();
            state.statements.push(statement.sql.clone());
            state.schemas.push(schema.map(str::to_owned));
            state.running += 1;
            state
                .answers
                .iter()
                .find(|(part, _)| statement.sql.contains(part.as_str()))
                .map(|(_, a)| a.clone())
        };
        let answer = answer.unwrap_or_else(|| {
            FakeAnswer::Rows(vec![Column::new("n", ColType::Integer, "int")], vec![vec![Value::Int(1)]])
        });
        let result = self.reply(answer, limits, sink);
        self.shared.lock().running -= 1;
        self.stop.hit().running = false;
        result
    }

    fn validate(&mut self, _: &CheckedStatement, _: Option<&str>) -> HarvestResult<Vec<Column>> {
        self.alive()?;
        Ok(vec![Column::new("n", ColType::Integer, "int")])
    }

    fn metadata(
        &mut self,
        request: &MetadataRequest,
        _: &mut dyn MetadataWatch,
    ) -> HarvestResult<MetadataSnapshot> {
        self.alive()?;
        let mut snapshot = self.shared.lock().metadata.clone();
        if let Some(wanted) = &request.schemas {
            snapshot.schemas.retain(|schema| wanted.contains(&schema.name));
            snapshot.objects.retain(|object| wanted.contains(&object.schema));
        }
        if let Some(wanted) = &request.object {
            snapshot.objects.retain(|object| object.name == *wanted);
        }
        Ok(snapshot)
    }

    fn examine_account(&mut self) -> HarvestResult<Vec<AccountFinding>> {
        self.alive()?;
        Ok(Vec::new())
    }

    fn ping(&mut self) -> HarvestResult<()> {
        self.alive()
    }

    fn reset(&mut self) -> HarvestResult<()> {
        self.alive()?;
        self.shared.lock().resets += 1;
        Ok(())
    }
}

/// The fake's dialect: double-quoted names, `?` parameters, and a gate that looks at the first word.
#[derive(Debug, Clone, Copy)]
// Exhaustive: it has no state.
pub struct FakeDialect;

impl FakeDialect {
    fn kind(word: &str) -> HarvestResult<StatementKind> {
        match word.to_ascii_uppercase().as_str() {
            "SELECT" | "WITH" | "VALUES" | "TABLE" => Ok(StatementKind::Select),
            "EXPLAIN" => Ok(StatementKind::Explain),
            "SHOW" => Ok(StatementKind::Show),
            "DESCRIBE" => Ok(StatementKind::Describe),
            "PRAGMA" => Ok(StatementKind::Pragma),
            "INSERT" | "UPDATE" | "DELETE" | "DROP" | "CREATE" | "ALTER" | "ATTACH" => {
                Err(HarvestError::gate(word.to_ascii_uppercase(), "only read-only statements run"))
            }
            _ => Err(HarvestError::syntax(format!("no statement begins with {word:?}"), Some(0))),
        }
    }
}

impl Dialect for FakeDialect {
    fn name(&self) -> DialectName {
        DialectName::Sqlite
    }

    fn quote_identifier(&self, name: &str) -> String {
        format!("\"{}\"", name.replace('"', "\"\""))
    }

    fn quote_literal(&self, text: &str) -> String {
        format!("'{}'", text.replace('\'', "''"))
    }

    fn placeholder(&self, _: usize) -> String {
        "?".to_owned()
    }

    fn check(&self, sql: &str, policy: &GatePolicy) -> HarvestResult<CheckedStatement> {
        if sql.len() > policy.sql_bytes_max {
            let (limit, value) = (policy.sql_bytes_max as u64, sql.len() as u64);
            return Err(HarvestError::limit("the statement is too long", limit, value, "mcp-max_sql_bytes"));
        }
        let mode = LexMode::of(DialectName::Sqlite);
        let text = strip_comments(sql, mode).trim().trim_end_matches(';').trim_end().to_owned();
        let tokens: Vec<_> = Lexer::new(&text, mode).filter(|t| !t.kind.is_blank()).collect();
        let Some(first) = tokens.first() else {
            return Err(HarvestError::syntax("the statement is empty", None));
        };
        let kind = Self::kind(first.text)?;
        if kind == StatementKind::Explain && !policy.allow_explain {
            return Err(HarvestError::gate("EXPLAIN", "the target does not allow plans"));
        }
        if tokens.iter().any(|t| t.kind == TokenKind::Semicolon) {
            return Err(HarvestError::gate("several statements", "send one statement"));
        }
        let mut statement = CheckedStatement::vouched(text.as_str(), kind);
        for pair in tokens.windows(2) {
            if pair[0].is_word("from") || pair[0].is_word("join") {
                let name = pair[1].text.trim_matches('"').to_owned();
                statement.tables.push(TableRef { schema: None, name });
            }
            if pair[0].kind == TokenKind::Word && pair[1].kind == TokenKind::Open {
                statement.functions.push(pair[0].text.to_ascii_lowercase());
            }
        }
        statement.tables.sort();
        statement.functions.sort();
        statement.params = tokens.iter().filter(|t| t.kind == TokenKind::Param).count();
        Ok(statement)
    }

    fn check_fragment(&self, sql: &str, _: FragmentKind, _: &GatePolicy) -> HarvestResult<String> {
        let mode = LexMode::of(DialectName::Sqlite);
        let text = strip_comments(sql, mode).trim().to_owned();
        if text.is_empty() || Lexer::new(&text, mode).any(|t| t.kind == TokenKind::Semicolon) {
            return Err(HarvestError::syntax("the fragment is no expression", None));
        }
        Ok(text)
    }

    fn explain(
        &self,
        statement: &CheckedStatement,
        options: ExplainOptions,
    ) -> HarvestResult<CheckedStatement> {
        if options.analyze {
            return Err(HarvestError::new(
                HarvestCode::FailedPrecondition,
                "the engine cannot measure plans",
            ));
        }
        let inner = statement.sql.strip_prefix("EXPLAIN ").unwrap_or(&statement.sql);
        let mut plan = CheckedStatement::vouched(format!("EXPLAIN {inner}"), StatementKind::Explain);
        plan.tables.clone_from(&statement.tables);
        Ok(plan)
    }

    fn type_family(&self, data_type: &str) -> TypeFamily {
        match data_type {
            "integer" | "int" => TypeFamily::Integer,
            "text" | "varchar" => TypeFamily::String,
            "datetime" | "date" => TypeFamily::Temporal,
            _ => TypeFamily::Other,
        }
    }

    fn is_time_type(&self, data_type: &str) -> bool {
        self.type_family(data_type) == TypeFamily::Temporal
    }

    fn is_system_schema(&self, schema: &str) -> bool {
        schema == "system"
    }
}
