//! How many connections may be opening at once, as a pure function of what was seen since the last round.
//!
//! Additive increase, multiplicative decrease: among the linear rules the one by which several who share a bottleneck, and
//! know nothing of each other, come to use it fully and evenly (Chiu and Jain, "Analysis of the Increase and Decrease
//! Algorithms for Congestion Avoidance in Computer Networks", 1989; TCP does the same, RFC 5681, section 3.1). Here the
//! bottleneck is the accept queue of a proxy, and those who share it are the agents.

use std::time::Duration;

/// The most connections that open at once: also where a ramp begins, so that nothing is held back before there is a reason.
pub(crate) const MOST: u32 = 256;
/// The fewest. With 50 ms for a handshake these still let 320 viewers in each second.
pub(crate) const LEAST: u32 = 16;
/// How much wider a calm round makes it: from the fewest to the most in 15 rounds.
const STEP: u32 = 16;
/// How long a round lasts.
pub(crate) const ROUND: Duration = Duration::from_millis(250);
/// For so many rounds after it became narrower nothing changes. A SYN that was dropped before is sent again a second later
/// (RFC 6298, section 2), and must not be taken for one that was dropped after. TCP too narrows once per loss (RFC 6582).
const SETTLING: u32 = 5;
/// One repeated or dropped segment in so many connections is what networks do, and no reason.
const USUAL_LOSS: u64 = 100;
/// A worker that comes round so late is busy with opening connections, and would be as late with whatever else is due.
const LATE: Duration = Duration::from_millis(50);

/// What was seen in a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signs {
    /// By how much SYN retransmits, listen overflows and listen drops have grown; the greatest of the three, for one
    /// connection that finds a full queue counts in each. They are those of the whole network namespace: what other
    /// programs lose narrows this ramp too.
    pub(crate) lost: u64,
    /// Connections that this agent began to open.
    pub(crate) begun: u64,
    /// How much later than it asked to the worker came round.
    pub(crate) late: Duration,
}

impl Signs {
    /// Whether fewer should open at once.
    fn are_bad(self) -> bool {
        self.late > LATE || self.lost.saturating_mul(USUAL_LOSS) > self.begun
    }
}

/// The ramp of one agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ramp {
    at_once: u32,
    settling: u32,
}

impl Ramp {
    /// As wide as it gets.
    pub(crate) fn new() -> Self {
        Self { at_once: MOST, settling: 0 }
    }

    /// How many may be opening at once, from [`LEAST`] to [`MOST`].
    pub(crate) fn at_once(self) -> u32 {
        self.at_once
    }

    /// A round is over in which this was seen: half as many after bad signs, [`STEP`] more after none.
    pub(crate) fn after(self, signs: Signs) -> Self {
        if self.settling > 0 {
            Self { settling: self.settling - 1, ..self }
        } else if signs.are_bad() {
            Self { at_once: (self.at_once / 2).max(LEAST), settling: SETTLING }
        } else {
            Self { at_once: (self.at_once + STEP).min(MOST), settling: 0 }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CALM: Signs = Signs { lost: 0, begun: 500, late: Duration::from_millis(2) };
    const LOSSY: Signs = Signs { lost: 40, ..CALM };

    fn after(rounds: u32, mut ramp: Ramp, signs: Signs) -> Ramp {
        (0..rounds).for_each(|_| ramp = ramp.after(signs));
        ramp
    }

    #[test]
    fn what_makes_a_ramp_narrower_and_what_does_not() {
        for (what, signs, at_once) in [
            ("nothing", CALM, MOST),
            ("nobody came", Signs { begun: 0, ..CALM }, MOST),
            ("loss as networks have it", Signs { lost: 5, ..CALM }, MOST),
            ("more loss than that", Signs { lost: 6, ..CALM }, MOST / 2),
            ("loss while nobody opens here: those of before, or others", Signs { lost: 1, begun: 0, ..CALM }, MOST / 2),
            ("a counter that jumped", Signs { lost: u64::MAX, ..CALM }, MOST / 2),
            ("just not late", Signs { late: LATE, ..CALM }, MOST),
            ("late", Signs { late: LATE + Duration::from_nanos(1), ..CALM }, MOST / 2),
        ] {
            assert_eq!(Ramp::new().after(signs).at_once(), at_once, "{what}");
        }
    }

    #[test]
    fn losses_that_show_a_second_late_narrow_it_once() {
        let narrow = after(1 + SETTLING, Ramp::new(), LOSSY);
        assert_eq!(narrow.at_once(), MOST / 2);
        assert_eq!(narrow.after(LOSSY).at_once(), MOST / 4);
        assert!(ROUND * SETTLING > Duration::from_secs(1), "a SYN is sent again after a second");
    }

    #[test]
    fn lasting_trouble_leaves_the_fewest_and_calm_brings_back_the_most() {
        let narrowest = after(4 * (1 + SETTLING), Ramp::new(), LOSSY);
        assert_eq!(narrowest.at_once(), LEAST);
        assert_eq!(after(10 * (1 + SETTLING), narrowest, LOSSY), narrowest);
        assert_eq!(after(15, narrowest, CALM).at_once(), MOST);
        assert_eq!(after(1, narrowest, CALM).at_once(), LEAST + STEP);
    }

    proptest! {
        #[test]
        fn it_stays_within_its_bounds_and_moves_by_no_more_than_its_rule(
            rounds in prop::collection::vec((0_u64..20, 0_u64..1_000, 0_u64..80), 1..200),
        ) {
            let (mut ramp, mut since_narrower) = (Ramp::new(), u32::MAX);
            for (lost, begun, late_ms) in rounds {
                let next = ramp.after(Signs { lost, begun, late: Duration::from_millis(late_ms) });
                prop_assert!((LEAST..=MOST).contains(&next.at_once()));
                prop_assert!(next.at_once() <= ramp.at_once() + STEP);
                prop_assert!(next.at_once() >= ramp.at_once() / 2);
                since_narrower = since_narrower.saturating_add(1);
                if next.at_once() < ramp.at_once() {
                    prop_assert!(since_narrower > SETTLING, "narrower twice within {since_narrower} rounds");
                    since_narrower = 0;
                }
                ramp = next;
            }
        }

        #[test]
        fn whatever_was_before_calm_widens_it_to_the_most(bad in 0_u32..100) {
            prop_assert_eq!(after(SETTLING + 15, after(bad, Ramp::new(), LOSSY), CALM).at_once(), MOST);
        }
    }
}
