//! MySQL and MariaDB behind the database seam: driver, connection, dialects, metadata; it knows no tool and no other engine.

mod account;
mod admin;
mod connection;
mod decode;
mod dialect;
mod driver;
mod error;
mod interrupt;
mod metadata;
mod session;
mod startup;
mod types;
mod wire;

pub use dialect::{MariadbDialect, MysqlDialect};
pub use driver::MysqlDriver;
