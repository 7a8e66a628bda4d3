//! The detector: one check from bytes to verdict, and the state it needs; it opens no socket and no file.

mod admin;
mod judge;

pub use admin::{NewThreat, ProfileInfo};

use crate::cache::WordCache;
use crate::clock::{Clock, SystemClock};
use crate::config::{ConfigError, DetectorConfig, Mode, RateAction};
use crate::context::{Phase, PostQueryFeedback, StatementContext};
use crate::counters::Counters;
use crate::digest::{Fingerprint, fingerprint, mix};
use crate::incident::IncidentLog;
use crate::lexer::SqlMode;
use crate::machine::{Analysis, Scratch, StatementClass, analyse, analyse_read, class_of, read};
use crate::profile::{BEHAVIOUR, Outcome, Profile, Traits, behaviour};
use crate::rules::{SIGNALS, injection_risk};
use crate::store::{ProfileStore, profile_key};
use crate::text::normalize;
use crate::threat::{AllowEntry, Lookup, ThreatPattern, builtin};
use crate::token::Dialect;
use crate::verdict::{Action, IdSource, Verdict};
use arc_swap::ArcSwap;
use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Analyses remembered across all users.
const ANALYSES_MAX: usize = 65_536;
/// Similarity verdicts remembered.
const SIMILAR_MAX: usize = 16_384;
/// Statements that wait for the similarity worker.
const QUEUE_STATEMENTS_MAX: usize = 1_024;

const SIGNAL_BITS: u32 = 48;
const CLASS_SHIFT: u32 = 48;
const CATALOG: u64 = 1 << 56;
/// An analysis word is never 0.
const PRESENT: u64 = 1 << 63;

thread_local! {
    /// Token and frame buffers that a thread keeps between new statements.
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::default());
}

/// Everything that a check reads and an operator changes; swapped as a whole.
#[derive(Debug)]
struct Policy {
    config: DetectorConfig,
    mode: Mode,
    lookup: Arc<Lookup>,
}

/// The rows behind the lookup.
#[derive(Debug, Default)]
struct Rows {
    patterns: Vec<ThreatPattern>,
    allow: Vec<AllowEntry>,
    next_id: u64,
}

/// A new statement on its way to the similarity worker.
#[derive(Debug)]
pub(crate) struct Novel {
    pub(crate) digest: u64,
    pub(crate) text: String,
}

/// Judges statements before they run. Share it behind an `Arc`; every method takes `&self`.
pub struct Detector {
    enabled: AtomicBool,
    policy: ArcSwap<Policy>,
    rows: Mutex<Rows>,
    seed: u64,
    profiles: ProfileStore,
    analyses: WordCache,
    similar: WordCache,
    incidents: IncidentLog,
    ids: IdSource,
    counters: Counters,
    hits: Box<[AtomicU64]>,
    clock: Arc<dyn Clock>,
    queue: SyncSender<Novel>,
    queue_end: Mutex<Option<Receiver<Novel>>>,
    queue_len: AtomicU64,
    queue_dropped: AtomicU64,
    pub(crate) saves: AtomicU64,
    pub(crate) saves_failed: AtomicU64,
    worker: AtomicBool,
}

impl std::fmt::Debug for Detector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Detector").field("profiles", &self.profiles.len()).finish_non_exhaustive()
    }
}

/// What the profile of a statement says at once.
#[derive(Debug, Clone, Copy, Default)]
struct Standing {
    found: bool,
    mature: bool,
    known: bool,
    multi: bool,
    behaviour: u32,
    rate_denied: bool,
    heat: f32,
}

impl Detector {
    /// A detector on the system's clock.
    ///
    /// # Errors
    /// Settings out of range, all named.
    pub fn new(config: DetectorConfig) -> Result<Self, ConfigError> {
        Self::with_clock(config, Arc::new(SystemClock::default()))
    }

    /// A detector on the host's clock.
    ///
    /// # Errors
    /// Settings out of range, all named.
    pub fn with_clock(config: DetectorConfig, clock: Arc<dyn Clock>) -> Result<Self, ConfigError> {
        Self::build(config, clock, RandomState::new().hash_one(0x5EED_u64))
    }

    pub(crate) fn build(
        config: DetectorConfig,
        clock: Arc<dyn Clock>,
        seed: u64,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        let patterns = builtin();
        let lookup = Arc::new(Lookup::build(&patterns, &[]));
        let next_id = patterns.len() as u64 + 1;
        let (queue, queue_end) = sync_channel(QUEUE_STATEMENTS_MAX);
        Ok(Self {
            enabled: AtomicBool::new(config.enabled),
            policy: ArcSwap::from_pointee(Policy { mode: config.effective_mode(), config, lookup }),
            rows: Mutex::new(Rows { patterns, allow: Vec::new(), next_id }),
            seed,
            profiles: ProfileStore::new(),
            analyses: WordCache::new(ANALYSES_MAX),
            similar: WordCache::new(SIMILAR_MAX),
            incidents: IncidentLog::new(),
            ids: IdSource::new(),
            counters: Counters::new(),
            hits: (0..SIGNALS.len() + BEHAVIOUR.len()).map(|_| AtomicU64::new(0)).collect(),
            clock,
            queue,
            queue_end: Mutex::new(Some(queue_end)),
            queue_len: AtomicU64::new(0),
            queue_dropped: AtomicU64::new(0),
            saves: AtomicU64::new(0),
            saves_failed: AtomicU64::new(0),
            worker: AtomicBool::new(false),
        })
    }

    /// Judges one statement and takes it into the caller's profile. Never panics, never blocks, and does
    /// not allocate for a digest that the caller's mature profile knows.
    #[must_use]
    pub fn check(&self, ctx: &StatementContext<'_>) -> Verdict {
        if !self.enabled.load(Ordering::Relaxed) {
            return Verdict::allow(&Fingerprint::NONE, ctx.dialect);
        }
        let policy = self.policy.load();
        let count = self.counters.mine();
        let timed = count.begin().then(Instant::now);
        if is_exempt(&policy.config, ctx) {
            count.exempt.fetch_add(1, Ordering::Relaxed);
            return Verdict::allow(&Fingerprint::NONE, ctx.dialect);
        }
        let now_ms = self.clock.now_ms();
        let verdict = SCRATCH.with(|s| match s.try_borrow_mut() {
            Ok(mut scratch) => self.check_with(&policy, ctx, now_ms, &mut scratch),
            Err(_) => self.check_with(&policy, ctx, now_ms, &mut Scratch::default()),
        });
        if let Some(started) = timed {
            count.took(started.elapsed());
        }
        verdict
    }

    fn check_with(
        &self,
        policy: &Policy,
        ctx: &StatementContext<'_>,
        now_ms: u64,
        scratch: &mut Scratch,
    ) -> Verdict {
        let (fp, reading) = self.read(ctx, scratch);
        let key = profile_key(self.seed, ctx.user, ctx.client_addr, ctx.schema);
        let mut standing = self.standing(key, policy, ctx, &fp, now_ms);
        if !standing.found {
            self.meet(key, &policy.config, ctx, now_ms);
            standing = self.standing(key, policy, ctx, &fp, now_ms);
        }
        let quiet = standing.behaviour == 0 && standing.heat == 0.0;
        if standing.known && quiet && policy.mode != Mode::Learn {
            let threat = policy.config.threats_enabled && policy.lookup.threats.contains_key(&fp.digest);
            if !threat {
                let count = self.counters.mine();
                count.known.fetch_add(1, Ordering::Relaxed);
                count.decided(Action::Allow, policy.mode, ctx.dialect);
                return Verdict::allow(&fp, ctx.dialect);
            }
        }
        let analysis = self.analysis(ctx, &fp, &reading, scratch);
        let case = Case { policy, ctx, fp: &fp, analysis: &analysis, key, now_ms };
        let verdict = self.judge(&case, &standing);
        self.after(&case, verdict)
    }

    /// The verdict that `check` would give now, without learning, counting or recording anything.
    #[must_use]
    pub fn inspect(&self, ctx: &StatementContext<'_>) -> Verdict {
        let policy = self.policy.load();
        let now_ms = self.clock.now_ms();
        let mut scratch = Scratch::default();
        let (fp, reading) = self.read(ctx, &mut scratch);
        let key = profile_key(self.seed, ctx.user, ctx.client_addr, ctx.schema);
        let standing = self
            .profiles
            .with(key, |p| Standing {
                found: true,
                mature: p.is_mature(),
                known: p.is_mature() && p.digests.contains(fp.structure),
                multi: p.multi.load(Ordering::Relaxed),
                heat: p.heat(now_ms),
                ..Standing::default()
            })
            .unwrap_or_default();
        let analysis = self.analysis(ctx, &fp, &reading, &mut scratch);
        let case = Case { policy: &policy, ctx, fp: &fp, analysis: &analysis, key, now_ms };
        self.judge(&case, &standing)
    }

    /// Takes in how a statement went; off the hot path. Returns the names of the feedback rules that fired.
    pub fn feedback(&self, ctx: &StatementContext<'_>, fb: &PostQueryFeedback) -> Vec<&'static str> {
        use crate::context::BackendErrorClass::{Permission, Syntax};
        if !self.enabled.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let policy = self.policy.load();
        self.counters.mine().feedback.fetch_add(1, Ordering::Relaxed);
        let outcome = Outcome {
            digest: fb.digest,
            time_ms: u64::try_from(fb.duration.as_millis()).unwrap_or(u64::MAX),
            rows: fb.rows_sent.unwrap_or(0).max(fb.rows_affected.unwrap_or(0)),
            refused: matches!(fb.error, Some(Syntax | Permission)),
            slow_ms: policy.config.slow_ms,
            rows_limit: policy.config.rows_limit,
        };
        let now_ms = self.clock.now_ms();
        let key = profile_key(self.seed, ctx.user, ctx.client_addr, ctx.schema);
        let Some(bits) = self.profiles.with(key, |p| p.outcome(&outcome, now_ms)).unwrap_or(Some(0)) else {
            self.counters.mine().dropped.fetch_add(1, Ordering::Relaxed);
            return Vec::new();
        };
        if bits == 0 {
            return Vec::new();
        }
        let mut verdict = Verdict::allow(&Fingerprint::NONE, ctx.dialect);
        verdict.digest = fb.digest;
        verdict.behaviour = bits;
        self.flag_feedback(&policy, ctx, key, verdict, now_ms);
        BEHAVIOUR.iter().enumerate().filter(|(i, _)| bits & 1 << i != 0).map(|(_, b)| b.0).collect()
    }

    /// The digest that `check` gives to this text, without judging it.
    #[must_use]
    pub fn digest(&self, ctx: &StatementContext<'_>) -> u64 {
        fingerprint(ctx.sql, ctx.dialect, ctx.sql_mode.unwrap_or_default(), self.seed).digest
    }

    /// Reads the text once; where the session's SQL mode decides and is not known, the other readings'
    /// keys join the key.
    fn read(&self, ctx: &StatementContext<'_>, scratch: &mut Scratch) -> (Fingerprint, Reading) {
        let mode = ctx.sql_mode.unwrap_or_default();
        let (mut fp, done) = read(ctx.sql, ctx.dialect, mode, self.seed, scratch);
        let unsure = ctx.sql_mode.is_none()
            && ctx.dialect == Dialect::MySql
            && ctx.sql.iter().any(|b| matches!(b, b'\\' | b'"'));
        if unsure {
            for other in OTHER_MODES {
                let alternative = fingerprint(ctx.sql, ctx.dialect, other, self.seed);
                fp.key = mix(fp.key, alternative.key);
            }
        }
        (fp, Reading { done, unsure })
    }

    /// One visit to the profile: rate, membership, heat.
    #[inline]
    fn standing(
        &self,
        key: u64,
        policy: &Policy,
        ctx: &StatementContext<'_>,
        fp: &Fingerprint,
        now_ms: u64,
    ) -> Standing {
        let config = &policy.config;
        self.profiles
            .with(key, |p| {
                let mut s = Standing { found: true, ..Standing::default() };
                let now_s = now_ms / 1000;
                if p.used_s.load(Ordering::Relaxed) != now_s {
                    p.used_s.store(now_s, Ordering::Relaxed);
                }
                p.statements.fetch_add(1, Ordering::Relaxed);
                if ctx.phase != Phase::Prepare {
                    let limit = u64::from(config.rate_limit_per_s) * u64::from(config.rate_window_s);
                    let window_ms = u64::from(config.rate_window_s) * 1000;
                    let denies = config.rate_action == RateAction::Deny
                        && config.auto_block
                        && policy.mode == Mode::Enforce;
                    if !p.window.admit(now_ms, window_ms, limit, !denies) {
                        s.behaviour |= behaviour::RATE_LIMIT;
                        s.rate_denied = denies;
                    }
                    if p.minutes.count(now_ms) {
                        s.behaviour |= behaviour::RATE_SPIKE;
                    }
                }
                s.mature = p.is_mature();
                s.multi = p.multi.load(Ordering::Relaxed);
                s.known = s.mature && p.digests.contains(fp.structure);
                s.heat = p.heat(now_ms);
                s
            })
            .unwrap_or_default()
    }

    /// First sight of a user at a place: its profile and its parent.
    fn meet(&self, key: u64, config: &DetectorConfig, ctx: &StatementContext<'_>, now_ms: u64) {
        let digests = config.profile_digests_max;
        let make = |host| Profile::new(ctx.user, host, ctx.schema, digests, now_ms);
        self.profiles.ensure(key, config.profile_keys_max, || make(ctx.client_addr));
        if ctx.client_addr.is_some() {
            let parent = profile_key(self.seed, ctx.user, None, ctx.schema);
            self.profiles.ensure(parent, config.profile_keys_max, || make(None));
        }
    }

    /// The structural analysis, from the cache if any statement with this key was seen.
    fn analysis(
        &self,
        ctx: &StatementContext<'_>,
        fp: &Fingerprint,
        reading: &Reading,
        scratch: &mut Scratch,
    ) -> Analysis {
        if let Some(words) = self.analyses.get(fp.key) {
            return unpack(words);
        }
        self.counters.mine().analysed.fetch_add(1, Ordering::Relaxed);
        let mode = ctx.sql_mode.unwrap_or_default();
        let mut best = reading.done.unwrap_or_else(|| analyse_read(ctx.sql, ctx.dialect, mode, scratch));
        if reading.unsure {
            for other in OTHER_MODES {
                let found = analyse(ctx.sql, ctx.dialect, other, scratch);
                if injection_risk(found.signals) > injection_risk(best.signals) {
                    best = found;
                }
            }
        }
        self.analyses.put(fp.key, pack(&best));
        best
    }

    /// Hands a new statement to the similarity worker, if one runs.
    fn offer(&self, ctx: &StatementContext<'_>, fp: &Fingerprint) {
        if !self.worker.load(Ordering::Relaxed) || self.similar.get(fp.digest).is_some() {
            return;
        }
        // Marked as seen, so that it is offered once.
        self.similar.put(fp.digest, [1, 0, 0]);
        let text = normalize(ctx.sql, ctx.dialect, ctx.sql_mode.unwrap_or_default());
        if self.queue.try_send(Novel { digest: fp.digest, text }).is_ok() {
            self.queue_len.fetch_add(1, Ordering::Relaxed);
        } else {
            self.queue_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn traits(fp: &Fingerprint, a: &Analysis) -> Traits {
        Traits {
            structure: fp.structure,
            table: if a.table == 0 { mix(11, 11) } else { mix(11, a.table) },
            head: mix(13, a.head),
            class: a.class,
            catalog: a.catalog,
            stacked: a.signals & crate::rules::Signal::Stacked.bit() != 0,
        }
    }
}

/// What reading a text left behind besides its tokens.
#[derive(Debug, Clone, Copy)]
struct Reading {
    /// The analysis of a text too long to be kept.
    done: Option<Analysis>,
    /// The session's SQL mode decides how to read this text, and it is not known.
    unsure: bool,
}

/// The readings of a MySQL text besides the default one.
const OTHER_MODES: [SqlMode; 2] = [
    SqlMode { no_backslash_escapes: true, ansi_quotes: false, backslash_strings: false },
    SqlMode { no_backslash_escapes: false, ansi_quotes: true, backslash_strings: false },
];

/// One statement under judgement: the parts of a check, each computed once.
#[derive(Clone, Copy)]
struct Case<'a> {
    policy: &'a Policy,
    ctx: &'a StatementContext<'a>,
    fp: &'a Fingerprint,
    analysis: &'a Analysis,
    key: u64,
    now_ms: u64,
}

fn is_exempt(config: &DetectorConfig, ctx: &StatementContext<'_>) -> bool {
    !config.exempt_users.is_empty() && config.exempt_users.iter().any(|e| e.covers(ctx.user, ctx.client_addr))
}

fn pack(a: &Analysis) -> [u64; 3] {
    let word = a.signals & ((1 << SIGNAL_BITS) - 1) | (a.class as u64) << CLASS_SHIFT;
    [word | if a.catalog { CATALOG } else { 0 } | PRESENT, a.table, a.head]
}

fn unpack([word, table, head]: [u64; 3]) -> Analysis {
    let class = match word >> CLASS_SHIFT & 7 {
        0 => StatementClass::Read,
        1 => StatementClass::Write,
        2 => StatementClass::Definition,
        3 => StatementClass::Control,
        4 => StatementClass::Session,
        _ => StatementClass::Routine,
    };
    Analysis { signals: word & ((1 << SIGNAL_BITS) - 1), class, table, head, catalog: word & CATALOG != 0 }
}

/// SHOW, SET, transactions and health checks take part in the rate only.
fn is_session(fp: &Fingerprint, a: &Analysis) -> bool {
    class_of(fp.first) == StatementClass::Session && a.class == StatementClass::Session
}

#[cfg(test)]
mod tests;
