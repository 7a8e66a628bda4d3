//! What operators do with a running detector: settings, library, allow-list, profiles, incidents, counts.

use super::{Detector, Novel, Policy, Rows};
use crate::config::{ConfigError, DetectorConfig};
use crate::counters::DetectorStats;
use crate::incident::Incident;
use crate::profile::{BEHAVIOUR, Profile};
use crate::rules::SIGNALS;
use crate::similarity::{ThreatEmbedder, cosine};
use crate::text::normalize;
use crate::threat::{
    ALLOW_ENTRIES_MAX, AllowEntry, Lookup, Origin, ThreatError, ThreatPattern, ThreatType, check,
};
use crate::token::Dialect;
use crate::verdict::Action;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, MutexGuard};

/// A pattern to add.
#[derive(Debug, Clone, PartialEq)]
// Exhaustive on purpose: hosts build it from a tool's arguments.
pub struct NewThreat {
    /// Unique name, 1 to 128 bytes.
    pub name: String,
    /// Kind of attack.
    pub threat_type: ThreatType,
    /// A statement that shows it.
    pub example: String,
    /// 1 to 10.
    pub severity: u8,
    /// `Flag` or `Deny`.
    pub action: Action,
    /// Who adds it.
    pub origin: Origin,
}

/// A profile as operators see it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct ProfileInfo {
    /// Database user.
    pub user: String,
    /// Client address; `None` for local clients and for the parent of all addresses.
    pub host: Option<IpAddr>,
    /// Schema.
    pub schema: String,
    /// Its digests are known well enough to judge by.
    pub mature: bool,
    /// Statements seen.
    pub statements: u64,
    /// Statements learned.
    pub learned: u64,
    /// Digests remembered.
    pub digests: u32,
}

impl Detector {
    /// Puts new settings in force as a whole; checks in progress end under the old ones.
    ///
    /// # Errors
    /// Settings out of range, all named; then nothing changes.
    pub fn set_config(&self, config: DetectorConfig) -> Result<(), ConfigError> {
        config.validate()?;
        let _rows = self.rows();
        let enabled = config.enabled;
        let lookup = Arc::clone(&self.policy.load().lookup);
        self.policy.store(Arc::new(Policy { mode: config.effective_mode(), config, lookup }));
        self.enabled.store(enabled, Ordering::Relaxed);
        Ok(())
    }

    /// The settings in force.
    #[must_use]
    pub fn config(&self) -> DetectorConfig {
        self.policy.load().config.clone()
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn publish(&self, rows: &Rows) {
        let now = self.policy.load_full();
        let lookup = Arc::new(Lookup::build(&rows.patterns, &rows.allow));
        self.policy.store(Arc::new(Policy { config: now.config.clone(), mode: now.mode, lookup }));
    }

    /// Adds a threat pattern; traffic sees it at once.
    ///
    /// # Errors
    /// A taken name, a member out of range, a full library.
    pub fn add_threat(&self, new: NewThreat) -> Result<ThreatPattern, ThreatError> {
        let mut rows = self.rows();
        let pattern = ThreatPattern {
            id: rows.next_id,
            name: new.name,
            threat_type: new.threat_type,
            example: new.example,
            severity: new.severity,
            action: new.action,
            enabled: true,
            origin: new.origin,
        };
        check(&pattern, &rows.patterns)?;
        rows.next_id += 1;
        rows.patterns.push(pattern.clone());
        self.publish(&rows);
        Ok(pattern)
    }

    /// Removes a pattern; a shipped one is disabled instead. True if it was removed.
    ///
    /// # Errors
    /// An unknown name.
    pub fn remove_threat(&self, name: &str) -> Result<bool, ThreatError> {
        let mut rows = self.rows();
        let at = rows.patterns.iter().position(|p| p.name == name);
        let at = at.ok_or_else(|| ThreatError::NotFound(name.to_owned()))?;
        let builtin = rows.patterns[at].origin == Origin::Builtin;
        if builtin {
            rows.patterns[at].enabled = false;
        } else {
            rows.patterns.remove(at);
        }
        self.publish(&rows);
        Ok(!builtin)
    }

    /// All patterns, the most severe first.
    #[must_use]
    pub fn threats(&self) -> Vec<ThreatPattern> {
        let mut all = self.rows().patterns.clone();
        all.sort_by_key(|p| (std::cmp::Reverse(p.severity), p.id));
        all
    }

    /// Adds an allow-list entry; false if an equal one was there and took the new expiry and comment.
    ///
    /// # Errors
    /// A full list.
    pub fn allow_add(&self, entry: AllowEntry) -> Result<bool, ThreatError> {
        let mut rows = self.rows();
        let same =
            |e: &AllowEntry| e.digest == entry.digest && e.user == entry.user && e.schema == entry.schema;
        let found = rows.allow.iter().position(same);
        match found {
            Some(at) => rows.allow[at] = entry,
            None if rows.allow.len() >= ALLOW_ENTRIES_MAX => {
                return Err(ThreatError::Full(ALLOW_ENTRIES_MAX));
            }
            None => rows.allow.push(entry),
        }
        self.publish(&rows);
        Ok(found.is_none())
    }

    /// Removes an allow-list entry; false if there was none.
    pub fn allow_remove(&self, digest: u64, user: &str, schema: &str) -> bool {
        let mut rows = self.rows();
        let before = rows.allow.len();
        rows.allow.retain(|e| !(e.digest == digest && e.user == user && e.schema == schema));
        self.publish(&rows);
        rows.allow.len() != before
    }

    /// The allow-list.
    #[must_use]
    pub fn allow_list(&self) -> Vec<AllowEntry> {
        self.rows().allow.clone()
    }

    /// Newest incidents that `pick` accepts, at most `max`.
    #[must_use]
    pub fn incidents(&self, max: usize, pick: impl Fn(&Incident) -> bool) -> Vec<Incident> {
        self.incidents.list(max, pick)
    }

    /// The profiles held, the busiest first, at most `max`.
    #[must_use]
    pub fn profiles(&self, max: usize) -> Vec<ProfileInfo> {
        let mut all: Vec<ProfileInfo> = self.profiles.all().iter().map(|p| info(p)).collect();
        all.sort_by_key(|p| std::cmp::Reverse(p.statements));
        all.truncate(max);
        all
    }

    /// Declares what was learned for `user` complete: from now on it is compared with. Returns how many
    /// profiles that was.
    pub fn finish_learning(&self, user: &str) -> usize {
        let mine = self.profiles.all().into_iter().filter(|p| p.user == user && !p.is_mature());
        mine.map(|p| p.mature.store(true, Ordering::Release)).count()
    }

    /// Forgets profiles of `user`, of one host and schema only if given. Returns how many.
    pub fn reset_profiles(&self, user: &str, host: Option<IpAddr>, schema: Option<&str>) -> usize {
        self.profiles.remove_if(|p| {
            p.user == user && (host.is_none() || p.host == host) && schema.is_none_or(|s| p.schema == s)
        })
    }

    /// Counters since the start.
    #[must_use]
    pub fn stats(&self) -> DetectorStats {
        let mut by_rule: Vec<(&'static str, u64)> = Vec::new();
        let names = SIGNALS.iter().map(|s| s.0).chain(BEHAVIOUR.iter().map(|b| b.0));
        for (name, hits) in names.zip(&self.hits) {
            let n = hits.load(Ordering::Relaxed);
            match by_rule.iter_mut().find(|r| r.0 == name) {
                Some(row) => row.1 += n,
                None => by_rule.push((name, n)),
            }
        }
        let c = &self.counters;
        DetectorStats {
            total_checks: c.sum(|s| &s.checks),
            flagged: c.acted(Action::Flag) + c.sum(|s| &s.told),
            denied: c.acted(Action::Deny),
            feedback_dropped: c.sum(|s| &s.dropped),
            decisions: c.decisions(),
            latency: c.latency(),
            exempt: c.sum(|s| &s.exempt),
            known: c.sum(|s| &s.known),
            analysed: c.sum(|s| &s.analysed),
            feedback: c.sum(|s| &s.feedback),
            profiles: self.profiles.len(),
            threat_patterns: self.rows().patterns.iter().filter(|p| p.enabled).count(),
            async_queued: self.queue_len.load(Ordering::Relaxed),
            async_dropped: self.queue_dropped.load(Ordering::Relaxed),
            snapshots_saved: self.saves.load(Ordering::Relaxed),
            snapshots_failed: self.saves_failed.load(Ordering::Relaxed),
            by_rule,
        }
    }

    /// The end of the similarity queue, for the one maintenance thread.
    pub(crate) fn take_queue(&self) -> Option<Receiver<Novel>> {
        let end = self.queue_end.lock().ok()?.take();
        if end.is_some() {
            self.worker.store(true, Ordering::Release);
        }
        end
    }

    pub(crate) fn return_queue(&self, end: Receiver<Novel>) {
        self.worker.store(false, Ordering::Release);
        if let Ok(mut slot) = self.queue_end.lock() {
            *slot = Some(end);
        }
    }

    /// Searches the library for something like `novel`; what is found waits for the next occurrence.
    pub(crate) fn search_similar(&self, novel: &Novel, embedder: &dyn ThreatEmbedder) {
        self.queue_len.fetch_sub(1, Ordering::Relaxed);
        let Some(vector) = embedder.embed(&novel.text) else { return };
        let config = self.config();
        let least = f32::from(config.similarity_threshold) / 100.0;
        let cap = if embedder.is_lexical() { 0.25 } else { 0.35 };
        let mut best = 0.0_f32;
        let patterns = self.rows().patterns.clone();
        for p in patterns.iter().filter(|p| p.enabled) {
            let text = normalize(p.example.as_bytes(), Dialect::MySql, crate::lexer::SqlMode::default());
            let Some(v) = embedder.embed(&text) else { continue };
            let like = cosine(&vector, &v);
            if like >= least {
                best = best.max((f32::from(p.severity) / 10.0 * like).min(cap));
            }
        }
        if best > 0.0 {
            self.similar.put(novel.digest, [2, u64::from(best.to_bits()), 0]);
        }
    }
}

fn info(p: &Profile) -> ProfileInfo {
    ProfileInfo {
        user: p.user.clone(),
        host: p.host,
        schema: p.schema.clone(),
        mature: p.is_mature(),
        statements: p.statements.load(Ordering::Relaxed),
        learned: p.learned.load(Ordering::Relaxed),
        digests: p.digests.len(),
    }
}

impl Detector {
    pub(crate) fn snapshot(&self) -> crate::snapshot::SnapshotFile {
        let profiles = self.profiles.all().iter().map(|p| p.dump()).collect();
        let rows = self.rows();
        crate::snapshot::SnapshotFile::new(self.seed, profiles, rows.patterns.clone(), rows.allow.clone())
    }

    pub(crate) fn restore(&self, file: crate::snapshot::SnapshotFile) {
        let config = self.config();
        for dump in &file.profiles {
            let Some(profile) = Profile::restore(dump, config.profile_digests_max) else { continue };
            let key = crate::store::profile_key(self.seed, &profile.user, profile.host, &profile.schema);
            self.profiles.ensure(key, config.profile_keys_max, || profile);
        }
        let mut rows = self.rows();
        rows.next_id = file.patterns.iter().map(|p| p.id + 1).max().unwrap_or(1).max(rows.next_id);
        rows.patterns = file.patterns;
        rows.allow = file.allow;
        self.publish(&rows);
    }
}
