//! The server a host builds, serves and stops; it does not know what its endpoints do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mcp::{Endpoint, Scope, ServerInfo};
use tokio::net::TcpListener;

use crate::auth::{Anonymous, Authenticator};
use crate::config::ServerConfig;
use crate::core::Core;
use crate::hooks::{Hooks, NoHooks};
use crate::listener;
use crate::seal::HmacSeal;
use crate::tls::Tls;

/// Why a server cannot be built or cannot serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The operating system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Certificates or keys cannot be used.
    #[error("TLS: {0}")]
    Tls(String),
    /// No endpoint has this path.
    #[error("no endpoint is served under {0}")]
    UnknownEndpoint(String),
}

impl ServerError {
    pub(crate) fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }
}

/// Puts a [`Server`] together.
pub struct ServerBuilder {
    info: ServerInfo,
    config: ServerConfig,
    auth: Option<Arc<dyn Authenticator>>,
    hooks: Arc<dyn Hooks>,
    endpoints: Vec<Endpoint>,
    state_key: Option<Vec<u8>>,
    tls: Option<Tls>,
}

impl ServerBuilder {
    /// Sets every bound.
    #[must_use]
    pub fn config(mut self, config: ServerConfig) -> Self {
        self.config = config;
        self
    }

    /// Sets who is let in. Without this, nobody is.
    #[must_use]
    pub fn authenticator(mut self, auth: Arc<dyn Authenticator>) -> Self {
        self.auth = Some(auth);
        self
    }

    /// Lets everybody in with one scope: for loopback listeners.
    #[must_use]
    pub fn anonymous(self, scope: Scope) -> Self {
        self.authenticator(Arc::new(Anonymous::new(scope)))
    }

    /// Observes requests.
    #[must_use]
    pub fn hooks(mut self, hooks: Arc<dyn Hooks>) -> Self {
        self.hooks = hooks;
        self
    }

    /// Serves an endpoint.
    #[must_use]
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        self.endpoints.push(endpoint);
        self
    }

    /// Sets the secret that authenticates `requestState`, for servers behind one address. Without it, a random one is made.
    #[must_use]
    pub fn state_key(mut self, secret: &[u8]) -> Self {
        self.state_key = Some(secret.to_vec());
        self
    }

    /// Serves TLS.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// The server.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn build(self) -> Result<Server, ServerError> {
        let seal = match &self.state_key {
            Some(secret) => HmacSeal::with_key(secret),
            None => HmacSeal::random().map_err(|e| ServerError::io("no randomness", e))?,
        };
        let auth = self.auth.unwrap_or_else(|| Arc::new(crate::auth::TokenTable::new()));
        let core = Arc::new(Core::new(self.info, self.config, auth, self.hooks, seal));
        for endpoint in self.endpoints {
            core.routes.insert(endpoint);
        }
        Ok(Server { core, tls: self.tls.map(Arc::new) })
    }
}

/// A server. Clones share everything.
#[derive(Clone)]
pub struct Server {
    pub(crate) core: Arc<Core>,
    tls: Option<Arc<Tls>>,
}

impl Server {
    /// Starts to put a server together.
    #[must_use]
    pub fn builder(info: ServerInfo) -> ServerBuilder {
        ServerBuilder {
            info,
            config: ServerConfig::default(),
            auth: None,
            hooks: Arc::new(NoHooks),
            endpoints: Vec::new(),
            state_key: None,
            tls: None,
        }
    }

    /// Serves connections until [`shutdown`](Self::shutdown), then lets running calls finish within the grace time.
    ///
    /// # Errors
    /// When the listener is unusable.
    pub async fn serve(&self, listener: TcpListener) -> Result<(), ServerError> {
        listener::run(&self.core, listener, self.tls.clone()).await
    }

    /// Serves one endpoint on standard input and output until the input ends.
    ///
    /// # Errors
    /// When there is no such endpoint, or the output is closed.
    pub async fn serve_stdio(&self, path: &str) -> Result<(), ServerError> {
        crate::stdio::serve(&self.core, path, tokio::io::stdin(), tokio::io::stdout()).await
    }

    /// Serves one endpoint on any pair of streams, one message a line.
    ///
    /// # Errors
    /// As [`serve_stdio`](Self::serve_stdio).
    pub async fn serve_lines<R, W>(&self, path: &str, input: R, output: W) -> Result<(), ServerError>
    where
        R: tokio::io::AsyncRead + Unpin + Send + 'static,
        W: tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        crate::stdio::serve(&self.core, path, input, output).await
    }

    /// Serves an endpoint from now on, in place of one with the same path; sessions of that one end.
    pub fn add_endpoint(&self, endpoint: Endpoint) {
        self.core.sessions.reap(u64::MAX, Some(&endpoint.path));
        self.core.routes.insert(endpoint);
    }

    /// Stops serving an endpoint; its sessions end, running calls finish. Whether there was one.
    pub fn remove_endpoint(&self, path: &str) -> bool {
        let removed = self.core.routes.remove(path);
        if removed {
            self.core.sessions.reap(u64::MAX, Some(path));
        }
        removed
    }

    /// Paths that are served, parts not included.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        self.core.routes.paths()
    }

    /// All endpoints, in the order of their paths.
    #[must_use]
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.core.routes.endpoints()
    }

    /// Takes new settings into use. Bounds on calls, connections, streams and counters stay as they were built.
    pub fn reconfigure(&self, config: ServerConfig) {
        self.core.config.store(Arc::new(config));
    }

    /// Sessions of legacy clients that are open.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.core.sessions.len()
    }

    /// Tells every listener to stop; [`serve`](Self::serve) returns when running calls have finished or the grace time is over.
    pub fn shutdown(&self) {
        self.core.stop.send_replace(true);
    }
}

/// A server on its own threads, for hosts that are not async.
pub struct BackgroundServer {
    server: Server,
    address: SocketAddr,
    thread: Option<std::thread::JoinHandle<Result<(), ServerError>>>,
}

impl BackgroundServer {
    /// Binds `address` and serves it on a runtime with `threads` workers.
    ///
    /// # Errors
    /// When the address cannot be bound or the runtime cannot start.
    pub fn start(server: Server, address: SocketAddr, threads: usize) -> Result<Self, ServerError> {
        let bind = |e| ServerError::io(format!("cannot listen on {address}"), e);
        let listener = std::net::TcpListener::bind(address).map_err(bind)?;
        listener.set_nonblocking(true).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let runtime = runtime(threads)?;
        let serving = server.clone();
        let thread = std::thread::Builder::new()
            .name("mcp-server".to_owned())
            .spawn(move || {
                let outcome = runtime.block_on(async {
                    let listener =
                        TcpListener::from_std(listener).map_err(|e| ServerError::io("listener", e))?;
                    serving.serve(listener).await
                });
                // Calls that ignore their cancellation must not hold the host up.
                runtime.shutdown_timeout(Duration::from_millis(100));
                outcome
            })
            .map_err(|e| ServerError::io("cannot start a thread", e))?;
        Ok(Self { server, address, thread: Some(thread) })
    }

    /// The address that is served, with the port that was given by the system if zero was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server behind it.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Waits until the server stops by itself or by [`Server::shutdown`].
    ///
    /// # Errors
    /// What the server failed with.
    pub fn wait(mut self) -> Result<(), ServerError> {
        join(self.thread.take())
    }

    /// Stops and waits for running calls within the grace time.
    ///
    /// # Errors
    /// What the server failed with.
    pub fn stop(mut self) -> Result<(), ServerError> {
        self.server.shutdown();
        join(self.thread.take())
    }
}

impl Drop for BackgroundServer {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.server.shutdown();
        }
    }
}

fn join(thread: Option<std::thread::JoinHandle<Result<(), ServerError>>>) -> Result<(), ServerError> {
    match thread.map(std::thread::JoinHandle::join) {
        Some(Ok(outcome)) => outcome,
        Some(Err(_)) => Err(ServerError::io("the server thread ended", std::io::Error::other("panic"))),
        None => Ok(()),
    }
}

fn runtime(threads: usize) -> Result<tokio::runtime::Runtime, ServerError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.max(1))
        .thread_name("mcp-worker")
        .enable_all()
        .build()
        .map_err(|e| ServerError::io("cannot start the runtime", e))
}

/// Serves one endpoint on standard input and output from a main function that is not async.
///
/// # Errors
/// As [`Server::serve_stdio`].
pub fn serve_stdio_blocking(server: &Server, path: &str) -> Result<(), ServerError> {
    let runtime = runtime(2)?;
    let outcome = runtime.block_on(server.serve_stdio(path));
    // Standard input may be blocked in a read that never returns.
    runtime.shutdown_timeout(Duration::from_millis(100));
    outcome
}
