//! The server a host builds, serves and stops; it does not know what its endpoints do.

use std::path::PathBuf;
use std::sync::Arc;

use mcp::{Endpoint, Scope, ServerInfo};
use tokio::net::TcpListener;

use crate::auth::{Anonymous, Authenticator};
use crate::config::ServerConfig;
use crate::core::Core;
use crate::hooks::{Hooks, NoHooks};
use crate::listener::{self, Serving};
use crate::page::Page;
use crate::seal::HmacSeal;
use crate::task::Tasks;
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
    pages: Vec<(String, Arc<dyn Page>)>,
    tasks_folder: Option<PathBuf>,
}

impl ServerBuilder {
    /// Serves a document besides the endpoints, such as `/metrics`.
    #[must_use]
    pub fn page(mut self, path: impl Into<String>, page: Arc<dyn Page>) -> Self {
        self.pages.push((path.into(), page));
        self
    }

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

    /// Keeps tasks in a folder of their own: a client that was given one finds its end after a restart. Results are written as
    /// they are, in files that only their owner may read, until they expire. Without it, tasks end with the process.
    #[must_use]
    pub fn tasks_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.tasks_folder = Some(folder.into());
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
    /// When the operating system has no randomness to give, or the folder of tasks is unusable.
    pub fn build(self) -> Result<Server, ServerError> {
        let seal = match &self.state_key {
            Some(secret) => HmacSeal::with_key(secret),
            None => HmacSeal::random().map_err(|e| ServerError::io("no randomness", e))?,
        };
        let tasks = match &self.tasks_folder {
            Some(folder) => Tasks::open(folder)
                .map_err(|e| ServerError::io(format!("cannot keep tasks in {}", folder.display()), e))?,
            None => Tasks::default(),
        };
        let auth = self.auth.unwrap_or_else(|| Arc::new(crate::auth::TokenTable::new()));
        let core = Arc::new(Core::new(self.info, self.config, auth, self.hooks, seal, self.pages, tasks));
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
            pages: Vec::new(),
            tasks_folder: None,
        }
    }

    /// Serves connections until [`shutdown`](Self::shutdown), then lets running calls finish within the grace time. May be
    /// called again after it has returned, with another listener: endpoints, tokens, counters and tasks are still there.
    ///
    /// # Errors
    /// When the listener is unusable.
    pub fn serve(
        &self,
        listener: TcpListener,
    ) -> impl Future<Output = Result<(), ServerError>> + Send + 'static {
        self.run(listener, self.tls.clone())
    }

    /// As [`serve`](Self::serve), with other certificates than those of the builder; `None` means plain HTTP.
    ///
    /// # Errors
    /// As [`serve`](Self::serve).
    pub fn serve_tls(
        &self,
        listener: TcpListener,
        tls: Option<Tls>,
    ) -> impl Future<Output = Result<(), ServerError>> + Send + 'static {
        self.run(listener, tls.map(Arc::new))
    }

    fn run(
        &self,
        listener: TcpListener,
        tls: Option<Arc<Tls>>,
    ) -> impl Future<Output = Result<(), ServerError>> + Send + 'static {
        let core = self.served();
        async move { listener::run(&core, listener, Serving::whole(tls)).await }
    }

    /// The inside, about to be served: not in a future, because a shutdown before its first poll must not be lost.
    pub(crate) fn served(&self) -> Arc<Core> {
        self.core.stop.send_replace(false);
        Arc::clone(&self.core)
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

    /// Takes new settings into use, for the next request. A smaller bound holds as soon as enough of what is open has ended.
    pub fn reconfigure(&self, config: ServerConfig) {
        self.core.reconfigure(config);
    }

    /// Cancels all tasks; a host does this when it ends, after its last listener.
    pub fn cancel_tasks(&self) {
        self.core.tasks.cancel_all();
    }

    /// Sessions of legacy clients that are open.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.core.sessions.len()
    }

    /// Whether it was told to stop and has not been served again since.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        *self.core.stop.borrow()
    }

    /// Tells every listener to stop; [`serve`](Self::serve) returns when running calls have finished or the grace time is over.
    pub fn shutdown(&self) {
        self.core.stop.send_replace(true);
    }
}
