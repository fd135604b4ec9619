//! What a user has around a rehearsal: a first scenario, completions, manual pages, log lines.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use crate::fixture::{Ended, Voteburst, skipped};
use crate::scenario::{Place, Scenario};

fn says(ended: &Ended, text: &str) -> bool {
    ended.stdout.contains(text)
}

#[test]
fn what_init_writes_passes_check_whatever_the_flags_say() {
    let place = Scenario::small().place();
    let mut number = 0;
    for viewers in ["1", "200", "9000"] {
        for questions in ["1", "3"] {
            for proxies in ["1", "15", "100"] {
                number += 1;
                let file = format!("new-{number}.toml");
                let words = ["init", "--viewers", viewers, "--questions", questions, "--proxies", proxies, "-o", &file];
                place.voteburst(&words).end().exits(0).says(&[&format!("next: voteburst check {file}")]);
                let checked = place.voteburst(&["check", &file]).end().exits(0);
                assert!(says(&checked, &format!("{viewers} viewers")) && says(&checked, &format!("{proxies} proxies")));
            }
        }
    }
}

#[test]
fn init_asks_nobody_who_is_no_terminal_and_writes_over_nothing_without_force() {
    let place = Scenario::small().place();
    place.voteburst(&["init"]).end().exits(0).says(&["wrote my-show.toml"]);
    let mine = "# mine\n";
    std::fs::write(place.path("my-show.toml"), mine).unwrap();
    place.voteburst(&["init"]).end().exits(2).says(&["my-show.toml", "--force to write over it"]);
    assert_eq!(place.read("my-show.toml"), mine);
    let quiet = place.voteburst(&["init", "--force", "--quiet"]).end().exits(0);
    assert_eq!((quiet.stderr.as_str(), quiet.stdout.as_str()), ("", ""));
    let text = place.voteburst(&["init", "-o", "-"]).end().exits(0).stdout;
    assert_eq!(text, place.read("my-show.toml"));
}

#[test]
fn a_live_scenario_names_its_servers_and_what_cannot_be_is_refused_before_anything_is_written() {
    let place = Scenario::small().place();
    let live = ["init", "--live", "--url", "https://vote.example.com/vote", "--resolver", "192.0.2.53", "-o", "live.toml"];
    place.voteburst(&live).end().exits(0).says(&["--allow NETWORK-OF-YOUR-PROXIES"]);
    assert!(place.read("live.toml").contains("recursive = [\"192.0.2.53:53\"]"));
    place.voteburst(&["init", "--live", "-o", "no.toml"]).end().exits(2).says(&["--url"]);
    place.voteburst(&["init", "--url", "ftp://x/", "-o", "no.toml"]).end().exits(2).says(&["target.url", "ftp://x/"]);
    place.voteburst(&["init", "--live", "--url", "http://x/", "--proxies", "3", "-o", "no.toml"]).end().exits(2);
    assert!(!place.path("no.toml").exists());
}

/// Another program with this text on its standard input; none when it is not installed.
fn reads(program: &str, words: &[&str], text: &str) -> Option<Output> {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            skipped(&format!("{program} is not installed"));
            return None;
        }
        started => started.unwrap(),
    };
    let mut stdin = child.stdin.take().unwrap();
    let text = text.to_owned();
    let written = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    written.join().unwrap().unwrap();
    Some(output)
}

#[test]
fn completions_are_read_by_their_shells_and_name_what_users_may_say() {
    let place = Scenario::small().place();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.voteburst(&["completions", shell]).end().exits(0).stdout;
        assert!(script.contains("forecast") && script.contains("calibrate") && !script.contains("stage-worker"), "{shell}");
        if ["bash", "zsh", "fish"].contains(&shell) {
            let Some(output) = reads(shell, &["-n"], &script) else { continue };
            assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    // bash completes a command as a user does who presses the tab key.
    let script = place.voteburst(&["completions", "bash"]).end().stdout;
    let tab = "COMP_WORDS=(voteburst compl) COMP_CWORD=1; _voteburst voteburst compl voteburst; echo \"${COMPREPLY[*]}\"";
    let output = reads("bash", &[], &format!("{script}\n{tab}\n")).expect("bash runs tests/all too");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "completions");
}

#[test]
fn manual_pages_are_there_for_every_command_and_render_without_a_complaint() {
    let place = Scenario::small().place();
    place.voteburst(&["man", "--dir", "man"]).end().exits(0);
    let page = place.voteburst(&["man"]).end().exits(0).stdout;
    assert_eq!(page, place.read("man/voteburst.1"));
    for command in ["run", "compare", "agent", "stage", "check", "dns", "forecast", "report", "init", "completions", "man"] {
        let page = place.read(&format!("man/voteburst-{command}.1"));
        let Some(output) = reads("groff", &["-man", "-Kutf8", "-Tutf8", "-ww", "-P-c", "-P-b", "-P-u"], &page) else { return };
        let (text, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && complaints.is_empty(), "{command}: {complaints}");
        assert!(text.contains("SYNOPSIS") && text.contains(command), "{text}");
    }
    assert!(!place.path("man/voteburst-stage-worker.1").exists());
}

/// A run of 20 viewers whose agents' log is told too.
fn logged(place: &Place, words: &[&str]) -> Ended {
    let out = format!("out{}", words.concat());
    place.voteburst(&[&["run", "scenario.toml", "--viewers", "20", "--out", out.as_str()], words].concat()).end().exits(0)
}

#[test]
fn each_v_tells_more_and_json_lines_are_json() {
    let place = Scenario::small().window("1s").place();
    let plain = logged(&place, &["-q"]);
    assert_eq!(plain.stderr, "");
    let told = logged(&place, &["-q", "-vvv", "--log-format", "json"]);
    assert!(!told.stderr.is_empty());
    for line in told.stderr.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["level"].is_string() && line["timestamp"].is_string() && line["target"].is_string(), "{line}");
    }
}

#[test]
fn nothing_is_coloured_where_nobody_sees_colours_unless_they_are_asked_for() {
    let place = Scenario::small().place();
    let coloured = |environment: &[&str], words: &[&str]| {
        let outer: Vec<&str> =
            ["env", "-u", "NO_COLOR", "-u", "CLICOLOR", "-u", "CLICOLOR_FORCE"].iter().chain(environment).copied().collect();
        let ended = Voteburst::within(&place.path("."), &outer, words).end();
        assert!(!ended.stdout.is_empty() || !ended.stderr.is_empty());
        (ended.stdout + &ended.stderr).contains('\x1b')
    };
    for words in [&["help", "run"][..], &["run", "--nonsense"], &["check", "scenario.toml", "-vvv"]] {
        assert!(!coloured(&[], words), "{words:?}");
        assert!(!coloured(&["NO_COLOR=1", "CLICOLOR_FORCE=1"], words), "{words:?}");
    }
    assert!(coloured(&["CLICOLOR_FORCE=1"], &["run", "--nonsense"]));
}
