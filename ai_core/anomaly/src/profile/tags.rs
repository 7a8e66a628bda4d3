//! A bounded set of hashes by tag; it does not know what was hashed.

use super::PROBES;
use std::sync::atomic::{AtomicU32, Ordering};

const SEEN: u32 = 1;
const AGAIN: u32 = 2;
const TAG_MASK: u32 = !3;

/// Remembers hashes by 30-bit tags; knows which were seen more than once.
#[derive(Debug)]
pub(crate) struct TagSet {
    slots: Box<[AtomicU32]>,
    len: AtomicU32,
    max: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Insert {
    New,
    Second,
    Known,
    Full,
}

impl TagSet {
    pub(crate) fn new(max: usize) -> Self {
        let slots = (max + max / 2).next_power_of_two();
        Self {
            slots: (0..slots).map(|_| AtomicU32::new(0)).collect(),
            len: AtomicU32::new(0),
            max: max as u32,
        }
    }

    fn probes(&self, hash: u64) -> impl Iterator<Item = &AtomicU32> {
        let mask = self.slots.len() - 1;
        let from = hash as usize & mask;
        (0..PROBES).map(move |i| &self.slots[(from + i) & mask])
    }

    fn tag(hash: u64) -> u32 {
        (hash >> 32) as u32 & TAG_MASK | SEEN
    }

    #[inline]
    pub(crate) fn contains(&self, hash: u64) -> bool {
        let tag = Self::tag(hash) & TAG_MASK;
        for slot in self.probes(hash) {
            let v = slot.load(Ordering::Relaxed);
            if v == 0 {
                return false;
            }
            if v & TAG_MASK == tag {
                return true;
            }
        }
        false
    }

    pub(crate) fn insert(&self, hash: u64) -> Insert {
        let tag = Self::tag(hash);
        for slot in self.probes(hash) {
            let mut v = slot.load(Ordering::Relaxed);
            if v == 0 {
                if self.len.load(Ordering::Relaxed) >= self.max {
                    return Insert::Full;
                }
                match slot.compare_exchange(0, tag, Ordering::AcqRel, Ordering::Relaxed) {
                    Ok(_) => {
                        self.len.fetch_add(1, Ordering::Relaxed);
                        return Insert::New;
                    }
                    Err(now) => v = now,
                }
            }
            if v & TAG_MASK == tag & TAG_MASK {
                let before = slot.fetch_or(AGAIN, Ordering::AcqRel);
                return if before & AGAIN == 0 { Insert::Second } else { Insert::Known };
            }
        }
        Insert::Full
    }

    pub(crate) fn len(&self) -> u32 {
        self.len.load(Ordering::Relaxed)
    }

    pub(crate) fn dump(&self) -> (usize, Vec<(u32, u32)>) {
        let used = self.slots.iter().enumerate().map(|(i, s)| (i as u32, s.load(Ordering::Relaxed)));
        (self.slots.len(), used.filter(|(_, v)| *v != 0).collect())
    }

    /// Restores a dump of a set with as many slots; false if it does not fit.
    pub(crate) fn restore(&self, slots: usize, used: &[(u32, u32)]) -> bool {
        if slots != self.slots.len() || used.iter().any(|(i, _)| *i as usize >= slots) {
            return false;
        }
        for (i, v) in used {
            if self.slots[*i as usize].swap(*v, Ordering::Relaxed) == 0 {
                self.len.fetch_add(1, Ordering::Relaxed);
            }
        }
        true
    }
}

impl TagSet {
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }
}
