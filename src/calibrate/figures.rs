//! What was measured, and what it says of the machine. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use voteburst_burst::scenario::Thresholds;
use voteburst_burst::tally::Latency;

use super::child::{Counted, Entered};
use super::rounds::{Peak, ROUNDS, Round, WHOLE};

/// The most that agents and a stage on this machine may take of its processors together. Waits grow as 1 / (1 − load), so that
/// above this a little more load is a lot more lateness (Kleinrock, Queueing Systems, volume 1, section 3.2).
pub(super) const MOST_LOAD: f64 = 0.8;

/// How often each value was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts(BTreeMap<u64, u64>);

impl Counts {
    /// The counts of a tally's histogram, by microseconds.
    pub(super) fn of(latency: &Latency) -> Self {
        let values = latency.counts().iter_recorded();
        Self(values.map(|value| (value.value_iterated_to(), u64::from(value.count_at_value()))).collect())
    }

    fn add(&mut self, other: &Self) {
        for (value, count) in &other.0 {
            *self.0.entry(*value).or_default() += count;
        }
    }

    /// What has come since an earlier reading.
    fn since(&self, earlier: &Self) -> Self {
        let new = |(value, count): (&u64, &u64)| (*value, count.saturating_sub(earlier.0.get(value).copied().unwrap_or(0)));
        Self(self.0.iter().map(new).filter(|(_, count)| *count > 0).collect())
    }

    /// The value at a quantile in (0, 1], in milliseconds; `None` when nothing was counted.
    pub(super) fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        let rank = (quantile * self.0.values().sum::<u64>() as f64).ceil() as u64;
        let mut seen = 0;
        let found = self.0.iter().find(|(_, count)| {
            seen += **count;
            seen >= rank
        });
        found.map(|(value, _)| *value as f64 / 1_000.0)
    }
}

impl Entered {
    /// The doors of all agents.
    pub(super) fn of_all(agents: &[Self]) -> Self {
        agents.iter().fold(Self::default(), |sum, agent| Self {
            connected: sum.connected + agent.connected,
            took_us: sum.took_us.max(agent.took_us),
            cpu_us: sum.cpu_us + agent.cpu_us,
            memory_bytes: sum.memory_bytes + agent.memory_bytes,
        })
    }
}

impl Counted {
    /// The counts of all agents.
    pub(super) fn of_all(agents: &[Self]) -> Self {
        let mut all = Self::default();
        for agent in agents {
            all.ended += agent.ended;
            all.accepted += agent.accepted;
            all.in_time += agent.in_time;
            all.cpu_us += agent.cpu_us;
            all.lateness.add(&agent.lateness);
        }
        all
    }

    /// What this round added to the ones before.
    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            ended: self.ended.saturating_sub(before.ended),
            accepted: self.accepted.saturating_sub(before.accepted),
            in_time: self.in_time,
            cpu_us: self.cpu_us.saturating_sub(before.cpu_us),
            lateness: self.lateness.since(&before.lateness),
        }
    }
}

/// One round, measured.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Played {
    pub(super) round: Round,
    /// Votes planned for it.
    pub(super) planned: u32,
    /// What the agents counted of it.
    pub(super) counted: Counted,
    /// Processor time of the null targets, in microseconds.
    pub(super) target_us: u64,
}

impl Played {
    /// Why this rate is too much for the machine, if it is.
    pub(super) fn problem(&self, thresholds: &Thresholds) -> Option<String> {
        let (planned, counted) = (f64::from(self.planned), &self.counted);
        if (counted.ended as f64) < planned || (counted.accepted as f64) < planned * thresholds.accepted_min {
            return Some(format!("{} of {} votes were sent and answered", counted.accepted, self.planned));
        }
        let p99_ms = counted.lateness.quantile_ms(0.99)?;
        let most = thresholds.lateness_p99_max;
        (p99_ms / 1_000.0 > most.as_secs_f64())
            .then(|| format!("lateness p99 is {p99_ms:.3} ms, at most {} allowed", humantime::format_duration(most)))
    }

    /// Votes per second that left within the round's own seconds.
    pub(super) fn sent_per_s(&self) -> f64 {
        self.counted.in_time as f64 / f64::from(self.round.lasts_s)
    }

    /// Microseconds of the agents' processors for each vote.
    pub(super) fn agent_us(&self) -> f64 {
        self.counted.cpu_us as f64 / self.counted.accepted.max(1) as f64
    }

    /// Microseconds of the null targets' processors for each vote.
    pub(super) fn target_us(&self) -> f64 {
        self.target_us as f64 / self.counted.accepted.max(1) as f64
    }
}

/// A machine, measured.
#[derive(Clone, Debug)]
pub(super) struct Calibrated {
    pub(super) viewers: u32,
    pub(super) agents: u32,
    pub(super) cores: u32,
    /// Whether the scenario's own target is a stage on this machine.
    pub(super) stage: bool,
    /// Whether the scenario's own target speaks TLS.
    pub(super) tls: bool,
    pub(super) peak: Peak,
    pub(super) doors: Duration,
    pub(super) entered: Entered,
    /// The rounds that were played: the last one is the first that was carried, unless none was.
    pub(super) rounds: Vec<Played>,
    pub(super) thresholds: Thresholds,
}

/// What the machine carries.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Carries {
    /// The largest rate that was carried, in per cent of the plan's peak; `None`: not even the smallest that was tried.
    pub(super) percent: Option<u32>,
    /// Viewers of the same plan that the machine carries with the same fifth to spare, no more than the plan's.
    pub(super) viewers: u32,
    /// Whether that is all of them.
    pub(super) all: bool,
}

impl Calibrated {
    /// Whether enough viewers got a connection.
    pub(super) fn connected(&self) -> bool {
        f64::from(self.entered.connected) >= f64::from(self.viewers) * self.thresholds.connected_min
    }

    /// The processors that agents and a stage would take together at the whole rate, when a stage takes as much as the agents.
    pub(super) fn cores_with_stage(&self) -> Option<f64> {
        let whole = ROUNDS[0].rate(&self.peak);
        self.stage.then(|| self.rounds.first().map(|played| whole * played.agent_us() * 2.0 / 1e6)).flatten()
    }

    /// The verdict.
    pub(super) fn carries(&self) -> Carries {
        let carried = self.rounds.iter().find(|played| played.problem(&self.thresholds).is_none());
        let percent = carried.map(|played| played.round.percent);
        // Less than the smallest rate was tried is not known; that one is the bound then.
        let least = ROUNDS[ROUNDS.len() - 1].percent;
        let mut part = f64::from(percent.unwrap_or(least)) / f64::from(WHOLE);
        if let Some(cores) = self.cores_with_stage() {
            part = part.min(f64::from(self.cores) * MOST_LOAD / cores);
        }
        let mut viewers = (f64::from(self.viewers) * part) as u32;
        if !self.connected() {
            viewers = viewers.min(self.entered.connected);
        }
        let viewers = viewers.min(self.viewers);
        Carries { percent, viewers, all: percent.is_some() && viewers == self.viewers }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use voteburst_burst::scenario::Scenario;

    use super::*;

    fn thresholds() -> Thresholds {
        let no_files = |_: &str| Err(std::io::ErrorKind::NotFound.into());
        Scenario::parse(include_str!("../../scenarios/show.toml"), "show.toml", &no_files).unwrap().thresholds
    }

    /// A round of 600 votes, 4 ms of processor for each half of them, all as late as this.
    fn played(round: Round, late_us: u64) -> Played {
        let lateness = Counts(BTreeMap::from([(late_us, 600)]));
        let counted = Counted { ended: 600, accepted: 600, in_time: 600, cpu_us: 6_000, lateness };
        Played { round, planned: 600, counted, target_us: 3_000 }
    }

    /// 1,000 viewers on two processors whose peak is 100 votes a second; the first `late` rounds were too late.
    pub(in crate::calibrate) fn calibrated(late: usize, stage: bool) -> Calibrated {
        let tried = (late + 1).min(ROUNDS.len());
        let round = |(at, round): (usize, &Round)| played(*round, if at < late { 100_001 } else { 100_000 });
        Calibrated {
            viewers: 1_000,
            agents: 1,
            cores: 2,
            stage,
            tls: false,
            peak: Peak { per_s: 100, per_100ms: 12 },
            doors: Duration::from_secs(2),
            entered: Entered { connected: 1_000, took_us: 2_000_000, cpu_us: 30_000, memory_bytes: 2 << 20 },
            rounds: ROUNDS.iter().take(tried).enumerate().map(round).collect(),
            thresholds: thresholds(),
        }
    }

    #[test]
    fn the_number_of_viewers_follows_the_largest_rate_that_was_in_time_with_a_fifth_to_spare() {
        let expected = [
            (0, Some(120), 1_000, true),
            (1, Some(100), 833, false),
            (2, Some(80), 666, false),
            (3, Some(60), 500, false),
            (4, Some(40), 333, false),
            (5, None, 333, false),
        ];
        for (late, percent, viewers, all) in expected {
            assert_eq!(calibrated(late, false).carries(), Carries { percent, viewers, all }, "{late} rounds too late");
        }
    }

    #[test]
    fn a_stage_on_the_machine_takes_as_much_again_and_four_fifths_of_the_processors_are_there_for_both() {
        // 120 votes a second of 10 µs, twice, is next to nothing of two processors.
        assert!(calibrated(0, true).carries().all);
        // At 100 times the cost per vote as many processors are needed as 1.6 or more: 120 / s × 6,667 µs × 2.
        let mut busy = calibrated(0, true);
        for (cost_us, viewers) in [(6_666, 1_000), (13_333, 500), (26_666, 250)] {
            busy.rounds[0].counted.cpu_us = 600 * cost_us;
            let carries = busy.carries();
            assert_eq!((carries.viewers, carries.all), (viewers, viewers == 1_000), "{cost_us} µs");
        }
        busy.stage = false;
        assert!(busy.carries().all, "a target elsewhere takes nothing here");
    }

    #[test]
    fn who_got_no_connection_is_not_carried() {
        let mut full = calibrated(0, false);
        full.entered.connected = 700;
        assert_eq!(full.carries(), Carries { percent: Some(120), viewers: 700, all: false });
        full.entered.connected = 999;
        assert!(full.carries().all, "within connected_min");
    }

    #[test]
    fn votes_that_were_never_sent_are_a_problem_however_punctual_the_others_were() {
        let thresholds = thresholds();
        let mut round = played(ROUNDS[0], 1);
        assert_eq!(round.problem(&thresholds), None);
        round.counted.accepted = 599;
        assert_eq!(round.problem(&thresholds).as_deref(), Some("599 of 600 votes were sent and answered"));
    }

    #[test]
    fn quantiles_come_from_merged_counts_by_nearest_rank() {
        let mut counts = Counts(BTreeMap::from([(1_000, 98)]));
        counts.add(&Counts(BTreeMap::from([(1_000, 1), (9_000, 1)])));
        let at = |quantile| counts.quantile_ms(quantile);
        assert_eq!([at(0.5), at(0.99), at(0.999), at(1.0)], [Some(1.0), Some(1.0), Some(9.0), Some(9.0)]);
        assert_eq!(Counts::default().quantile_ms(0.5), None);
        assert_eq!(counts.since(&Counts(BTreeMap::from([(1_000, 99)]))), Counts(BTreeMap::from([(9_000, 1)])));
    }
}
