//! `show_client_cache`: client addresses with errors.

use harvest_gateway::StatsFamily;
use mcp::ToolResult;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::shared::{Aim, DbType, PageEcho, Side, cut, fits, may_name_target, paged_args};
use crate::deps::{Call, Frame};
use crate::ops::{OpsDeps, OpsTool};
use crate::schema::OutputSchema;

pub(super) struct ShowClientCache;

/// The highest limit.
const LIMIT_CAP: usize = 1_000;

paged_args! {
    pub(super) struct Args {
        /// Only this address.
        #[schemars(length(min = 1, max = 256))]
        client_address: Option<String>,
        /// Only addresses with at least so many errors.
        #[serde(default)]
        #[schemars(range(min = 0))]
        min_error_count: u64,
        /// Who counted; this server if absent.
        origin: Option<Side>,
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct HostRow {
    client_address: String,
    error_count: u64,
    /// Unix seconds.
    last_updated: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hostgroup: Option<i64>,
}

#[derive(Serialize, JsonSchema)]
struct Summary {
    total_hosts: usize,
    total_errors: u64,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// Engine.
    db_type: DbType,
    /// Who counted.
    origin: Side,
    /// The addresses, most errors first.
    hosts: Vec<HostRow>,
    /// Sums over all addresses that fit.
    summary: Summary,
    #[serde(flatten)]
    page: PageEcho,
}

impl OpsTool for ShowClientCache {
    type Args = Args;
    type Output = Output;
    const NAME: &'static str = "show_client_cache";
    const TITLE: &'static str = "Client addresses with errors";
    const TEXT: &'static str = "Shows the addresses whose requests this server refused, or with origin = backend the host cache of MySQL.";
    const TOOLSET: &'static str = "stats";

    fn output(schema: OutputSchema) -> OutputSchema {
        may_name_target(schema).truncated()
    }

    fn example() -> (&'static str, Value) {
        ("Addresses that were refused often", json!({"min_error_count": 10}))
    }

    fn run(deps: &OpsDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(Output, Frame)> {
        let aim = Aim::of(call, args.db_type, args.target_id.as_deref())?;
        let (origin, mut all) =
            aim.rows::<HostRow>(deps, call, StatsFamily::ClientCache, args.origin, Side::Host)?;
        all.retain(|row| {
            fits(args.client_address.as_deref(), row.client_address.as_str())
                && row.error_count >= args.min_error_count
        });
        all.sort_by(|a, b| (b.error_count, &a.client_address).cmp(&(a.error_count, &b.client_address)));
        let summary =
            Summary { total_hosts: all.len(), total_errors: all.iter().map(|row| row.error_count).sum() };
        let (hosts, page, truncated) = cut(all, args.limit, args.offset, LIMIT_CAP);
        let output = Output { db_type: aim.db_type(), origin, hosts, summary, page };
        Ok((output, aim.frame().truncated(truncated)))
    }
}
