//! Files and ports: what limits the number of connections.

use super::line::{fits, line, not_told};
use super::{Check, Load, Machine, SPARE_FILES};

pub(super) fn lines(load: &Load, machine: &Machine) -> Vec<Check> {
    let mut checks = vec![
        open_files(load, machine),
        ceiling(load, machine),
        all_files(load, machine),
        ports(load, machine),
        time_wait(load, machine),
    ];
    checks.extend(sources(machine));
    checks
}

fn open_files(load: &Load, machine: &Machine) -> Check {
    let (viewers, limit) = (load.viewers, machine.process.open_files);
    let needed = u64::from(viewers) + SPARE_FILES;
    let found = limit.map_or_else(|| "no limit".into(), |limit| limit.to_string());
    let line = line("open files", found, format!("{needed} (one per viewer and {SPARE_FILES} more)"));
    let Some(limit) = limit.filter(|limit| *limit < needed) else { return line.good() };
    let set = format!("set `ulimit -Hn {needed}` (LimitNOFILE={needed} in a systemd unit)");
    let fits = limit.saturating_sub(SPARE_FILES);
    let fix = if fits == 0 { set } else { format!("{set}, or more agents with agents.max_viewers = {fits}") };
    line.bad(fix, format!("this agent holds at most {fits} of its {viewers} viewers"))
}

fn ceiling(load: &Load, machine: &Machine) -> Check {
    let (what, needed) = ("open files, ceiling", u64::from(load.viewers) + SPARE_FILES);
    let needed_text = format!("{needed} (fs.nr_open, above which no limit can be raised)");
    let Some(found) = machine.nr_open else { return not_told(what, needed_text) };
    let line = line(what, found.to_string(), needed_text);
    if found >= needed {
        return line.good();
    }
    let holds = found.saturating_sub(SPARE_FILES);
    line.bad(
        format!("`sysctl fs.nr_open={needed}`, or more agents with fewer viewers each"),
        format!("no agent can hold more than {holds} of its {} viewers, whatever its own limit says", load.viewers),
    )
}

fn all_files(load: &Load, machine: &Machine) -> Check {
    let (what, needed) = ("open files, machine", load.sockets() + SPARE_FILES);
    let needed_text = format!("{needed} free (sockets of {}, fs.file-max)", load.whose());
    let Some(files) = machine.files else { return not_told(what, needed_text) };
    let line = line(what, format!("{} free of {}", files.free(), files.most), needed_text);
    if files.free() >= needed {
        return line.good();
    }
    let holds = fits(load.viewers_here, files.free().saturating_sub(SPARE_FILES), load.sockets());
    line.bad(
        format!("`sysctl fs.file-max={}`", files.used + needed),
        format!("after {holds} of {} viewers no process of this machine can open a file (ENFILE)", load.viewers_here),
    )
}

fn ports(load: &Load, machine: &Machine) -> Check {
    let viewers = load.viewers;
    let addresses = u32::try_from(machine.process.sources.len().max(1)).unwrap_or(u32::MAX);
    let (each, reserved) = (machine.ports.usable(), machine.ports.reserved());
    let (most, cheap) = (each.saturating_mul(addresses), machine.ports.per_pair().saturating_mul(addresses));
    let plural = if addresses == 1 { "" } else { "es" };
    let less = if reserved == 0 { String::new() } else { format!(", {reserved} more are reserved") };
    let line = line(
        "source ports",
        format!("{most} ({addresses} source address{plural} × {each}{less})"),
        format!("{} towards one proxy (two per viewer, for all may meet there)", u64::from(viewers) * 2),
    );
    let more = viewers.div_ceil(machine.ports.per_pair());
    let clear = if reserved == 0 { "" } else { ", or clear net.ipv4.ip_local_reserved_ports" };
    let fix = format!("give this agent {more} source addresses (agents.sources), or widen net.ipv4.ip_local_port_range{clear}");
    if viewers > most {
        line.bad(fix, format!("this agent holds at most {most} of its {viewers} viewers if one proxy gets all"))
    } else if viewers > cheap {
        // Cloudflare, "connect() – why are you so slow?", 2024: the kernel searches once one half of the range is taken.
        line.warning(fix, "connecting slows down by a factor of about 30 once half of the ports are taken")
    } else {
        line.good()
    }
}

/// Connections of an earlier run hold their ports for a minute after it (RFC 9293, TIME-WAIT), towards the same proxies.
///
/// The kernel tells how many there are, not whose: all are taken for an earlier run's.
fn time_wait(load: &Load, machine: &Machine) -> Check {
    let addresses = u64::try_from(machine.process.sources.len().max(1)).unwrap_or(u64::MAX);
    let [cheap, all] = [machine.ports.per_pair(), machine.ports.usable()].map(|ports| u64::from(ports) * addresses);
    let [cheap, spare] = [cheap, all].map(|ports| ports.saturating_sub(u64::from(load.viewers)));
    let (what, needed) = ("ports in TIME_WAIT", format!("at most {cheap} (cheap ports less viewers), or reused (tcp_tw_reuse)"));
    let Some(waiting) = machine.time_wait else { return not_told(what, needed) };
    let line = line(what, format!("{}, {} of them not on loopback", waiting.all, waiting.away), needed);
    // ip-sysctl, tcp_tw_reuse: 0 never, 1 for all, 2 on loopback, where a stage is.
    let held = match machine.reuse {
        Some(1) => 0,
        Some(2) if load.stage_here => 0,
        Some(2) => waiting.away,
        _ => waiting.all,
    };
    let fix = "wait a minute after an earlier run, or `sysctl net.ipv4.tcp_tw_reuse=1`";
    if held > spare {
        let left = all.saturating_sub(held);
        line.bad(fix, format!("if they are towards the same proxies, {left} of {} viewers find a port", load.viewers))
    } else if held > cheap {
        line.warning(fix, "connecting slows down if they are towards the same proxies")
    } else {
        line.good()
    }
}

/// One line for all source addresses, which can be a thousand. None for none: then the kernel chooses.
fn sources(machine: &Machine) -> Option<Check> {
    let sources = &machine.process.sources;
    let unusable: Vec<_> =
        sources.iter().filter_map(|(address, problem)| problem.as_ref().map(|problem| (address, problem))).collect();
    let (what, needed) = ("source addresses", "addresses of this machine");
    let Some((address, problem)) = unusable.first() else {
        let (first, last) = (sources.first()?.0, sources.last()?.0);
        let found = if sources.len() == 1 { format!("{first}") } else { format!("{first} to {last}, {} in all", sources.len()) };
        return Some(line(what, found, needed).good());
    };
    let others = if unusable.len() > 1 { format!(", and {} more", unusable.len() - 1) } else { String::new() };
    Some(line(what, format!("{address}: {problem}{others}"), needed).bad(
        format!("add it (`ip address add {address} dev …`) or take it out of agents.sources"),
        format!("no viewer can connect from {} of {} source addresses", unusable.len(), sources.len()),
    ))
}
