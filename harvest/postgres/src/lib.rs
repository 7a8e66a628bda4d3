//! PostgreSQL behind the database seam: driver, connection, dialect, metadata; it knows no tool and no other engine.

mod account;
mod admin;
mod connection;
mod decode;
mod dialect;
mod driver;
mod error;
mod interrupt;
mod metadata;
mod tls;
mod types;

pub use dialect::PostgresDialect;
pub use driver::PostgresDriver;
