//! Whether the worker comes round in time, told on its own thread.
//!
//! The pacer says at each of its turns when it was due and when it is. Between tickets it comes round all the same, every
//! [`HEARTBEAT`], so that a stall shows when no ticket was due. This costs a comparison per turn, and every few milliseconds
//! a look at the thread's processor time, which tells a stall that was our own work from one that was done to us.

use std::time::Duration;

use voteburst_burst::clock::LocalTime;
use voteburst_burst::generator::{SHORTEST_STALL, Stall, Stalls};

/// How often the pacer comes round at least. A stall that begins right after a turn seems shorter by so much at most.
pub(crate) const HEARTBEAT: Duration = Duration::from_millis(5);

/// Everything that kept the worker from coming round.
#[derive(Debug)]
pub(crate) struct StallWatch {
    doors: LocalTime,
    /// The last turn; before the first one, its beginning.
    turn: LocalTime,
    /// When processor time was looked at, and what it was.
    looked: (LocalTime, u64),
    stalls: Stalls,
}

impl StallWatch {
    /// From `now` on turns are expected. Stalls are placed after `doors`.
    pub(crate) fn begin(doors: LocalTime, now: LocalTime, cpu_ns: u64) -> Self {
        Self { doors, turn: now, looked: (now, cpu_ns), stalls: Stalls::default() }
    }

    /// The worker comes round, and was to do so at `due`. `cpu_ns` reads the processor time of this thread, in nanoseconds.
    pub(crate) fn turn(&mut self, due: LocalTime, now: LocalTime, cpu_ns: impl FnOnce() -> u64) {
        // Work that was put off at the last turn was due before it: what counts is that turns follow one another.
        let since = due.max(self.turn);
        self.turn = now;
        let away = now.since(since);
        let (looked_at, before_ns) = self.looked;
        if away <= SHORTEST_STALL && now.since(looked_at) < HEARTBEAT {
            return;
        }
        let after_ns = cpu_ns();
        self.looked = (now, after_ns);
        if away > SHORTEST_STALL {
            let length_us = micros(away);
            let worked_us = after_ns.saturating_sub(before_ns) / 1_000;
            self.stalls.add(Stall { at_us: micros(since.since(self.doors)), length_us, on_cpu_us: worked_us.min(length_us) });
        }
    }

    /// What was seen so far.
    pub(crate) fn stalls(&self) -> &Stalls {
        &self.stalls
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn at(millis: i64) -> LocalTime {
        LocalTime(millis * MS)
    }

    /// Begun at 5,000 ms, with the doors open since 2,000 ms.
    fn watch() -> StallWatch {
        StallWatch::begin(at(2_000), at(5_000), 0)
    }

    #[test]
    fn a_turn_is_away_from_when_it_was_due_or_from_the_turn_before() {
        // (due, now, length of the stall in milliseconds, and where it begins after the doors)
        for (what, due, now, stall) in [
            ("in time", 5_005, 5_005, None),
            ("late by what any scheduler does", 5_005, 5_015, None),
            ("late", 5_005, 5_016, Some((11, 3_005))),
            ("due before the turn before: work that was put off", 4_000, 5_009, None),
            ("put off, and the turn took long", 4_000, 5_020, Some((20, 3_000))),
            ("due long after the turn before: nothing was to be done until then", 9_000, 9_003, None),
            ("a clock that does not move", 5_005, 5_000, None),
        ] {
            let mut watch = watch();
            watch.turn(at(due), at(now), || 0);
            let found = watch.stalls().longest.map(|stall| (stall.length_us / 1_000, stall.at_us / 1_000));
            assert_eq!(found, stall, "{what}");
        }
    }

    #[test]
    fn own_work_is_told_from_time_that_was_taken_away() {
        for (cpu_ms, own) in [(0, false), (4, false), (500, true), (900, true)] {
            let mut watch = watch();
            watch.turn(at(5_005), at(5_505), || cpu_ms * 1_000_000);
            let stall = watch.stalls().longest.unwrap();
            assert_eq!((stall.is_own_work(), stall.on_cpu_us), (own, (cpu_ms * 1_000).min(500_000)), "{cpu_ms} ms");
        }
    }

    #[test]
    fn processor_time_is_looked_at_once_a_heartbeat_and_at_every_stall() {
        let (mut watch, mut looks) = (watch(), 0);
        let mut turn = |now: i64| {
            watch.turn(at(now), at(now), || {
                looks += 1;
                0
            });
            looks
        };
        assert_eq!([5_001, 5_004, 5_005, 5_006, 5_009, 5_010].map(&mut turn), [0, 0, 1, 1, 1, 2]);
        watch.turn(at(5_011), at(5_400), || 77);
        assert_eq!(watch.looked, (at(5_400), 77));
    }

    #[test]
    fn one_stall_does_not_make_the_next_turn_late() {
        let mut watch = watch();
        for now in [5_500, 5_501, 5_506] {
            watch.turn(at(5_005), at(now), || 0);
        }
        assert_eq!(watch.stalls().count(), 1);
    }
}
