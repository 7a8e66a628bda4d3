//! What all transports of one server share; it does not know any of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use mcp::{Dispatcher, RpcError, ServerInfo};
use tokio::sync::watch;

use crate::auth::{Authenticator, Counters};
use crate::clock::random_hex;
use crate::config::ServerConfig;
use crate::gate::Gate;
use crate::hooks::Hooks;
use crate::page::Page;
use crate::permits::Permits;
use crate::routes::Routes;
use crate::rpc::RpcStack;
use crate::schema::JsonSchemaCheck;
use crate::seal::HmacSeal;
use crate::session::Sessions;
use crate::task::Tasks;

/// Shared state of a server.
pub(crate) struct Core {
    pub(crate) config: ArcSwap<ServerConfig>,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) schemas: Arc<JsonSchemaCheck>,
    pub(crate) auth: Arc<dyn Authenticator>,
    pub(crate) hooks: Arc<dyn Hooks>,
    pub(crate) routes: Routes,
    pub(crate) sessions: Sessions,
    pub(crate) tasks: Tasks,
    pub(crate) gate: Gate,
    pub(crate) task_gate: Gate,
    pub(crate) requests: Permits,
    pub(crate) streams: Permits,
    pub(crate) connections: Permits,
    pub(crate) pages: Vec<(String, Arc<dyn Page>)>,
    pub(crate) auth_failures: Counters,
    pub(crate) rates: Counters,
    pub(crate) rpc: RpcStack,
    pub(crate) stop: watch::Sender<bool>,
    next_call: AtomicU64,
}

impl Core {
    pub(crate) fn new(
        info: ServerInfo,
        config: ServerConfig,
        auth: Arc<dyn Authenticator>,
        hooks: Arc<dyn Hooks>,
        seal: HmacSeal,
        pages: Vec<(String, Arc<dyn Page>)>,
        tasks: Tasks,
    ) -> Self {
        let schemas = Arc::new(JsonSchemaCheck::new());
        let check: Arc<dyn mcp::ArgumentCheck> = Arc::clone(&schemas) as _;
        Self {
            dispatcher: Dispatcher::new(info, Arc::new(seal), Some(check)),
            schemas,
            auth,
            rpc: RpcStack::new(Arc::clone(&hooks)),
            hooks,
            routes: Routes::default(),
            sessions: Sessions::default(),
            tasks,
            gate: Gate::new(config.calls_max, config.cancel_grace_ms),
            task_gate: Gate::new(config.tasks_running_max, config.cancel_grace_ms),
            requests: Permits::new(config.requests_max),
            streams: Permits::new(config.streams_max),
            connections: Permits::new(config.connections_max),
            pages,
            auth_failures: Counters::new(config.counters_max),
            rates: Counters::new(config.counters_max),
            stop: watch::Sender::new(false),
            next_call: AtomicU64::new(1),
            config: ArcSwap::from_pointee(config),
        }
    }

    pub(crate) fn reconfigure(&self, config: ServerConfig) {
        self.config.store(Arc::new(config));
        self.fit();
    }

    /// Moves all bounds towards the present settings.
    pub(crate) fn fit(&self) {
        let config = self.config.load();
        self.requests.fit(config.requests_max);
        self.streams.fit(config.streams_max);
        self.connections.fit(config.connections_max);
        self.gate.fit(config.calls_max);
        self.task_gate.fit(config.tasks_running_max);
    }

    pub(crate) fn next_call_id(&self) -> u64 {
        self.next_call.fetch_add(1, Ordering::Relaxed)
    }

    /// Logs what failed inside and gives the error that clients see.
    pub(crate) fn incident(&self, text: &str) -> RpcError {
        incident(self.hooks.as_ref(), text)
    }
}

/// Logs what failed inside and gives the error that clients see.
pub(crate) fn incident(hooks: &dyn Hooks, text: &str) -> RpcError {
    let id = random_hex(8).unwrap_or_else(|_| "unknown".to_owned());
    hooks.incident(&id, text);
    RpcError::internal(&id)
}

/// Waits until the server is told to stop, or is gone.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
