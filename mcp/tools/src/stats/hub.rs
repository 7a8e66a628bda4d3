//! What statistics share in one server: settings, waiting events, the history's file, who saves digests when; it shows nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use harvest_gateway::{Gateway, SavedDigest, StatementEvent, StatementObserver, TargetFacts};
use mcp::{ToolError, ToolResult};

use super::events::{Flushed, QueryEvent, Ring};
use super::settings::StatsSettings;
use super::store::{SnapshotRow, StatsStore};
use crate::ops::now_s;

/// Members of clusters whose checks are counted.
const MEMBERS_MAX: usize = 1_000;

/// Where events go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination {
    Memory,
    Disk,
    Both,
}

/// What the latest harvests of a target say to metrics.
#[derive(Debug, Clone)]
pub(crate) struct HarvestFigures {
    pub(crate) target_id: String,
    /// Duration in seconds by status, of the latest attempt that ended so.
    pub(crate) seconds: Vec<(String, i64)>,
    /// Objects by type, of the latest run.
    pub(crate) objects: Vec<(String, u64)>,
}

/// Statistics of one server beyond its counters. Share it behind an `Arc`.
#[derive(Default)]
pub struct StatsHub {
    settings: RwLock<Arc<StatsSettings>>,
    store: Mutex<Option<Arc<StatsStore>>>,
    ring: Mutex<Ring>,
    flushed: Mutex<Flushed>,
    /// The count of calls at the last save; held while digests are saved, taken or cleared.
    saved: Mutex<Option<u64>>,
    failure: Mutex<Option<String>>,
    harvests: Mutex<Vec<HarvestFigures>>,
    checks: Mutex<BTreeMap<(String, i64), (u64, u64)>>,
    checksums: Mutex<BTreeMap<&'static str, SeenSum>>,
}

/// What was seen of a module's checksum.
struct SeenSum {
    sum: String,
    version: u64,
    changed_at: i64,
}

impl StatsHub {
    /// Statistics without a history.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> Arc<StatsSettings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the settings; a smaller buffer loses its oldest events at once.
    pub fn set_settings(&self, settings: StatsSettings) {
        lock(&self.ring).shrink(settings.log_buffer_events);
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    /// Whether a file can hold the history.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` with the cause.
    pub fn check_store(&self, path: &Path) -> ToolResult<()> {
        if lock(&self.store).as_ref().is_some_and(|store| store.path() == path) {
            return Ok(());
        }
        StatsStore::open(path).map(drop)
    }

    /// Opens another file for the history; the old one stays in use if it cannot be opened.
    ///
    /// # Errors
    /// As [`check_store`](Self::check_store).
    pub fn open_store(&self, path: &Path) -> ToolResult<()> {
        if lock(&self.store).as_ref().is_some_and(|store| store.path() == path) {
            return Ok(());
        }
        let store = StatsStore::open(path)?;
        let mut saved = lock(&self.saved);
        *lock(&self.store) = Some(Arc::new(store));
        *saved = None;
        Ok(())
    }

    /// Counts go on where the last process left them.
    ///
    /// # Errors
    /// What the file fails with.
    pub fn restore(&self, gateway: &Gateway) -> ToolResult<usize> {
        let saved = self.store()?.saved_digests()?;
        gateway.digests().put_back(&saved, self.settings().digest_entries_max);
        Ok(saved.len())
    }

    pub(crate) fn store(&self) -> ToolResult<Arc<StatsStore>> {
        lock(&self.store).clone().ok_or_else(|| {
            ToolError::precondition("this server keeps no history of statistics: set mcp-stats_path")
                .with("reason", "no_history_store")
        })
    }

    /// Saves the live digests if calls were counted since the last time. Tells whether it did.
    ///
    /// # Errors
    /// What the file fails with.
    pub fn save_digests(&self, gateway: &Gateway) -> ToolResult<bool> {
        let mut saved = lock(&self.saved);
        if *saved == Some(gateway.digests().tick()) {
            return Ok(false);
        }
        let (tick, digests) = gateway.digests().save();
        self.store()?.save_digests(&digests)?;
        *saved = Some(tick);
        Ok(true)
    }

    /// Every live digest, and forgets them with their saved copy in one step.
    pub(crate) fn take_digests(&self, gateway: &Gateway) -> ToolResult<Vec<SavedDigest>> {
        let mut saved = lock(&self.saved);
        let taken = gateway.digests().take_where(|_| true);
        if let Ok(store) = self.store()
            && let Err(error) = store.save_digests(&[])
        {
            gateway.digests().put_back(&taken, usize::MAX);
            return Err(error);
        }
        *saved = None;
        Ok(taken)
    }

    /// Saves the digests of these targets as a snapshot and forgets them, in one step. Gives their number and the time.
    pub(crate) fn flush_digests(
        &self,
        gateway: &Gateway,
        targets: &[TargetFacts],
    ) -> ToolResult<(usize, i64)> {
        let store = self.store()?;
        let mut saved = lock(&self.saved);
        let of = |id: &str| targets.iter().find(|target| target.target_id == id);
        let taken = gateway.digests().take_where(|digest| of(&digest.target_id).is_some());
        let snapshot: Vec<SnapshotRow> = taken
            .iter()
            .filter_map(|digest| {
                let target = of(&digest.target_id)?;
                Some(SnapshotRow {
                    row: digest.row(),
                    username: target.username.clone(),
                    protocol: target.protocol.as_str(),
                })
            })
            .collect();
        let dump_time = now_s();
        if let Err(error) = store.add_snapshot(dump_time, &snapshot, &taken) {
            gateway.digests().put_back(&taken, usize::MAX);
            return Err(error);
        }
        *saved = None;
        Ok((taken.len(), dump_time))
    }

    /// Moves waiting events of some targets to their tables. Gives how many, and how many were lost before.
    pub(crate) fn flush_events(
        &self,
        gateway: &Gateway,
        wanted: impl Fn(&str) -> bool,
        to: Destination,
    ) -> ToolResult<(usize, u64)> {
        let settings = self.settings();
        let store = if to == Destination::Memory { None } else { Some(self.store()?) };
        let (raw, dropped) = lock(&self.ring).take(|raw| wanted(&raw.target_id));
        let rows: Vec<QueryEvent> = raw.iter().map(|raw| raw.row(gateway, settings.log_sql)).collect();
        if let Some(Err(error)) = store.map(|store| store.add_events(&rows)) {
            lock(&self.ring).put_back(raw, dropped, settings.log_buffer_events);
            return Err(error);
        }
        let count = rows.len();
        if to != Destination::Disk {
            lock(&self.flushed).extend(rows);
        }
        Ok((count, dropped))
    }

    /// Makes hourly rows of samples and deletes what is past its time.
    pub(crate) fn tidy(&self) -> ToolResult<()> {
        self.store()?.tidy(now_s(), self.settings().log_retention_days)
    }

    pub(crate) fn flushed_events(&self) -> Vec<QueryEvent> {
        lock(&self.flushed).rows()
    }

    /// Events that wait for a flush, and those that were lost to overflow since start.
    #[must_use]
    pub fn events_waiting(&self) -> (usize, u64) {
        let ring = lock(&self.ring);
        (ring.len(), ring.dropped_total())
    }

    /// Why the last sample or save failed, if it did.
    pub(crate) fn failure(&self) -> Option<String> {
        lock(&self.failure).clone()
    }

    pub(crate) fn note(&self, outcome: Result<(), &ToolError>) {
        let failure = outcome.err().map(|error| error.message.clone());
        if let Some(cause) = &failure {
            tracing::warn!(cause, "statistics could not be kept");
        }
        *lock(&self.failure) = failure;
    }

    /// Counts a check of a member of a cluster; gives those that succeeded and failed so far.
    pub(crate) fn checked(&self, host: &str, port: i64, ok: bool) -> (u64, u64) {
        let mut checks = lock(&self.checks);
        if checks.len() >= MEMBERS_MAX && !checks.contains_key(&(host.to_owned(), port)) {
            return (u64::from(ok), u64::from(!ok));
        }
        let counts = checks.entry((host.to_owned(), port)).or_default();
        counts.0 += u64::from(ok);
        counts.1 += u64::from(!ok);
        *counts
    }

    /// Takes note of a module's checksum; gives how many different ones were seen, since when it holds, and now.
    pub(crate) fn seen_checksum(&self, module: &'static str, sum: &str) -> (u64, i64, i64) {
        let now = now_s();
        let mut sums = lock(&self.checksums);
        let seen = sums.entry(module).or_insert_with(|| SeenSum {
            sum: sum.to_owned(),
            version: 1,
            changed_at: now,
        });
        if seen.sum != sum {
            *seen = SeenSum { sum: sum.to_owned(), version: seen.version + 1, changed_at: now };
        }
        (seen.version, seen.changed_at, now)
    }

    pub(crate) fn set_harvests(&self, figures: Vec<HarvestFigures>) {
        *lock(&self.harvests) = figures;
    }

    pub(crate) fn harvests(&self) -> Vec<HarvestFigures> {
        lock(&self.harvests).clone()
    }
}

impl StatementObserver for StatsHub {
    fn statement(&self, event: &StatementEvent<'_>) {
        let events_max = self.settings().log_buffer_events;
        if events_max > 0 {
            lock(&self.ring).push(event, events_max);
        }
    }
}

impl std::fmt::Debug for StatsHub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StatsHub").field("settings", &self.settings()).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
