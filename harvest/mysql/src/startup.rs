//! The way into a session: address, TLS, handshake, authentication; it runs no statement.

use std::net::{TcpStream, ToSocketAddrs as _};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use harvest::{ConnectParams, HarvestCode, HarvestError, HarvestResult, TlsMode};
use mysql_common::crypto;
use mysql_common::scramble::{scramble_native, scramble_sha256};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;

use crate::error::{ServerError, from_server};
use crate::wire::{Body, Source as _, Stream, Wire, garbled, lost, put_text};

/// A session that hears nothing for this long is gone, in milliseconds; statements have limits of their own.
const READ_TIMEOUT_MS: u64 = 3_600_000;
/// A server that takes nothing for this long is gone, in milliseconds.
const WRITE_TIMEOUT_MS: u64 = 30_000;
/// `utf8mb4_general_ci`, which every server has.
const CHARACTER_SET: u8 = 45;
/// Longest message that is announced to the server, in bytes.
const MESSAGE_BYTES_MAX: u32 = 1 << 30;
/// Methods of authentication that need more rounds than this do not exist.
const ROUNDS_MAX: usize = 16;

const LONG_PASSWORD: u32 = 1;
const LONG_FLAG: u32 = 4;
const CONNECT_WITH_DB: u32 = 8;
const PROTOCOL_41: u32 = 1 << 9;
const SSL: u32 = 1 << 11;
const TRANSACTIONS: u32 = 1 << 13;
const SECURE_CONNECTION: u32 = 1 << 15;
const PLUGIN_AUTH: u32 = 1 << 19;
/// What is negotiated. Several statements in one text (bit 16) and files from here (bit 7) never are: the server refuses
/// both whatever a text says.
const CAPABILITIES: u32 =
    LONG_PASSWORD | LONG_FLAG | PROTOCOL_41 | TRANSACTIONS | SECURE_CONNECTION | PLUGIN_AUTH;

/// How to reach a server, and as whom.
pub(crate) struct Address {
    params: ConnectParams,
    tls: Option<Arc<ClientConfig>>,
}

/// A new session.
pub(crate) struct Opened {
    pub(crate) wire: Wire,
    pub(crate) connection_id: u32,
    /// A second handle of a TCP socket, to cut it.
    pub(crate) handle: Option<TcpStream>,
}

/// What the server says first.
struct Greeting {
    connection_id: u32,
    nonce: Vec<u8>,
    capabilities: u32,
    plugin: String,
}

impl Address {
    pub(crate) fn of(params: &ConnectParams) -> HarvestResult<Self> {
        let texts = [&params.user, &params.database];
        if texts.iter().any(|text| text.contains('\0')) || params.password.expose().contains('\0') {
            let message = "user, password and database hold no NUL character";
            return Err(HarvestError::new(HarvestCode::FailedPrecondition, message));
        }
        Ok(Self { params: params.clone(), tls: harvest_tls::config(params)? })
    }

    /// Opens a session, authenticated and ready for statements.
    pub(crate) fn open(&self) -> HarvestResult<Opened> {
        self.open_within(Duration::from_millis(self.params.connect_timeout_ms.max(1)))
    }

    /// As [`open`](Self::open), within a time of one's own.
    pub(crate) fn open_within(&self, timeout: Duration) -> HarvestResult<Opened> {
        let (stream, handle) = self.socket(timeout).map_err(|e| unreachable(&e.to_string()))?;
        let mut wire = Wire::new(stream);
        let greeting = greeting(&mut wire)?;
        let wanted = self.tls.as_ref().filter(|_| !wire.stream().is_private());
        let secured = wanted.is_some() && greeting.capabilities & SSL != 0;
        if !secured && self.params.tls > TlsMode::Preferred {
            let message = "the server offers no TLS, which this target requires";
            return Err(HarvestError::new(HarvestCode::Unavailable, message).broken());
        }
        let database = (!self.params.database.is_empty()).then_some(self.params.database.as_str());
        let mut capabilities = CAPABILITIES;
        if database.is_some() {
            capabilities |= CONNECT_WITH_DB;
        }
        if let (true, Some(config)) = (secured, wanted) {
            capabilities |= SSL;
            wire = self.secure(wire, capabilities, config)?;
        }
        let plugin = if greeting.plugin.is_empty() { NATIVE } else { greeting.plugin.as_str() };
        let password = self.params.password.expose();
        // A plugin that is not known may yet be switched away from: the server decides by the account.
        let answer = scramble(plugin, password, &greeting.nonce).unwrap_or_default();
        wire.put_answer(|out| {
            put_head(out, capabilities);
            put_text(out, &self.params.user);
            out.push(u8::try_from(answer.len()).unwrap_or(0));
            out.extend_from_slice(&answer);
            if let Some(database) = database {
                put_text(out, database);
            }
            put_text(out, plugin);
        });
        wire.send()?;
        authenticate(&mut wire, plugin, password, greeting.nonce)?;
        relax(wire.stream())?;
        Ok(Opened { wire, connection_id: greeting.connection_id, handle })
    }

    fn socket(&self, timeout: Duration) -> std::io::Result<(Stream, Option<TcpStream>)> {
        #[cfg(unix)]
        if self.params.host.starts_with('/') {
            let stream = Stream::Unix(UnixStream::connect(&self.params.host)?);
            stream.set_timeouts(timeout, timeout)?;
            return Ok((stream, None));
        }
        let (until, mut last) = (Instant::now() + timeout, None);
        let port = if self.params.port == 0 { 3306 } else { self.params.port };
        for address in (self.host(), port).to_socket_addrs()? {
            let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            match TcpStream::connect_timeout(&address, left) {
                Ok(socket) => {
                    socket.set_nodelay(true)?;
                    let handle = socket.try_clone().ok();
                    let stream = Stream::Tcp(socket);
                    stream.set_timeouts(timeout, timeout)?;
                    return Ok((stream, handle));
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| std::io::Error::other("the host has no address")))
    }

    fn host(&self) -> &str {
        if self.params.host.is_empty() { "localhost" } else { &self.params.host }
    }

    fn secure(&self, mut wire: Wire, capabilities: u32, config: &Arc<ClientConfig>) -> HarvestResult<Wire> {
        wire.put_answer(|out| put_head(out, capabilities));
        wire.send()?;
        let number = wire.number();
        let Stream::Tcp(mut socket) = wire.into_stream() else { return Err(garbled()) };
        let name = ServerName::try_from(self.host().to_owned())
            .map_err(|_| unreachable("the host's name is none that a certificate could hold"))?;
        let mut session =
            ClientConnection::new(Arc::clone(config), name).map_err(|e| unreachable(&e.to_string()))?;
        while session.is_handshaking() {
            let done = session.complete_io(&mut socket);
            done.map_err(|e| {
                HarvestError::new(HarvestCode::Unavailable, format!("TLS failed: {e}")).broken()
            })?;
        }
        let mut wire = Wire::new(Stream::Tls(Box::new(StreamOwned::new(session, socket))));
        wire.set_number(number.wrapping_add(1));
        Ok(wire)
    }
}

/// Gives an open session the patience that statements need.
pub(crate) fn relax(stream: &Stream) -> HarvestResult<()> {
    let (read, write) = (Duration::from_millis(READ_TIMEOUT_MS), Duration::from_millis(WRITE_TIMEOUT_MS));
    stream.set_timeouts(read, write).map_err(|_| lost())
}

fn put_head(out: &mut Vec<u8>, capabilities: u32) {
    out.extend_from_slice(&capabilities.to_le_bytes());
    out.extend_from_slice(&MESSAGE_BYTES_MAX.to_le_bytes());
    out.push(CHARACTER_SET);
    out.extend_from_slice(&[0; 23]);
}

fn greeting(wire: &mut Wire) -> HarvestResult<Greeting> {
    let message = wire.next(false)?;
    let mut body = Body(wire.body(message));
    match body.fixed::<1>()?[0] {
        10 => {}
        0xFF => return Err(refused(&ServerError::read(body.0))),
        _ => return Err(garbled()),
    }
    body.until_nul();
    let connection_id = body.u32()?;
    let mut nonce = body.bytes(8)?.to_vec();
    body.bytes(1)?;
    let low = u32::from(body.u16()?);
    body.bytes(3)?;
    let capabilities = low | u32::from(body.u16()?) << 16;
    let nonce_bytes = usize::from(body.fixed::<1>()?[0]);
    body.bytes(10)?;
    if capabilities & (PROTOCOL_41 | SECURE_CONNECTION) != PROTOCOL_41 | SECURE_CONNECTION {
        return Err(unreachable("the server is too old"));
    }
    let rest = body.bytes(nonce_bytes.saturating_sub(8).max(13).min(body.0.len()))?;
    nonce.extend_from_slice(rest.strip_suffix(&[0]).unwrap_or(rest));
    let plugin = String::from_utf8_lossy(body.until_nul()).into_owned();
    Ok(Greeting { connection_id, nonce, capabilities, plugin })
}

const NATIVE: &str = "mysql_native_password";
const CACHING: &str = "caching_sha2_password";

/// The proof that the password is known; empty for an empty password.
fn scramble(plugin: &str, password: &str, nonce: &[u8]) -> Option<Vec<u8>> {
    match plugin {
        _ if password.is_empty() => Some(Vec::new()),
        NATIVE => scramble_native(nonce, password.as_bytes()).map(|hash| hash.to_vec()),
        CACHING => scramble_sha256(nonce, password.as_bytes()).map(|hash| hash.to_vec()),
        _ => None,
    }
}

fn authenticate(wire: &mut Wire, plugin: &str, password: &str, nonce: Vec<u8>) -> HarvestResult<()> {
    let (mut plugin, mut nonce) = (plugin.to_owned(), nonce);
    for _ in 0..ROUNDS_MAX {
        let message = wire.next(false)?;
        let bytes = wire.body(message).to_vec();
        let mut body = Body(&bytes);
        match body.fixed::<1>()?[0] {
            0 => return Ok(()),
            0xFF => return Err(refused(&ServerError::read(body.0))),
            0xFE => {
                plugin = String::from_utf8_lossy(body.until_nul()).into_owned();
                nonce = body.0.strip_suffix(&[0]).unwrap_or(body.0).to_vec();
                let answer = scramble(&plugin, password, &nonce).ok_or_else(|| {
                    unreachable(&format!(
                        "the account's method of authentication, {plugin}, is not supported"
                    ))
                })?;
                wire.put_answer(|out| out.extend_from_slice(&answer));
            }
            1 if plugin == CACHING => match body.0 {
                // The server knows the hash already: its OK follows.
                [3] => continue,
                [4] if wire.stream().is_private() => wire.put_answer(|out| put_text(out, password)),
                // Over a plain socket the password goes encrypted with the server's key, which is asked for.
                [4] => wire.put_answer(|out| out.push(2)),
                key => {
                    let sealed = sealed(password, &nonce, key)?;
                    wire.put_answer(|out| out.extend_from_slice(&sealed));
                }
            },
            _ => return Err(garbled()),
        }
        wire.send()?;
    }
    Err(garbled())
}

/// The password under the server's public key.
fn sealed(password: &str, nonce: &[u8], key: &[u8]) -> HarvestResult<Vec<u8>> {
    if nonce.is_empty() {
        return Err(garbled());
    }
    let mut clear = password.as_bytes().to_vec();
    clear.push(0);
    for (byte, mask) in clear.iter_mut().zip(nonce.iter().cycle()) {
        *byte ^= mask;
    }
    // The key comes from the network, and its reader gives up on a broken one by a panic.
    std::panic::catch_unwind(|| crypto::encrypt(&clear, key)).map_err(|_| garbled())
}

/// A refused account is not the same as an unreachable server; neither names host, user or password.
fn refused(server: &ServerError) -> HarvestError {
    if matches!(server.code, 1044 | 1045 | 1130 | 1227 | 1698) {
        return HarvestError::new(
            HarvestCode::PermissionDenied,
            "the server refuses the account: check user, password and host grants",
        )
        .with("by", "backend")
        .with("errno", server.code);
    }
    let mut error = from_server(server);
    error.code = HarvestCode::Unavailable;
    error.retryable = true;
    error.broken()
}

fn unreachable(cause: &str) -> HarvestError {
    HarvestError::new(HarvestCode::Unavailable, format!("cannot connect: {cause}")).broken()
}
