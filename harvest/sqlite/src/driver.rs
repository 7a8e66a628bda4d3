//! SQLite as constant data plus the way in; what a connection does lives elsewhere.

use harvest::{AdminConnection, ConnectParams, Connection, Dialect, Driver, HarvestResult, Protocol};

use crate::admin::SqliteAdmin;
use crate::connection::SqliteConnection;
use crate::dialect::DIALECT;

/// The driver of SQLite; `ConnectParams::host` is the file's path.
// Exhaustive: a unit that callers name.
#[derive(Debug, Clone, Copy, Default)]
pub struct SqliteDriver;

impl Driver for SqliteDriver {
    fn protocol(&self) -> Protocol {
        Protocol::Sqlite
    }

    fn schemes(&self) -> &'static [&'static str] {
        &["sqlite", "sqlite3", "file"]
    }

    fn default_port(&self) -> u16 {
        0
    }

    fn dialect(&self) -> &'static dyn Dialect {
        &DIALECT
    }

    fn connect(&self, params: &ConnectParams) -> HarvestResult<Box<dyn Connection>> {
        Ok(Box::new(SqliteConnection::open(params)?))
    }

    fn connect_admin(&self, params: &ConnectParams) -> HarvestResult<Box<dyn AdminConnection>> {
        Ok(Box::new(SqliteAdmin::open(params)?))
    }
}
