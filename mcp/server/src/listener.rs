//! Accepts connections, bounded and with time limits, and ends them in good order; it does not know requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::core::{Core, stopped};
use crate::http::{Peer, handle};
use crate::patience::Patience;
use crate::server::ServerError;
use crate::tls::Tls;

/// Largest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// How often idle sessions and changed lists are looked for.
const HOUSEKEEPING: Duration = Duration::from_millis(250);

/// What one listener has of its own.
#[derive(Clone)]
pub(crate) struct Serving {
    /// Certificates of the next connection.
    pub(crate) tls: Arc<ArcSwapOption<Tls>>,
    /// Tells this listener alone to stop.
    pub(crate) stop: Option<watch::Receiver<bool>>,
}

impl Serving {
    /// Serves until the whole server stops.
    pub(crate) fn whole(tls: Option<Arc<Tls>>) -> Self {
        Self { tls: Arc::new(ArcSwapOption::new(tls)), stop: None }
    }

    /// Waits until this listener or the whole server is told to stop.
    async fn stopped(&mut self, core: &Core) {
        let mut all = core.stop.subscribe();
        match &mut self.stop {
            None => stopped(&mut all).await,
            Some(own) => tokio::select! {
                () = stopped(&mut all) => {}
                () = stopped(own) => {}
            },
        }
    }
}

/// Serves until this listener or the whole server is told to stop.
pub(crate) async fn run(
    core: &Arc<Core>,
    listener: TcpListener,
    mut serving: Serving,
) -> Result<(), ServerError> {
    let mut connections = JoinSet::new();
    let mut tick = tokio::time::interval(HOUSEKEEPING);
    loop {
        tokio::select! {
            () = serving.stopped(core) => break,
            _ = tick.tick() => housekeeping(core),
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => accept(core, &mut connections, stream, peer, serving.clone()),
                Err(error) => {
                    // Out of descriptors, most likely: wait for some to come back.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
    drop(listener);
    if !*core.stop.borrow() {
        return drain(core, connections).await;
    }
    let grace = Duration::from_millis(core.config.load().shutdown_grace_ms);
    core.sessions.reap(0, None);
    let drained =
        tokio::time::timeout(grace, async { while connections.join_next().await.is_some() {} }).await;
    core.sessions.end_all();
    if drained.is_err() {
        connections.shutdown().await;
    }
    Ok(())
}

/// Only this listener ends: its calls get their whole time, sessions go on elsewhere.
async fn drain(core: &Core, mut connections: JoinSet<()>) -> Result<(), ServerError> {
    let config = core.config.load_full();
    let call_ms = if config.call_timeout_ms == 0 { config.task_timeout_ms } else { config.call_timeout_ms };
    let limit = Duration::from_millis(call_ms.saturating_add(config.shutdown_grace_ms));
    let mut all = core.stop.subscribe();
    tokio::select! {
        _ = tokio::time::timeout(limit, async { while connections.join_next().await.is_some() {} }) => {}
        () = stopped(&mut all) => {
            let grace = Duration::from_millis(config.shutdown_grace_ms);
            let rest = async { while connections.join_next().await.is_some() {} };
            let _ = tokio::time::timeout(grace, rest).await;
        }
    }
    connections.shutdown().await;
    Ok(())
}

fn housekeeping(core: &Core) {
    core.fit();
    core.sessions.reap(core.config.load().session_idle_ms, None);
    core.routes.publish_changes();
}

fn accept(
    core: &Arc<Core>,
    connections: &mut JoinSet<()>,
    stream: TcpStream,
    peer: SocketAddr,
    serving: Serving,
) {
    let Some(permit) = core.connections.try_acquire() else {
        tracing::warn!("too many connections: one is dropped");
        return;
    };
    let loopback = stream.local_addr().is_ok_and(|a| a.ip().to_canonical().is_loopback());
    let peer = Peer { address: peer.ip().to_canonical().to_string().into(), loopback };
    let _ = stream.set_nodelay(true);
    let core = Arc::clone(core);
    connections.spawn(async move {
        core.hooks.connections(1);
        match serving.tls.load_full() {
            None => connection(&core, stream, peer, serving).await,
            Some(tls) => {
                let limit = Duration::from_millis(core.config.load().header_timeout_ms);
                match tokio::time::timeout(limit, tls.acceptor().accept(stream)).await {
                    Ok(Ok(stream)) => connection(&core, stream, peer, serving).await,
                    Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
                    Err(_) => tracing::debug!("TLS handshake took too long"),
                }
            }
        }
        core.hooks.connections(-1);
        drop(permit);
    });
}

async fn connection<S>(core: &Arc<Core>, stream: S, peer: Peer, mut serving: Serving)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (header_timeout, write_timeout_ms) = {
        let config = core.config.load();
        (Duration::from_millis(config.header_timeout_ms), config.write_timeout_ms)
    };
    let service = {
        let core = Arc::clone(core);
        service_fn(move |request| handle(Arc::clone(&core), peer.clone(), request))
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(Patience::new(stream, write_timeout_ms)), service);
    let mut connection = std::pin::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = serving.stopped(core) => {
            connection.as_mut().graceful_shutdown();
            connection.as_mut().await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection ended early");
    }
}
