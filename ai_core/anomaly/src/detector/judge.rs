//! From analysis, profile and library to a verdict, and what follows from it: learning, incidents, counts.

use super::{Case, Detector, Policy, Standing, is_session};
use crate::config::{LogSql, Mode};
use crate::context::StatementContext;
use crate::digest::{Fingerprint, mix};
use crate::incident::Incident;
use crate::machine::StatementClass;
use crate::profile::{BEHAVIOUR, Profile, behaviour};
use crate::rules::{AnomalyType, Signal, for_each_rule, injection_risk, is_marked};
use crate::store::profile_key;
use crate::text::{NORMALIZED_BYTES_MAX, normalize};
use crate::verdict::{Action, Verdict};
use std::sync::atomic::Ordering;

/// From here a statement is flagged.
const FLAG_RISK: f32 = 0.30;
/// Rounding slack of a product of a few scores.
const SLACK: f32 = 1e-4;
/// Rate, profile and heat together contribute at most this.
const BEHAVIOUR_RISK_MAX: f32 = 0.50;

impl Detector {
    pub(super) fn judge(&self, case: &Case<'_>, standing: &Standing) -> Verdict {
        let Case { policy, ctx, fp, analysis, now_ms, .. } = *case;
        let mut v = Verdict::allow(fp, ctx.dialect);
        v.behaviour = standing.behaviour;
        if policy.lookup.allows(fp.digest, ctx.user, ctx.schema, now_ms) {
            // An allowed digest meets the rate rule only.
            v.behaviour &= behaviour::RATE_LIMIT;
            return decide(policy, v, standing, false);
        }
        v.signals = expected_stacks(analysis.signals, ctx.multi_statements == Some(true) || standing.multi);
        let threat_deny = policy.config.threats_enabled && self.library(policy, fp, &mut v);
        if !is_session(fp, analysis) && policy.mode != Mode::Learn {
            self.behave(case, standing, &mut v);
        }
        if v.behaviour & behaviour::NOVEL_DIGEST != 0 && is_marked(v.signals) {
            // It begins as a known statement of an application whose statements are all known, and goes on otherwise.
            v.signals |= Signal::Altered.bit();
        }
        if standing.known && injection_risk(v.signals) < threshold(policy) {
            // What the profile learned as its own is no news; it was never learned at or above the threshold.
            v.signals = 0;
        }
        decide(policy, v, standing, threat_deny)
    }

    fn behave(&self, case: &Case<'_>, standing: &Standing, v: &mut Verdict) {
        let Case { ctx, fp, now_ms, .. } = *case;
        let traits = Self::traits(fp, case.analysis);
        let compare = |p: &Profile, own: bool| {
            let known = p.digests.contains(fp.structure);
            let mut bits = if known { 0 } else { p.novelty(&traits) };
            if own && p.off_hours(now_ms) {
                bits |= behaviour::OFF_HOURS;
            }
            bits
        };
        if standing.mature {
            v.behaviour |= self.profiles.with(case.key, |p| compare(p, true)).unwrap_or(0);
        } else if let Some(addr) = ctx.client_addr {
            // A young profile follows its parent: the same user from anywhere.
            let parent = profile_key(self.seed, ctx.user, None, ctx.schema);
            let follow = |p: &Profile| {
                if !p.is_mature() {
                    return 0;
                }
                let host = if p.host_is_novel(addr) { behaviour::NOVEL_HOST } else { 0 };
                compare(p, false) | host
            };
            v.behaviour |= self.profiles.with(parent, follow).unwrap_or(0);
        }
        if standing.heat > 0.0 {
            v.behaviour |= behaviour::HEAT;
            v.scores.heat = standing.heat;
        }
    }

    /// Library verdicts by digest; true if a pattern with action `deny` matched.
    fn library(&self, policy: &Policy, fp: &Fingerprint, v: &mut Verdict) -> bool {
        let mut deny = false;
        if let Some(hits) = policy.lookup.threats.get(&fp.digest) {
            for hit in hits.iter().filter(|h| h.signals == v.signals) {
                v.behaviour |= behaviour::THREAT_EXACT;
                v.scores.threat_exact = v.scores.threat_exact.max(f32::from(hit.severity) / 10.0);
                deny |= hit.deny;
            }
        }
        if let Some([_, score, _]) = self.similar.get(fp.digest)
            && score > 0
            && v.behaviour & behaviour::THREAT_EXACT == 0
        {
            v.behaviour |= behaviour::THREAT_SIMILAR;
            v.scores.threat_similar = f32::from_bits(score as u32);
        }
        deny
    }

    /// Learning, counting and recording of a judged statement.
    pub(super) fn after(&self, case: &Case<'_>, mut v: Verdict) -> Verdict {
        if injection_risk(v.signals) < threshold(case.policy) && v.action != Action::Deny {
            self.learn(case);
        }
        self.offer(case.ctx, case.fp);
        self.counters.mine().decided(v.action, case.policy.mode, case.ctx.dialect);
        if v.action == Action::Allow {
            return v;
        }
        self.count_rules(&v);
        v.incident = Some(self.record(case.policy, case.ctx, case.key, &v, case.now_ms));
        v
    }

    /// Young profiles, and all of them in learn mode, take the statement in.
    fn learn(&self, case: &Case<'_>) {
        let Case { policy, ctx, fp, analysis, now_ms, .. } = *case;
        if analysis.class == StatementClass::Session {
            return;
        }
        let traits = Self::traits(fp, analysis);
        let period_ms = policy.config.learning_period_s.saturating_mul(1000);
        let take = |p: &Profile| {
            let young = !p.is_mature();
            if young || policy.mode == Mode::Learn {
                p.learn(&traits, now_ms);
                if let Some(addr) = ctx.client_addr {
                    p.learn_host(addr);
                }
            }
            if young && policy.mode != Mode::Learn {
                p.ripen(policy.config.learning_min_queries, period_ms, now_ms);
            }
        };
        self.profiles.with(case.key, take);
        if ctx.client_addr.is_some() {
            self.profiles.with(profile_key(self.seed, ctx.user, None, ctx.schema), take);
        }
    }

    fn count_rules(&self, v: &Verdict) {
        for (i, hit) in self.hits.iter().enumerate() {
            let signals = crate::rules::SIGNALS.len();
            let fired =
                if i < signals { v.signals >> i & 1 } else { u64::from(v.behaviour >> (i - signals) & 1) };
            if fired == 1 {
                hit.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// A feedback rule fired: recorded, changes nothing that already ran.
    pub(super) fn flag_feedback(
        &self,
        policy: &Policy,
        ctx: &StatementContext<'_>,
        key: u64,
        mut v: Verdict,
        now_ms: u64,
    ) {
        v.action = Action::Flag;
        v.anomaly_type = Some(AnomalyType::Behaviour);
        v.risk = behaviour_risk(&v);
        self.counters.mine().told.fetch_add(1, Ordering::Relaxed);
        self.count_rules(&v);
        self.record(policy, ctx, key, &v, now_ms);
    }

    fn record(
        &self,
        policy: &Policy,
        ctx: &StatementContext<'_>,
        key: u64,
        v: &Verdict,
        now_ms: u64,
    ) -> crate::verdict::IncidentId {
        let rules = mix(v.signals, u64::from(v.behaviour) << 2 | v.action as u64);
        let fold = mix(mix(key, v.digest), rules);
        if let Some(id) = self.incidents.repeat(fold, now_ms) {
            return id;
        }
        let config = &policy.config;
        let id = self.ids.next(now_ms);
        let sql = match config.log_sql {
            LogSql::None | LogSql::Digest => None,
            LogSql::Redacted => Some(normalize(ctx.sql, ctx.dialect, ctx.sql_mode.unwrap_or_default())),
            LogSql::Full => {
                let cut = &ctx.sql[..ctx.sql.len().min(NORMALIZED_BYTES_MAX)];
                Some(String::from_utf8_lossy(cut).into_owned())
            }
        };
        let incident = Incident {
            id,
            at_ms: now_ms,
            mode: policy.mode,
            action: v.action,
            risk: v.risk,
            threshold: threshold(policy),
            anomaly_type: v.anomaly_type,
            rules: v.rules(),
            user: ctx.user.to_owned(),
            client_addr: ctx.client_addr,
            schema: ctx.schema.to_owned(),
            session_id: ctx.session_id,
            digest: (config.log_sql != LogSql::None).then_some(v.digest),
            sql,
            repeat_count: 1,
            fold,
        };
        self.incidents.record(incident, config.incident_rows_max, config.incident_ttl_s.saturating_mul(1000));
        id
    }
}

fn threshold(policy: &Policy) -> f32 {
    f32::from(policy.config.risk_threshold) / 100.0
}

/// Sessions that announced several statements, and profiles that always sent them, may stack.
fn expected_stacks(signals: u64, expected: bool) -> u64 {
    let stacked = Signal::Stacked.bit() | Signal::StackedDrop.bit();
    if expected && signals & stacked != 0 { signals & !stacked | Signal::StackedKnown.bit() } else { signals }
}

const THREATS: u32 = behaviour::THREAT_EXACT | behaviour::THREAT_SIMILAR;

fn behaviour_risk(v: &Verdict) -> f32 {
    let mut clean = 1.0_f32;
    for (i, (_, score)) in BEHAVIOUR.iter().enumerate() {
        if v.behaviour & !THREATS & 1 << i != 0 {
            clean *= 1.0 - v.scores.of(i).unwrap_or(*score);
        }
    }
    (1.0 - clean).min(BEHAVIOUR_RISK_MAX)
}

/// Combines everything into one risk and one action.
fn decide(policy: &Policy, mut v: Verdict, standing: &Standing, threat_deny: bool) -> Verdict {
    let injection = injection_risk(v.signals);
    let threat = 1.0 - (1.0 - v.scores.threat_exact) * (1.0 - v.scores.threat_similar);
    let behaved = behaviour_risk(&v);
    v.risk = 1.0 - (1.0 - injection) * (1.0 - threat) * (1.0 - behaved);
    v.anomaly_type = strongest(&v, behaved);
    let denies = policy.mode == Mode::Enforce && !policy.config.log_only;
    let by_risk = policy.config.auto_block && v.risk + SLACK >= threshold(policy) && v.risk > 0.0;
    let by_rate = policy.config.auto_block && standing.rate_denied;
    v.action = if denies && (by_risk || by_rate || threat_deny) {
        Action::Deny
    } else if v.risk + SLACK >= FLAG_RISK || threat_deny || v.behaviour & behaviour::RATE_LIMIT != 0 {
        Action::Flag
    } else {
        Action::Allow
    };
    v
}

fn strongest(v: &Verdict, behaved: f32) -> Option<AnomalyType> {
    let mut best = (0.0_f32, None);
    for_each_rule(v.signals, |_, score| {
        if score > best.0 {
            best = (score, Some(AnomalyType::Injection));
        }
    });
    let threat = v.scores.threat_exact.max(v.scores.threat_similar);
    if threat > best.0 {
        best = (threat, Some(AnomalyType::Threat));
    }
    if behaved > best.0 {
        let rate = v.behaviour & !(behaviour::RATE_LIMIT | behaviour::RATE_SPIKE) == 0;
        best = (behaved, Some(if rate { AnomalyType::Rate } else { AnomalyType::Behaviour }));
    }
    if best.1.is_none() && v.behaviour & behaviour::RATE_LIMIT != 0 {
        return Some(AnomalyType::Rate);
    }
    best.1
}
