//! Tests of the whole pipeline over the scripted engine.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use harvest::{
    BackendStatus, ColType, Column, ExplainOptions, FakeAnswer, FakeServer, HarvestCode, HarvestError,
    MetadataRequest, MetadataSnapshot, Protocol, SchemaMeta, Value,
};

use crate::*;

fn gateway_with(server: &FakeServer, settings: Settings, change: impl Fn(&mut TargetConfig)) -> Arc<Gateway> {
    let mut backend = BackendConfig::new(1, "/data/secret-host.db", 0);
    backend.connections_max = 2;
    let directory = Arc::new(StaticDirectory::new(vec![backend]));
    let gateway = Gateway::new(vec![Arc::new(server.clone())], directory, settings);
    let mut target = TargetConfig::new("t1", Protocol::Sqlite, 1);
    change(&mut target);
    gateway.set_targets(vec![target]);
    gateway
}

fn gateway(server: &FakeServer) -> Arc<Gateway> {
    gateway_with(server, Settings::default(), |_| {})
}

fn scope() -> CallScope {
    CallScope::new("run_sql_readonly", "alice")
}

fn run(gateway: &Gateway, sql: &str) -> harvest::HarvestResult<StatementOutcome> {
    gateway.run(&StatementRequest { use_cache: true, ..StatementRequest::new(sql) }, &scope())
}

fn rule(rule_id: i64, pattern: &str, change: impl FnOnce(&mut RuleConfig)) -> RuleConfig {
    let mut rule = RuleConfig::new(rule_id);
    rule.match_pattern = Some(pattern.to_owned());
    change(&mut rule);
    rule
}

#[test]
fn a_statement_comes_back_as_rows() {
    let server = FakeServer::new();
    let gateway = gateway(&server);
    let outcome = run(&gateway, " SELECT /* hello */ 1; ").unwrap();
    assert_eq!(&*outcome.result.rows_json, "[[1]]");
    assert_eq!((outcome.target_id.as_str(), outcome.rewritten), ("t1", false));
    assert_eq!(outcome.limits, EffectiveLimits { rows_max: 200, timeout_ms: 2_000 });
    assert_eq!(gateway.targets(&scope())[0].server_version.as_deref(), Some("fake 1"));
    assert_eq!(gateway.statistics().counters().statements, 1);
    assert_eq!(gateway.statistics().commands()[0].2.count, 1);
}

#[test]
fn what_the_gate_refuses_never_reaches_a_backend() {
    let server = FakeServer::new();
    let gateway = gateway(&server);
    let error = run(&gateway, "DELETE FROM t").unwrap_err();
    assert_eq!((error.code, error.details["by"].as_str()), (HarvestCode::PermissionDenied, Some("gate")));
    let error = run(&gateway, "nonsense").unwrap_err();
    assert_eq!(error.code, HarvestCode::InvalidArgument);
    assert_eq!(server.connects(), 0);
    assert_eq!(gateway.statistics().counters().refused_gate, 2);
    assert_eq!(gateway.statistics().constructs()[0], ("DELETE".to_owned(), 1));
}

#[test]
fn the_default_schema_cannot_name_what_the_gate_would_refuse() {
    let server = FakeServer::new();
    let settings = Settings { denied_objects: vec!["vault.keys".into()], ..Settings::default() };
    let gateway = gateway_with(&server, settings, |_| {});
    let request = StatementRequest::new("SELECT * FROM keys").on(None, Some("vault".into()));
    let error = gateway.run(&request, &scope()).unwrap_err();
    assert_eq!((error.code, &error.details["by"]), (HarvestCode::PermissionDenied, &"gate".into()));
    assert!(server.statements().is_empty());
}

#[test]
fn sizes_targets_and_parameters_are_checked_first() {
    let server = FakeServer::new();
    let gateway = gateway_with(&server, Settings { sql_bytes_max: 20, ..Settings::default() }, |_| {});
    let error = run(&gateway, "SELECT 1 /* a long comment */").unwrap_err();
    assert_eq!((error.code, &error.details["limit"]), (HarvestCode::LimitExceeded, &20.into()));
    let request = StatementRequest::new("SELECT 1").on(Some("nope".into()), None);
    assert_eq!(gateway.run(&request, &scope()).unwrap_err().code, HarvestCode::NotFound);
    let mut blind = scope();
    blind.targets = Some(Arc::from(["other".to_owned()]));
    let request = StatementRequest::new("SELECT 1").on(Some("t1".into()), None);
    assert_eq!(gateway.run(&request, &blind).unwrap_err().code, HarvestCode::NotFound);
    assert!(gateway.targets(&blind).is_empty());
    let error = gateway.run(&StatementRequest::new("SELECT 1"), &blind).unwrap_err();
    assert_eq!(error.code, HarvestCode::FailedPrecondition);
    assert_eq!(run(&gateway, "SELECT ?").unwrap_err().code, HarvestCode::InvalidArgument);
    let request = StatementRequest { params: vec![Value::Int(1)], ..StatementRequest::new("SELECT ?") };
    assert!(gateway.run(&request, &scope()).is_ok());
}

#[test]
fn rules_block_answer_and_rewrite() {
    let server = FakeServer::new();
    let gateway = gateway(&server);
    let rules = vec![
        rule(1, "secret", |r| r.error_msg = Some("ask the data team".into())),
        rule(2, "^SELECT 'ping'", |r| r.ok_msg = Some("pong".into())),
        rule(3, "old_table", |r| r.replace_pattern = Some("new_table".into())),
        rule(4, "make_it_evil", |r| r.replace_pattern = Some("x; DROP TABLE t".into())),
    ];
    gateway.set_rules(rules, None).unwrap();
    let error = run(&gateway, "SELECT * FROM se/**/cret, secret").unwrap_err();
    assert_eq!((error.message.as_str(), &error.details["rule_id"]), ("ask the data team", &1.into()));
    let outcome = run(&gateway, "SELECT 'ping'").unwrap();
    assert_eq!((outcome.ok_message.as_deref(), outcome.rules_matched), (Some("pong"), vec![2]));
    assert!(server.statements().is_empty());
    let outcome = run(&gateway, "SELECT a FROM old_table").unwrap();
    assert!(outcome.rewritten && outcome.executed == "SELECT a FROM new_table");
    let error = run(&gateway, "SELECT make_it_evil").unwrap_err();
    assert_eq!(error.details["by"], "gate");
    assert_eq!(server.statements(), ["SELECT a FROM new_table"]);
    assert_eq!(gateway.rules().hits().iter().map(|h| h.hits).collect::<Vec<_>>(), [1, 1, 1, 1]);
}

#[test]
fn a_wrong_rule_set_leaves_the_running_one() {
    let gateway = gateway(&FakeServer::new());
    gateway.set_rules(vec![rule(1, "x", |r| r.error_msg = Some("no".into()))], None).unwrap();
    assert!(gateway.set_rules(vec![rule(2, "(", |_| {})], None).is_err());
    assert!(run(&gateway, "SELECT x").is_err());
    gateway.set_rules(Vec::new(), None).unwrap();
    assert!(run(&gateway, "SELECT x").is_ok());
}

#[test]
fn callers_can_only_lower_limits_and_rules_replace_the_target() {
    let server = FakeServer::new();
    let gateway = gateway(&server);
    let limits = |rows_max, timeout_ms| {
        let request = StatementRequest { rows_max, timeout_ms, ..StatementRequest::new("SELECT 1") };
        gateway.run(&request, &scope()).unwrap().limits
    };
    assert_eq!(limits(Some(5), Some(100)), EffectiveLimits { rows_max: 5, timeout_ms: 100 });
    assert_eq!(limits(Some(5_000), Some(60_000)), EffectiveLimits { rows_max: 200, timeout_ms: 2_000 });
    gateway.set_rules(vec![rule(1, "1", |r| r.timeout_ms = Some(9_000))], None).unwrap();
    assert_eq!(limits(None, None).timeout_ms, 9_000);
    gateway.set_rules(vec![rule(1, "1", |r| r.timeout_ms = Some(0))], None).unwrap();
    assert_eq!((limits(None, None).timeout_ms, limits(None, Some(70)).timeout_ms), (0, 70));
    let mut late = scope();
    late.deadline = Some(Instant::now() + Duration::from_secs(1));
    let outcome = gateway.run(&StatementRequest::new("SELECT 1"), &late).unwrap();
    assert!((1..=1_000).contains(&outcome.limits.timeout_ms));
}

#[test]
fn rows_beyond_the_limit_are_cut() {
    let server = FakeServer::new();
    let columns = vec![Column::new("t", ColType::String, "text")];
    server
        .answer("many", FakeAnswer::Repeat(columns.clone(), vec![Value::Text("x".repeat(100))], usize::MAX));
    server.answer("huge", FakeAnswer::Repeat(columns, vec![Value::Text("x".repeat(100_000))], usize::MAX));
    let gateway = gateway(&server);
    let many = run(&gateway, "SELECT many").unwrap().result;
    assert_eq!((many.row_count, many.truncated_by), (200, Some(harvest::TruncatedBy::MaxRows)));
    let huge = run(&gateway, "SELECT huge").unwrap().result;
    assert_eq!(huge.truncated_by, Some(harvest::TruncatedBy::MaxBytes));
    assert!(huge.rows_json.len() * 2 <= 5_000_000);
}

#[test]
fn an_endless_statement_ends_at_its_deadline_while_others_are_served() {
    for (answer, name) in [(FakeAnswer::Endless, "endless"), (FakeAnswer::Deaf, "deaf")] {
        let server = FakeServer::new();
        server.answer(name, answer);
        let gateway = gateway_with(&server, Settings::default(), |target| target.timeout_ms = 300);
        std::thread::scope(|threads| {
            let slow = threads.spawn(|| run(&gateway, &format!("SELECT {name}")));
            while server.running() == 0 {
                std::thread::yield_now();
            }
            assert_eq!(gateway.statistics().running().len(), 1);
            for _ in 0..20 {
                run(&gateway, "SELECT 1").unwrap();
            }
            assert_eq!(server.running(), 1, "{name} was stopped too early");
            let error = slow.join().unwrap().unwrap_err();
            assert_eq!(error.code, HarvestCode::DeadlineExceeded, "{error}");
            assert_eq!(
                (&error.details["timeout_ms"], &error.details["layer"]),
                (&300.into(), &"target".into())
            );
        });
        assert_eq!((server.running(), gateway.statistics().running().len()), (0, 0));
        assert_eq!(gateway.statistics().counters().timed_out, 1);
        run(&gateway, "SELECT 1").unwrap();
    }
}

#[derive(Default)]
struct Stop {
    stopped: AtomicBool,
    hooks: Mutex<Vec<Box<dyn FnOnce() + Send>>>,
}

impl Stop {
    fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        for hook in std::mem::take(&mut *self.hooks.lock().unwrap()) {
            hook();
        }
    }
}

impl StopSignal for Stop {
    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    fn on_stop(&self, hook: Box<dyn FnOnce() + Send>) -> Box<dyn Send> {
        self.hooks.lock().unwrap().push(hook);
        Box::new(())
    }
}

#[test]
fn a_caller_that_leaves_ends_its_statement() {
    let server = FakeServer::new();
    server.answer("deaf", FakeAnswer::Deaf);
    let gateway = gateway_with(&server, Settings::default(), |target| target.timeout_ms = 0);
    let stop = Arc::new(Stop::default());
    let mut call = scope();
    call.stop = Arc::clone(&stop) as Arc<dyn StopSignal>;
    std::thread::scope(|threads| {
        let slow = threads.spawn(|| gateway.run(&StatementRequest::new("SELECT deaf"), &call));
        while server.running() == 0 {
            std::thread::yield_now();
        }
        stop.stop();
        assert_eq!(slow.join().unwrap().unwrap_err().code, HarvestCode::Cancelled);
    });
    assert_eq!((server.running(), gateway.statistics().counters().cancelled), (0, 1));
    run(&gateway, "SELECT 1").unwrap();
}

#[test]
fn a_full_pool_says_when_to_come_back() {
    let server = FakeServer::new();
    server.answer("endless", FakeAnswer::Endless);
    let mut settings = Settings::default();
    settings.pool.acquire_timeout_ms = 30;
    let gateway = gateway_with(&server, settings, |target| target.timeout_ms = 1_000);
    std::thread::scope(|threads| {
        let slow: Vec<_> = (0..2).map(|_| threads.spawn(|| run(&gateway, "SELECT endless"))).collect();
        while server.running() < 2 {
            std::thread::yield_now();
        }
        let error = run(&gateway, "SELECT 1").unwrap_err();
        assert_eq!(error.code, HarvestCode::Unavailable);
        assert!(error.details["retry_after_ms"].as_u64().unwrap() > 0);
        assert!(!format!("{error:?}").contains("secret-host"));
        for handle in slow {
            assert_eq!(handle.join().unwrap().unwrap_err().code, HarvestCode::DeadlineExceeded);
        }
    });
}

#[test]
fn cached_results_stay_with_their_caller_and_leave_with_their_rules() {
    let server = FakeServer::new();
    let gateway = gateway(&server);
    let caching = || vec![rule(7, "cached", |r| r.cache_ttl_ms = Some(60_000))];
    gateway.set_rules(caching(), None).unwrap();
    let request = StatementRequest { use_cache: true, ..StatementRequest::new("SELECT cached FROM t") };
    let ask =
        |caller: &str| gateway.run(&request, &CallScope::new("run_sql_readonly", caller)).unwrap().cache;
    assert_eq!(ask("alice"), CacheOutcome { hit: false, age_ms: None, ttl_ms: Some(60_000) });
    assert!(ask("alice").hit);
    assert!(!ask("bob").hit && ask("bob").hit);
    assert_eq!(server.statements().len(), 2);
    assert_eq!(gateway.cache().invalidate_table(None, "t", None), 2);
    assert!(!ask("alice").hit);
    gateway.set_rules(caching(), None).unwrap();
    assert!(!ask("alice").hit);
    let mut block = caching();
    block.push(rule(1, "cached", |r| r.error_msg = Some("no".into())));
    gateway.set_rules(block, None).unwrap();
    assert!(gateway.run(&request, &scope()).is_err());
    gateway.set_rules(Vec::new(), None).unwrap();
    assert_eq!(ask("alice"), CacheOutcome::default());
}

#[test]
fn volatile_statements_are_cached_by_rules_only() {
    let server = FakeServer::new();
    let cache = CacheSettings { default_ttl_ms: 60_000, ..CacheSettings::default() };
    let gateway = gateway_with(&server, Settings { cache, ..Settings::default() }, |_| {});
    let hit = |sql: &str| {
        run(&gateway, sql).unwrap();
        run(&gateway, sql).unwrap().cache.hit
    };
    assert!(hit("SELECT a FROM t"));
    assert!(!hit("SELECT random() FROM t") && !hit("SELECT current_timestamp"));
    assert!(!hit("EXPLAIN SELECT 1"));
    gateway.set_rules(vec![rule(1, "random", |r| r.cache_ttl_ms = Some(5_000))], None).unwrap();
    assert!(hit("SELECT random() FROM t"));
    gateway.set_rules(vec![rule(1, "a", |r| r.cache_ttl_ms = Some(0))], None).unwrap();
    assert!(!hit("SELECT a FROM t"));
}

#[test]
fn failures_are_not_cached_and_are_counted() {
    let server = FakeServer::new();
    server.answer(
        "broken",
        FakeAnswer::Fails(HarvestError::new(HarvestCode::InvalidArgument, "no such table").with("errno", 1)),
    );
    let gateway = gateway(&server);
    gateway.set_rules(vec![rule(1, "", |r| r.cache_ttl_ms = Some(60_000))], None).unwrap();
    assert!(run(&gateway, "SELECT broken").is_err() && run(&gateway, "SELECT broken").is_err());
    assert_eq!(server.statements().len(), 2);
    let errors = gateway.statistics().errors();
    assert_eq!((errors[0].count_star, errors[0].errno), (2, Some(1)));
}

#[test]
fn plans_follow_the_profile() {
    let server = FakeServer::new();
    let plan = |gateway: &Gateway| {
        let options = ExplainOptions { analyze: false, json: true };
        gateway.run(&StatementRequest { plan: Some(options), ..StatementRequest::new("SELECT 1") }, &scope())
    };
    assert_eq!(plan(&gateway(&server)).unwrap().executed, "EXPLAIN SELECT 1");
    let closed = gateway_with(&server, Settings::default(), |target| target.allow_explain = false);
    assert_eq!(plan(&closed).unwrap_err().details["by"], "policy");
    assert_eq!(run(&closed, "EXPLAIN SELECT 1").unwrap_err().details["by"], "gate");
}

#[test]
fn cost_rules_ask_for_the_plan_first() {
    let server = FakeServer::new();
    let plan = |rows: u64| {
        let text = format!("{{\"Plan\": {{\"Plan Rows\": {rows}, \"Relation Name\": \"orders\"}}}}");
        FakeAnswer::Rows(vec![Column::new("plan", ColType::String, "text")], vec![vec![Value::Text(text)]])
    };
    let rule =
        CostRule { estimated_rows_max: Some(1_000), caller: Some("alice".into()), ..CostRule::default() };
    let gateway = gateway_with(&server, Settings { cost_rules: vec![rule], ..Settings::default() }, |_| {});
    server.answer("EXPLAIN", plan(1_000));
    assert!(run(&gateway, "SELECT 1").is_ok());
    assert_eq!(server.statements(), ["EXPLAIN SELECT 1", "SELECT 1"]);
    server.answer("EXPLAIN", plan(1_001));
    let error = run(&gateway, "SELECT 1").unwrap_err();
    assert_eq!((&error.details["by"], &error.details["step"]), (&"policy".into(), &"orders".into()));
    assert_eq!(server.statements().len(), 3);
    let bob = CallScope::new("run_sql_readonly", "bob");
    assert!(gateway.run(&StatementRequest::new("SELECT 1"), &bob).is_ok());
}

#[test]
fn a_rewrite_of_a_tools_statement_keeps_its_columns() {
    let server = FakeServer::new();
    let gateway = gateway(&server);
    gateway.set_rules(vec![rule(5, "t1", |r| r.replace_pattern = Some("t2".into()))], None).unwrap();
    let composed = |columns: &[&str]| {
        let columns = columns.iter().map(|name| (*name).to_owned()).collect();
        let origin = Origin::Tool { columns };
        gateway.run(&StatementRequest { origin, ..StatementRequest::new("SELECT n FROM t1") }, &scope())
    };
    assert!(composed(&["n"]).is_ok());
    let error = composed(&["n", "m"]).unwrap_err();
    assert_eq!((error.code, &error.details["rule_id"]), (HarvestCode::FailedPrecondition, &5.into()));
}

#[test]
fn metadata_passes_rules_with_an_empty_text() {
    let server = FakeServer::new();
    let schema = SchemaMeta { name: "main".into(), ..SchemaMeta::default() };
    server.set_metadata(MetadataSnapshot { schemas: vec![schema], ..MetadataSnapshot::default() });
    let gateway = gateway(&server);
    let read = || {
        let request = MetadataRequest::all(100);
        let call = CallScope::new("list_schemas", "alice");
        gateway.metadata(None, None, &request, MetadataLimit::Target, &call, &mut ())
    };
    assert_eq!(read().unwrap().snapshot.schemas.len(), 1);
    let mut block = RuleConfig::new(1);
    block.tool_name = Some("list_schemas".into());
    block.error_msg = Some("not today".into());
    gateway.set_rules(vec![block], None).unwrap();
    assert_eq!(read().unwrap_err().details["by"], "rule");
    assert!(run(&gateway, "SELECT 1").is_ok());
}

#[test]
fn hooks_see_the_text_after_rules_and_the_gate_sees_theirs() {
    struct Judge;
    impl PreQueryHook for Judge {
        fn name(&self) -> &str {
            "judge"
        }
        fn before(&self, context: &PreQueryContext<'_>) -> Verdict {
            let text = String::from_utf8_lossy(context.sql()).into_owned();
            if text.contains("deny") {
                let message = "looks like an attack".to_owned();
                return Verdict::Deny { code: DenyCode::PermissionDenied, message, incident: "7".to_owned() };
            }
            match text.as_str() {
                "SELECT answer" => Verdict::Answer(RowSet {
                    columns: vec![Column::new("a", ColType::String, "text")],
                    rows: vec![vec![Value::Text("from the hook".into())]],
                }),
                "SELECT evil" => Verdict::Rewrite(b"DROP TABLE t".to_vec()),
                _ => Verdict::Allow,
            }
        }
    }
    let server = FakeServer::new();
    let gateway = gateway(&server);
    let handle = gateway.hooks().before(0, FailPolicy::Open, Arc::new(Judge));
    gateway.set_rules(vec![rule(1, "hidden", |r| r.replace_pattern = Some("deny".into()))], None).unwrap();
    let error = run(&gateway, "SELECT hidden").unwrap_err();
    assert_eq!((&error.details["by"], &error.details["incident"]), (&"policy".into(), &"7".into()));
    assert_eq!(&*run(&gateway, "SELECT answer").unwrap().result.rows_json, "[[\"from the hook\"]]");
    assert_eq!(run(&gateway, "SELECT evil").unwrap_err().details["by"], "gate");
    drop(handle);
    assert!(run(&gateway, "SELECT deny").is_ok());
    assert_eq!(gateway.statistics().counters().refused_hooks, 1);
}

#[test]
fn loads_keep_pools_of_unchanged_targets() {
    let server = FakeServer::new();
    let gateway = gateway(&server);
    run(&gateway, "SELECT 1").unwrap();
    let mut same = TargetConfig::new("t1", Protocol::Sqlite, 1);
    same.rows_max = 1;
    gateway.set_targets(vec![same.clone()]);
    assert_eq!(run(&gateway, "SELECT 1").unwrap().limits.rows_max, 1);
    assert_eq!(server.connects(), 1);
    same.credential_generation = 2;
    gateway.set_targets(vec![same]);
    run(&gateway, "SELECT 1").unwrap();
    assert_eq!((server.connects(), server.open().0), (2, 1));
    gateway.set_targets(Vec::new());
    assert_eq!(run(&gateway, "SELECT 1").unwrap_err().code, HarvestCode::FailedPrecondition);
    assert_eq!(server.open().0, 0);
}

#[test]
fn a_directory_that_changes_is_followed() {
    struct Moving(Mutex<(u64, BackendStatus)>);
    impl BackendDirectory for Moving {
        fn backends(&self, hostgroup_id: u32) -> Vec<BackendConfig> {
            let mut backend = BackendConfig::new(hostgroup_id, "one", 0);
            backend.status = self.0.lock().unwrap().1;
            vec![backend]
        }
        fn generation(&self) -> u64 {
            self.0.lock().unwrap().0
        }
    }
    let server = FakeServer::new();
    let directory = Arc::new(Moving(Mutex::new((0, BackendStatus::Online))));
    let gateway = Gateway::new(
        vec![Arc::new(server.clone())],
        Arc::clone(&directory) as Arc<dyn BackendDirectory>,
        Settings::default(),
    );
    gateway.set_targets(vec![TargetConfig::new("t1", Protocol::Sqlite, 1)]);
    run(&gateway, "SELECT 1").unwrap();
    *directory.0.lock().unwrap() = (1, BackendStatus::OfflineSoft);
    let request = StatementRequest::new("SELECT 1").on(Some("t1".into()), None);
    let error = gateway.run(&request, &scope()).unwrap_err();
    assert_eq!(
        (error.code, &error.details["status_counts"]["OFFLINE_SOFT"]),
        (HarvestCode::Unavailable, &1.into())
    );
    *directory.0.lock().unwrap() = (2, BackendStatus::Online);
    run(&gateway, "SELECT 1").unwrap();
}

#[test]
fn many_callers_at_once_are_all_served() {
    let server = FakeServer::new();
    let mut settings = Settings::default();
    settings.pool.acquire_timeout_ms = 60_000;
    let gateway = gateway_with(&server, settings, |target| target.timeout_ms = 60_000);
    std::thread::scope(|threads| {
        for caller in 0..64 {
            let gateway = &gateway;
            threads.spawn(move || {
                let schema = format!("s{}", caller % 2);
                let sql = format!("SELECT {schema}");
                let request = StatementRequest::new(sql).on(None, Some(schema.clone()));
                for _ in 0..5 {
                    assert_eq!(gateway.run(&request, &scope()).unwrap().schema, schema);
                }
            });
        }
    });
    let (statements, schemas) = (server.statements(), server.schemas());
    assert_eq!(statements.len(), 320);
    assert!(statements.iter().zip(&schemas).all(|(sql, schema)| sql.ends_with(schema.as_deref().unwrap())));
    assert!(server.open().1 <= 2);
}
