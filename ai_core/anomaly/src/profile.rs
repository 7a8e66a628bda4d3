//! What one user at one place usually does: bounded sets and counters over atomics; it denies nothing.

mod tags;

use crate::machine::StatementClass;
use crate::rate::{MinuteHistory, SlidingWindow};
use crate::stats::Outcomes;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use tags::{Insert, TagSet};

/// Statements a table needs before its set of digests can count as complete.
const TABLE_STATEMENTS_MIN: u32 = 32;
/// Share of once-seen digests below which a table's set counts as complete: by Good and Turing it is
/// the chance that the next statement on it is new.
const NOVELTY_MAX: f64 = 0.05;
/// Statements a profile needs before a new table is remarkable.
const PROFILE_STATEMENTS_MIN: u64 = 200;
const TABLE_NOVELTY_MAX: f64 = 0.005;
const HOURS: usize = 168;
/// Two weeks of learned statements before the hour of the week is remarkable.
const HOURS_STATEMENTS_MIN: u64 = 2_000;
const HOURS_SPAN_MS: u64 = 14 * 86_400_000;
const HEAT_HALF_LIFE_MS: f64 = 300_000.0;
const PROBES: usize = 24;
const TABLES: usize = 256;
const HOSTS: usize = 64;
/// Statement heads that a profile remembers.
const HEADS: usize = 340;
/// On a table with so few once-seen digests, an unknown head is remarkable as well.
const NOVELTY_RARE: f64 = 0.005;

#[derive(Debug, Default)]
struct TableSlot {
    tag: AtomicU32,
    statements: AtomicU32,
    /// Digests seen once only.
    once: AtomicU32,
}

/// One learned user (at one address and schema, or the parent of those).
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) user: String,
    pub(crate) host: Option<IpAddr>,
    pub(crate) schema: String,
    pub(crate) mature: AtomicBool,
    pub(crate) since_ms: AtomicU64,
    pub(crate) used_s: AtomicU64,
    pub(crate) statements: AtomicU64,
    pub(crate) learned: AtomicU64,
    pub(crate) digests: TagSet,
    heads: TagSet,
    tables: Box<[TableSlot]>,
    tables_once: AtomicU32,
    hosts: Box<[AtomicU32]>,
    classes: AtomicU32,
    catalog: AtomicBool,
    pub(crate) multi: AtomicBool,
    hours: Box<[AtomicU32]>,
    last_learned_ms: AtomicU64,
    pub(crate) window: SlidingWindow,
    pub(crate) minutes: MinuteHistory,
    heat: AtomicU64,
    outcomes: Mutex<Outcomes>,
}

/// What a statement brings along for learning and comparing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traits {
    pub(crate) structure: u64,
    pub(crate) table: u64,
    /// Everything before the table's name.
    pub(crate) head: u64,
    pub(crate) class: StatementClass,
    pub(crate) catalog: bool,
    pub(crate) stacked: bool,
}

/// Behaviour signals, one bit each; names and scores in [`BEHAVIOUR`].
pub(crate) mod behaviour {
    pub(crate) const RATE_LIMIT: u32 = 1;
    pub(crate) const RATE_SPIKE: u32 = 1 << 1;
    pub(crate) const NOVEL_DIGEST: u32 = 1 << 2;
    pub(crate) const NOVEL_TABLE: u32 = 1 << 3;
    pub(crate) const NOVEL_HOST: u32 = 1 << 4;
    pub(crate) const ENUMERATION: u32 = 1 << 5;
    pub(crate) const NEW_CLASS: u32 = 1 << 6;
    pub(crate) const OFF_HOURS: u32 = 1 << 7;
    pub(crate) const HEAT: u32 = 1 << 8;
    pub(crate) const THREAT_EXACT: u32 = 1 << 9;
    pub(crate) const THREAT_SIMILAR: u32 = 1 << 10;
    pub(crate) const EXEC_SLOW: u32 = 1 << 11;
    pub(crate) const EXEC_ROWS: u32 = 1 << 12;
    pub(crate) const EXEC_ERRORS: u32 = 1 << 13;
}

/// Rule name and score by bit; scores of 0 are set where the rule fires.
pub(crate) const BEHAVIOUR: [(&str, f32); 14] = [
    ("rate.limit", 0.0),
    ("rate.spike", 0.30),
    ("profile.novel_digest", 0.35),
    ("profile.novel_table", 0.30),
    ("profile.novel_host", 0.30),
    ("profile.enumeration", 0.30),
    ("profile.new_class", 0.50),
    ("profile.off_hours", 0.20),
    ("exec.heat", 0.0),
    ("threat.exact", 0.0),
    ("threat.similar", 0.0),
    ("exec.slow", 0.20),
    ("exec.rows", 0.30),
    ("exec.errors", 0.40),
];

impl Profile {
    pub(crate) fn new(
        user: &str,
        host: Option<IpAddr>,
        schema: &str,
        digests_max: usize,
        now_ms: u64,
    ) -> Self {
        let zeros = |n: usize| (0..n).map(|_| AtomicU32::new(0)).collect::<Box<[_]>>();
        Self {
            user: user.to_owned(),
            host,
            schema: schema.to_owned(),
            mature: AtomicBool::new(false),
            since_ms: AtomicU64::new(now_ms),
            used_s: AtomicU64::new(now_ms / 1000),
            statements: AtomicU64::new(0),
            learned: AtomicU64::new(0),
            digests: TagSet::new(digests_max),
            heads: TagSet::new(HEADS),
            tables: (0..TABLES).map(|_| TableSlot::default()).collect(),
            tables_once: AtomicU32::new(0),
            hosts: zeros(HOSTS),
            classes: AtomicU32::new(0),
            catalog: AtomicBool::new(false),
            multi: AtomicBool::new(false),
            hours: zeros(HOURS),
            last_learned_ms: AtomicU64::new(now_ms),
            window: SlidingWindow::new(),
            minutes: MinuteHistory::new(),
            heat: AtomicU64::new(0),
            outcomes: Mutex::new(Outcomes::new()),
        }
    }

    fn table(&self, hash: u64, create: bool) -> Option<&TableSlot> {
        let tag = (hash >> 32) as u32 | 1;
        let from = hash as usize % TABLES;
        for i in 0..PROBES {
            let slot = &self.tables[(from + i) % TABLES];
            let v = slot.tag.load(Ordering::Relaxed);
            if v == tag {
                return Some(slot);
            }
            if v == 0 {
                if !create {
                    return None;
                }
                match slot.tag.compare_exchange(0, tag, Ordering::AcqRel, Ordering::Relaxed) {
                    Ok(_) => return Some(slot),
                    Err(now) if now == tag => return Some(slot),
                    Err(_) => {}
                }
            }
        }
        None
    }

    /// Takes one clean statement into the profile.
    pub(crate) fn learn(&self, t: &Traits, now_ms: u64) {
        let seen = self.digests.insert(t.structure);
        self.heads.insert(t.head);
        self.learned.fetch_add(1, Ordering::Relaxed);
        if let Some(slot) = self.table(t.table, true) {
            match slot.statements.fetch_add(1, Ordering::Relaxed) {
                0 => _ = self.tables_once.fetch_add(1, Ordering::Relaxed),
                1 => _ = self.tables_once.fetch_sub(1, Ordering::Relaxed),
                _ => {}
            }
            match seen {
                Insert::New | Insert::Full => _ = slot.once.fetch_add(1, Ordering::Relaxed),
                Insert::Second => {
                    let once = slot.once.load(Ordering::Relaxed);
                    slot.once.store(once.saturating_sub(1), Ordering::Relaxed);
                }
                Insert::Known => {}
            }
        }
        self.classes.fetch_or(1 << t.class as u8, Ordering::Relaxed);
        if t.catalog {
            self.catalog.store(true, Ordering::Relaxed);
        }
        if t.stacked {
            self.multi.store(true, Ordering::Relaxed);
        }
        self.hours[hour_of_week(now_ms)].fetch_add(1, Ordering::Relaxed);
        self.last_learned_ms.store(now_ms, Ordering::Relaxed);
    }

    pub(crate) fn learn_host(&self, addr: IpAddr) {
        let tag = prefix_tag(addr);
        for slot in &self.hosts {
            let v = slot.load(Ordering::Relaxed);
            if v == tag
                || (v == 0 && slot.compare_exchange(0, tag, Ordering::AcqRel, Ordering::Relaxed).is_ok())
            {
                return;
            }
        }
    }

    /// Whether this address lies outside a learned, not overflowing set of networks.
    pub(crate) fn host_is_novel(&self, addr: IpAddr) -> bool {
        let tag = prefix_tag(addr);
        let full = self.hosts[HOSTS - 1].load(Ordering::Relaxed) != 0;
        let any = self.hosts[0].load(Ordering::Relaxed) != 0;
        any && !full && self.hosts.iter().all(|s| s.load(Ordering::Relaxed) != tag)
    }

    /// Behaviour signals of a statement whose structure this mature profile does not know.
    pub(crate) fn novelty(&self, t: &Traits) -> u32 {
        let mut bits = 0;
        let learned = self.learned.load(Ordering::Relaxed);
        match self.table(t.table, false) {
            Some(slot) => {
                let n = slot.statements.load(Ordering::Relaxed);
                let once = slot.once.load(Ordering::Relaxed);
                let chance = (f64::from(once) + 1.0) / (f64::from(n) + 1.0);
                // Injected text stands behind the table's name: the head stays one that is known.
                let most = if self.heads.contains(t.head) { NOVELTY_MAX } else { NOVELTY_RARE };
                if n >= TABLE_STATEMENTS_MIN && chance <= most {
                    bits |= behaviour::NOVEL_DIGEST;
                }
            }
            None if learned >= PROFILE_STATEMENTS_MIN => {
                let chance =
                    (f64::from(self.tables_once.load(Ordering::Relaxed)) + 1.0) / (learned as f64 + 1.0);
                if chance <= TABLE_NOVELTY_MAX {
                    bits |= behaviour::NOVEL_TABLE;
                }
            }
            None => {}
        }
        if t.catalog && !self.catalog.load(Ordering::Relaxed) {
            bits |= behaviour::ENUMERATION;
        }
        let first = self.classes.load(Ordering::Relaxed) & 1 << t.class as u8 == 0;
        if first && matches!(t.class, StatementClass::Definition | StatementClass::Control) {
            bits |= behaviour::NEW_CLASS;
        }
        bits
    }

    pub(crate) fn off_hours(&self, now_ms: u64) -> bool {
        let learned = self.learned.load(Ordering::Relaxed);
        let span = self
            .last_learned_ms
            .load(Ordering::Relaxed)
            .saturating_sub(self.since_ms.load(Ordering::Relaxed));
        learned >= HOURS_STATEMENTS_MIN
            && span >= HOURS_SPAN_MS
            && u64::from(self.hours[hour_of_week(now_ms)].load(Ordering::Relaxed)) * 1000 < learned
    }

    /// Whether enough was seen for long enough.
    pub(crate) fn ripen(&self, min_statements: u64, period_ms: u64, now_ms: u64) -> bool {
        let ripe = self.learned.load(Ordering::Relaxed) >= min_statements
            && now_ms.saturating_sub(self.since_ms.load(Ordering::Relaxed)) >= period_ms;
        if ripe {
            self.mature.store(true, Ordering::Release);
        }
        ripe
    }

    pub(crate) fn is_mature(&self) -> bool {
        self.mature.load(Ordering::Acquire)
    }

    /// Current heat, 0 to 0.5, halved every five minutes.
    pub(crate) fn heat(&self, now_ms: u64) -> f32 {
        let v = self.heat.load(Ordering::Relaxed);
        if v == 0 {
            return 0.0;
        }
        let (at_s, level) = ((v >> 24) * 1000, (v & 0xFF_FFFF) as f64 / 1e6);
        let age = now_ms.saturating_sub(at_s) as f64;
        let h = level * 0.5_f64.powf(age / HEAT_HALF_LIFE_MS);
        if h < 0.01 { 0.0 } else { h as f32 }
    }

    /// Folds an outcome in; returns the feedback rules that fired. `None`: another thread was at it, and nobody waits here.
    pub(crate) fn outcome(&self, o: &Outcome, now_ms: u64) -> Option<u32> {
        let Ok(mut outcomes) = self.outcomes.try_lock() else { return None };
        let mut bits = 0;
        let mut heat = 0.0_f64;
        if o.refused && outcomes.error(now_ms) {
            bits |= behaviour::EXEC_ERRORS;
            heat += 0.4;
        }
        let found = outcomes.record(o.digest, o.time_ms, o.rows);
        if found.slow && o.time_ms > o.slow_ms {
            bits |= behaviour::EXEC_SLOW;
            heat += 0.2;
        }
        if found.rows && o.rows > o.rows_limit {
            bits |= behaviour::EXEC_ROWS;
            heat += 0.3;
        }
        if heat > 0.0 {
            let level = (f64::from(self.heat(now_ms)) + heat).min(0.5);
            self.heat.store((now_ms / 1000) << 24 | (level * 1e6) as u64, Ordering::Relaxed);
        }
        Some(bits)
    }

    pub(crate) fn dump(&self) -> ProfileDump {
        let (slots, digests) = self.digests.dump();
        let (_, heads) = self.heads.dump();
        let load = |a: &[AtomicU32]| a.iter().map(|v| v.load(Ordering::Relaxed)).collect();
        ProfileDump {
            user: self.user.clone(),
            host: self.host,
            schema: self.schema.clone(),
            mature: self.is_mature(),
            since_ms: self.since_ms.load(Ordering::Relaxed),
            used_s: self.used_s.load(Ordering::Relaxed),
            last_learned_ms: self.last_learned_ms.load(Ordering::Relaxed),
            statements: self.statements.load(Ordering::Relaxed),
            learned: self.learned.load(Ordering::Relaxed),
            slots,
            digests,
            heads,
            tables: (self.tables.iter().enumerate())
                .filter(|(_, s)| s.tag.load(Ordering::Relaxed) != 0)
                .map(|(i, s)| {
                    let get = |a: &AtomicU32| a.load(Ordering::Relaxed);
                    (i as u32, get(&s.tag), get(&s.statements), get(&s.once))
                })
                .collect(),
            tables_once: self.tables_once.load(Ordering::Relaxed),
            hosts: load(&self.hosts),
            classes: self.classes.load(Ordering::Relaxed),
            catalog: self.catalog.load(Ordering::Relaxed),
            multi: self.multi.load(Ordering::Relaxed),
            hours: load(&self.hours),
        }
    }

    /// Rebuilds a profile; `None` if the dump does not fit this configuration.
    pub(crate) fn restore(d: &ProfileDump, digests_max: usize) -> Option<Self> {
        let p = Self::new(&d.user, d.host, &d.schema, digests_max, d.since_ms);
        let heads = p.heads.slots();
        if !p.digests.restore(d.slots, &d.digests)
            || !p.heads.restore(heads, &d.heads)
            || d.hours.len() != HOURS
            || d.hosts.len() != HOSTS
        {
            return None;
        }
        for (i, tag, statements, once) in &d.tables {
            let slot = p.tables.get(*i as usize)?;
            slot.tag.store(*tag, Ordering::Relaxed);
            slot.statements.store(*statements, Ordering::Relaxed);
            slot.once.store(*once, Ordering::Relaxed);
        }
        let fill = |to: &[AtomicU32], from: &[u32]| {
            to.iter().zip(from).for_each(|(a, v)| a.store(*v, Ordering::Relaxed));
        };
        fill(&p.hosts, &d.hosts);
        fill(&p.hours, &d.hours);
        p.mature.store(d.mature, Ordering::Relaxed);
        p.used_s.store(d.used_s, Ordering::Relaxed);
        p.last_learned_ms.store(d.last_learned_ms, Ordering::Relaxed);
        p.statements.store(d.statements, Ordering::Relaxed);
        p.learned.store(d.learned, Ordering::Relaxed);
        p.tables_once.store(d.tables_once, Ordering::Relaxed);
        p.classes.store(d.classes, Ordering::Relaxed);
        p.catalog.store(d.catalog, Ordering::Relaxed);
        p.multi.store(d.multi, Ordering::Relaxed);
        Some(p)
    }
}

/// An outcome as the profile needs it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) digest: u64,
    pub(crate) time_ms: u64,
    pub(crate) rows: u64,
    /// A syntax or permission error.
    pub(crate) refused: bool,
    pub(crate) slow_ms: u64,
    pub(crate) rows_limit: u64,
}

/// A profile at rest.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProfileDump {
    user: String,
    host: Option<IpAddr>,
    schema: String,
    mature: bool,
    since_ms: u64,
    used_s: u64,
    last_learned_ms: u64,
    statements: u64,
    learned: u64,
    slots: usize,
    digests: Vec<(u32, u32)>,
    heads: Vec<(u32, u32)>,
    tables: Vec<(u32, u32, u32, u32)>,
    tables_once: u32,
    hosts: Vec<u32>,
    classes: u32,
    catalog: bool,
    multi: bool,
    hours: Vec<u32>,
}

fn hour_of_week(now_ms: u64) -> usize {
    (now_ms / 3_600_000) as usize % HOURS
}

/// The /24 or /48 that an address lies in, as a non-zero tag.
fn prefix_tag(addr: IpAddr) -> u32 {
    let bits = match addr {
        IpAddr::V4(a) => u64::from(u32::from(a) >> 8),
        IpAddr::V6(a) => (u128::from(a) >> 80) as u64 | 1 << 63,
    };
    (crate::digest::mix(7, bits) >> 32) as u32 | 1
}

#[cfg(test)]
mod tests;
