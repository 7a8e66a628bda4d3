//! The first messages of a PostgreSQL client: start, SCRAM-SHA-256, cancel requests; it does not know what comes after.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::net::TcpStream;

use crate::failure::Failure;
use crate::pg::wire::{LOGIN_BYTES_MAX, Wire, c_text, error, message};
use crate::stream::PortTls;
use crate::users::{SCRAM_ROUNDS, Users, hmac_sha256, random, same, sha256};

const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;
/// Messages before the start message.
const PRELUDES_MAX: usize = 4;
/// Parameters of a start message.
const PARAMETERS_MAX: usize = 64;

/// Who has logged in, and what the start message asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) database: String,
    /// The rest, to be passed on.
    pub(crate) parameters: Vec<(String, String)>,
    /// Whether the session is under TLS.
    pub(crate) tls: bool,
}

/// What a connection turned out to be.
pub(crate) enum Opened {
    Session(Wire, Login),
    /// A cancel request: process and key, as sent.
    Cancel(Vec<u8>),
    /// Refused, and told so.
    Refused,
}

/// Takes a connection through TLS where it asks for it, its start and its password. The final OK is left to the caller.
pub(crate) async fn login(stream: TcpStream, users: &Users, tls: &PortTls) -> io::Result<Opened> {
    let mut wire = Wire::new(stream);
    let mut is_secure = false;
    for _ in 0..PRELUDES_MAX {
        let Some(start) = wire.untyped().await? else { return Ok(Opened::Refused) };
        let Some((code, rest)) = start.split_first_chunk::<4>() else { return Ok(Opened::Refused) };
        match u32::from_be_bytes(*code) {
            SSL_REQUEST if !is_secure && tls.acceptor.is_some() => {
                let Some(acceptor) = &tls.acceptor else { return Ok(Opened::Refused) };
                wire.send(b"S").await?;
                wire = wire.secure(acceptor).await?;
                is_secure = true;
            }
            SSL_REQUEST | GSS_REQUEST => wire.send(b"N").await?,
            CANCEL_REQUEST => return Ok(Opened::Cancel(rest.to_vec())),
            version if version >> 16 == 3 => {
                let Some(mut login) = parameters(rest) else { return Ok(Opened::Refused) };
                login.tls = is_secure;
                if tls.required && !is_secure {
                    let failure = Failure::unsupported("logins without TLS on this port");
                    wire.send(&error(&failure, true)).await?;
                    return Ok(Opened::Refused);
                }
                if version & 0xffff != 0 {
                    wire.send(&message(b'v', &[0, 3, 0, 0, 0, 0, 0, 0])).await?;
                }
                return if scram(&mut wire, users, &login.user).await? {
                    Ok(Opened::Session(wire, login))
                } else {
                    wire.send(&error(&Failure::access(&login.user), true)).await?;
                    Ok(Opened::Refused)
                };
            }
            _ => break,
        }
    }
    wire.send(&error(&Failure::unsupported("this version of the protocol"), true)).await?;
    Ok(Opened::Refused)
}

fn parameters(mut rest: &[u8]) -> Option<Login> {
    let mut login = Login::default();
    for _ in 0..PARAMETERS_MAX {
        let name = String::from_utf8_lossy(c_text(&mut rest)?).into_owned();
        if name.is_empty() {
            return (!login.user.is_empty()).then_some(login);
        }
        let value = String::from_utf8_lossy(c_text(&mut rest)?).into_owned();
        match name.as_str() {
            "user" => login.user = value,
            "database" => login.database = value,
            // Options of protocols that are not agreed on, and replication, which is no SQL.
            name if name.starts_with("_pq_.") => {}
            "replication" => return None,
            _ => login.parameters.push((name, value)),
        }
    }
    None
}

async fn scram(wire: &mut Wire, users: &Users, user: &str) -> io::Result<bool> {
    let known = users.get(user).is_some();
    let keys = users.get_or_nobody(user).scram.clone();
    wire.send(&message(b'R', &[&10u32.to_be_bytes()[..], b"SCRAM-SHA-256\0\0"].concat())).await?;
    let Some((b'p', body)) = wire.message(LOGIN_BYTES_MAX).await? else { return Ok(false) };
    let Some(first) = first_message(&body) else { return Ok(false) };
    let mut nonce = [0; 18];
    random(&mut nonce).map_err(io::Error::other)?;
    let nonce = format!("{}{}", first.nonce, STANDARD.encode(nonce));
    let server_first = format!("r={nonce},s={},i={SCRAM_ROUNDS}", STANDARD.encode(keys.salt));
    wire.send(&message(b'R', &[&11u32.to_be_bytes()[..], server_first.as_bytes()].concat())).await?;
    let Some((b'p', body)) = wire.message(LOGIN_BYTES_MAX).await? else { return Ok(false) };
    let Ok(last) = std::str::from_utf8(&body) else { return Ok(false) };
    let Some((without_proof, proof)) = last.rsplit_once(",p=") else { return Ok(false) };
    let expected = format!("c={},r={nonce}", STANDARD.encode(&first.header));
    let Ok(proof) = STANDARD.decode(proof) else { return Ok(false) };
    let all = format!("{},{server_first},{without_proof}", first.bare);
    let signature = hmac_sha256(&keys.stored_key, all.as_bytes());
    let client_key: Vec<u8> = signature.iter().zip(&proof).map(|(a, b)| a ^ b).collect();
    let fits = proof.len() == 32 && same(&sha256(&client_key), &keys.stored_key);
    if !known || !fits || without_proof != expected {
        return Ok(false);
    }
    let answer = format!("v={}", STANDARD.encode(hmac_sha256(&keys.server_key, all.as_bytes())));
    wire.send(&message(b'R', &[&12u32.to_be_bytes()[..], answer.as_bytes()].concat())).await?;
    Ok(true)
}

struct First {
    header: String,
    bare: String,
    nonce: String,
}

fn first_message(body: &[u8]) -> Option<First> {
    let mut rest = body;
    if c_text(&mut rest)? != b"SCRAM-SHA-256" {
        return None;
    }
    let text = std::str::from_utf8(rest.get(4..)?).ok()?;
    let header = text.get(..3).filter(|h| matches!(*h, "n,," | "y,,"))?;
    let bare = &text[3..];
    let nonce = bare.split(',').find_map(|part| part.strip_prefix("r="))?;
    Some(First { header: header.to_owned(), bare: bare.to_owned(), nonce: nonce.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_messages_are_read_or_refused() {
        let login = parameters(b"user\0ann\0database\0shop\0application_name\0psql\0\0").expect("reads");
        assert_eq!((login.user.as_str(), login.database.as_str()), ("ann", "shop"));
        assert_eq!(login.parameters, [("application_name".to_owned(), "psql".to_owned())]);
        for bad in [&b""[..], b"\0", b"user\0ann", b"user\0ann\0replication\0true\0\0", b"database\0x\0\0"] {
            assert!(parameters(bad).is_none());
        }
        assert!(first_message(b"SCRAM-SHA-256\0\0\0\0\x05n,,n=,r=abc").is_some_and(|f| f.nonce == "abc"));
        assert!(first_message(b"SCRAM-SHA-256\0\0\0\0\x05p=tls,,n=,r=abc").is_none());
        assert!(first_message(b"PLAIN\0").is_none());
    }
}
