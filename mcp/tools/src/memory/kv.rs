//! `catalog_*`: free documents under target, schema, kind and key.

mod clear;
mod delete;
mod get;
mod list;
mod merge;
mod search;
mod upsert;

pub(super) use clear::Clear;
pub(super) use delete::Delete;
pub(super) use get::Get;
pub(super) use list::List;
pub(super) use merge::Merge;
pub(super) use search::Search;
pub(super) use upsert::Upsert;

use harvest_catalog::{KvFilter, KvKey};
use mcp::{ToolError, ToolResult};

use super::deps::CatalogDeps;
use crate::deps::Call;
use crate::errors::IntoToolResult;

/// A named target must be one that the caller sees.
fn visible(deps: &CatalogDeps, call: &Call<'_>, target_id: &str) -> ToolResult<()> {
    if target_id.is_empty() {
        return Ok(());
    }
    if !call.scope.sees(target_id) {
        return Err(ToolError::not_found("target", target_id));
    }
    deps.tools.gateway.known_target(Some(target_id), &call.scope).for_tool().map(drop)
}

fn place(
    deps: &CatalogDeps,
    call: &Call<'_>,
    target_id: String,
    schema: String,
    kind: String,
    key: String,
) -> ToolResult<KvKey> {
    visible(deps, call, &target_id)?;
    Ok(KvKey { target_id, schema, kind, key })
}

/// Without a target: what is independent of targets, and what belongs to the caller's.
fn filter(
    deps: &CatalogDeps,
    call: &Call<'_>,
    target_id: Option<String>,
    schema: Option<String>,
    kind: Option<String>,
) -> ToolResult<KvFilter> {
    let targets = match target_id {
        Some(id) => {
            visible(deps, call, &id)?;
            Some(vec![id])
        }
        None => call.scope.targets.as_ref().map(|list| {
            let mut targets = list.to_vec();
            targets.push(String::new());
            targets
        }),
    };
    Ok(KvFilter { targets, schema, kind })
}
