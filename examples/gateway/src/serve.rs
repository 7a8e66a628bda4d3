//! The process from the command line to the last session: host, hooks, ports, shutdown.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use ai_core_llm::JsonOps;
use bridge_ai::{GatewaySelect, Nl2SqlAnswers, PrefixAnswers};
use bridge_host::{Host, HostConfig, ListenerOverrides, ServerListener, TargetSpec};
use harvest_gateway::{HookHandle, HookRegistry};
use mcp::Scope;
use mcp_config::AdminSession;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::args::{Args, TlsMode};
use crate::backends::{Backends, MysqlBackend};
use crate::guard::Counters;
use crate::metrics::{self, Sources};
use crate::ports::{self, Shared};
use crate::say;
use crate::stream::PortTls;
use crate::users::Users;

type Failure = Box<dyn std::error::Error>;

/// Threads that carry connections.
const SERVER_THREADS: usize = 2;
/// Version that MySQL clients read when the backend cannot be asked.
const MYSQL_VERSION: &str = "8.0.0-penstock";

/// A host lets the detector only record; a proxy in front of applications refuses attacks from its first start on.
const FIRST_SETTINGS: &[&str] = &["enabled=true", "anomaly_enabled=true", "anomaly_mode=auto"];

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    args.check()?;
    let users = Users::parse(&args.users)?;
    let backends = Backends::parse(&args.backends)?;
    if args.mysql_listen.is_some() && backends.mysql.is_none() {
        return Err("--mysql-listen needs a mysql:// or sqlite: backend".into());
    }
    if args.pg_listen.is_some() && backends.pg.is_none() {
        return Err("--pg-listen needs a postgres:// or sqlite: backend".into());
    }
    std::fs::create_dir_all(&args.data_dir).map_err(|e| format!("{}: {e}", args.data_dir.display()))?;
    let mut config = HostConfig::new(&args.data_dir);
    for (name, url, _) in &backends.targets {
        config.targets.push(TargetSpec::parse(&format!("{name}={url}"))?);
    }
    config.settings.default_target_id = backends.targets.first().map(|(name, ..)| name.clone());
    // The accounts here are those of the applications behind the proxy, which write by nature.
    config.allow_privileged_backend = true;
    let host = Arc::new(Host::open(config)?);
    set_variables(args, &host)?;
    if args.harvest {
        harvest(&host, &backends)?;
    }
    let (prefixes, _prefix_handle) = prefix_queries(&host, &backends);
    let shared = Arc::new(Shared {
        users,
        // The host has its detector there already: MCP and the data ports share it.
        hooks: (!args.no_hooks).then(|| (host.gateway().hooks().clone(), prefixes)),
        counters: Arc::new(Counters::default()),
        places: Arc::new(Semaphore::new(args.connections_max)),
        next_session: AtomicU64::new(1),
        admin: Arc::clone(host.admin()),
        tls: port_tls(args)?,
    });
    let sources = Arc::new(Sources {
        counters: Arc::clone(&shared.counters),
        host: Arc::clone(&host),
        gateway: Arc::clone(host.gateway()),
    });
    let mcp = mcp_listener(args, &host)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(SERVER_THREADS).enable_all().build()?;
    let result = runtime.block_on(listen(args, &backends, shared, sources));
    mcp.stop();
    host.close();
    // Sessions that still run are cut: their clients see a closed connection.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// The MCP endpoints: where the command line says, else where the variables do, now and after each load.
fn mcp_listener(args: &Args, host: &Arc<Host>) -> Result<Arc<ServerListener>, Failure> {
    if args.mcp_listen.is_some() {
        for path in host.registry().endpoints() {
            if host.token_names(&path).is_empty() {
                let token = host.issue_token(&path, "default", Scope::Full)?;
                say(&format!("mcp {path} token {token}"));
            }
        }
    }
    let server = host.server_builder().build()?;
    host.attach_server(&server);
    let overrides = ListenerOverrides::new(args.mcp_listen, args.mcp_listen.is_some());
    let listener = Arc::new(ServerListener::new(server, &args.data_dir, overrides, SERVER_THREADS)?);
    match host.attach_listener(Arc::clone(&listener) as _) {
        Ok(()) => {}
        // Without an address on the command line an operator can still put it right.
        Err(error) if args.mcp_listen.is_none() => say(&format!("warning: mcp: {error}")),
        Err(error) => return Err(error.into()),
    }
    for address in listener.addresses() {
        say(&format!("mcp listens on {address}"));
    }
    Ok(listener)
}

/// Puts the settings of the command line into use through the same verbs that an operator has.
fn set_variables(args: &Args, host: &Host) -> Result<(), Failure> {
    let operator = AdminSession::local();
    let mut settings: Vec<&str> = args.genai.iter().map(String::as_str).collect();
    let is_first = host.admin().is_first_start();
    if is_first {
        settings.splice(0..0, FIRST_SETTINGS.iter().copied());
    }
    for setting in &settings {
        let (name, value) = setting.split_once('=').ok_or("--genai: write NAME=VALUE")?;
        let statement = format!("SET genai-{name} = '{}'", value.replace('\'', "''"));
        host.admin().execute(&operator, &statement, &[], 1)?;
    }
    if !settings.is_empty() {
        host.admin().execute(&operator, "LOAD GENAI VARIABLES TO RUNTIME", &[], 1)?;
    }
    if is_first {
        host.admin().execute(&operator, "SAVE GENAI VARIABLES TO DISK", &[], 1)?;
    }
    Ok(())
}

fn port_tls(args: &Args) -> Result<PortTls, Failure> {
    if args.tls == TlsMode::Off {
        return Ok(PortTls::off());
    }
    let files = args.tls_cert.as_deref().zip(args.tls_key.as_deref());
    PortTls::load(&args.data_dir, files, args.tls == TlsMode::Required)
}

/// Reads the schemas of all backends, so that questions can be turned into SQL.
fn harvest(host: &Host, backends: &Backends) -> Result<(), Failure> {
    for (name, ..) in &backends.targets {
        let report = host.harvest(name, |_| {}).map_err(|e| format!("{name}: {e}"))?;
        say(&format!("{name} harvested: {} objects", report.objects));
    }
    Ok(())
}

/// Prefix queries for the data ports: operations of the host's model service, rows through its gateway.
fn prefix_queries(host: &Host, backends: &Backends) -> (HookRegistry, HookHandle) {
    let service = &host.ai().service;
    let ops = JsonOps::new(service.clone()).with_nl2sql(Arc::new(Nl2SqlAnswers::new(host.ai().clone())));
    let mut answers =
        PrefixAnswers::new(service.clone(), ops).with_select(GatewaySelect::new(Arc::clone(host.gateway())));
    for (name, _, protocol) in &backends.targets {
        answers = answers.with_target(*protocol, name.as_str());
    }
    let registry = HookRegistry::new();
    let handle = registry.prefix(0, Arc::new(answers));
    (registry, handle)
}

async fn bind(name: &str, address: SocketAddr) -> Result<TcpListener, Failure> {
    let listener =
        TcpListener::bind(address).await.map_err(|e| format!("{name}: cannot listen on {address}: {e}"))?;
    say(&format!("{name} listens on {}", listener.local_addr()?));
    Ok(listener)
}

async fn listen(
    args: &Args,
    backends: &Backends,
    shared: Arc<Shared>,
    sources: Arc<Sources>,
) -> Result<(), Failure> {
    if let (Some(address), Some(backend)) = (args.mysql_listen, backends.mysql.clone()) {
        let version: Arc<str> = mysql_version(&backend).await.into();
        let listener = bind("mysql", address).await?;
        let session = move |stream, client, shared, id| {
            ports::mysql_data(stream, client, shared, id, backend.clone(), Arc::clone(&version))
        };
        tokio::spawn(ports::accept(listener, Arc::clone(&shared), session));
    }
    if let (Some(address), Some(backend)) = (args.pg_listen, backends.pg.clone()) {
        let listener = bind("postgres", address).await?;
        let session =
            move |stream, client, shared, id| ports::pg_data(stream, client, shared, id, backend.clone());
        tokio::spawn(ports::accept(listener, Arc::clone(&shared), session));
    }
    if let Some(address) = args.admin_listen {
        let listener = bind("admin", address).await?;
        tokio::spawn(ports::accept(listener, Arc::clone(&shared), ports::mysql_admin));
    }
    if let Some(address) = args.admin_pg_listen {
        let listener = bind("admin-postgres", address).await?;
        tokio::spawn(ports::accept(listener, Arc::clone(&shared), ports::pg_admin));
    }
    if let Some(address) = args.metrics_listen {
        let listener = bind("metrics", address).await?;
        let session = move |stream, _, _, _| metrics::serve(stream, Arc::clone(&sources));
        tokio::spawn(ports::accept(listener, Arc::clone(&shared), session));
    }
    told_to_stop().await;
    Ok(())
}

/// The version of the server behind the port, so that clients treat the proxy like it.
async fn mysql_version(backend: &MysqlBackend) -> String {
    let MysqlBackend::Server(params) = backend else { return MYSQL_VERSION.to_owned() };
    match crate::mysql::backend::connect(params, "", crate::mysql::packet::CAPABILITIES, 45).await {
        Ok(backend) => backend.version,
        Err(failure) => {
            say(&format!("warning: {}; clients will be told so too until it answers", failure.message));
            MYSQL_VERSION.to_owned()
        }
    }
}

async fn told_to_stop() {
    #[cfg(unix)]
    if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        return;
    }
    let _ = tokio::signal::ctrl_c().await;
}
