//! Tokens of one process: a given text as a record with its hash; it keeps none.

use mcp::Scope;
use mcp_server::{TokenRecord, hash_token};

use crate::error::HostError;

/// The record of a token.
pub(crate) fn record(
    endpoint: &str,
    name: &str,
    token: &str,
    scope: Scope,
) -> Result<TokenRecord, HostError> {
    let hash = hash_token(token).map_err(|e| HostError::file("random source", e))?;
    Ok(TokenRecord::new(endpoint, name, hash, scope))
}
