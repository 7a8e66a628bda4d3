//! Drivers, backends and connections: how the database side reaches an engine; it knows no engine in particular.

use std::fmt;
use std::sync::Arc;

use crate::admin::{AdminConnection, lacks};
use crate::dialect::{Dialect, Protocol};
use crate::error::HarvestResult;
use crate::gate::CheckedStatement;
use crate::metadata::{MetadataRequest, MetadataSnapshot, MetadataWatch};
use crate::value::{Column, Value};

/// A password or key. Debug and Display show `***`; read it with [`Secret::expose`].
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The secret itself, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How a connection uses TLS, from laxest to strictest.
// Exhaustive: each driver must decide for every mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum TlsMode {
    /// Plain.
    #[default]
    Disabled,
    /// TLS if the server offers it.
    Preferred,
    /// TLS, certificate not checked.
    Required,
    /// TLS, chain checked against the CA file or the built-in roots.
    VerifyCa,
    /// TLS, chain and host name checked.
    VerifyIdentity,
}

/// Everything that a driver needs to connect. Values are typed, so any user name and password works.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ConnectParams {
    /// Host, address or socket path; SQLite: the file's path.
    pub host: String,
    /// Port; 0 means the engine's default.
    pub port: u16,
    /// User name; empty for SQLite.
    pub user: String,
    /// Password.
    pub password: Secret,
    /// Database (PostgreSQL) or default schema (MySQL); empty means the engine's default.
    pub database: String,
    /// TLS mode.
    pub tls: TlsMode,
    /// PEM file with trusted authorities.
    pub tls_ca_file: Option<String>,
    /// PEM file with the client's certificate chain.
    pub tls_cert_file: Option<String>,
    /// PEM file with the client's key.
    pub tls_key_file: Option<String>,
    /// Longest wait for connect and authentication, in milliseconds.
    pub connect_timeout_ms: u64,
}

impl ConnectParams {
    /// Parameters for `host` with a 5 s connect timeout.
    pub fn new(host: impl Into<String>) -> Self {
        Self { host: host.into(), connect_timeout_ms: 5_000, ..Self::default() }
    }
}

/// One engine, as constant data plus the way in.
pub trait Driver: Send + Sync {
    /// The protocol that target profiles name.
    fn protocol(&self) -> Protocol;
    /// URL schemes, such as `["postgres", "postgresql"]`.
    fn schemes(&self) -> &'static [&'static str];
    /// Port when none is given; 0 for files.
    fn default_port(&self) -> u16;
    /// The dialect assumed before a server has said what it is.
    fn dialect(&self) -> &'static dyn Dialect;
    /// Opens a connection, authenticated and ready.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the server cannot be reached, `PERMISSION_DENIED` when it refuses the account,
    /// `FAILED_PRECONDITION` for contradictory settings.
    fn connect(&self, params: &ConnectParams) -> HarvestResult<Box<dyn Connection>>;
    /// Opens a session for operations, with the account in `params`.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); `FAILED_PRECONDITION` where the engine has no sessions.
    fn connect_admin(&self, params: &ConnectParams) -> HarvestResult<Box<dyn AdminConnection>> {
        let _ = params;
        Err(lacks("engine_has_no_sessions", "the engine is a library: it has no sessions and no users"))
    }
}

/// Something that opens connections: a driver with its parameters, or a fake.
pub trait Backend: Send + Sync {
    /// The dialect assumed before the first connection.
    fn dialect(&self) -> &'static dyn Dialect;
    /// Opens a connection.
    ///
    /// # Errors
    /// As [`Driver::connect`].
    fn connect(&self) -> HarvestResult<Box<dyn Connection>>;
}

/// A driver joined with its parameters.
pub struct DriverBackend {
    driver: Arc<dyn Driver>,
    params: ConnectParams,
}

impl DriverBackend {
    /// Joins a driver with parameters.
    pub fn new(driver: Arc<dyn Driver>, params: ConnectParams) -> Self {
        Self { driver, params }
    }
}

impl Backend for DriverBackend {
    fn dialect(&self) -> &'static dyn Dialect {
        self.driver.dialect()
    }

    fn connect(&self) -> HarvestResult<Box<dyn Connection>> {
        self.driver.connect(&self.params)
    }
}

/// Stops the statement that a connection is running, from another thread.
///
/// After it returns the statement has been told to stop on the server itself (cancel request, KILL QUERY, interrupt).
pub trait Interrupt: Send + Sync {
    /// Tells the running statement to stop; does nothing when none runs. Blocks for at most about a second.
    fn interrupt(&self);
}

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerInfo {
    /// Version as the server words it.
    pub version: String,
    /// Schema used when a call names none (`main`, the database, the first of the search path).
    pub default_schema: String,
}

impl ServerInfo {
    /// Joins both.
    pub fn new(version: impl Into<String>, default_schema: impl Into<String>) -> Self {
        Self { version: version.into(), default_schema: default_schema.into() }
    }
}

/// Bounds of one statement, enforced by the driver and, where the engine can, by the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
// Exhaustive: callers set every bound knowingly.
pub struct Limits {
    /// Longest run time in milliseconds; 0 means none.
    pub timeout_ms: u64,
    /// A longer single cell is cut to this many bytes where the engine lets a driver read a part, else the row fails.
    pub cell_bytes_max: usize,
}

/// What a sink wants after a row.
// Exhaustive: drivers branch on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// More rows.
    Continue,
    /// Enough; the driver ends the statement.
    Stop,
}

/// Receives a result, column by name and row by row.
pub trait RowSink {
    /// The columns, once, before the first row.
    ///
    /// # Errors
    /// Whatever the sink refuses; the statement ends with it.
    fn columns(&mut self, columns: &[Column]) -> HarvestResult<()>;

    /// One row, in column order.
    ///
    /// # Errors
    /// Whatever the sink refuses; the statement ends with it.
    fn row(&mut self, row: Vec<Value>) -> HarvestResult<Flow>;
}

/// One finding about the account that a target uses.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
// Exhaustive: drivers build it.
pub struct AccountFinding {
    /// A short code such as `superuser`, `file_privilege`, `write_grants`.
    pub code: String,
    /// One sentence for an operator.
    pub text: String,
    /// Whether the account is refused unless privileged accounts are allowed.
    pub dangerous: bool,
}

/// One open session of an engine, used by one call at a time.
pub trait Connection: Send {
    /// What the server says of itself.
    fn server(&self) -> &ServerInfo;

    /// The exact dialect of this server.
    fn dialect(&self) -> &'static dyn Dialect;

    /// A handle that stops the running statement from another thread.
    fn interrupt(&self) -> Arc<dyn Interrupt>;

    /// Runs one statement that the gate has passed: read-only transaction, server-side limits, always rolled back.
    ///
    /// `schema` is the default schema of this statement, `None` for the server's own. When this returns, with success or
    /// an error, nothing of the statement goes on in the server.
    ///
    /// # Errors
    /// `DEADLINE_EXCEEDED` past `limits.timeout_ms`, `CANCELLED` after an interrupt, the engine's own errors mapped to
    /// codes with `sqlstate` or `errno`.
    fn query(
        &mut self,
        statement: &CheckedStatement,
        params: &[Value],
        schema: Option<&str>,
        limits: &Limits,
        sink: &mut dyn RowSink,
    ) -> HarvestResult<()>;

    /// Prepares a passed statement without running it and gives its columns, as far as the engine can tell.
    ///
    /// # Errors
    /// Unknown tables and columns, type errors, refusals by the engine's own authorizer.
    fn validate(&mut self, statement: &CheckedStatement, schema: Option<&str>) -> HarvestResult<Vec<Column>>;

    /// Reads metadata in one consistent read-only transaction where the engine has one.
    ///
    /// # Errors
    /// `CANCELLED` when the watch says stop, `LIMIT_EXCEEDED` past `request.objects_max`. Missing privileges are
    /// warnings in the snapshot, not errors.
    fn metadata(
        &mut self,
        request: &MetadataRequest,
        watch: &mut dyn MetadataWatch,
    ) -> HarvestResult<MetadataSnapshot>;

    /// Examines what the account may do beyond reading.
    ///
    /// # Errors
    /// The engine's own.
    fn examine_account(&mut self) -> HarvestResult<Vec<AccountFinding>>;

    /// Whether the server still answers.
    ///
    /// # Errors
    /// `UNAVAILABLE`, connection broken.
    fn ping(&mut self) -> HarvestResult<()>;

    /// Returns the session to its initial state: settings, role, search path, temporary objects, locks.
    ///
    /// # Errors
    /// `UNAVAILABLE`, connection broken.
    fn reset(&mut self) -> HarvestResult<()>;
}
