//! Files, ports, source addresses and connection tracking.

use super::*;

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

/// Sockets in TIME_WAIT as /proc/net/tcp lists them, towards loopback and away from it.
fn ended(here: u64, away: u64) -> String {
    let line = |other: [u8; 4]| format!("0: 0100007F:BB80 {:08X}:0050 06 00000000:00000000\n", u32::from_ne_bytes(other));
    let lines = line([127, 0, 0, 1]).repeat(here as usize) + &line([198, 51, 100, 1]).repeat(away as usize);
    format!("  sl  local_address rem_address   st tx_queue rx_queue\n{lines}")
}

#[test]
fn ports_of_an_earlier_run_are_told_where_they_are_not_reused() {
    // 28,232 cheap ports from two addresses, less 18,750 viewers; 56,464 in all.
    for (time_wait, here, reuse, stage_here, status) in [
        (9_482, 0, "0", false, Good),
        (9_483, 0, "0", false, Warning),
        (9_483, 9_483, "0", true, Warning),
        (37_714, 0, "0", false, Warning),
        (37_715, 0, "0", false, Bad),
        (60_000, 0, "1", false, Good),
        (60_000, 0, "2", true, Good),
        (60_000, 0, "2", false, Bad),
        (60_000, 50_518, "2", false, Good),
        (60_000, 50_517, "2", false, Warning),
        (60_000, 0, "?", true, Bad),
    ] {
        let away = time_wait - here;
        let sockets = format!("TCP: inuse 1 orphan 0 tw {time_wait} alloc 1 mem 294\n");
        let fake = Fake::sound().with("proc/net/sockstat", &sockets).with("proc/sys/net/ipv4/tcp_tw_reuse", reuse);
        let check =
            the(&fake.with("proc/net/tcp", &ended(here, away)).checks(&Load { stage_here, ..AUDIENCE }), "ports in TIME_WAIT");
        let found = format!("{time_wait}, {away} of them not on loopback");
        assert_eq!((check.status, check.found), (status, found), "tcp_tw_reuse {reuse}, stage {stage_here}");
        let says = match status {
            Bad => "viewers find a port",
            Warning => "slows down",
            _ => "",
        };
        assert!(check.effect.contains(says) && (status == Good || check.fix.contains("wait a minute")), "{}", check.effect);
    }
}
