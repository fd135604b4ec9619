//! A carrier's cache: what one resolver keeps of its answers, and in which order it hands them out.
//!
//! Time is handed in, so that the wire's carrier and a forecast under virtual time run the same code.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::draw::{Stream, below, draw};

/// The most answers a cache keeps. A rehearsal asks for a handful of names; whoever else finds the carrier must not be able
/// to fill its machine's memory.
pub const MOST_ENTRIES: usize = 10_000;

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

/// How a carrier caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheModel {
    /// Shorter TTLs are stretched to this, in seconds.
    pub ttl_min_s: u32,
    /// Longer TTLs are cut to this, in seconds.
    pub ttl_max_s: u32,
    /// In which order cached answers are handed out.
    pub order: CacheOrder,
}

/// Addresses with the TTL they have left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedAnswer {
    /// The addresses, in the order they are handed out; none when the name has none of this kind.
    pub addresses: Vec<IpAddr>,
    /// Whole seconds left.
    pub ttl_s: u32,
}

/// What a cache knows of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// This.
    Hit(CachedAnswer),
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

#[derive(Clone, Debug)]
struct Entry {
    addresses: Vec<IpAddr>,
    expires: Duration,
}

impl<K: Eq + Hash> Cache<K> {
    /// An empty cache. `seed` is what shuffled orders are drawn from.
    #[must_use]
    pub fn new(model: CacheModel, seed: u64) -> Self {
        Self { model, seed, entries: HashMap::new() }
    }

    /// Looks a key up at `now`, for the query with this id. An answer is valid before its end, not at it.
    pub fn lookup(&self, key: &K, query_id: u16, now: Duration) -> Lookup {
        let Some(entry) = self.entries.get(key).filter(|entry| now < entry.expires) else { return Lookup::Miss };
        let ttl_s = u32::try_from((entry.expires - now).as_secs()).unwrap_or(u32::MAX);
        Lookup::Hit(CachedAnswer { addresses: self.ordered(&entry.addresses, query_id), ttl_s })
    }

    /// Keeps an answer that came at `now` and returns it as it is handed to the one who asked, clamped TTL and all.
    ///
    /// A TTL of 0 after clamping is not kept (RFC 1035, section 3.2.1), nor is anything new while [`MOST_ENTRIES`] are valid.
    pub fn store(&mut self, key: K, addresses: Vec<IpAddr>, ttl_s: u32, query_id: u16, now: Duration) -> CachedAnswer {
        let ttl_s = ttl_s.max(self.model.ttl_min_s).min(self.model.ttl_max_s);
        let answer = CachedAnswer { addresses: self.ordered(&addresses, query_id), ttl_s };
        if ttl_s > 0 && self.has_room(&key, now) {
            self.entries.insert(key, Entry { addresses, expires: now.saturating_add(Duration::from_secs(ttl_s.into())) });
        }
        answer
    }

    /// Whether this key can be kept; drops what has expired when nothing else helps.
    fn has_room(&mut self, key: &K, now: Duration) -> bool {
        if self.entries.len() >= MOST_ENTRIES && !self.entries.contains_key(key) {
            self.entries.retain(|_, entry| now < entry.expires);
        }
        self.entries.len() < MOST_ENTRIES || self.entries.contains_key(key)
    }

    fn ordered(&self, addresses: &[IpAddr], query_id: u16) -> Vec<IpAddr> {
        let mut ordered = addresses.to_vec();
        if ordered.is_empty() {
            return ordered;
        }
        match self.model.order {
            CacheOrder::Fixed => {}
            CacheOrder::Rotate => {
                let by = usize::from(query_id) % ordered.len();
                ordered.rotate_left(by);
            }
            CacheOrder::Shuffle => {
                for end in (1..ordered.len()).rev() {
                    let drawn = draw(self.seed, Stream::CarrierOrder, u64::from(query_id) << 16 | end as u64);
                    ordered.swap(end, below(drawn, end as u64 + 1) as usize);
                }
            }
        }
        ordered
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    const MODEL: CacheModel = CacheModel { ttl_min_s: 0, ttl_max_s: 86_400, order: CacheOrder::Rotate };

    fn addresses(count: u8) -> Vec<IpAddr> {
        (0..count).map(|i| Ipv4Addr::new(127, 0, 0, i).into()).collect()
    }

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn an_answer_lives_for_its_ttl_and_counts_down() {
        let mut cache = Cache::new(MODEL, 1);
        assert_eq!(cache.store("vote", addresses(1), 5, 0, at(10.0)).ttl_s, 5);
        let left = |now| match cache.lookup(&"vote", 0, at(now)) {
            Lookup::Hit(answer) => Some(answer.ttl_s),
            Lookup::Miss => None,
        };
        assert_eq!([10.0, 10.5, 14.0, 14.9, 15.0, 99.0].map(left), [Some(5), Some(4), Some(1), Some(0), None, None]);
        assert_eq!(cache.lookup(&"other", 0, at(10.0)), Lookup::Miss);
    }

    #[test]
    fn ttls_are_clamped_and_zero_is_not_kept() {
        // TTL, least, most, TTL handed out, kept after half a second.
        for (ttl, least, most, out, kept) in
            [(0, 0, 60, 0, false), (0, 30, 60, 30, true), (300, 0, 60, 60, true), (5, 0, 0, 0, false)]
        {
            let mut cache = Cache::new(CacheModel { ttl_min_s: least, ttl_max_s: most, ..MODEL }, 1);
            assert_eq!(cache.store(0, addresses(1), ttl, 0, at(0.0)).ttl_s, out);
            assert_eq!(cache.lookup(&0, 0, at(0.5)) != Lookup::Miss, kept, "{ttl}");
        }
    }

    #[test]
    fn orders_are_even_or_fixed_as_modelled() {
        for (order, even) in [(CacheOrder::Rotate, true), (CacheOrder::Shuffle, true), (CacheOrder::Fixed, false)] {
            let mut cache = Cache::new(CacheModel { order, ..MODEL }, 9);
            cache.store(0, addresses(8), 60, 0, at(0.0));
            let mut firsts = [0; 8];
            for id in 0..8_000 {
                let Lookup::Hit(answer) = cache.lookup(&0, id, at(1.0)) else { panic!("kept for a minute") };
                assert_eq!(answer.addresses.len(), 8);
                let IpAddr::V4(first) = answer.addresses[0] else { panic!("only IPv4 was stored") };
                firsts[usize::from(first.octets()[3])] += 1;
            }
            // 1,000 each, with a standard deviation of 30 when shuffled.
            assert_eq!(firsts.iter().all(|count| (850..1_150).contains(count)), even, "{order:?} {firsts:?}");
        }
    }

    #[test]
    fn a_name_without_addresses_is_kept_as_such() {
        let mut cache = Cache::new(MODEL, 1);
        cache.store(0, vec![], 5, 3, at(0.0));
        assert_eq!(cache.lookup(&0, 3, at(1.0)), Lookup::Hit(CachedAnswer { addresses: vec![], ttl_s: 4 }));
    }

    #[test]
    fn a_full_cache_keeps_what_it_has_until_that_expires() {
        let mut cache = Cache::new(MODEL, 1);
        let mut kept = |key, now| {
            let handed = cache.store(key, addresses(1), 60, 0, at(now));
            assert_eq!(handed.addresses, addresses(1), "handed out, whether kept or not");
            cache.lookup(&key, 0, at(now)) != Lookup::Miss
        };
        assert!((0..MOST_ENTRIES).all(|key| kept(key, 0.0)));
        assert!(!kept(MOST_ENTRIES, 59.0), "no room");
        assert!(kept(0, 59.0), "what is there may be renewed");
        assert!(kept(MOST_ENTRIES, 60.0), "all others have expired");
        assert_eq!(cache.entries.len(), 2);
    }

    proptest! {
        #[test]
        fn a_hit_is_what_was_stored_and_never_outlives_it(
            order in prop_oneof![Just(CacheOrder::Rotate), Just(CacheOrder::Shuffle), Just(CacheOrder::Fixed)],
            (ttl, least, most) in (0_u32..500, 0_u32..300, 0_u32..500),
            (count, id, seed) in (0_u8..20, any::<u16>(), any::<u64>()),
            (stored_ms, age_ms) in (0_u64..1_000_000, 0_u64..600_000),
        ) {
            let mut cache = Cache::new(CacheModel { ttl_min_s: least, ttl_max_s: most, order }, seed);
            let (stored, age) = (Duration::from_millis(stored_ms), Duration::from_millis(age_ms));
            let handed = cache.store((), addresses(count), ttl, id, stored);
            match cache.lookup(&(), id, stored + age) {
                Lookup::Miss => prop_assert!(age >= Duration::from_secs(handed.ttl_s.into())),
                Lookup::Hit(hit) => {
                    prop_assert_eq!(&hit.addresses, &handed.addresses, "the same query id turns an answer the same way");
                    let end = age + Duration::from_secs(hit.ttl_s.into());
                    let whole = Duration::from_secs(handed.ttl_s.into());
                    // Whole seconds, rounded down: at most one second is lost, none is won.
                    prop_assert!(end <= whole && whole < end + Duration::from_secs(1));
                    let mut sorted = hit.addresses;
                    sorted.sort_unstable();
                    prop_assert_eq!(sorted, addresses(count));
                }
            }
        }
    }
}
