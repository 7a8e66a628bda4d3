//! SQLite for the database side: read-only connections, contained statements, metadata; it knows no other engine.

mod admin;
mod authorizer;
mod columns;
mod connection;
mod dialect;
mod driver;
mod errors;
mod functions;
mod guard;
mod metadata;
mod open;
mod values;

pub use connection::SqliteConnection;
pub use dialect::SqliteDialect;
pub use driver::SqliteDriver;
