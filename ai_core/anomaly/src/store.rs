//! All profiles in shards that readers never lock; it does not know what a profile learns.

use crate::digest::mix;
use crate::profile::Profile;
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

const SHARDS: usize = 64;

/// Keys are hashes already.
#[derive(Debug, Default, Clone)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for b in bytes {
            self.0 = mix(self.0, u64::from(*b));
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

pub(crate) type KeyMap<V> = HashMap<u64, V, BuildHasherDefault<KeyHasher>>;

#[derive(Debug, Default)]
struct Shard {
    map: ArcSwap<KeyMap<Arc<Profile>>>,
    /// Serialises writers; readers never take it.
    writing: Mutex<()>,
}

#[derive(Debug)]
pub(crate) struct ProfileStore {
    shards: Box<[Shard]>,
}

/// Hash of one user at one place.
#[inline]
pub(crate) fn profile_key(seed: u64, user: &str, host: Option<IpAddr>, schema: &str) -> u64 {
    let h = bytes(seed, user.as_bytes());
    let h = match host {
        None => mix(h, 1),
        Some(IpAddr::V4(a)) => mix(h, 2 | u64::from(u32::from(a)) << 8),
        Some(IpAddr::V6(a)) => mix(mix(h, u128::from(a) as u64), (u128::from(a) >> 64) as u64),
    };
    bytes(h, schema.as_bytes())
}

#[inline]
fn bytes(mut h: u64, text: &[u8]) -> u64 {
    let mut chunks = text.chunks_exact(8);
    for c in &mut chunks {
        h = mix(h, c.iter().fold(0, |w, b| w << 8 | u64::from(*b)));
    }
    let tail = chunks.remainder().iter().fold(0, |w, b| w << 8 | u64::from(*b));
    mix(mix(h, tail), text.len() as u64)
}

impl ProfileStore {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Shard::default()).collect() }
    }

    fn shard(&self, key: u64) -> &Shard {
        &self.shards[(key >> 56) as usize % SHARDS]
    }

    /// Runs `f` on the profile under `key`, if there is one; no lock, no reference count.
    #[inline]
    pub(crate) fn with<R>(&self, key: u64, f: impl FnOnce(&Profile) -> R) -> Option<R> {
        self.shard(key).map.load().get(&key).map(|p| f(p))
    }

    /// The profile under `key`, made by `make` if it is missing; drops the least recently used
    /// when its shard is full.
    pub(crate) fn ensure(&self, key: u64, keys_max: usize, make: impl FnOnce() -> Profile) {
        let shard = self.shard(key);
        let Ok(_writing) = shard.writing.lock() else { return };
        let map = shard.map.load_full();
        if map.contains_key(&key) {
            return;
        }
        let mut next = KeyMap::clone(&map);
        let shard_max = keys_max.div_ceil(SHARDS).max(1);
        while next.len() >= shard_max {
            let oldest = next.iter().min_by_key(|(_, p)| p.used_s.load(Ordering::Relaxed)).map(|(k, _)| *k);
            let Some(oldest) = oldest else { break };
            next.remove(&oldest);
        }
        next.insert(key, Arc::new(make()));
        shard.map.store(Arc::new(next));
    }

    pub(crate) fn all(&self) -> Vec<Arc<Profile>> {
        self.shards.iter().flat_map(|s| s.map.load().values().cloned().collect::<Vec<_>>()).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|s| s.map.load().len()).sum()
    }

    /// Removes the profiles that `f` picks; returns how many.
    pub(crate) fn remove_if(&self, f: impl Fn(&Profile) -> bool) -> usize {
        let mut removed = 0;
        for shard in &self.shards {
            let Ok(_writing) = shard.writing.lock() else { continue };
            let map = shard.map.load_full();
            let mut next = KeyMap::clone(&map);
            next.retain(|_, p| !f(p));
            removed += map.len() - next.len();
            shard.map.store(Arc::new(next));
        }
        removed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_profiles_is_bounded_and_the_oldest_goes() {
        let s = ProfileStore::new();
        for i in 0..20_000_u64 {
            let name = format!("u{i}");
            let key = profile_key(1, &name, None, "");
            s.ensure(key, 640, || Profile::new(&name, None, "", 16, i * 1000));
        }
        assert!(s.len() <= 640, "{}", s.len());
        let key = profile_key(1, "u19999", None, "");
        assert_eq!(s.with(key, |p| p.user.clone()).as_deref(), Some("u19999"));
        assert_eq!(s.remove_if(|p| p.user == "u19999"), 1);
    }

    #[test]
    fn keys_tell_places_apart() {
        let host: Option<IpAddr> = Some("10.0.0.1".parse().unwrap());
        let keys = [
            profile_key(1, "a", None, "b"),
            profile_key(1, "ab", None, ""),
            profile_key(1, "a", host, "b"),
            profile_key(1, "", None, "ab"),
            profile_key(2, "a", None, "b"),
        ];
        for (i, a) in keys.iter().enumerate() {
            assert!(keys[i + 1..].iter().all(|b| a != b));
        }
    }
}
