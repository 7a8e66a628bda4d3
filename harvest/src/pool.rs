//! Connections of one target, bounded, shared in order, healed and shunned; it knows no statement and no rule.

mod model;
mod slot;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::connection::Connection;
use crate::error::{HarvestCode, HarvestError, HarvestResult};
pub use model::{
    BackendStatus, Capacity, IdleConnection, PoolConfig, PoolMember, PoolStats, PoolTotals, WAIT_BUCKETS_US,
};
use slot::{Choice, Idle, Permit, Slot};

/// Longest sleep of a waiter before it looks again, in milliseconds: covers capacity freed by another pool.
const LOOK_AGAIN_MS: u64 = 20;

/// A caller in the queue. Each is woken by a signal of its own: waking all of them for every connection that comes back
/// would cost more than the statements do.
struct Waiter {
    ticket: u64,
    signal: Arc<Condvar>,
}

struct State {
    slots: Vec<Slot>,
    queue: VecDeque<Waiter>,
    next_ticket: u64,
    totals: PoolTotals,
    random: u64,
    closed: bool,
}

impl State {
    /// The signal of the caller whose turn it is.
    fn next_waiter(&self) -> Option<Arc<Condvar>> {
        self.queue.front().map(|waiter| Arc::clone(&waiter.signal))
    }
}

fn wake(waiter: Option<Arc<Condvar>>) {
    if let Some(signal) = waiter {
        signal.notify_one();
    }
}

/// Connections of one target.
pub struct Pool {
    config: PoolConfig,
    me: Weak<Pool>,
    state: Mutex<State>,
    /// For whoever drains a closed pool.
    changed: Condvar,
}

impl Pool {
    /// A pool over its backends; nothing is opened yet.
    #[must_use]
    pub fn new(members: Vec<PoolMember>, config: PoolConfig) -> Arc<Self> {
        let now = Instant::now();
        let slots = members.into_iter().map(|member| Slot::new(member, &config, now)).collect();
        let random = std::collections::hash_map::RandomState::new();
        let seed = std::hash::BuildHasher::hash_one(&random, 1_u8) | 1;
        Arc::new_cyclic(|me| Self {
            config,
            me: me.clone(),
            state: Mutex::new(State {
                slots,
                queue: VecDeque::new(),
                next_ticket: 0,
                totals: PoolTotals::default(),
                random: seed,
                closed: false,
            }),
            changed: Condvar::new(),
        })
    }

    /// A connection, ready for one call: alive, session reset.
    ///
    /// Waiters are served in order. `deadline` shortens the configured wait; `cancelled` is asked a few times a second.
    ///
    /// # Errors
    /// `UNAVAILABLE` with `retry_after_ms` and `status_counts`; `CANCELLED`; what connecting fails with.
    pub fn acquire(
        &self,
        deadline: Option<Instant>,
        cancelled: &dyn Fn() -> bool,
    ) -> HarvestResult<PooledConnection> {
        let started = Instant::now();
        let mut until = started + Duration::from_millis(self.config.acquire_timeout_ms);
        if let Some(deadline) = deadline {
            until = until.min(deadline);
        }
        self.lock().totals.gets += 1;
        let result = self.acquire_until(started, until, cancelled);
        let mut state = self.lock();
        if result.is_ok() {
            state.totals.gets_ok += 1;
        } else {
            state.totals.gets_failed += 1;
        }
        let wait_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        state.totals.wait_us = state.totals.wait_us.saturating_add(wait_us);
        let bucket = WAIT_BUCKETS_US.iter().position(|end| wait_us <= *end);
        state.totals.wait_buckets[bucket.unwrap_or(WAIT_BUCKETS_US.len())] += 1;
        result
    }

    fn acquire_until(
        &self,
        started: Instant,
        until: Instant,
        cancelled: &dyn Fn() -> bool,
    ) -> HarvestResult<PooledConnection> {
        // Each failed attempt is a connect failure that the breaker counts, so the loop ends.
        let mut last_failure: Option<HarvestError> = None;
        loop {
            let (loan, choice) = match self.wait_for_slot(until, cancelled) {
                Ok(found) => found,
                // A connect that failed a moment ago says more than "no backend" does.
                Err(error) if error.code == HarvestCode::Unavailable => {
                    return Err(last_failure.unwrap_or(error));
                }
                Err(error) => return Err(error),
            };
            let error = match self.prepare(loan, choice) {
                Ok(connection) => return Ok(connection),
                Err(error) => error,
            };
            let others = self.lock().slots.len() > 1;
            let patience = Duration::from_millis(self.config.acquire_timeout_ms / 2);
            let over = Instant::now() >= until || started.elapsed() > patience;
            if error.code != HarvestCode::Unavailable || !others || over {
                return Err(error);
            }
            last_failure = Some(error);
        }
    }

    /// Waits in order until a backend has an idle connection or room for a new one.
    fn wait_for_slot(
        &self,
        until: Instant,
        cancelled: &dyn Fn() -> bool,
    ) -> HarvestResult<(PooledConnection, Choice)> {
        let mut state = self.lock();
        if state.queue.is_empty()
            && let Some(choice) = self.choose(&mut state)?
        {
            state.totals.gets_immediate += 1;
            return Ok(choice);
        }
        if state.queue.len() >= self.config.waiters_max {
            drop(state);
            return Err(self.unavailable("too many callers wait for a connection"));
        }
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        let signal = Arc::new(Condvar::new());
        state.queue.push_back(Waiter { ticket, signal: Arc::clone(&signal) });
        let outcome = loop {
            if state.queue.front().is_some_and(|waiter| waiter.ticket == ticket) {
                match self.choose(&mut state) {
                    Ok(Some(choice)) => break Ok(choice),
                    Ok(None) => {}
                    Err(error) => break Err(error),
                }
            }
            if cancelled() {
                break Err(HarvestError::new(
                    HarvestCode::Cancelled,
                    "the call was cancelled while it waited",
                ));
            }
            let now = Instant::now();
            if now >= until {
                break Err(exhausted(&state, &self.config));
            }
            let wait = (until - now).min(Duration::from_millis(LOOK_AGAIN_MS));
            state = signal.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        };
        state.queue.retain(|waiter| waiter.ticket != ticket);
        // The next in line may be able to go on at once.
        let next = state.next_waiter();
        drop(state);
        wake(next);
        outcome
    }

    /// Picks a backend by weight among those with an idle connection or room; `None` means wait.
    fn choose(&self, state: &mut State) -> HarvestResult<Option<(PooledConnection, Choice)>> {
        if state.closed {
            return Err(HarvestError::new(HarvestCode::Unavailable, "the target is being closed"));
        }
        let now = Instant::now();
        let mut usable = false;
        let mut total = 0_u64;
        let mut candidates = Vec::new();
        for (at, slot) in state.slots.iter().enumerate() {
            if !slot.takes_calls(now) {
                continue;
            }
            usable = true;
            if !slot.idle.is_empty() || slot.member.capacity.is_free() {
                total += u64::from(slot.member.weight);
                candidates.push((at, u64::from(slot.member.weight)));
            }
        }
        if !usable {
            return Err(no_backend(state, &self.config, now));
        }
        let mut ticket = next_random(&mut state.random) % total.max(1);
        let chosen = candidates.iter().find(|(_, weight)| {
            let hit = ticket < *weight;
            ticket = ticket.saturating_sub(*weight);
            hit
        });
        let Some(&(at, _)) = chosen else { return Ok(None) };
        let loan = |choice| {
            (PooledConnection { pool: self.me.clone(), slot: at, idle: None, broken: false }, choice)
        };
        Ok(state.slots[at].take(now, &self.config).map(loan))
    }

    /// Makes the chosen connection ready, outside the lock.
    fn prepare(&self, mut loan: PooledConnection, choice: Choice) -> HarvestResult<PooledConnection> {
        let permit = match choice {
            Choice::Open(permit) => permit,
            Choice::Idle { mut idle, ping } => {
                let began = Instant::now();
                let ready = if ping { idle.connection.ping() } else { Ok(()) };
                if ready.and_then(|()| idle.connection.reset()).is_ok() {
                    let mut state = self.lock();
                    state.totals.resets += 1;
                    state.slots[loan.slot].alive(began);
                    drop(state);
                    loan.idle = Some(*idle);
                    return Ok(loan);
                }
                // The statement was not sent yet: the connection is replaced once, silently. Its siblings are from
                // the same time and most likely dead too.
                let mut state = self.lock();
                let stale = state.slots[loan.slot].drain_idle();
                state.totals.found_dead += 1;
                state.totals.closed += stale.len() as u64 + 1;
                drop(state);
                drop(stale);
                let Idle { connection, permit, .. } = *idle;
                drop(connection);
                permit
            }
        };
        loan.idle = Some(self.connect(loan.slot, permit)?);
        Ok(loan)
    }

    fn connect(&self, slot: usize, permit: Permit) -> HarvestResult<Idle> {
        let backend = Arc::clone(&self.lock().slots[slot].member.backend);
        let began = Instant::now();
        let opened = backend.connect();
        let mut state = self.lock();
        match opened {
            Ok(connection) => {
                state.slots[slot].connected(began);
                state.totals.opened += 1;
                Ok(Idle::fresh(connection, state.totals.opened, permit))
            }
            Err(error) => {
                state.slots[slot].connect_failed(&error, &self.config);
                state.totals.open_failed += 1;
                drop(state);
                Err(error.with("retry_after_ms", self.config.shun_ms.min(1_000)))
            }
        }
    }

    fn give_back(&self, slot: usize, idle: Option<Idle>, broken: bool) {
        let mut state = self.lock();
        state.slots[slot].returned();
        let next = state.next_waiter();
        let draining = state.closed;
        match idle {
            Some(mut idle) if !broken && !state.closed && state.slots[slot].keeps(&idle, &self.config) => {
                idle.idle_since = Instant::now();
                state.slots[slot].idle.push_back(idle);
                drop(state);
            }
            unfit => {
                state.totals.closed += u64::from(unfit.is_some());
                drop(state);
                // Closing may take a round trip; nobody waits for it under the lock.
                drop(unfit);
            }
        }
        wake(next);
        if draining {
            self.changed.notify_all();
        }
    }

    /// Closes connections that are idle or old beyond the bounds; meant to be called every few seconds.
    pub fn sweep(&self) {
        let now = Instant::now();
        let mut state = self.lock();
        let mut stale = Vec::new();
        for slot in &mut state.slots {
            stale.append(&mut slot.expired(now, &self.config));
        }
        state.totals.closed += stale.len() as u64;
        drop(state);
        if !stale.is_empty() {
            drop(stale);
            self.wake_next();
        }
    }

    /// Changes status and weight of a backend by name; tells whether it is a member.
    ///
    /// Setting OFFLINE_HARD closes idle connections at once; running calls lose theirs when they end.
    pub fn set_status(&self, name: &str, status: BackendStatus, weight: u32) -> bool {
        let mut state = self.lock();
        let now = Instant::now();
        let mut stale = Vec::new();
        let mut found = false;
        for slot in state.slots.iter_mut().filter(|slot| slot.member.name == name) {
            found = true;
            slot.set_status(status, weight, &self.config, now);
            if matches!(status, BackendStatus::OfflineHard | BackendStatus::OfflineSoft) {
                stale.append(&mut slot.drain_idle());
            }
        }
        state.totals.closed += stale.len() as u64;
        drop(state);
        drop(stale);
        self.wake_next();
        found
    }

    /// Refuses new acquisitions and closes idle connections; lent ones are closed when they come back.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let mut stale = Vec::new();
        for slot in &mut state.slots {
            stale.append(&mut slot.drain_idle());
        }
        state.totals.closed += stale.len() as u64;
        drop(state);
        drop(stale);
        // Each waiter that leaves wakes the one behind it.
        self.wake_next();
        self.changed.notify_all();
    }

    /// Closes and waits until every connection is back, at most until `deadline`; tells whether all are.
    #[must_use]
    pub fn drain(&self, deadline: Instant) -> bool {
        self.close();
        let mut state = self.lock();
        loop {
            if state.slots.iter().all(|slot| slot.used == 0) {
                return true;
            }
            let now = Instant::now();
            if now >= deadline {
                return false;
            }
            let wait = (deadline - now).min(Duration::from_millis(LOOK_AGAIN_MS));
            state = self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Counters by backend.
    #[must_use]
    pub fn stats(&self) -> Vec<PoolStats> {
        let now = Instant::now();
        self.lock().slots.iter().map(|slot| slot.stats(now)).collect()
    }

    /// Counters by backend, and sets those that only grow to zero in the same step.
    #[must_use]
    pub fn take_stats(&self) -> Vec<PoolStats> {
        let now = Instant::now();
        self.lock().slots.iter_mut().map(|slot| slot.take_stats(now)).collect()
    }

    /// Connections that nobody uses, one by one.
    #[must_use]
    pub fn idle_connections(&self) -> Vec<IdleConnection> {
        let ms = |since: Instant| u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        let state = self.lock();
        let mut all = Vec::new();
        for (member, slot) in state.slots.iter().enumerate() {
            all.extend(slot.idle.iter().map(|idle| IdleConnection {
                member,
                backend: slot.member.name.clone(),
                number: idle.number,
                age_ms: ms(idle.opened),
                idle_ms: ms(idle.idle_since),
            }));
        }
        all
    }

    /// Connections that nobody uses: backend, age and idle time in milliseconds.
    #[must_use]
    pub fn idle(&self) -> Vec<(String, u64, u64)> {
        let ms = |since: Instant| u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        let state = self.lock();
        let of = |slot: &Slot| {
            let name = slot.member.name.clone();
            slot.idle
                .iter()
                .map(|idle| (name.clone(), ms(idle.opened), ms(idle.idle_since)))
                .collect::<Vec<_>>()
        };
        state.slots.iter().flat_map(of).collect()
    }

    /// Counters of the whole pool.
    #[must_use]
    pub fn totals(&self) -> PoolTotals {
        let state = self.lock();
        PoolTotals { waiting: state.queue.len(), ..state.totals }
    }

    /// Whether some backend is ONLINE with a weight and a closed breaker.
    ///
    /// # Errors
    /// `UNAVAILABLE` with `status_counts`.
    pub fn executable(&self) -> HarvestResult<()> {
        let now = Instant::now();
        let state = self.lock();
        if state.slots.iter().any(|slot| slot.is_executable(now)) {
            return Ok(());
        }
        Err(no_backend(&state, &self.config, now))
    }

    fn wake_next(&self) {
        let next = self.lock().next_waiter();
        wake(next);
    }

    fn unavailable(&self, message: &str) -> HarvestError {
        HarvestError::new(HarvestCode::Unavailable, message)
            .with("retry_after_ms", self.config.acquire_timeout_ms.max(100))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("totals", &self.totals()).finish_non_exhaustive()
    }
}

fn status_counts(state: &State, now: Instant) -> serde_json::Value {
    let mut counts = serde_json::Map::new();
    for slot in &state.slots {
        let name = serde_json::to_value(slot.status(now)).ok();
        let name = name.as_ref().and_then(serde_json::Value::as_str).unwrap_or("UNKNOWN").to_owned();
        let count = counts.get(&name).and_then(serde_json::Value::as_u64).unwrap_or(0);
        counts.insert(name, (count + 1).into());
    }
    serde_json::Value::Object(counts)
}

fn no_backend(state: &State, config: &PoolConfig, now: Instant) -> HarvestError {
    let wait = state.slots.iter().filter_map(|slot| slot.reopens_in(now)).min();
    let retry_ms =
        wait.map_or(config.shun_ms, |wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)).max(100);
    HarvestError::new(HarvestCode::Unavailable, "no backend of the target is online: try again later")
        .with("status_counts", status_counts(state, now))
        .with("retry_after_ms", retry_ms)
}

fn exhausted(state: &State, config: &PoolConfig) -> HarvestError {
    HarvestError::new(
        HarvestCode::Unavailable,
        format!(
            "every connection of the target stayed in use for {} ms: try again later",
            config.acquire_timeout_ms
        ),
    )
    .with("status_counts", status_counts(state, Instant::now()))
    .with("retry_after_ms", config.acquire_timeout_ms.max(100))
}

/// xorshift: enough to spread calls over backends.
fn next_random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// A connection on loan; it goes back when dropped.
pub struct PooledConnection {
    pool: Weak<Pool>,
    slot: usize,
    idle: Option<Idle>,
    broken: bool,
}

impl PooledConnection {
    /// Position of its backend among the members of the pool.
    #[must_use]
    pub fn member(&self) -> usize {
        self.slot
    }

    /// Counts what a statement sent and received, in bytes.
    pub fn count_bytes(&self, sent: u64, received: u64) {
        let Some(pool) = self.pool.upgrade() else { return };
        if let Some(slot) = pool.lock().slots.get_mut(self.slot) {
            slot.count_bytes(sent, received);
        }
    }

    /// Tells the pool to close this connection instead of keeping it.
    pub fn mark_broken(&mut self) {
        self.broken = true;
    }

    /// The name of the backend that it leads to; empty when the pool is gone.
    #[must_use]
    pub fn backend_name(&self) -> String {
        let pool = self.pool.upgrade();
        pool.and_then(|pool| pool.lock().slots.get(self.slot).map(|slot| slot.member.name.clone()))
            .unwrap_or_default()
    }

    /// The connection.
    ///
    /// # Errors
    /// `INTERNAL` after the connection has been given back, which its owner cannot do.
    pub fn get(&mut self) -> HarvestResult<&mut dyn Connection> {
        match &mut self.idle {
            Some(idle) => Ok(idle.connection.as_mut()),
            None => Err(HarvestError::new(HarvestCode::Internal, "the connection was given back already")),
        }
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        // A panic while the connection was in use leaves it in an unknown state.
        let broken = self.broken || std::thread::panicking();
        if let Some(pool) = self.pool.upgrade() {
            pool.give_back(self.slot, self.idle.take(), broken);
        }
    }
}

impl fmt::Debug for PooledConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledConnection").field("slot", &self.slot).finish_non_exhaustive()
    }
}
