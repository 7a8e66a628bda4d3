//! Opaque cursors over lists that are fixed while they are paged; it does not know what is listed.

use crate::base64;
use crate::rpc::RpcError;

/// Items per page of a list.
pub const LIST_PAGE_ITEMS: usize = 100;

/// A cursor for the page of `kind` that starts at `offset`.
#[must_use]
pub fn encode_cursor(kind: &str, offset: usize) -> String {
    let body = format!("{kind}:{offset}");
    base64::encode(format!("{body}:{:08x}", check(&body)).as_bytes())
}

/// The offset that a cursor of `kind` stands for; zero without a cursor.
///
/// # Errors
/// `-32602` for a cursor that this function did not make for `kind`, or that points outside a list of `items`.
pub fn decode_cursor(kind: &str, cursor: Option<&str>, items: usize) -> Result<usize, RpcError> {
    let Some(cursor) = cursor else { return Ok(0) };
    let bad = || RpcError::invalid_params("the cursor is not one that this list gave out");
    let text = base64::decode(cursor).and_then(|b| String::from_utf8(b).ok()).ok_or_else(bad)?;
    let (body, sum) = text.rsplit_once(':').ok_or_else(bad)?;
    let (found, offset) = body.split_once(':').ok_or_else(bad)?;
    let offset: usize = offset.parse().map_err(|_| bad())?;
    let intact = found == kind && sum == format!("{:08x}", check(body)) && offset <= items;
    intact.then_some(offset).ok_or_else(bad)
}

/// FNV-1a: catches altered cursors; nothing secret hides behind one.
fn check(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_belong_to_one_list() {
        let cursor = encode_cursor("tools", 100);
        assert_eq!(decode_cursor("tools", Some(&cursor), 150).unwrap(), 100);
        assert_eq!(decode_cursor("tools", None, 0).unwrap(), 0);
        for bad in ["", "x", "dG9vbHM6MTAw", &encode_cursor("prompts", 100), &encode_cursor("tools", 999)] {
            assert_eq!(decode_cursor("tools", Some(bad), 150).unwrap_err().code, -32602, "{bad}");
        }
    }
}
