//! The way into a session: address, TLS, start-up message, authentication; it runs no statement.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use harvest::{ConnectParams, HarvestCode, HarvestError, HarvestResult, TlsMode};
use postgres_protocol::authentication::{md5_hash, sasl};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;

use crate::binding;
use crate::error::{ServerError, from_server};
use crate::wire::{Body, Stream, Wire, garbled, lost, put_text};

/// A session that hears nothing for this long is gone, in milliseconds; statements have limits of their own.
const READ_TIMEOUT_MS: u64 = 3_600_000;
/// A server that takes nothing for this long is gone, in milliseconds.
const WRITE_TIMEOUT_MS: u64 = 30_000;
/// Number of the request for TLS.
const SSL_REQUEST: u32 = 80_877_103;
/// Version 3.0 of the protocol.
const PROTOCOL: u32 = 196_608;
/// Methods of authentication that need more rounds than this do not exist.
const ROUNDS_MAX: usize = 16;

/// How to reach a server, once more if need be.
#[derive(Clone)]
pub(crate) struct Address {
    host: String,
    port: u16,
    /// What TLS is done with; `None` where it is not wanted.
    tls: Option<Arc<ClientConfig>>,
    /// Whether a server without TLS is refused.
    tls_required: bool,
}

impl Address {
    pub(crate) fn of(params: &ConnectParams) -> HarvestResult<Self> {
        Ok(Self {
            host: if params.host.is_empty() { "localhost".to_owned() } else { params.host.clone() },
            port: if params.port == 0 { 5432 } else { params.port },
            tls: harvest_tls::config(params)?,
            tls_required: params.tls > TlsMode::Preferred,
        })
    }

    /// Opens a socket within `timeout`, with TLS where that is wanted; gives a second handle of a TCP socket too.
    pub(crate) fn open(&self, timeout: Duration) -> HarvestResult<(Stream, Option<TcpStream>)> {
        #[cfg(unix)]
        if self.host.starts_with('/') {
            if self.tls_required {
                return Err(no_tls());
            }
            let path = format!("{}/.s.PGSQL.{}", self.host, self.port);
            let socket = UnixStream::connect(path).map_err(|e| unreachable(&e.to_string()))?;
            let stream = Stream::Unix(socket);
            stream.set_timeouts(timeout, timeout).map_err(|e| unreachable(&e.to_string()))?;
            return Ok((stream, None));
        }
        let socket = self.tcp(Instant::now() + timeout).map_err(|e| unreachable(&e.to_string()))?;
        let ready = socket.set_nodelay(true);
        ready
            .and_then(|()| socket.set_read_timeout(Some(timeout)))
            .and_then(|()| socket.set_write_timeout(Some(timeout)))
            .map_err(|e| unreachable(&e.to_string()))?;
        let handle = socket.try_clone().ok();
        let stream = match &self.tls {
            Some(config) => self.secure(socket, config)?,
            None => Stream::Tcp(socket),
        };
        Ok((stream, handle))
    }

    fn tcp(&self, until: Instant) -> std::io::Result<TcpStream> {
        let mut last = None;
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            match TcpStream::connect_timeout(&address, left) {
                Ok(socket) => return Ok(socket),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| std::io::Error::other("the host has no address")))
    }

    fn secure(&self, mut socket: TcpStream, config: &Arc<ClientConfig>) -> HarvestResult<Stream> {
        let io = |e: std::io::Error| unreachable(&e.to_string());
        let mut ask = [0; 8];
        ask[..4].copy_from_slice(&8_u32.to_be_bytes());
        ask[4..].copy_from_slice(&SSL_REQUEST.to_be_bytes());
        socket.write_all(&ask).map_err(io)?;
        let mut answer = [0];
        // Exactly one byte: whatever somebody has put behind it is not read as part of the plain conversation.
        socket.read_exact(&mut answer).map_err(io)?;
        match answer[0] {
            b'S' => {}
            b'N' if !self.tls_required => return Ok(Stream::Tcp(socket)),
            b'N' => return Err(no_tls()),
            _ => return Err(garbled()),
        }
        let name = ServerName::try_from(self.host.clone())
            .map_err(|_| unreachable("the host's name is none that a certificate could hold"))?;
        let mut session =
            ClientConnection::new(Arc::clone(config), name).map_err(|e| unreachable(&e.to_string()))?;
        while session.is_handshaking() {
            session.complete_io(&mut socket).map_err(|e| unreachable(&format!("TLS failed: {e}")))?;
        }
        Ok(Stream::Tls(Box::new(StreamOwned::new(session, socket))))
    }
}

/// What a new session is known by: numbers for cancel requests, and a handle to cut its socket.
pub(crate) struct Opened {
    pub(crate) wire: Wire,
    pub(crate) process_id: i32,
    pub(crate) secret: Vec<u8>,
    pub(crate) handle: Option<TcpStream>,
}

/// Opens a session, authenticated and ready for statements.
pub(crate) fn open(params: &ConnectParams, address: &Address) -> HarvestResult<Opened> {
    let timeout = Duration::from_millis(params.connect_timeout_ms.max(1));
    let (stream, handle) = address.open(timeout)?;
    let binding = match &stream {
        Stream::Tls(stream) => stream.conn.peer_certificates().and_then(|chain| binding::of(chain.first()?)),
        _ => None,
    };
    let mut wire = Wire::new(stream);
    let database = if params.database.is_empty() { "postgres" } else { &params.database };
    let settings = [
        ("user", params.user.as_str()),
        ("database", database),
        ("client_encoding", "UTF8"),
        ("application_name", "penstock"),
    ];
    if settings.iter().any(|(_, value)| value.contains('\0')) {
        return Err(HarvestError::new(
            HarvestCode::FailedPrecondition,
            "user and database hold no NUL character",
        ));
    }
    wire.put_untagged(|out| {
        out.extend_from_slice(&PROTOCOL.to_be_bytes());
        for (name, value) in settings {
            put_text(out, name);
            put_text(out, value);
        }
        out.push(0);
    });
    wire.send()?;
    authenticate(&mut wire, params, binding)?;
    let (process_id, secret) = ready(&mut wire)?;
    relax(wire.stream())?;
    Ok(Opened { wire, process_id, secret, handle })
}

/// Gives an open session the patience that statements need.
pub(crate) fn relax(stream: &Stream) -> HarvestResult<()> {
    let (read, write) = (Duration::from_millis(READ_TIMEOUT_MS), Duration::from_millis(WRITE_TIMEOUT_MS));
    stream.set_timeouts(read, write).map_err(|_| lost())
}

fn authenticate(wire: &mut Wire, params: &ConnectParams, binding: Option<Vec<u8>>) -> HarvestResult<()> {
    let password = params.password.expose();
    let mut binding = binding;
    let mut scram: Option<sasl::ScramSha256> = None;
    for _ in 0..ROUNDS_MAX {
        let frame = wire.next(false)?;
        let bytes = wire.body(frame).to_vec();
        let mut body = Body(&bytes);
        match frame.tag {
            b'R' => {}
            b'E' => return Err(refused(&ServerError::read(body.0))),
            b'N' | b'v' => continue,
            _ => return Err(garbled()),
        }
        let broken = |_| unreachable("SCRAM failed: the server does not prove that it knows the password");
        match body.u32()? {
            0 if scram.is_some() => return Err(broken(())),
            0 => return Ok(()),
            3 => put_password(wire, password)?,
            5 => {
                let salt: [u8; 4] = body.int()?;
                let hash = md5_hash(params.user.as_bytes(), password.as_bytes(), salt);
                put_password(wire, &hash)?;
            }
            10 => {
                let client = begin_scram(body, binding.take(), password)?;
                wire.put(b'p', |out| {
                    put_text(out, client.1);
                    let first = client.0.message();
                    out.extend_from_slice(&u32::try_from(first.len()).unwrap_or(u32::MAX).to_be_bytes());
                    out.extend_from_slice(first);
                });
                scram = Some(client.0);
            }
            11 => {
                let client = scram.as_mut().ok_or_else(garbled)?;
                client.update(body.0).map_err(|_| broken(()))?;
                let next = client.message().to_vec();
                wire.put(b'p', |out| out.extend_from_slice(&next));
            }
            12 => {
                let mut client = scram.take().ok_or_else(garbled)?;
                client.finish(body.0).map_err(|_| broken(()))?;
                continue;
            }
            _ => {
                return Err(unreachable("the server wants a method of authentication that is not supported"));
            }
        }
        wire.send()?;
    }
    Err(garbled())
}

/// Chooses the mechanism: bound to the TLS channel wherever both sides can.
fn begin_scram(
    mut body: Body<'_>,
    binding: Option<Vec<u8>>,
    password: &str,
) -> HarvestResult<(sasl::ScramSha256, &'static str)> {
    let (mut plain, mut bound) = (false, false);
    loop {
        match body.text()? {
            "" => break,
            "SCRAM-SHA-256" => plain = true,
            "SCRAM-SHA-256-PLUS" => bound = true,
            _ => {}
        }
    }
    if password.is_empty() {
        return Err(HarvestError::new(
            HarvestCode::PermissionDenied,
            "the server asks for a password and the target has none",
        )
        .with("by", "backend"));
    }
    let (mechanism, binding) = match (bound, binding, plain) {
        (true, Some(hash), _) => ("SCRAM-SHA-256-PLUS", sasl::ChannelBinding::tls_server_end_point(hash)),
        // Said aloud, so that nobody between us can have taken the bound mechanism out of the offer.
        (false, Some(_), true) => ("SCRAM-SHA-256", sasl::ChannelBinding::unrequested()),
        (_, None, true) => ("SCRAM-SHA-256", sasl::ChannelBinding::unsupported()),
        _ => return Err(unreachable("the server offers no SCRAM mechanism that is supported")),
    };
    Ok((sasl::ScramSha256::new(password.as_bytes(), binding), mechanism))
}

fn put_password(wire: &mut Wire, password: &str) -> HarvestResult<()> {
    if password.contains('\0') {
        return Err(HarvestError::new(HarvestCode::FailedPrecondition, "a password holds no NUL character"));
    }
    wire.put(b'p', |out| put_text(out, password));
    Ok(())
}

/// Reads the server's numbers until it is ready.
fn ready(wire: &mut Wire) -> HarvestResult<(i32, Vec<u8>)> {
    let mut key = (0, Vec::new());
    loop {
        let frame = wire.next(false)?;
        let mut body = Body(wire.body(frame));
        match frame.tag {
            b'K' => key = (body.i32()?, body.0.to_vec()),
            b'Z' => return Ok(key),
            b'E' => return Err(refused(&ServerError::read(body.0))),
            b'S' | b'N' | b'A' => {}
            _ => return Err(garbled()),
        }
    }
}

/// A refused account is not the same as an unreachable server; neither names host, user or password.
fn refused(server: &ServerError) -> HarvestError {
    if server.state.starts_with("28") {
        return HarvestError::new(
            HarvestCode::PermissionDenied,
            "the server refuses the account: check user, password and pg_hba.conf",
        )
        .with("by", "backend")
        .with("sqlstate", server.state.as_str());
    }
    let mut error = from_server(server);
    error.code = HarvestCode::Unavailable;
    error.retryable = true;
    error.broken()
}

fn no_tls() -> HarvestError {
    HarvestError::new(HarvestCode::Unavailable, "the server offers no TLS, which this target requires")
        .broken()
}

fn unreachable(cause: &str) -> HarvestError {
    HarvestError::new(HarvestCode::Unavailable, format!("cannot connect: {cause}")).broken()
}
