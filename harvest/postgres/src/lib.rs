//! PostgreSQL behind the database seam: driver, connection, dialect, metadata; it knows no tool and no other engine.

mod account;
mod admin;
mod binding;
mod connection;
mod decode;
mod dialect;
mod driver;
mod error;
mod interrupt;
mod literal;
mod metadata;
mod session;
mod startup;
mod statement;
mod types;
mod wire;

pub use dialect::PostgresDialect;
pub use driver::PostgresDriver;
