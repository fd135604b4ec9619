//! What this machine does not allow: files, ports, addresses, directories and disks.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::fixture::{Ended, Voteburst, skipped};
use crate::scenario::{Place, Scenario};

#[track_caller]
fn nothing_was_started(ended: &Ended) {
    assert!(!ended.stderr.contains("waiting for agents"), "it was started:\n{}", ended.stderr);
    assert_eq!(ended.stdout, "");
}

fn with_open_files(place: &Place, limit: u32, words: &[&str]) -> Ended {
    Voteburst::with_open_files(&place.path(""), limit, &[&["run", "scenario.toml", "--out", "run"], words].concat()).end()
}

#[test]
fn a_file_limit_that_holds_no_viewer_is_refused_with_what_to_set() {
    let place = Scenario::small().place();
    let ended = with_open_files(&place, 256, &[]).exits(2);
    nothing_was_started(&ended.says(&[
        "open files: found a limit of 256",
        "not one viewer fits",
        "needed: 512, and one more",
        "ulimit -n",
    ]));
    assert_eq!(place.holds(), ["scenario.toml"]);
}

#[test]
fn a_file_limit_too_low_for_an_agent_says_how_many_viewers_fit() {
    let place = Scenario::small().place();
    let ended = with_open_files(&place, 600, &["--agents", "1"]).exits(2);
    // 600 files less the 512 that an agent keeps for itself.
    let says =
        ["--agents: found 1, which makes 200 viewers", "at most 88 viewers for each agent", "--agents 3 or more", "ulimit -n"];
    nothing_was_started(&ended.says(&says));
    assert_eq!(place.holds(), ["scenario.toml"]);
}

#[test]
fn under_a_low_file_limit_as_many_agents_are_started_as_it_takes() {
    let place = Scenario::small().with("connection_limit = 2_000", "connection_limit = 100").place();
    let report = with_open_files(&place, 600, &["--json"]).exits(0).report();
    report.is("pass").balances();
    assert_eq!(report.list("agents").len(), 3, "88 viewers fit into each");
}

#[test]
fn an_agent_elsewhere_whose_file_limit_is_too_low_ends_the_run_with_what_to_set_there() {
    let place = Scenario::small().place();
    let run = place.start_run(&["--wait-for", "1", "--listen", "127.0.0.1:0", "--json"]);
    let agent = Voteburst::with_open_files(&place.path(""), 256, &["agent", "--join", &run.address()]).start();
    let report = run.end().exits(3).report();
    report.is("unknown").balances();
    let reason = report.reason("partial").unwrap();
    for text in ["agent 0 cannot hold its share", "open files: found 256, needed 712", "LimitNOFILE=712"] {
        assert!(reason.contains(text), "`{text}` is missing in: {reason}");
    }
    agent.end().exits(3).says(&["the coordinator ended the run", "open files: found 256"]);
}

#[test]
fn a_second_coordinator_on_the_port_is_refused_and_the_first_goes_on() {
    let place = Scenario::small().place();
    let first = place.start_run(&["--wait-for", "1", "--listen", "127.0.0.1:0", "--json"]);
    let address = first.address();
    let second =
        place.voteburst(&["run", "scenario.toml", "--out", "second", "--wait-for", "1", "--listen", &address]).end().exits(2);
    nothing_was_started(&second.says(&[&address, "is in use, most likely by another coordinator", "--listen"]));
    let agent = place.voteburst(&["agent", "--join", &address]).start();
    first.end().exits(0).report().is("pass").balances();
    agent.end().exits(0);
    assert_eq!(place.holds(), ["run", "scenario.toml"], "the second one leaves nothing behind");
}

#[test]
fn a_port_that_somebody_else_uses_is_refused() {
    let somebody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = somebody.local_addr().unwrap().to_string();
    let place = Scenario::small().place();
    let ended = place.voteburst(&["run", "scenario.toml", "--listen", &address]).end().exits(2);
    nothing_was_started(&ended.says(&[&address, "is in use", "--listen"]));
    assert_eq!(place.holds(), ["scenario.toml"], "what was not played is not kept");
}

#[test]
fn where_others_could_reach_it_a_coordinator_does_not_listen_without_a_token() {
    let place = Scenario::small().place();
    let listen = |address: &str, more: &[&str]| {
        let words = ["run", "scenario.toml", "--wait-for", "1", "--listen", address];
        let ended = place.voteburst(&[&words, more].concat()).end().exits(2);
        nothing_was_started(&ended);
        ended
    };
    for address in ["0.0.0.0:0", "192.0.2.10:7400", "[::]:0"] {
        listen(address, &[]).says(&[&format!("listening on {address} without a token"), "--token-file", "127.0.0.1"]);
    }
    std::fs::write(place.path("short"), "secret").unwrap();
    listen("192.0.2.10:7400", &["--token-file", "short"]).says(&["the token holds 6 bytes", "needed 16 to", "head -c 32"]);
    listen("192.0.2.10:7400", &["--token-file", "none"]).says(&["the token file none cannot be read"]);
    std::fs::write(place.path("token"), "a secret of the show").unwrap();
    listen("0.0.0.0:7400", &["--token-file", "token"]).says(&["which names no address", "needed: the address of this machine"]);
    // An address of the documentation's range (RFC 5737) is no machine's.
    listen("192.0.2.10:7400", &["--token-file", "token"])
        .says(&["cannot listen on 192.0.2.10:7400", "an address of this machine"]);
}

#[test]
fn a_run_directory_below_a_file_is_refused() {
    let place = Scenario::small().place();
    let ended = place.voteburst(&["run", "scenario.toml", "--out", "scenario.toml/run"]).end().exits(2);
    nothing_was_started(&ended.says(&["scenario.toml/run: cannot be written to", "needed a writable directory", "--out"]));
}

#[test]
fn a_run_directory_without_permission_is_refused() {
    let place = Scenario::small().place();
    std::fs::create_dir(place.path("closed")).unwrap();
    std::fs::set_permissions(place.path("closed"), PermissionsExt::from_mode(0o555)).unwrap();
    // Root writes everywhere unless it is without these rights (capabilities(7)).
    let as_others = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"];
    let probe = |outer: &[&str]| {
        let words = [outer, &["sh", "-c", ": > closed/probe && rm closed/probe"]].concat();
        Command::new(words[0]).args(&words[1..]).current_dir(place.path("")).output()
    };
    let denied =
        |outer: &[&str]| probe(outer).is_ok_and(|tried| String::from_utf8_lossy(&tried.stderr).contains("Permission denied"));
    let Some(outer) = [[].as_slice(), &as_others].into_iter().find(|outer| denied(outer)) else {
        return skipped("no permission can be denied to this user (root, and no setpriv from util-linux)");
    };
    let words = ["run", "scenario.toml", "--out", "closed/run"];
    let outer = if outer.is_empty() { &["env"] } else { outer };
    let ended = Voteburst::within(&place.path(""), outer, &words).end().exits(2);
    nothing_was_started(&ended.says(&["closed/run: cannot be written to", "Permission denied", "--out"]));
}

#[test]
fn no_run_overwrites_another() {
    let place = Scenario::small().place();
    std::fs::create_dir(place.path("run")).unwrap();
    std::fs::write(place.path("run/report.json"), "of yesterday").unwrap();
    let ended = place.start_run(&[]).end().exits(2);
    nothing_was_started(&ended.says(&["run: holds something already", "so that no run is overwritten", "--out"]));
    assert_eq!(place.read("run/report.json"), "of yesterday");
}

/// Runs in a mount namespace of its own, in which `run` is a disk of so many KiB. `None` where mounts are not allowed.
fn on_a_disk_of(kib: u32, words: &[&str]) -> Option<Ended> {
    let place = Scenario::small().place();
    std::fs::create_dir(place.path("run")).unwrap();
    let mount = format!("mount -t tmpfs -o size={kib}k none run");
    let allowed = |unshare: &str| {
        let tried = Command::new("unshare").args([unshare, "sh", "-c", &mount]).current_dir(place.path("")).output();
        tried.is_ok_and(|tried| tried.status.success())
    };
    // With root's rights a mount namespace will do; without them it takes a user namespace too.
    let unshare = ["-m", "-Urm"].into_iter().find(|unshare| allowed(unshare));
    let Some(unshare) = unshare else {
        skipped("no disk can be mounted here (`unshare -m` and `unshare -Urm` are refused)");
        return None;
    };
    let script = format!("{mount} && exec \"$@\"");
    let words = [&["run", "scenario.toml", "--out", "run"], words].concat();
    Some(Voteburst::within(&place.path(""), &["unshare", unshare, "sh", "-c", &script, "sh"], &words).end())
}

#[test]
fn a_disk_too_full_for_the_plan_is_refused_before_anything_starts() {
    // One page, which the directory's own files outgrow at once.
    let Some(ended) = on_a_disk_of(4, &[]) else { return };
    nothing_was_started(&ended.exits(2).says(&["could not be written", "No space left on device", "make room"]));
}

#[test]
fn a_disk_that_fills_up_on_the_way_is_named_and_the_result_is_shown_all_the_same() {
    // Room for scenario, plan and the stage's ballots, and not much more: a tally or the report no longer fits.
    for kib in [20, 36] {
        let Some(ended) = on_a_disk_of(kib, &["--json"]) else { return };
        println!("{kib} KiB: {:?}\n{}", ended.code, ended.stderr);
        // A pass that nobody can look at later is no pass.
        let ended = ended.exits(3).says(&["could not be written: No space left on device", "make room"]);
        assert_eq!((ended.report().count("votes.accepted"), ended.report().text("verdict.outcome")), (200, "pass"));
    }
}

#[test]
fn a_disk_too_full_for_the_ballot_box_is_refused_and_forced_it_proves_nothing() {
    // Room for scenario and plan only.
    let Some(ended) = on_a_disk_of(12, &[]) else { return };
    nothing_was_started(&ended.exits(2).says(&[
        "disk of the run: found 4 KiB free",
        "11 KiB of them ballots",
        "--out",
        "--force",
    ]));
    // Votes that nobody can hold against the ballot box prove nothing.
    let Some(ended) = on_a_disk_of(12, &["--json", "--force"]) else { return };
    let ended = ended.exits(3).says(&["stage-ballots-0.bin", "No space left on device", "28 bytes of room per ballot"]);
    let report = ended.report();
    assert_eq!((report.count("votes.accepted"), report.text("verdict.outcome")), (200, "unknown"));
    assert_eq!(report.reason("partial").unwrap(), "the run is partial: what the ballot box counted is lost");
    assert!(report.reason("forced").unwrap().contains("disk of the run"));
}
