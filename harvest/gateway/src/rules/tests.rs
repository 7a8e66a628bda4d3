//! Tests of query rules: filters, flags, rewrites, refusals, hits.

use super::*;

fn set(rules: Vec<RuleConfig>) -> RuleSet {
    RuleSet::compile(rules, Some(&["run_sql_readonly", "list_tables"]), &RuleSet::empty()).unwrap()
}

fn rule(rule_id: i64, pattern: &str, change: impl FnOnce(&mut RuleConfig)) -> RuleConfig {
    let mut rule = RuleConfig::new(rule_id);
    rule.match_pattern = Some(pattern.to_owned());
    change(&mut rule);
    rule
}

fn facts() -> RuleFacts<'static> {
    RuleFacts { username: "app", target_id: "t1", schema: "main", tool: "run_sql_readonly", caller: "alice" }
}

#[test]
fn a_chain_runs_through_flags_in_order() {
    let rules = set(vec![
        rule(30, "SELECT", |r| {
            r.flag_in = 2;
            r.error_msg = Some("blocked".into());
        }),
        rule(10, "secret", |r| {
            r.flag_out = Some(1);
            r.apply = false;
            r.timeout_ms = Some(7);
        }),
        rule(20, "secret", |r| {
            r.flag_in = 1;
            r.flag_out = Some(2);
            r.apply = false;
            r.replace_pattern = Some("public".into());
        }),
    ]);
    let outcome = rules.evaluate("select * from secret", &facts());
    assert_eq!(outcome.rewritten.as_deref(), Some("select * from public"));
    assert_eq!(outcome.matched, [10, 20, 30]);
    assert_eq!(outcome.timeout_ms, Some(7));
    assert_eq!(outcome.error_msg, Some(("blocked".into(), 30)));
    assert!(rules.evaluate("select * from other", &facts()).matched.is_empty());
}

#[test]
fn apply_ends_the_evaluation_after_its_actions() {
    let rules = set(vec![
        rule(1, "x", |r| r.log = Some(true)),
        rule(2, "x", |r| r.error_msg = Some("never reached".into())),
    ]);
    let outcome = rules.evaluate("x", &facts());
    assert_eq!((outcome.matched, outcome.log, outcome.error_msg), (vec![1], Some(true), None));
}

#[test]
fn filters_are_exact_and_an_empty_filter_matches_only_empty() {
    let with = |change: fn(&mut RuleConfig)| {
        let mut rule = RuleConfig::new(1);
        change(&mut rule);
        !set(vec![rule]).evaluate("", &facts()).matched.is_empty()
    };
    assert!(with(|_| {}));
    assert!(with(|r| r.caller = Some("alice".into())));
    assert!(!with(|r| r.caller = Some("Alice".into())));
    assert!(!with(|r| r.schemaname = Some(String::new())));
    assert!(!with(|r| r.username = Some("root".into())));
    assert!(!with(|r| r.target_id = Some("t2".into())));
    assert!(!with(|r| r.tool_name = Some("list_tables".into())));
    assert!(!with(|r| r.active = false));
    assert!(!with(|r| r.flag_in = 1));
}

#[test]
fn negation_inverts_the_pattern_only() {
    let rules = set(vec![rule(1, "^select", |r| {
        r.negate_match_pattern = true;
        r.caller = Some("alice".into());
    })]);
    assert!(rules.evaluate("SELECT 1", &facts()).matched.is_empty());
    assert_eq!(rules.evaluate("SHOW TABLES", &facts()).matched, [1]);
    assert!(rules.evaluate("SHOW TABLES", &RuleFacts { caller: "bob", ..facts() }).matched.is_empty());
}

#[test]
fn rewrites_know_groups_and_global() {
    let once = set(vec![rule(1, "(a)(b)?", |r| r.replace_pattern = Some(r"[\1\\\2\0]".into()))]);
    assert_eq!(once.evaluate("xab a", &facts()).rewritten.as_deref(), Some(r"x[a\bab] a"));
    let all = set(vec![rule(1, "a", |r| {
        r.replace_pattern = Some("b".into());
        r.re_modifiers = "GLOBAL".into();
    })]);
    assert_eq!(all.evaluate("aAa", &facts()).rewritten.as_deref(), Some("bAb"));
}

#[test]
fn a_large_set_gives_the_same_answers_as_one_by_one() {
    let many: Vec<_> = (0..200)
        .map(|n| {
            rule(n, &format!("table_{n}\\b|x{n}y"), |r| {
                r.apply = false;
                r.negate_match_pattern = n % 50 == 49;
                if n == 100 {
                    r.replace_pattern = Some("table_150 ".into());
                }
            })
        })
        .collect();
    let joint = set(many.clone());
    assert!(joint.set.is_some());
    let mut alone = set(many);
    alone.set = None;
    for text in ["select from TABLE_7", "x3y table_100 z", "nothing", "table_49", ""] {
        assert_eq!(joint.evaluate(text, &facts()), alone.evaluate(text, &facts()), "{text}");
    }
}

#[test]
fn wrong_rules_are_refused_by_name() {
    let refusal = |change: fn(&mut RuleConfig)| {
        let mut rule = RuleConfig::new(77);
        rule.active = false;
        rule.match_pattern = Some("(a)".into());
        change(&mut rule);
        let error = RuleSet::compile(vec![rule], Some(&["list_tables"]), &RuleSet::empty()).unwrap_err();
        assert_eq!(error.details["rule_id"], 77);
        error.message
    };
    assert!(refusal(|r| r.match_pattern = Some("(".into())).contains("match_pattern"));
    assert!(refusal(|r| r.match_pattern = Some("a)(?-i:b".into())).contains("match_pattern"));
    assert!(refusal(|r| r.match_pattern = Some("(\\w{1000}){1000}".into())).contains("match_pattern"));
    assert!(refusal(|r| r.re_modifiers = "CASELESS,MULTI".into()).contains("MULTI"));
    assert!(refusal(|r| r.tool_name = Some("no_tool".into())).contains("no_tool"));
    assert!(refusal(|r| r.replace_pattern = Some("\\2".into())).contains("group 2"));
    assert!(refusal(|r| r.replace_pattern = Some("\\q".into())).contains("backslash"));
    assert!(
        refusal(|r| {
            r.match_pattern = None;
            r.replace_pattern = Some("x".into());
        })
        .contains("needs")
    );
    assert!(
        refusal(|r| {
            r.negate_match_pattern = true;
            r.replace_pattern = Some("x".into());
        })
        .contains("negate")
    );
    assert!(
        refusal(|r| {
            r.error_msg = Some("a".into());
            r.ok_msg = Some("b".into());
        })
        .contains("exclude")
    );
}

#[test]
fn hits_survive_a_load_unless_the_rule_changed() {
    let (same, changed) = (RuleConfig::new(1), rule(2, "x", |r| r.apply = false));
    let first = set(vec![
        rule(0, "y", |r| r.apply = false),
        changed.clone(),
        RuleConfig { rule_id: 3, ..same.clone() },
    ]);
    let _ = first.evaluate("x y", &facts());
    let mut other = changed;
    other.timeout_ms = Some(1);
    let second = RuleSet::compile(vec![other, RuleConfig { rule_id: 3, ..same }], None, &first).unwrap();
    let hits: Vec<_> = second.hits().into_iter().map(|h| (h.rule_id, h.hits)).collect();
    assert_eq!(hits, [(2, 0), (3, 1)]);
    assert!(second.generation() > first.generation());
    assert_eq!(second.take_hits()[1].hits, 1);
    assert_eq!(second.hits()[1].hits, 0);
}

#[test]
fn a_later_rule_overrides_an_earlier_one() {
    let rules = set(vec![
        rule(1, "x", |r| {
            r.apply = false;
            r.timeout_ms = Some(5);
            r.cache_ttl_ms = Some(10);
            r.log = Some(true);
        }),
        rule(2, "x", |r| {
            r.timeout_ms = Some(0);
            r.cache_ttl_ms = Some(0);
            r.log = Some(false);
        }),
    ]);
    let outcome = rules.evaluate("x", &facts());
    assert_eq!((outcome.timeout_ms, outcome.cache_ttl_ms, outcome.log), (Some(0), Some((0, 2)), Some(false)));
}
