//! Authenticates the state that travels through clients with HMAC-SHA-256; it does not know what the state says.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use data_encoding::BASE64URL_NOPAD;
use mcp::{STATE_LIFETIME_S, StateSeal};
use ring::digest::{SHA256, digest};
use ring::hmac::{HMAC_SHA256, Key, sign, verify};

use crate::clock::hex;

/// States that were used as a proof and are remembered until they have expired.
const SPENT_MAX: usize = 16_384;

/// A seal with one secret key.
pub(crate) struct HmacSeal {
    key: Key,
    /// Digests of spent states and when they may be forgotten.
    spent: Mutex<HashMap<String, Instant>>,
}

impl HmacSeal {
    /// A seal with a key that lives as long as this process: states do not survive a restart.
    pub(crate) fn random() -> std::io::Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(std::io::Error::other)?;
        Ok(Self::with_key(&key))
    }

    /// A seal that several servers share.
    pub(crate) fn with_key(secret: &[u8]) -> Self {
        Self { key: Key::new(HMAC_SHA256, secret), spent: Mutex::default() }
    }
}

impl StateSeal for HmacSeal {
    fn seal(&self, plain: &[u8]) -> String {
        let tag = sign(&self.key, plain);
        format!("{}.{}", BASE64URL_NOPAD.encode(plain), BASE64URL_NOPAD.encode(tag.as_ref()))
    }

    fn open(&self, sealed: &str) -> Option<Vec<u8>> {
        let (body, tag) = sealed.split_once('.')?;
        let plain = BASE64URL_NOPAD.decode(body.as_bytes()).ok()?;
        let tag = BASE64URL_NOPAD.decode(tag.as_bytes()).ok()?;
        verify(&self.key, &plain, &tag).ok()?;
        Some(plain)
    }

    fn digest(&self, bytes: &[u8]) -> String {
        hex(digest(&SHA256, bytes).as_ref())
    }

    fn spend(&self, digest: &str) -> bool {
        let now = Instant::now();
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        if spent.len() >= SPENT_MAX {
            spent.retain(|_, until| *until > now);
        }
        // When all are fresh, nothing more is taken as a proof: the client is asked again, which is safe.
        spent.len() < SPENT_MAX
            && spent.insert(digest.to_owned(), now + Duration::from_secs(STATE_LIFETIME_S + 1)).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_spent_once() {
        let seal = HmacSeal::with_key(b"k");
        assert!(seal.spend("a") && !seal.spend("a") && seal.spend("b"));
    }

    #[test]
    fn only_untouched_states_of_the_same_key_open() {
        let (one, two) = (HmacSeal::random().unwrap(), HmacSeal::with_key(b"other"));
        let sealed = one.seal(b"state");
        assert_eq!(one.open(&sealed).as_deref(), Some(&b"state"[..]));
        assert_eq!(two.open(&sealed), None);
        for bad in [format!("{sealed}x"), format!("x{sealed}"), "a.b".into(), String::new()] {
            assert_eq!(one.open(&bad), None);
        }
    }
}
