//! Preflights seen red on purpose by the real command: in namespaces of their own, in which this machine's kernel says
//! something else.

use std::path::Path;
use std::process::Command;

use crate::fixture::{Ended, Voteburst, skipped};
use crate::scenario::{Place, Scenario};

/// The first of these ways to leave the machine's namespaces that is allowed here; without root it takes a user namespace too.
fn allowed(ways: &[&'static str], script: &str, dir: &Path) -> Option<&'static str> {
    let works = |way: &str| {
        let tried = Command::new("unshare").args([way, "sh", "-c", &format!("{script} && true")]).current_dir(dir).output();
        tried.is_ok_and(|tried| tried.status.success())
    };
    let found = ways.iter().copied().find(|way| works(way));
    if found.is_none() {
        skipped(&format!("namespaces are refused here (`unshare {}` with `{script}`)", ways.join("` and `unshare ")));
    }
    found
}

/// Runs the command after a script of the shell in namespaces of its own; `None` where they are refused.
fn after(place: &Place, ways: &[&'static str], script: &str, words: &[&str]) -> Option<Ended> {
    let dir = place.path("");
    let way = allowed(ways, script, &dir)?;
    let script = format!("{script} && exec \"$@\"");
    Some(Voteburst::within(&dir, &["unshare", way, "sh", "-c", &script, "sh"], words).end())
}

/// With another file of the kernel's in place of one.
fn with_file(place: &Place, path: &str, text: &str, words: &[&str]) -> Option<Ended> {
    std::fs::write(place.path("file"), text).unwrap();
    after(place, &["-m", "-Urm"], &format!("mount --bind file {path}"), words)
}

/// With another setting of the network, which then is one of its own with nothing but loopback.
fn with_setting(place: &Place, path: &str, text: &str, words: &[&str]) -> Option<Ended> {
    let script = format!("ip link set lo up && echo '{text}' > /proc/sys/net/{path}");
    after(place, &["-n", "-Urn"], &script, words)
}

/// The table's line on something, and those below it that say what to do.
fn line(ended: &Ended, what: &str) -> String {
    let mut lines =
        ended.stdout.lines().skip_while(|line| !line.chars().skip(2).collect::<String>().starts_with(&format!("{what}  ")));
    let first = lines.next().unwrap_or_else(|| panic!("no line on `{what}` in:\n{}\n{}", ended.stdout, ended.stderr));
    [first].into_iter().chain(lines.take_while(|line| line.starts_with("    "))).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn holds(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "`{word}` is missing in:\n{text}");
    }
}

const CHECK: &[&str] = &["check", "scenario.toml"];

#[test]
fn on_this_machine_nothing_is_red_for_a_small_scenario_and_every_line_stands_once() {
    let ended = Scenario::small().place().voteburst(CHECK).end().exits(0);
    assert!(!ended.stdout.contains('✗'), "{}", ended.stdout);
    for what in
        ["open files", "source ports", "connection tracking", "memory", "cores", "stolen time", "clock source", "disk of the run"]
    {
        let lines =
            ended.stdout.lines().filter(|line| line.chars().skip(2).collect::<String>().starts_with(&format!("{what}  ")));
        assert_eq!(lines.count(), 1, "{what} in:\n{}", ended.stdout);
    }
}

#[test]
fn a_narrow_range_of_ports_is_seen_by_check() {
    let place = Scenario::small().with("[agents]", "[agents]\nsources = [\"127.91.8.1\", \"127.91.8.2\"]").place();
    let set = |key: &str, text: &str| with_setting(&place, key, text, CHECK);
    let Some(ended) = set("ipv4/ip_local_port_range", "40000 40049") else { return };
    holds(
        &line(&ended.exits(2), "source ports"),
        &[
            "✗",
            "100 (2 source addresses × 50)",
            "400 towards one proxy (two per viewer",
            "8 source addresses",
            "at most 100 of its 200 viewers",
        ],
    );
    let Some(ended) = set("ipv4/ip_local_reserved_ports", "32768-60949") else { return };
    holds(
        &line(&ended.exits(2), "source ports"),
        &["✗", "100 (2 source addresses × 50, 28182 more are reserved)", "clear net.ipv4.ip_local_reserved_ports"],
    );
    let Some(ended) = set("core/somaxconn", "16") else { return };
    holds(&line(&ended.exits(0), "accept queue"), &["!", "16", "4096", "net.core.somaxconn=4096", "more than 16 viewers"]);
    let Some(ended) = set("ipv4/tcp_max_syn_backlog", "8") else { return };
    holds(&line(&ended.exits(0), "handshake queue"), &["!", "8", "1024", "tcp_max_syn_backlog=1024", "more than 8 handshakes"]);
    // Of 12,000 viewers 6,000 vote in each second, so up to 60 come in 10 ms.
    for (key, what, says) in [
        ("core/somaxconn", "accept queue", ["✗", "4096", "8 fit", "net.core.somaxconn=4096"]),
        ("ipv4/tcp_max_syn_backlog", "handshake queue", ["✗", "1024", "8 fit", "net.ipv4.tcp_max_syn_backlog=1024"]),
    ] {
        let Some(ended) = with_setting(&place, key, "8", &["check", "scenario.toml", "--viewers", "12000"]) else { return };
        holds(&line(&ended.exits(2), what), &says);
    }
}

#[test]
fn what_the_kernel_says_of_itself_is_seen_by_check() {
    let place = Scenario::small().place();
    for (path, text, what, says) in [
        (
            "/proc/sys/fs/nr_open",
            "600",
            "open files, ceiling",
            ["600", "712", "fs.nr_open=712", "more than 88 of its 200 viewers"],
        ),
        (
            "/proc/sys/fs/file-nr",
            "100 0 700",
            "open files, machine",
            ["600 free of 700", "912 free", "fs.file-max=1012", "after 44 of 200 viewers"],
        ),
        (
            "/proc/meminfo",
            "MemAvailable: 1700 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
            "memory",
            ["2 MiB available", "4 MiB (agents and stage", "more machines", "about 100 of 200 viewers fit"],
        ),
        (
            "/proc/meminfo",
            "MemAvailable: 1700 kB\nSwapTotal: 4000 kB\nSwapFree: 4000 kB\n",
            "swap",
            ["4 MiB, of which 0 KiB are used", "none, or memory", "more memory", "of idle viewers are swapped out"],
        ),
        (
            "/proc/sys/net/ipv4/tcp_mem",
            "1 1 1",
            "queued TCP data",
            ["of 1 pages free", "pages free (one per vote", "tcp_mem=", "TCP drops"],
        ),
        (
            "/sys/devices/system/clocksource/clocksource0/current_clocksource",
            "jiffies",
            "clock source",
            ["jiffies", "tsc, kvm-clock", "available_clocksource", "steps of 1 to 10 ms"],
        ),
    ] {
        let Some(ended) = with_file(&place, path, text, CHECK) else { return };
        let line = line(&ended.exits(2), what);
        holds(&line, &says);
        holds(&line, &["✗"]);
    }
}

#[test]
fn a_full_table_of_tracked_connections_is_seen_by_check() {
    let path = "/proc/sys/net/netfilter/nf_conntrack_count";
    if !Path::new(path).exists() {
        return skipped("connection tracking is not loaded on this machine");
    }
    let Some(ended) = with_file(&Scenario::small().place(), path, "4294967295", CHECK) else { return };
    let says = ["✗", "0 of ", "400 free entries", "nf_conntrack_max=4294967695", "after 0 of 200 connections", "in silence"];
    holds(&line(&ended.exits(2), "connection tracking"), &says);
}

#[test]
fn a_control_group_that_holds_back_memory_and_time_is_seen_by_check() {
    let group = "mount -t tmpfs none /sys/fs/cgroup && cd /sys/fs/cgroup && echo 2097152 > memory.max && echo 1048576 > \
                 memory.current && echo '100 100000' > cpu.max && cd -";
    let Some(ended) = after(&Scenario::small().place(), &["-m", "-Urm"], group, CHECK) else { return };
    let ended = ended.exits(2);
    holds(
        &line(&ended, "memory, control group"),
        &["✗", "1 MiB free of 2 MiB in /sys/fs/cgroup ", "4 MiB (agents and stage", "MemoryMax=", "about 60 of 200 viewers fit"],
    );
    holds(
        &line(&ended, "cores, control group"),
        &["✗", "0.00 on average", "cpu.max, CPUQuota=", "of the busiest second take about"],
    );
}

#[test]
fn a_burst_too_steep_for_the_cores_is_seen_by_check() {
    let place = Scenario::small().with("shape = \"uniform\"", "shape = \"all-at-once\"").place();
    let one_core = Command::new("taskset").args(["-c", "0", "true"]).status();
    if !one_core.is_ok_and(|status| status.success()) {
        return skipped("a process cannot be held to the first core here (taskset from util-linux)");
    }
    let ended = place.voteburst_within(&["taskset", "-c", "0"], &["check", "scenario.toml", "--viewers", "40000"]).end().exits(2);
    // 40,000 votes at 15 µs, at both ends.
    let says = ["✗", "1.20 in the busiest second (40000 votes at 15 µs, twice with the stage)", "take about 1.2 s", "less steep"];
    holds(&line(&ended, "cores"), &says);
}

#[test]
fn a_source_address_of_another_machine_is_seen_by_check() {
    // Networks of the documentation's range (RFC 5737) are no machine's.
    let place = Scenario::small().with("[agents]", "[agents]\nsources = [\"198.51.100.0/29\"]").place();
    let ended = place.voteburst(CHECK).end().exits(2);
    holds(
        &line(&ended, "source addresses"),
        &[
            "✗",
            "198.51.100.1: Cannot assign requested address",
            ", and 5 more",
            "ip address add 198.51.100.1",
            "no viewer can connect from 6 of 6",
        ],
    );
}

#[test]
fn a_disk_without_room_for_the_ballots_is_seen_by_check_before_the_first_run() {
    let place = Scenario::small().place();
    std::fs::create_dir(place.path("runs")).unwrap();
    let Some(ended) = after(&place, &["-m", "-Urm"], "mount -t tmpfs -o size=8k none runs", CHECK) else { return };
    holds(
        &line(&ended.exits(2), "disk of the run"),
        &["✗", "8 KiB free in runs", "2 MiB (11 KiB of them ballots)", "--out", "the run proves nothing"],
    );
}

#[test]
fn a_machine_that_cannot_hold_the_rehearsal_is_refused_and_forced_it_stands_in_the_verdict() {
    let place = Scenario::small().place();
    std::fs::write(place.path("file"), "MemAvailable: 1000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n").unwrap();
    let with = |words: &[&str]| after(&place, &["-m", "-Urm"], "mount --bind file /proc/meminfo", words);
    for word in ["run", "compare"] {
        let Some(ended) = with(&[word, "scenario.toml", "--out", "run"]) else { return };
        let says = [
            "this machine cannot hold the rehearsal",
            "memory: found 1000 KiB available",
            "needed: 4 MiB",
            "fix:",
            "effect: about 58 of 200",
            "--force",
        ];
        let ended = ended.exits(2).says(&says);
        assert!(ended.stdout.is_empty() && !ended.stderr.contains("waiting for agents"), "it was started:\n{}", ended.stderr);
        assert_eq!(place.holds(), ["file", "scenario.toml"], "nothing was started, so nothing is kept");
    }
    let Some(ended) = with(&["run", "scenario.toml", "--out", "run", "--json", "--force"]) else { return };
    let report = ended.exits(3).report();
    let reason = report.is("unknown").reason("forced").unwrap();
    holds(reason, &["memory: found 1000 KiB available, needed 4 MiB"]);
}
