//! `get_health`: what works and what does not, in one answer.

use std::time::Duration;

use harvest_gateway::TargetInfo;
use mcp::ToolResult;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::deps::{Call, Frame};
use crate::ops::{OpsDeps, OpsTool, now_s};
use crate::stats::{disk_bytes, memory_bytes, open_files};

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
    /// listener, catalog, fts, stats_store, cache, target, pool, disk or host.
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
    const TEXT: &'static str = "Tells whether listener, stores, disk, pools and targets work. With deep = true each target is really reached.";
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
        for (name, component, (status, text, value)) in [
            ("listener", "listener", listener(deps)),
            ("fts", "fts", fts(deps)),
            ("stats_store", "stats_store", stats_store(deps)),
            ("disk", "disk", disk(deps)),
            ("host", "host", host()),
        ] {
            // What the server runs without is no failure, and has no check.
            let Some(status) = status else { continue };
            store_fails |= status == "fail" && matches!(component, "fts" | "stats_store");
            add(name.to_owned(), component, status, text, value);
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

/// Status, text, figure; without a status there is nothing to check.
type Finding = (Option<&'static str>, String, Option<f64>);

const ABSENT: Finding = (None, String::new(), None);

fn listener(deps: &OpsDeps) -> Finding {
    let Some(admin) = &deps.admin else { return ABSENT };
    let state = admin.listener();
    let status = match (state.listening, state.enabled) {
        (true, _) => "ok",
        (false, true) => "fail",
        // It is off because somebody wants it so, or this program has none.
        (false, false) => return ABSENT,
    };
    (Some(status), state.line(), Some(f64::from(state.port)))
}

fn fts(deps: &OpsDeps) -> Finding {
    let Some(data) = &deps.data else { return ABSENT };
    match data.list(None) {
        Ok(list) => {
            let failed = list.indexes.iter().filter(|index| index.status == "failed").count();
            let text = format!("{} indexes, {failed} of them failed to build", list.indexes.len());
            let status = if failed > 0 { "warn" } else { "ok" };
            (Some(status), text, u32::try_from(list.indexes.len()).ok().map(f64::from))
        }
        Err(error) => (Some("fail"), error.message, None),
    }
}

fn stats_store(deps: &OpsDeps) -> Finding {
    let Ok(store) = deps.stats.store() else { return ABSENT };
    match (store.probe(), deps.stats.failure()) {
        (Err(error), _) => (Some("fail"), error.message, None),
        (Ok(()), Some(cause)) => (Some("warn"), format!("the last sample was not kept: {cause}"), None),
        (Ok(()), None) => (Some("ok"), "the history can be written".to_owned(), None),
    }
}

/// Free room below which the disk is a warning, and below which it is a failure, in bytes.
const DISK_WARN_BYTES: u64 = 1 << 30;
const DISK_FAIL_BYTES: u64 = 64 << 20;

#[expect(clippy::cast_precision_loss, reason = "a size shown to people")]
fn disk(deps: &OpsDeps) -> Finding {
    let Ok(store) = deps.stats.store() else { return ABSENT };
    let folder = store.path().parent().unwrap_or(std::path::Path::new("."));
    let Some((free, all)) = disk_bytes(folder) else { return ABSENT };
    let status = match free {
        ..DISK_FAIL_BYTES => "fail",
        DISK_FAIL_BYTES..DISK_WARN_BYTES => "warn",
        _ => "ok",
    };
    let mib = |bytes: u64| bytes >> 20;
    (Some(status), format!("{} of {} MiB are free for the stores", mib(free), mib(all)), Some(free as f64))
}

#[expect(clippy::cast_precision_loss, reason = "a size shown to people")]
fn host() -> Finding {
    let Some((resident, _)) = memory_bytes() else { return ABSENT };
    let files = open_files();
    let near = files.is_some_and(|(open, limit)| open > limit / 10 * 9);
    let files = files.map_or_else(String::new, |(open, limit)| format!(", {open} of {limit} files are open"));
    let text = format!("{} MiB of memory are resident{files}", resident >> 20);
    (Some(if near { "warn" } else { "ok" }), text, Some(resident as f64))
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
