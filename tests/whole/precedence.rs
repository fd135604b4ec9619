//! A rehearsal before the machine's other programs, or as one among them.

use std::fs;
use std::process::Command;

use rustix::process::Pid;

use crate::fixture::skipped;
use crate::scenario::{Place, Scenario};

fn asking_for_it() -> Place {
    Scenario::small().with("connection_limit = 2_000", "connection_limit = 2_000\nprecedence = true").place()
}

/// The nice value of a process (proc_pid_stat(5)).
fn nice(process: Pid) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).unwrap();
    stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(16).unwrap().parse().unwrap()
}

/// A session of its own, which tells at its end where it stands.
const SESSION: [&str; 6] = ["setsid", "-w", "sh", "-c", "\"$@\"; code=$?; cat /proc/self/autogroup >&2; exit $code", "sh"];
const RUN: [&str; 5] = ["run", "scenario.toml", "--out", "run", "--json"];

#[test]
fn who_may_goes_before_other_programs_and_the_session_is_left_as_it_was() {
    let probe = Command::new("setsid").args(["-w", "sh", "-c", "renice -n -10 $$ && echo -10 > /proc/self/autogroup"]).output();
    if !probe.is_ok_and(|tried| tried.status.success()) {
        return skipped("no precedence to be had here (no root, no CAP_SYS_NICE, or a kernel without autogroups)");
    }
    let place = asking_for_it();
    let running = place.voteburst_within(&SESSION, &RUN).start();
    let agent = running.agent(0);
    let session = fs::read_to_string(format!("/proc/{}/autogroup", agent.as_raw_nonzero())).unwrap();
    assert_eq!((nice(agent), session.trim().ends_with("nice -10")), (-10, true), "{session}");
    let ended = running.end().exits(0).says(&[" nice 0"]);
    assert!(!ended.stderr.contains("precedence"), "{}", ended.stderr);
    ended.report().is("pass");
}

#[test]
fn who_may_not_is_told_so_and_plays_as_one_among_others() {
    let without = ["setpriv", "--bounding-set=-sys_nice"];
    let outer = if rustix::process::geteuid().is_root() { &without[..] } else { &["env"] };
    let place = asking_for_it();
    let running = place.voteburst_within(outer, &RUN).start();
    assert_eq!(nice(running.agent(0)), 0);
    let says = ["precedence over other programs: Permission denied", "stage.precedence", "run as root or with CAP_SYS_NICE"];
    running.end().exits(0).says(&says).report().is("pass");
}
