//! The pages in a real browser: Debian's chromium, driven by playwright-core, with axe-core's rules of accessibility.
//!
//! One short comparison is played, while `live.mjs` looks at its live page; `look.mjs` then opens its pages and those of odd runs.
//! They say what they look at; here is what they need: node, npm and chromium, which `tests/all` installs, and two packages of npm,
//! which are kept below the target directory.

#![expect(clippy::unwrap_used, reason = "helpers of tests stand outside of test functions")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use voteburst_coordinator::journal::Evidence;
use voteburst_coordinator::report::compare::Comparison;
use voteburst_coordinator::report::{Proxy, Report, TimelineSecond};
use voteburst_publish::html::{self, Detail};

const ZONES: [&str; 2] = ["single-a-weighted", "multivalue"];
/// What a page must show and never obey.
const HOSTILE: &str = "</script></title><img src=x onerror=alert(1)><script>alert(2)</script>";

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser")
}

fn done(command: &mut Command) -> Result<Output, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Err(format!("{command:?}: {}\n{said}\n{wrong}", output.status))
}

/// A directory with `look.mjs` and the packages it needs; or why there is none.
fn browser() -> Result<PathBuf, String> {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser");
    fs::create_dir_all(&place).map_err(|error| error.to_string())?;
    done(Command::new("chromium").arg("--version"))?;
    let lock = fs::read(here().join("package-lock.json")).map_err(|error| error.to_string())?;
    // The packages come from the network, so they are fetched once.
    let fetched = fs::read(place.join("node_modules/.of-lock")).is_ok_and(|of| of == lock);
    for file in ["package.json", "package-lock.json", "look.mjs", "live.mjs", "figures.mjs", "picture.mjs"] {
        fs::copy(here().join(file), place.join(file)).map_err(|error| format!("{file}: {error}"))?;
    }
    if !fetched {
        done(Command::new("npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&place))?;
        fs::write(place.join("node_modules/.of-lock"), lock).map_err(|error| error.to_string())?;
    }
    Ok(place)
}

/// Plays the comparison, whose live page the browser looks at meanwhile; gives its directory and what that page showed last.
fn compare(place: &Path, browser: &Path) -> (PathBuf, Value) {
    let mut words = vec!["compare", "scenario.toml", "--out", "pages", "-q", "--web", "127.0.0.1:0"];
    words.extend(ZONES.iter().flat_map(|zone| ["--zone", zone]));
    fs::copy(here().join("scenario.toml"), place.join("scenario.toml")).unwrap();
    let mut looking = Command::new("node");
    looking.arg("live.mjs").current_dir(browser).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut looking = looking.spawn().unwrap();
    let mut looked = BufReader::new(looking.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert_eq!(looked.next().as_deref(), Some("ready"), "the live page: see above");
    let mut command = Command::new(env!("CARGO_BIN_EXE_voteburst"));
    let mut playing = command.current_dir(place).args(words).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(playing.stderr.take().unwrap()).lines().map_while(Result::ok);
    let watch = said.find(|line| line.contains("watch it on ")).expect("it tells where it can be watched");
    writeln!(looking.stdin.take().unwrap(), "{}", watch.rsplit(' ').next().unwrap()).unwrap();
    let said: Vec<_> = said.collect();
    // Whatever it comes to on a busy machine: pages tell it.
    assert!(matches!(playing.wait().unwrap().code(), Some(0 | 1 | 3)), "{said:?}");
    let figures = looked.collect::<String>();
    assert!(looking.wait().unwrap().success(), "the live page: see above");
    (place.join("pages"), serde_json::from_str(&figures).unwrap())
}

/// What the live page showed last is what the last run came to.
fn held_against(live: &Value, report: &Report) {
    let told = [("planned", report.votes.planned), ("accepted", report.votes.accepted), ("sent", report.votes.attempts)];
    for (figure, needed) in told {
        assert_eq!(live[figure].as_u64(), Some(needed), "{figure} of {live:#}");
    }
    assert_eq!(live["heat"].as_u64(), Some(report.votes.accepted), "votes of the heat map of {live:#}");
    let accepted = |proxy: &Proxy| (proxy.address.clone(), Some(proxy.accepted));
    let shown = |address: &String| live["proxies"][address]["accepted"].as_u64();
    let needed: BTreeMap<_, _> = report.proxies.iter().map(accepted).collect();
    assert_eq!(needed.keys().map(|address| (address.clone(), shown(address))).collect::<BTreeMap<_, _>>(), needed, "{live:#}");
    for (address, proxy) in live["proxies"].as_object().unwrap() {
        assert_eq!(live["drawn"][address], proxy["open"], "the picture ends where the table does: {live:#}");
    }
}

/// Pages of runs as they should not be, made from one that was played.
fn odd(report: &Report, place: &Path) {
    let mut hostile = report.clone();
    (hostile.name, hostile.zone) = (HOSTILE.into(), HOSTILE.into());
    hostile.agents[0].host = HOSTILE.into();
    hostile.votes.failures.insert(HOSTILE.into(), 3);
    let address = std::mem::replace(&mut hostile.proxies[0].address, HOSTILE.into());
    for second in &mut hostile.timeline {
        let cell = second.proxies.remove(&address).unwrap();
        second.proxies.insert(HOSTILE.into(), cell);
    }

    let mut nothing = report.clone();
    nothing.proxies.clear();
    nothing.timeline.clear();
    nothing.agents.clear();
    (nothing.forecast, nothing.limits, nothing.skew) = (None, None, None);
    nothing.votes = Default::default();
    nothing.latency_ms.response = Default::default();

    let mut one = report.clone();
    one.proxies.truncate(1);
    let address = one.proxies[0].address.clone();
    one.timeline.iter_mut().for_each(|second| second.proxies.retain(|other, _| *other == address));

    for (name, report) in [("hostile", hostile), ("nothing", nothing), ("one-proxy", one), ("large", large(report))] {
        fs::write(place.join(format!("{name}.html")), html::of_run(&report, &Detail::default())).unwrap();
    }
}

/// The comparison once more, had the second zone opened its doors a second earlier: zones share their axes all the same.
fn uneven(pages: &Path) {
    let evidence = ZONES.map(|zone| Evidence::load(&pages.join(zone)).unwrap());
    let mut reports = evidence.each_ref().map(Report::of_evidence);
    let from = reports.iter().filter_map(|report| report.timeline.first()).map(|second| second.t_s).min().unwrap() - 1;
    let opened = |second: &TimelineSecond| second.proxies.values().map(|cell| cell.opened).sum::<u32>();
    let most = reports[1].timeline.iter().filter(|second| second.t_s < 0).max_by_key(|second| opened(second)).unwrap();
    let earlier = TimelineSecond { t_s: from, ..most.clone() };
    reports[1].timeline.insert(0, earlier);
    let comparison = Comparison::of(reports.into(), Vec::new());
    fs::write(pages.join("uneven.html"), html::of_comparison(&comparison, &evidence.each_ref().map(Detail::of))).unwrap();
    fs::write(pages.join("uneven.json"), serde_json::to_vec(&comparison).unwrap()).unwrap();
}

/// 40 proxies over 200 seconds, figures everywhere.
fn large(report: &Report) -> Report {
    let address = |number: usize| format!("198.51.100.{}", number + 1);
    let mut large = report.clone();
    let one = report.proxies[0].clone();
    large.proxies = (0..40).map(|number| Proxy { address: address(number), ..one.clone() }).collect();
    let mut second = report.timeline[0].clone();
    let mut cell = second.proxies.values().next().copied().unwrap();
    (cell.open, cell.opened, cell.accepted) = (7_500, 1_250, 300);
    second.proxies = (0..40).map(|number| (address(number), cell)).collect::<BTreeMap<_, _>>();
    large.timeline = (-60..140).map(|t_s| TimelineSecond { t_s, ..second.clone() }).collect();
    large
}

#[test]
fn pages_show_the_figures_of_the_report_to_everybody_and_ask_nobody_for_anything() {
    let browser = match browser() {
        Ok(browser) => browser,
        Err(why) if std::env::var_os("CI").is_some() => panic!("CI must look at the pages in a browser: {why}"),
        Err(why) => {
            // Past the harness, which hides what passing tests print. A closed standard error leaves nobody to tell.
            let _ = writeln!(std::io::stderr(), "SKIPPED the pages in a browser: {why}");
            return;
        }
    };
    let place = tempfile::tempdir().unwrap();
    let (pages, live) = compare(place.path(), &browser);
    let read = |path: &Path| fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let compared = read(&pages.join("compare.html"));
    fs::remove_file(pages.join("compare.html")).unwrap();
    done(Command::new(env!("CARGO_BIN_EXE_voteburst")).arg("report").arg(&pages)).map_or_else(|_| (), drop);
    assert!(read(&pages.join("compare.html")) == compared, "compare.html differs when made again");
    assert!(!String::from_utf8(compared).unwrap().contains("never-on-a-page"), "a page tells a secret header");
    let report: Report = serde_json::from_slice(&read(&pages.join(ZONES[0]).join("report.json"))).unwrap();
    odd(&report, &pages);
    uneven(&pages);
    let last = serde_json::from_slice(&read(&pages.join(ZONES[1]).join("report.json"))).unwrap();
    held_against(&live, &last);
    let [a, b] = ZONES.map(|zone| pages.join(zone));
    let diff = Command::new(env!("CARGO_BIN_EXE_voteburst"))
        .arg("diff")
        .arg(a)
        .arg(b)
        .arg("--html")
        .arg(pages.join("diff.html"))
        .output();
    let diff = diff.unwrap();
    assert!(diff.status.success(), "{}", String::from_utf8_lossy(&diff.stderr));
    let looked =
        done(Command::new("node").arg("look.mjs").arg(&pages).current_dir(&browser)).unwrap_or_else(|why| panic!("{why}"));
    println!("{}", String::from_utf8_lossy(&looked.stdout));
}
