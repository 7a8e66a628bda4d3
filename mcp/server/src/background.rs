//! A server on its own threads, for hosts that are not async; it does not know what is served.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::server::{Server, ServerError};
use crate::tls::Tls;

/// How long threads of calls that ignore their cancellation may hold the host up.
const STOP_TIMEOUT: Duration = Duration::from_millis(100);

/// Told when the listener has ended, and how.
type Serving = Receiver<Result<(), ServerError>>;

/// A server on its own threads. Methods that end a listener block until it has ended.
pub struct BackgroundServer {
    server: Server,
    runtime: Option<Runtime>,
    serving: Option<Serving>,
    address: SocketAddr,
}

impl BackgroundServer {
    /// Binds `address` and serves it with the certificates of the builder. One thread moves bytes and runs inline tools at
    /// tens of thousands of requests a second, so `threads` is rarely more than 1; blocking tools have their own threads.
    ///
    /// # Errors
    /// When the address cannot be bound or the runtime cannot start.
    pub fn start(server: Server, address: SocketAddr, threads: usize) -> Result<Self, ServerError> {
        let runtime = runtime(threads)?;
        let (listener, address) = bind(&runtime, address)?;
        let serving = spawn(&runtime, server.serve(listener));
        Ok(Self { server, runtime: Some(runtime), serving: Some(serving), address })
    }

    /// Serves another address or other certificates from now on; `None` means plain HTTP. The new address is bound before
    /// the old listener ends, unless both are the same; running calls finish, tasks go on.
    ///
    /// # Errors
    /// When the address cannot be bound: the old listener then stays, unless both addresses are the same.
    pub fn listen(&mut self, address: SocketAddr, tls: Option<Tls>) -> Result<(), ServerError> {
        let Some(runtime) = &self.runtime else { return Err(stopped()) };
        let same = address == self.address;
        let early = if same { None } else { Some(bind(runtime, address)?) };
        self.server.shutdown();
        ended(self.serving.take())?;
        let (listener, address) = match early {
            Some(bound) => bound,
            None => bind(runtime, address)?,
        };
        self.serving = Some(spawn(runtime, self.server.serve_tls(listener, tls)));
        self.address = address;
        Ok(())
    }

    /// Ends the listener within the grace time; tasks go on, and [`listen`](Self::listen) starts another one.
    ///
    /// # Errors
    /// What the listener failed with.
    pub fn pause(&mut self) -> Result<(), ServerError> {
        self.server.shutdown();
        ended(self.serving.take())
    }

    /// The address that is served, with the port that was given by the system if zero was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether a listener is there.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        self.serving.is_some() && !self.server.is_stopped()
    }

    /// The server behind it.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Waits until the listener ends by [`Server::shutdown`] or a failure, then ends the rest.
    ///
    /// # Errors
    /// What the listener failed with.
    pub fn wait(mut self) -> Result<(), ServerError> {
        let outcome = ended(self.serving.take());
        self.end();
        outcome
    }

    /// Stops: running calls finish within the grace time, tasks are cancelled.
    ///
    /// # Errors
    /// What the listener failed with.
    pub fn stop(mut self) -> Result<(), ServerError> {
        let outcome = self.pause();
        self.end();
        outcome
    }

    fn end(&mut self) {
        self.server.cancel_tasks();
        if let Some(runtime) = self.runtime.take() {
            end_runtime(runtime);
        }
    }
}

impl Drop for BackgroundServer {
    fn drop(&mut self) {
        self.server.shutdown();
        self.server.cancel_tasks();
        if let Some(runtime) = self.runtime.take() {
            // Dropping in place would wait for blocking threads, without a bound.
            runtime.shutdown_background();
        }
    }
}

/// Runs a listener; not awaited, so that a host may wait for its end on any thread, an async one included.
fn spawn(
    runtime: &Runtime,
    listening: impl Future<Output = Result<(), ServerError>> + Send + 'static,
) -> Serving {
    let (tell, told) = sync_channel(1);
    runtime.spawn(async move {
        let _ = tell.send(listening.await);
    });
    told
}

fn ended(serving: Option<Serving>) -> Result<(), ServerError> {
    // A listener that is gone without a word was ended with its runtime.
    serving.map_or(Ok(()), |serving| serving.recv().unwrap_or(Ok(())))
}

/// On a thread of its own, because a runtime must not be shut down on another one's.
pub(crate) fn end_runtime(runtime: Runtime) {
    let ending = std::thread::Builder::new().name("mcp-stop".to_owned());
    if let Ok(thread) = ending.spawn(move || runtime.shutdown_timeout(STOP_TIMEOUT)) {
        let _ = thread.join();
    }
}

fn stopped() -> ServerError {
    ServerError::io("the server has been stopped", std::io::Error::other("no runtime"))
}

pub(crate) fn bind(runtime: &Runtime, address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServerError> {
    let cannot = |e| ServerError::io(format!("cannot listen on {address}"), e);
    let listener = std::net::TcpListener::bind(address).map_err(cannot)?;
    listener.set_nonblocking(true).map_err(cannot)?;
    let bound = listener.local_addr().map_err(cannot)?;
    let _entered = runtime.enter();
    let listener = TcpListener::from_std(listener).map_err(cannot)?;
    Ok((listener, bound))
}

pub(crate) fn runtime(threads: usize) -> Result<Runtime, ServerError> {
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
    let runtime = runtime(1)?;
    let outcome = runtime.block_on(server.serve_stdio(path));
    // Standard input may be blocked in a read that never returns.
    runtime.shutdown_timeout(STOP_TIMEOUT);
    outcome
}
