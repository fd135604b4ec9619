//! Draws of a zone, out of answers that may be cached.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::{Observation, Seen};

/// How far apart the ends of one entry of a cache may seem to lie: TTLs are whole seconds, and answers take a moment.
const SAME_ENTRY: Duration = Duration::from_millis(1_500);

/// One draw: a set of addresses at an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Drawn {
    pub(super) server: usize,
    pub(super) at: Duration,
    /// The number of the set among [`Draws::sets`].
    pub(super) set: usize,
}

/// The draws of a zone, in order of time.
#[derive(Clone, Debug)]
pub(super) struct Draws {
    pub(super) list: Vec<Drawn>,
    /// Each set of addresses that was drawn, its addresses in order.
    pub(super) sets: Vec<Vec<IpAddr>>,
    /// The number of each set.
    numbers: BTreeMap<Vec<IpAddr>, usize>,
    /// How often each address was drawn, and stood first.
    addresses: BTreeMap<IpAddr, (usize, usize)>,
    pub(super) authoritative: bool,
    /// The greatest TTL of a draw, in seconds.
    pub(super) ttl_s: u32,
    /// Whether that is the zone's own TTL: from an authority, or from a cache that was seen to ask anew.
    pub(super) ttl_known: bool,
}

impl Draws {
    /// The draws among answers that are sorted by time.
    pub(super) fn of(seen: &[&Observation]) -> Self {
        let authoritative = seen.iter().any(|seen| seen.authoritative);
        let mut draws = Self {
            list: Vec::new(),
            sets: Vec::new(),
            numbers: BTreeMap::new(),
            addresses: BTreeMap::new(),
            authoritative,
            ttl_s: 0,
            ttl_known: authoritative,
        };
        let mut entries: Vec<(usize, Vec<IpAddr>, Duration)> = Vec::new();
        for seen in seen.iter().filter(|seen| seen.authoritative == authoritative) {
            let mut set = seen.addresses.clone();
            set.sort_unstable();
            set.dedup();
            if !authoritative {
                let ends = seen.at + Duration::from_secs(seen.ttl_s.into());
                entries.retain(|(_, _, end)| *end + SAME_ENTRY >= seen.at);
                let same = |entry: &(usize, Vec<IpAddr>, Duration)| {
                    entry.0 == seen.server && entry.1 == set && entry.2.abs_diff(ends) <= SAME_ENTRY
                };
                if entries.iter().any(same) {
                    continue;
                }
                draws.ttl_known |= draws.list.iter().any(|drawn| drawn.server == seen.server);
                entries.push((seen.server, set.clone(), ends));
            }
            draws.add(seen, set);
        }
        draws
    }

    fn add(&mut self, seen: &Observation, set: Vec<IpAddr>) {
        for address in &set {
            let (times, first) = self.addresses.entry(*address).or_default();
            *times += 1;
            *first += usize::from(seen.addresses.first() == Some(address));
        }
        self.ttl_s = self.ttl_s.max(seen.ttl_s);
        let next = self.sets.len();
        let number = *self.numbers.entry(set.clone()).or_insert(next);
        if number == next {
            self.sets.push(set);
        }
        self.list.push(Drawn { server: seen.server, at: seen.at, set: number });
    }

    /// How many addresses there are.
    pub(super) fn distinct(&self) -> usize {
        self.addresses.len()
    }

    /// Fewest and most addresses of a draw.
    pub(super) fn sizes(&self) -> (usize, usize) {
        let sizes = || self.sets.iter().map(Vec::len);
        (sizes().min().unwrap_or(0), sizes().max().unwrap_or(0))
    }

    /// How often the set changed from one draw to the next.
    pub(super) fn changes(&self) -> usize {
        self.list.windows(2).filter(|pair| pair[0].set != pair[1].set).count()
    }

    /// Every address that was answered, those of caches that were no draws included.
    pub(super) fn counted(&self, seen: &[&Observation]) -> Vec<Seen> {
        let mut all: Vec<IpAddr> = seen.iter().flat_map(|seen| seen.addresses.iter().copied()).collect();
        all.sort_unstable();
        all.dedup();
        let count = |address: IpAddr| {
            let (draws, first) = self.addresses.get(&address).copied().unwrap_or_default();
            Seen { address, draws, first }
        };
        all.into_iter().map(count).collect()
    }

    /// Instants between two draws at which the set changed.
    fn boundaries(&self) -> Vec<f64> {
        let changed = self.list.windows(2).filter(|pair| pair[0].set != pair[1].set);
        changed.map(|pair| (pair[0].at + pair[1].at).as_secs_f64() / 2.0).collect()
    }

    /// How long one set stays: the mean time between changes, the first and last run left out, for they were seen in part.
    /// With one change nothing is known of it but that it is no shorter than the longer of the two runs.
    pub(super) fn window_s(&self) -> Option<f64> {
        let boundaries = self.boundaries();
        match boundaries.as_slice() {
            [] => None,
            [only] => {
                let (first, last) = (self.list.first()?.at.as_secs_f64(), self.list.last()?.at.as_secs_f64());
                Some((only - first).max(last - only))
            }
            [first, .., last] => Some((last - first) / (boundaries.len() - 1) as f64),
        }
    }

    /// The usual time between two draws, in seconds; `None` with fewer than two.
    pub(super) fn gap_s(&self) -> Option<f64> {
        let mut gaps: Vec<Duration> = self.list.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
        gaps.sort_unstable();
        gaps.get(gaps.len() / 2).map(Duration::as_secs_f64)
    }

    /// Whether a set came again after another one had taken its place.
    pub(super) fn came_round(&self) -> bool {
        let mut runs: Vec<usize> = self.list.iter().map(|drawn| drawn.set).collect();
        runs.dedup();
        runs.len() > self.sets.len()
    }
}
