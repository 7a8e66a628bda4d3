//! Remembers the gate's verdicts by exact text, bounded; it does not judge.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use harvest::{CheckedStatement, HarvestResult};

/// Entries of one generation; two generations live.
const ENTRIES_MAX: usize = 1_024;
/// Text of one generation, in bytes.
const TEXT_BYTES_MAX: usize = 1 << 20;

type Verdict = HarvestResult<Arc<CheckedStatement>>;

#[derive(Default)]
struct Generations {
    young: HashMap<Box<str>, Verdict>,
    old: HashMap<Box<str>, Verdict>,
    young_bytes: usize,
}

/// Verdicts of one target under one policy.
#[derive(Default)]
pub(crate) struct Verdicts {
    state: Mutex<Generations>,
}

impl Verdicts {
    /// The verdict on `sql`, from memory or from `judge`. Only recently used texts are kept.
    pub(crate) fn get(&self, sql: &str, judge: impl FnOnce() -> HarvestResult<CheckedStatement>) -> Verdict {
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(verdict) = state.young.get(sql) {
                return verdict.clone();
            }
            if let Some((text, verdict)) = state.old.remove_entry(sql) {
                let answer = verdict.clone();
                insert(&mut state, text, verdict);
                return answer;
            }
        }
        let verdict = judge().map(Arc::new);
        if sql.len() <= TEXT_BYTES_MAX / 4 {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            insert(&mut state, sql.into(), verdict.clone());
        }
        verdict
    }
}

fn insert(state: &mut Generations, text: Box<str>, verdict: Verdict) {
    state.young_bytes += text.len() * 2;
    state.young.insert(text, verdict);
    if state.young.len() >= ENTRIES_MAX || state.young_bytes >= TEXT_BYTES_MAX {
        state.old = std::mem::take(&mut state.young);
        state.young_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use harvest::{HarvestError, StatementKind};

    #[test]
    fn a_text_is_judged_once() {
        let verdicts = Verdicts::default();
        let mut judged = 0;
        for _ in 0..3 {
            let verdict = verdicts.get("SELECT 1", || {
                judged += 1;
                Ok(CheckedStatement::vouched("SELECT 1", StatementKind::Select))
            });
            assert_eq!(verdict.unwrap().sql, "SELECT 1");
        }
        assert_eq!(judged, 1);
        assert!(verdicts.get("SELECT 1 ", || Err(HarvestError::gate("x", "y"))).is_err());
        assert!(verdicts.get("SELECT 1 ", || unreachable!()).is_err());
    }

    #[test]
    fn memory_is_bounded() {
        let verdicts = Verdicts::default();
        for n in 0..10_000 {
            let _ = verdicts.get(&format!("SELECT {n}"), || Err(HarvestError::gate("x", "y")));
        }
        let state = verdicts.state.lock().unwrap();
        assert!(state.young.len() + state.old.len() <= 2 * ENTRIES_MAX);
    }
}
