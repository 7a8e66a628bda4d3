//! Accepts connections, bounded and with time limits, and ends them in good order; it does not know requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
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

/// Serves until the server is told to stop.
pub(crate) async fn run(
    core: &Arc<Core>,
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
) -> Result<(), ServerError> {
    let mut stop = core.stop.subscribe();
    let mut connections = JoinSet::new();
    let mut tick = tokio::time::interval(HOUSEKEEPING);
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            _ = tick.tick() => housekeeping(core),
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => accept(core, &mut connections, stream, peer, tls.clone()),
                Err(error) => {
                    // Out of descriptors, most likely: wait for some to come back.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
    drop(listener);
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
    tls: Option<Arc<Tls>>,
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
        match tls {
            None => connection(&core, stream, peer).await,
            Some(tls) => {
                let limit = Duration::from_millis(core.config.load().header_timeout_ms);
                match tokio::time::timeout(limit, tls.acceptor().accept(stream)).await {
                    Ok(Ok(stream)) => connection(&core, stream, peer).await,
                    Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
                    Err(_) => tracing::debug!("TLS handshake took too long"),
                }
            }
        }
        core.hooks.connections(-1);
        drop(permit);
    });
}

async fn connection<S>(core: &Arc<Core>, stream: S, peer: Peer)
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
    let mut stop = core.stop.subscribe();
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.as_mut().await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection ended early");
    }
}
