//! `show_query_rules`: how often query rules matched.

use harvest_gateway::{StatsFamily, StatsOrigin};
use mcp::{ToolError, ToolResult};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::shared::{Aim, DbType, PageEcho, Side, cut, may_name_target, paged_args};
use crate::deps::{Call, Frame};
use crate::ops::{OpsDeps, OpsTool};
use crate::schema::OutputSchema;

pub(super) struct ShowQueryRules;

/// The highest limit.
const LIMIT_CAP: usize = 1_000;

/// Whose rules.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum RuleSet {
    /// Those of this server.
    Mcp,
    /// Those of the program that hosts it.
    Host,
}

paged_args! {
    pub(super) struct Args {
        /// Only this rule.
        rule_id: Option<i64>,
        /// Only rules with at least so many hits.
        #[serde(default)]
        #[schemars(range(min = 0))]
        min_hits: u64,
        /// Whether rules without a hit are listed.
        #[serde(default)]
        include_zero_hits: bool,
        /// Whose rules; those of the hosting program if it has some, else those of this server.
        rule_set: Option<RuleSet>,
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Rule {
    rule_id: i64,
    hits: u64,
    /// Unix seconds; null if it never matched.
    last_hit: Option<i64>,
}

#[derive(Serialize, JsonSchema)]
struct Summary {
    total_hits: u64,
    rules_with_hits: usize,
    rules_without_hits: usize,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// Engine.
    db_type: DbType,
    /// Always host: rules act in this process.
    origin: Side,
    /// Whose rules.
    rule_set: RuleSet,
    /// Rules that fit, those without hits counted too.
    total_rules: usize,
    /// The rules, most hits first.
    rules: Vec<Rule>,
    /// Sums over all rules that fit.
    summary: Summary,
    #[serde(flatten)]
    page: PageEcho,
}

impl OpsTool for ShowQueryRules {
    type Args = Args;
    type Output = Output;
    const NAME: &'static str = "show_query_rules";
    const TITLE: &'static str = "Rule hits";
    const TEXT: &'static str = "Shows how often each query rule matched and when it did last.";
    const TOOLSET: &'static str = "stats";

    fn output(schema: OutputSchema) -> OutputSchema {
        may_name_target(schema).truncated()
    }

    fn example() -> (&'static str, Value) {
        ("Rules that never matched too", json!({"include_zero_hits": true}))
    }

    fn run(deps: &OpsDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(Output, Frame)> {
        let aim = Aim::of(call, args.db_type, args.target_id.as_deref())?;
        let has_own = deps.source.supports(StatsFamily::QueryRules, StatsOrigin::Host, aim.protocol);
        let rule_set = args.rule_set.unwrap_or(if has_own { RuleSet::Host } else { RuleSet::Mcp });
        let mut all: Vec<Rule> = match rule_set {
            RuleSet::Host if !has_own => {
                return Err(ToolError::precondition(
                    "this host has no query rules beside those of this server",
                )
                .with("reason", "no_host_rules")
                .with("remedy", "use rule_set = mcp"));
            }
            RuleSet::Host => aim.rows(deps, call, StatsFamily::QueryRules, Some(Side::Host), Side::Host)?.1,
            RuleSet::Mcp => own(deps, args.target_id.as_deref()),
        };
        all.retain(|rule| args.rule_id.is_none_or(|id| id == rule.rule_id) && rule.hits >= args.min_hits);
        let summary = Summary {
            total_hits: all.iter().map(|rule| rule.hits).sum(),
            rules_with_hits: all.iter().filter(|rule| rule.hits > 0).count(),
            rules_without_hits: all.iter().filter(|rule| rule.hits == 0).count(),
        };
        let total_rules = all.len();
        all.retain(|rule| args.include_zero_hits || rule.hits > 0);
        all.sort_by_key(|rule| (std::cmp::Reverse(rule.hits), rule.rule_id));
        let (rules, page, truncated) = cut(all, args.limit, args.offset, LIMIT_CAP);
        let output = Output {
            db_type: aim.db_type(),
            origin: Side::Host,
            rule_set,
            total_rules,
            rules,
            summary,
            page,
        };
        Ok((output, aim.frame().truncated(truncated)))
    }
}

/// The running rules; those for one target are its own and those for all.
fn own(deps: &OpsDeps, target_id: Option<&str>) -> Vec<Rule> {
    let hits = deps.tools.gateway.rules().hits().into_iter();
    hits.filter(|rule| match (target_id, &rule.target_id) {
        (Some(wanted), Some(of)) => wanted == of,
        _ => true,
    })
    .map(|rule| Rule { rule_id: rule.rule_id, hits: rule.hits, last_hit: rule.last_hit })
    .collect()
}
