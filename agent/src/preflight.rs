//! Whether this machine can hold a share, before any door opens.
//!
//! Every line says what was looked at, what was found, what is needed, how to fix it and what happens otherwise.
//! A run that would measure this machine's limits instead of the target's is refused here.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};
pub use voteburst_proto::message::{Check, CheckStatus};

use crate::sources::{local_ports, per_pair};

/// Descriptors that an agent needs beside its viewers' connections: lookups, timers, the session, files.
pub const SPARE_FILES: u64 = 512;

/// What was read from this machine.
#[derive(Clone, Debug)]
struct Machine {
    /// Open files this process may have, after raising it as far as allowed; `None` for no limit.
    files: Option<u64>,
    ports: RangeInclusive<u16>,
    /// Source addresses, each with the reason it cannot be used, if any.
    sources: Vec<(IpAddr, Option<String>)>,
}

/// Looks at this machine for a share of `viewers` that connect from `sources` (empty: the kernel chooses).
///
/// Raises the soft limit on open files to the hard one first. The share can be held unless a line is [`CheckStatus::Bad`].
#[must_use]
pub fn check(viewers: u32, sources: &[IpAddr]) -> Vec<Check> {
    let sources = sources.iter().map(|source| (*source, cannot_bind(*source))).collect();
    judge(viewers, &Machine { files: raise_file_limit(), ports: local_ports(), sources })
}

/// Raises the soft limit on open files to the hard one and returns what then holds; `None` for no limit.
pub fn raise_file_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    // Raising to the hard limit is every process's right; should it fail, the soft limit is what counts.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current
}

fn judge(viewers: u32, machine: &Machine) -> Vec<Check> {
    let mut checks = vec![files(viewers, machine.files), ports(viewers, machine)];
    checks.extend(machine.sources.iter().map(|(address, problem)| source(*address, problem.as_deref())));
    checks
}

fn files(viewers: u32, limit: Option<u64>) -> Check {
    let needed = u64::from(viewers) + SPARE_FILES;
    let found = limit.map_or_else(|| "no limit".into(), |limit| limit.to_string());
    let needed_text = format!("{needed} (one per viewer and {SPARE_FILES} more)");
    match limit {
        Some(limit) if limit < needed => bad(
            "open files",
            found,
            needed_text,
            match limit.saturating_sub(SPARE_FILES) {
                0 => format!("set `ulimit -Hn {needed}` (LimitNOFILE={needed} in a systemd unit)"),
                fits => format!(
                    "set `ulimit -Hn {needed}` (LimitNOFILE={needed} in a systemd unit), or more agents with agents.max_viewers = {fits}"
                ),
            },
            format!("this agent holds at most {} of its {viewers} viewers", limit.saturating_sub(SPARE_FILES)),
        ),
        _ => good("open files", found, needed_text),
    }
}

fn ports(viewers: u32, machine: &Machine) -> Check {
    let what = "source ports";
    let addresses = u32::try_from(machine.sources.len().max(1)).unwrap_or(u32::MAX);
    let each = u32::try_from(machine.ports.len()).unwrap_or(u32::MAX);
    let (most, cheap) = (each.saturating_mul(addresses), per_pair(&machine.ports).saturating_mul(addresses));
    let found = format!("{most} towards one proxy ({addresses} source address{} × {each} ports)", plural(addresses, "es"));
    let needed = format!("{} (two per viewer, for all may meet on one proxy)", u64::from(viewers) * 2);
    let more = viewers.div_ceil(per_pair(&machine.ports));
    let fix = format!("give this agent {more} source addresses (agents.sources), or widen net.ipv4.ip_local_port_range");
    if viewers > most {
        bad(what, found, needed, fix, format!("this agent holds at most {most} of its {viewers} viewers if one proxy gets all"))
    } else if viewers > cheap {
        let effect = "connecting slows down by a factor of about 30 once half of the ports are taken".into();
        Check { status: CheckStatus::Warning, ..bad(what, found, needed, fix, effect) }
    } else {
        good(what, found, needed)
    }
}

fn source(address: IpAddr, problem: Option<&str>) -> Check {
    let what = format!("source address {address}");
    let needed = "an address of this machine".into();
    match problem {
        None => good(&what, "usable".into(), needed),
        Some(problem) => bad(
            &what,
            problem.into(),
            needed,
            format!("add it (`ip address add {address} dev …`) or take it out of agents.sources"),
            "no viewer can connect from it".into(),
        ),
    }
}

fn cannot_bind(address: IpAddr) -> Option<String> {
    let bind = || {
        let any_port = SocketAddr::new(address, 0);
        Socket::new(Domain::for_address(any_port), Type::STREAM, None)?.bind(&any_port.into())
    };
    bind().err().map(|error| error.to_string())
}

fn good(what: &str, found: String, needed: String) -> Check {
    Check { what: what.into(), found, needed, fix: String::new(), effect: String::new(), status: CheckStatus::Good }
}

fn bad(what: &str, found: String, needed: String, fix: String, effect: String) -> Check {
    Check { what: what.into(), found, needed, fix, effect, status: CheckStatus::Bad }
}

fn plural(count: u32, ending: &'static str) -> &'static str {
    if count == 1 { "" } else { ending }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::DEFAULT_PORTS;

    fn machine(files: Option<u64>, sources: usize) -> Machine {
        let source = |host| (IpAddr::from([127, 64, 1, u8::try_from(host).unwrap()]), None);
        Machine { files, ports: DEFAULT_PORTS, sources: (1..=sources).map(source).collect() }
    }

    fn statuses(viewers: u32, machine: &Machine) -> Vec<CheckStatus> {
        judge(viewers, machine).iter().map(|check| check.status).collect()
    }

    #[test]
    fn a_file_limit_that_is_too_low_says_how_many_viewers_fit_and_what_to_set() {
        let check = &judge(15_000, &machine(Some(1_024), 4))[0];
        assert_eq!(check.status, CheckStatus::Bad);
        assert_eq!(check.found, "1024");
        assert!(check.effect.contains("at most 512 of its 15000 viewers"), "{}", check.effect);
        assert!(check.fix.contains("ulimit -Hn 15512"), "{}", check.fix);
    }

    #[test]
    fn files_are_judged_at_the_edge() {
        use CheckStatus::{Bad, Good};
        for (files, status) in [(Some(1_511), Bad), (Some(1_512), Good), (None, Good), (Some(0), Bad)] {
            assert_eq!(statuses(1_000, &machine(files, 1))[0], status, "{files:?}");
        }
    }

    #[test]
    fn ports_are_judged_for_all_viewers_on_one_proxy() {
        use CheckStatus::{Bad, Good, Warning};
        // 28,232 ports per source address; half of them stay cheap.
        for (viewers, sources, status) in [
            (14_116, 1, Good),
            (14_117, 1, Warning),
            (28_232, 1, Warning),
            (28_233, 1, Bad),
            (28_232, 2, Good),
            (28_233, 0, Bad),
            (14_116, 0, Good),
        ] {
            assert_eq!(statuses(viewers, &machine(None, sources))[1], status, "{viewers} viewers from {sources}");
        }
    }

    #[test]
    fn a_source_address_of_another_machine_is_named() {
        let checks = check(1, &["127.64.1.1".parse().unwrap(), "192.0.2.1".parse().unwrap()]);
        let named: Vec<_> = checks.iter().skip(2).map(|check| (check.what.as_str(), check.status)).collect();
        assert_eq!(named, [("source address 127.64.1.1", CheckStatus::Good), ("source address 192.0.2.1", CheckStatus::Bad)]);
    }

    #[test]
    fn the_soft_limit_on_files_is_raised_to_the_hard_one() {
        assert_eq!(raise_file_limit(), getrlimit(Resource::Nofile).maximum);
    }
}
