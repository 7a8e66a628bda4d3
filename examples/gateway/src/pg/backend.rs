//! A login at a PostgreSQL server, for one client session; it sends no statement of its own.

use std::io;
use std::time::Duration;

use harvest::ConnectParams;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::failure::Failure;
use crate::pg::client::Login;
use crate::pg::wire::{LOGIN_BYTES_MAX, Wire, error_field, message};

/// Connects within the time of `params`; the messages behind the login are left in the wire's buffer.
pub(crate) async fn connect(params: &ConnectParams, login: &Login) -> Result<Wire, Failure> {
    let limit = Duration::from_millis(params.connect_timeout_ms);
    match tokio::time::timeout(limit, attempt(params, login)).await {
        Ok(result) => result,
        Err(_) => Err(Failure::unavailable("the backend did not answer in time".to_owned())),
    }
}

/// Passes a cancel request on. Whether it took effect nobody is told, as with any server.
pub(crate) async fn cancel(params: &ConnectParams, key: &[u8]) {
    let body = [&80_877_102u32.to_be_bytes()[..], key].concat();
    let framed = [&(body.len() as u32 + 4).to_be_bytes()[..], &body].concat();
    let work = async {
        let mut stream = TcpStream::connect((params.host.as_str(), port(params))).await?;
        stream.write_all(&framed).await?;
        stream.shutdown().await
    };
    drop(tokio::time::timeout(Duration::from_millis(params.connect_timeout_ms), work).await);
}

fn port(params: &ConnectParams) -> u16 {
    if params.port == 0 { 5432 } else { params.port }
}

async fn attempt(params: &ConnectParams, login: &Login) -> Result<Wire, Failure> {
    let lost = |error: io::Error| Failure::unavailable(format!("the backend cannot be reached: {error}"));
    let stream = TcpStream::connect((params.host.as_str(), port(params))).await.map_err(lost)?;
    let mut wire = Wire::new(stream);
    // A client that names no database sends its user's name as one; the backend's own is meant then.
    let named = !login.database.is_empty() && login.database != login.user;
    let database = if named || params.database.is_empty() { &login.database } else { &params.database };
    let mut body = (3u32 << 16).to_be_bytes().to_vec();
    let mut put = |name: &str, value: &str| {
        body.extend_from_slice(name.as_bytes());
        body.push(0);
        body.extend_from_slice(value.as_bytes());
        body.push(0);
    };
    put("user", &params.user);
    if !database.is_empty() {
        put("database", database);
    }
    for (name, value) in &login.parameters {
        put(name, value);
    }
    body.push(0);
    let framed = [&(body.len() as u32 + 4).to_be_bytes()[..], &body].concat();
    wire.send(&framed).await.map_err(lost)?;
    authenticate(&mut wire, params).await?;
    Ok(wire)
}

async fn authenticate(wire: &mut Wire, params: &ConnectParams) -> Result<(), Failure> {
    let lost = |error: io::Error| Failure::unavailable(format!("the backend hung up at the login: {error}"));
    let garbled = || Failure::unavailable("the backend's login cannot be read".to_owned());
    let password = params.password.expose();
    let mut scram = None;
    loop {
        let next = wire.message(LOGIN_BYTES_MAX).await.map_err(lost)?;
        let (kind, body) = next.ok_or_else(|| lost(io::ErrorKind::UnexpectedEof.into()))?;
        match kind {
            b'R' => {}
            b'N' | b'v' => continue,
            b'E' => {
                let text = error_field(&body, b'M').unwrap_or_default();
                return Err(Failure::unavailable(format!("the backend refuses the login: {text}")));
            }
            _ => return Err(garbled()),
        }
        let (method, rest) = body.split_first_chunk::<4>().ok_or_else(garbled)?;
        let answer = match u32::from_be_bytes(*method) {
            0 => return Ok(()),
            5 => {
                let salt = <[u8; 4]>::try_from(rest).map_err(|_| garbled())?;
                let mut hash = md5_hash(params.user.as_bytes(), password.as_bytes(), salt).into_bytes();
                hash.push(0);
                hash
            }
            10 => {
                let client = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
                let first = client.message().to_vec();
                let name = format!("{SCRAM_SHA_256}\0");
                scram = Some(client);
                [name.as_bytes(), &(first.len() as u32).to_be_bytes(), &first].concat()
            }
            11 => {
                let client = scram.as_mut().ok_or_else(garbled)?;
                client.update(rest).map_err(lost)?;
                client.message().to_vec()
            }
            12 => {
                scram.as_mut().ok_or_else(garbled)?.finish(rest).map_err(lost)?;
                continue;
            }
            other => {
                let text =
                    format!("the backend asks for login method {other}, which this proxy does not speak");
                return Err(Failure::unavailable(text));
            }
        };
        wire.send(&message(b'p', &answer)).await.map_err(lost)?;
    }
}
