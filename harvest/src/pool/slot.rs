//! One backend inside a pool: its idle connections, counters and breaker; it takes no lock and opens nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{BackendStatus, Capacity, PoolConfig, PoolMember, PoolStats};
use crate::connection::Connection;
use crate::error::HarvestError;

/// The right to one connection of a server; given back when dropped.
pub(super) struct Permit(pub(super) Arc<Capacity>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.give();
    }
}

/// An open connection that nobody uses. The connection closes before its permit goes back.
pub(super) struct Idle {
    pub(super) connection: Box<dyn Connection>,
    pub(super) opened: Instant,
    pub(super) idle_since: Instant,
    pub(super) number: u64,
    pub(super) permit: Permit,
}

impl Idle {
    pub(super) fn fresh(connection: Box<dyn Connection>, number: u64, permit: Permit) -> Self {
        let now = Instant::now();
        Self { connection, opened: now, idle_since: now, number, permit }
    }
}

/// What a caller may use: an idle connection, or the right to open one.
pub(super) enum Choice {
    Idle { idle: Box<Idle>, ping: bool },
    Open(Permit),
}

pub(super) struct Slot {
    pub(super) member: PoolMember,
    pub(super) idle: VecDeque<Idle>,
    pub(super) used: usize,
    used_max: usize,
    conn_ok: u64,
    conn_err: u64,
    queries: u64,
    latency_us: u64,
    bytes_sent: u64,
    bytes_received: u64,
    failures: u32,
    shunned_until: Option<Instant>,
    shunned_reason: Option<String>,
}

impl Slot {
    pub(super) fn new(member: PoolMember, config: &PoolConfig, now: Instant) -> Self {
        let mut slot = Self {
            member,
            idle: VecDeque::new(),
            used: 0,
            used_max: 0,
            conn_ok: 0,
            conn_err: 0,
            queries: 0,
            latency_us: 0,
            bytes_sent: 0,
            bytes_received: 0,
            failures: 0,
            shunned_until: None,
            shunned_reason: None,
        };
        slot.set_status(slot.member.status, slot.member.weight, config, now);
        slot
    }

    pub(super) fn set_status(
        &mut self,
        status: BackendStatus,
        weight: u32,
        config: &PoolConfig,
        now: Instant,
    ) {
        self.member.status = status;
        self.member.weight = weight;
        self.failures = 0;
        if status == BackendStatus::Shunned {
            self.shunned_until = Some(now + Duration::from_millis(config.shun_ms));
            self.shunned_reason = Some("configured".to_owned());
        } else {
            self.shunned_until = None;
            self.shunned_reason = None;
        }
    }

    /// Whether calls may go here: in use by configuration, breaker closed or due for its trial.
    pub(super) fn takes_calls(&self, now: Instant) -> bool {
        self.in_use() && self.shunned_until.is_none_or(|until| now >= until)
    }

    pub(super) fn is_executable(&self, now: Instant) -> bool {
        self.takes_calls(now)
    }

    fn in_use(&self) -> bool {
        self.member.weight > 0 && matches!(self.member.status, BackendStatus::Online | BackendStatus::Shunned)
    }

    pub(super) fn reopens_in(&self, now: Instant) -> Option<Duration> {
        if !self.in_use() {
            return None;
        }
        self.shunned_until.map(|until| until.saturating_duration_since(now))
    }

    pub(super) fn status(&self, now: Instant) -> BackendStatus {
        match self.member.status {
            BackendStatus::Online | BackendStatus::Shunned => {
                if self.shunned_until.is_some_and(|until| now < until) {
                    BackendStatus::Shunned
                } else {
                    BackendStatus::Online
                }
            }
            other => other,
        }
    }

    /// Takes the freshest idle connection, else the right to open one.
    pub(super) fn take(&mut self, now: Instant, config: &PoolConfig) -> Option<Choice> {
        let choice = match self.idle.pop_back() {
            Some(idle) => {
                let ping = now.duration_since(idle.idle_since) > Duration::from_millis(config.idle_ping_ms);
                Choice::Idle { idle: Box::new(idle), ping }
            }
            None => Choice::Open(self.member.capacity.take()?),
        };
        if self.shunned_until.is_some() {
            // This caller is the one trial; everybody else waits for its outcome or the next turn.
            self.shunned_until = Some(now + Duration::from_millis(config.shun_ms));
        }
        self.used += 1;
        self.used_max = self.used_max.max(self.used);
        self.queries += 1;
        Some(choice)
    }

    pub(super) fn count_bytes(&mut self, sent: u64, received: u64) {
        self.bytes_sent = self.bytes_sent.saturating_add(sent);
        self.bytes_received = self.bytes_received.saturating_add(received);
    }

    pub(super) fn take_stats(&mut self, now: Instant) -> PoolStats {
        let stats = self.stats(now);
        (self.conn_ok, self.conn_err, self.queries) = (0, 0, 0);
        (self.bytes_sent, self.bytes_received) = (0, 0);
        self.used_max = self.used;
        stats
    }

    pub(super) fn returned(&mut self) {
        self.used = self.used.saturating_sub(1);
    }

    pub(super) fn connected(&mut self, began: Instant) {
        self.conn_ok += 1;
        self.failures = 0;
        self.shunned_until = None;
        self.shunned_reason = None;
        self.alive(began);
    }

    pub(super) fn alive(&mut self, began: Instant) {
        self.latency_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    }

    pub(super) fn connect_failed(&mut self, error: &HarvestError, config: &PoolConfig) {
        self.conn_err += 1;
        self.failures = self.failures.saturating_add(1);
        if self.failures >= config.shun_failures {
            self.shunned_until = Some(Instant::now() + Duration::from_millis(config.shun_ms));
            self.shunned_reason = Some(error.message.clone());
        }
    }

    /// Whether a connection that comes back may be used again.
    pub(super) fn keeps(&self, idle: &Idle, config: &PoolConfig) -> bool {
        let (used, max) = self.member.capacity.used();
        self.in_use() && used <= max && idle.opened.elapsed() < Duration::from_millis(config.lifetime_max_ms)
    }

    pub(super) fn drain_idle(&mut self) -> Vec<Idle> {
        self.idle.drain(..).collect()
    }

    /// Takes out the connections that are idle or old beyond the bounds.
    pub(super) fn expired(&mut self, now: Instant, config: &PoolConfig) -> Vec<Idle> {
        let idle_max = Duration::from_millis(config.idle_max_ms);
        let lifetime_max = Duration::from_millis(config.lifetime_max_ms);
        let (old, kept): (Vec<Idle>, Vec<Idle>) = self.idle.drain(..).partition(|idle| {
            now.duration_since(idle.idle_since) > idle_max || now.duration_since(idle.opened) > lifetime_max
        });
        self.idle.extend(kept);
        old
    }

    pub(super) fn stats(&self, now: Instant) -> PoolStats {
        PoolStats {
            backend: self.member.name.clone(),
            status: self.status(now),
            weight: self.member.weight,
            conn_used: self.used,
            conn_free: self.idle.len(),
            conn_ok: self.conn_ok,
            conn_err: self.conn_err,
            conn_used_max: self.used_max,
            connections_max: self.member.capacity.used().1,
            queries: self.queries,
            latency_us: self.latency_us,
            bytes_sent: self.bytes_sent,
            bytes_received: self.bytes_received,
            shunned_reason: self.shunned_reason.clone(),
            shunned_for_ms: self
                .shunned_until
                .filter(|until| now < *until)
                .map(|until| u64::try_from(until.duration_since(now).as_millis()).unwrap_or(u64::MAX)),
        }
    }
}
