//! `admin_flush_cache`: empties this server's results of a target and the caches of the backend.

use harvest::{AdminCache, HarvestCode};
use mcp::{ToolAnnotations, ToolError, ToolResult};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::connect;
use crate::deps::{Call, Frame};
use crate::ops::{OpsDeps, OpsTool, confirmed};
use crate::schema::OutputSchema;

pub(super) struct FlushCache;

/// Which caches.
#[derive(Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum CacheType {
    /// Results that this server keeps of the target, and the backend's query cache.
    QueryCache,
    /// The backend's cache of client addresses.
    HostCache,
    /// All of them.
    All,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {
    /// Which caches.
    cache_type: CacheType,
    /// Must be true.
    confirm: bool,
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Action {
    /// result_cache, backend_query_cache or host_cache.
    cache: &'static str,
    /// Whether it was emptied.
    applied: bool,
    /// Entries that were removed, where that is known.
    removed: Option<usize>,
    /// Why not.
    reason: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// The caches that were asked for.
    cache_type: &'static str,
    /// One by one.
    actions: Vec<Action>,
}

impl OpsTool for FlushCache {
    type Args = Args;
    type Output = Output;
    const NAME: &'static str = "admin_flush_cache";
    const TITLE: &'static str = "Empty caches";
    const TEXT: &'static str = "Empties this server's cached results of a target and the caches of the database server, as far as the engine \
        has them. Needs confirm = true.";
    const TOOLSET: &'static str = "admin";
    const HINTS: ToolAnnotations = ToolAnnotations::DESTRUCTIVE_IDEMPOTENT;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.target()
    }

    fn example() -> (&'static str, Value) {
        ("Forget results", json!({"cache_type": "query_cache", "confirm": true}))
    }

    fn run(deps: &OpsDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(Output, Frame)> {
        confirmed(call, args.confirm, "emptying caches needs a confirmation")?;
        let (info, mut connection) = connect(call, args.target_id.as_deref())?;
        let mut actions = Vec::new();
        if args.cache_type != CacheType::HostCache {
            let (removed, _) = deps.tools.gateway.cache().clear(Some(&info.target_id));
            actions.push(Action {
                cache: "result_cache",
                applied: true,
                removed: Some(removed),
                reason: None,
            });
        }
        let wanted = [
            ("backend_query_cache", AdminCache::Query, CacheType::HostCache),
            ("host_cache", AdminCache::Host, CacheType::QueryCache),
        ];
        for (cache, kind, _) in wanted.into_iter().filter(|(_, _, other)| *other != args.cache_type) {
            match connection.flush(kind) {
                Ok(()) => actions.push(Action { cache, applied: true, removed: None, reason: None }),
                Err(error) if error.code == HarvestCode::FailedPrecondition => {
                    actions.push(Action {
                        cache,
                        applied: false,
                        removed: None,
                        reason: Some(error.message),
                    });
                }
                Err(error) => return Err(crate::tool_error(error)),
            }
        }
        if !actions.iter().any(|action| action.applied) {
            return Err(ToolError::precondition("the engine has none of these caches")
                .with("reason", "engine_lacks_cache")
                .with("actions", serde_json::to_value(&actions).unwrap_or_default()));
        }
        let cache_type = match args.cache_type {
            CacheType::QueryCache => "query_cache",
            CacheType::HostCache => "host_cache",
            CacheType::All => "all",
        };
        Ok((Output { cache_type, actions }, Frame::target(info.target_id, info.protocol)))
    }
}
