//! Seam of the database side: what a driver, a connection, a value, a schema and the gate's verdict are; it knows no engine and no agent protocol.

mod admin;
mod connection;
mod dialect;
mod error;
mod fake;
mod gate;
mod lexer;
mod metadata;
mod pool;
mod rows;
mod url;
mod value;

pub use admin::{AdminCache, AdminConnection, AdminList, AdminRow, lacks};
pub use connection::{
    AccountFinding, Backend, ConnectParams, Connection, Driver, DriverBackend, Flow, Interrupt, Limits,
    RowSink, Secret, ServerInfo, TlsMode,
};
pub use dialect::{Dialect, DialectName, Protocol, TypeFamily};
pub use error::{HarvestCode, HarvestError, HarvestResult};
pub use fake::{FakeAnswer, FakeDialect, FakeServer};
pub use gate::{CheckedStatement, ExplainOptions, FragmentKind, GatePolicy, StatementKind, TableRef};
pub use lexer::{
    LexCaps, LexMode, Lexer, Token, TokenKind, digest, fingerprint, normal_form, push_blank, scan,
    strip_comments, utf8,
};
pub use metadata::{
    ColumnMeta, ConstraintMeta, ConstraintType, DependencyMeta, ForeignKeyMeta, IndexColumnMeta, IndexMeta,
    MetadataDepth, MetadataRequest, MetadataSnapshot, MetadataStage, MetadataWarning, MetadataWatch,
    ObjectMeta, ObjectType, RowsEstSource, SchemaMeta,
};
pub use pool::{
    BackendStatus, Capacity, IdleConnection, Pool, PoolConfig, PoolMember, PoolStats, PoolTotals,
    PooledConnection, WAIT_BUCKETS_US,
};
pub use rows::{ResultSet, RowBounds, RowCollector, TruncatedBy, ValueCollector};
pub use value::{ColType, Column, Value};
