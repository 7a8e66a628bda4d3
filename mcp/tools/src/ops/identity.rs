//! Who this server knows: tokens and credentials by name, as the running configuration says; it holds no secret.

use std::sync::Arc;

use mcp_config::{AdminSession, AdminSql, Cell, TOKEN_ENDPOINTS};

use super::now_s;

/// Most identities that are read.
const IDENTITIES_MAX: usize = 10_000;

/// A token or a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// Name of the token or of the credential.
    pub username: String,
    /// `token` or `auth_profile`.
    pub kind: &'static str,
    /// Endpoint path of a token.
    pub endpoint: Option<String>,
    /// Scopes of a token.
    pub scopes: Vec<String>,
    /// Whether it can be used now.
    pub active: bool,
    /// End of its validity, Unix seconds.
    pub expires_at: Option<i64>,
}

impl Identity {
    /// An active token of which no more is known.
    #[must_use]
    pub fn token(endpoint: &str, username: String) -> Self {
        let endpoint = Some(endpoint.to_owned());
        Self { username, kind: "token", endpoint, scopes: Vec::new(), active: true, expires_at: None }
    }
}

/// Names the identities as they are now.
pub type Identities = Arc<dyn Fn() -> Vec<Identity> + Send + Sync>;

/// The identities of the running configuration.
pub(crate) fn of_admin(admin: &Arc<AdminSql>) -> Identities {
    // The configuration may outlive its tools, never the other way round.
    let admin = Arc::downgrade(admin);
    Arc::new(move || {
        let Some(admin) = admin.upgrade() else { return Vec::new() };
        let mut all = defaults(&admin);
        all.extend(tokens(&admin));
        all.extend(profiles(&admin));
        all
    })
}

fn select(admin: &AdminSql, sql: &str) -> Vec<Vec<Cell>> {
    // A configuration that cannot be read has no identities to show; its own tools say why.
    admin
        .execute(&AdminSession::local(), sql, &[], IDENTITIES_MAX)
        .map(|reply| reply.rows)
        .unwrap_or_default()
}

/// The tokens named `default` that variables hold.
fn defaults(admin: &AdminSql) -> Vec<Identity> {
    let variables = admin.running_variables("MCP");
    let is_set = |name: &&&str| !variables.text(&format!("{name}_endpoint_auth")).is_empty();
    let default = |name: &&str| {
        let mut identity = Identity::token(&format!("/mcp/{name}"), "default".to_owned());
        identity.scopes = vec!["full".to_owned()];
        identity
    };
    TOKEN_ENDPOINTS.iter().filter(is_set).map(default).collect()
}

fn tokens(admin: &AdminSql) -> Vec<Identity> {
    let sql = "SELECT endpoint, token_name, scopes, active, expires_at FROM runtime_mcp_endpoint_tokens ORDER BY 1, 2";
    let now = now_s();
    let row = |row: &Vec<Cell>| {
        let text = |at: usize| row.get(at).and_then(Cell::as_str).unwrap_or_default();
        let expires_at = row.get(4).and_then(Cell::as_int);
        let is_on = row.get(3).and_then(Cell::as_int) == Some(1);
        let scopes = text(2).split(',').map(str::trim).filter(|scope| !scope.is_empty());
        Identity {
            username: text(1).to_owned(),
            kind: "token",
            endpoint: Some(format!("/mcp/{}", text(0))),
            scopes: scopes.map(str::to_owned).collect(),
            active: is_on && expires_at.is_none_or(|end| end > now),
            expires_at,
        }
    };
    select(admin, sql).iter().map(row).collect()
}

fn profiles(admin: &AdminSql) -> Vec<Identity> {
    let sql = "SELECT auth_profile_id FROM runtime_mcp_auth_profiles ORDER BY 1";
    let row = |row: &Vec<Cell>| Identity {
        username: row.first().and_then(Cell::as_str).unwrap_or_default().to_owned(),
        kind: "auth_profile",
        endpoint: None,
        scopes: Vec::new(),
        active: true,
        expires_at: None,
    };
    select(admin, sql).iter().map(row).collect()
}
