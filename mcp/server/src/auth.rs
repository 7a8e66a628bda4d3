//! Who calls: the token of a request to a caller; it does not know where tokens are kept.

use mcp::{Caller, Scope};

mod counters;
mod resource_server;
mod tokens;

pub(crate) use counters::Counters;
pub use resource_server::{ResourceServer, ResourceServerConfig};
pub use tokens::{TokenRecord, TokenTable, hash_token};

/// What an authenticator sees of a request.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct AuthRequest<'a> {
    /// Path of the endpoint whose tokens count.
    pub endpoint: &'a str,
    /// The Bearer token, if one was sent.
    pub token: Option<&'a str>,
    /// The client's address, without a port.
    pub address: &'a str,
}

impl<'a> AuthRequest<'a> {
    /// A request as an authenticator sees it.
    #[must_use]
    pub fn new(endpoint: &'a str, token: Option<&'a str>, address: &'a str) -> Self {
        Self { endpoint, token, address }
    }
}

impl std::fmt::Debug for AuthRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthRequest")
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.map(|_| "***"))
            .field("address", &self.address)
            .finish()
    }
}

/// Who a token stands for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Identity {
    /// The caller; the server fills in the address.
    pub caller: Caller,
    /// Requests per minute of this token; `None` means the server's own limit.
    pub rate_limit_per_min: Option<u32>,
}

impl Identity {
    /// A caller with the server's rate limit.
    #[must_use]
    pub fn new(caller: Caller) -> Self {
        Self { caller, rate_limit_per_min: None }
    }
}

/// Why a request is not let in. Clients see the same answer for every cause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// No token, an unknown, expired or inactive one, or one of another endpoint.
    #[error("the token is missing or not valid here")]
    Unauthorized,
    /// The token is genuine but lacks a scope (resource-server mode).
    #[error("the token lacks a scope")]
    InsufficientScope,
}

/// Turns tokens into callers. Called for each request on an async thread: it must not block.
pub trait Authenticator: Send + Sync {
    /// The caller of a request.
    ///
    /// # Errors
    /// Why it is not let in.
    fn authenticate(&self, request: &AuthRequest<'_>) -> Result<Identity, AuthError>;

    /// The parameters of the `WWW-Authenticate: Bearer` header for an endpoint, such as `resource_metadata="…"`; empty for
    /// plain tokens.
    fn challenge(&self, endpoint: &str) -> String {
        let _ = endpoint;
        String::new()
    }

    /// The document served at `/.well-known/oauth-protected-resource<endpoint>`, if this is a resource server.
    fn metadata(&self, endpoint: &str) -> Option<serde_json::Value> {
        let _ = endpoint;
        None
    }
}

/// Lets everybody in with one scope: for loopback listeners and tests.
#[derive(Debug, Clone)]
pub struct Anonymous {
    scope: Scope,
}

impl Anonymous {
    /// Everybody gets `scope`.
    #[must_use]
    pub fn new(scope: Scope) -> Self {
        Self { scope }
    }
}

impl Authenticator for Anonymous {
    fn authenticate(&self, _: &AuthRequest<'_>) -> Result<Identity, AuthError> {
        Ok(Identity::new(Caller::new("anonymous", self.scope)))
    }
}
