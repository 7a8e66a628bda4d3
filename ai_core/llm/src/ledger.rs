//! The money of the day and the cloud calls of the hour: reserved before a call, settled after it; it knows no provider.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ai_core::{LlmError, LlmErrorCode};
use serde::Serialize;

use crate::clock::{Clock, DAY_MS, utc_day};
use crate::money::Usd;
use crate::store::{LlmStore, UsageRow};

const HOUR_MS: u64 = 3_600_000;
/// Days of totals that are kept.
const DAYS_KEPT: u64 = 90;
/// Rows of totals at most; the oldest day goes first.
const TOTALS_MAX: usize = 100_000;

/// What one attempt may cost and under which limits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask {
    /// The most that it can cost.
    pub(crate) worst: Usd,
    /// Whether it goes to a cloud endpoint. Local attempts count in neither limit.
    pub(crate) cloud: bool,
    /// The day's limit.
    pub(crate) budget: Usd,
    /// The hour's limit.
    pub(crate) hourly_max: u32,
}

/// What an attempt was, for the ledger's row.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spent {
    pub(crate) kind: &'static str,
    pub(crate) provider: String,
    pub(crate) model: String,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) estimated: bool,
    pub(crate) cost: Usd,
    pub(crate) price_source: &'static str,
    pub(crate) caller: String,
    pub(crate) outcome: String,
}

/// Totals of one day, kind, provider, model and caller.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct UsageTotal {
    /// UTC day, days since 1970.
    pub day: u64,
    /// `llm`, `embed` or `rerank`.
    pub kind: String,
    /// Provider row or service.
    pub provider: String,
    /// Model.
    pub model: String,
    /// Who asked.
    pub caller: String,
    /// Attempts.
    pub requests: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Cost.
    pub cost: Usd,
}

/// How much is spent and counted now.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct SpendStatus {
    /// Spent on this UTC day.
    pub daily: Usd,
    /// Reserved by running calls.
    pub reserved: Usd,
    /// Cloud attempts in the last 60 minutes.
    pub cloud_requests_last_hour: u64,
    /// Rows that could not be made durable.
    pub write_errors: u64,
}

type TotalKey = (u64, String, String, String, String);

#[derive(Default)]
struct State {
    day: u64,
    spent: Usd,
    reserved: Usd,
    attempts_ms: VecDeque<u64>,
    totals: BTreeMap<TotalKey, UsageTotal>,
    write_errors: u64,
}

/// The ledger.
pub(crate) struct Ledger {
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
    store: Arc<dyn LlmStore>,
}

/// Money that is set aside for one attempt; given back when dropped without [`settle`](Self::settle).
pub(crate) struct Reservation<'l> {
    ledger: &'l Ledger,
    day: u64,
    amount: Usd,
    cloud: bool,
}

impl Ledger {
    /// A ledger that goes on where `store` ended.
    pub(crate) fn open(clock: Arc<dyn Clock>, store: Arc<dyn LlmStore>) -> ai_core::AiResult<Self> {
        let now = clock.now_ms();
        let today = utc_day(now);
        let mut state = State { day: today, ..State::default() };
        for row in store.load_usage(today.saturating_sub(DAYS_KEPT))? {
            if row.locality == "cloud" {
                if row.day == today {
                    state.spent = state.spent + Usd::from_units(row.cost_units);
                }
                if row.at_ms.saturating_add(HOUR_MS) > now {
                    state.attempts_ms.push_back(row.at_ms);
                }
            }
            state.add(&row);
        }
        Ok(Self { state: Mutex::new(state), clock, store })
    }

    fn lock(&self, now_ms: u64) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let today = utc_day(now_ms);
        if today > state.day {
            (state.day, state.spent, state.reserved) = (today, Usd::ZERO, Usd::ZERO);
        }
        while state.attempts_ms.front().is_some_and(|at| at.saturating_add(HOUR_MS) <= now_ms) {
            state.attempts_ms.pop_front();
        }
        state
    }

    fn judge(state: &State, ask: &Ask, now_ms: u64) -> Result<(), LlmError> {
        if !ask.cloud {
            return Ok(());
        }
        if ask.worst > Usd::ZERO && state.spent + state.reserved + ask.worst > ask.budget {
            let why = format!(
                "the call may cost {}, and of the day's budget of {} are {} spent and {} reserved; \
                 see daily_budget_usd",
                ask.worst, ask.budget, state.spent, state.reserved
            );
            let midnight = Duration::from_millis(DAY_MS - now_ms % DAY_MS);
            return Err(LlmError::new(LlmErrorCode::BudgetExceeded, why).with_retry_after(midnight));
        }
        if state.attempts_ms.len() >= ask.hourly_max as usize {
            let why = format!(
                "{} cloud calls in the last 60 minutes; see max_cloud_requests_per_hour",
                state.attempts_ms.len()
            );
            let oldest =
                state.attempts_ms.front().map_or(HOUR_MS, |at| (at + HOUR_MS).saturating_sub(now_ms));
            let error = LlmError::new(LlmErrorCode::HourlyCap, why);
            return Err(error.with_retry_after(Duration::from_millis(oldest)));
        }
        Ok(())
    }

    /// Sets the worst case aside and counts the attempt, both or neither.
    pub(crate) fn reserve(&self, ask: &Ask) -> Result<Reservation<'_>, LlmError> {
        let now = self.clock.now_ms();
        let mut state = self.lock(now);
        Self::judge(&state, ask, now)?;
        let amount = if ask.cloud { ask.worst } else { Usd::ZERO };
        if ask.cloud {
            state.attempts_ms.push_back(now);
        }
        state.reserved = state.reserved + amount;
        Ok(Reservation { ledger: self, day: state.day, amount, cloud: ask.cloud })
    }

    pub(crate) fn status(&self) -> SpendStatus {
        let state = self.lock(self.clock.now_ms());
        SpendStatus {
            daily: state.spent,
            reserved: state.reserved,
            cloud_requests_last_hour: state.attempts_ms.len() as u64,
            write_errors: state.write_errors,
        }
    }

    /// Totals of the last `days` UTC days, today included.
    pub(crate) fn totals(&self, days: u64) -> Vec<UsageTotal> {
        let state = self.lock(self.clock.now_ms());
        let since = (state.day + 1).saturating_sub(days.clamp(1, DAYS_KEPT));
        state.totals.values().filter(|t| t.day >= since).cloned().collect()
    }
}

impl State {
    fn add(&mut self, row: &UsageRow) {
        let key = (row.day, row.kind.clone(), row.provider.clone(), row.model.clone(), row.caller.clone());
        let total = self.totals.entry(key).or_insert_with(|| UsageTotal {
            day: row.day,
            kind: row.kind.clone(),
            provider: row.provider.clone(),
            model: row.model.clone(),
            caller: row.caller.clone(),
            ..UsageTotal::default()
        });
        total.requests += 1;
        total.failures += u64::from(row.outcome != "ok");
        total.input_tokens = total.input_tokens.saturating_add(row.input_tokens);
        total.output_tokens = total.output_tokens.saturating_add(row.output_tokens);
        total.cost = total.cost + Usd::from_units(row.cost_units);
        if self.totals.len() > TOTALS_MAX {
            self.totals.pop_first();
        }
    }
}

impl Reservation<'_> {
    /// Replaces the reservation by what the attempt really cost and writes the ledger's row.
    pub(crate) fn settle(self, spent: Spent) {
        let now = self.ledger.clock.now_ms();
        let row = UsageRow {
            at_ms: now,
            day: self.day,
            kind: spent.kind.to_owned(),
            provider: spent.provider,
            model: spent.model,
            locality: if self.cloud { "cloud" } else { "local" }.to_owned(),
            input_tokens: spent.input_tokens,
            output_tokens: spent.output_tokens,
            estimated: spent.estimated,
            cost_units: spent.cost.units(),
            price_source: spent.price_source.to_owned(),
            caller: spent.caller,
            outcome: spent.outcome,
        };
        {
            let mut state = self.ledger.lock(now);
            if self.cloud && state.day == self.day {
                state.spent = state.spent + spent.cost;
            }
            state.add(&row);
        }
        // Written outside the lock: a slow disk must not hold up other calls.
        if self.ledger.store.append_usage(&row).is_err() {
            self.ledger.lock(now).write_errors += 1;
        }
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut state = self.ledger.lock(self.ledger.clock.now_ms());
        if state.day == self.day {
            state.reserved = state.reserved.saturating_sub(self.amount);
        }
    }
}

#[cfg(test)]
mod tests;
