//! Who may log in: names and what is needed to check passwords on both wires; it keeps no password in the clear.

use std::collections::HashMap;
use std::num::NonZeroU32;

use ring::rand::{SecureRandom as _, SystemRandom};
use ring::{digest, hmac, pbkdf2};

/// Rounds of SCRAM's key derivation.
pub(crate) const SCRAM_ROUNDS: u32 = 4096;

/// What is kept of one user.
#[derive(Clone)]
pub(crate) struct User {
    /// SHA1(SHA1(password)); `None` for an empty password.
    native: Option<[u8; 20]>,
    pub(crate) scram: Scram,
}

/// The server's half of SCRAM-SHA-256.
#[derive(Clone)]
pub(crate) struct Scram {
    pub(crate) salt: [u8; 16],
    pub(crate) stored_key: [u8; 32],
    pub(crate) server_key: [u8; 32],
}

/// All users.
pub(crate) struct Users {
    by_name: HashMap<String, User>,
    /// Stands in for unknown names, so that their logins take the same steps.
    nobody: User,
}

impl Users {
    /// Reads `name:password` pairs.
    pub(crate) fn parse(pairs: &[String]) -> Result<Self, String> {
        let mut by_name = HashMap::new();
        for pair in pairs {
            let (name, password) =
                pair.split_once(':').ok_or_else(|| "write --user NAME:PASSWORD".to_owned())?;
            if name.is_empty() || by_name.insert(name.to_owned(), User::new(password)?).is_some() {
                return Err("--user: each name is given once and is not empty".to_owned());
            }
        }
        let mut unknown = [0; 16];
        random(&mut unknown)?;
        let text: String = unknown.iter().map(|b| format!("{b:02x}")).collect();
        Ok(Self { by_name, nobody: User::new(&text)? })
    }

    /// The user of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&User> {
        self.by_name.get(name)
    }

    /// The user of that name, or one whose password nobody knows.
    pub(crate) fn get_or_nobody(&self, name: &str) -> &User {
        self.by_name.get(name).unwrap_or(&self.nobody)
    }
}

impl User {
    fn new(password: &str) -> Result<Self, String> {
        let native = (!password.is_empty()).then(|| sha1(&[&sha1(&[password.as_bytes()])]));
        let mut salt = [0; 16];
        random(&mut salt)?;
        let mut salted = [0; 32];
        let rounds = NonZeroU32::new(SCRAM_ROUNDS).unwrap_or(NonZeroU32::MIN);
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, password.as_bytes(), &mut salted);
        let client_key = hmac_sha256(&salted, b"Client Key");
        let scram =
            Scram { salt, stored_key: sha256(&client_key), server_key: hmac_sha256(&salted, b"Server Key") };
        Ok(Self { native, scram })
    }

    /// Checks the answer of `mysql_native_password`.
    pub(crate) fn native_matches(&self, scramble: &[u8], answer: &[u8]) -> bool {
        let Some(stored) = &self.native else { return answer.is_empty() };
        let Ok(answer) = <[u8; 20]>::try_from(answer) else { return false };
        let mut hash = sha1(&[scramble, stored]);
        for (byte, sent) in hash.iter_mut().zip(answer) {
            *byte ^= sent;
        }
        same(&sha1(&[&hash]), stored)
    }
}

/// Compares without telling by time where two texts differ.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (x, y)| all | (x ^ y)) == 0
}

/// Fills `bytes` from the system.
pub(crate) fn random(bytes: &mut [u8]) -> Result<(), String> {
    SystemRandom::new().fill(bytes).map_err(|_| "the system has no randomness".to_owned())
}

/// SHA-1 over the parts, for MySQL's native passwords only.
pub(crate) fn sha1(parts: &[&[u8]]) -> [u8; 20] {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 20];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

/// HMAC with SHA-256.
pub(crate) fn hmac_sha256(key: &[u8], bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), bytes).as_ref());
    out
}

/// What a client answers to `mysql_native_password`.
pub(crate) fn native_answer(scramble: &[u8], password: &str) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    let once = sha1(&[password.as_bytes()]);
    let mask = sha1(&[scramble, &sha1(&[&once])]);
    once.iter().zip(mask).map(|(a, b)| a ^ b).collect()
}

/// What a client answers to the short form of `caching_sha2_password`.
pub(crate) fn sha2_answer(scramble: &[u8], password: &str) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    let once = sha256(password.as_bytes());
    let mut seed = sha256(&once).to_vec();
    seed.extend_from_slice(scramble);
    once.iter().zip(sha256(&seed)).map(|(a, b)| a ^ b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn native_passwords_are_checked() {
        let users = Users::parse(&["ann:secret".to_owned(), "bob:".to_owned()]).expect("parses");
        let scramble = [7u8; 20];
        let ann = users.get_or_nobody("ann");
        assert!(ann.native_matches(&scramble, &native_answer(&scramble, "secret")));
        assert!(!ann.native_matches(&scramble, &native_answer(&scramble, "Secret")));
        assert!(!ann.native_matches(&scramble, b""));
        assert!(!ann.native_matches(&[8; 20], &native_answer(&scramble, "secret")));
        assert!(users.get_or_nobody("bob").native_matches(&scramble, b""));
        assert!(!users.get_or_nobody("eve").native_matches(&scramble, &native_answer(&scramble, "")));
        assert!(Users::parse(&["nobody".to_owned()]).is_err());
        assert!(Users::parse(&["a:1".to_owned(), "a:2".to_owned()]).is_err());
    }
}
