//! `list_stats`, `get_stats`, `show_metrics`: the metrics registry by name, by value and as a whole.

use std::collections::BTreeMap;

use mcp::{ToolAnnotations, ToolError, ToolResult};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::deps::{Call, Frame};
use crate::ops::{Family, OpsDeps, OpsTool, collect, csv, glob, now_s, prometheus_text};

pub(super) struct ListStats;
pub(super) struct GetStats;
pub(super) struct ShowMetrics;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListArgs {
    /// Only names that fit: a pattern with `*`, else a part of the name.
    #[serde(default)]
    #[schemars(length(max = 128))]
    filter: String,
}

#[derive(Serialize, JsonSchema)]
struct Stat {
    /// Name.
    name: &'static str,
    /// counter, gauge or histogram.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Unit; empty for plain numbers.
    unit: &'static str,
    /// What it says.
    help: &'static str,
    /// Names of its labels.
    labels: Vec<&'static str>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct List {
    /// The statistics.
    stats_list: Vec<Stat>,
    /// How many fit.
    count: usize,
    /// The filter that was used.
    filter: String,
}

impl OpsTool for ListStats {
    type Args = ListArgs;
    type Output = List;
    const NAME: &'static str = "list_stats";
    const TITLE: &'static str = "List statistics";
    const TEXT: &'static str = "Lists the names of every statistic of this server with type, unit and meaning. Read values with get_stats.";
    const TOOLSET: &'static str = "observe";

    fn example() -> (&'static str, Value) {
        ("What is counted about the cache?", json!({"filter": "cache"}))
    }

    fn run(deps: &OpsDeps, _: &mut Call<'_>, args: ListArgs) -> ToolResult<(List, Frame)> {
        let pattern =
            if args.filter.contains('*') { args.filter.clone() } else { format!("*{}*", args.filter) };
        let stats_list: Vec<Stat> = collect(deps)
            .into_iter()
            .filter(|family| glob(&pattern, family.name))
            .map(|f| Stat {
                name: f.name,
                kind: f.kind.as_str(),
                unit: f.unit,
                help: f.help,
                labels: f.labels.to_vec(),
            })
            .collect();
        Ok((List { count: stats_list.len(), stats_list, filter: args.filter }, Frame::new()))
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GetArgs {
    /// Names; each may hold `*`.
    #[schemars(length(min = 1, max = 200))]
    stat_names: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Values {
    /// Samples by name: labels with a value, or with count, sum and buckets.
    values: BTreeMap<&'static str, Vec<Value>>,
    /// Names that no statistic has.
    unknown: Vec<String>,
    /// When they were read, Unix seconds.
    taken_at: i64,
}

impl OpsTool for GetStats {
    type Args = GetArgs;
    type Output = Values;
    const NAME: &'static str = "get_stats";
    const TITLE: &'static str = "Read statistics";
    const TEXT: &'static str =
        "Reads the values of statistics by name; a name may hold *. Find names with list_stats.";
    const TOOLSET: &'static str = "observe";
    const HINTS: ToolAnnotations = ToolAnnotations::READ;

    fn example() -> (&'static str, Value) {
        ("Everything about the pools", json!({"stat_names": ["proxysql_mcp_pool_*"]}))
    }

    fn run(deps: &OpsDeps, _: &mut Call<'_>, args: GetArgs) -> ToolResult<(Values, Frame)> {
        let families = collect(deps);
        let (mut values, mut unknown) = (BTreeMap::new(), Vec::new());
        for name in csv(args.stat_names) {
            let mut found = false;
            for family in families.iter().filter(|family| glob(&name, family.name)) {
                found = true;
                values.insert(family.name, family.json());
            }
            if !found {
                unknown.push(name);
            }
        }
        if values.is_empty() {
            let names = unknown.join(", ");
            return Err(ToolError::not_found("statistic", names).with("remedy", "list_stats shows the names"));
        }
        Ok((Values { values, unknown, taken_at: now_s() }, Frame::new()))
    }
}

/// Which statistics.
#[derive(Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Category {
    /// Calls and statements.
    Query,
    /// Clients and pools.
    Connection,
    /// The result cache.
    Cache,
    /// Everything.
    #[default]
    All,
}

impl Category {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Connection => "connection",
            Self::Cache => "cache",
            Self::All => "all",
        }
    }

    fn holds(self, family: &Family) -> bool {
        matches!(self, Self::All) || family.category == self.as_str()
    }
}

/// The form of the answer.
#[derive(Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    /// Objects.
    #[default]
    Json,
    /// The Prometheus text format.
    Prometheus,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MetricsArgs {
    /// Which statistics.
    #[serde(default)]
    category: Category,
    /// The form of the answer.
    #[serde(default)]
    format: Format,
}

#[derive(Serialize, JsonSchema)]
struct Metric {
    /// Name.
    name: &'static str,
    /// counter, gauge or histogram.
    #[serde(rename = "type")]
    kind: &'static str,
    /// What it says.
    help: &'static str,
    /// Unit; empty for plain numbers.
    unit: &'static str,
    /// Labels with a value, or with count, sum and buckets.
    samples: Vec<Value>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Metrics {
    /// The category that was asked for.
    category: &'static str,
    /// The metrics; empty with format prometheus.
    metrics: Vec<Metric>,
    /// The text, with format prometheus.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

impl OpsTool for ShowMetrics {
    type Args = MetricsArgs;
    type Output = Metrics;
    const NAME: &'static str = "show_metrics";
    const TITLE: &'static str = "Show metrics";
    const TEXT: &'static str =
        "Shows all metrics of this server, or those of a category, as JSON or in the Prometheus text format.";
    const TOOLSET: &'static str = "observe";

    fn example() -> (&'static str, Value) {
        ("What a scraper would read", json!({"format": "prometheus"}))
    }

    fn run(deps: &OpsDeps, _: &mut Call<'_>, args: MetricsArgs) -> ToolResult<(Metrics, Frame)> {
        let families: Vec<Family> = collect(deps).into_iter().filter(|f| args.category.holds(f)).collect();
        let category = args.category.as_str();
        if args.format == Format::Prometheus {
            let mut text = prometheus_text(&families);
            if matches!(args.category, Category::All) {
                text.push_str(&(deps.more_metrics)());
            }
            let text = Some(text);
            return Ok((Metrics { category, metrics: Vec::new(), text }, Frame::new()));
        }
        let metric = |f: &Family| Metric {
            name: f.name,
            kind: f.kind.as_str(),
            help: f.help,
            unit: f.unit,
            samples: f.json(),
        };
        Ok((Metrics { category, metrics: families.iter().map(metric).collect(), text: None }, Frame::new()))
    }
}
