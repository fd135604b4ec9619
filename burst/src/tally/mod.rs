//! What happened, per proxy and per second: counters and histograms that merge without loss.
//!
//! A tally only ever grows. Snapshots of it are cumulative, so the newest one of an agent replaces all before
//! it, and the fleet's tally is the sum of the newest ones: loss, repetition and reordering of snapshots
//! cannot change a result. Percentiles are taken last, from merged counts; they are never averaged.

mod late;
mod lookups;
mod response;

use std::net::IpAddr;

use hdrhistogram::Histogram;

pub use late::{LATE_PLACES, LateSecond, LateSeconds, highest_us};
pub use lookups::{Asker, Group, LookupFailure, Lookups, PhoneGroup};
pub use response::{
    RESPONSE_BANDS, RESPONSE_PLACES, ResponseBands, ResponseSecond, ResponseSeconds, band_ms, band_of, lowest_us,
};

use crate::outcome::Failure;

/// Lowest value of every histogram, in microseconds.
pub const LOWEST_US: u64 = 1;
/// Highest value of every histogram, in microseconds: ten minutes. Longer ones count as this and in [`Latency::clipped`].
pub const HIGHEST_US: u64 = 600_000_000;
/// Significant decimal digits of every histogram: values are kept to within 0.1 %.
pub const DIGITS: u8 = 3;

/// A latency histogram in microseconds with the bounds that all voteburst processes share.
///
/// Merging histograms of equal bounds adds counts index by index, which loses nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Latency {
    counts: Histogram<u32>,
    clipped: u64,
}

impl Latency {
    /// An empty histogram.
    #[must_use]
    pub fn new() -> Self {
        #[expect(clippy::expect_used, reason = "the bounds are constants; the test below constructs one")]
        let counts = Histogram::new_with_bounds(LOWEST_US, HIGHEST_US, DIGITS).expect("constant bounds are valid");
        Self { counts, clipped: 0 }
    }

    /// A histogram from counts that came over the wire.
    ///
    /// Returns `None` when its bounds are not the shared ones, for then merging would re-sort values.
    #[must_use]
    pub fn from_counts(counts: Histogram<u32>, clipped: u64) -> Option<Self> {
        let same = counts.low() == LOWEST_US && counts.high() == HIGHEST_US && counts.sigfig() == DIGITS;
        same.then_some(Self { counts, clipped })
    }

    /// Counts one value, in nanoseconds. Values below a microsecond count as one, values above ten minutes as ten
    /// minutes and as clipped.
    pub fn record_ns(&mut self, nanos: u64) {
        let micros = nanos / 1_000;
        if micros > HIGHEST_US {
            self.clipped += 1;
        }
        self.counts.saturating_record(micros.clamp(LOWEST_US, HIGHEST_US));
    }

    /// Counts a value in microseconds so many times, as a histogram that came over the wire tells of it. Unlike
    /// [`Latency::record_ns`] this says nothing of values that were clipped: see [`Latency::add_clipped`].
    pub fn add_us(&mut self, micros: u64, count: u32) {
        self.counts.saturating_record_n(micros, count);
    }

    /// Says that so many of the counted values were above the highest one that fits.
    pub fn add_clipped(&mut self, clipped: u64) {
        self.clipped = self.clipped.saturating_add(clipped);
    }

    /// Adds all counts of another one.
    pub fn merge(&mut self, other: &Self) {
        // Equal bounds by construction, so adding cannot fail; a mistake here must not pass in silence.
        if let Err(error) = self.counts.add(&other.counts) {
            unreachable!("histograms of equal bounds refuse to merge: {error:?}");
        }
        self.clipped = self.clipped.saturating_add(other.clipped);
    }

    /// The counts themselves, for serialisation.
    #[must_use]
    pub fn counts(&self) -> &Histogram<u32> {
        &self.counts
    }

    /// How many values were above the highest one that fits.
    #[must_use]
    pub fn clipped(&self) -> u64 {
        self.clipped
    }

    /// How many values were counted.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.counts.len()
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The value at a quantile in [0, 1], in milliseconds; `None` when nothing was counted.
    #[must_use]
    pub fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        (!self.is_empty()).then(|| self.counts.value_at_quantile(quantile).min(self.counts.max()) as f64 / 1_000.0)
    }

    /// The largest value, in milliseconds; `None` when nothing was counted.
    #[must_use]
    pub fn max_ms(&self) -> Option<f64> {
        (!self.is_empty()).then(|| self.counts.max() as f64 / 1_000.0)
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

/// What happened in one second at one proxy. Only counts of events, so that seconds of several agents add up;
/// levels (open connections, votes in flight) are running sums of differences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Second {
    /// Connections opened.
    pub opened: u32,
    /// Connections closed, by either side.
    pub closed: u32,
    /// Of those, closed by the proxy while no vote was in flight.
    pub closed_idle: u32,
    /// Attempts to connect that did not become a phone's connection, because another address won the race, or because they
    /// failed before the phone went on to the next address. The proxy sees them all the same.
    pub also_rans: u32,
    /// DNS answers whose first address was this proxy.
    pub dns_answers: u32,
    /// Attempts whose bytes began to leave.
    pub sent: u32,
    /// Of those sent, attempts that ended, with an answer or without.
    pub ended: u32,
    /// Votes accepted.
    pub accepted: u32,
    /// Attempts that failed, by [`Failure`] number.
    pub failed: [u32; Failure::COUNT],
}

impl Second {
    /// Adds all counts of another one.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.opened, other.opened),
            (&mut self.closed, other.closed),
            (&mut self.closed_idle, other.closed_idle),
            (&mut self.also_rans, other.also_rans),
            (&mut self.dns_answers, other.dns_answers),
            (&mut self.sent, other.sent),
            (&mut self.ended, other.ended),
            (&mut self.accepted, other.accepted),
        ] {
            *mine = mine.saturating_add(theirs);
        }
        for (mine, theirs) in self.failed.iter_mut().zip(other.failed) {
            *mine = mine.saturating_add(theirs);
        }
    }

    /// All failed attempts, whatever their class.
    #[must_use]
    pub fn failed_total(&self) -> u64 {
        self.failed.iter().copied().map(u64::from).sum()
    }
}

/// Everything counted for one proxy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProxyTally {
    /// Planned instant to accepted answer, of accepted votes, retries and waits included.
    pub response: Latency,
    /// First byte written to last byte of the answer, of every answered attempt, whatever its status.
    pub service: Latency,
    /// Planned instant to the moment the viewer began to act: the generator's own error, never the target's.
    pub lateness: Latency,
    /// The seconds since the doors opened; index 0 begins at that instant.
    pub seconds: Vec<Second>,
    /// The response times of accepted votes once more, by the second that each was planned for.
    pub response_by_second: ResponseSeconds,
}

impl ProxyTally {
    /// The counters of a second, which are made when they are first needed.
    ///
    /// `second` counts from the doors-open instant. One hour of them is the most that is kept:
    /// what comes later counts in the last one.
    pub fn second(&mut self, second: u32) -> &mut Second {
        let index = second.min(MOST_SECONDS - 1) as usize;
        if self.seconds.len() <= index {
            self.seconds.resize(index + 1, Second::default());
        }
        &mut self.seconds[index]
    }

    /// Adds all counts of another one.
    pub fn merge(&mut self, other: &Self) {
        self.response.merge(&other.response);
        self.service.merge(&other.service);
        self.lateness.merge(&other.lateness);
        self.response_by_second.merge(&other.response_by_second);
        if self.seconds.len() < other.seconds.len() {
            self.seconds.resize(other.seconds.len(), Second::default());
        }
        for (mine, theirs) in self.seconds.iter_mut().zip(&other.seconds) {
            mine.merge(theirs);
        }
    }

    /// All seconds added up.
    #[must_use]
    pub fn total(&self) -> Second {
        let mut total = Second::default();
        for second in &self.seconds {
            total.merge(second);
        }
        total
    }

    /// Open connections at the end of each second.
    #[must_use]
    pub fn open_by_second(&self) -> Vec<i64> {
        running_sum(&self.seconds, |s| i64::from(s.opened) - i64::from(s.closed))
    }

    /// Attempts in flight at the end of each second.
    #[must_use]
    pub fn in_flight_by_second(&self) -> Vec<i64> {
        running_sum(&self.seconds, |s| i64::from(s.sent) - i64::from(s.ended))
    }
}

/// The most seconds a tally keeps per proxy: one hour.
pub const MOST_SECONDS: u32 = 3_600;

fn running_sum(seconds: &[Second], step: impl Fn(&Second) -> i64) -> Vec<i64> {
    let mut level = 0;
    seconds
        .iter()
        .map(|second| {
            level += step(second);
            level
        })
        .collect()
}

/// Position of a proxy in one tally: found once per connection, then used for every vote on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProxyIndex(u16);

/// Everything counted, per proxy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    proxies: Vec<(IpAddr, ProxyTally)>,
    /// What happened before a proxy was known: votes that failed at DNS, and their lateness.
    pub unplaced: ProxyTally,
    /// What phones made of DNS.
    pub lookups: Lookups,
    /// How late the generator was, by second; the histograms of proxies hold the same votes without their seconds.
    pub late: LateSeconds,
}

impl Tally {
    /// The position of a proxy, which is added when it is new.
    pub fn index(&mut self, address: IpAddr) -> ProxyIndex {
        let known = self.proxies.iter().position(|(known, _)| *known == address);
        let index = known.unwrap_or_else(|| {
            self.proxies.push((address, ProxyTally::default()));
            self.proxies.len() - 1
        });
        // An answer can hold a few hundred addresses at most; 65,535 different proxies mean a hostile zone,
        // and then the last one takes what is left over.
        ProxyIndex(u16::try_from(index).unwrap_or(u16::MAX))
    }

    /// The counters of a proxy of this tally.
    pub fn proxy(&mut self, index: ProxyIndex) -> &mut ProxyTally {
        &mut self.proxies[usize::from(index.0)].1
    }

    /// The address of a proxy of this tally.
    #[must_use]
    pub fn address(&self, index: ProxyIndex) -> IpAddr {
        self.proxies[usize::from(index.0)].0
    }

    /// All proxies, by address.
    #[must_use]
    pub fn proxies(&self) -> Vec<(IpAddr, &ProxyTally)> {
        let mut sorted: Vec<_> = self.proxies.iter().map(|(address, tally)| (*address, tally)).collect();
        sorted.sort_unstable_by_key(|(address, _)| *address);
        sorted
    }

    /// Adds all counts of another one.
    pub fn merge(&mut self, other: &Self) {
        for (address, theirs) in &other.proxies {
            let index = self.index(*address);
            self.proxy(index).merge(theirs);
        }
        self.unplaced.merge(&other.unplaced);
        self.lookups.merge(&other.lookups);
        self.late.merge(&other.late);
    }

    /// All proxies and what is unplaced, added up.
    #[must_use]
    pub fn total(&self) -> ProxyTally {
        let mut total = self.unplaced.clone();
        for (_, proxy) in &self.proxies {
            total.merge(proxy);
        }
        total
    }
}

#[cfg(test)]
mod tests;
