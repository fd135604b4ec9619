//! What happened, per proxy and per second: counters and histograms that merge without loss.
//!
//! A tally only ever grows. Snapshots of it are cumulative, so the newest one of an agent replaces all before
//! it, and the fleet's tally is the sum of the newest ones: loss, repetition and reordering of snapshots
//! cannot change a result. Percentiles are taken last, from merged counts; they are never averaged.

use std::net::IpAddr;

use hdrhistogram::Histogram;

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

    /// Adds all counts of another one.
    pub fn merge(&mut self, other: &Self) {
        // Equal bounds by construction, so adding cannot fail; a mistake here must not pass in silence.
        if let Err(error) = self.counts.add(&other.counts) {
            unreachable!("histograms of equal bounds refuse to merge: {error:?}");
        }
        self.clipped += other.clipped;
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
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    struct Event {
        proxy: u8,
        second: u32,
        latency_ns: u64,
        failure: Option<usize>,
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let event = (0_u8..5, 0_u32..90, 0_u64..1_000_000_000_000, proptest::option::of(0..Failure::COUNT))
            .prop_map(|(proxy, second, latency_ns, failure)| Event { proxy, second, latency_ns, failure });
        proptest::collection::vec(event, 0..60)
    }

    fn count(events: &[Event]) -> Tally {
        let mut tally = Tally::default();
        for event in events {
            let index = tally.index(Ipv4Addr::new(127, 0, 0, event.proxy).into());
            let proxy = tally.proxy(index);
            let second = proxy.second(event.second);
            second.sent += 1;
            second.ended += 1;
            match event.failure {
                Some(class) => second.failed[class] += 1,
                None => second.accepted += 1,
            }
            proxy.response.record_ns(event.latency_ns);
        }
        tally
    }

    /// Equal whatever the order in which proxies were first seen.
    fn same(a: &Tally, b: &Tally) -> bool {
        a.proxies() == b.proxies() && a.unplaced == b.unplaced
    }

    proptest! {
        #[test]
        fn merged_parts_equal_the_whole_count_for_count(all in events(), cut in 0_usize..60) {
            let cut = cut.min(all.len());
            let mut merged = count(&all[..cut]);
            merged.merge(&count(&all[cut..]));
            prop_assert!(same(&merged, &count(&all)));
        }

        #[test]
        fn the_order_of_merging_does_not_matter(a in events(), b in events(), c in events()) {
            let (a, b, c) = (count(&a), count(&b), count(&c));
            let mut one = a.clone();
            one.merge(&b);
            one.merge(&c);
            let mut other = c;
            other.merge(&a);
            other.merge(&b);
            prop_assert!(same(&one, &other));
        }
    }

    #[test]
    fn levels_are_running_sums_of_what_opened_and_closed() {
        let mut proxy = ProxyTally::default();
        proxy.second(0).opened = 5;
        proxy.second(2).closed = 3;
        proxy.second(3).opened = 1;
        assert_eq!(proxy.open_by_second(), [5, 5, 2, 3]);
    }

    #[test]
    fn values_beyond_ten_minutes_are_clipped_and_counted_as_such() {
        let mut latency = Latency::new();
        latency.record_ns(0);
        latency.record_ns(601_000_000_000);
        assert_eq!((latency.len(), latency.clipped()), (2, 1));
        assert!((latency.max_ms().unwrap() - 600_000.0).abs() / 600_000.0 < 0.001);
    }

    #[test]
    fn seconds_beyond_the_last_one_count_in_the_last_one() {
        let mut proxy = ProxyTally::default();
        proxy.second(u32::MAX).sent += 1;
        assert_eq!(proxy.seconds.len(), MOST_SECONDS as usize);
        assert_eq!(proxy.total().sent, 1);
    }

    #[test]
    fn quantiles_of_nothing_are_nothing() {
        assert_eq!(Latency::new().quantile_ms(0.99), None);
    }
}
