//! What DNS alone makes of a burst: zone, caches and phones played in virtual time, many times over with other draws.
//!
//! What the plan fixes (who holds which phone, sits behind which carrier, enters and votes when) stays fixed; what the world
//! draws (answers, orders, ages of caches, whose turn it is in a moving zone) is drawn anew for each trial. So every figure comes as a range: what chance alone
//! does to it. The trials run the very code of the wire: [`crate::zone`], [`crate::cache::Slot`], [`crate::phone`].
//!
//! Not in it: limits of proxies, retries, dead proxies and the silence of DNS; all proxies accept, the first address of a
//! phone's list wins every race. IPv6 is not played. T0 follows the doors at once.

mod cast;
mod formula;
mod trial;
mod world;

use std::num::NonZero;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::cast::Cast;
pub use self::formula::{Formula, Rule, formula};
use self::trial::{Outcome, Trial};
use self::world::World;
use crate::draw::{Stream, draw};
use crate::plan::Plan;
use crate::skew::Skew;
use crate::zone::Zone;

/// The fewest trials: the range from 1 % to 99 % is then that from the least to the greatest.
const FEWEST_TRIALS: u32 = 32;
/// The most trials that are chosen unasked.
const MOST_TRIALS: u32 = 200;
/// How long a proxy keeps an idle connection when nothing is known of it.
const NEVER: Duration = Duration::from_secs(86_400);
/// Viewers over all trials that are played unasked, which takes about a second; more when 32 trials are more.
const VIEWERS_IN_ALL: u32 = 16_000_000;

/// What is to be forecast.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// Who does what when.
    pub plan: &'a Plan,
    /// The zone; its seed is replaced for each trial.
    pub zone: &'a Zone,
    /// How many agent processes play the audience: it matters for phones whose cache is a process's.
    pub agents: u32,
    /// How many trials; `None` chooses by the size of the audience, 32 to 200.
    pub trials: Option<u32>,
}

/// The range of a figure over all trials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Band {
    /// The mean.
    pub mean: f64,
    /// 1 % of trials lie at or below this.
    pub p1: f64,
    /// 5 % do.
    pub p5: f64,
    /// Half do.
    pub p50: f64,
    /// 95 % do.
    pub p95: f64,
    /// 99 % do.
    pub p99: f64,
}

impl Band {
    /// The band of these values, by nearest rank; `None` of none.
    #[must_use]
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let last = values.len().checked_sub(1)?;
        let at = |part: f64| values[(part * last as f64).round() as usize];
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        Some(Self { mean, p1: at(0.01), p5: at(0.05), p50: at(0.5), p95: at(0.95), p99: at(0.99) })
    }
}

/// Skew over all trials, see [`Skew`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SkewBands {
    /// Over the whole burst.
    pub total: Band,
    /// In the worst second; `None` when no second is busy enough to tell.
    pub peak_1s: Option<Band>,
    /// In the worst five seconds; `None` when none are busy enough.
    pub peak_5s: Option<Band>,
    /// Proxies that got nothing.
    pub idle: Band,
}

/// What DNS alone makes of a burst.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// How many trials.
    pub trials: u32,
    /// How many viewers.
    pub viewers: u32,
    /// Proxies in the zone.
    pub proxies: usize,
    /// Of connections opened, from the opening of the doors on.
    pub connections: SkewBands,
    /// Of votes, from T0 on; `None` when nobody votes.
    pub votes: Option<SkewBands>,
    /// The most connections open at the fullest proxy at the end of any second.
    pub peak_open: Band,
    /// The greatest share of connections that one proxy got in the worst second; `None` when no second is busy enough to tell.
    pub busiest_share: Option<Band>,
    /// Of connections opened by each kind of phone.
    pub by_phone: Vec<(String, SkewBands)>,
    /// What a formula says of everybody's first connection, where there is one.
    pub formula: Option<Formula>,
}

/// Plays the trials. The same setting gives the same forecast on every machine.
#[must_use]
pub fn forecast(setting: &Setting<'_>) -> Forecast {
    let Setting { plan, zone, agents, trials } = *setting;
    let scenario = &plan.scenario;
    let viewers = scenario.audience.viewers;
    let trials = trials.unwrap_or_else(|| (VIEWERS_IN_ALL / viewers.max(1)).clamp(FEWEST_TRIALS, MOST_TRIALS)).max(1);
    let cast = Cast::new(plan, agents);
    let keep_alive = scenario.stage.as_ref().map_or(NEVER, |stage| stage.keep_alive_timeout);
    let play = |trial: u32| {
        let seed = draw(scenario.seed, Stream::Trial, trial.into());
        let zone = zone.with_seed(seed);
        let t0 = Duration::from_millis(cast.t0_ms.into());
        let world = World::new(&zone, scenario, agents, t0, seed);
        Trial::new(&cast, world, zone.members().len(), scenario.audience.phones.len(), keep_alive, seed).play()
    };
    let outcomes = on_all_cores(trials, &play);
    let bands = |skew: &dyn Fn(&Outcome) -> Option<Skew>, idle: &dyn Fn(&Outcome) -> usize| skew_bands(&outcomes, skew, idle);
    Forecast {
        trials,
        viewers,
        proxies: zone.members().len(),
        connections: bands(&|outcome| outcome.connections, &|outcome| outcome.idle).unwrap_or_default(),
        votes: bands(&|outcome| outcome.votes, &|outcome| outcome.idle_of_votes),
        peak_open: Band::of(outcomes.iter().map(|outcome| outcome.peak_open as f64).collect()).unwrap_or_default(),
        busiest_share: Band::of(outcomes.iter().filter_map(|outcome| outcome.connections?.busiest_share).collect()),
        by_phone: scenario
            .audience
            .phones
            .iter()
            .enumerate()
            .filter_map(|(index, phone)| {
                let bands = bands(&|outcome| outcome.by_phone[index], &|outcome| outcome.idle_by_phone[index]);
                Some((phone.name.clone(), bands?))
            })
            .collect(),
        formula: formula(setting),
    }
}

/// Plays all trials, each core every so-manieth of them, and gives them in their order: what is drawn depends on a trial's number alone.
fn on_all_cores(trials: u32, play: &(impl Fn(u32) -> Outcome + Sync)) -> Vec<Outcome> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get).min(trials as usize);
    let mut outcomes: Vec<(u32, Outcome)> = std::thread::scope(|scope| {
        let some =
            |core: usize| move || (core as u32..trials).step_by(cores).map(|trial| (trial, play(trial))).collect::<Vec<_>>();
        let others: Vec<_> = (1..cores).map(|core| scope.spawn(some(core))).collect();
        let mut all = some(0)();
        for other in others {
            // A panic there is one here.
            all.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        all
    });
    outcomes.sort_unstable_by_key(|(trial, _)| *trial);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

fn skew_bands(
    outcomes: &[Outcome],
    skew: &dyn Fn(&Outcome) -> Option<Skew>,
    idle: &dyn Fn(&Outcome) -> usize,
) -> Option<SkewBands> {
    let band =
        |figure: &dyn Fn(&Skew) -> Option<f64>| Band::of(outcomes.iter().filter_map(|outcome| figure(&skew(outcome)?)).collect());
    Some(SkewBands {
        total: band(&|skew| Some(skew.total))?,
        peak_1s: band(&|skew| skew.peak_1s),
        peak_5s: band(&|skew| skew.peak_5s),
        idle: Band::of(outcomes.iter().map(|outcome| idle(outcome) as f64).collect())?,
    })
}
