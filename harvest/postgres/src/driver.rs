//! The driver: constant data and the way in; it does not run statements.

use harvest::{AdminConnection, ConnectParams, Connection, Dialect, Driver, HarvestResult, Protocol};

use crate::admin::PostgresAdmin;
use crate::connection::PostgresConnection;
use crate::dialect::PostgresDialect;
use crate::session::Session;
use crate::startup::{self, Address};

/// PostgreSQL 13 to 18, over rustls where TLS is asked for.
#[derive(Debug, Clone, Copy, Default)]
// A unit struct: there is nothing to extend.
pub struct PostgresDriver;

impl Driver for PostgresDriver {
    fn protocol(&self) -> Protocol {
        Protocol::Pgsql
    }

    fn schemes(&self) -> &'static [&'static str] {
        &["postgres", "postgresql", "pgsql"]
    }

    fn default_port(&self) -> u16 {
        5432
    }

    fn dialect(&self) -> &'static dyn Dialect {
        &PostgresDialect
    }

    fn connect(&self, params: &ConnectParams) -> HarvestResult<Box<dyn Connection>> {
        Ok(Box::new(PostgresConnection::open(params)?))
    }

    fn connect_admin(&self, params: &ConnectParams) -> HarvestResult<Box<dyn AdminConnection>> {
        let address = Address::of(params)?;
        let session = Session::new(startup::open(params, &address)?.wire);
        Ok(Box::new(PostgresAdmin::open(session)?))
    }
}
