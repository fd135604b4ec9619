//! Scenarios that cannot be played: each is refused before anything starts, with the place, what stands there, what is
//! needed and how to fix it.

use crate::scenario::{Place, Scenario};

/// One mistake in an otherwise sound scenario.
struct Mistake {
    what: &'static str,
    /// What stands in the sound scenario.
    sound: &'static str,
    /// What stands in its place.
    written: &'static str,
    /// A text on the line that the message must name.
    at: &'static str,
    /// What the message must hold besides.
    says: &'static [&'static str],
}

const MISTAKES: &[Mistake] = &[
    Mistake {
        what: "an unknown key, one letter off",
        sound: "viewers = 200",
        written: "viewrs = 200",
        at: "viewrs",
        says: &["`viewrs`, which voteburst does not know", "did you mean `viewers`?"],
    },
    Mistake {
        what: "an unknown table",
        sound: "[thresholds]",
        written: "[treshold]",
        at: "[treshold]",
        says: &["did you mean `thresholds`?"],
    },
    Mistake {
        what: "text where a number is due",
        sound: "viewers = 200",
        written: "viewers = \"many\"",
        at: "\"many\"",
        says: &["audience.viewers", "many", "needed: a whole number"],
    },
    Mistake {
        what: "a number without its unit where a time is due",
        sound: "window = \"2s\"",
        written: "window = 2",
        at: "window = 2",
        says: &["questions[0].window", "found:  integer `2`", "needed: a time with its unit in quotes, such as"],
    },
    Mistake {
        what: "a number where text is due",
        sound: "id = \"winner\"",
        written: "id = 1",
        at: "id = 1",
        says: &["questions[0].id", "found:  integer `1`", "needed: text in quotes"],
    },
    Mistake {
        what: "a time in a unit that is none",
        sound: "window = \"2s\"",
        written: "window = \"2 blinks\"",
        at: "blinks",
        says: &["found:  `2 blinks`", "needed: a time with its unit in quotes, such as \"250ms\""],
    },
    Mistake {
        what: "an unknown zone policy",
        sound: "zone = \"multivalue\"",
        written: "zone = \"multi-value\"",
        at: "multi-value",
        says: &["`multi-value`", "did you mean `multivalue`?"],
    },
    Mistake {
        what: "choices that sum to less than 1",
        sound: "ben = 0.4",
        written: "ben = 0.3",
        at: "ben = 0.3",
        says: &["shares that sum to 0.9", "add 0.100000"],
    },
    Mistake {
        what: "carriers that sum to more than 1",
        sound: "count = 3",
        written: "shares = [0.5, 0.75]",
        at: "shares = [0.5",
        says: &["shares that sum to 1.25", "take away 0.250000"],
    },
    Mistake {
        what: "a share below 0",
        sound: "anna = 0.6, ben = 0.4",
        written: "anna = 1.4, ben = -0.4",
        at: "anna = 1.4",
        says: &["the share 1.4", "shares from 0 to 1"],
    },
    Mistake {
        what: "no viewer",
        sound: "viewers = 200",
        written: "viewers = 0",
        at: "viewers = 0",
        says: &["found:  0", "a whole number from 1 to", "the nearest that works is 1"],
    },
    Mistake {
        what: "fewer than no viewers",
        sound: "viewers = 200",
        written: "viewers = -200",
        at: "viewers = -200",
        says: &["found:  -200", "the nearest that works is 1"],
    },
    Mistake {
        what: "more viewers than people on Earth",
        sound: "viewers = 200",
        written: "viewers = 9_000_000_000_000",
        at: "viewers = 9_000",
        says: &["found:  9000000000000", "the nearest that works is"],
    },
    Mistake {
        what: "no proxy",
        sound: "proxies = 3",
        written: "proxies = 0",
        at: "proxies = 0",
        says: &["stage.proxies", "a whole number from 1 to 100"],
    },
    Mistake {
        what: "more proxies than a zone holds",
        sound: "proxies = 3",
        written: "proxies = 1_000_000",
        at: "proxies = 1_000",
        says: &["found:  1000000", "the nearest that works is 100"],
    },
    Mistake {
        what: "a connection limit of none",
        sound: "connection_limit = 2_000",
        written: "connection_limit = 0",
        at: "connection_limit = 0",
        says: &["stage.connection_limit", "the nearest that works is 1"],
    },
    Mistake {
        what: "a window of no time",
        sound: "window = \"2s\"",
        written: "window = \"0s\"",
        at: "window = \"0s\"",
        says: &["questions[0].window", "found:  0s", "the nearest that works is \"100ms\""],
    },
    Mistake {
        what: "a window of a year",
        sound: "window = \"2s\"",
        written: "window = \"1year\"",
        at: "1year",
        says: &["questions[0].window", "the nearest that works is \"1h\""],
    },
    Mistake {
        what: "a threshold that is no share",
        sound: "connected_min = 0.9",
        written: "connected_min = nan",
        at: "connected_min = nan",
        says: &["thresholds.connected_min", "found:  NaN", "a number from 0 to 1"],
    },
    Mistake {
        what: "a limit on what nobody measures",
        sound: "connected_min = 0.9",
        written: "connected_min = 0.9\nlimits = [{ expect = \"respnse.p99 < 250ms per proxy\" }]",
        at: "respnse",
        says: &["thresholds.limits[0].expect", "`respnse.p99`, which is not measured", "did you mean `response`?"],
    },
    Mistake {
        what: "a limit where nothing is counted",
        sound: "connected_min = 0.9",
        written: "connected_min = 0.9\nlimits = [{ expect = \"response.p99 < 250ms per question\" }]",
        at: "per question",
        says: &["found:  response.p99 `per question`", "needed: response.p99 in total (without `per`) or `per proxy`"],
    },
    Mistake {
        what: "a trace that does not exist",
        sound: "shape = \"uniform\"",
        written: "shape = \"trace\", file = \"nowhere.txt\"",
        at: "nowhere.txt",
        says: &["questions[0].arrivals.file", "`nowhere.txt`, which cannot be read: No such file", "the scenario's folder"],
    },
    Mistake {
        what: "a directory for a trace",
        sound: "shape = \"uniform\"",
        written: "shape = \"trace\", file = \".\"",
        at: "file = \".\"",
        says: &["which cannot be read: Is a directory"],
    },
    Mistake {
        what: "an unknown placeholder, one letter off",
        sound: "{choice}",
        written: "{choise}",
        at: "{choise}",
        says: &["target.body", "the placeholder {choise}", "did you mean {choice}?"],
    },
    Mistake {
        what: "a source that is neither address nor network",
        sound: "gather_timeout = \"30s\"",
        written: "sources = [\"10.0.8.1\", \"10.0.8.0/33\"]",
        at: "10.0.8.0/33",
        says: &[
            "agents.sources[1]",
            "`10.0.8.0/33`",
            "an IP address of the agents' machine, or a network such as \"10.0.8.0/28\"",
        ],
    },
    Mistake {
        what: "a network of too many sources",
        sound: "gather_timeout = \"30s\"",
        written: "sources = [\"10.0.0.0/8\"]",
        at: "10.0.0.0/8",
        says: &["agents.sources[0]", "a network of 16777214 addresses", "at most 1024 addresses"],
    },
    Mistake { what: "no TOML at all", sound: "[audience]", written: "[audience", at: "[audience", says: &["needed:", "fix:"] },
];

/// Asserts that nothing was started and nothing was left: no line of a run, no directory.
#[track_caller]
fn refuses(place: &Place, words: &[&str], says: &[&str]) {
    let before = place.holds();
    let ended = place.voteburst(words).end().exits(2).says(says);
    assert_eq!(ended.stdout, "", "a refused scenario has no result");
    assert!(!ended.stderr.contains("waiting for agents"), "it was started:\n{}", ended.stderr);
    assert_eq!(place.holds(), before, "a refused scenario leaves nothing behind");
}

#[test]
fn every_mistake_in_a_scenario_is_refused_with_its_line_before_anything_starts() {
    for mistake in MISTAKES {
        println!("{}", mistake.what);
        let scenario = Scenario::small().with(mistake.sound, mistake.written);
        let line = format!("scenario.toml:{}:", scenario.line_of(mistake.at));
        let says = [&[line.as_str(), "found:", "needed:", "fix:"], mistake.says].concat();
        refuses(&scenario.place(), &["run", "scenario.toml"], &says);
    }
}

#[test]
fn check_and_compare_and_stage_refuse_with_the_words_of_run() {
    let place = Scenario::small().with("seed = 7", "sead = 7").place();
    let said = ["check", "compare", "stage", "run"].map(|word| {
        let ended =
            place.voteburst(&[word, "scenario.toml"]).end().exits(2).says(&["scenario.toml:2:1: sead", "did you mean `seed`?"]);
        ended.stderr
    });
    assert!(said.iter().all(|words| *words == said[0]), "{said:#?}");
    assert_eq!(place.holds(), ["scenario.toml"]);
}

#[test]
fn a_trace_that_holds_something_else_is_refused_with_both_lines() {
    let scenario = Scenario::small().with("shape = \"uniform\"", "shape = \"trace\", file = \"votes.txt\"");
    let line = format!("scenario.toml:{}:", scenario.line_of("votes.txt"));
    let place = scenario.place();
    for (text, says) in [
        ("0.5\nsoon\n", "`soon` in votes.txt, line 2"),
        ("0.5\n-1\n", "`-1` in votes.txt, line 2"),
        ("0.5\n1.0\n7.5\n", "offset 7.5 s (number 3)"),
        ("# nobody\n\n", "0 offsets"),
    ] {
        std::fs::write(place.path("votes.txt"), text).unwrap();
        refuses(&place, &["run", "scenario.toml"], &[&line, says, "needed:", "fix:"]);
    }
}

#[test]
fn a_scenario_that_is_not_there_or_no_text_is_refused() {
    let place = Scenario::small().place();
    refuses(&place, &["run", "other.toml"], &["other.toml: No such file", "needed:", "fix:"]);
    std::fs::write(place.path("binary.toml"), [0x6e, 0xff, 0xfe]).unwrap();
    refuses(&place, &["run", "binary.toml"], &["binary.toml: no UTF-8 text from byte 1", "fix:"]);
    refuses(&place, &["run", "."], &["needed: a scenario file"]);
}

#[test]
fn overrides_are_held_to_the_scenarios_rules() {
    let place = Scenario::small().place();
    refuses(&place, &["run", "scenario.toml", "--viewers", "0"], &["--viewers", "0 is not in 1..=50000000"]);
    refuses(&place, &["run", "scenario.toml", "--viewers", "-5"], &["--viewers", "-5 is not in 1..=50000000"]);
    refuses(&place, &["run", "scenario.toml", "--agents", "0"], &["--agents: found 0", "needed: 1 to 200"]);
    refuses(&place, &["run", "scenario.toml", "--agents", "201"], &["--agents: found 201", "needed: 1 to 200"]);
    refuses(&place, &["run", "scenario.toml", "--zone", "round-robin"], &["round-robin", "multivalue"]);
    refuses(&place, &["run", "scenario.toml", "--wait-for", "0"], &["--wait-for", "0 is not in 1..=10000"]);
    let agent = |sources: &[&'static str]| [&["agent", "--join", "127.0.0.1:1"], sources].concat();
    refuses(&place, &agent(&["--source", "10.0.8"]), &["--source", "10.0.8", "a network such as 10.0.8.0/28"]);
    refuses(&place, &agent(&["--source", "10.0.0.0/21"]), &["--source", "at most 1024 addresses", "2046"]);
    let both = ["--source", "10.0.0.0/22", "--source", "10.0.4.0/22"];
    refuses(&place, &agent(&both), &["--source: found 2044 addresses", "at most 1024"]);
    refuses(&place, &["compare", "scenario.toml", "--zone", "simple"], &["--zone: found simple", "two zone policies or more"]);
    refuses(&place, &["compare", "scenario.toml", "--zone", "simple", "--zone", "simple"], &["each once"]);
}

#[test]
fn a_report_of_no_run_is_refused() {
    let place = Scenario::small().place();
    refuses(&place, &["report", "nowhere"], &["nowhere", "needed the directory of a run"]);
    std::fs::create_dir(place.path("empty")).unwrap();
    refuses(&place, &["report", "empty"], &["run.json", "needed the directory of a run"]);
}
