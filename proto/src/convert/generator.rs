//! What an agent says of itself: stalls and lateness in columns, the machine's figures one by one.

use voteburst_burst::generator::{MOST_LISTED, MachineTime, Stall, StalledSecond, Stalls, TcpCounts, Usage, Watched};
use voteburst_burst::tally::{LATE_PLACES, LateSecond, LateSeconds, MOST_SECONDS};

use super::{WireProblem, at_most};
use crate::wire;

pub(super) fn to_wire(watched: &Watched) -> wire::Watched {
    let TcpCounts { retransmits, syn_retransmits, listen_overflows, listen_drops } = watched.tcp;
    wire::Watched {
        stalls: Some(stalls_to_wire(&watched.stalls)),
        usage: Some(usage_to_wire(&watched.usage)),
        busiest_second: watched.busiest.map(|(second, _)| second),
        busiest: watched.busiest.map(|(_, usage)| usage_to_wire(&usage)),
        retransmits,
        syn_retransmits,
        listen_overflows,
        listen_drops,
        memory_peak_bytes: watched.memory_peak_bytes,
        local_limits: watched.local_limits,
        not_allowed: watched.not_allowed,
    }
}

pub(super) fn from_wire(message: wire::Watched) -> Result<Watched, WireProblem> {
    let wire::Watched { retransmits, syn_retransmits, listen_overflows, listen_drops, .. } = message;
    let busiest = match (message.busiest_second, message.busiest) {
        (Some(second), Some(usage)) => Some((second, usage_from_wire(&usage)?)),
        (None, None) => None,
        (Some(_), None) => return Err(WireProblem::Missing("usage of the busiest second")),
        (None, Some(_)) => return Err(WireProblem::Missing("number of the busiest second")),
    };
    Ok(Watched {
        stalls: stalls_from_wire(&message.stalls.unwrap_or_default())?,
        usage: usage_from_wire(&message.usage.unwrap_or_default())?,
        busiest,
        tcp: TcpCounts { retransmits, syn_retransmits, listen_overflows, listen_drops },
        memory_peak_bytes: message.memory_peak_bytes,
        local_limits: message.local_limits,
        not_allowed: message.not_allowed,
    })
}

fn stalls_to_wire(stalls: &Stalls) -> wire::Stalls {
    let listed = || stalls.longest.iter().chain(&stalls.first);
    let seconds = || stalls.by_second.values();
    wire::Stalls {
        total_us: stalls.total_us,
        on_cpu_us: stalls.on_cpu_us,
        at_us: listed().map(|stall| stall.at_us).collect(),
        length_us: listed().map(|stall| stall.length_us).collect(),
        worked_us: listed().map(|stall| stall.on_cpu_us).collect(),
        second: stalls.by_second.keys().copied().collect(),
        count: seconds().map(|second| second.count).collect(),
        longest_us: seconds().map(|second| second.longest_us).collect(),
    }
}

fn stalls_from_wire(message: &wire::Stalls) -> Result<Stalls, WireProblem> {
    at_most("number of stalls listed", message.at_us.len(), MOST_LISTED + 1)?;
    same_length("columns of stalls", message.at_us.len(), &[message.length_us.len(), message.worked_us.len()])?;
    at_most("number of seconds with stalls", message.second.len(), MOST_SECONDS as usize)?;
    same_length("columns of seconds with stalls", message.second.len(), &[message.count.len(), message.longest_us.len()])?;
    for second in &message.second {
        at_most("second of a stall", *second as usize, MOST_SECONDS as usize - 1)?;
    }
    let times = message.at_us.iter().zip(&message.length_us).zip(&message.worked_us);
    let mut listed = times.map(|((at, length), worked)| Stall { at_us: *at, length_us: *length, on_cpu_us: *worked });
    let seconds = message.second.iter().zip(message.count.iter().zip(&message.longest_us));
    Ok(Stalls {
        total_us: message.total_us,
        on_cpu_us: message.on_cpu_us,
        longest: listed.next(),
        first: listed.collect(),
        by_second: seconds
            .map(|(second, (count, longest))| (*second, StalledSecond { count: *count, longest_us: *longest }))
            .collect(),
    })
}

fn same_length(what: &'static str, needed: usize, found: &[usize]) -> Result<(), WireProblem> {
    match found.iter().find(|found| **found != needed) {
        Some(found) => Err(WireProblem::Uneven { what, found: *found as u64, needed: needed as u64 }),
        None => Ok(()),
    }
}

fn usage_to_wire(usage: &Usage) -> wire::Usage {
    wire::Usage {
        span_us: usage.span_us,
        process_us: usage.process_us,
        viewers_us: usage.viewers_us,
        waited_us: usage.waited_us,
        busy_us: usage.machine.map(|machine| machine.busy_us),
        idle_us: usage.machine.map(|machine| machine.idle_us),
        stolen_us: usage.machine.map(|machine| machine.stolen_us),
    }
}

fn usage_from_wire(message: &wire::Usage) -> Result<Usage, WireProblem> {
    let machine = match (message.busy_us, message.idle_us, message.stolen_us) {
        (Some(busy_us), Some(idle_us), Some(stolen_us)) => Some(MachineTime { busy_us, idle_us, stolen_us }),
        (None, None, None) => None,
        _ => return Err(WireProblem::Missing("part of the machine's time")),
    };
    let wire::Usage { span_us, process_us, viewers_us, waited_us, .. } = *message;
    Ok(Usage { span_us, process_us, viewers_us, waited_us, machine })
}

pub(super) fn late_to_wire(late: &LateSeconds) -> Option<wire::LateSeconds> {
    let held = |second: &LateSecond| second.counts().iter().filter(|count| **count > 0).count();
    let cells = || late.seconds().iter().flat_map(|second| (0_u32..).zip(second.counts().iter().copied()));
    let cells = || cells().filter(|(_, count)| *count > 0);
    (!late.seconds().is_empty()).then(|| wire::LateSeconds {
        first: late.first(),
        held: late.seconds().iter().map(|second| held(second) as u32).collect(),
        place: cells().map(|(place, _)| place).collect(),
        count: cells().map(|(_, count)| count).collect(),
    })
}

/// Reads lateness through and keeps nothing.
pub(super) fn judge_late(message: Option<&wire::LateSeconds>) -> Result<(), WireProblem> {
    let Some(message) = message else { return Ok(()) };
    // Judged apart, so that their sum is no greater than what fits.
    at_most("first second of lateness", message.first as usize, MOST_SECONDS as usize)?;
    at_most("number of seconds of lateness", message.held.len(), MOST_SECONDS as usize - message.first as usize)?;
    for held in &message.held {
        at_most("number of places of a second", *held as usize, LATE_PLACES)?;
    }
    for place in &message.place {
        at_most("place of a lateness", *place as usize, LATE_PLACES - 1)?;
    }
    let needed = message.held.iter().map(|held| *held as usize).sum();
    same_length("places of lateness", needed, &[message.place.len(), message.count.len()])
}

/// Adds lateness that came over the wire to what is there; nothing when the message is refused.
pub(super) fn add_late(message: Option<&wire::LateSeconds>, late: &mut LateSeconds) -> Result<(), WireProblem> {
    judge_late(message)?;
    let Some(message) = message else { return Ok(()) };
    let mut cells = message.place.iter().zip(&message.count);
    for (second, held) in (message.first..).zip(&message.held) {
        for (place, count) in cells.by_ref().take(*held as usize) {
            late.add(second, *place as usize, *count);
        }
    }
    Ok(())
}
