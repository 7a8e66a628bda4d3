//! The driver: constant data and the way in, TLS in every mode; it does not run statements.

use std::path::PathBuf;
use std::time::Duration;

use harvest::{
    AdminConnection, ConnectParams, Connection, Dialect, Driver, HarvestCode, HarvestError, HarvestResult,
    Protocol, TlsMode,
};
use mysql::{ClientIdentity, Conn, DriverError, Error, Opts, OptsBuilder, SslOpts};

use crate::admin::MysqlAdmin;
use crate::connection::MysqlConnection;
use crate::dialect::MysqlDialect;
use crate::error;

/// A connection that hears nothing for this long gives up, in milliseconds; statements have limits of their own.
const READ_TIMEOUT_MS: u64 = 3_600_000;
/// A server that takes nothing for this long is gone, in milliseconds.
const WRITE_TIMEOUT_MS: u64 = 30_000;

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
        let (conn, opts) = open(params)?;
        Ok(Box::new(MysqlConnection::open(conn, opts)?))
    }

    fn connect_admin(&self, params: &ConnectParams) -> HarvestResult<Box<dyn AdminConnection>> {
        let (conn, _) = open(params)?;
        Ok(Box::new(MysqlAdmin::open(conn)?))
    }
}

/// Connects; `preferred` falls back to plain only when the server offers no TLS at all.
fn open(params: &ConnectParams) -> HarvestResult<(Conn, Opts)> {
    let secure = Opts::from(builder(params, ssl(params)?));
    match Conn::new(secure.clone()) {
        Ok(conn) => Ok((conn, secure)),
        Err(Error::DriverError(DriverError::TlsNotSupported)) if params.tls == TlsMode::Preferred => {
            let plain = Opts::from(builder(params, None));
            let conn = Conn::new(plain.clone()).map_err(|e| connect_error(&e))?;
            Ok((conn, plain))
        }
        Err(error) => Err(connect_error(&error)),
    }
}

fn builder(params: &ConnectParams, ssl: Option<SslOpts>) -> OptsBuilder {
    let is_socket = params.host.starts_with('/');
    let text = |value: &str| (!value.is_empty()).then(|| value.to_owned());
    OptsBuilder::new()
        .ip_or_hostname((!is_socket).then(|| params.host.clone()))
        .socket(is_socket.then(|| params.host.clone()))
        .tcp_port(if params.port == 0 { 3306 } else { params.port })
        .user(text(&params.user))
        .pass(text(params.password.expose()))
        .db_name(text(&params.database))
        .prefer_socket(false)
        .tcp_connect_timeout(Some(Duration::from_millis(params.connect_timeout_ms.max(1))))
        .read_timeout(Some(Duration::from_millis(READ_TIMEOUT_MS)))
        .write_timeout(Some(Duration::from_millis(WRITE_TIMEOUT_MS)))
        // Prepared statements live for one call: the session is reset between calls.
        .stmt_cache_size(0)
        .ssl_opts(ssl)
}

fn ssl(params: &ConnectParams) -> HarvestResult<Option<SslOpts>> {
    let (any_certificate, any_name) = match params.tls {
        TlsMode::Disabled => return Ok(None),
        TlsMode::Preferred | TlsMode::Required => (true, true),
        TlsMode::VerifyCa => (false, true),
        TlsMode::VerifyIdentity => (false, false),
    };
    let mut ssl = SslOpts::default()
        .with_danger_accept_invalid_certs(any_certificate)
        .with_danger_skip_domain_validation(any_name);
    if let Some(file) = &params.tls_ca_file {
        let path = PathBuf::from(file);
        if !path.is_file() {
            return Err(HarvestError::new(
                HarvestCode::FailedPrecondition,
                "the file of certificate authorities does not exist",
            ));
        }
        ssl = ssl.with_root_cert_path(Some(path));
    }
    match (&params.tls_cert_file, &params.tls_key_file) {
        (Some(cert), Some(key)) => {
            ssl =
                ssl.with_client_identity(Some(ClientIdentity::new(PathBuf::from(cert), PathBuf::from(key))));
        }
        (None, None) => {}
        _ => {
            let message = "a client certificate needs both its file and its key file";
            return Err(HarvestError::new(HarvestCode::FailedPrecondition, message));
        }
    }
    Ok(Some(ssl))
}

/// A refused account is not the same as an unreachable server; neither names host, user or password.
fn connect_error(cause: &Error) -> HarvestError {
    match cause {
        Error::MySqlError(server) if matches!(server.code, 1044 | 1045 | 1130 | 1227 | 1698) => {
            HarvestError::new(
                HarvestCode::PermissionDenied,
                "the server refuses the account: check user, password and host grants",
            )
            .with("by", "backend")
            .with("errno", server.code)
        }
        Error::DriverError(DriverError::TlsNotSupported) => HarvestError::new(
            HarvestCode::Unavailable,
            "the server offers no TLS, which this target requires",
        )
        .broken(),
        Error::TlsError(error) => {
            HarvestError::new(HarvestCode::Unavailable, format!("TLS failed: {error}")).broken()
        }
        Error::IoError(error) => {
            HarvestError::new(HarvestCode::Unavailable, format!("cannot connect: {error}")).broken()
        }
        other => {
            let mut error = error::from_mysql(other);
            error.code = HarvestCode::Unavailable;
            error.retryable = true;
            error.broken()
        }
    }
}
