//! Every line there is, red on purpose, with all its words: what whoever reads it on the night of a show gets.

use super::*;

/// One machine with everything wrong at once.
fn ruin() -> Fake {
    let mut fake = Fake::sound()
        .with("proc/sys/fs/nr_open", "10000")
        .with("proc/sys/fs/file-nr", "1000 0 2000")
        .with("proc/sys/net/ipv4/ip_local_port_range", "40000 44999")
        .with("proc/net/sockstat", "TCP: inuse 1 orphan 0 tw 9000 alloc 1 mem 294\n")
        .with("proc/sys/net/ipv4/tcp_tw_reuse", "0")
        .with("proc/sys/net/netfilter/nf_conntrack_max", "1000")
        .with("proc/sys/net/netfilter/nf_conntrack_count", "900")
        .with("proc/sys/net/ipv4/tcp_mem", "100 200 300")
        .with("proc/sys/net/core/somaxconn", "128")
        .with("proc/sys/net/ipv4/tcp_max_syn_backlog", "64")
        .with("proc/meminfo", "MemAvailable: 1048576 kB\nSwapTotal: 2097152 kB\nSwapFree: 2097152 kB\n")
        .with("sys/fs/cgroup/memory.max", "536870912")
        .with("sys/fs/cgroup/memory.current", "0")
        .with("sys/fs/cgroup/cpu.max", "50000 100000")
        .with("sys/devices/system/clocksource/clocksource0/current_clocksource", "jiffies\n");
    fake.process.open_files = Some(1_024);
    fake.process.cores = 1;
    fake.process.sources = vec![(IpAddr::from([198, 51, 100, 1]), Some("Cannot assign requested address".into()))];
    fake.later = "cpu 150 0 150 850 0 0 0 850 0 0\n";
    fake
}

#[test]
fn every_line_is_red_where_everything_is_wrong_and_says_what_to_do() {
    let load = Load { peak_votes_per_s: 120_000, ..AUDIENCE };
    let mut checks = ruin().checks(&load);
    checks.push(disk(Path::new("/proc/none"), DiskNeeds { ballots: 8 << 20, others: 1 << 20 }));
    let told: Vec<_> = checks
        .iter()
        .map(|check| {
            assert_eq!(check.status, Bad, "{check:#?}");
            let Check { what, found, needed, fix, effect, .. } = check;
            format!("{what}: {found}\n  needed: {needed}\n  fix: {fix}\n  effect: {effect}\n")
        })
        .collect();
    let told = told.concat();
    assert_eq!(told, include_str!("red.txt"), "{told}");
}
