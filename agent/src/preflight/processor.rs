//! Processor time: how much there is, who takes it away, and what it costs to read the clock.

use super::line::{line, not_told};
use super::load::{SCATTERED_VOTE_CPU_US, VOTE_CPU_US};
use super::machine::STOLEN_WARNING;
use super::{Check, Load, Machine};

pub(super) fn lines(load: &Load, machine: &Machine) -> Vec<Check> {
    vec![cores(load, machine), quota(load, machine), stolen(load, machine), clock_source(machine)]
}

fn needed(load: &Load) -> String {
    let ends = if load.stage_here { ", twice with the stage" } else { "" };
    format!(
        "{:.2} in the busiest second ({} votes at {VOTE_CPU_US} µs{ends}); scattered votes {:.2} (at {SCATTERED_VOTE_CPU_US} µs)",
        load.cores(),
        load.peak_votes_per_s,
        load.scattered_cores()
    )
}

/// How many votes of the busiest second leave within it when there are so many cores.
fn within(load: &Load, cores: f64) -> String {
    let seconds = load.cores() / cores.max(0.001);
    format!(
        "the {} votes of the busiest second take about {seconds:.1} s, so they leave up to {:.1} s late; at most {:.0} fit",
        load.peak_votes_per_s,
        seconds - 1.0,
        f64::from(load.peak_votes_per_s) / seconds
    )
}

/// Bad when even crowds, which cost least, are too much: whatever waits gathers into crowds, so dearer votes come late and
/// become cheaper.
fn cores(load: &Load, machine: &Machine) -> Check {
    let cores = f64::from(machine.process.cores);
    let line = line("cores", machine.process.cores.to_string(), needed(load));
    let fix = "more cores, agents on more machines, or a burst that is less steep";
    if load.cores() > cores {
        line.bad(fix, within(load, cores))
    } else if load.scattered_cores() > cores / 2.0 {
        let [crowds, scattered] = [load.cores(), load.scattered_cores()].map(|busy| (busy / cores * 100.0).min(100.0));
        line.warning(
            fix,
            format!(
                "about {crowds:.0} % of the processor is busy then where votes come in crowds, {scattered:.0} % where they are scattered: votes that are due together wait for one another"
            ),
        )
    } else {
        line.good()
    }
}

fn quota(load: &Load, machine: &Machine) -> Check {
    let what = "cores, control group";
    let Some(quota) = machine.quota else { return line(what, "no quota", needed(load)).good() };
    let line = line(what, format!("{quota:.2} on average"), needed(load));
    let fix = "lift it (cpu.max, CPUQuota= in a systemd unit, the limit of the container)";
    if load.cores() > quota {
        line.bad(fix, within(load, quota))
    } else if quota < f64::from(machine.process.cores) {
        // Kernel documentation, "CFS Bandwidth Control": a group that used up its quota waits for the next period.
        line.warning(
            fix,
            "when the quota of a period (100 ms by default) is used up, everything here stands still until the next",
        )
    } else {
        line.good()
    }
}

/// Bad only when what is left is too little for the plan. A crowded host takes a third of two cores for seconds and gives it
/// back in the next ones: then the run itself has to tell how late it was.
fn stolen(load: &Load, machine: &Machine) -> Check {
    let (what, needed) = ("stolen time", format!("at most {:.0} % (taken by the hypervisor for others)", STOLEN_WARNING * 100.0));
    let Some(share) = machine.stolen else { return not_told(what, needed) };
    let line = line(what, format!("{:.1} %", share * 100.0), needed);
    if share <= STOLEN_WARNING {
        return line.good();
    }
    let left = f64::from(machine.process.cores) * (1.0 - share);
    let fix = "a machine with cores of its own, or another hour";
    let taken = format!("{:.0} ms of each second belong to others", share * 1e3);
    if load.cores() > left {
        line.bad(fix, format!("{taken}, and on the {left:.2} cores that are left {}", within(load, left)))
    } else {
        line.warning(fix, format!("{taken}: some votes leave late by whole slices of time"))
    }
}

/// The clock is read several times for each vote. With these sources that takes no system call (vdso(7)).
fn clock_source(machine: &Machine) -> Check {
    let (what, needed) = ("clock source", "tsc, kvm-clock, hyperv_… or arch_sys_counter");
    let Some(name) = &machine.clock_source else { return not_told(what, needed) };
    let line = line(what, name.clone(), needed);
    let fix =
        "`cat /sys/devices/system/clocksource/clocksource0/available_clocksource`, and write a better one to current_clocksource";
    match name.as_str() {
        "tsc" | "kvm-clock" | "arch_sys_counter" => line.good(),
        hyperv if hyperv.starts_with("hyperv_") => line.good(),
        "jiffies" => line.bad(fix, "time moves on in steps of 1 to 10 ms, and no latency below that means anything"),
        _ => line.warning(fix, "each look at the clock is a system call of a microsecond or more, several for each vote"),
    }
}
