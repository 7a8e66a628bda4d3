//! The tools of `/mcp/admin`: operations on a backend with an account of their own; they know no engine.

mod flush_cache;
mod kill_query;
mod list_users;
mod reload;
mod show_processes;

use harvest::{AdminConnection, AdminRow};
use harvest_gateway::TargetInfo;
use mcp::{ToolError, ToolResult};
use serde_json::Value;

use crate::deps::Call;
use crate::errors::IntoToolResult;
use crate::ops::{Ops, OpsDeps};
use crate::toolbox::Toolbox;

/// Most rows that are read from a server in one list.
const LIST_ROWS_MAX: usize = 10_000;

/// The tools of `/mcp/admin`.
#[must_use]
pub fn admin_tools(deps: &OpsDeps) -> Toolbox {
    Toolbox::new()
        .with(Ops::<list_users::ListUsers>::new(deps))
        .with(Ops::<show_processes::ShowProcesses>::new(deps))
        .with(Ops::<kill_query::KillQuery>::new(deps))
        .with(Ops::<flush_cache::FlushCache>::new(deps))
        .with(Ops::<reload::Reload>::new(deps))
}

/// A session for operations on the first server of the target that can be reached.
fn connect(call: &Call<'_>, target_id: Option<&str>) -> ToolResult<(TargetInfo, Box<dyn AdminConnection>)> {
    let (info, backends) = call.deps.gateway.admin_backends(target_id, &call.scope, false).for_tool()?;
    let mut failure = None;
    for backend in backends {
        match backend.connect() {
            Ok(connection) => return Ok((info, connection)),
            Err(error) => failure = Some(crate::tool_error(error)),
        }
    }
    Err(failure.unwrap_or_else(|| {
        ToolError::new(mcp::ErrorCode::Unavailable, "no backend of the target is in use").retryable(true)
    }))
}

fn text(row: &AdminRow, key: &str) -> Option<String> {
    row.get(key).and_then(Value::as_str).map(str::to_owned)
}

fn int(row: &AdminRow, key: &str) -> Option<i64> {
    row.get(key).and_then(Value::as_i64)
}

fn flag(row: &AdminRow, key: &str) -> Option<bool> {
    row.get(key).and_then(Value::as_bool)
}

/// Whether a text fits a LIKE pattern, upper and lower case alike.
pub(crate) fn like(pattern: &str, text: &str) -> bool {
    fn fits(pattern: &[char], text: &[char]) -> bool {
        // One row of the classical table: whether the pattern so far fits each start of the text.
        let mut row = vec![false; text.len() + 1];
        row[0] = true;
        for p in pattern {
            let mut next = vec![false; text.len() + 1];
            next[0] = row[0] && *p == '%';
            for at in 0..text.len() {
                next[at + 1] = match p {
                    '%' => next[at] || row[at + 1],
                    '_' => row[at],
                    c => row[at] && *c == text[at],
                };
            }
            row = next;
        }
        row[text.len()]
    }
    let chars = |s: &str| s.to_lowercase().chars().collect::<Vec<_>>();
    fits(&chars(pattern), &chars(text))
}

#[cfg(test)]
mod tests {
    use super::like;

    #[test]
    fn like_knows_both_wildcards() {
        assert!(like("%", "") && like("ro_t", "ROOT") && like("%oo%", "root") && like("root", "root"));
        assert!(!like("ro", "root") && !like("_", "") && !like("%x%", "root"));
    }
}
