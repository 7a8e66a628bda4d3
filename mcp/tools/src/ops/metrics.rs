//! The metrics registry: every statistic read from the counters that exist, as JSON or Prometheus text; it counts nothing itself.
//!
//! The text format is written here instead of by a client library: the figures live in the pipeline, the pools, the
//! cache and the book of calls, and a library would keep a second copy of each.

use std::collections::BTreeMap;
use std::fmt::Write;

use harvest::WAIT_BUCKETS_US;
use harvest_gateway::{CallScope, RuleConfig};
use serde_json::{Map, Value, json};

use super::OpsDeps;
use super::book::{BUCKETS_US, CallTotals};

/// What a metric is.
// Exhaustive: the kinds of the text format that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by upper ends.
    Histogram,
}

impl MetricKind {
    /// The word of the text format.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One value with its labels.
#[derive(Debug, Clone)]
// Exhaustive: a sample is labels and a value.
pub struct Sample {
    /// Values of the family's labels, in their order.
    pub labels: Vec<String>,
    /// The value; of a histogram the sum.
    pub value: f64,
    /// Of a histogram: count and cumulative counts by upper end.
    pub buckets: Option<(u64, Vec<(f64, u64)>)>,
}

/// All samples of one name.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Family {
    /// Name.
    pub name: &'static str,
    /// What it is.
    pub kind: MetricKind,
    /// Unit; empty for plain numbers.
    pub unit: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// `query`, `connection` or `cache`.
    pub category: &'static str,
    /// Names of the labels.
    pub labels: &'static [&'static str],
    /// The samples.
    pub samples: Vec<Sample>,
}

impl Family {
    const fn new(
        name: &'static str,
        kind: MetricKind,
        category: &'static str,
        unit: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind, unit, help, category, labels, samples: Vec::new() }
    }

    fn add<const N: usize>(&mut self, labels: [&str; N], value: f64) {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        self.samples.push(Sample { labels, value, buckets: None });
    }

    fn with<const N: usize>(mut self, labels: [&str; N], value: f64) -> Self {
        self.add(labels, value);
        self
    }

    /// The samples as JSON.
    #[must_use]
    pub fn json(&self) -> Vec<Value> {
        self.samples.iter().map(|sample| self.sample_json(sample)).collect()
    }

    fn sample_json(&self, sample: &Sample) -> Value {
        let labels: Map<String, Value> = self
            .labels
            .iter()
            .zip(&sample.labels)
            .map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str())))
            .collect();
        match &sample.buckets {
            None => json!({"labels": labels, "value": sample.value}),
            Some((count, ends)) => {
                let mut buckets: Vec<Value> =
                    ends.iter().map(|(le, count)| json!({"le": le, "count": count})).collect();
                buckets.push(json!({"le": "+Inf", "count": count}));
                json!({"labels": labels, "count": count, "sum": sample.value, "buckets": buckets})
            }
        }
    }
}

/// Reads every statistic now. It may read the catalog, so it is for threads that may wait.
#[must_use]
pub fn collect(deps: &OpsDeps) -> Vec<Family> {
    deps.stats.set_harvests(crate::stats::harvests(deps));
    let up = deps.admin.as_ref().map(|admin| admin.listener().listening);
    families(deps, up)
}

/// The text of `GET /metrics`; `None` while `mcp-metrics_enabled` is false. It reads counters only and waits for nothing.
#[must_use]
pub fn metrics_page(deps: &OpsDeps) -> Option<String> {
    if !deps.stats.settings().metrics_enabled {
        return None;
    }
    // Who reads the page has come through the listener.
    let mut text = prometheus_text(&families(deps, Some(true)));
    text.push_str(&(deps.more_metrics)());
    Some(text)
}

fn families(deps: &OpsDeps, listener_up: Option<bool>) -> Vec<Family> {
    let mut all = calls(deps);
    all.extend(connections(deps, listener_up));
    all.extend(statements(deps));
    all.extend(pools(deps));
    all.extend(harvests(deps));
    all.extend(cache(deps));
    all
}

#[expect(clippy::cast_precision_loss, reason = "counters beyond 2^53 lose nothing that a graph shows")]
const fn num(value: u64) -> f64 {
    value as f64
}

fn seconds(micros: u64) -> f64 {
    num(micros) / 1e6
}

/// Names of the labels of calls; with the caller where an operator wants it.
const CALL_LABELS: [&[&str]; 2] = [&["endpoint", "tool"], &["endpoint", "tool", "caller"]];
const OUTCOME_LABELS: [&[&str]; 2] =
    [&["endpoint", "tool", "outcome"], &["endpoint", "tool", "outcome", "caller"]];
const LIVE_LABELS: [&[&str]; 2] = [&["endpoint"], &["endpoint", "caller"]];

fn calls(deps: &OpsDeps) -> Vec<Family> {
    use MetricKind::{Counter, Gauge, Histogram};
    let with_caller = deps.stats.settings().metrics_caller_label;
    let form = usize::from(with_caller);
    let mut requests = Family::new(
        "proxysql_mcp_requests_total",
        Counter,
        "query",
        "",
        OUTCOME_LABELS[form],
        "Finished tool calls; outcome is ok or the code of the failure.",
    );
    let mut durations = Family::new(
        "proxysql_mcp_request_duration_seconds",
        Histogram,
        "query",
        "seconds",
        CALL_LABELS[form],
        "Duration of tool calls.",
    );
    let mut totals = BTreeMap::<(String, String, String), CallTotals>::new();
    for ((endpoint, tool, caller), counted) in deps.book.call_totals() {
        let caller = if with_caller { caller } else { String::new() };
        totals.entry((endpoint, tool, caller)).or_default().add(&counted);
    }
    let labels = |mut labels: Vec<String>, caller: &str| {
        if with_caller {
            labels.push(caller.to_owned());
        }
        labels
    };
    for ((endpoint, tool, caller), row) in totals {
        let ok = ("ok", row.count - row.errors);
        let codes = row.by_code.iter().map(|(code, count)| (*code, *count));
        for (outcome, count) in std::iter::once(ok).chain(codes) {
            let names = vec![endpoint.clone(), tool.clone(), outcome.to_owned()];
            requests.samples.push(Sample {
                labels: labels(names, &caller),
                value: num(count),
                buckets: None,
            });
        }
        durations.samples.push(Sample {
            labels: labels(vec![endpoint, tool], &caller),
            value: seconds(row.sum_time),
            buckets: Some(histogram(&BUCKETS_US, &row.buckets)),
        });
    }
    let mut inflight = Family::new(
        "proxysql_mcp_inflight_requests",
        Gauge,
        "connection",
        "",
        LIVE_LABELS[form],
        "Tool calls that run now.",
    );
    let mut running = BTreeMap::<(String, String), u64>::new();
    for call in deps.book.live() {
        let caller = if with_caller { call.caller } else { String::new() };
        *running.entry((call.endpoint, caller)).or_default() += 1;
    }
    for ((endpoint, caller), count) in running {
        let labels = labels(vec![endpoint], &caller);
        inflight.samples.push(Sample { labels, value: num(count), buckets: None });
    }
    vec![requests, durations, inflight]
}

/// A histogram's count and cumulative counts by upper end in seconds.
fn histogram(ends_us: &[u64], buckets: &[u64]) -> (u64, Vec<(f64, u64)>) {
    let mut seen = 0;
    let ends = ends_us.iter().zip(buckets).map(|(end, count)| {
        seen += count;
        (seconds(*end), seen)
    });
    (buckets.iter().sum(), ends.collect())
}

fn connections(deps: &OpsDeps, listener_up: Option<bool>) -> Vec<Family> {
    use MetricKind::{Counter, Gauge};
    let mut auth = Family::new(
        "proxysql_mcp_auth_failures_total",
        Counter,
        "connection",
        "",
        &["endpoint", "reason"],
        "Requests without a valid token.",
    );
    for (endpoint, reason, count) in deps.book.auth_failures() {
        auth.add([&endpoint, reason], num(count));
    }
    let (connections, created, refused) = deps.book.totals();
    let (waiting, dropped) = deps.stats.events_waiting();
    let gauge = |name, kind, help| Family::new(name, kind, "connection", "", &[], help);
    let mut all = vec![
        auth,
        gauge("proxysql_mcp_client_connections", Gauge, "Client connections now.").with([], num(connections)),
        gauge("proxysql_mcp_client_connections_created_total", Counter, "Client connections since start.")
            .with([], num(created)),
        gauge("proxysql_mcp_refused_requests_total", Counter, "Requests refused before they reached a tool.")
            .with([], num(refused)),
        gauge("proxysql_mcp_rate_limited_total", Counter, "Requests of tokens that had used up their rate.")
            .with([], num(deps.book.rate_limited_total())),
        gauge("proxysql_mcp_query_events", Gauge, "Statement events that wait for a flush.")
            .with([], num(waiting as u64)),
        gauge("proxysql_mcp_query_events_dropped_total", Counter, "Statement events lost to a full buffer.")
            .with([], num(dropped)),
        Family::new(
            "proxysql_mcp_uptime_seconds",
            Gauge,
            "connection",
            "seconds",
            &[],
            "Time since the server started.",
        )
        .with([], num(deps.book.uptime().0)),
    ];
    if let Some(up) = listener_up {
        let family = gauge("proxysql_mcp_listener_up", Gauge, "Whether the listener accepts connections.");
        all.push(family.with([], num(u64::from(up))));
    }
    all
}

fn statements(deps: &OpsDeps) -> Vec<Family> {
    use MetricKind::Counter;
    let gateway = &deps.tools.gateway;
    let counters = gateway.statistics().counters();
    let mut outcomes = Family::new(
        "proxysql_mcp_statements_total",
        Counter,
        "query",
        "",
        &["outcome"],
        "Statements of the pipeline by what became of them; received counts all.",
    );
    for (outcome, count) in [
        ("received", counters.statements),
        ("failed", counters.failed),
        ("refused_rule", counters.refused_rules),
        ("answered_rule", counters.answered_rules),
        ("refused_hook", counters.refused_hooks),
        ("refused_gate", counters.refused_gate),
        ("refused_policy", counters.refused_policy),
        ("timed_out", counters.timed_out),
        ("cancelled", counters.cancelled),
    ] {
        outcomes.add([outcome], num(count));
    }
    let mut hits = Family::new(
        "proxysql_mcp_rule_hits_total",
        Counter,
        "query",
        "",
        &["rule_id", "action"],
        "Matches of query rules; action is what the rule does first of all.",
    );
    let rules = gateway.rules();
    let configs = rules.configs();
    for rule in rules.hits() {
        let config = configs.iter().find(|config| config.rule_id == rule.rule_id);
        hits.add([&rule.rule_id.to_string(), config.map_or("none", action)], num(rule.hits));
    }
    let mut refusals = Family::new(
        "proxysql_mcp_gate_refusals_total",
        Counter,
        "query",
        "",
        &["construct"],
        "Refusals of the read-only gate.",
    );
    let mut classes = BTreeMap::<String, u64>::new();
    for (construct, count) in gateway.statistics().constructs() {
        *classes.entry(class(&construct).to_owned()).or_default() += count;
    }
    for (construct, count) in &classes {
        refusals.add([construct], num(*count));
    }
    let mut errors = Family::new(
        "proxysql_mcp_backend_errors_total",
        Counter,
        "query",
        "",
        &["target", "code"],
        "Errors of backends by errno or SQLSTATE.",
    );
    for (target, code, count) in gateway.statistics().error_totals() {
        errors.add([&target, &code], num(count));
    }
    let rows = Family::new("proxysql_mcp_rows_total", Counter, "query", "", &[], "Rows given to callers.")
        .with([], num(counters.rows));
    vec![outcomes, rows, hits, refusals, errors]
}

/// What a rule does first of all; one word of a fixed set.
fn action(rule: &RuleConfig) -> &'static str {
    match rule {
        RuleConfig { ok_msg: Some(_), .. } => "answer",
        RuleConfig { error_msg: Some(_), .. } => "block",
        RuleConfig { replace_pattern: Some(_), .. } => "rewrite",
        RuleConfig { timeout_ms: Some(_), .. } => "timeout",
        RuleConfig { cache_ttl_ms: Some(_), .. } => "cache",
        RuleConfig { log: Some(_), .. } => "log",
        _ => "none",
    }
}

/// A construct without the names that callers choose.
fn class(construct: &str) -> &str {
    ["the function", "the object"].into_iter().find(|class| construct.starts_with(class)).unwrap_or(construct)
}

fn harvests(deps: &OpsDeps) -> Vec<Family> {
    use MetricKind::Gauge;
    let mut took = Family::new(
        "proxysql_mcp_harvest_seconds",
        Gauge,
        "query",
        "seconds",
        &["target", "status"],
        "Duration of the latest harvest of a target that ended so.",
    );
    let mut objects = Family::new(
        "proxysql_mcp_harvest_objects",
        Gauge,
        "query",
        "",
        &["target", "type"],
        "Objects of the latest harvest of a target.",
    );
    for figures in deps.stats.harvests() {
        for (status, time_s) in &figures.seconds {
            took.add([&figures.target_id, status], num(u64::try_from(*time_s).unwrap_or(0)));
        }
        for (kind, count) in &figures.objects {
            objects.add([&figures.target_id, kind], num(*count));
        }
    }
    vec![took, objects]
}

fn pools(deps: &OpsDeps) -> Vec<Family> {
    use MetricKind::{Gauge, Histogram};
    let mut connections = Family::new(
        "proxysql_mcp_pool_connections",
        Gauge,
        "connection",
        "",
        &["target", "backend", "state"],
        "Connections of the pools: used and free.",
    );
    let mut wait = Family::new(
        "proxysql_mcp_pool_wait_seconds",
        Histogram,
        "connection",
        "seconds",
        &["target"],
        "Time that callers waited for a connection.",
    );
    for (target, _, backends, totals) in deps.tools.gateway.pools() {
        for backend in backends {
            connections.add([&target, &backend.backend, "used"], num(backend.conn_used as u64));
            connections.add([&target, &backend.backend, "free"], num(backend.conn_free as u64));
        }
        wait.samples.push(Sample {
            labels: vec![target],
            value: seconds(totals.wait_us),
            buckets: Some(histogram(&WAIT_BUCKETS_US, &totals.wait_buckets)),
        });
    }
    let mut accounts = Family::new(
        "proxysql_mcp_account_findings",
        Gauge,
        "connection",
        "",
        &["target", "code", "dangerous"],
        "What accounts of targets may do beyond reading.",
    );
    for target in deps.tools.gateway.targets(&CallScope::new("metrics", "host")) {
        for finding in target.account.iter().flatten() {
            let dangerous = if finding.dangerous { "true" } else { "false" };
            accounts.add([&target.target_id, &finding.code, dangerous], 1.0);
        }
    }
    vec![connections, wait, accounts]
}

fn cache(deps: &OpsDeps) -> Vec<Family> {
    use MetricKind::{Counter, Gauge};
    let stats = deps.tools.gateway.cache().stats();
    let c = stats.counters;
    let mut events = Family::new(
        "proxysql_mcp_cache_events_total",
        Counter,
        "cache",
        "",
        &["event"],
        "Events of the result cache.",
    );
    for (event, count) in [
        ("hit", c.hits),
        ("miss", c.misses),
        ("set", c.sets),
        ("eviction", c.evictions),
        ("expiration", c.expirations),
        ("invalidation", c.invalidations),
        ("bypass", c.bypassed),
    ] {
        events.add([event], num(count));
    }
    vec![
        events,
        Family::new("proxysql_mcp_cache_bytes", Gauge, "cache", "bytes", &[], "Memory of the result cache.")
            .with([], num(stats.bytes as u64)),
        Family::new("proxysql_mcp_cache_entries", Gauge, "cache", "", &[], "Entries of the result cache.")
            .with([], num(stats.entries as u64)),
    ]
}

/// The Prometheus text format, version 0.0.4.
#[must_use]
pub fn prometheus_text(families: &[Family]) -> String {
    let mut text = String::new();
    for family in families {
        let _ = writeln!(text, "# HELP {} {}", family.name, family.help);
        let _ = writeln!(text, "# TYPE {} {}", family.name, family.kind.as_str());
        for sample in &family.samples {
            let labels: Vec<String> = family
                .labels
                .iter()
                .zip(&sample.labels)
                .map(|(name, value)| format!("{name}=\"{}\"", escape(value)))
                .collect();
            match &sample.buckets {
                None => line(&mut text, family.name, "", &labels, None, sample.value),
                Some((count, ends)) => {
                    for (le, seen) in ends {
                        line(&mut text, family.name, "_bucket", &labels, Some(&le.to_string()), num(*seen));
                    }
                    line(&mut text, family.name, "_bucket", &labels, Some("+Inf"), num(*count));
                    line(&mut text, family.name, "_sum", &labels, None, sample.value);
                    line(&mut text, family.name, "_count", &labels, None, num(*count));
                }
            }
        }
    }
    text
}

fn line(text: &mut String, name: &str, suffix: &str, labels: &[String], le: Option<&str>, value: f64) {
    let mut all = labels.to_vec();
    all.extend(le.map(|le| format!("le=\"{le}\"")));
    let labels = if all.is_empty() { String::new() } else { format!("{{{}}}", all.join(",")) };
    let _ = writeln!(text, "{name}{suffix}{labels} {value}");
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_escapes_labels_and_closes_histograms() {
        let mut family =
            Family::new("x_seconds", MetricKind::Histogram, "query", "seconds", &["tool"], "Durations.");
        family.samples.push(Sample {
            labels: vec!["a\"b\\c\n".to_owned()],
            value: 1.5,
            buckets: Some((3, vec![(0.1, 1), (1.0, 2)])),
        });
        assert_eq!(
            prometheus_text(&[family]),
            "# HELP x_seconds Durations.\n# TYPE x_seconds histogram\n\
             x_seconds_bucket{tool=\"a\\\"b\\\\c\\n\",le=\"0.1\"} 1\n\
             x_seconds_bucket{tool=\"a\\\"b\\\\c\\n\",le=\"1\"} 2\n\
             x_seconds_bucket{tool=\"a\\\"b\\\\c\\n\",le=\"+Inf\"} 3\n\
             x_seconds_sum{tool=\"a\\\"b\\\\c\\n\"} 1.5\nx_seconds_count{tool=\"a\\\"b\\\\c\\n\"} 3\n"
        );
    }
}
