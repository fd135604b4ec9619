//! A carrier's cache: what one resolver keeps of its answers, and in which order it hands them out.
//!
//! Time is handed in, so that the wire's carrier and a forecast under virtual time run the same code: [`Slot`] is what a
//! cache knows of one name, [`Cache`] holds one slot for each key.

mod slot;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use slot::{Freshness, Slot};

use crate::draw::{Stream, below, draw};

/// The most answers a cache keeps. A rehearsal asks for a handful of names; whoever else finds the carrier must not be able
/// to fill its machine's memory.
pub const MOST_ENTRIES: usize = 10_000;
/// The TTL of a stale answer, in seconds (RFC 8767, section 4: recommended 30; unbound's `serve-expired-reply-ttl`).
pub const STALE_TTL_S: u32 = 30;

/// In which order a cached answer is handed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CacheOrder {
    /// Turned by an offset from the query's id, so that each address is first equally often: unbound (`rrset-roundrobin`,
    /// util/data/msgencode.c) and BIND's cyclic order; dnsmasq permutes to the same effect.
    #[default]
    Rotate,
    /// Shuffled for every answer: systemd-resolved, BIND's random order.
    Shuffle,
    /// As it came: PowerDNS Recursor's packet cache, hickory-resolver.
    Fixed,
}

impl CacheOrder {
    /// Puts `addresses` into `out` in the order in which the query with this id gets them. `seed` is what shuffled orders
    /// are drawn from.
    pub fn arrange<A: Copy>(self, addresses: &[A], seed: u64, query_id: u16, out: &mut Vec<A>) {
        out.clear();
        out.extend_from_slice(addresses);
        match self {
            Self::Fixed => {}
            Self::Rotate => {
                let by = usize::from(query_id) % out.len().max(1);
                out.rotate_left(by);
            }
            Self::Shuffle => {
                for end in (1..out.len()).rev() {
                    let drawn = draw(seed, Stream::CarrierOrder, u64::from(query_id) << 16 | end as u64);
                    out.swap(end, below(drawn, end as u64 + 1) as usize);
                }
            }
        }
    }
}

/// How a carrier caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheModel {
    /// Shorter TTLs are stretched to this, in seconds.
    pub ttl_min_s: u32,
    /// Longer TTLs are cut to this, in seconds.
    pub ttl_max_s: u32,
    /// In which order cached answers are handed out.
    pub order: CacheOrder,
    /// An answer that is asked for in this last part of its TTL is asked for anew at once, in percent from 0 (never) to 99
    /// (unbound's `prefetch`: 10).
    pub prefetch_pct: u8,
    /// How long after its end an answer may still be handed out when nobody upstream answers, in seconds; 0 is never
    /// (RFC 8767; unbound's `serve-expired`).
    pub stale_s: u32,
    /// The longest that "no such name" and "no such addresses" are kept, in seconds (RFC 2308, section 5).
    pub negative_ttl_max_s: u32,
}

impl Default for CacheModel {
    /// unbound's defaults: nothing clamped below a day, rotated answers, no prefetch, nothing stale, negative answers for an
    /// hour at most (unbound.conf(5): `cache-max-ttl`, `cache-max-negative-ttl`).
    fn default() -> Self {
        Self {
            ttl_min_s: 0,
            ttl_max_s: 86_400,
            order: CacheOrder::Rotate,
            prefetch_pct: 0,
            stale_s: 0,
            negative_ttl_max_s: 3_600,
        }
    }
}

impl CacheModel {
    /// The TTL that is kept and handed out for one from upstream.
    #[must_use]
    pub fn clamped(&self, ttl_s: u32) -> u32 {
        ttl_s.max(self.ttl_min_s).min(self.ttl_max_s)
    }
}

/// What an upstream said of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// These addresses; none when the name has none of the kind asked for.
    Addresses(Vec<IpAddr>),
    /// There is no such name.
    NoSuchName,
}

/// Addresses with the TTL they have left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedAnswer {
    /// What was said, the addresses in the order they are handed out.
    pub said: Said,
    /// Whole seconds left.
    pub ttl_s: u32,
}

/// What a cache knows of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// This. `refresh`: it is due to be asked for anew, though this query has its answer.
    Hit {
        /// What is handed out.
        answer: CachedAnswer,
        /// Whether to ask upstream now.
        refresh: bool,
    },
    /// Nothing that is still valid.
    Miss,
}

/// One carrier's cache. Keys are whatever the caller tells questions apart by.
#[derive(Clone, Debug)]
pub struct Cache<K> {
    model: CacheModel,
    seed: u64,
    entries: HashMap<K, Entry>,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    slot: Slot<IpAddr>,
    no_such_name: bool,
}

impl<K: Eq + Hash> Cache<K> {
    /// An empty cache. `seed` is what shuffled orders are drawn from.
    #[must_use]
    pub fn new(model: CacheModel, seed: u64) -> Self {
        Self { model, seed, entries: HashMap::new() }
    }

    /// Looks a key up at `now`, for the query with this id. An answer is valid before its end, not at it.
    pub fn lookup(&self, key: &K, query_id: u16, now: Duration) -> Lookup {
        let Some(entry) = self.entries.get(key) else { return Lookup::Miss };
        match entry.slot.freshness(&self.model, now) {
            Freshness::Fresh { ttl_s, refresh } => Lookup::Hit { answer: self.handed(entry, ttl_s, query_id), refresh },
            Freshness::Stale | Freshness::Gone => Lookup::Miss,
        }
    }

    /// What may be handed out although its time is over, when nobody upstream answers; also what is still valid.
    pub fn stale(&self, key: &K, query_id: u16, now: Duration) -> Option<CachedAnswer> {
        let entry = self.entries.get(key)?;
        match entry.slot.freshness(&self.model, now) {
            Freshness::Fresh { ttl_s, .. } => Some(self.handed(entry, ttl_s, query_id)),
            Freshness::Stale => Some(self.handed(entry, STALE_TTL_S, query_id)),
            Freshness::Gone => None,
        }
    }

    /// Keeps what was said at `now`, of which `age` is already over, and returns it as it is handed to the one who asked.
    ///
    /// A TTL of 0 after clamping is not kept (RFC 1035, section 3.2.1), nor is anything new while [`MOST_ENTRIES`] are valid.
    pub fn store(&mut self, key: K, said: Said, ttl_s: u32, query_id: u16, now: Duration, age: Duration) -> CachedAnswer {
        let (entry, ttl_s) = self.entry(said, ttl_s, now, age);
        let answer = self.handed(&entry, ttl_s, query_id);
        if ttl_s > 0 && self.has_room(&key, now) {
            self.entries.insert(key, entry);
        }
        answer
    }

    /// What the query with this id is handed of what was just said for it and others who waited. Keeps nothing.
    #[must_use]
    pub fn pass_on(&self, said: Said, ttl_s: u32, query_id: u16) -> CachedAnswer {
        let (entry, ttl_s) = self.entry(said, ttl_s, Duration::ZERO, Duration::ZERO);
        self.handed(&entry, ttl_s, query_id)
    }

    fn entry(&self, said: Said, ttl_s: u32, now: Duration, age: Duration) -> (Entry, u32) {
        let (addresses, no_such_name) = match said {
            Said::Addresses(addresses) => (addresses, false),
            Said::NoSuchName => (Vec::new(), true),
        };
        let mut entry = Entry { slot: Slot::default(), no_such_name };
        let ttl_s = entry.slot.keep(&self.model, &addresses, ttl_s, now, age);
        (entry, ttl_s)
    }

    /// Whether this key can be kept; drops what is gone when nothing else helps.
    fn has_room(&mut self, key: &K, now: Duration) -> bool {
        if self.entries.len() >= MOST_ENTRIES && !self.entries.contains_key(key) {
            self.entries.retain(|_, entry| !matches!(entry.slot.freshness(&self.model, now), Freshness::Gone));
        }
        self.entries.len() < MOST_ENTRIES || self.entries.contains_key(key)
    }

    fn handed(&self, entry: &Entry, ttl_s: u32, query_id: u16) -> CachedAnswer {
        if entry.no_such_name {
            return CachedAnswer { said: Said::NoSuchName, ttl_s };
        }
        let mut ordered = Vec::new();
        self.model.order.arrange(entry.slot.addresses(), self.seed, query_id, &mut ordered);
        CachedAnswer { said: Said::Addresses(ordered), ttl_s }
    }
}
