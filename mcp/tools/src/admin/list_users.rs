//! `admin_list_users`: accounts of the backend, without any secret.

use harvest::AdminList;
use mcp::ToolResult;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{LIST_ROWS_MAX, connect, flag, int, like, text};
use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::ops::{Identity, OpsDeps, OpsTool};
use crate::schema::OutputSchema;

pub(super) struct ListUsers;

/// Whose identities.
#[derive(Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Source {
    /// Accounts of the backend.
    #[default]
    Target,
    /// Tokens and credentials that this server knows.
    Server,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {
    /// Whose identities.
    #[serde(default)]
    source: Source,
    /// LIKE pattern over the name.
    #[schemars(length(min = 1, max = 256))]
    filter: Option<String>,
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// Users a page.
    #[serde(default = "fifty")]
    #[schemars(range(min = 1, max = 500))]
    page_size: usize,
    /// Token of the previous answer.
    page_token: Option<String>,
}

const fn fifty() -> usize {
    50
}

#[derive(Serialize, JsonSchema)]
struct User {
    /// Name.
    username: String,
    /// Hosts that it may come from.
    host: Option<String>,
    /// How it proves itself.
    auth_method: Option<String>,
    /// Whether it is locked.
    locked: Option<bool>,
    /// Whether its password has expired.
    password_expired: Option<bool>,
    /// Whether it may do everything.
    superuser: Option<bool>,
    /// Roles that it has.
    roles: Vec<String>,
    /// Most connections; null for no bound.
    max_connections: Option<i64>,
    /// End of its validity, Unix seconds.
    valid_until: Option<i64>,
    /// Whether it must come over TLS.
    tls_required: Option<bool>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// The users, by name: accounts of the backend, or identities of this server.
    users: Vec<Either>,
}

/// One or the other, by source.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum Either {
    /// Of source target.
    Account(User),
    /// Of source server.
    Own(Own),
}

/// A token or a credential of this server.
#[derive(Serialize, JsonSchema)]
struct Own {
    /// Name of the token or of the credential.
    username: String,
    /// token or auth_profile.
    kind: &'static str,
    /// Endpoint of a token.
    endpoint: Option<String>,
    /// Scopes of a token.
    scopes: Vec<String>,
    /// Whether it can be used now.
    active: bool,
    /// End of its validity, Unix seconds.
    expires_at: Option<i64>,
}

impl Either {
    fn username(&self) -> &str {
        match self {
            Self::Account(user) => &user.username,
            Self::Own(own) => &own.username,
        }
    }
}

impl OpsTool for ListUsers {
    type Args = Args;
    type Output = Output;
    const NAME: &'static str = "admin_list_users";
    const TITLE: &'static str = "List accounts";
    const TEXT: &'static str = "Lists the accounts of the database server with lock, expiry, roles and limits, or the tokens and \
        credentials that this server knows. No secret is shown.";
    const TOOLSET: &'static str = "admin";

    fn output(schema: OutputSchema) -> OutputSchema {
        schema
            .key("target_id", json!({"type": "string", "description": "Target, for source target."}), false)
            .key("protocol", json!({"type": "string", "description": "Protocol of the target."}), false)
            .paged()
    }

    fn example() -> (&'static str, Value) {
        ("Accounts whose name begins with app", json!({"filter": "app%"}))
    }

    fn run(deps: &OpsDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(Output, Frame)> {
        let (mut users, frame) = if args.source == Source::Server {
            ((deps.identities)().into_iter().map(own).collect::<Vec<_>>(), Frame::new())
        } else {
            let (info, mut connection) = connect(call, args.target_id.as_deref())?;
            let rows = connection.list(AdminList::Users, LIST_ROWS_MAX).for_tool()?;
            let users = rows.iter().map(|row| Either::Account(account(row))).collect::<Vec<_>>();
            (users, Frame::target(info.target_id, info.protocol))
        };
        users.retain(|user| args.filter.as_deref().is_none_or(|pattern| like(pattern, user.username())));
        let binding = call.page_binding(&Args { page_size: 0, page_token: None, ..args.clone() });
        let offset = call.deps.pages.offset(&binding, args.page_token.as_deref())?;
        let more = users.len() > offset.saturating_add(args.page_size);
        let users = users.into_iter().skip(offset).take(args.page_size).collect();
        let next = more.then(|| call.deps.pages.sign(&binding, &(offset + args.page_size).to_string()));
        Ok((Output { users }, frame.next_page(next)))
    }
}

fn own(identity: Identity) -> Either {
    Either::Own(Own {
        username: identity.username,
        kind: identity.kind,
        endpoint: identity.endpoint,
        scopes: identity.scopes,
        active: identity.active,
        expires_at: identity.expires_at,
    })
}

fn account(row: &harvest::AdminRow) -> User {
    let roles = row.get("roles").and_then(Value::as_array).into_iter().flatten();
    User {
        username: text(row, "username").unwrap_or_default(),
        host: text(row, "host"),
        auth_method: text(row, "auth_method"),
        locked: flag(row, "locked"),
        password_expired: flag(row, "password_expired"),
        superuser: flag(row, "superuser"),
        roles: roles.filter_map(Value::as_str).map(str::to_owned).collect(),
        max_connections: int(row, "max_connections"),
        valid_until: int(row, "valid_until"),
        tls_required: flag(row, "tls_required"),
    }
}
