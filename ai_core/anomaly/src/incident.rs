//! Recorded incidents: bounded, folded by profile, digest and rules within an hour; judged elsewhere.

use crate::config::Mode;
use crate::rules::AnomalyType;
use crate::verdict::{Action, IncidentId};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Mutex;

const SHARDS: usize = 16;
const FOLD_MS: u64 = 3_600_000;
/// Newest incidents of a shard that a repeat is looked for in.
const FOLD_LOOKBACK: usize = 64;

/// One recorded anomaly; never shown to the client whose statement it was.
#[derive(Debug, Clone, serde::Serialize)]
#[non_exhaustive]
pub struct Incident {
    /// Id, as in the client's message.
    pub id: IncidentId,
    /// Milliseconds since 1970 of the first occurrence.
    pub at_ms: u64,
    /// Mode in force.
    pub mode: Mode,
    /// What was done.
    pub action: Action,
    /// 0 to 1.
    pub risk: f32,
    /// Threshold in force, 0 to 1.
    pub threshold: f32,
    /// Group of the strongest rule.
    pub anomaly_type: Option<AnomalyType>,
    /// Rules that fired with their scores.
    pub rules: Vec<(&'static str, f32)>,
    /// Database user.
    pub user: String,
    /// Client address.
    pub client_addr: Option<IpAddr>,
    /// Schema.
    pub schema: String,
    /// The host's session number.
    pub session_id: u64,
    /// The detector's digest; `None` if the log keeps no text at all.
    pub digest: Option<u64>,
    /// Text as far as the log may keep it.
    pub sql: Option<String>,
    /// Occurrences of the same profile, digest and rules within an hour.
    pub repeat_count: u64,
    #[serde(skip)]
    pub(crate) fold: u64,
}

#[derive(Debug)]
pub(crate) struct IncidentLog {
    shards: Box<[Mutex<VecDeque<Incident>>]>,
}

impl IncidentLog {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::new(VecDeque::new())).collect() }
    }

    /// Counts a repeat; the id of the incident that took it.
    pub(crate) fn repeat(&self, fold: u64, now_ms: u64) -> Option<IncidentId> {
        let mut shard = self.shards[fold as usize % SHARDS].lock().ok()?;
        let found = shard
            .iter_mut()
            .rev()
            .take(FOLD_LOOKBACK)
            .find(|i| i.fold == fold && now_ms.saturating_sub(i.at_ms) < FOLD_MS)?;
        found.repeat_count += 1;
        Some(found.id)
    }

    pub(crate) fn record(&self, incident: Incident, rows_max: usize, ttl_ms: u64) {
        let Ok(mut shard) = self.shards[incident.fold as usize % SHARDS].lock() else { return };
        let now = incident.at_ms;
        let shard_max = rows_max.div_ceil(SHARDS);
        if shard_max == 0 {
            return;
        }
        while shard.len() >= shard_max || shard.front().is_some_and(|i| now.saturating_sub(i.at_ms) > ttl_ms)
        {
            shard.pop_front();
        }
        shard.push_back(incident);
    }

    /// Newest first, at most `max`, those that `pick` accepts.
    pub(crate) fn list(&self, max: usize, pick: impl Fn(&Incident) -> bool) -> Vec<Incident> {
        let mut all = Vec::new();
        for shard in &self.shards {
            if let Ok(shard) = shard.lock() {
                all.extend(shard.iter().filter(|i| pick(i)).cloned());
            }
        }
        all.sort_by_key(|i| std::cmp::Reverse(i.id));
        all.truncate(max);
        all
    }
}
