//! How long voters waited, by the second that their votes were planned for: coarse histograms that merge by counts.
//!
//! The histograms of a proxy tell response times to 0.1 % but not when they were; these tell when, and how much to within an
//! eighth. A second is the planned one: votes that waited until an outage was over show where they began to wait, and a second
//! in which nothing was answered is not empty (Tene calls the other way coordinated omission,
//! <https://github.com/giltene/wrk2#acknowledgements>).

use std::collections::BTreeMap;

use super::{HIGHEST_US, MOST_SECONDS};

/// Places of a response time: one for each microsecond below eight, then eight for each power of two, up to [`HIGHEST_US`].
pub const RESPONSE_PLACES: usize = 224;

/// Places that make a band of a heat map: half a power of two, so that a dozen bands hold most bursts.
const PLACES_PER_BAND: usize = 4;
/// How many bands there are.
pub const RESPONSE_BANDS: usize = RESPONSE_PLACES / PLACES_PER_BAND;

/// Steps within a power of two.
const STEPS: u64 = 8;

/// The place of a response time in microseconds.
fn place_of(micros: u64) -> u8 {
    let micros = micros.min(HIGHEST_US);
    let place = match micros.checked_ilog2() {
        Some(octave @ 3..) => STEPS * u64::from(octave - 2) + ((micros >> (octave - 3)) & (STEPS - 1)),
        _ => micros,
    };
    // HIGHEST_US lies in octave 29, so the highest place is below 224.
    place as u8
}

/// The least response time of a place, in microseconds; of [`RESPONSE_PLACES`] where the last one ends.
#[must_use]
pub fn lowest_us(place: usize) -> u64 {
    let place = place as u64;
    if place < STEPS { place } else { (STEPS + place % STEPS) << (place / STEPS - 1) }
}

/// The band that a place below [`RESPONSE_PLACES`] belongs to.
#[must_use]
pub fn band_of(place: usize) -> usize {
    place / PLACES_PER_BAND
}

/// The least response time of a band, in milliseconds; of [`RESPONSE_BANDS`] where the last one ends.
#[must_use]
pub fn band_ms(band: usize) -> f64 {
    lowest_us(band * PLACES_PER_BAND) as f64 / 1_000.0
}

/// Response times of the accepted votes that were planned for one second: places in order, with their counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseSecond {
    counts: Vec<(u8, u32)>,
}

impl ResponseSecond {
    /// How many votes were counted.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.counts.iter().map(|(_, count)| u64::from(*count)).sum()
    }

    /// Whether none was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Counts by place, places in order; place p holds what is at least [`lowest_us`]`(p)` and below that of the next.
    pub fn counts(&self) -> impl Iterator<Item = (usize, u32)> {
        self.counts.iter().map(|(place, count)| (usize::from(*place), *count))
    }

    /// What this quantile in [0, 1] is at most, in milliseconds, and more than eight ninths of which it is; `None` when
    /// nothing was counted.
    #[must_use]
    pub fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        let rank = (quantile * self.len() as f64).ceil().max(1.0);
        let mut seen = 0_u64;
        let (place, _) = self.counts().find(|(_, count)| {
            seen += u64::from(*count);
            seen as f64 >= rank
        })?;
        Some((lowest_us(place + 1) - 1) as f64 / 1_000.0)
    }
}

/// Response times by the second that votes were planned for, in seconds since the doors opened.
///
/// Only what was counted takes room, so that a burst of an hour costs what its votes cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseSeconds {
    cells: BTreeMap<(u32, u8), u32>,
}

impl ResponseSeconds {
    /// Counts one accepted vote, planned for this second after the doors opened and answered so many nanoseconds later.
    pub fn record_ns(&mut self, second: u32, nanos: u64) {
        self.add(second, place_of(nanos / 1_000).into(), 1);
    }

    /// Adds a count; places beyond [`RESPONSE_PLACES`] count in the last one, seconds beyond [`MOST_SECONDS`] too.
    pub fn add(&mut self, second: u32, place: usize, count: u32) {
        let key = (second.min(MOST_SECONDS - 1), place.min(RESPONSE_PLACES - 1) as u8);
        let sum = self.cells.entry(key).or_default();
        *sum = sum.saturating_add(count);
    }

    /// Adds all counts of another one.
    pub fn merge(&mut self, other: &Self) {
        other.cells().for_each(|(second, place, count)| self.add(second, place, count));
    }

    /// Every second, place and its count, seconds in order, then places.
    pub fn cells(&self) -> impl Iterator<Item = (u32, usize, u32)> {
        self.cells.iter().map(|((second, place), count)| (*second, usize::from(*place), *count))
    }

    /// The votes planned for a second.
    #[must_use]
    pub fn at(&self, second: u32) -> ResponseSecond {
        let cells = self.cells.range((second, 0)..=(second, u8::MAX));
        ResponseSecond { counts: cells.map(|((_, place), count)| (*place, *count)).collect() }
    }
}

/// Response times by second and band, for who watches a burst: coarser than [`ResponseSeconds`], and quick to add to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseBands {
    seconds: Vec<[u64; RESPONSE_BANDS]>,
}

impl ResponseBands {
    /// Adds a count; places beyond [`RESPONSE_PLACES`] count in the last one, seconds beyond [`MOST_SECONDS`] too.
    pub fn add(&mut self, second: u32, place: usize, count: u32) {
        let second = second.min(MOST_SECONDS - 1) as usize;
        if self.seconds.len() <= second {
            self.seconds.resize(second + 1, [0; RESPONSE_BANDS]);
        }
        self.seconds[second][band_of(place.min(RESPONSE_PLACES - 1))] += u64::from(count);
    }

    /// Every second, band and its count where there is any, seconds in order, then bands.
    pub fn cells(&self) -> impl Iterator<Item = (u32, usize, u64)> {
        (0_u32..).zip(&self.seconds).flat_map(|(second, bands)| {
            let filled = bands.iter().copied().enumerate().filter(|(_, count)| *count > 0);
            filled.map(move |(band, count)| (second, band, count))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_place_ends_where_the_next_one_begins() {
        for place in 0..RESPONSE_PLACES {
            let (first, next) = (lowest_us(place), lowest_us(place + 1));
            assert!(first < next && (next - first) * 8 <= first.max(8), "place {place} from {first} to {next}");
            if next <= HIGHEST_US {
                assert_eq!([first, next - 1, next].map(place_of).map(usize::from), [place, place, place + 1]);
            }
        }
        assert!(usize::from(place_of(u64::MAX)) < RESPONSE_PLACES);
    }

    #[test]
    fn bands_lie_end_to_end_and_hold_what_their_places_hold() {
        let (mut response, mut bands) = (ResponseSeconds::default(), ResponseBands::default());
        let votes = [(9, 0), (9, 3), (9, 4), (12, 1_000), (12, 900_000), (u32::MAX, u64::MAX)];
        votes.iter().for_each(|(second, micros)| response.record_ns(*second, micros.saturating_mul(1_000)));
        response.cells().for_each(|(second, place, count)| bands.add(second, place, count));
        let filled: Vec<_> = bands.cells().collect();
        let needed = [(9, 0, 2), (9, 1, 1), (12, band_of(place_of(1_000).into()), 1), (12, band_of(place_of(900_000).into()), 1)];
        assert_eq!(filled[..4], needed);
        assert_eq!(filled[4..], [(MOST_SECONDS - 1, band_of(place_of(u64::MAX).into()), 1)]);
        for place in 0..RESPONSE_PLACES {
            let ms = lowest_us(place) as f64 / 1_000.0;
            assert!((band_ms(band_of(place))..band_ms(band_of(place) + 1)).contains(&ms), "place {place}");
        }
        bands.add(0, usize::MAX, 1);
        assert_eq!(bands.cells().next(), Some((0, RESPONSE_BANDS - 1, 1)));
    }

    #[test]
    fn a_second_without_votes_has_no_quantile() {
        assert_eq!(ResponseSeconds::default().at(0).quantile_ms(0.99), None);
    }

    #[test]
    fn seconds_beyond_the_last_that_is_kept_count_in_it() {
        let mut response = ResponseSeconds::default();
        response.record_ns(u32::MAX, 1_000);
        assert_eq!(response.cells().collect::<Vec<_>>(), [(MOST_SECONDS - 1, 1, 1)]);
    }

    proptest! {
        #[test]
        fn a_quantile_is_no_less_than_the_true_one_and_at_most_an_eighth_more(
            mut micros in proptest::collection::vec(0_u64..HIGHEST_US, 1..200),
            quantile in 0.0_f64..=1.0,
        ) {
            let mut response = ResponseSeconds::default();
            micros.iter().for_each(|micros| response.record_ns(3, micros * 1_000));
            micros.sort_unstable();
            let rank = (quantile * micros.len() as f64).ceil().max(1.0) as usize;
            let (truth, found) = (micros[rank - 1] as f64, response.at(3).quantile_ms(quantile).unwrap() * 1_000.0);
            prop_assert!(truth <= found + 1e-6 && found < truth.mul_add(1.125, 1.0), "{found} for {truth}");
        }

        #[test]
        fn merged_parts_equal_the_whole_in_any_order(
            events in proptest::collection::vec((0_u32..50, 0_u64..2_000_000_000_000), 0..60),
            cut in 0_usize..60,
        ) {
            let of = |events: &[(u32, u64)]| {
                let mut response = ResponseSeconds::default();
                events.iter().for_each(|(second, nanos)| response.record_ns(*second, *nanos));
                response
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
