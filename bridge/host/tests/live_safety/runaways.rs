//! Statements that would run for ever: ended in the server by deadline, by a leaving client, by a cut connection.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use harvest::HarvestCode;
use harvest_gateway::{CallScope, Gateway, StatementRequest, StopSignal};

use crate::outside::{Mariadb, Outside, Postgres, Sqlite, engine, gateway};

/// An outsider that waits longer for a statement to be gone gives up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Endless statements, each with a text of its own that an outsider finds it by.
fn endless(outside: &dyn Outside) -> Vec<(&'static str, String)> {
    let cte = "WITH RECURSIVE runaway_cte(n) AS (SELECT 1 UNION ALL SELECT n + 1 - 1 FROM runaway_cte) SELECT count(*) FROM runaway_cte";
    match engine(outside) {
        "postgresql" => vec![
            ("runaway_cte", cte.to_owned()),
            ("runaway_sleep", "SELECT pg_sleep(60) AS runaway_sleep".to_owned()),
            (
                "runaway_join",
                "SELECT count(*) AS runaway_join FROM generate_series(1, 100000) a, generate_series(1, 100000) b \
                 WHERE a.a * b.b < 0".to_owned(),
            ),
            (
                "runaway_regex",
                "SELECT count(*) AS runaway_regex FROM generate_series(1, 100000000) g \
                 WHERE repeat('a', 3000) || g ~ '^(a+)+(b|c)\\1$'".to_owned(),
            ),
        ],
        "mariadb" => vec![
            ("runaway_sleep", "SELECT SLEEP(60) AS runaway_sleep".to_owned()),
            ("runaway_bench", "SELECT BENCHMARK(1000000000, SHA2('a', 512)) AS runaway_bench".to_owned()),
            (
                "runaway_join",
                "SELECT COUNT(*) AS runaway_join FROM information_schema.COLUMNS a, information_schema.COLUMNS b, \
                 information_schema.COLUMNS c WHERE CONCAT(a.COLUMN_NAME, b.COLUMN_NAME, c.COLUMN_NAME) = ''".to_owned(),
            ),
            (
                "runaway_regex",
                "WITH RECURSIVE g(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM g WHERE n < 900) SELECT COUNT(*) AS runaway_regex \
                 FROM g a, g b, g c WHERE CONCAT(REPEAT('a', 24), a.n) REGEXP '^(a+)+$' AND b.n + c.n > 0".to_owned(),
            ),
        ],
        _ => vec![
            ("runaway_cte", cte.to_owned()),
            (
                "runaway_join",
                "WITH RECURSIVE g(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM g LIMIT 100000) \
                 SELECT count(*) FROM g a, g b WHERE a.n * b.n < 0".to_owned(),
            ),
            ("runaway_blob", "SELECT length(hex(randomblob(900000000)))".to_owned()),
        ],
    }
}

/// Whether the client has left, and what to do when it leaves.
type Left = (bool, Option<Box<dyn FnOnce() + Send>>);

#[derive(Default)]
struct Leaves {
    hook: Mutex<Left>,
}

impl Leaves {
    fn leave(&self) {
        let hook = {
            let mut state = self.hook.lock().unwrap_or_else(PoisonError::into_inner);
            state.0 = true;
            state.1.take()
        };
        if let Some(hook) = hook {
            hook();
        }
    }
}

impl StopSignal for Leaves {
    fn is_stopped(&self) -> bool {
        self.hook.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn on_stop(&self, hook: Box<dyn FnOnce() + Send>) -> Box<dyn Send> {
        let mut state = self.hook.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0 {
            drop(state);
            hook();
        } else {
            state.1 = Some(hook);
        }
        Box::new(())
    }
}

fn scope() -> CallScope {
    CallScope::new("run_sql_readonly", "test")
}

fn open(outside: &dyn Outside, timeout_ms: u64, connections_max: usize) -> Arc<Gateway> {
    let [_, (_, params)] = outside.params();
    gateway(outside, &params, connections_max, |settings, target| {
        // The gate refuses these; here it is what comes after the gate that is tested.
        settings.allowed_functions = ["pg_sleep", "sleep", "benchmark"].map(str::to_owned).to_vec();
        settings.pool.acquire_timeout_ms = 300;
        target.timeout_ms = timeout_ms;
    })
}

/// Waits until no server runs the statement any more; gives how long that took.
fn gone(outside: &mut dyn Outside, marker: &str) -> Duration {
    let since = Instant::now();
    while outside.running(marker) > 0 {
        assert!(since.elapsed() < PATIENCE, "{} still runs {marker}", engine(outside));
        std::thread::sleep(Duration::from_millis(10));
    }
    since.elapsed()
}

/// Waits until the server runs the statement, as far as an outsider can tell.
fn begun(outside: &mut dyn Outside, marker: &str) {
    let since = Instant::now();
    while engine(outside) != "sqlite" && outside.running(marker) == 0 {
        assert!(since.elapsed() < PATIENCE, "{} never ran {marker}", engine(outside));
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(100));
}

fn settled(gateway: &Gateway) {
    gateway.run(&StatementRequest::new("SELECT 1"), &scope()).expect("the pool has recovered");
    for (_, _, backends, totals) in gateway.pools() {
        let used: usize = backends.iter().map(|backend| backend.conn_used).sum();
        assert_eq!((used, totals.waiting), (0, 0), "connections leak");
    }
}

fn by_deadline(outside: &mut dyn Outside) {
    let gateway = open(outside, 400, 3);
    for (marker, sql) in endless(outside) {
        std::thread::scope(|threads| {
            let begin = Instant::now();
            let call = threads.spawn(|| gateway.run(&StatementRequest::new(&sql), &scope()));
            for _ in 0..5 {
                gateway
                    .run(&StatementRequest::new("SELECT 1"), &scope())
                    .expect("others are served meanwhile");
            }
            let ended = call.join().expect("no panic");
            let after = begin.elapsed().saturating_sub(Duration::from_millis(400));
            let late = after + gone(outside, marker);
            let bounded = match &ended {
                Err(error) if marker == "runaway_blob" => error.code != HarvestCode::Internal,
                Err(error) => {
                    matches!(error.code, HarvestCode::DeadlineExceeded | HarvestCode::LimitExceeded)
                }
                // MariaDB ends BENCHMARK early and answers as if it had run; the gate refuses the function.
                Ok(_) => marker == "runaway_bench",
            };
            assert!(bounded, "{marker}: {ended:?}");
            eprintln!("{} {marker}: gone {} ms after its deadline", engine(outside), late.as_millis());
        });
    }
    settled(&gateway);
}

fn by_a_leaving_client(outside: &mut dyn Outside) {
    let gateway = open(outside, 30_000, 3);
    for (marker, sql) in endless(outside).into_iter().filter(|(marker, _)| *marker != "runaway_blob") {
        let leaves = Arc::new(Leaves::default());
        let mut call_scope = scope();
        call_scope.stop = Arc::clone(&leaves) as Arc<dyn StopSignal>;
        std::thread::scope(|threads| {
            let call = threads.spawn(|| gateway.run(&StatementRequest::new(&sql), &call_scope));
            begun(outside, marker);
            let left = Instant::now();
            leaves.leave();
            gone(outside, marker);
            let code = call.join().expect("no panic").err().map(|error| error.code);
            let known = code == Some(HarvestCode::Cancelled) || (marker == "runaway_bench" && code.is_none());
            assert!(known, "{marker}: {code:?}");
            eprintln!(
                "{} {marker}: gone {} ms after its client left",
                engine(outside),
                left.elapsed().as_millis()
            );
        });
    }
    settled(&gateway);
}

fn by_a_cut_connection(outside: &mut dyn Outside) {
    let gateway = open(outside, 30_000, 2);
    let (marker, sql) = ("runaway_sleep", endless(outside));
    let sql = &sql.iter().find(|(name, _)| *name == marker).expect("it sleeps").1;
    std::thread::scope(|threads| {
        let call = threads.spawn(|| gateway.run(&StatementRequest::new(sql), &scope()));
        begun(outside, marker);
        assert_eq!(outside.cut(marker), 1);
        let error = call.join().expect("no panic").expect_err(sql);
        assert_eq!(error.code, HarvestCode::Unavailable, "{error:?}");
        assert!(error.retryable);
    });
    gone(outside, marker);
    settled(&gateway);
}

fn full_pool(outside: &mut dyn Outside) {
    let gateway = open(outside, 3_000, 1);
    let (marker, sql) = ("runaway_sleep", endless(outside));
    let sql = &sql.iter().find(|(name, _)| *name == marker).expect("it sleeps").1;
    gateway.run(&StatementRequest::new("SELECT 1"), &scope()).expect("connects");
    std::thread::scope(|threads| {
        let call = threads.spawn(|| gateway.run(&StatementRequest::new(sql), &scope()));
        begun(outside, marker);
        let error =
            gateway.run(&StatementRequest::new("SELECT 2"), &scope()).expect_err("no connection is free");
        assert_eq!(error.code, HarvestCode::Unavailable, "{error:?}");
        assert!(error.details.get("retry_after_ms").is_some_and(serde_json::Value::is_u64), "{error:?}");
        call.join().expect("no panic").expect_err(sql);
    });
    settled(&gateway);
}

#[test]
fn live_runaways_on_postgres() {
    if let Some(mut outside) = Postgres::new("runaways") {
        by_deadline(&mut outside);
        by_a_leaving_client(&mut outside);
        by_a_cut_connection(&mut outside);
        full_pool(&mut outside);
    }
}

#[test]
fn live_runaways_on_mariadb() {
    if let Some(mut outside) = Mariadb::new("runaways") {
        by_deadline(&mut outside);
        by_a_leaving_client(&mut outside);
        by_a_cut_connection(&mut outside);
        full_pool(&mut outside);
    }
}

#[test]
fn live_runaways_on_sqlite() {
    let mut outside = Sqlite::new();
    by_deadline(&mut outside);
    by_a_leaving_client(&mut outside);
}
