//! The kernel's tables and queues for connections.

use super::line::{line, not_told};
use super::machine::Conntrack;
use super::{Check, Load, Machine};

/// Length of the accept queue that each proxy of a stage asks for; the kernel grants no more than `somaxconn` (listen(2)).
const STAGE_BACKLOG: u64 = 4_096;
/// Handshakes that a listener should be able to have under way: what a machine with 1 GiB has by default (ip-sysctl).
const SYN_BACKLOG: u64 = 1_024;
/// How long a proxy of a stage may be away from its queues: what counts as a stall, in milliseconds.
const PAUSE_MS: u64 = 10;

pub(super) fn lines(load: &Load, machine: &Machine) -> Vec<Check> {
    let mut checks = vec![conntrack(load, machine), queued_data(load, machine)];
    if load.stage_here {
        checks.push(accept_queue(load, machine));
        checks.push(handshakes(load, machine));
    }
    checks
}

/// A full table drops packets in silence: only the kernel's log tells (nf_conntrack-sysctl).
fn conntrack(load: &Load, machine: &Machine) -> Check {
    let what = "connection tracking";
    let connections = u64::from(load.viewers_here);
    let needed = format!("{} free entries (two per connection), or not loaded", connections * 2);
    let table = match machine.conntrack {
        Conntrack::NotLoaded => return line(what, "not loaded", needed).good(),
        Conntrack::NotTold => return not_told(what, needed),
        Conntrack::Loaded(table) => table,
    };
    let line = line(what, format!("{} of {} entries free", table.free(), table.most), needed);
    let fix =
        format!("`sysctl net.netfilter.nf_conntrack_max={}`, or a notrack rule for the proxies", table.used + connections * 2);
    if table.free() >= connections * 2 {
        line.good()
    } else if table.used == 0 {
        line.warning(fix, "no connection is tracked now; should a rule begin to, packets of new ones are dropped in silence")
    } else if table.free() >= connections {
        line.warning(fix, "reopened connections, whose old entries stay for two minutes, may be dropped in silence")
    } else {
        let holds = table.free();
        line.bad(fix, format!("after {holds} of {connections} connections the kernel drops new ones in silence"))
    }
}

/// An idle connection queues nothing; a vote in flight takes a page at the end where it waits.
///
/// ip-sysctl, `tcp_mem`: pages for queueing by all TCP sockets. Sockets themselves count as memory, not here.
fn queued_data(load: &Load, machine: &Machine) -> Check {
    let (what, needed) = ("queued TCP data", u64::from(load.peak_votes_per_s.min(load.viewers_here)));
    let needed_text = format!("{needed} pages free (one per vote of the busiest second, tcp_mem)");
    let Some(pages) = machine.tcp_pages else { return not_told(what, needed_text) };
    let free = pages.most.saturating_sub(pages.used);
    let line = line(what, format!("{free} of {} pages free", pages.most), needed_text);
    let most = pages.used + needed;
    let fix = format!("`sysctl net.ipv4.tcp_mem=\"{} {} {}\"`", most, most + most / 2, most * 2);
    if free < needed {
        line.bad(fix, format!("with more than {free} votes waiting at once, TCP drops what does not fit"))
    } else if pages.used + needed > pages.pressure {
        line.warning(fix, "under pressure TCP shrinks its windows: answers come later than they would")
    } else {
        line.good()
    }
}

/// Viewers who come to one proxy during a pause of it, when all who vote in the busiest second have to connect again and one
/// answer of DNS sends them to the same.
fn at_once(load: &Load) -> u64 {
    u64::from(load.peak_votes_per_s.min(load.viewers_here)) * PAUSE_MS / 1_000
}

/// Bad when those who come at once do not fit: then this machine turns viewers away, and no limit of a proxy has to.
fn accept_queue(load: &Load, machine: &Machine) -> Check {
    let (what, needed) = ("accept queue", format!("{STAGE_BACKLOG} (net.core.somaxconn, as each proxy of the stage asks for)"));
    let Some(found) = machine.somaxconn else { return not_told(what, needed) };
    let line = line(what, found.to_string(), needed);
    let fix = format!("`sysctl net.core.somaxconn={STAGE_BACKLOG}`");
    if found >= STAGE_BACKLOG {
        line.good()
    } else if found < at_once(load) {
        line.bad(fix, turned_away(load, found))
    } else {
        line.warning(fix, format!("when more than {found} viewers come to a proxy at once, the others try again after 1 s"))
    }
}

fn handshakes(load: &Load, machine: &Machine) -> Check {
    let (what, needed) = ("handshake queue", format!("{SYN_BACKLOG} (net.ipv4.tcp_max_syn_backlog)"));
    let Some(found) = machine.syn_backlog else { return not_told(what, needed) };
    let line = line(what, found.to_string(), needed);
    let fix = format!("`sysctl net.ipv4.tcp_max_syn_backlog={SYN_BACKLOG}`");
    if found >= SYN_BACKLOG {
        line.good()
    } else if found < at_once(load) {
        line.bad(fix, turned_away(load, found))
    } else {
        line.warning(
            fix,
            format!(
                "with more than {found} handshakes under way at a proxy, further ones lose their options or are dropped for 1 s"
            ),
        )
    }
}

fn turned_away(load: &Load, found: u64) -> String {
    format!(
        "of the {} viewers who come to one proxy in {PAUSE_MS} ms when all connect again, {found} fit; the kernel, not the proxy's \
         limit, makes the others wait for 1 s",
        at_once(load)
    )
}
