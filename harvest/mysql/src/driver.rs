//! The driver: constant data and the way in, TLS in every mode; it does not run statements.

use harvest::{AdminConnection, ConnectParams, Connection, Dialect, Driver, HarvestResult, Protocol};

use crate::admin::MysqlAdmin;
use crate::connection::MysqlConnection;
use crate::dialect::MysqlDialect;
use crate::startup::Address;

/// MySQL 8 and MariaDB 10.11 or newer, over rustls where TLS is asked for.
#[derive(Debug, Clone, Copy, Default)]
// A unit struct: there is nothing to extend.
pub struct MysqlDriver;

impl Driver for MysqlDriver {
    fn protocol(&self) -> Protocol {
        Protocol::Mysql
    }

    fn schemes(&self) -> &'static [&'static str] {
        &["mysql", "mariadb"]
    }

    fn default_port(&self) -> u16 {
        3306
    }

    fn dialect(&self) -> &'static dyn Dialect {
        &MysqlDialect
    }

    fn connect(&self, params: &ConnectParams) -> HarvestResult<Box<dyn Connection>> {
        Ok(Box::new(MysqlConnection::open(params)?))
    }

    fn connect_admin(&self, params: &ConnectParams) -> HarvestResult<Box<dyn AdminConnection>> {
        Ok(Box::new(MysqlAdmin::open(Address::of(params)?.open()?)?))
    }
}
