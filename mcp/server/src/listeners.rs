//! Listeners that come and go while one server runs, for hosts that are not async; it does not know where addresses come from.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::background::{bind, end_runtime, runtime};
use crate::listener::{self, Serving};
use crate::server::{Server, ServerError};
use crate::tls::Tls;

/// How much longer than its grace time a listener is waited for at the end.
const END_EXTRA: Duration = Duration::from_millis(500);

struct Active {
    bound: SocketAddr,
    stop: watch::Sender<bool>,
    tls: Arc<ArcSwapOption<Tls>>,
}

#[derive(Default)]
struct State {
    /// By the address that was asked for.
    active: BTreeMap<SocketAddr, Active>,
    ending: Vec<Receiver<()>>,
}

/// Any number of listeners over one server, each with an end of its own: a new one is bound before an old one stops, and
/// the calls of a stopped one finish.
pub struct Listeners {
    server: Server,
    runtime: Mutex<Option<Runtime>>,
    state: Mutex<State>,
}

impl Listeners {
    /// No listener yet. `threads` move bytes; blocking tools have their own.
    ///
    /// # Errors
    /// When the runtime cannot start.
    pub fn new(server: Server, threads: usize) -> Result<Self, ServerError> {
        Ok(Self { server, runtime: Mutex::new(Some(runtime(threads)?)), state: Mutex::default() })
    }

    /// Listens on exactly these addresses from now on. Addresses that stay only take the certificates; new ones are bound
    /// first, all or none; then those that are no longer wanted stop accepting, and their calls finish.
    ///
    /// # Errors
    /// When an address cannot be bound; nothing is changed then.
    pub fn listen(&self, addresses: &[SocketAddr], tls: Option<Tls>) -> Result<(), ServerError> {
        let guard = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(runtime) = guard.as_ref() else {
            let gone = std::io::Error::other("no runtime");
            return Err(ServerError::Io { what: "the server has been stopped".to_owned(), source: gone });
        };
        let mut state = self.lock();
        let mut fresh = Vec::new();
        for address in addresses.iter().filter(|address| !state.active.contains_key(address)) {
            fresh.push((*address, bind(runtime, *address)?));
        }
        let tls = tls.map(Arc::new);
        for active in state.active.values() {
            active.tls.store(tls.clone());
        }
        state.active.retain(|address, active| {
            let stays = addresses.contains(address);
            if !stays {
                active.stop.send_replace(true);
            }
            stays
        });
        for (address, (socket, bound)) in fresh {
            let (stop, stopped) = watch::channel(false);
            let shared = Arc::new(ArcSwapOption::new(tls.clone()));
            let serving = Serving { tls: Arc::clone(&shared), stop: Some(stopped) };
            let (tell, told) = sync_channel(1);
            let core = self.server.served();
            runtime.spawn(async move {
                if let Err(error) = listener::run(&core, socket, serving).await {
                    tracing::error!(%error, "a listener has ended");
                }
                let _ = tell.send(());
            });
            state.active.insert(address, Active { bound, stop, tls: shared });
            state.ending.push(told);
        }
        state.ending.retain(|told| told.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty));
        Ok(())
    }

    /// The addresses that accept connections, with the ports that the system gave.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.lock().active.values().map(|active| active.bound).collect()
    }

    /// Whether the listeners speak TLS.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        self.lock().active.values().any(|active| active.tls.load().is_some())
    }

    /// The server behind them.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Ends all listeners: running calls finish within the grace time, tasks are cancelled.
    pub fn stop(&self) {
        self.server.shutdown();
        let ending = {
            let mut state = self.lock();
            state.active.clear();
            std::mem::take(&mut state.ending)
        };
        let grace = Duration::from_millis(self.server.core.config.load().shutdown_grace_ms) + END_EXTRA;
        let until = Instant::now() + grace;
        for told in ending {
            let _ = told.recv_timeout(until.saturating_duration_since(Instant::now()));
        }
        self.server.cancel_tasks();
        if let Some(runtime) = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take() {
            end_runtime(runtime);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        self.server.shutdown();
        self.server.cancel_tasks();
        if let Some(runtime) = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Dropping in place would wait for blocking threads, without a bound.
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for Listeners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listeners").field("addresses", &self.addresses()).finish_non_exhaustive()
    }
}
