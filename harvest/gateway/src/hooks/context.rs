//! What hooks are told about a statement before and after it runs; it holds borrowed data only for the call.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use harvest::{HarvestError, Protocol};

/// Where in its life a statement is.
// Exhaustive: hosts and hooks agree on these three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// A plain statement.
    #[default]
    Query,
    /// A statement being prepared.
    Prepare,
    /// A prepared statement being run.
    Execute,
}

/// Whether the session is inside a transaction.
// Exhaustive: hosts and hooks agree on these four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names say it")]
pub enum TransactionState {
    #[default]
    Idle,
    Active,
    Failed,
    Unknown,
}

/// Lexical settings of a MySQL session.
// Exhaustive: these two change how a text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SqlMode {
    /// Double quotes delimit identifiers.
    pub ansi_quotes: bool,
    /// A backslash is an ordinary character.
    pub no_backslash_escapes: bool,
}

/// Where a hook leaves the digest that it found before the statement, so that nobody reads the text twice.
#[derive(Debug, Default)]
pub struct DigestNote(OnceDigest);

#[derive(Debug, Default)]
struct OnceDigest {
    digest: AtomicU64,
    is_set: AtomicBool,
}

impl DigestNote {
    /// The digest that was left, if one was.
    #[must_use]
    pub fn get(&self) -> Option<u64> {
        self.0.is_set.load(Ordering::Acquire).then(|| self.0.digest.load(Ordering::Relaxed))
    }

    fn set(&self, digest: u64) {
        self.0.digest.store(digest, Ordering::Relaxed);
        self.0.is_set.store(true, Ordering::Release);
    }
}

/// A statement about to run. Build it with [`PreQueryContext::builder`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PreQueryContext<'a> {
    sql: &'a [u8],
    user: &'a str,
    schema: &'a str,
    protocol: Protocol,
    client_addr: Option<IpAddr>,
    client_port: u16,
    session_id: u64,
    prepared: bool,
    phase: Phase,
    transaction: TransactionState,
    tls: bool,
    digest: Option<u64>,
    multi_statements: Option<bool>,
    sql_mode: Option<SqlMode>,
    hostgroup: Option<i32>,
    tool: &'a str,
    target_id: &'a str,
    note: Option<&'a DigestNote>,
}

macro_rules! getters {
    ($($(#[$doc:meta])* $name:ident: $kind:ty),* $(,)?) => {
        $($(#[$doc])* #[must_use] pub fn $name(&self) -> $kind { self.$name })*
    };
}

impl<'a> PreQueryContext<'a> {
    /// Starts a context with what every statement has.
    #[must_use]
    pub fn builder(
        sql: &'a [u8],
        user: &'a str,
        schema: &'a str,
        protocol: Protocol,
    ) -> PreQueryContextBuilder<'a> {
        PreQueryContextBuilder {
            context: PreQueryContext {
                sql,
                user,
                schema,
                protocol,
                client_addr: None,
                client_port: 0,
                session_id: 0,
                prepared: false,
                phase: Phase::Query,
                transaction: TransactionState::Idle,
                tls: false,
                digest: None,
                multi_statements: None,
                sql_mode: None,
                hostgroup: None,
                tool: "",
                target_id: "",
                note: None,
            },
        }
    }

    getters! {
        /// The text.
        sql: &'a [u8],
        /// Who sends it.
        user: &'a str,
        /// Default schema.
        schema: &'a str,
        /// Protocol of the backend.
        protocol: Protocol,
        /// Address of the client.
        client_addr: Option<IpAddr>,
        /// Port of the client.
        client_port: u16,
        /// Session or call number.
        session_id: u64,
        /// Whether the statement is a prepared one.
        prepared: bool,
        /// Where in its life the statement is.
        phase: Phase,
        /// Whether the session is inside a transaction.
        transaction: TransactionState,
        /// Whether the client came over TLS.
        tls: bool,
        /// Digest, when the host has it.
        digest: Option<u64>,
        /// Whether the session may send several statements at once.
        multi_statements: Option<bool>,
        /// Lexical settings.
        sql_mode: Option<SqlMode>,
        /// Group of backends.
        hostgroup: Option<i32>,
        /// Tool that sends it; empty in a proxy.
        tool: &'a str,
        /// Target; empty in a proxy.
        target_id: &'a str,
    }

    /// Leaves the statement's digest where the host asked for it; a later text's digest replaces it.
    pub fn note_digest(&self, digest: u64) {
        if let Some(note) = self.note {
            note.set(digest);
        }
    }

    /// The same statement with another text.
    #[must_use]
    pub fn with_sql<'b>(&self, sql: &'b [u8]) -> PreQueryContext<'b>
    where
        'a: 'b,
    {
        PreQueryContext { sql, digest: None, ..self.clone() }
    }
}

/// Collects the optional parts of a [`PreQueryContext`].
#[derive(Debug, Clone)]
pub struct PreQueryContextBuilder<'a> {
    context: PreQueryContext<'a>,
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $kind:ty),* $(,)?) => {
        $($(#[$doc])* #[must_use] pub fn $name(mut self, $name: $kind) -> Self { self.context.$name = $name; self })*
    };
}

impl<'a> PreQueryContextBuilder<'a> {
    setters! {
        /// Sets the client's port.
        client_port: u16,
        /// Sets the session or call number.
        session_id: u64,
        /// Sets whether the statement is a prepared one.
        prepared: bool,
        /// Sets the phase.
        phase: Phase,
        /// Sets the transaction state.
        transaction: TransactionState,
        /// Sets whether the client came over TLS.
        tls: bool,
        /// Sets the digest.
        digest: Option<u64>,
        /// Sets whether several statements may come at once.
        multi_statements: Option<bool>,
        /// Sets the lexical settings.
        sql_mode: Option<SqlMode>,
        /// Sets the group of backends.
        hostgroup: Option<i32>,
        /// Sets the tool.
        tool: &'a str,
        /// Sets the target.
        target_id: &'a str,
    }

    /// Sets the client's address.
    #[must_use]
    pub fn client_addr(mut self, address: Option<IpAddr>) -> Self {
        self.context.client_addr = address;
        self
    }

    /// Asks hooks to leave the digest here; the host gives it back in [`PostQueryFeedback::digest`].
    #[must_use]
    pub fn note(mut self, note: &'a DigestNote) -> Self {
        self.context.note = Some(note);
        self
    }

    /// The finished context.
    #[must_use]
    pub fn build(self) -> PreQueryContext<'a> {
        self.context
    }
}

/// How a statement went.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct PostQueryFeedback {
    /// Time on the backend.
    pub duration: Duration,
    /// Rows that it gave.
    pub rows_sent: Option<u64>,
    /// Rows that it changed.
    pub rows_affected: Option<u64>,
    /// How it failed.
    pub error: Option<HarvestError>,
    /// Its digest.
    pub digest: Option<u64>,
}

impl PostQueryFeedback {
    /// Feedback of a statement that took `duration`.
    #[must_use]
    pub fn new(duration: Duration) -> Self {
        Self { duration, ..Self::default() }
    }
}
