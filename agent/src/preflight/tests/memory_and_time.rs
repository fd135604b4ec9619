//! Memory and processor time, of the machine and of control groups.

use super::*;

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
