//! An earlier run as the measure of a later one: how much worse each figure of the whole run may be.

use voteburst_burst::plan::Plan;
use voteburst_burst::verdict::{Bound, Effect, Limit, Outcome, Unit, WORSE};

use super::{Change, ChangeUnit, Diff, Side, settings, word};

/// Figures that are told and not judged: one pause of a shared machine makes a 99.9th percentile.
const NOT_JUDGED: [&str; 1] = ["response.p999"];
/// Keys of a scenario that change neither what is played nor against what.
const NOT_PLAYED: [&str; 2] = ["thresholds.", "agents."];

/// Why a run cannot be held against an earlier one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BaselineProblem {
    /// It proves nothing itself.
    #[error(
        "{dir}: found a run whose verdict is unknown, which proves nothing\n  needed: a baseline that passed or failed\n  fix:    rehearse it again, or name another run"
    )]
    Unknown {
        /// Its directory.
        dir: String,
    },
    /// It played something else.
    #[error(
        "{dir}: found a run of another scenario (baseline against this one): {differing}\n  needed: a baseline of the same burst on the same world; only [thresholds] and [agents] may differ\n  fix:    rehearse the baseline anew with this scenario, or see `voteburst diff` for runs of different ones"
    )]
    OtherScenario {
        /// Its directory.
        dir: String,
        /// The keys that differ with their values.
        differing: String,
    },
}

impl Side {
    /// Whether a run of this plan can be held against this one.
    ///
    /// # Errors
    /// When this one proves nothing, or played something else.
    pub fn is_baseline_of(&self, plan: &Plan) -> Result<(), BaselineProblem> {
        if self.report.verdict.outcome == Outcome::Unknown {
            return Err(BaselineProblem::Unknown { dir: self.dir.clone() });
        }
        let mut differing = settings::differing(&self.scenario, &plan.scenario.to_toml());
        differing.retain(|key| !NOT_PLAYED.iter().any(|table| key.starts_with(table)));
        if differing.is_empty() && self.report.plan.tickets_hash != plan.tickets_hash.to_string() {
            differing.push("the votes differ: another version of voteburst planned them".to_owned());
        }
        if differing.is_empty() {
            return Ok(());
        }
        Err(BaselineProblem::OtherScenario { dir: self.dir.clone(), differing: differing.join("; ") })
    }
}

impl Diff {
    /// The same without the figures of single proxies: what is kept of a baseline in `run.json`.
    #[must_use]
    pub fn of_whole_runs(mut self) -> Self {
        self.figures.retain(|figure| figure.proxy.is_none());
        self
    }
}

/// A limit for each figure that is judged, in a fixed order: the widest that any of these baselines sets.
///
/// `worse_max` is how much worse a figure may become, as a share of the baseline's figure, beyond what chance explains; `tried` is
/// whether the later run fired anything.
#[must_use]
pub fn limits(baselines: &[Diff], worse_max: f64, tried: bool) -> Vec<Limit> {
    let mut all: Vec<Limit> = Vec::new();
    let figures = baselines.iter().flat_map(|diff| &diff.figures);
    let judged = figures.filter(|figure| {
        figure.proxy.is_none() && !figure.name.starts_with("failures.") && !NOT_JUDGED.contains(&figure.name.as_str())
    });
    for limit in judged.map(|figure| limit(figure, worse_max, tried)) {
        match all.iter_mut().find(|known| known.name == limit.name) {
            None => all.push(limit),
            Some(known) if is_wider(&limit, known) => *known = limit,
            Some(_) => {}
        }
    }
    all
}

/// Whether a limit allows more than another of the same figure. One that was held against nothing allows nothing.
fn is_wider(limit: &Limit, known: &Limit) -> bool {
    let further = if limit.bound.is_most() { limit.limit > known.limit } else { limit.limit < known.limit };
    limit.holds.is_some() && (known.holds.is_none() || further)
}

/// Which runs these are, and why to be careful.
#[must_use]
pub fn told(baselines: &[Diff]) -> String {
    let one = |diff: &Diff| {
        let run = format!("{}, a {} begun {}", diff.a.dir, word(diff.a.outcome), diff.a.started);
        [vec![run], diff.warnings.clone()].concat().join("; ")
    };
    let all: Vec<_> = baselines.iter().map(one).collect();
    format!("held against the baseline {}", all.join(", and "))
}

fn limit(figure: &Change, worse_max: f64, tried: bool) -> Limit {
    let more_is_worse = figure.name != "accepted";
    let allowed = figure.a.zip(figure.change).map(|(baseline, change)| {
        // Of votes accepted it is the part that was not accepted which may grow by this share of itself.
        let of = if more_is_worse { baseline.value } else { 1.0 - baseline.value };
        let slack = (worse_max * of.abs()).max(least_slack(figure.unit));
        if more_is_worse {
            baseline.value + slack + (change.value - change.low)
        } else {
            baseline.value - slack - (change.high - change.value)
        }
    });
    let limit = Limit {
        name: format!("{} against the baseline", figure.name),
        key: "worse_max".to_owned(),
        code: WORSE,
        effect: Effect::Fail,
        measured: None,
        at: None,
        bound: if more_is_worse { Bound::AtMost } else { Bound::AtLeast },
        // Without a figure of both there is no limit, and nothing is held against it.
        limit: allowed.unwrap_or_else(|| figure.a.map_or(0.0, |baseline| baseline.value)),
        unit: match figure.unit {
            ChangeUnit::Share => Unit::Share,
            ChangeUnit::Ms => Unit::Ms,
            ChangeUnit::MaxOverMean => Unit::MaxOverMean,
            ChangeUnit::Connections => Unit::Connections,
        },
        holds: None,
    };
    let measured = allowed.filter(|_| tried).and(figure.b).map(|found| found.value);
    limit.held(measured)
}

/// What a figure may change by in any case: less is of no account to a viewer, however sure it is.
fn least_slack(unit: ChangeUnit) -> f64 {
    match unit {
        ChangeUnit::Share => 0.001,
        ChangeUnit::Ms => 5.0,
        ChangeUnit::MaxOverMean => 0.1,
        ChangeUnit::Connections => 10.0,
    }
}
