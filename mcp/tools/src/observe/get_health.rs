//! `get_health`: what works and what does not, in one answer.

use std::time::Duration;

use harvest_gateway::TargetInfo;
use mcp::ToolResult;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::deps::{Call, Frame};
use crate::ops::{OpsDeps, OpsTool, now_s};

pub(super) struct GetHealth;

/// Longest wait for one target, in milliseconds.
const PING_TIMEOUT_MS: u64 = 1_000;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {
    /// Whether each target is reached, within a second each.
    #[serde(default)]
    deep: bool,
}

#[derive(Serialize, JsonSchema)]
struct Check {
    /// Name.
    name: String,
    /// catalog, cache, target or pool.
    component: &'static str,
    /// ok, warn or fail.
    status: &'static str,
    /// What was found.
    text: String,
    /// Since when it has been so, Unix seconds.
    since: i64,
    /// A figure, where there is one.
    value: Option<f64>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// healthy, degraded or unhealthy.
    health: &'static str,
    /// The checks.
    checks: Vec<Check>,
    /// When, Unix seconds.
    checked_at: i64,
}

impl OpsTool for GetHealth {
    type Args = Args;
    type Output = Output;
    const NAME: &'static str = "get_health";
    const TITLE: &'static str = "Health";
    const TEXT: &'static str =
        "Tells whether stores, pools and targets work. With deep = true each target is really reached.";
    const TOOLSET: &'static str = "observe";

    fn example() -> (&'static str, Value) {
        ("Is everything well?", json!({"deep": true}))
    }

    fn run(deps: &OpsDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(Output, Frame)> {
        let mut checks = Vec::new();
        let mut add = |name: String, component, status: &'static str, text: String, value| {
            let since = deps.since(&name, status);
            checks.push(Check { name, component, status, text, since, value });
        };
        let mut store_fails = false;
        if let Some(catalog) = &deps.tools.catalog {
            let found = catalog.latest_run_id("");
            store_fails = found.is_err();
            let (status, text) = match found {
                Ok(_) => ("ok", "the catalog answers".to_owned()),
                Err(error) => ("fail", error.message),
            };
            add("catalog".to_owned(), "catalog", status, text, None);
        }
        let (status, text, value) = cache(deps);
        add("cache".to_owned(), "cache", status, text, value);
        let targets = deps.tools.gateway.targets(&call.scope);
        let mut failed = 0;
        for target in &targets {
            let (status, text) = check(deps, call, target, args.deep);
            failed += usize::from(status == "fail");
            add(format!("target {}", target.target_id), "target", status, text, None);
        }
        // Asked again: reaching a target examines its account.
        for target in deps.tools.gateway.targets(&call.scope) {
            let Some(findings) = &target.account else { continue };
            let (status, text) = account(findings, deps.tools.gateway.settings().allow_privileged_backend);
            add(format!("account {}", target.target_id), "target", status, text, None);
        }
        for (target_id, _, backends, totals) in deps.tools.gateway.pools() {
            if !call.scope.sees(&target_id) {
                continue;
            }
            let used: usize = backends.iter().map(|b| b.conn_used).sum();
            let waiting = totals.waiting;
            let status = if waiting > 0 { "warn" } else { "ok" };
            let text = format!("{used} connections in use, {waiting} callers waiting");
            add(format!("pool {target_id}"), "pool", status, text, u32::try_from(used).ok().map(f64::from));
        }
        let unhealthy = store_fails || (!targets.is_empty() && failed == targets.len());
        let health = if unhealthy {
            "unhealthy"
        } else if checks.iter().any(|check| check.status != "ok") {
            "degraded"
        } else {
            "healthy"
        };
        Ok((Output { health, checks, checked_at: now_s() }, Frame::new()))
    }
}

fn cache(deps: &OpsDeps) -> (&'static str, String, Option<f64>) {
    let settings = deps.tools.gateway.settings();
    if !settings.cache.enabled {
        return ("ok", "off".to_owned(), None);
    }
    let stats = deps.tools.gateway.cache().stats();
    let text = format!("{} entries, {} of {} bytes", stats.entries, stats.bytes, settings.cache.bytes_max);
    ("ok", text, u32::try_from(stats.entries).ok().map(f64::from))
}

/// What the account may do beyond reading.
fn account(findings: &[harvest::AccountFinding], allowed: bool) -> (&'static str, String) {
    let texts = || findings.iter().map(|f| f.text.as_str()).collect::<Vec<_>>().join("; ");
    match findings.iter().any(|f| f.dangerous) {
        true if allowed => ("warn", texts()),
        true => ("fail", format!("refused: {}", texts())),
        false if findings.is_empty() => ("ok", "the account may only read".to_owned()),
        false => ("ok", texts()),
    }
}

fn check(deps: &OpsDeps, call: &Call<'_>, target: &TargetInfo, deep: bool) -> (&'static str, String) {
    if let Some(reason) = &target.unavailable_reason {
        return ("fail", reason.clone());
    }
    if !deep {
        return ("ok", "configured; not reached for this check".to_owned());
    }
    let mut scope = call.scope.clone();
    let until = std::time::Instant::now() + Duration::from_millis(PING_TIMEOUT_MS);
    scope.deadline = Some(scope.deadline.map_or(until, |at| at.min(until)));
    match deps.tools.gateway.ping(&target.target_id, &scope) {
        Ok(took) => ("ok", format!("answered in {} ms", took.as_millis())),
        Err(error) => ("fail", error.message),
    }
}
