//! Tests of the hook registry: order, ends of the chain, rewrites judged again, panics, replies.

use std::time::{Duration, Instant};

use harvest::{HarvestCode, Protocol};

use super::*;

struct Says(&'static str, fn(&[u8]) -> Verdict, bool);

impl PreQueryHook for Says {
    fn name(&self) -> &str {
        self.0
    }

    fn before(&self, context: &PreQueryContext<'_>) -> Verdict {
        (self.1)(context.sql())
    }

    fn judges_final_text(&self) -> bool {
        self.2
    }
}

fn deny(message: &str) -> Verdict {
    Verdict::Deny { code: DenyCode::PermissionDenied, message: message.to_owned(), incident: String::new() }
}

fn judge(registry: &HookRegistry, sql: &str) -> Verdict {
    registry.judge(&PreQueryContext::builder(sql.as_bytes(), "u", "s", Protocol::Sqlite).build())
}

#[test]
fn hooks_run_in_order_and_leave_with_their_handle() {
    let registry = HookRegistry::new();
    let late = registry.before(10, FailPolicy::Open, Arc::new(Says("late", |_| deny("late"), false)));
    let early = registry.before(-1, FailPolicy::Open, Arc::new(Says("early", |_| deny("early"), false)));
    assert_eq!(judge(&registry, "x"), deny("early"));
    drop(early);
    assert_eq!(judge(&registry, "x"), deny("late"));
    drop(late);
    assert_eq!(judge(&registry, "x"), Verdict::Allow);
    assert!(registry.is_empty());
}

#[test]
fn a_rewrite_is_judged_again_by_those_who_ask_for_it() {
    let guard: fn(&[u8]) -> Verdict = |sql| if sql == b"evil" { deny("evil") } else { Verdict::Allow };
    for (again, expected) in [(true, deny("evil")), (false, Verdict::Rewrite(b"evil".to_vec()))] {
        let registry = HookRegistry::new();
        let _guard = registry.before(0, FailPolicy::Open, Arc::new(Says("guard", guard, again)));
        let rewrites = Says("rewrites", |_| Verdict::Rewrite(b"evil".to_vec()), false);
        let _rewrites = registry.before(1, FailPolicy::Open, Arc::new(rewrites));
        assert_eq!(judge(&registry, "good"), expected);
    }
}

#[test]
fn a_panic_is_counted_and_follows_its_policy() {
    for (policy, refused) in [(FailPolicy::Open, false), (FailPolicy::Closed, true)] {
        let registry = HookRegistry::new();
        let _hook = registry.before(0, policy, Arc::new(Says("broken", |_| panic!("broken hook"), false)));
        let verdict = judge(&registry, "x");
        assert_eq!(matches!(verdict, Verdict::Deny { code: DenyCode::HookFailed, .. }), refused);
        assert_eq!(registry.panics(), 1);
    }
}

struct Prefix;

impl PrefixHook for Prefix {
    fn prefixes(&self) -> &[&str] {
        &["ASK:", "LATER:", "NEVER:"]
    }

    fn answer(&self, context: &PreQueryContext<'_>, body: &str, reply: Reply) {
        let rows = RowSet { columns: Vec::new(), rows: vec![vec![harvest::Value::Text(body.to_owned())]] };
        let text = String::from_utf8_lossy(context.sql()).trim_start().to_ascii_uppercase();
        if text.starts_with("ASK:") {
            reply.rows(rows);
        } else if text.starts_with("LATER:") {
            std::thread::spawn(move || reply.rows(rows));
        }
    }
}

#[test]
fn prefix_hooks_answer_now_later_or_never() {
    let registry = HookRegistry::new();
    let _hook = registry.prefix(0, Arc::new(Prefix));
    let ask = |sql: &str| {
        let context = PreQueryContext::builder(sql.as_bytes(), "u", "s", Protocol::Sqlite).build();
        registry.answer_prefix(&context)
    };
    let deadline = || Instant::now() + Duration::from_secs(20);
    for text in ["  ask: hello", "LATER: hello"] {
        let rows = ask(text).unwrap().wait_until(deadline()).unwrap();
        assert_eq!(rows.rows[0][0], harvest::Value::Text(" hello".into()));
    }
    let error = ask("never:").unwrap().wait_until(deadline()).unwrap_err();
    assert_eq!(error.code, HarvestCode::Unavailable);
    assert!(ask("SELECT 1").is_none());
    let (_kept, pending) = Reply::pair();
    assert!(pending.poll().is_none());
    assert_eq!(pending.wait_until(Instant::now()).unwrap_err().code, HarvestCode::DeadlineExceeded);
}
