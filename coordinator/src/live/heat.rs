//! Response times over time as a heat map is drawn.

use serde::Serialize;
use voteburst_burst::tally::{RESPONSE_BANDS, ResponseBands, band_ms};

/// The most columns of a heat map: a reader need not see it finer, and an hour is sent each second as quickly as a minute.
const MOST_COLUMNS: u32 = 60;

/// Accepted votes by when they were planned for and how long they took.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HeatLive {
    /// Whole seconds that a column holds, at least 1; columns begin at multiples of it.
    pub width_s: u32,
    /// Where each band of response times begins, in milliseconds, and where the last one ends; empty when nothing was counted.
    pub bands_ms: Vec<f64>,
    /// First second of a column after T0, place of a band in [`HeatLive::bands_ms`], votes; in order, those without votes left out.
    pub cells: Vec<(i64, usize, u64)>,
}

impl HeatLive {
    /// Takes counts by second after the doors opened, of which `t0_second` is T0's.
    #[must_use]
    pub fn of(counts: &ResponseBands, t0_second: u32) -> Self {
        let t = |second: u32| i64::from(second) - i64::from(t0_second);
        let seconds = || counts.cells().map(|(second, ..)| second);
        let bands = || counts.cells().map(|(_, band, _)| band);
        let (Some(first), Some(last)) = (seconds().next(), seconds().last()) else { return Self::default() };
        let lowest = bands().min().unwrap_or(0);
        let end = bands().max().unwrap_or(0) + 1;
        let width_s = (last - first + 1).div_ceil(MOST_COLUMNS);
        let mut columns: Vec<(i64, [u64; RESPONSE_BANDS])> = Vec::new();
        for (second, band, votes) in counts.cells() {
            let column = t(second).div_euclid(width_s.into()) * i64::from(width_s);
            if columns.last().is_none_or(|(at, _)| *at != column) {
                columns.push((column, [0; RESPONSE_BANDS]));
            }
            if let Some((_, held)) = columns.last_mut() {
                held[band] += votes;
            }
        }
        let filled = |(at, held): (i64, [u64; RESPONSE_BANDS])| {
            let votes = held.into_iter().enumerate().filter(|(_, votes)| *votes > 0);
            votes.map(move |(band, votes)| (at, band - lowest, votes))
        };
        Self { width_s, bands_ms: (lowest..=end).map(band_ms).collect(), cells: columns.into_iter().flat_map(filled).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(votes: &[(u32, usize, u32)]) -> ResponseBands {
        let mut counts = ResponseBands::default();
        votes.iter().for_each(|(second, place, count)| counts.add(*second, *place, *count));
        counts
    }

    #[test]
    fn cells_are_told_from_t0_and_bands_from_the_lowest_that_holds_a_vote() {
        let heat = HeatLive::of(&counts(&[(9, 40, 1), (10, 40, 3), (12, 48, 5), (12, 40, 2), (12, 41, 4)]), 10);
        assert_eq!((heat.width_s, &heat.cells[..]), (1, &[(-1, 0, 1), (0, 0, 3), (2, 0, 6), (2, 2, 5)][..]));
        assert_eq!(heat.bands_ms, [10, 11, 12, 13].map(band_ms));
    }

    #[test]
    fn a_long_show_has_wider_columns_and_loses_no_vote() {
        let every_second: Vec<_> = (70..3_370).map(|second| (second, 40, 2)).collect();
        let heat = HeatLive::of(&counts(&every_second), 73);
        assert_eq!((heat.width_s, heat.cells.len()), (55, 61), "those of before T0 have a column of their own");
        assert_eq!(heat.cells[..2], [(-55, 0, 6), (0, 0, 110)]);
        assert_eq!(heat.cells.iter().map(|(.., votes)| votes).sum::<u64>(), 6_600);
    }

    #[test]
    fn nothing_counted_is_an_empty_picture() {
        assert_eq!(HeatLive::of(&ResponseBands::default(), 3), HeatLive::default());
    }
}
