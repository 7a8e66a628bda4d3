//! Turns rule rows into a rule set, or says which row is wrong and why; it evaluates nothing.

use std::collections::HashMap;
use std::sync::Arc;

use harvest::{HarvestCode, HarvestError, HarvestResult};
use regex::{Regex, RegexBuilder, RegexSetBuilder};

use super::rewrite::Template;
use super::{Hits, Rule, RuleConfig, RuleSet};

/// Compiled size of one pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;
/// Compiled size of all patterns together, and of the cache that searches them, in bytes.
const SET_BYTES_MAX: usize = 64 << 20;
/// Memory per searching thread for the states of the joint automaton, in bytes.
const SET_CACHE_BYTES: usize = 16 << 20;
/// Fewer patterns than this are searched one by one.
const SET_PATTERNS_MIN: usize = 6;

impl RuleSet {
    /// Compiles rules; those whose definition equals one of `previous` keep its hits.
    ///
    /// `known_tools` are the canonical names that a filter may carry; `None` accepts any.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` with `rule_id` if any rule, active or not, is wrong.
    pub fn compile(
        configs: Vec<RuleConfig>,
        known_tools: Option<&[&str]>,
        previous: &RuleSet,
    ) -> HarvestResult<Self> {
        let kept: HashMap<i64, &Rule> =
            previous.rules.iter().chain(&previous.sleeping).map(|rule| (rule.config.rule_id, rule)).collect();
        let mut rules = Vec::with_capacity(configs.len());
        let mut sleeping = Vec::new();
        for config in configs {
            let rule_id = config.rule_id;
            let mut rule = compile_rule(config, known_tools).map_err(|cause| refused(rule_id, &cause))?;
            if let Some(old) = kept.get(&rule_id).filter(|old| old.config == rule.config) {
                rule.hits = Arc::clone(&old.hits);
            }
            if rule.config.active { rules.push(rule) } else { sleeping.push(rule) }
        }
        rules.sort_by_key(|rule| rule.config.rule_id);
        if let Some(pair) = rules.windows(2).find(|pair| pair[0].config.rule_id == pair[1].config.rule_id) {
            return Err(refused(pair[0].config.rule_id, "rule_id occurs twice"));
        }
        let set = join(&mut rules)?;
        Ok(Self { rules, sleeping, set, generation: previous.generation + 1 })
    }
}

/// Builds the joint automaton and numbers the rules that it covers.
fn join(rules: &mut [Rule]) -> HarvestResult<Option<regex::RegexSet>> {
    // The single patterns carry their case flag inside, so the set needs none of its own.
    let patterns: Vec<&str> =
        rules.iter().filter_map(|rule| rule.pattern.as_ref()).map(Regex::as_str).collect();
    if patterns.len() < SET_PATTERNS_MIN {
        return Ok(None);
    }
    let set = RegexSetBuilder::new(&patterns)
        .size_limit(SET_BYTES_MAX)
        .dfa_size_limit(SET_CACHE_BYTES)
        .build()
        .map_err(|error| {
            HarvestError::new(
                HarvestCode::InvalidArgument,
                format!("the patterns of all rules together are too large: {error}"),
            )
        })?;
    for (at, rule) in rules.iter_mut().filter(|rule| rule.pattern.is_some()).enumerate() {
        rule.in_set = Some(at);
    }
    Ok(Some(set))
}

fn refused(rule_id: i64, cause: &str) -> HarvestError {
    HarvestError::new(HarvestCode::InvalidArgument, format!("query rule {rule_id}: {cause}"))
        .with("rule_id", rule_id)
}

fn compile_rule(config: RuleConfig, known_tools: Option<&[&str]>) -> Result<Rule, String> {
    let (mut caseless, mut global) = (false, false);
    for word in config.re_modifiers.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match word.to_ascii_uppercase().as_str() {
            "CASELESS" => caseless = true,
            "GLOBAL" => global = true,
            _ => return Err(format!("re_modifiers holds {word:?}; CASELESS and GLOBAL are known")),
        }
    }
    if let (Some(tool), Some(known)) = (&config.tool_name, known_tools)
        && !tool.is_empty()
        && !known.contains(&tool.as_str())
    {
        return Err(format!("tool_name {tool:?} is not a tool of this server"));
    }
    if config.error_msg.is_some() && config.ok_msg.is_some() {
        return Err("error_msg and OK_msg exclude each other".to_owned());
    }
    if config.flag_in < 0 || config.flag_out.is_some_and(|flag| flag < 0) {
        return Err("flagIN and flagOUT are not negative".to_owned());
    }
    let pattern = match &config.match_pattern {
        Some(text) => Some(compile_pattern(text, caseless)?),
        None => None,
    };
    let template = match (&config.replace_pattern, &pattern) {
        (None, _) => None,
        (Some(_), None) => return Err("replace_pattern needs a match_pattern".to_owned()),
        (Some(_), Some(_)) if config.negate_match_pattern => {
            return Err("replace_pattern cannot go with negate_match_pattern".to_owned());
        }
        (Some(text), Some(pattern)) => Some(Template::parse(text, pattern.captures_len() - 1)?),
    };
    Ok(Rule { config, hits: Arc::new(Hits::default()), pattern, in_set: None, global, template })
}

fn compile_pattern(text: &str, caseless: bool) -> Result<Regex, String> {
    // Checked alone first, so that the error names the operator's own text. The flag covers every branch of it.
    let check = RegexBuilder::new(text).size_limit(PATTERN_BYTES_MAX).build();
    let plain = check.map_err(|error| format!("match_pattern is refused: {error}"))?;
    if !caseless {
        return Ok(plain);
    }
    RegexBuilder::new(&format!("(?i){text}"))
        .size_limit(PATTERN_BYTES_MAX)
        .build()
        .map_err(|error| format!("match_pattern is refused: {error}"))
}
