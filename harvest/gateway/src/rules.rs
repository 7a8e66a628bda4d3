//! Query rules: compiled once, evaluated in one pass over a statement; it knows neither gate nor backend.

mod compile;
mod rewrite;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use regex::{Regex, RegexSet};
use serde::{Deserialize, Serialize};

use rewrite::Template;

/// A rule as its table row says it. Filters that are `None` match everything.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RuleConfig {
    /// Order of evaluation.
    pub rule_id: i64,
    /// Whether it is evaluated.
    pub active: bool,
    /// Backend user of the target.
    pub username: Option<String>,
    /// Target.
    pub target_id: Option<String>,
    /// Schema of the call.
    pub schemaname: Option<String>,
    /// Canonical tool.
    pub tool_name: Option<String>,
    /// Token name.
    pub caller: Option<String>,
    /// Regular expression over the statement.
    pub match_pattern: Option<String>,
    /// Whether the pattern must not match.
    pub negate_match_pattern: bool,
    /// `CASELESS`, `GLOBAL`, comma-separated.
    pub re_modifiers: String,
    /// Flag that must be set.
    pub flag_in: i64,
    /// Flag that is set on a match.
    pub flag_out: Option<i64>,
    /// Replacement with `\0` to `\9`.
    pub replace_pattern: Option<String>,
    /// Time limit, in milliseconds; 0 means none.
    pub timeout_ms: Option<u64>,
    /// Refusal.
    pub error_msg: Option<String>,
    /// Success without execution.
    pub ok_msg: Option<String>,
    /// Whether a log record is written.
    pub log: Option<bool>,
    /// Whether evaluation ends here.
    pub apply: bool,
    /// Time to live of a cached result, in milliseconds; 0 means never.
    pub cache_ttl_ms: Option<u64>,
    /// For people.
    pub comment: Option<String>,
}

impl RuleConfig {
    /// An active rule that matches everything, ends evaluation and does nothing.
    #[must_use]
    pub fn new(rule_id: i64) -> Self {
        Self { rule_id, active: true, apply: true, re_modifiers: "CASELESS".to_owned(), ..Self::default() }
    }
}

/// What rules are asked about besides the text.
#[derive(Debug, Clone, Copy, Default)]
// Exhaustive: the filters of a rule.
pub struct RuleFacts<'a> {
    /// Backend user of the target.
    pub username: &'a str,
    /// Target.
    pub target_id: &'a str,
    /// Schema of the call.
    pub schema: &'a str,
    /// Canonical tool.
    pub tool: &'a str,
    /// Token name.
    pub caller: &'a str,
}

/// What the rules decided.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RuleOutcome {
    /// The text after rewrites, if any rule rewrote it.
    pub rewritten: Option<String>,
    /// Time limit, in milliseconds, and the rule that set it.
    pub timeout_ms: Option<u64>,
    /// Time to live in the cache and the rule that set it.
    pub cache_ttl_ms: Option<(u64, i64)>,
    /// Whether a log record is written.
    pub log: Option<bool>,
    /// Refusal and the rule that made it.
    pub error_msg: Option<(String, i64)>,
    /// Success without execution.
    pub ok_msg: Option<String>,
    /// Rules that matched, in order.
    pub matched: Vec<i64>,
}

/// Counters of one rule; they outlive loads that do not change the rule.
#[derive(Debug, Default)]
struct Hits {
    hits: AtomicU64,
    last_hit: AtomicI64,
}

struct Rule {
    config: RuleConfig,
    hits: Arc<Hits>,
    pattern: Option<Regex>,
    /// Index in the set of patterns.
    in_set: Option<usize>,
    global: bool,
    template: Option<Template>,
}

/// Hits of one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RuleHits {
    /// The rule.
    pub rule_id: i64,
    /// Its user filter.
    pub username: Option<String>,
    /// Its target filter.
    pub target_id: Option<String>,
    /// Matches so far.
    pub hits: u64,
    /// Last match, Unix seconds; `None` if never.
    pub last_hit: Option<i64>,
}

/// A compiled rule set.
pub struct RuleSet {
    rules: Vec<Rule>,
    /// Inactive rules, kept for their hits.
    sleeping: Vec<Rule>,
    set: Option<RegexSet>,
    generation: u64,
}

impl RuleSet {
    /// A set without rules.
    #[must_use]
    pub fn empty() -> Self {
        Self { rules: Vec::new(), sleeping: Vec::new(), set: None, generation: 0 }
    }

    /// Takes over generation and hits of a set that decides alike, so that cached results stay reachable.
    #[must_use]
    pub(crate) fn same_generation(mut self, other: &Self) -> Self {
        self.generation = other.generation;
        for rule in self.rules.iter_mut().chain(&mut self.sleeping) {
            let same = |old: &&Rule| old.config.rule_id == rule.config.rule_id;
            if let Some(old) = other.rules.iter().chain(&other.sleeping).find(same) {
                rule.hits = Arc::clone(&old.hits);
            }
        }
        self
    }

    /// A number that differs between loads.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether no rule is active.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Evaluates the rules over `subject`, one pass in order of their ids.
    #[must_use]
    pub fn evaluate(&self, subject: &str, facts: &RuleFacts<'_>) -> RuleOutcome {
        let mut outcome = RuleOutcome::default();
        if self.rules.is_empty() {
            return outcome;
        }
        let mut flag = 0;
        let mut rewritten: Option<String> = None;
        let mut candidates = self.set.as_ref().map(|set| set.matches(subject));
        for rule in &self.rules {
            if rule.config.flag_in != flag || !rule.admits(facts) {
                continue;
            }
            let text = rewritten.as_deref().unwrap_or(subject);
            let found = match (&rule.pattern, rule.in_set, &candidates) {
                (None, _, _) => true,
                (Some(_), Some(at), Some(set)) => set.matched(at) != rule.config.negate_match_pattern,
                (Some(pattern), _, _) => pattern.is_match(text) != rule.config.negate_match_pattern,
            };
            if !found {
                continue;
            }
            if let Some(fresh) = rule.act(text, &mut outcome) {
                // The joint automaton has seen the old text only.
                candidates = self.set.as_ref().map(|set| set.matches(&fresh));
                rewritten = Some(fresh);
            }
            if let Some(next) = rule.config.flag_out {
                flag = next;
            }
            if rule.config.apply {
                break;
            }
        }
        outcome.rewritten = rewritten;
        outcome
    }

    /// Hits of every rule, inactive ones too, by id.
    #[must_use]
    pub fn hits(&self) -> Vec<RuleHits> {
        let mut all: Vec<RuleHits> = self.rules.iter().chain(&self.sleeping).map(Rule::counted).collect();
        all.sort_by_key(|hits| hits.rule_id);
        all
    }

    /// Hits of every rule, and sets them to zero.
    #[must_use]
    pub fn take_hits(&self) -> Vec<RuleHits> {
        let mut all: Vec<RuleHits> = self.rules.iter().chain(&self.sleeping).map(Rule::taken).collect();
        all.sort_by_key(|hits| hits.rule_id);
        all
    }

    /// The rules as configured, by id.
    #[must_use]
    pub fn configs(&self) -> Vec<RuleConfig> {
        let mut all: Vec<_> =
            self.rules.iter().chain(&self.sleeping).map(|rule| rule.config.clone()).collect();
        all.sort_by_key(|rule| rule.rule_id);
        all
    }
}

impl std::fmt::Debug for RuleSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RuleSet").field("rules", &self.rules.len()).finish_non_exhaustive()
    }
}

impl Rule {
    fn admits(&self, facts: &RuleFacts<'_>) -> bool {
        let equal = |filter: &Option<String>, value: &str| filter.as_deref().is_none_or(|f| f == value);
        equal(&self.config.target_id, facts.target_id)
            && equal(&self.config.tool_name, facts.tool)
            && equal(&self.config.caller, facts.caller)
            && equal(&self.config.schemaname, facts.schema)
            && equal(&self.config.username, facts.username)
    }

    /// Counts the match and takes the actions; gives the new text if this rule rewrites.
    fn act(&self, text: &str, outcome: &mut RuleOutcome) -> Option<String> {
        self.hits.hits.fetch_add(1, Ordering::Relaxed);
        self.hits.last_hit.store(now_s(), Ordering::Relaxed);
        let rule = &self.config;
        outcome.matched.push(rule.rule_id);
        if rule.timeout_ms.is_some() {
            outcome.timeout_ms = rule.timeout_ms;
        }
        if let Some(ttl_ms) = rule.cache_ttl_ms {
            outcome.cache_ttl_ms = Some((ttl_ms, rule.rule_id));
        }
        if rule.log.is_some() {
            outcome.log = rule.log;
        }
        if let Some(message) = &rule.error_msg {
            outcome.error_msg = Some((message.clone(), rule.rule_id));
        }
        if rule.ok_msg.is_some() {
            outcome.ok_msg.clone_from(&rule.ok_msg);
        }
        match (&self.template, &self.pattern) {
            (Some(template), Some(pattern)) => Some(template.replace(pattern, text, self.global)),
            _ => None,
        }
    }

    fn report(&self, hits: u64, last_hit: i64) -> RuleHits {
        RuleHits {
            rule_id: self.config.rule_id,
            username: self.config.username.clone(),
            target_id: self.config.target_id.clone(),
            hits,
            last_hit: (last_hit > 0).then_some(last_hit),
        }
    }

    fn counted(&self) -> RuleHits {
        self.report(self.hits.hits.load(Ordering::Relaxed), self.hits.last_hit.load(Ordering::Relaxed))
    }

    fn taken(&self) -> RuleHits {
        self.report(self.hits.hits.swap(0, Ordering::Relaxed), self.hits.last_hit.swap(0, Ordering::Relaxed))
    }
}

fn now_s() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}
