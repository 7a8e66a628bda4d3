//! Signed, opaque page tokens, bound to the call's filters; it does not know what is paged.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use mcp::{ToolError, ToolResult};
use serde::Serialize;
use sha2::Sha256;

use crate::deps::{Call, too_large, wire_bytes};
use crate::errors::internal_error;

const MAC_BYTES: usize = 16;
const POSITION_BYTES_MAX: usize = 4_096;
/// Room of an answer for everything but the page, in bytes.
const ENVELOPE_BYTES: usize = 4_096;

/// Signs and checks page tokens with a key of this process.
pub struct PageSigner {
    key: [u8; 32],
}

impl PageSigner {
    /// A signer with a fresh random key: tokens of another process are refused.
    ///
    /// # Errors
    /// `INTERNAL` when the system has no random numbers.
    pub fn new() -> ToolResult<Self> {
        let mut key = [0_u8; 32];
        getrandom::fill(&mut key).map_err(|e| internal_error(&format!("no random numbers: {e}")))?;
        Ok(Self { key })
    }

    /// A token for `position` that only calls with the same `binding` (tool, caller, filters) may use.
    #[must_use]
    pub fn sign(&self, binding: &str, position: &str) -> String {
        let mut bytes = self.mac(binding, position).to_vec();
        bytes.extend_from_slice(position.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The position of a token made by [`sign`](Self::sign) with the same `binding`.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a foreign or altered token.
    pub fn position(&self, binding: &str, token: &str) -> ToolResult<String> {
        let refused = || {
            ToolError::invalid("page_token does not belong to this call: repeat the call without it")
                .with("argument", "page_token")
        };
        if token.len() > POSITION_BYTES_MAX * 2 {
            return Err(refused());
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| refused())?;
        let (mac, position) = bytes.split_at_checked(MAC_BYTES).ok_or_else(refused)?;
        let position = std::str::from_utf8(position).map_err(|_| refused())?;
        let expected = self.mac(binding, position);
        let differs = mac.iter().zip(expected).fold(0, |acc, (a, b)| acc | (a ^ b));
        if differs == 0 { Ok(position.to_owned()) } else { Err(refused()) }
    }

    /// The offset of an optional token, 0 without one.
    ///
    /// # Errors
    /// As [`position`](Self::position).
    pub fn offset(&self, binding: &str, token: Option<&str>) -> ToolResult<usize> {
        let Some(token) = token else { return Ok(0) };
        self.position(binding, token)?
            .parse()
            .map_err(|_| ToolError::invalid("page_token holds no offset").with("argument", "page_token"))
    }

    fn mac(&self, binding: &str, position: &str) -> [u8; MAC_BYTES] {
        let mut out = [0_u8; MAC_BYTES];
        // A key of 32 bytes is always accepted, so the error branch cannot be reached; it yields an unusable token.
        if let Ok(mut mac) = <Hmac<Sha256> as Mac>::new_from_slice(&self.key) {
            mac.update(&(binding.len() as u64).to_le_bytes());
            mac.update(binding.as_bytes());
            mac.update(position.as_bytes());
            let full = mac.finalize().into_bytes();
            out.copy_from_slice(&full[..MAC_BYTES]);
        }
        out
    }
}

impl std::fmt::Debug for PageSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PageSigner(***)")
    }
}

/// A page of a list.
#[derive(Debug, Clone)]
// Exhaustive: its two parts are what a page is.
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Token of the next page, `None` on the last one.
    pub next: Option<String>,
}

/// The page of a sorted list that begins behind the token's item, cut to the page size and to what an answer may hold.
///
/// `key` is unique and follows the order of the list, so pages stay right while items come and go.
///
/// # Errors
/// `INVALID_ARGUMENT` for a foreign token, `LIMIT_EXCEEDED` when one item alone is too large.
pub fn key_page<T: Serialize>(
    call: &Call<'_>,
    binding: &str,
    items: Vec<T>,
    key: impl Fn(&T) -> String,
    token: Option<&str>,
    page_size: usize,
) -> ToolResult<Page<T>> {
    let pages = &call.deps.pages;
    let after = token.map(|token| pages.position(binding, token)).transpose()?;
    let limit = call.deps.gateway.settings().response_bytes_max;
    let room = limit.saturating_sub(ENVELOPE_BYTES);
    let mut rest =
        items.into_iter().skip_while(|item| after.as_ref().is_some_and(|after| key(item) <= *after));
    let mut page: Vec<T> = Vec::new();
    let mut bytes = 0;
    let mut more = false;
    for item in rest.by_ref() {
        if page.len() >= page_size {
            more = true;
            break;
        }
        let text =
            serde_json::to_string(&item).map_err(|e| internal_error(&format!("item is no JSON: {e}")))?;
        bytes += wire_bytes(&text) + 2;
        if bytes > room {
            if page.is_empty() {
                return Err(too_large(limit, bytes));
            }
            more = true;
            break;
        }
        page.push(item);
    }
    let next = page.last().filter(|_| more).map(|last| pages.sign(binding, &key(last)));
    Ok(Page { items: page, next })
}

/// One page of a list that is already filtered, and the offset of the next page.
#[must_use]
pub fn page<T>(items: Vec<T>, offset: usize, page_size: usize) -> (Vec<T>, Option<usize>) {
    let total = items.len();
    let end = offset.saturating_add(page_size).min(total);
    let next = (end < total).then_some(end);
    let page = items.into_iter().skip(offset).take(page_size).collect();
    (page, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_works_for_its_own_call_only() {
        let signer = PageSigner::new().unwrap();
        let token = signer.sign("list_tables|alice|main", "50");
        assert_eq!(signer.offset("list_tables|alice|main", Some(&token)).unwrap(), 50);
        assert!(signer.offset("list_tables|bob|main", Some(&token)).is_err());
        assert!(PageSigner::new().unwrap().offset("list_tables|alice|main", Some(&token)).is_err());
        for at in 0..token.len() {
            let mut altered = token.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            if altered != token {
                assert!(signer.position("list_tables|alice|main", &altered).is_err(), "{altered}");
            }
        }
    }

    #[test]
    fn pages_cover_a_list_exactly_once() {
        let (first, next) = page((0..5).collect(), 0, 2);
        assert_eq!((first, next), (vec![0, 1], Some(2)));
        let (last, next) = page((0..5).collect::<Vec<_>>(), 4, 2);
        assert_eq!((last, next), (vec![4], None));
        let (none, next) = page(vec![0; 2], 9, 2);
        assert!(none.is_empty() && next.is_none());
    }
}
