//! The first packets of a MySQL client: greeting, name, password; it does not know what comes after the login.

use std::io;

use crate::failure::{Failure, short};
use crate::mysql::packet::{
    CAPABILITIES, CLIENT_CONNECT_ATTRS, CLIENT_CONNECT_WITH_DB, CLIENT_PLUGIN_AUTH,
    CLIENT_PLUGIN_AUTH_LENENC, CLIENT_PROTOCOL_41, CLIENT_SECURE_CONNECTION, CLIENT_SSL, Reader,
    STATUS_AUTOCOMMIT, Wire,
};
use crate::stream::PortTls;
use crate::users::{Users, random};

/// Longest packet before the login, in bytes.
const LOGIN_BYTES_MAX: usize = 64 * 1024;
/// Length of the packet that asks for TLS, in bytes.
const SSL_REQUEST_BYTES: usize = 32;
const NATIVE: &str = "mysql_native_password";

/// Who has logged in, and how the session is to be.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) database: String,
    /// What client and proxy agree on.
    pub(crate) capabilities: u32,
    pub(crate) charset: u8,
    /// Whether the session is under TLS.
    pub(crate) tls: bool,
}

/// Greets a client, goes over to TLS where it asks for it, and checks its password. The OK packet is left to the caller. `None`:
/// refused, and told so.
pub(crate) async fn login(
    mut wire: Wire,
    users: &Users,
    version: &str,
    session_id: u64,
    tls: &PortTls,
) -> io::Result<Option<(Wire, Login)>> {
    let scramble = scramble()?;
    wire.sequence = 0;
    wire.send(&greeting(version, session_id as u32, &scramble, tls.acceptor.is_some())).await?;
    tokio::io::AsyncWriteExt::flush(&mut wire.write).await?;
    let mut body = wire.expect(LOGIN_BYTES_MAX).await?;
    let mut is_secure = false;
    if let Some(acceptor) = tls.acceptor.as_ref().filter(|_| asks_for_tls(&body)) {
        wire = wire.secure(acceptor).await?;
        is_secure = true;
        body = wire.expect(LOGIN_BYTES_MAX).await?;
    }
    if tls.required && !is_secure {
        wire.send_error(&Failure::unsupported("logins without TLS on this port")).await?;
        return Ok(None);
    }
    let Some(mut answer) = Answer::read(&body, is_secure) else {
        wire.send_error(&Failure::unsupported("this form of login (protocols before 4.1 are off)")).await?;
        return Ok(None);
    };
    answer.login.tls = is_secure;
    let mut proof = answer.proof;
    if answer.plugin != NATIVE.as_bytes() && !answer.plugin.is_empty() {
        let mut switch = vec![0xfe];
        switch.extend_from_slice(NATIVE.as_bytes());
        switch.push(0);
        switch.extend_from_slice(&scramble);
        switch.push(0);
        wire.send(&switch).await?;
        tokio::io::AsyncWriteExt::flush(&mut wire.write).await?;
        proof = wire.expect(LOGIN_BYTES_MAX).await?;
    }
    if !users.get_or_nobody(&answer.login.user).native_matches(&scramble, &proof) {
        wire.send_error(&Failure::access(&short(&answer.login.user))).await?;
        return Ok(None);
    }
    Ok(Some((wire, answer.login)))
}

/// The short packet that asks for TLS: the beginning of a login, without a name.
fn asks_for_tls(body: &[u8]) -> bool {
    body.len() == SSL_REQUEST_BYTES
        && Reader::new(body).int(4).is_some_and(|asked| asked as u32 & CLIENT_SSL != 0)
}

/// Twenty random bytes without zero and dollar, which some clients stumble over.
fn scramble() -> io::Result<[u8; 20]> {
    let mut bytes = [0; 20];
    random(&mut bytes).map_err(io::Error::other)?;
    for byte in &mut bytes {
        *byte = b'%' + *byte % 85;
    }
    Ok(bytes)
}

fn greeting(version: &str, session_id: u32, scramble: &[u8; 20], has_tls: bool) -> Vec<u8> {
    let capabilities = (CAPABILITIES | if has_tls { CLIENT_SSL } else { 0 }).to_le_bytes();
    let mut body = vec![10];
    body.extend_from_slice(version.as_bytes());
    body.push(0);
    body.extend_from_slice(&session_id.to_le_bytes());
    body.extend_from_slice(&scramble[..8]);
    body.push(0);
    body.extend_from_slice(&capabilities[..2]);
    body.push(45);
    body.extend_from_slice(&STATUS_AUTOCOMMIT.to_le_bytes());
    body.extend_from_slice(&capabilities[2..]);
    body.push(21);
    body.extend_from_slice(&[0; 10]);
    body.extend_from_slice(&scramble[8..]);
    body.push(0);
    body.extend_from_slice(NATIVE.as_bytes());
    body.push(0);
    body
}

struct Answer<'a> {
    login: Login,
    proof: Vec<u8>,
    plugin: &'a [u8],
}

impl<'a> Answer<'a> {
    fn read(body: &'a [u8], is_secure: bool) -> Option<Self> {
        let mut reader = Reader::new(body);
        let asked = reader.int(4)? as u32;
        if asked & CLIENT_PROTOCOL_41 == 0 || (asked & CLIENT_SSL != 0) != is_secure {
            return None;
        }
        reader.int(4)?;
        let charset = reader.u8()?;
        reader.take(23)?;
        let user = String::from_utf8_lossy(reader.c_text()).into_owned();
        let proof = if asked & CLIENT_PLUGIN_AUTH_LENENC != 0 {
            reader.text()?
        } else if asked & CLIENT_SECURE_CONNECTION != 0 {
            let len = usize::from(reader.u8()?);
            reader.take(len)?
        } else {
            reader.c_text()
        };
        let database = if asked & CLIENT_CONNECT_WITH_DB != 0 { reader.c_text() } else { b"" };
        let database = String::from_utf8_lossy(database).into_owned();
        let plugin = if asked & CLIENT_PLUGIN_AUTH != 0 { reader.c_text() } else { b"" };
        let capabilities = asked & CAPABILITIES & !(CLIENT_CONNECT_WITH_DB | CLIENT_CONNECT_ATTRS);
        Some(Self {
            login: Login { user, database, capabilities, charset, tls: false },
            proof: proof.to_vec(),
            plugin,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_answers_are_no_logins() {
        let mut body = (CLIENT_PROTOCOL_41 | CLIENT_SECURE_CONNECTION).to_le_bytes().to_vec();
        body.extend_from_slice(&[0; 28]);
        body.extend_from_slice(b"ann\0\x02ab");
        let answer = Answer::read(&body, false).expect("reads");
        assert_eq!((answer.login.user.as_str(), answer.proof.as_slice()), ("ann", &b"ab"[..]));
        for len in 0..body.len() - 1 {
            let _ = Answer::read(&body[..len], false);
        }
        assert!(Answer::read(&CLIENT_SSL.to_le_bytes(), false).is_none());
    }
}
