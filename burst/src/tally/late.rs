//! How late the generator was, second by second: small histograms that merge by counts.
//!
//! The histograms of a proxy tell lateness to 0.1 % but not when it was; these tell when, and how much to within a half.

use super::{HIGHEST_US, MOST_SECONDS};

/// Places of a [`LateSecond`]: two for each power of two of microseconds, up to [`HIGHEST_US`].
pub const LATE_PLACES: usize = 60;

/// Lateness of the votes that were planned for one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LateSecond {
    counts: [u32; LATE_PLACES],
}

impl Default for LateSecond {
    fn default() -> Self {
        Self { counts: [0; LATE_PLACES] }
    }
}

impl LateSecond {
    /// Counts by place; place p holds what is at most [`highest_us`]`(p)` and more than that of the one before.
    #[must_use]
    pub fn counts(&self) -> &[u32; LATE_PLACES] {
        &self.counts
    }

    /// How many votes were counted.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.counts.iter().copied().map(u64::from).sum()
    }

    /// Whether none was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }

    /// What this quantile in [0, 1] is at most, in milliseconds, and more than two thirds of which it is; `None` when nothing
    /// was counted.
    #[must_use]
    pub fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        let rank = (quantile * self.len() as f64).ceil().max(1.0);
        let mut seen = 0_u64;
        let place = self.counts.iter().position(|count| {
            seen += u64::from(*count);
            seen as f64 >= rank
        })?;
        Some(highest_us(place) as f64 / 1_000.0)
    }

    /// Adds all counts of another one.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts) {
            *mine = mine.saturating_add(theirs);
        }
    }
}

/// The place of a lateness in microseconds.
fn place_of(micros: u64) -> usize {
    let micros = micros.min(HIGHEST_US);
    match micros.checked_ilog2() {
        None | Some(0) => micros as usize,
        Some(octave) => 2 * octave as usize + usize::from(micros >> (octave - 1) & 1 == 1),
    }
}

/// The highest lateness of a place, in microseconds.
#[must_use]
pub fn highest_us(place: usize) -> u64 {
    let next = place as u64 + 1;
    // The first two places hold 0 and 1; place 2k begins at 2^k, place 2k + 1 half way to the next power.
    if next < 2 { 0 } else { ((2 + next % 2) << (next / 2 - 1)) - 1 }
}

/// Lateness by the second that votes were planned for, in seconds since the doors opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LateSeconds {
    first: u32,
    seconds: Vec<LateSecond>,
}

impl LateSeconds {
    /// Counts one vote, planned for this second after the doors opened and so many nanoseconds late.
    pub fn record_ns(&mut self, second: u32, nanos: u64) {
        let count = &mut self.second(second).counts[place_of(nanos / 1_000)];
        *count = count.saturating_add(1);
    }

    /// Adds a count that came over the wire; places beyond [`LATE_PLACES`] count in the last one.
    pub fn add(&mut self, second: u32, place: usize, count: u32) {
        let sum = &mut self.second(second).counts[place.min(LATE_PLACES - 1)];
        *sum = sum.saturating_add(count);
    }

    /// The second of the first entry of [`LateSeconds::seconds`].
    #[must_use]
    pub fn first(&self) -> u32 {
        self.first
    }

    /// One entry per second from the first to the last in which a vote was due.
    #[must_use]
    pub fn seconds(&self) -> &[LateSecond] {
        &self.seconds
    }

    /// The votes planned for a second.
    #[must_use]
    pub fn at(&self, second: u32) -> Option<&LateSecond> {
        self.seconds.get(second.checked_sub(self.first)? as usize)
    }

    /// All seconds added up.
    #[must_use]
    pub fn total(&self) -> LateSecond {
        let mut total = LateSecond::default();
        self.seconds.iter().for_each(|second| total.merge(second));
        total
    }

    /// Adds all counts of another one.
    pub fn merge(&mut self, other: &Self) {
        for (second, theirs) in (other.first..).zip(&other.seconds) {
            self.second(second).merge(theirs);
        }
    }

    fn second(&mut self, second: u32) -> &mut LateSecond {
        let second = second.min(MOST_SECONDS - 1);
        if self.seconds.is_empty() {
            self.first = second;
        } else if second < self.first {
            let missing = (self.first - second) as usize;
            self.seconds.splice(0..0, std::iter::repeat_n(LateSecond::default(), missing));
            self.first = second;
        }
        let index = (second - self.first) as usize;
        if self.seconds.len() <= index {
            self.seconds.resize(index + 1, LateSecond::default());
        }
        &mut self.seconds[index]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_place_ends_where_the_next_one_begins() {
        for place in 0..LATE_PLACES {
            assert_eq!(place_of(highest_us(place)), place.min(place_of(HIGHEST_US)), "place {place}");
            if place < place_of(HIGHEST_US) {
                assert_eq!(place_of(highest_us(place) + 1), place + 1, "after place {place}");
            }
        }
        assert_eq!(place_of(u64::MAX), place_of(HIGHEST_US));
        assert!(place_of(HIGHEST_US) < LATE_PLACES);
    }

    #[test]
    fn a_second_without_votes_has_no_quantile() {
        assert_eq!(LateSecond::default().quantile_ms(0.99), None);
        assert!(LateSeconds::default().total().is_empty());
    }

    #[test]
    fn what_comes_before_the_first_second_finds_its_place_too() {
        let mut late = LateSeconds::default();
        late.record_ns(9, 0);
        late.record_ns(7, 5_000);
        let len = |second| late.at(second).map(LateSecond::len);
        assert_eq!((late.first(), [6, 7, 8, 9, 10].map(len)), (7, [None, Some(1), Some(0), Some(1), None]));
    }

    #[test]
    fn seconds_beyond_the_last_that_is_kept_count_in_it() {
        let mut late = LateSeconds::default();
        late.record_ns(u32::MAX, 1);
        assert_eq!((late.first(), late.seconds().len()), (MOST_SECONDS - 1, 1));
    }

    proptest! {
        #[test]
        fn a_quantile_is_no_less_than_the_true_one_and_less_than_half_more(
            mut micros in proptest::collection::vec(0_u64..HIGHEST_US, 1..200),
            quantile in 0.0_f64..=1.0,
        ) {
            let mut late = LateSeconds::default();
            micros.iter().for_each(|micros| late.record_ns(3, micros * 1_000));
            micros.sort_unstable();
            let rank = (quantile * micros.len() as f64).ceil().max(1.0) as usize;
            let (truth, found) = (micros[rank - 1] as f64, late.total().quantile_ms(quantile).unwrap() * 1_000.0);
            prop_assert!(truth <= found && found < truth.mul_add(1.5, 1.0), "{found} for {truth}");
        }

        #[test]
        fn merged_parts_equal_the_whole_in_any_order(
            events in proptest::collection::vec((0_u32..50, 0_u64..2_000_000_000_000), 0..60),
            cut in 0_usize..60,
        ) {
            let of = |events: &[(u32, u64)]| {
                let mut late = LateSeconds::default();
                events.iter().for_each(|(second, nanos)| late.record_ns(*second, *nanos));
                late
            };
            let (one, other) = events.split_at(cut.min(events.len()));
            let (mut there, mut back) = (of(one), of(other));
            there.merge(&of(other));
            back.merge(&of(one));
            prop_assert_eq!(&there, &of(&events));
            prop_assert_eq!(&back, &of(&events));
        }
    }
}
