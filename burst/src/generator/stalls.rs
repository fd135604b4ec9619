//! When a worker did not come round in time.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::tally::MOST_SECONDS;

/// The shortest time away that counts as a stall. Less is what a kernel's scheduler does on any machine that works: a slice
/// of its time is some milliseconds long.
pub const SHORTEST_STALL: Duration = Duration::from_millis(10);

/// How many stalls of an agent are listed one by one; all of them are counted.
pub const MOST_LISTED: usize = 32;

/// A time in which a worker did not come round although it was due to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// Its beginning, in microseconds since the doors opened.
    pub at_us: u64,
    /// How long it was, in microseconds.
    pub length_us: u64,
    /// The most of it that the worker's own thread spent on a processor, in microseconds: what is left was taken from it.
    pub on_cpu_us: u64,
}

impl Stall {
    /// The second after the doors opened in which it began.
    #[must_use]
    pub fn second(&self) -> u32 {
        u32::try_from(self.at_us / 1_000_000).unwrap_or(u32::MAX).min(MOST_SECONDS - 1)
    }

    /// Whether the worker was at work for most of it: then it had too much to do. Otherwise the machine took it away.
    #[must_use]
    pub fn is_own_work(&self) -> bool {
        self.on_cpu_us >= self.length_us.div_ceil(2)
    }
}

/// Stalls of one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StalledSecond {
    /// How many began in it.
    pub count: u32,
    /// The longest of them, in microseconds.
    pub longest_us: u64,
}

/// All stalls of an agent from T0 to its last vote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stalls {
    /// How long they were together, in microseconds.
    pub total_us: u64,
    /// Of that, what was the worker's own work, in microseconds.
    pub on_cpu_us: u64,
    /// The longest of them.
    pub longest: Option<Stall>,
    /// The first [`MOST_LISTED`] of them.
    pub first: Vec<Stall>,
    /// Those seconds after the doors opened in which any began.
    pub by_second: BTreeMap<u32, StalledSecond>,
}

impl Stalls {
    /// Counts one more.
    pub fn add(&mut self, stall: Stall) {
        self.total_us = self.total_us.saturating_add(stall.length_us);
        self.on_cpu_us = self.on_cpu_us.saturating_add(stall.on_cpu_us);
        if self.longest.is_none_or(|longest| longest.length_us < stall.length_us) {
            self.longest = Some(stall);
        }
        if self.first.len() < MOST_LISTED {
            self.first.push(stall);
        }
        let second = self.by_second.entry(stall.second()).or_default();
        second.count = second.count.saturating_add(1);
        second.longest_us = second.longest_us.max(stall.length_us);
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.by_second.values().map(|second| u64::from(second.count)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stall(at_us: u64, length_us: u64) -> Stall {
        Stall { at_us, length_us, on_cpu_us: length_us / 4 }
    }

    #[test]
    fn stalls_are_counted_in_the_second_in_which_they_begin() {
        let mut stalls = Stalls::default();
        for (at_us, length_us) in [(999_999, 20_000), (1_000_000, 2_500_000), (1_100_000, 12_000)] {
            stalls.add(stall(at_us, length_us));
        }
        let seconds: Vec<_> = stalls.by_second.iter().map(|(second, s)| (*second, s.count, s.longest_us)).collect();
        assert_eq!(seconds, [(0, 1, 20_000), (1, 2, 2_500_000)]);
        assert_eq!((stalls.count(), stalls.total_us, stalls.on_cpu_us), (3, 2_532_000, 633_000));
        assert_eq!(stalls.longest, Some(stall(1_000_000, 2_500_000)));
    }

    #[test]
    fn only_the_first_are_listed_and_all_are_counted() {
        let mut stalls = Stalls::default();
        (0..100).for_each(|at| stalls.add(stall(at * 50_000, 10_000 + at)));
        assert_eq!((stalls.first.len(), stalls.count(), stalls.first[31].at_us), (MOST_LISTED, 100, 31 * 50_000));
        assert_eq!(stalls.longest.map(|longest| longest.length_us), Some(10_099));
    }

    #[test]
    fn a_worker_that_was_at_work_for_half_of_it_had_too_much_to_do() {
        let own = |on_cpu_us| Stall { at_us: 0, length_us: 15, on_cpu_us }.is_own_work();
        assert_eq!([0, 7, 8, 15].map(own), [false, false, true, true]);
    }

    #[test]
    fn a_stall_beyond_the_seconds_that_are_kept_counts_in_the_last() {
        let mut stalls = Stalls::default();
        stalls.add(stall(u64::MAX, u64::MAX));
        stalls.add(stall(u64::MAX, u64::MAX));
        assert_eq!((stalls.total_us, stalls.by_second[&(MOST_SECONDS - 1)].count), (u64::MAX, 2));
    }
}
