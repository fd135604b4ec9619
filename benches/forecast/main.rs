//! How long a forecast takes: the case's audience, and a hundred times that. Figures, no assertions.
//!
//! Goals: 300,000 viewers in under 2 s and 30 million in under 3 minutes, of processor time, trials for a range included.

#![allow(clippy::print_stdout, reason = "a bench prints")]
#![allow(clippy::disallowed_methods, reason = "a bench measures time")]
#![allow(missing_docs, reason = "a bench has no readers of docs")]

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use voteburst_burst::forecast::{Setting, forecast};
use voteburst_burst::plan::Plan;
use voteburst_burst::scenario::Draft;

const SHOW: &str = include_str!("../../scenarios/show.toml");

fn main() {
    println!("forecast of scenarios/show.toml");
    let mut missed = false;
    for (viewers, goal) in [(12_000, 2.0), (300_000, 2.0), (30_000_000, 180.0)] {
        let draft = Draft::read(SHOW, "show.toml").expect("the show is sound").with_viewers(viewers);
        let scenario = draft.resolve(&|_| Err(std::io::ErrorKind::NotFound.into())).expect("the show is sound");
        let started = (Instant::now(), cpu());
        let plan = Plan::new(scenario);
        let planned = started.0.elapsed();
        let stage = plan.scenario.stage.as_ref().expect("the show has a stage");
        let addresses: Vec<_> = (1..=stage.fronts()).map(|n| [10, 0, 0, n as u8].into()).collect();
        let zone = stage.zone(&addresses, plan.scenario.seed).expect("a sound stage has a zone");
        let told = forecast(&Setting { plan: &plan, zone: &zone, agents: viewers.div_ceil(15_000), trials: None });
        let (wall, cpu) = (started.0.elapsed() - planned, cpu() - started.1 - planned);
        let each = wall.as_nanos() as f64 / f64::from(told.trials) / f64::from(viewers);
        missed |= cpu.as_secs_f64() > goal;
        println!(
            "  {viewers:>10} viewers, {:>3} trials: {:>6.2} s ({:.2} s of CPU; goal {goal} s), {each:.0} ns a viewer and trial; plan {:.2} s; \
             worst second {:.2} [{:.2} to {:.2}]",
            told.trials,
            wall.as_secs_f64(),
            cpu.as_secs_f64(),
            planned.as_secs_f64(),
            told.connections.peak_1s.map_or(f64::NAN, |band| band.mean),
            told.connections.peak_1s.map_or(f64::NAN, |band| band.p1),
            told.connections.peak_1s.map_or(f64::NAN, |band| band.p99),
        );
    }
    println!("  goals {}", if missed { "MISSED" } else { "met" });
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
