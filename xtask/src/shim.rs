//! A forwarding shim on loopback: plain HTTP in, TLS and a bearer token out; it knows no protocol above HTTP/1.1.

mod rewrite;
#[cfg(test)]
mod tests;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use rewrite::Rewriter;

/// A pump that moved nothing for this long lets its connection go.
const IDLE_MAX: Duration = Duration::from_secs(300);
/// Pause of a pump that moved nothing.
const PAUSE: Duration = Duration::from_millis(1);
/// Plain bytes that may wait for a slow client.
const PENDING_BYTES_MAX: usize = 1 << 20;

/// Where the shim forwards to and what it adds.
#[derive(Clone)]
struct Beyond {
    address: SocketAddr,
    token: String,
    tls: Arc<ClientConfig>,
}

/// A running shim; it stops accepting when dropped.
pub(crate) struct Shim {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
}

impl Shim {
    /// Listens on a free loopback port and forwards to a TLS server whose certificate the given authority signed.
    pub(crate) fn start(target: SocketAddr, authority: &Path, token: &str) -> Result<Self, String> {
        let beyond = Beyond { address: target, token: token.to_owned(), tls: client_config(authority)? };
        let shown = |error: std::io::Error| format!("shim: {error}");
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(shown)?;
        listener.set_nonblocking(true).map_err(shown)?;
        let address = listener.local_addr().map_err(shown)?;
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        std::thread::spawn(move || accept(&listener, &beyond, &asked));
        Ok(Self { address, stop })
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn client_config(authority: &Path) -> Result<Arc<ClientConfig>, String> {
    let shown = |error: &dyn std::fmt::Display| format!("{}: {error}", authority.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authority).map_err(|error| shown(&error))? {
        let certificate = certificate.map_err(|error| shown(&error))?;
        roots.add(certificate).map_err(|error| shown(&error))?;
    }
    let config = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| shown(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn accept(listener: &TcpListener, beyond: &Beyond, stop: &Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((client, _)) => {
                let beyond = beyond.clone();
                let stop = Arc::clone(stop);
                // A broken connection is the client's to notice; the shim only closes its half.
                std::thread::spawn(move || drop(pump(client, &beyond, &stop)));
            }
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

/// Carries one connection both ways until either side closes.
fn pump(mut client: TcpStream, beyond: &Beyond, stop: &AtomicBool) -> std::io::Result<()> {
    let name = ServerName::from(beyond.address.ip());
    let mut tls = ClientConnection::new(Arc::clone(&beyond.tls), name).map_err(std::io::Error::other)?;
    let mut server = TcpStream::connect(beyond.address)?;
    for socket in [&client, &server] {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
    }
    let mut rewriter = Rewriter::new(&beyond.token);
    let mut buffer = vec![0; 16 << 10];
    let mut pending: Vec<u8> = Vec::new();
    let mut last_moved = Instant::now();
    let (mut client_done, mut server_done) = (false, false);
    while !stop.load(Ordering::Relaxed) && last_moved.elapsed() < IDLE_MAX {
        let mut moved = false;
        if !client_done {
            match take(&mut client, &mut buffer)? {
                Some(0) => client_done = true,
                Some(count) => {
                    moved = true;
                    tls.writer().write_all(&rewriter.push(&buffer[..count]))?;
                }
                None => {}
            }
        }
        moved |= write_tls(&mut tls, &mut server)?;
        if !server_done && pending.len() < PENDING_BYTES_MAX {
            match read_tls(&mut tls, &mut server)? {
                Some(0) => server_done = true,
                Some(_) => moved = true,
                None => {}
            }
            let drained = drain_plain(&mut tls, &mut buffer, &mut pending)?;
            moved |= drained.moved;
            server_done |= drained.ended;
        }
        moved |= give(&mut client, &mut pending)?;
        if client_done || (server_done && pending.is_empty()) {
            return Ok(());
        }
        if moved {
            last_moved = Instant::now();
        } else {
            std::thread::sleep(PAUSE);
        }
    }
    Ok(())
}

/// Reads what is there: a count, zero at the end, or nothing yet.
fn take(from: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<Option<usize>> {
    match from.read(buffer) {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(Some(0)),
        Err(error) => Err(error),
    }
}

fn give(to: &mut TcpStream, pending: &mut Vec<u8>) -> std::io::Result<bool> {
    let mut moved = false;
    while !pending.is_empty() {
        match to.write(pending) {
            Ok(count) => {
                pending.drain(..count);
                moved = true;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(moved)
}

fn write_tls(tls: &mut ClientConnection, server: &mut TcpStream) -> std::io::Result<bool> {
    let mut moved = false;
    while tls.wants_write() {
        match tls.write_tls(server) {
            Ok(_) => moved = true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(moved)
}

fn read_tls(tls: &mut ClientConnection, server: &mut TcpStream) -> std::io::Result<Option<usize>> {
    if !tls.wants_read() {
        return Ok(None);
    }
    let count = match tls.read_tls(server) {
        Ok(count) => count,
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(Some(0)),
        Err(error) => return Err(error),
    };
    tls.process_new_packets().map_err(std::io::Error::other)?;
    Ok(Some(count))
}

/// What decrypting brought; `ended` once the server said goodbye.
#[derive(Default)]
struct Drained {
    moved: bool,
    ended: bool,
}

fn drain_plain(
    tls: &mut ClientConnection,
    buffer: &mut [u8],
    pending: &mut Vec<u8>,
) -> std::io::Result<Drained> {
    let mut drained = Drained::default();
    while pending.len() < PENDING_BYTES_MAX {
        match tls.reader().read(buffer) {
            Ok(0) => {
                drained.ended = true;
                break;
            }
            Ok(count) => {
                pending.extend_from_slice(&buffer[..count]);
                drained.moved = true;
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::UnexpectedEof) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(drained)
}
