//! The moment at which a call must be over; it does not know who set it or how a host shows lateness.

use std::time::{Duration, Instant};

use crate::error::{AiError, AiErrorCode, AiResult};

/// A point in time after which work must stop; copied freely along a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    at: Instant,
}

impl Deadline {
    /// The longest deadline that can be asked for, in milliseconds (one day).
    pub const MAX_MS: u64 = 86_400_000;

    /// A deadline `ms` milliseconds from now, at most [`Self::MAX_MS`].
    #[must_use]
    pub fn after_ms(ms: u64) -> Self {
        Self { at: Instant::now() + Duration::from_millis(ms.min(Self::MAX_MS)) }
    }

    /// A deadline at `at`.
    #[must_use]
    pub const fn at(at: Instant) -> Self {
        Self { at }
    }

    /// The instant itself.
    #[must_use]
    pub const fn instant(self) -> Instant {
        self.at
    }

    /// Time left, zero when it is over.
    #[must_use]
    pub fn remaining(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Whether the time is over.
    #[must_use]
    pub fn is_over(self) -> bool {
        self.remaining().is_zero()
    }

    /// The earlier of this deadline and `ms` milliseconds from now.
    #[must_use]
    pub fn capped_ms(self, ms: u64) -> Self {
        let other = Self::after_ms(ms);
        if other.at < self.at { other } else { self }
    }

    /// A deadline after `percent` percent of the time left, for one stage of a call.
    #[must_use]
    pub fn share(self, percent: u32) -> Self {
        Self { at: Instant::now() + self.remaining() * percent.min(100) / 100 }
    }

    /// `DEADLINE_EXCEEDED` when the time is over.
    ///
    /// # Errors
    /// When the deadline has passed; `what` names the work that did not finish.
    pub fn check(self, what: &str) -> AiResult<()> {
        if self.is_over() {
            return Err(AiError::new(
                AiErrorCode::DeadlineExceeded,
                format!("time was over before {what}; ask for less or allow more time"),
            ));
        }
        Ok(())
    }
}
