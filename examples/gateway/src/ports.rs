//! Listening sockets and the sessions behind them: a bound on connections, one task each; what a session does is elsewhere.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use harvest::Protocol;
use harvest_gateway::HookRegistry;
use mcp_config::{AdminSession, AdminSql};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::backends::{MysqlBackend, PgBackend};
use crate::engine::{AdminEngine, EngineSession};
use crate::guard::{Counters, Guard, count};
use crate::mysql::backend::connect;
use crate::mysql::packet::{CLIENT_MULTI_STATEMENTS, STATUS_AUTOCOMMIT, Wire};
use crate::mysql::{client, local, relay};
use crate::pg;
use crate::sqlite::SqliteEngine;
use crate::stream::PortTls;
use crate::users::Users;

/// Time for a login, in milliseconds.
const LOGIN_TIMEOUT_MS: u64 = 15_000;

/// The schema of a SQLite file, whatever database a client names.
const FILE_SCHEMA: &str = "main";

/// What every session needs.
pub(crate) struct Shared {
    pub(crate) users: Users,
    /// Hooks around every statement, and those that answer prefix queries.
    pub(crate) hooks: Option<(HookRegistry, HookRegistry)>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) places: Arc<Semaphore>,
    pub(crate) next_session: AtomicU64,
    pub(crate) admin: Arc<AdminSql>,
    pub(crate) tls: PortTls,
}

impl Shared {
    fn guard(&self, protocol: Protocol, client: SocketAddr, session_id: u64) -> Guard {
        Guard::new(self.hooks.clone(), Arc::clone(&self.counters), protocol, client, session_id)
    }

    fn admin_guard(&self, protocol: Protocol, client: SocketAddr, session_id: u64) -> Guard {
        Guard::new(None, Arc::clone(&self.counters), protocol, client, session_id)
    }

    fn admin_engine(&self, user: &str, client: SocketAddr) -> io::Result<EngineSession> {
        // A console on loopback behind a password is the operator's own interface.
        let mut session = AdminSession::local();
        session.caller = user.to_owned();
        session.client_address = client.ip().to_string();
        let admin = Arc::clone(&self.admin);
        EngineSession::start(move || Ok(AdminEngine { admin, session }))
    }
}

/// Accepts until the task is aborted; more than `connections_max` are hung up on at once.
pub(crate) async fn accept<F, Fut>(listener: TcpListener, shared: Arc<Shared>, session: F)
where
    F: Fn(TcpStream, SocketAddr, Arc<Shared>, u64) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = io::Result<()>> + Send + 'static,
{
    loop {
        let Ok((stream, address)) = listener.accept().await else {
            // Out of file descriptors, for instance: sessions that end make room.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&shared.places).try_acquire_owned() else {
            count(&shared.counters.connections_refused);
            continue;
        };
        count(&shared.counters.connections);
        count(&shared.counters.connections_open);
        let session_id = shared.next_session.fetch_add(1, Ordering::Relaxed);
        let counters = Arc::clone(&shared.counters);
        let work = session(stream, address, Arc::clone(&shared), session_id);
        tokio::spawn(async move {
            let _place = place;
            let _open = Open(counters);
            // How a session ends is the client's business: there is nobody left to tell.
            drop(work.await);
        });
    }
}

/// Counts an open connection down, also when its task panics.
struct Open(Arc<Counters>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections_open.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn mysql_login(
    stream: TcpStream,
    shared: &Shared,
    version: &str,
    session_id: u64,
) -> io::Result<Option<(Wire, client::Login)>> {
    let limit = Duration::from_millis(LOGIN_TIMEOUT_MS);
    let work = client::login(Wire::new(stream), &shared.users, version, session_id, &shared.tls);
    let login = tokio::time::timeout(limit, work).await;
    let login = login.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    if login.is_none() {
        count(&shared.counters.logins_failed);
    }
    Ok(login)
}

/// A client on the MySQL data port.
pub(crate) async fn mysql_data(
    stream: TcpStream,
    address: SocketAddr,
    shared: Arc<Shared>,
    session_id: u64,
    backend: MysqlBackend,
    version: Arc<str>,
) -> io::Result<()> {
    let Some((mut wire, login)) = mysql_login(stream, &shared, &version, session_id).await? else {
        return Ok(());
    };
    let mut guard = shared.guard(
        if matches!(backend, MysqlBackend::Server(_)) { Protocol::Mysql } else { Protocol::Sqlite },
        address,
        session_id,
    );
    guard.user = login.user;
    guard.tls = login.tls;
    guard.schema.clone_from(&login.database);
    guard.multi_statements = Some(login.capabilities & CLIENT_MULTI_STATEMENTS != 0);
    match backend {
        MysqlBackend::Server(params) => {
            if guard.schema.is_empty() {
                guard.schema.clone_from(&params.database);
            }
            match connect(&params, &login.database, login.capabilities, login.charset).await {
                Ok(backend) => {
                    wire.send_ok(0, 0, STATUS_AUTOCOMMIT, "").await?;
                    relay::Relay::new(wire, backend.wire, guard).run().await
                }
                Err(failure) => wire.send_error(&failure).await,
            }
        }
        MysqlBackend::File(path) => {
            guard.schema = FILE_SCHEMA.to_owned();
            wire.send_ok(0, 0, STATUS_AUTOCOMMIT, "").await?;
            let engine = EngineSession::start(move || SqliteEngine::open(&path))?;
            local::serve(wire, engine, guard, &version).await
        }
    }
}

/// A MySQL client on the admin port.
pub(crate) async fn mysql_admin(
    stream: TcpStream,
    address: SocketAddr,
    shared: Arc<Shared>,
    session_id: u64,
) -> io::Result<()> {
    let version = concat!("8.0.0-penstock-admin-", env!("CARGO_PKG_VERSION"));
    let Some((mut wire, login)) = mysql_login(stream, &shared, version, session_id).await? else {
        return Ok(());
    };
    wire.send_ok(0, 0, STATUS_AUTOCOMMIT, "").await?;
    let engine = shared.admin_engine(&login.user, address)?;
    let guard = shared.admin_guard(Protocol::Mysql, address, session_id);
    local::serve(wire, engine, guard, version).await
}

async fn pg_login(stream: TcpStream, shared: &Shared) -> io::Result<pg::client::Opened> {
    let limit = Duration::from_millis(LOGIN_TIMEOUT_MS);
    let opened = tokio::time::timeout(limit, pg::client::login(stream, &shared.users, &shared.tls)).await;
    let opened = opened.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    if matches!(opened, pg::client::Opened::Refused) {
        count(&shared.counters.logins_failed);
    }
    Ok(opened)
}

/// A client on the PostgreSQL data port.
pub(crate) async fn pg_data(
    stream: TcpStream,
    address: SocketAddr,
    shared: Arc<Shared>,
    session_id: u64,
    backend: PgBackend,
) -> io::Result<()> {
    let (mut wire, login) = match pg_login(stream, &shared).await? {
        pg::client::Opened::Session(wire, login) => (wire, login),
        pg::client::Opened::Cancel(key) => {
            if let PgBackend::Server(params) = &backend {
                pg::backend::cancel(params, &key).await;
            }
            return Ok(());
        }
        pg::client::Opened::Refused => return Ok(()),
    };
    let protocol = if matches!(backend, PgBackend::Server(_)) { Protocol::Pgsql } else { Protocol::Sqlite };
    let mut guard = shared.guard(protocol, address, session_id);
    guard.user.clone_from(&login.user);
    guard.tls = login.tls;
    guard.schema = if protocol == Protocol::Sqlite { FILE_SCHEMA } else { "public" }.to_owned();
    guard.multi_statements = Some(true);
    match backend {
        PgBackend::Server(params) => match pg::backend::connect(&params, &login).await {
            Ok(backend) => {
                wire.send(&pg::wire::message(b'R', &0i32.to_be_bytes())).await?;
                pg::relay::Relay::new(wire, backend, guard).run().await
            }
            Err(failure) => wire.send(&pg::wire::error(&failure, true)).await,
        },
        PgBackend::File(path) => {
            let engine = EngineSession::start(move || SqliteEngine::open(&path))?;
            pg::local::serve(wire, engine, guard).await
        }
    }
}

/// A PostgreSQL client on the admin port.
pub(crate) async fn pg_admin(
    stream: TcpStream,
    address: SocketAddr,
    shared: Arc<Shared>,
    session_id: u64,
) -> io::Result<()> {
    let pg::client::Opened::Session(wire, login) = pg_login(stream, &shared).await? else { return Ok(()) };
    let engine = shared.admin_engine(&login.user, address)?;
    let guard = shared.admin_guard(Protocol::Pgsql, address, session_id);
    pg::local::serve(wire, engine, guard).await
}
