//! A fixed lock-free table from 64-bit keys to three words; a torn entry reads as absent.

use std::sync::atomic::{AtomicU64, Ordering};

const WAYS: usize = 4;

#[derive(Debug, Default)]
struct Slot {
    check: AtomicU64,
    a: AtomicU64,
    b: AtomicU64,
    c: AtomicU64,
}

/// Ties the words of an entry together: a mixture of two writers never matches.
#[inline]
fn seal(key: u64, [a, b, c]: [u64; 3]) -> u64 {
    key ^ a ^ b.rotate_left(21) ^ c.rotate_left(43)
}

/// Lossy by design: a new entry replaces an old one of its set.
#[derive(Debug)]
pub(crate) struct WordCache {
    slots: Box<[Slot]>,
    mask: usize,
}

impl WordCache {
    /// `entries` is rounded up to a power of two.
    pub(crate) fn new(entries: usize) -> Self {
        let n = entries.next_power_of_two().max(WAYS);
        Self { slots: (0..n).map(|_| Slot::default()).collect(), mask: n - 1 }
    }

    fn set(&self, key: u64) -> usize {
        (key >> 20) as usize & self.mask & !(WAYS - 1)
    }

    #[inline]
    pub(crate) fn get(&self, key: u64) -> Option<[u64; 3]> {
        let at = self.set(key);
        for slot in &self.slots[at..at + WAYS] {
            let a = slot.a.load(Ordering::Relaxed);
            let b = slot.b.load(Ordering::Relaxed);
            let words = [a, b, slot.c.load(Ordering::Relaxed)];
            if a != 0 && slot.check.load(Ordering::Acquire) == seal(key, words) {
                return Some(words);
            }
        }
        None
    }

    /// Stores three words; the first must not be 0.
    pub(crate) fn put(&self, key: u64, [a, b, c]: [u64; 3]) {
        let at = self.set(key);
        let ways = &self.slots[at..at + WAYS];
        let holds = |s: &Slot| {
            let words = [&s.a, &s.b, &s.c].map(|w| w.load(Ordering::Relaxed));
            s.check.load(Ordering::Relaxed) == seal(key, words) && words[0] != 0
        };
        let same = ways.iter().position(holds);
        let empty = || ways.iter().position(|s| s.check.load(Ordering::Relaxed) == 0);
        let slot = &ways[same.or_else(empty).unwrap_or((key >> 60) as usize % WAYS)];
        slot.a.store(a, Ordering::Relaxed);
        slot.b.store(b, Ordering::Relaxed);
        slot.c.store(c, Ordering::Relaxed);
        slot.check.store(seal(key, [a, b, c]), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_and_replaces() {
        let c = WordCache::new(64);
        for k in 1..=10_000_u64 {
            let key = k.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            c.put(key, [k, k + 1, 0]);
            assert_eq!(c.get(key), Some([k, k + 1, 0]));
            c.put(key, [k, 7, 9]);
            assert_eq!(c.get(key), Some([k, 7, 9]));
        }
        assert_eq!(c.get(0x1234_5678_9ABC), None);
    }
}
