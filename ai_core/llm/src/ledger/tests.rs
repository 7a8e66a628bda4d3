//! Tests of the ledger: parallel reservations, days, hours, restarts.

use super::*;
use crate::clock::ManualClock;
use crate::store::{JournalStore, NoStore};

const NOON: u64 = 20_000 * DAY_MS + DAY_MS / 2;

fn ask(worst: f64) -> Ask {
    Ask {
        worst: Usd::from_dollars(worst),
        cloud: true,
        budget: Usd::from_dollars(1.0),
        hourly_max: 1_000_000,
    }
}

fn spent(cost: f64) -> Spent {
    Spent { kind: "llm", cost: Usd::from_dollars(cost), outcome: "ok".into(), ..Spent::default() }
}

fn ledger_at(clock: &Arc<ManualClock>) -> Ledger {
    Ledger::open(clock.clone(), Arc::new(NoStore)).unwrap()
}

#[test]
fn thirty_two_threads_never_pass_the_limit() {
    let ledger = ledger_at(&Arc::new(ManualClock::new(NOON)));
    // Each call reserves 7 cents and costs 3 or fails: never more than a dollar, and never a cent lost.
    let mut passed: u64 = std::thread::scope(|scope| {
        let work = |seed: u64| {
            let ledger = &ledger;
            move || {
                let mut passed = 0;
                for round in 0..200 {
                    let Ok(held) = ledger.reserve(&ask(0.07)) else { continue };
                    let now = ledger.status();
                    assert!(now.daily + now.reserved <= Usd::from_dollars(1.0));
                    if (seed + round).is_multiple_of(3) {
                        drop(held);
                    } else {
                        held.settle(spent(0.03));
                        passed += 1;
                    }
                }
                passed
            }
        };
        let threads: Vec<_> = (0..32).map(|i| scope.spawn(work(i))).collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    while let Ok(held) = ledger.reserve(&ask(0.07)) {
        held.settle(spent(0.03));
        passed += 1;
    }
    let status = ledger.status();
    assert_eq!(status.reserved, Usd::ZERO);
    assert_eq!(status.daily, Usd::from_units(30_000_000_000 * passed));
    // 31 calls make 93 cents, and 93 + 7 still fits: 32 make 96, and 96 + 7 does not.
    assert_eq!(passed, 32);
}

#[test]
fn limits_of_zero_forbid_and_local_is_free() {
    let ledger = ledger_at(&Arc::new(ManualClock::new(NOON)));
    let none = Ask { budget: Usd::ZERO, ..ask(0.01) };
    let refused = ledger.reserve(&none).err().unwrap();
    assert_eq!(refused.code, LlmErrorCode::BudgetExceeded);
    assert_eq!(refused.retry_after_ms, Some(DAY_MS / 2));
    assert!(ledger.reserve(&Ask { hourly_max: 0, ..ask(0.0) }).is_err());
    for _ in 0..10 {
        ledger.reserve(&Ask { cloud: false, hourly_max: 0, ..none }).unwrap().settle(spent(0.5));
    }
    assert_eq!(ledger.status().daily, Usd::ZERO);
    assert_eq!(ledger.totals(1)[0].cost, Usd::from_dollars(5.0));
}

#[test]
fn the_hour_slides_and_midnight_resets() {
    let clock = Arc::new(ManualClock::new(NOON));
    let ledger = ledger_at(&clock);
    let two = Ask { hourly_max: 2, ..ask(0.4) };
    ledger.reserve(&two).unwrap().settle(spent(0.4));
    clock.advance_ms(1_800_000);
    let over_midnight = ledger.reserve(&two).unwrap();
    assert_eq!(ledger.reserve(&Ask { worst: Usd::ZERO, ..two }).err().unwrap().code, LlmErrorCode::HourlyCap);
    clock.advance_ms(1_800_000);
    assert_eq!(ledger.reserve(&two).err().unwrap().code, LlmErrorCode::BudgetExceeded);
    drop(ledger.reserve(&Ask { worst: Usd::ZERO, ..two }).unwrap());
    clock.advance_ms(DAY_MS / 2);
    over_midnight.settle(spent(0.3));
    let status = ledger.status();
    assert_eq!((status.daily, status.reserved), (Usd::ZERO, Usd::ZERO));
    assert_eq!(ledger.totals(2).len(), 1);
}

#[test]
fn a_restart_keeps_the_day_and_the_hour() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(NOON));
    let open = || Ledger::open(clock.clone(), Arc::new(JournalStore::open(dir.path()).unwrap())).unwrap();
    open().reserve(&ask(0.5)).unwrap().settle(spent(0.25));
    let again = open();
    assert_eq!(again.status().daily, Usd::from_dollars(0.25));
    assert_eq!(again.status().cloud_requests_last_hour, 1);
    assert_eq!(again.totals(90)[0].requests, 1);
    assert!(again.reserve(&ask(0.8)).is_err());
}
