//! `set_cache_ttl`: how long results are kept, by default or by one rule, in what runs now.

use mcp::{ErrorCode, ToolAnnotations, ToolError, ToolResult};
use mcp_config::{AdminSql, Cell};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::enabled;
use crate::config::shared::session;
use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::ops::{OpsDeps, OpsTool};

pub(super) struct SetCacheTtl;

/// How far the change goes.
#[derive(Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Persist {
    /// Until the next load or restart.
    #[default]
    Runtime,
    /// In the layer memory too.
    Memory,
    /// In the layers memory and disk too.
    Disk,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {
    /// Time to live in milliseconds; 0 means not cached. At most mcp-cache_max_ttl_ms.
    #[schemars(range(min = 0, max = 604_800_000_u64))]
    ttl_ms: u64,
    /// The query rule whose results it is about; the default of all others if absent.
    rule_id: Option<i64>,
    /// Whether results that are cached now get it too.
    #[serde(default)]
    apply_to_existing: bool,
    /// How far the change goes.
    #[serde(default)]
    persist: Persist,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// default or rule.
    scope: &'static str,
    /// The rule.
    rule_id: Option<i64>,
    /// The time to live now, in milliseconds.
    ttl_ms: u64,
    /// The time to live before; null if the rule set none.
    previous_ttl_ms: Option<u64>,
    /// Entries that were changed or, with 0, dropped.
    entries_changed: usize,
}

impl OpsTool for SetCacheTtl {
    type Args = Args;
    type Output = Output;
    const NAME: &'static str = "set_cache_ttl";
    const TITLE: &'static str = "Change the time to live";
    const TEXT: &'static str = "Changes how long results are cached: of one query rule, or of statements without one. Without persist the \
        change holds until the next load of the configuration.";
    const TOOLSET: &'static str = "cache";
    const HINTS: ToolAnnotations = ToolAnnotations::WRITE_IDEMPOTENT;

    fn example() -> (&'static str, Value) {
        ("Keep results for a minute", json!({"ttl_ms": 60_000}))
    }

    fn run(deps: &OpsDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(Output, Frame)> {
        enabled(call)?;
        let gateway = &deps.tools.gateway;
        let settings = gateway.settings();
        if args.ttl_ms > settings.cache.ttl_ms_max {
            return Err(ToolError::invalid(format!("ttl_ms is at most {} here", settings.cache.ttl_ms_max))
                .with("argument", "ttl_ms")
                .with("variable", "mcp-cache_max_ttl_ms"));
        }
        let previous_ttl_ms = match &deps.admin {
            Some(admin) => in_layers(admin, call, &args, settings.cache.default_ttl_ms)?,
            None if args.persist != Persist::Runtime => {
                return Err(ToolError::precondition("this server has no configuration in layers")
                    .with("reason", "no_configuration")
                    .with("remedy", "use persist = runtime"));
            }
            None => match args.rule_id {
                Some(rule_id) => gateway.set_rule_cache_ttl(rule_id, args.ttl_ms).for_tool()?,
                None => {
                    let mut changed = (*settings).clone();
                    changed.cache.default_ttl_ms = args.ttl_ms;
                    gateway.set_settings(changed);
                    Some(settings.cache.default_ttl_ms)
                }
            },
        };
        let entries_changed = if args.apply_to_existing {
            gateway.cache().set_ttl(|entry| entry.rule_id == args.rule_id, args.ttl_ms)
        } else {
            0
        };
        let scope = if args.rule_id.is_some() { "rule" } else { "default" };
        let output =
            Output { scope, rule_id: args.rule_id, ttl_ms: args.ttl_ms, previous_ttl_ms, entries_changed };
        Ok((output, Frame::new()))
    }
}

/// Changes the variable, or the rule's row, in the layers asked for; gives the time before.
fn in_layers(admin: &AdminSql, call: &Call<'_>, args: &Args, default_ttl_ms: u64) -> ToolResult<Option<u64>> {
    let persist = match args.persist {
        Persist::Runtime => mcp_config::Persist::Runtime,
        Persist::Memory => mcp_config::Persist::Memory,
        Persist::Disk => mcp_config::Persist::Disk,
    };
    let session = session(call.cx);
    let Some(rule_id) = args.rule_id else {
        admin.set_variable(&session, "mcp-cache_default_ttl_ms", &args.ttl_ms.to_string(), persist)?;
        return Ok(Some(default_ttl_ms));
    };
    let value = Cell::Integer(i64::try_from(args.ttl_ms).unwrap_or(i64::MAX));
    let place = ("mcp_query_rules", &[Cell::Integer(rule_id)][..]);
    let before = admin.set_cell(&session, place, ("cache_ttl_ms", value), persist).map_err(|error| {
        let missing = error.code == ErrorCode::NotFound;
        if missing { ToolError::not_found("rule", rule_id.to_string()) } else { error }
    })?;
    Ok(before.as_int().and_then(|ttl| u64::try_from(ttl).ok()))
}
