//! What a carrier holds: caches that share nothing, who waits for what in each, and what was counted. No socket, no clock.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use hickory_proto::rr::LowerName;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use voteburst_burst::cache::{Cache, CacheModel, CachedAnswer, Lookup, MOST_ENTRIES, Said};
use voteburst_burst::draw::{Stream, below, draw, unit};

use crate::stub::Kind;

/// How long a failure upstream stands before it is tried again: the least that RFC 9520, section 3.2, demands, and what BIND
/// does (`servfail-ttl`). A phone that asks again within a second so gets the same failure, and a zone in trouble no burst of
/// questions.
pub(super) const FAILURE_KEPT: Duration = Duration::from_secs(1);
/// How long stale answers are handed out before it is tried again (RFC 8767, section 5; BIND's `stale-refresh-time`).
pub(super) const STALE_RECHECK: Duration = Duration::from_secs(30);

/// What is asked for.
pub(super) type Key = (LowerName, Kind);

/// What a carrier counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarrierCounters {
    /// Queries of phones.
    pub queries: u64,
    /// Of those, answered from a cache while the answer was valid.
    pub hits: u64,
    /// Of those, all others: what they asked for was in no valid answer of the cache they met.
    pub misses: u64,
    /// Questions sent upstream, each counted once, however often it had to be repeated and however many servers it took.
    pub asked: u64,
    /// Of the misses, those that got an error because no upstream gave an answer; a name that does not exist is none.
    pub failures: u64,
    /// Of the misses, those that got an answer whose time was over, because no upstream gave a new one.
    pub stale: u64,
    /// Of the questions asked, those that renewed an answer before its end, with nobody waiting.
    pub prefetched: u64,
    /// Of the queries, those that were told that there is no such name or no such address, from a cache or not.
    pub negative: u64,
}

/// What an upstream said, and when.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) said: Said,
    pub(super) ttl_s: u32,
    pub(super) at: Duration,
}

/// A question that is to be asked upstream, for one of the caches.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    cache: usize,
    pub(super) key: Key,
    /// Counts all questions of the carrier.
    pub(super) number: u64,
}

/// What becomes of a query.
#[derive(Debug)]
pub(super) struct Met {
    /// The cache it met.
    pub(super) cache: usize,
    /// What is to be asked now, whether the query waits for it or not.
    pub(super) ask: Option<Ask>,
    pub(super) then: Then,
}

/// How a query goes on.
#[derive(Debug)]
pub(super) enum Then {
    /// This is its answer; none is a failure.
    Answer(Option<CachedAnswer>),
    /// It waits for what is heard upstream; nothing is a failure there.
    Wait(broadcast::Receiver<Option<Heard>>),
}

/// The caches of one carrier.
pub(super) struct Caches {
    caches: Vec<Unshared>,
    seed: u64,
    counters: CarrierCounters,
}

struct Unshared {
    cache: Cache<Key>,
    /// Identical questions in flight are one question upstream, as in real resolvers. The number tells whose entry it is.
    in_flight: HashMap<Key, (u64, broadcast::Sender<Option<Heard>>)>,
    /// When a question failed last.
    failed: HashMap<Key, Duration>,
}

impl Unshared {
    /// Whether a question failed less than `limit` ago.
    fn failed_within(&self, limit: Duration, key: &Key, now: Duration) -> bool {
        self.failed.get(key).is_some_and(|at| now.saturating_sub(*at) < limit)
    }

    fn note_failure(&mut self, key: &Key, now: Duration) {
        if self.failed.len() >= MOST_ENTRIES {
            self.failed.retain(|_, at| now.saturating_sub(*at) < STALE_RECHECK);
        }
        if self.failed.len() < MOST_ENTRIES {
            self.failed.insert(key.clone(), now);
        }
    }
}

impl Caches {
    /// So many empty caches; none counts as one.
    pub(super) fn new(model: CacheModel, count: u16, seed: u64) -> Self {
        // A seed of its own for each, or the same query id would be shuffled alike by all.
        let cache = |number| Unshared {
            cache: Cache::new(model, draw(seed, Stream::CarrierOrder, number)),
            in_flight: HashMap::new(),
            failed: HashMap::new(),
        };
        Self { caches: (0..u64::from(count.max(1))).map(cache).collect(), seed, counters: CarrierCounters::default() }
    }

    pub(super) fn count(&self) -> usize {
        self.caches.len()
    }

    pub(super) fn counters(&self) -> CarrierCounters {
        self.counters
    }

    /// Lets a query meet one of the caches, drawn by the query's number: its id turns the answer, and may not decide both.
    pub(super) fn meet(&mut self, key: &Key, id: u16, now: Duration) -> Met {
        let drawn = draw(self.seed, Stream::CarrierCache, self.counters.queries);
        self.counters.queries += 1;
        let cache = below(drawn, self.caches.len() as u64) as usize;
        let unshared = &mut self.caches[cache];
        let just_failed = unshared.failed_within(FAILURE_KEPT, key, now);
        if let Lookup::Hit { answer, refresh } = unshared.cache.lookup(key, id, now) {
            self.counters.hits += 1;
            let due = refresh && !just_failed && !unshared.in_flight.contains_key(key);
            let ask = due.then(|| self.start(cache, key).0);
            self.counters.prefetched += u64::from(ask.is_some());
            return Met { cache, ask, then: Then::Answer(self.handed(Some(answer))) };
        }
        self.counters.misses += 1;
        if let Some((_, asked)) = unshared.in_flight.get(key) {
            return Met { cache, ask: None, then: Then::Wait(asked.subscribe()) };
        }
        if unshared.failed_within(STALE_RECHECK, key, now) {
            let stale = unshared.cache.stale(key, id, now);
            if stale.is_some() || just_failed {
                return Met { cache, ask: None, then: Then::Answer(self.outdated(stale)) };
            }
        }
        let (ask, waiting) = self.start(cache, key);
        Met { cache, ask: Some(ask), then: Then::Wait(waiting) }
    }

    /// Takes in what came of a question, and tells all who wait for it.
    pub(super) fn heard(&mut self, ask: &Ask, heard: Option<Heard>, now: Duration) {
        let unshared = &mut self.caches[ask.cache];
        match &heard {
            Some(Heard { said, ttl_s, at }) => {
                unshared.failed.remove(&ask.key);
                unshared.cache.store(ask.key.clone(), said.clone(), *ttl_s, 0, *at, Duration::ZERO);
            }
            None => unshared.note_failure(&ask.key, now),
        }
        if let Some(waiting) = self.close(ask) {
            // Nobody may be waiting.
            let _ = waiting.send(heard);
        }
    }

    /// Ends a question, whatever came of it: who still waits will hear nothing.
    pub(super) fn close(&mut self, ask: &Ask) -> Option<broadcast::Sender<Option<Heard>>> {
        let in_flight = &mut self.caches[ask.cache].in_flight;
        let own = in_flight.get(&ask.key).is_some_and(|(number, _)| *number == ask.number);
        if own { in_flight.remove(&ask.key).map(|(_, waiting)| waiting) } else { None }
    }

    /// The answer to a query that waited.
    pub(super) fn waited(
        &mut self,
        cache: usize,
        key: &Key,
        heard: Option<Heard>,
        id: u16,
        now: Duration,
    ) -> Option<CachedAnswer> {
        let unshared = &self.caches[cache].cache;
        match heard {
            Some(Heard { said, ttl_s, .. }) => {
                let answer = unshared.pass_on(said, ttl_s, id);
                self.handed(Some(answer))
            }
            None => {
                let stale = unshared.stale(key, id, now);
                self.outdated(stale)
            }
        }
    }

    /// The number of a question that nobody waits for.
    pub(super) fn number(&mut self) -> u64 {
        self.counters.asked += 1;
        self.counters.asked
    }

    /// Keeps an answer as if it had been asked for long ago: its age is uniform over its TTL, the same part of it for both
    /// kinds of addresses, for phones ask for both at once.
    pub(super) fn keep_aged(&mut self, cache: usize, key: Key, Heard { said, ttl_s, at }: Heard) {
        let part = unit(draw(self.seed, Stream::CarrierPhase, cache as u64));
        let unshared = &mut self.caches[cache].cache;
        let kept = unshared.pass_on(said.clone(), ttl_s, 0).ttl_s;
        unshared.store(key, said, ttl_s, 0, at, Duration::from_secs(kept.into()).mul_f64(part));
    }

    fn start(&mut self, cache: usize, key: &Key) -> (Ask, broadcast::Receiver<Option<Heard>>) {
        let number = self.number();
        let (waiting, waits) = broadcast::channel(1);
        self.caches[cache].in_flight.insert(key.clone(), (number, waiting));
        (Ask { cache, key: key.clone(), number }, waits)
    }

    /// Counts an answer for which no upstream could be asked.
    fn outdated(&mut self, stale: Option<CachedAnswer>) -> Option<CachedAnswer> {
        match &stale {
            Some(_) => self.counters.stale += 1,
            None => self.counters.failures += 1,
        }
        self.handed(stale)
    }

    fn handed(&mut self, answer: Option<CachedAnswer>) -> Option<CachedAnswer> {
        let negative = answer.as_ref().is_some_and(|answer| match &answer.said {
            Said::NoSuchName => true,
            Said::Addresses(addresses) => addresses.is_empty(),
        });
        self.counters.negative += u64::from(negative);
        answer
    }
}
