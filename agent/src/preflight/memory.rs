//! Memory: of the machine, of the control group, and what would be swapped.

use super::line::{fits, line, not_told, size};
use super::{Check, Load, Machine};

/// Swap is no matter as long as so much of the memory stays free, in percent.
const SWAP_MARGIN: u64 = 20;

pub(super) fn lines(load: &Load, machine: &Machine) -> Vec<Check> {
    let mut checks = vec![memory(load, machine)];
    checks.extend(group(load, machine));
    checks.push(swap(load, machine));
    checks
}

fn needed(load: &Load) -> String {
    format!("{} ({}, and the kernel's sockets)", size(load.bytes()), load.whose())
}

fn memory(load: &Load, machine: &Machine) -> Check {
    let what = "memory";
    let Some(available) = machine.memory.available else { return not_told(what, needed(load)) };
    let line = line(what, format!("{} available", size(available)), needed(load));
    if available >= load.bytes() {
        return line.good();
    }
    line.bad("more memory, or agents on more machines", holds(load, available, "the kernel ends processes of this machine"))
}

fn holds(load: &Load, free: u64, then: &str) -> String {
    format!("about {} of {} viewers fit; beyond, {then}", fits(load.viewers_here, free, load.bytes()), load.viewers_here)
}

/// The narrowest group on the way up; no line where no group holds anything back.
fn group(load: &Load, machine: &Machine) -> Option<Check> {
    let room = machine.group_memory.iter().min_by_key(|room| room.most.saturating_sub(room.used))?;
    let free = room.most.saturating_sub(room.used);
    let line =
        line("memory, control group", format!("{} free of {} in {}", size(free), size(room.most), room.group), needed(load));
    if free >= load.bytes() {
        return Some(line.good());
    }
    Some(line.bad(
        format!(
            "give it {} (memory.max, MemoryMax= in a systemd unit, the limit of the container)",
            size(room.used + load.bytes())
        ),
        holds(load, free, "the kernel ends processes of this group"),
    ))
}

/// Swap itself is no fault: memory that has to come back from a disk in the burst is.
fn swap(load: &Load, machine: &Machine) -> Check {
    let (what, needed) = ("swap", "none, or memory that makes it idle");
    let (Some(total), Some(free)) = (machine.memory.swap_total, machine.memory.swap_free) else { return not_told(what, needed) };
    if total == 0 {
        return line(what, "none", needed).good();
    }
    let line = line(what, format!("{}, of which {} are used", size(total), size(total.saturating_sub(free))), needed);
    let Some(available) = machine.memory.available else { return line.good() };
    let spare = available / 100 * (100 - SWAP_MARGIN);
    let out =
        |kept: u64| format!("{} of idle viewers are swapped out, and their votes wait for the disk", size(load.bytes() - kept));
    if load.bytes() > available {
        line.bad("more memory, or agents on more machines", format!("at least {}", out(available)))
    } else if load.bytes() > spare {
        line.warning("`swapoff -a` for the time of the run, or more memory", format!("up to {}", out(spare)))
    } else {
        line.good()
    }
}
