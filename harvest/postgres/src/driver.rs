//! The driver: constant data and the way in; it does not run statements.

use std::sync::Arc;
use std::time::Duration;

use harvest::{
    AdminConnection, ConnectParams, Connection, Dialect, Driver, HarvestCode, HarvestError, HarvestResult,
    Protocol, TlsMode,
};
use postgres::config::SslMode;
use postgres::{Config, NoTls};

use crate::admin::PostgresAdmin;
use crate::connection::PostgresConnection;
use crate::dialect::PostgresDialect;
use crate::{error, tls};

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
        let config = config(params);
        let connector = tls::connector(params)?;
        let client = match &connector {
            Some(connector) => config.connect(connector.clone()),
            None => config.connect(NoTls),
        }
        .map_err(|e| connect_error(&e))?;
        Ok(Box::new(PostgresConnection::open(client, connector.map(Arc::new))?))
    }

    fn connect_admin(&self, params: &ConnectParams) -> HarvestResult<Box<dyn AdminConnection>> {
        let config = config(params);
        let client = match tls::connector(params)? {
            Some(connector) => config.connect(connector),
            None => config.connect(NoTls),
        };
        Ok(Box::new(PostgresAdmin::open(client.map_err(|e| connect_error(&e))?)?))
    }
}

fn config(params: &ConnectParams) -> Config {
    let mut config = Config::new();
    config
        .host(&params.host)
        .port(if params.port == 0 { 5432 } else { params.port })
        .user(&params.user)
        .application_name("penstock")
        .connect_timeout(Duration::from_millis(params.connect_timeout_ms.max(1)))
        .tcp_user_timeout(Duration::from_secs(30))
        .ssl_mode(match params.tls {
            TlsMode::Disabled => SslMode::Disable,
            TlsMode::Preferred => SslMode::Prefer,
            TlsMode::Required | TlsMode::VerifyCa | TlsMode::VerifyIdentity => SslMode::Require,
        });
    if !params.password.is_empty() {
        config.password(params.password.expose());
    }
    config.dbname(if params.database.is_empty() { "postgres" } else { &params.database });
    config
}

/// A refused account is not the same as an unreachable server; neither names host, user or password.
fn connect_error(cause: &postgres::Error) -> HarvestError {
    match cause.as_db_error() {
        Some(db) if db.code().code().starts_with("28") => HarvestError::new(
            HarvestCode::PermissionDenied,
            "the server refuses the account: check user, password and pg_hba.conf",
        )
        .with("by", "backend")
        .with("sqlstate", db.code().code()),
        Some(_) => {
            let mut error = error::from_postgres(cause);
            error.code = HarvestCode::Unavailable;
            error.retryable = true;
            error.broken()
        }
        None => HarvestError::new(
            HarvestCode::Unavailable,
            format!("cannot connect: {}", error::root_cause(cause)),
        )
        .broken(),
    }
}
