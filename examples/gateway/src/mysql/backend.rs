//! A login at a MySQL or MariaDB server, for one client session; it sends no statement of its own.

use std::io;
use std::time::Duration;

use harvest::ConnectParams;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::failure::Failure;
use crate::mysql::packet::{
    CAPABILITIES, CLIENT_CONNECT_ATTRS, CLIENT_CONNECT_WITH_DB, CLIENT_PLUGIN_AUTH,
    CLIENT_PLUGIN_AUTH_LENENC, CLIENT_PROTOCOL_41, CLIENT_SECURE_CONNECTION, COMMAND_BYTES_MAX, Reader, Wire,
    read_error,
};
use crate::users::{native_answer, sha2_answer};

/// Longest packet before the login, in bytes.
const LOGIN_BYTES_MAX: usize = 64 * 1024;

/// A logged-in connection.
pub(crate) struct Backend {
    pub(crate) wire: Wire,
    pub(crate) version: String,
}

/// Connects within the time of `params`; the agreed capabilities are those of the client.
pub(crate) async fn connect(
    params: &ConnectParams,
    database: &str,
    capabilities: u32,
    charset: u8,
) -> Result<Backend, Failure> {
    let limit = Duration::from_millis(params.connect_timeout_ms);
    match tokio::time::timeout(limit, attempt(params, database, capabilities, charset)).await {
        Ok(result) => result,
        Err(_) => Err(Failure::unavailable("the backend did not answer in time".to_owned())),
    }
}

async fn attempt(
    params: &ConnectParams,
    database: &str,
    capabilities: u32,
    charset: u8,
) -> Result<Backend, Failure> {
    let lost = |error: io::Error| Failure::unavailable(format!("the backend cannot be reached: {error}"));
    let port = if params.port == 0 { 3306 } else { params.port };
    let stream = TcpStream::connect((params.host.as_str(), port)).await.map_err(lost)?;
    let mut wire = Wire::new(stream);
    let hello = wire.expect(LOGIN_BYTES_MAX).await.map_err(lost)?;
    if hello.first() == Some(&0xff) {
        return Err(told(&hello));
    }
    let greeting = Greeting::read(&hello).ok_or_else(|| garbled("greeting"))?;
    let database = if database.is_empty() { params.database.as_str() } else { database };
    let password = params.password.expose();
    let mut flags = (capabilities | CLIENT_PROTOCOL_41 | CLIENT_SECURE_CONNECTION | CLIENT_PLUGIN_AUTH)
        & CAPABILITIES
        & greeting.capabilities
        & !(CLIENT_PLUGIN_AUTH_LENENC | CLIENT_CONNECT_ATTRS | CLIENT_CONNECT_WITH_DB);
    if !database.is_empty() {
        flags |= CLIENT_CONNECT_WITH_DB;
    }
    let mut body = flags.to_le_bytes().to_vec();
    body.extend_from_slice(&(COMMAND_BYTES_MAX as u32).to_le_bytes());
    body.push(charset);
    body.extend_from_slice(&[0; 23]);
    body.extend_from_slice(params.user.as_bytes());
    body.push(0);
    let answer = answer_to(&greeting.plugin, &greeting.scramble, password)
        .unwrap_or_else(|_| native_answer(&greeting.scramble, password));
    body.push(answer.len() as u8);
    body.extend_from_slice(&answer);
    if !database.is_empty() {
        body.extend_from_slice(database.as_bytes());
        body.push(0);
    }
    body.extend_from_slice(greeting.plugin.as_bytes());
    body.push(0);
    wire.send(&body).await.map_err(lost)?;
    wire.write.flush().await.map_err(lost)?;
    finish(&mut wire, password).await?;
    Ok(Backend { wire, version: greeting.version })
}

async fn finish(wire: &mut Wire, password: &str) -> Result<(), Failure> {
    let lost = |error: io::Error| Failure::unavailable(format!("the backend hung up at the login: {error}"));
    loop {
        let body = wire.expect(LOGIN_BYTES_MAX).await.map_err(lost)?;
        match body.first() {
            Some(0x00) => return Ok(()),
            Some(0xff) => return Err(told(&body)),
            Some(0xfe) => {
                let mut reader = Reader::new(&body[1..]);
                let plugin = String::from_utf8_lossy(reader.c_text()).into_owned();
                let scramble = reader.c_text();
                let answer = answer_to(&plugin, scramble, password)?;
                wire.send(&answer).await.map_err(lost)?;
                wire.write.flush().await.map_err(lost)?;
            }
            // The short form of caching_sha2_password has sufficed; the OK packet follows.
            Some(0x01) if body.get(1) == Some(&3) => {}
            Some(0x01) => {
                let message = "the backend wants the password in full, which needs TLS: \
                     use an account with mysql_native_password, or log in once over TLS";
                return Err(Failure::unavailable(message.to_owned()));
            }
            _ => return Err(garbled("login")),
        }
    }
}

fn answer_to(plugin: &str, scramble: &[u8], password: &str) -> Result<Vec<u8>, Failure> {
    match plugin {
        "mysql_native_password" => Ok(native_answer(scramble, password)),
        "caching_sha2_password" => Ok(sha2_answer(scramble, password)),
        other => {
            let message =
                format!("the backend asks for the login method {other}, which this proxy does not speak");
            Err(Failure::unavailable(message))
        }
    }
}

fn told(body: &[u8]) -> Failure {
    let (errno, message) = read_error(body);
    Failure::unavailable(format!("the backend refuses the login: {message} ({errno})"))
}

fn garbled(what: &str) -> Failure {
    Failure::unavailable(format!("the backend's {what} cannot be read"))
}

struct Greeting {
    version: String,
    capabilities: u32,
    scramble: Vec<u8>,
    plugin: String,
}

impl Greeting {
    fn read(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        if reader.u8()? != 10 {
            return None;
        }
        let version = String::from_utf8_lossy(reader.c_text()).into_owned();
        reader.int(4)?;
        let mut scramble = reader.take(8)?.to_vec();
        reader.u8()?;
        let low = reader.int(2)? as u32;
        reader.take(3)?;
        let capabilities = low | (reader.int(2)? as u32) << 16;
        let len = usize::from(reader.u8()?);
        reader.take(10)?;
        let tail = reader.take(len.saturating_sub(8).max(13))?;
        scramble.extend_from_slice(tail.strip_suffix(&[0]).unwrap_or(tail));
        let plugin = String::from_utf8_lossy(reader.c_text()).into_owned();
        let plugin = if plugin.is_empty() { "mysql_native_password".to_owned() } else { plugin };
        Some(Self { version, capabilities, scramble, plugin })
    }
}
