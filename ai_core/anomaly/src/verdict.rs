//! What the detector answers: action, risk, rules and, for a denial, what a client may see.

use crate::digest::Fingerprint;
use crate::profile::BEHAVIOUR;
use crate::rules::{AnomalyType, for_each_rule};
use crate::token::Dialect;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// What to do with a statement.
// Exhaustive on purpose: hosts must handle each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Run it.
    Allow,
    /// Run it; an incident was recorded.
    Flag,
    /// Refuse it.
    Deny,
}

/// Random, unique, sortable by time; 32 hexadecimal digits as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IncidentId(u128);

impl IncidentId {
    /// The id as a number; its upper 48 bits are milliseconds since 1970.
    #[must_use]
    pub fn as_u128(self) -> u128 {
        self.0
    }
}

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl serde::Serialize for IncidentId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl std::str::FromStr for IncidentId {
    type Err = std::num::ParseIntError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(s, 16).map(Self)
    }
}

/// Makes incident ids from the process's random hash keys and a counter.
#[derive(Debug)]
pub(crate) struct IdSource {
    keys: [RandomState; 2],
    count: AtomicU64,
}

impl IdSource {
    pub(crate) fn new() -> Self {
        Self { keys: [RandomState::new(), RandomState::new()], count: AtomicU64::new(0) }
    }

    pub(crate) fn next(&self, now_ms: u64) -> IncidentId {
        let n = self.count.fetch_add(1, Ordering::Relaxed);
        let hash = |i: usize| {
            let mut h = self.keys[i].build_hasher();
            h.write_u64(n);
            h.write_u64(now_ms);
            u128::from(h.finish())
        };
        let random = (hash(0) << 16 | hash(1) & 0xFFFF) & ((1 << 80) - 1);
        IncidentId(u128::from(now_ms) << 80 | random)
    }
}

/// The error a client gets for a denial; a host may map it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DenyCode {
    /// MySQL's error number; 0 elsewhere.
    pub number: u16,
    /// SQLSTATE.
    pub sqlstate: &'static str,
}

impl DenyCode {
    pub(crate) fn of(dialect: Dialect) -> Self {
        match dialect {
            Dialect::MySql => Self { number: 1313, sqlstate: "HY000" },
            Dialect::Postgres | Dialect::Sqlite => Self { number: 0, sqlstate: "42501" },
        }
    }
}

/// The answer for one statement. Copied, never allocated.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Verdict {
    /// What to do.
    pub action: Action,
    /// 0 to 1.
    pub risk: f32,
    /// Group of the strongest rule; `None` if no rule fired.
    pub anomaly_type: Option<AnomalyType>,
    /// Recorded incident; set when the action is not `Allow`, unless this was a dry run.
    pub incident: Option<IncidentId>,
    /// Error for a denial.
    pub code: DenyCode,
    /// The detector's digest, for feedback and allow-lists.
    pub digest: u64,
    pub(crate) signals: u64,
    pub(crate) behaviour: u32,
    pub(crate) scores: Scores,
}

/// Scores of the rules whose strength depends on the case.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scores {
    pub(crate) heat: f32,
    pub(crate) threat_exact: f32,
    pub(crate) threat_similar: f32,
}

impl Verdict {
    pub(crate) fn allow(fp: &Fingerprint, dialect: Dialect) -> Self {
        Self {
            action: Action::Allow,
            risk: 0.0,
            anomaly_type: None,
            incident: None,
            code: DenyCode::of(dialect),
            digest: fp.digest,
            signals: 0,
            behaviour: 0,
            scores: Scores::default(),
        }
    }

    /// Whether the statement must not run.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        self.action == Action::Deny
    }

    /// The rules that fired with their scores, strongest evidence of each name. For operators only.
    #[must_use]
    pub fn rules(&self) -> Vec<(&'static str, f32)> {
        let mut rules = Vec::new();
        for_each_rule(self.signals, |code, score| rules.push((code, score)));
        for (i, (code, score)) in BEHAVIOUR.iter().enumerate() {
            if self.behaviour & 1 << i != 0 {
                rules.push((*code, self.scores.of(i).unwrap_or(*score)));
            }
        }
        rules
    }

    /// All that a client may learn of a denial: no rule, no score, no SQL.
    #[must_use]
    pub fn client_message(&self) -> String {
        match self.incident {
            Some(id) => format!("Query refused by security policy (incident {id})"),
            None => "Query refused by security policy".to_owned(),
        }
    }
}

impl Scores {
    pub(crate) fn of(&self, bit: usize) -> Option<f32> {
        match BEHAVIOUR[bit].0 {
            "exec.heat" => Some(self.heat),
            "threat.exact" => Some(self.threat_exact),
            "threat.similar" => Some(self.threat_similar),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_sort_by_time() {
        let ids = IdSource::new();
        let a: Vec<_> = (0..1000).map(|i| ids.next(1_700_000_000_000 + i)).collect();
        assert!(a.windows(2).all(|w| w[0] < w[1]));
        let text = a[0].to_string();
        assert_eq!(text.len(), 32);
        assert_eq!(text.parse::<IncidentId>().unwrap(), a[0]);
        assert_ne!(ids.next(5), ids.next(5));
    }
}
