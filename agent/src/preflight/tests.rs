//! Every line seen good, doubtful and bad on purpose, on machines that are nothing but a folder of text files.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use CheckStatus::{Bad, Good, Warning};

use super::*;

/// A machine that holds 300,000 viewers of 16 agents, and the stage with them: four cores, 24 GiB.
const SOUND: &[(&str, &str)] = &[
    ("proc/sys/fs/nr_open", "1048576\n"),
    ("proc/sys/fs/file-nr", "916\t0\t2466183\n"),
    ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
    ("proc/sys/net/ipv4/ip_local_reserved_ports", "\n"),
    ("proc/sys/net/ipv4/tcp_mem", "287901\t383869\t575802\n"),
    ("proc/sys/net/ipv4/tcp_max_syn_backlog", "1024\n"),
    ("proc/sys/net/ipv4/tcp_tw_reuse", "2\n"),
    ("proc/sys/net/core/somaxconn", "4096\n"),
    ("proc/net/sockstat", "sockets: used 20\nTCP: inuse 1 orphan 0 tw 0 alloc 1 mem 294\nUDP: inuse 0 mem 0\n"),
    (
        "proc/meminfo",
        "MemTotal: 24683520 kB\nMemAvailable:   23636000 kB\nSwapTotal:             0 kB\nSwapFree:              0 kB\n",
    ),
    ("proc/stat", "cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 50 0 50 400 0 0 0 0 0 0\n"),
    ("proc/self/cgroup", "0::/\n"),
    ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
];

const AUDIENCE: Load =
    Load { viewers: 18_750, viewers_here: 300_000, peak_votes_per_s: 22_000, stage_here: true, tls: false, full_here: 0 };

/// /proc and /sys of a machine, in a folder that goes with the test.
struct Fake {
    root: PathBuf,
    process: Process,
    /// What /proc/stat holds after the first look.
    later: &'static str,
}

impl Fake {
    fn sound() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("voteburst-preflight-{}-{number}", std::process::id()));
        let sources = (1..=2).map(|host| (IpAddr::from([127, 64, 1, host]), None)).collect();
        let process = Process { open_files: Some(20_000), cores: 4, sources };
        let fake = Self { root, process, later: "cpu  200 0 200 1600 0 0 0 0 0 0\n" };
        SOUND.iter().fold(fake, |fake, (path, text)| fake.with(path, text))
    }

    fn with(self, path: &str, text: &str) -> Self {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn machine(&self) -> Machine {
        let stat = self.root.join("proc/stat");
        Machine::read(&self.root, self.process.clone(), || {
            if stat.exists() {
                fs::write(&stat, self.later).unwrap();
            }
        })
    }

    fn checks(&self, load: &Load) -> Vec<Check> {
        judge(load, &self.machine())
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        // A folder that cannot be removed is the system's to clean up.
        let _ = fs::remove_dir_all(&self.root);
    }
}

#[track_caller]
fn the(checks: &[Check], what: &str) -> Check {
    checks.iter().find(|check| check.what == what).unwrap_or_else(|| panic!("no line `{what}` in {checks:#?}")).clone()
}

#[test]
fn on_a_sound_machine_every_line_is_good_and_stands_once() {
    let checks = Fake::sound().checks(&AUDIENCE);
    let odd: Vec<_> = checks.iter().filter(|check| check.status != Good).map(|check| check.what.as_str()).collect();
    // 18,750 viewers from two addresses, 22,000 votes of 90 µs on four cores.
    assert_eq!(odd, [""; 0], "{checks:#?}");
    let once: BTreeMap<_, _> = checks.iter().map(|check| (&check.what, ())).collect();
    assert_eq!((once.len(), checks.len()), (16, 16), "{checks:#?}");
    assert!(checks.iter().all(|check| check.found != NOT_TOLD && check.fix.is_empty() && check.effect.is_empty()));
}

/// What is wrong with a machine, and what its line then says.
struct Row {
    what: &'static str,
    path: &'static str,
    text: &'static str,
    status: CheckStatus,
    found: &'static str,
    says: &'static [&'static str],
}

const fn row(
    what: &'static str,
    (path, text): (&'static str, &'static str),
    status: CheckStatus,
    found: &'static str,
    says: &'static [&'static str],
) -> Row {
    Row { what, path, text, status, found, says }
}

const RESERVED: &str = "proc/sys/net/ipv4/ip_local_reserved_ports";
const TCP_MEM: &str = "proc/sys/net/ipv4/tcp_mem";
const CLOCK: &str = "sys/devices/system/clocksource/clocksource0/current_clocksource";

const ROWS: &[Row] = &[
    row(
        "open files, ceiling",
        ("proc/sys/fs/nr_open", "19261"),
        Bad,
        "19261",
        &["18749 of its 18750 viewers", "fs.nr_open=19262"],
    ),
    row("open files, ceiling", ("proc/sys/fs/nr_open", "19262"), Good, "19262", &[]),
    row(
        "open files, machine",
        ("proc/sys/fs/file-nr", "1000\t0\t301512"),
        Bad,
        "300512 free of 301512",
        &["600512 free", "after 150000 of 300000 viewers", "ENFILE", "fs.file-max=601512"],
    ),
    row("open files, machine", ("proc/sys/fs/file-nr", "1000 0 601512"), Good, "600512 free of 601512", &[]),
    row(
        "source ports",
        ("proc/sys/net/ipv4/ip_local_port_range", "40000 44999"),
        Bad,
        "10000 (2 source addresses × 5000)",
        &["at most 10000 of its 18750 viewers", "8 source addresses (agents.sources)", "ip_local_port_range"],
    ),
    row(
        "source ports",
        ("proc/sys/net/ipv4/ip_local_port_range", "40000 50000"),
        Warning,
        "20002 (2 source",
        &["factor of about 30"],
    ),
    row(
        "source ports",
        (RESERVED, "32768-50000"),
        Warning,
        "21998 (2 source addresses × 10999, 17233 more are reserved)",
        &["ip_local_reserved_ports"],
    ),
    row("source ports", (RESERVED, "32768-60999"), Bad, "0 (2 source", &["at most 0 of its 18750", "ip_local_reserved_ports"]),
    row(
        "queued TCP data",
        (TCP_MEM, "100 200 20000"),
        Bad,
        "19706 of 20000 pages free",
        &["22000 pages free", "with more than 19706 votes waiting", "tcp_mem=\"22294 33441 44588\""],
    ),
    row("queued TCP data", (TCP_MEM, "100 22293 30000"), Warning, "29706 of 30000 pages free", &["under pressure"]),
    row(
        "accept queue",
        ("proc/sys/net/core/somaxconn", "128"),
        Warning,
        "128",
        &["4096", "more than 128 viewers", "again after 1 s", "net.core.somaxconn=4096"],
    ),
    row("handshake queue", ("proc/sys/net/ipv4/tcp_max_syn_backlog", "64"), Warning, "64", &["1024", "more than 64 handshakes"]),
    row(
        "memory",
        // 17 KiB for each of 300,000: a viewer, its connection's two ends, and the stage's part.
        ("proc/meminfo", "MemAvailable: 2550000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n"),
        Bad,
        "2.4 GiB available",
        &["4.9 GiB (agents and stage, and the kernel's sockets)", "about 150000 of 300000 viewers fit", "more machines"],
    ),
    row(
        "swap",
        ("proc/meminfo", "MemAvailable: 5200000 kB\nSwapTotal: 2097152 kB\nSwapFree: 1048576 kB\n"),
        Warning,
        "2.0 GiB, of which 1.0 GiB are used",
        &["swapoff -a", "up to 918 MiB of idle viewers are swapped out"],
    ),
    row(
        "swap",
        ("proc/meminfo", "MemAvailable: 23636000 kB\nSwapTotal: 2097152 kB\nSwapFree: 2097152 kB\n"),
        Good,
        "2.0 GiB",
        &[],
    ),
    row(CLOCK_LINE, (CLOCK, "jiffies\n"), Bad, "jiffies", &["steps of 1 to 10 ms", "available_clocksource"]),
    row(CLOCK_LINE, (CLOCK, "hpet\n"), Warning, "hpet", &["a system call of a microsecond or more"]),
    row(CLOCK_LINE, (CLOCK, "acpi_pm\n"), Warning, "acpi_pm", &["current_clocksource"]),
    row(CLOCK_LINE, (CLOCK, "kvm-clock\n"), Good, "kvm-clock", &[]),
    row(CLOCK_LINE, (CLOCK, "hyperv_clocksource_tsc_page\n"), Good, "hyperv_clocksource_tsc_page", &[]),
];
const CLOCK_LINE: &str = "clock source";

#[test]
fn every_limit_of_the_kernel_is_named_with_what_to_do() {
    for Row { what, path, text, status, found, says } in ROWS {
        let check = the(&Fake::sound().with(path, text).checks(&AUDIENCE), what);
        assert_eq!(check.status, *status, "{path}: {text}: {check:#?}");
        assert!(check.found.starts_with(found), "{path}: {text}: {check:#?}");
        let all = format!("{}\n{}\n{}", check.needed, check.fix, check.effect);
        for word in *says {
            assert!(all.contains(word), "`{word}` is missing in {check:#?}");
        }
        assert_eq!(*status == Good, check.fix.is_empty() && check.effect.is_empty(), "{check:#?}");
    }
}

#[test]
fn a_file_limit_that_is_too_low_says_how_many_viewers_fit_and_what_to_set() {
    let load = Load { viewers: 15_000, ..AUDIENCE };
    for (files, status) in [(Some(15_511), Bad), (Some(15_512), Good), (None, Good), (Some(0), Bad), (Some(1_024), Bad)] {
        let mut fake = Fake::sound();
        fake.process.open_files = files;
        let check = the(&fake.checks(&load), "open files");
        assert_eq!(check.status, status, "{check:#?}");
        if files == Some(1_024) {
            assert_eq!(
                (check.found.as_str(), check.effect.as_str()),
                ("1024", "this agent holds at most 512 of its 15000 viewers")
            );
            assert!(check.fix.contains("ulimit -Hn 15512") && check.fix.contains("agents.max_viewers = 512"), "{check:#?}");
        }
    }
}

#[test]
fn ports_are_judged_for_all_viewers_on_one_proxy() {
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
        let mut fake = Fake::sound();
        fake.process.sources = (1..=sources).map(|host| (IpAddr::from([127, 64, 1, host]), None)).collect();
        let check = the(&fake.checks(&Load { viewers, ..AUDIENCE }), "source ports");
        assert_eq!(check.status, status, "{viewers} viewers from {sources}: {check:#?}");
    }
}

#[test]
fn a_source_address_of_another_machine_is_named_once() {
    let here = Process::here(&["127.64.1.1".parse().unwrap(), "198.51.100.1".parse().unwrap(), "198.51.100.2".parse().unwrap()]);
    let fake = Fake::sound();
    let checks = judge(&AUDIENCE, &Machine::read(&fake.root, here, || ()));
    let check = the(&checks, "source addresses");
    assert_eq!(check.status, Bad);
    assert!(check.found.starts_with("198.51.100.1: ") && check.found.ends_with(", and 1 more"), "{check:#?}");
    assert!(check.fix.contains("ip address add 198.51.100.1") && check.effect.contains("2 of 3 source addresses"), "{check:#?}");
    let mut fake = Fake::sound();
    assert_eq!(the(&fake.checks(&AUDIENCE), "source addresses").found, "127.64.1.1 to 127.64.1.2, 2 in all");
    fake.process.sources.clear();
    assert!(fake.checks(&AUDIENCE).iter().all(|check| check.what != "source addresses"), "the kernel chooses");
}

#[test]
fn connection_tracking_is_bad_only_where_it_tracks() {
    let max = "proc/sys/net/netfilter/nf_conntrack_max";
    let count = "proc/sys/net/netfilter/nf_conntrack_count";
    for (table, status, found, says) in [
        (None, Good, "not loaded", ""),
        (Some(("262144", "0")), Warning, "262144 of 262144 entries free", "should a rule begin to"),
        (Some(("262144", "44")), Bad, "262100 of 262144 entries free", "after 262100 of 300000 connections"),
        (Some(("400000", "10")), Warning, "399990 of 400000 entries free", "may be dropped in silence"),
        (Some(("600010", "10")), Good, "600000 of 600010 entries free", ""),
        (Some(("many", "few")), Good, NOT_TOLD, ""),
    ] {
        let fake = Fake::sound();
        let fake = table.map_or_else(Fake::sound, |(most, used)| fake.with(max, most).with(count, used));
        let check = the(&fake.checks(&AUDIENCE), "connection tracking");
        assert_eq!((check.status, check.found.as_str()), (status, found), "{table:?}");
        assert!(check.effect.contains(says), "{check:#?}");
        assert!(status != Bad || check.fix.contains("nf_conntrack_max=600044"), "{check:#?}");
    }
}

#[test]
fn the_narrowest_control_group_on_the_way_up_counts_in_either_version() {
    let inner = "sys/fs/cgroup/show/agents";
    let file = |name: &str| format!("{inner}/{name}");
    let new = || Fake::sound().with("proc/self/cgroup", "0::/show/agents\n").with(&file("memory.max"), "max\n");
    let new =
        || new().with("sys/fs/cgroup/show/memory.max", "3221225472\n").with("sys/fs/cgroup/show/memory.current", "1610612736\n");
    let check = the(&new().checks(&AUDIENCE), "memory, control group");
    assert_eq!((check.status, check.found.as_str()), (Bad, "1.5 GiB free of 3.0 GiB in /sys/fs/cgroup/show"));
    assert!(check.fix.contains("memory.max") && check.effect.contains("the kernel ends processes of this group"), "{check:#?}");
    // Files of which the disk has a copy make room.
    let stat = new().with("sys/fs/cgroup/show/memory.stat", "anon 5\ninactive_file 1610612736\n");
    assert_eq!(the(&stat.checks(&AUDIENCE), "memory, control group").found, "3.0 GiB free of 3.0 GiB in /sys/fs/cgroup/show");
    let old = Fake::sound().with("proc/self/cgroup", "9:name=systemd:/\n4:memory,hugetlb:/a\n1:cpu,cpuacct:/\n0::/\n");
    let old = old.with("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1073741824");
    let old = old.with("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712");
    assert_eq!(the(&old.checks(&AUDIENCE), "memory, control group").found, "1.0 GiB free of 1.0 GiB in /sys/fs/cgroup/memory/a");
    let out_of_sight =
        Fake::sound().with("proc/self/cgroup", "0::/../../elsewhere\n").with("sys/fs/cgroup/memory.max", "1048576");
    assert_eq!(the(&out_of_sight.checks(&AUDIENCE), "memory, control group").status, Bad);
}

#[test]
fn a_quota_of_processor_time_is_held_against_the_busiest_second() {
    let new = |text: &str| Fake::sound().with("sys/fs/cgroup/cpu.max", text);
    let old = |quota: &str| {
        let fake =
            Fake::sound().with("proc/self/cgroup", "1:cpu,cpuacct:/a\n").with("sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000");
        fake.with("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", quota)
    };
    // 22,000 votes of 15 µs at both ends are 0.66 cores.
    for (fake, status, found) in [
        (new("max 100000"), Good, "no quota"),
        (new("50000 100000"), Bad, "0.50 on average"),
        (new("150000 100000"), Warning, "1.50 on average"),
        (new("400000 100000"), Good, "4.00 on average"),
        (new("100000 0"), Good, "no quota"),
        (old("-1"), Good, "no quota"),
        (old("50000"), Bad, "0.50 on average"),
    ] {
        let check = the(&fake.checks(&AUDIENCE), "cores, control group");
        assert_eq!((check.status, check.found.as_str()), (status, found), "{check:#?}");
        assert!(status != Bad || check.effect.contains("take about 1.3 s, so they leave up to 0.3 s late"), "{check:#?}");
        assert!(status != Warning || check.effect.contains("stands still"), "{check:#?}");
    }
}

#[test]
fn cores_are_held_against_the_busiest_second() {
    for (votes, stage_here, status, says) in [
        (22_222, true, Good, ""),
        (
            22_300,
            true,
            Warning,
            "about 17 % of the processor is busy then where votes come in crowds, 50 % where they are scattered",
        ),
        (133_300, true, Warning, "about 100 % of the processor is busy then where votes come in crowds, 100 % where"),
        (133_400, true, Bad, "the 133400 votes of the busiest second take about 1.0 s"),
        (600_000, true, Bad, "take about 4.5 s, so they leave up to 3.5 s late; at most 133333 fit"),
        (44_400, false, Good, ""),
        (44_500, false, Warning, "50 % where they are scattered"),
        (266_800, false, Bad, "take about 1.0 s"),
    ] {
        let check = the(&Fake::sound().checks(&Load { peak_votes_per_s: votes, stage_here, ..AUDIENCE }), "cores");
        assert_eq!(check.status, status, "{check:#?}");
        assert!(check.effect.contains(says), "{check:#?}");
    }
}

#[test]
fn stolen_time_is_told_by_its_share() {
    for (later, status, found, says) in [
        ("cpu 200 0 200 1600 0 0 0 0 0 0\n", Good, "0.0 %", ""),
        ("cpu 200 0 200 1580 0 0 0 20 0 0\n", Good, "2.0 %", ""),
        ("cpu 200 0 200 1550 0 0 0 50 0 0\n", Warning, "5.0 %", "50 ms of each second belong to others: some votes"),
        // The busiest second needs 0.66 cores at least; of four, 0.70 are left, and then 0.60.
        ("cpu 150 0 150 875 0 0 0 825 0 0\n", Warning, "82.5 %", "825 ms of each second belong to others: some votes"),
        ("cpu 150 0 150 850 0 0 0 850 0 0\n", Bad, "85.0 %", "on the 0.60 cores that are left the 22000 votes of the busiest"),
        // Nothing was counted, or less than before: nothing is told.
        ("cpu 100 0 100 800 0 0 0 0 0 0\n", Good, NOT_TOLD, ""),
        ("cpu 1 0 1 8 0 0 0 0 0 0\n", Good, NOT_TOLD, ""),
    ] {
        let mut fake = Fake::sound();
        fake.later = later;
        let check = the(&fake.checks(&AUDIENCE), "stolen time");
        assert_eq!((check.status, check.found.as_str()), (status, found), "{check:#?}");
        assert!(check.effect.contains(says), "{check:#?}");
    }
}

#[test]
fn ports_of_an_earlier_run_are_told_where_they_are_not_reused() {
    // 28,232 cheap ports from two addresses, less 18,750 viewers.
    for (time_wait, reuse, stage_here, status) in [
        (9_482, "0", false, Good),
        (9_483, "0", false, Warning),
        (9_483, "2", false, Warning),
        (9_483, "2", true, Good),
        (9_483, "1", false, Good),
        (9_483, "?", true, Warning),
    ] {
        let sockets = format!("TCP: inuse 1 orphan 0 tw {time_wait} alloc 1 mem 294\n");
        let fake = Fake::sound().with("proc/net/sockstat", &sockets).with("proc/sys/net/ipv4/tcp_tw_reuse", reuse);
        let check = the(&fake.checks(&Load { stage_here, ..AUDIENCE }), "ports in TIME_WAIT");
        assert_eq!((check.status, check.found), (status, time_wait.to_string()), "tcp_tw_reuse {reuse}, stage {stage_here}");
        assert!(status == Good || check.fix.contains("wait a minute") && check.effect.contains("slows down"), "{}", check.effect);
    }
}

#[test]
fn tls_and_http2_take_more_memory_at_both_ends_and_no_stage_half_the_sockets() {
    let needed = |load: &Load| the(&Fake::sound().checks(load), "memory").needed;
    assert_eq!(
        needed(&Load { tls: true, full_here: 150_000, ..AUDIENCE }),
        "16.6 GiB (agents and stage, and the kernel's sockets)"
    );
    assert_eq!(needed(&Load { tls: true, ..AUDIENCE }), "9.7 GiB (agents and stage, and the kernel's sockets)");
    assert_eq!(needed(&Load { stage_here: false, ..AUDIENCE }), "2.3 GiB (agents, and the kernel's sockets)");
    let away = Fake::sound().checks(&Load { stage_here: false, ..AUDIENCE });
    assert!(away.iter().all(|check| !check.what.ends_with("queue")), "only a stage accepts connections here: {away:#?}");
}

#[test]
fn what_the_system_does_not_tell_is_said_and_never_bad() {
    let nowhere = Machine::read(Path::new("/proc/none"), Fake::sound().process.clone(), || ());
    let checks = judge(&AUDIENCE, &nowhere);
    let told: Vec<_> = checks.iter().filter(|check| check.found != NOT_TOLD).map(|check| check.what.as_str()).collect();
    assert_eq!(told, ["open files", "source ports", "source addresses", "cores", "cores, control group"]);
    assert!(checks.iter().all(|check| check.status == Good), "{checks:#?}");
}

#[test]
fn no_text_below_proc_makes_the_reading_fail() {
    for text in
        ["", "\n", "-1", "99999999999999999999999", "x y z", "\u{1f5f3}", "1 x", "cpu ", "TCP: mem", "0::", "::", "MemAvailable:"]
    {
        let fake = SOUND.iter().fold(Fake::sound(), |fake, (path, _)| fake.with(path, text));
        let checks = fake.checks(&AUDIENCE);
        assert!(checks.len() >= 16, "{text:?}: {checks:#?}");
        let bad: Vec<_> = checks.iter().filter(|check| check.status == Bad).collect();
        assert!(bad.is_empty(), "{text:?}: {bad:#?}");
    }
}

#[test]
fn nothing_is_bad_for_a_small_share_on_this_machine() {
    let load = Load { viewers: 100, viewers_here: 100, peak_votes_per_s: 100, stage_here: true, tls: false, full_here: 0 };
    let bad: Vec<_> = check(&load, &[]).into_iter().filter(|check| check.status == Bad).collect();
    assert!(bad.is_empty(), "{bad:#?}");
}
