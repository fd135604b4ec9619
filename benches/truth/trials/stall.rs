//! What a burst must look like when its server stood still for a while: the analytic answer.
//!
//! Votes arrive evenly, N of them over a window W, and each takes next to nothing. The server stands still from s to s + L and
//! then works through what has piled up, first come, first served, needing c for each. With r = N / W and ρ = r c < 1:
//!
//! - By t, with s ≤ t, r (t − s) votes have arrived since s. Nobody of them was served before s + L, so the last one of them is
//!   answered at s + L + c r (t − s), or at once, at t, when that has passed.
//! - So a vote of instant t waits R(t) = max(0, L − (1 − ρ)(t − s)): the longest wait is that of the vote that came as the
//!   server stopped, and it falls evenly until the backlog is gone, L / (1 − ρ) after s.
//! - Votes are even in t, so the waits are even in R, and the share of votes that wait longer than x is
//!   (L − x) / ((1 − ρ) W). Turned round: R at quantile q is L − (1 − q)(1 − ρ) W, and 0 where that is negative.
//!
//! It holds when stop and backlog lie within the window. A closed-loop measurement, which sends the next vote only after
//! the last answer, sees L once and calls all others quick: that error is called coordinated omission (Gil Tene), and this is
//! the test for it.

/// A stop of the server within evenly spaced arrivals. Times in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stall {
    /// How many votes arrive.
    pub(crate) votes: u32,
    /// Over which time they do so, above 0.
    pub(crate) window_s: f64,
    /// How long the server stood still.
    pub(crate) length_s: f64,
    /// How long it needs for each vote of the backlog.
    pub(crate) each_s: f64,
}

impl Stall {
    /// ρ: the part of its time that the arrivals keep the server busy.
    pub(crate) fn busy(&self) -> f64 {
        f64::from(self.votes) / self.window_s * self.each_s
    }

    /// The response time at a quantile in [0, 1], in seconds.
    pub(crate) fn response_s(&self, quantile: f64) -> f64 {
        (self.length_s - (1.0 - quantile) * (1.0 - self.busy()) * self.window_s).max(0.0)
    }

    /// The share of votes that have to wait, in [0, 1].
    pub(crate) fn share_waiting(&self) -> f64 {
        (self.length_s / ((1.0 - self.busy()) * self.window_s)).min(1.0)
    }

    /// How long after the stop the backlog is gone, in seconds: window left after the stop must not be shorter.
    pub(crate) fn over_after_s(&self) -> f64 {
        self.length_s / (1.0 - self.busy())
    }

    /// The same by playing it: one server, votes at their instants, one after the other. For checks of the formula.
    /// `begins_s` is when the stop begins. Sorted.
    pub(crate) fn played(&self, begins_s: f64) -> Vec<f64> {
        let mut free_s = 0.0_f64;
        let mut responses: Vec<_> = (0..self.votes)
            .map(|vote| {
                let at_s = (f64::from(vote) + 0.5) * self.window_s / f64::from(self.votes);
                let mut starts_s = at_s.max(free_s);
                if (begins_s..begins_s + self.length_s).contains(&starts_s) {
                    starts_s = begins_s + self.length_s;
                }
                free_s = starts_s + self.each_s;
                free_s - at_s
            })
            .collect();
        responses.sort_by(f64::total_cmp);
        responses
    }
}

/// Holds the formula against the played queue, over sizes, rates and lengths. Ends at the first difference beyond what the
/// spacing of votes explains, with its words.
pub(crate) fn formula_agrees_with_the_played_queue() -> Result<usize, String> {
    let mut compared = 0;
    for votes in [400_u32, 3_000, 20_000] {
        for window_s in [1.6, 4.0] {
            for length_s in [0.2, 1.0] {
                for busy in [0.0, 0.05, 0.3] {
                    let each_s = busy * window_s / f64::from(votes);
                    let stall = Stall { votes, window_s, length_s, each_s };
                    let played = stall.played(0.01 * window_s);
                    for quantile in [0.0, 0.3, 0.5, 0.75, 0.9, 0.99, 0.999, 1.0] {
                        let rank = (quantile * f64::from(votes)).ceil().max(1.0) as usize;
                        let (found, told) = (played[rank - 1], stall.response_s(quantile));
                        // A rank stands for a whole space between votes; the formula lets a vote itself take no time.
                        let bound = 1.5 * window_s / f64::from(votes) + 1.5 * each_s;
                        if (found - told).abs() > bound {
                            return Err(format!("{stall:?} at {quantile}: {found} s played, {told} s by the formula"));
                        }
                        compared += 1;
                    }
                    let waiting = played.iter().filter(|response| **response > 1.001 * each_s + 1e-9).count();
                    let share = waiting as f64 / f64::from(votes);
                    if (share - stall.share_waiting()).abs() > 2.5 / f64::from(votes) {
                        return Err(format!("{stall:?}: {share} wait when played, {} by the formula", stall.share_waiting()));
                    }
                }
            }
        }
    }
    Ok(compared)
}
