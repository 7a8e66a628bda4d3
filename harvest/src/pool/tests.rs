//! Tests of the pool over the scripted engine: bounds, order, healing, breaker, drain.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::fake::FakeServer;

fn pool(server: &FakeServer, connections_max: usize, config: PoolConfig) -> Arc<Pool> {
    let member = PoolMember {
        name: "one".into(),
        backend: Arc::new(server.clone()),
        weight: 1,
        status: BackendStatus::Online,
        capacity: Capacity::new(connections_max),
    };
    Pool::new(vec![member], config)
}

fn quick() -> PoolConfig {
    PoolConfig { acquire_timeout_ms: 50, shun_ms: 40, ..PoolConfig::default() }
}

fn never() -> bool {
    false
}

#[test]
fn a_connection_is_used_again_after_a_reset() {
    let server = FakeServer::new();
    let pool = pool(&server, 2, quick());
    drop(pool.acquire(None, &never).unwrap());
    drop(pool.acquire(None, &never).unwrap());
    assert_eq!((server.connects(), server.resets()), (1, 1));
    assert_eq!(pool.stats()[0].conn_free, 1);
}

#[test]
fn a_full_pool_answers_in_time_with_a_hint() {
    let server = FakeServer::new();
    let pool = pool(&server, 1, quick());
    let held = pool.acquire(None, &never).unwrap();
    let error = pool.acquire(None, &never).unwrap_err();
    assert_eq!(error.code, HarvestCode::Unavailable);
    assert!(error.retryable && error.details["retry_after_ms"].as_u64().unwrap() > 0);
    assert_eq!(error.details["status_counts"]["ONLINE"], 1);
    drop(held);
    assert!(pool.acquire(None, &never).is_ok());
    assert_eq!(server.open(), (1, 1));
}

#[test]
fn a_waiter_that_is_cancelled_leaves() {
    let server = FakeServer::new();
    let pool = pool(&server, 1, PoolConfig { acquire_timeout_ms: 60_000, ..quick() });
    let _held = pool.acquire(None, &never).unwrap();
    let error = pool.acquire(None, &|| true).unwrap_err();
    assert_eq!(error.code, HarvestCode::Cancelled);
    assert_eq!(pool.totals().waiting, 0);
}

#[test]
fn many_callers_share_few_connections() {
    let server = FakeServer::new();
    let pool = pool(&server, 3, PoolConfig { acquire_timeout_ms: 30_000, ..quick() });
    let served = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let mut loan = pool.acquire(None, &never).unwrap();
                    loan.get().unwrap().ping().unwrap();
                    served.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(served.load(Ordering::SeqCst), 320);
    assert!(server.open().1 <= 3);
    assert_eq!(pool.stats()[0].conn_used, 0);
}

#[test]
fn waiters_are_served_in_order() {
    let server = FakeServer::new();
    let pool = pool(&server, 1, PoolConfig { acquire_timeout_ms: 30_000, ..quick() });
    let order = Mutex::new(Vec::new());
    let held = pool.acquire(None, &never).unwrap();
    std::thread::scope(|scope| {
        for turn in 0..4 {
            let (pool, order) = (&pool, &order);
            scope.spawn(move || {
                let _loan = pool.acquire(None, &never).unwrap();
                order.lock().unwrap().push(turn);
            });
            while pool.totals().waiting < turn + 1 {
                std::thread::yield_now();
            }
        }
        drop(held);
    });
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3]);
}

#[test]
fn a_restart_of_the_engine_is_not_noticed() {
    let server = FakeServer::new();
    let pool = pool(&server, 4, quick());
    let (one, two) = (pool.acquire(None, &never).unwrap(), pool.acquire(None, &never).unwrap());
    drop((one, two));
    server.restart();
    let mut loan = pool.acquire(None, &never).unwrap();
    loan.get().unwrap().ping().unwrap();
    assert_eq!(pool.totals().found_dead, 1);
    assert_eq!(server.open().0, 1);
}

#[test]
fn failures_open_the_breaker_and_a_trial_closes_it() {
    let server = FakeServer::new();
    let pool = pool(&server, 2, quick());
    server.refuse_connects(3);
    for _ in 0..3 {
        assert_eq!(pool.acquire(None, &never).unwrap_err().code, HarvestCode::Unavailable);
    }
    let error = pool.acquire(None, &never).unwrap_err();
    assert_eq!(error.details["status_counts"]["SHUNNED"], 1);
    assert_eq!(pool.stats()[0].status, BackendStatus::Shunned);
    assert!(pool.executable().is_err());
    std::thread::sleep(Duration::from_millis(60));
    drop(pool.acquire(None, &never).unwrap());
    assert_eq!(pool.stats()[0].status, BackendStatus::Online);
    assert_eq!(server.connects(), 1);
}

#[test]
fn a_dead_backend_is_passed_over_for_a_living_one() {
    let (dead, alive) = (FakeServer::new(), FakeServer::new());
    dead.refuse_connects(usize::MAX);
    let member = |name: &str, server: &FakeServer| PoolMember {
        name: name.into(),
        backend: Arc::new(server.clone()),
        weight: 1,
        status: BackendStatus::Online,
        capacity: Capacity::new(2),
    };
    let config = PoolConfig { acquire_timeout_ms: 10_000, shun_ms: 60_000, ..quick() };
    let pool = Pool::new(vec![member("dead", &dead), member("alive", &alive)], config);
    for _ in 0..40 {
        drop(pool.acquire(None, &never).unwrap());
    }
    assert!(alive.connects() >= 1);
}

#[test]
fn offline_backends_take_no_calls() {
    let server = FakeServer::new();
    let pool = pool(&server, 2, quick());
    drop(pool.acquire(None, &never).unwrap());
    assert!(pool.set_status("one", BackendStatus::OfflineSoft, 1));
    let error = pool.acquire(None, &never).unwrap_err();
    assert_eq!(error.details["status_counts"]["OFFLINE_SOFT"], 1);
    assert_eq!(server.open().0, 0);
    assert!(pool.set_status("one", BackendStatus::Online, 0) && pool.executable().is_err());
    assert!(pool.set_status("one", BackendStatus::Online, 1) && pool.executable().is_ok());
    assert!(!pool.set_status("two", BackendStatus::Online, 1));
}

#[test]
fn pools_of_one_server_share_its_capacity() {
    let server = FakeServer::new();
    let capacity = Capacity::new(1);
    let member = || PoolMember {
        name: "one".into(),
        backend: Arc::new(server.clone()),
        weight: 1,
        status: BackendStatus::Online,
        capacity: Arc::clone(&capacity),
    };
    let (first, second) = (Pool::new(vec![member()], quick()), Pool::new(vec![member()], quick()));
    let held = first.acquire(None, &never).unwrap();
    assert!(second.acquire(None, &never).is_err());
    drop(held);
    first.close();
    assert!(second.acquire(None, &never).is_ok());
    assert_eq!(server.open().1, 1);
}

#[test]
fn draining_waits_for_lent_connections() {
    let server = FakeServer::new();
    let pool = pool(&server, 2, quick());
    let held = pool.acquire(None, &never).unwrap();
    assert!(!pool.drain(Instant::now() + Duration::from_millis(20)));
    drop(held);
    assert!(pool.drain(Instant::now() + Duration::from_secs(5)));
    assert_eq!(server.open().0, 0);
    assert!(pool.acquire(None, &never).is_err());
}

#[test]
fn idle_and_old_connections_are_closed() {
    let server = FakeServer::new();
    let pool = pool(&server, 2, PoolConfig { idle_max_ms: 0, ..quick() });
    drop(pool.acquire(None, &never).unwrap());
    std::thread::sleep(Duration::from_millis(5));
    pool.sweep();
    assert_eq!((server.open().0, pool.stats()[0].conn_free), (0, 0));
    let old = self::pool(&server, 2, PoolConfig { lifetime_max_ms: 0, ..quick() });
    drop(old.acquire(None, &never).unwrap());
    assert_eq!(old.stats()[0].conn_free, 0);
}
