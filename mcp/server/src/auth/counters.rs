//! Counts per minute, bounded in keys: rates of tokens and failures of addresses; it does not know HTTP.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(60);

struct Window {
    start: Instant,
    count: u32,
}

/// Counters by key, each over a window of one minute.
pub(crate) struct Counters {
    windows: Mutex<HashMap<String, Window>>,
    keys_max: usize,
}

impl Counters {
    pub(crate) fn new(keys_max: usize) -> Self {
        Self { windows: Mutex::new(HashMap::new()), keys_max: keys_max.max(1) }
    }

    /// Counts one event. Gives the seconds to wait if `max` had been reached already.
    pub(crate) fn hit(&self, key: &str, max: u32) -> Result<(), u64> {
        let now = Instant::now();
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(window) = windows.get_mut(key) {
            if now.duration_since(window.start) >= WINDOW {
                *window = Window { start: now, count: 0 };
            }
            if window.count >= max {
                return Err(rest_s(window, now));
            }
            window.count += 1;
            return Ok(());
        }
        self.make_room(&mut windows, now);
        windows.insert(key.to_owned(), Window { start: now, count: 1 });
        if max == 0 { Err(WINDOW.as_secs()) } else { Ok(()) }
    }

    /// Seconds to wait if `key` has reached `max`, without counting.
    pub(crate) fn blocked(&self, key: &str, max: u32) -> Option<u64> {
        let now = Instant::now();
        let windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.get(key)?;
        (now.duration_since(window.start) < WINDOW && window.count >= max).then(|| rest_s(window, now))
    }

    /// Old windows leave first; when all are fresh, the oldest does.
    fn make_room(&self, windows: &mut HashMap<String, Window>, now: Instant) {
        if windows.len() < self.keys_max {
            return;
        }
        windows.retain(|_, w| now.duration_since(w.start) < WINDOW);
        if windows.len() >= self.keys_max
            && let Some(oldest) = windows.iter().min_by_key(|(_, w)| w.start).map(|(k, _)| k.clone())
        {
            windows.remove(&oldest);
        }
    }
}

fn rest_s(window: &Window, now: Instant) -> u64 {
    WINDOW.saturating_sub(now.duration_since(window.start)).as_secs().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_and_keys_are_bounded() {
        let counters = Counters::new(2);
        assert!(counters.hit("a", 2).is_ok() && counters.hit("a", 2).is_ok());
        assert!(counters.hit("a", 2).is_err_and(|wait| (1..=60).contains(&wait)));
        assert!(counters.blocked("a", 2).is_some() && counters.blocked("b", 2).is_none());
        for key in ["b", "c", "d"] {
            assert!(counters.hit(key, 2).is_ok());
        }
        assert!(counters.windows.lock().unwrap().len() <= 2);
    }
}
