//! One clock for the fleet: how an agent learns what its own monotonic clock reads when the coordinator's reads T0.
//!
//! Wall clocks are never compared: they step, and nobody promised that they agree. Every process has a
//! monotonic clock of its own; pings tell how far apart two of them are and how sure that is.

use std::time::Duration;

/// A reading of the coordinator's monotonic clock, in nanoseconds since that machine's arbitrary beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FleetTime(pub i64);

/// A reading of an agent's own monotonic clock, in nanoseconds since a beginning of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalTime(pub i64);

impl FleetTime {
    /// This instant and some time more.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(nanos(by)))
    }
}

impl LocalTime {
    /// This instant and some time more.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(nanos(by)))
    }

    /// Time since an earlier instant; zero when that one is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// Four instants of one ping: sent and returned on the agent's clock, received and replied on the coordinator's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    /// The agent sent it.
    pub sent: LocalTime,
    /// The coordinator received it.
    pub received: FleetTime,
    /// The coordinator replied.
    pub replied: FleetTime,
    /// The agent had the reply.
    pub returned: LocalTime,
}

impl Ping {
    /// Time on the way, both directions together, in nanoseconds; `None` when the clocks contradict each other
    /// (a reply before its request, or more time at the coordinator than in all).
    #[must_use]
    pub fn round_trip_ns(&self) -> Option<i64> {
        let away = self.returned.0.checked_sub(self.sent.0)?;
        let there = self.replied.0.checked_sub(self.received.0)?;
        (there >= 0 && away >= there).then(|| away - there)
    }
}

/// How far the coordinator's clock is ahead of the agent's, and how sure that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    /// Coordinator's reading minus the agent's, in nanoseconds.
    pub nanos: i64,
    /// The true offset is at most this far from `nanos`, whatever the asymmetry of the path: half a round trip.
    pub bound_ns: i64,
}

impl Offset {
    /// The best offset that these pings tell: the one of the smallest round trip.
    ///
    /// Offset and bound as in NTP (RFC 5905, section 8) and Cristian, "Probabilistic clock synchronization", 1989:
    /// offset = ((received − sent) + (replied − returned)) / 2, error at most round trip / 2.
    /// `None` when no ping is sound.
    #[must_use]
    pub fn estimate<'a>(pings: impl IntoIterator<Item = &'a Ping>) -> Option<Self> {
        let (round_trip, ping) =
            pings.into_iter().filter_map(|ping| Some((ping.round_trip_ns()?, ping))).min_by_key(|(round_trip, _)| *round_trip)?;
        let there = i128::from(ping.received.0) - i128::from(ping.sent.0);
        let back = i128::from(ping.replied.0) - i128::from(ping.returned.0);
        let nanos = i64::try_from((there + back).div_euclid(2)).ok()?;
        // One more nanosecond for the division's remainder.
        Some(Self { nanos, bound_ns: round_trip / 2 + 1 })
    }

    /// The agent's reading at an instant of the coordinator's clock.
    #[must_use]
    pub fn to_local(self, instant: FleetTime) -> LocalTime {
        LocalTime(instant.0.saturating_sub(self.nanos))
    }

    /// The coordinator's reading at an instant of the agent's clock.
    #[must_use]
    pub fn to_fleet(self, instant: LocalTime) -> FleetTime {
        FleetTime(instant.0.saturating_add(self.nanos))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ping(true_offset: i64, sent: i64, out: i64, hold: i64, back: i64) -> Ping {
        let received = sent + out + true_offset;
        Ping {
            sent: LocalTime(sent),
            received: FleetTime(received),
            replied: FleetTime(received + hold),
            returned: LocalTime(sent + out + hold + back),
        }
    }

    proptest! {
        #[test]
        fn the_true_offset_lies_within_the_bound_however_asymmetric_the_path(
            true_offset in -5_000_000_000_i64..5_000_000_000,
            trips in proptest::collection::vec((0_i64..1_000_000_000, 0_i64..50_000_000, 0_i64..5_000_000, 0_i64..50_000_000), 1..40),
        ) {
            let pings: Vec<_> = trips.iter().map(|(sent, out, hold, back)| ping(true_offset, *sent, *out, *hold, *back)).collect();
            let offset = Offset::estimate(&pings).unwrap();
            prop_assert!((offset.nanos - true_offset).abs() <= offset.bound_ns, "{offset:?}");
        }

        #[test]
        fn an_instant_survives_the_way_to_the_agent_and_back(nanos in -1_000_000_000_i64..1_000_000_000, at in 0_i64..1_000_000_000_000) {
            let offset = Offset { nanos, bound_ns: 1 };
            prop_assert_eq!(offset.to_fleet(offset.to_local(FleetTime(at))), FleetTime(at));
        }
    }

    #[test]
    fn pings_that_contradict_themselves_are_left_out() {
        let replay = Ping { sent: LocalTime(100), received: FleetTime(5), replied: FleetTime(6), returned: LocalTime(90) };
        let backwards = Ping { sent: LocalTime(0), received: FleetTime(9), replied: FleetTime(5), returned: LocalTime(10) };
        assert_eq!(Offset::estimate(&[replay, backwards]), None);
        let sound = ping(1_000, 0, 10, 1, 10);
        assert_eq!(Offset::estimate(&[replay, sound, backwards]).unwrap(), Offset { nanos: 1_000, bound_ns: 11 });
    }

    #[test]
    fn the_smallest_round_trip_wins() {
        let slow = ping(1_000, 0, 900, 0, 100);
        let quick = ping(1_000, 50, 30, 0, 30);
        assert_eq!(Offset::estimate(&[slow, quick]).unwrap().nanos, 1_000);
    }
}
