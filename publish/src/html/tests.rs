//! Pages of odd runs. That a browser shows them is `tests/browser`'s to prove.

use std::collections::BTreeMap;

use serde_json::Value;
use voteburst_burst::tally::Latency;
use voteburst_coordinator::report::diff::{Diff, Side};
use voteburst_coordinator::report::{ProxySecond, ReasonPart, SecondQuantiles, TimelineSecond};

use super::*;
use crate::fixture;

/// The largest page that mail and chat take without a word.
const MOST_BYTES: usize = 5 * 1024 * 1024;

fn page_of(report: &Report) -> String {
    of_run(report, &Detail::default())
}

/// What the pictures of a page are drawn from.
fn drawn_from(page: &str) -> Value {
    let (_, rest) = page.split_once("<script type=\"application/json\" id=\"data\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

/// The part of a page that people read: without scripts and styles.
fn read(page: &str) -> &str {
    let (_, body) = page.split_once("<body>").unwrap();
    body.split_once("<script type=\"application/json\"").unwrap().0
}

fn address(number: usize) -> String {
    format!("127.101.{}.{}", 200 + number / 100, 100 + number % 100)
}

/// A run of as many proxies and seconds, with full figures everywhere.
fn large(proxies: usize, seconds: i64) -> Report {
    let mut report = fixture::report();
    let one = report.proxies[0].clone();
    report.proxies =
        (0..proxies).map(|number| voteburst_coordinator::report::Proxy { address: address(number), ..one.clone() }).collect();
    let response_ms = Some(SecondQuantiles { p50: 1_179.647, p90: 2_621.439, p99: 9_437.183 });
    let cell = ProxySecond {
        open: 7_512,
        in_flight: 1_234,
        accepted: 543,
        failed: 120,
        sent: 654,
        opened: 1_250,
        dns_answers: 1_250,
        response_ms,
    };
    let cells: BTreeMap<String, ProxySecond> = (0..proxies).map(|number| (address(number), cell)).collect();
    let second = |t_s| TimelineSecond {
        t_s,
        busiest_new_share: Some(0.071_234_567),
        lateness_p99_ms: Some(19.456),
        response_ms,
        proxies: cells.clone(),
    };
    report.timeline = (-60..seconds).map(second).collect();
    for second in report.timeline.iter_mut().filter(|second| second.t_s < 0) {
        second.response_ms = None;
        second.proxies.values_mut().for_each(|cell| cell.response_ms = None);
    }
    report.plan.viewers = 300_000;
    report
}

fn detail() -> Detail {
    let curve: Vec<_> = (0..100).map(|step| (1.0 - 0.5_f64.powi(step / 5), f64::from(step) * 12.345)).collect();
    let (response, lateness) = (curve.clone(), curve);
    let windows = vec![("winner".to_owned(), 0.0, 60.0)];
    // 16 bands, a factor of 256 between quickest and slowest, with the 540 votes that each proxy accepts in a second.
    let seconds: Vec<_> = (0..140).map(|t| (t, 12, (26..42).collect())).collect();
    let heat = (0..40).map(|number| Heat { proxy: address(number), seconds: seconds.clone() }).collect();
    Detail { planned_per_s: vec![12_345; 140], response, lateness, heat, windows, scenario: "name = \"x\"\n".repeat(5_000) }
}

#[test]
fn the_verdict_its_reasons_and_remedies_come_first() {
    let report = fixture::report();
    let page = page_of(&report);
    let read = read(&page);
    let places = [
        "This burst goes wrong",
        "at most 35.000 % allowed",
        "answer several addresses",
        "data-picture=\"open\"",
        "All figures as tables",
    ];
    let found: Vec<_> = places.iter().map(|text| read.find(text).unwrap_or_else(|| panic!("no `{text}`"))).collect();
    assert!(found.is_sorted(), "{found:?}");
}

#[test]
fn pictures_are_drawn_from_the_figures_of_the_report() {
    let report = fixture::report();
    let data = drawn_from(&page_of(&report));
    let run = &data["runs"][0];
    for (place, proxy) in report.proxies.iter().enumerate() {
        assert_eq!(run["proxies"][place], proxy.address);
        for (second, told) in report.timeline.iter().enumerate() {
            let cell = told.proxies[&proxy.address];
            assert_eq!(run["t"][second], told.t_s);
            assert_eq!(run["open"][place][second], cell.open);
            assert_eq!(run["opened"][place][second], cell.opened);
            assert_eq!(run["accepted"][place][second], cell.accepted);
        }
    }
}

#[test]
fn words_of_others_are_shown_and_never_obeyed() {
    let mut report = fixture::hostile();
    let hostile = "</script></title><img src=x onerror=alert(1)>";
    report.name = hostile.into();
    report.zone = hostile.into();
    report.agents[0].host = hostile.into();
    report.agents[0].warnings.push(hostile.into());
    report.plan.choices.insert(hostile.into(), BTreeMap::from([(hostile.into(), 1)]));
    report.votes.failures.insert(hostile.into(), 1);
    let detail = Detail { scenario: hostile.into(), ..detail() };
    let comparison = Comparison::of(vec![report.clone()], vec![hostile.into()]);
    for page in [of_run(&report, &detail), of_comparison(&comparison, &[detail])] {
        assert!(!page.contains("<img") && !read(&page).contains("<script"));
        // The data, the library, the looks, the pictures, those over time and the page's own: no other element of that kind begins or ends.
        assert_eq!((page.matches("<script").count(), page.matches("</script").count()), (6, 6));
        assert_eq!(page.matches("</title>").count(), 1);
        assert_eq!(drawn_from(&page)["runs"][0]["zone"], hostile);
    }
}

#[test]
fn the_browser_runs_the_scripts_of_the_page_and_asks_nobody_for_anything() {
    let page = page_of(&fixture::report());
    let (_, policy) = page.split_once("Content-Security-Policy\" content=\"").unwrap();
    let policy = policy.split('"').next().unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
    assert_eq!(policy.matches("'sha256-").count(), 5, "{policy}");
    assert!(!policy.contains("http") && !policy.contains("script-src 'unsafe"), "{policy}");
}

#[test]
fn odd_runs_are_told_in_words_where_there_is_nothing_to_draw() {
    let empty = page_of(&fixture::empty());
    let told = read(&empty);
    for text in [
        "This run proves nothing",
        "nothing was fired",
        "No connection was opened.",
        "No vote was accepted.",
        "No attempt failed.",
    ] {
        assert!(told.contains(text), "no `{text}`");
    }
    assert!(!told.contains("data-picture") && !told.contains("NaN"), "{told}");

    let mut one = fixture::report();
    one.proxies.truncate(1);
    let address = one.proxies[0].address.clone();
    for second in &mut one.timeline {
        second.proxies.retain(|other, _| *other == address);
    }
    let page = page_of(&one);
    assert!(read(&page).contains("even is 100.0 %"));

    let mut partial = fixture::report();
    partial.verdict.outcome = fixture::empty().verdict.outcome;
    partial.verdict.reasons =
        vec![ReasonPart { text: "the run is partial: interrupted".into(), ..fixture::empty().verdict.reasons[0].clone() }];
    let whole = partial.timeline.len();
    partial.timeline.retain(|second| second.t_s < 2);
    assert!(partial.timeline.len() < whole, "what was played before the end is shown");
    let page = page_of(&partial);
    assert!(read(&page).contains("the run is partial: interrupted") && read(&page).contains("data-picture=\"votes\""));
    assert_eq!(drawn_from(&page)["runs"][0]["t"].as_array().unwrap().len(), partial.timeline.len());

    let mut dead = fixture::report();
    (dead.agents[0].lost, dead.agents[0].is_final, dead.agents[0].generator) = (Some("silent for 5 s".into()), false, None);
    assert!(read(&page_of(&dead)).contains("lost: silent for 5 s"));
}

#[test]
fn zones_of_a_comparison_stand_side_by_side_and_a_missing_one_is_named() {
    let comparison = fixture::comparison();
    let page = of_comparison(&comparison, &[]);
    let read = read(&page);
    assert!(read.contains("No recommendation") && read.contains("geo was not played"));
    for zone in ["multivalue", "single-a-weighted"] {
        assert!(read.contains(&format!("<a href=\"{zone}/report.html\">")), "{zone}");
    }
    assert_eq!(read.matches("data-picture=\"open\"").count(), 2);
    assert_eq!(drawn_from(&page)["runs"].as_array().unwrap().len(), 2);
}

/// A run as `voteburst diff` reads it.
fn side(dir: &str, report: &Report) -> Side {
    let mut response = Latency::new();
    (0..report.votes.accepted).for_each(|vote| response.record_ns(vote % 50 * 1_000_000));
    Side { dir: dir.into(), report: report.clone(), response, scenario: "seed = 1\n".into() }
}

fn diff_page(a: &Report, b: &Report, dirs: [&str; 2]) -> String {
    let diff = Diff::of(&side(dirs[0], a), &side(dirs[1], b));
    of_diff(&diff, [(a, &detail()), (b, &detail())])
}

#[test]
fn a_difference_tells_first_what_is_larger_than_its_spread_and_then_shows_both_runs() {
    let a = fixture::report();
    let mut b = a.clone();
    b.votes.accepted = a.votes.accepted / 2;
    let page = diff_page(&a, &b, ["runs/monday", "runs/tuesday"]);
    let read = read(&page);
    let places = [
        "in 1 and better in 0 figures",
        "accepted</th>",
        "WORSE",
        "within spread",
        "B: tuesday</h2>",
        "data-picture=\"open\"",
        "All figures",
    ];
    let found: Vec<_> = places.iter().map(|text| read.find(text).unwrap_or_else(|| panic!("no `{text}`"))).collect();
    assert!(found.is_sorted(), "{found:?}");
    assert_eq!(read.matches("data-picture=\"over_time\"").count() + read.matches("No vote was accepted.").count(), 2);
    let data = drawn_from(&page);
    assert_eq!(["A: monday", "B: tuesday"].map(Value::from), [0, 1].map(|run| data["runs"][run]["zone"].clone()));

    let same = diff_page(&a, &a, ["x", "y"]);
    assert!(same.contains("No figure differs by more than its spread") && same.contains("Nothing: chance alone"));
    let hostile = diff_page(&a, &b, ["x/<img src=x onerror=alert(1)>", "</script><script>alert(2)"]);
    assert!(!hostile.contains("<img") && hostile.matches("<script").count() == 6);
}

#[test]
fn a_difference_of_runs_that_share_nothing_is_still_a_page() {
    let (a, nothing) = (fixture::report(), fixture::empty());
    for (a, b) in [(&a, &nothing), (&nothing, &a), (&nothing, &nothing)] {
        let page = diff_page(a, b, ["a", "b"]);
        assert!(!read(&page).contains("NaN") && read(&page).contains("All figures as tables"));
    }
}

#[test]
fn the_largest_pages_stay_small_enough_to_send() {
    let (report, detail) = (large(40, 140), detail());
    let zones = ["single-a-weighted", "single-a-window", "multivalue", "simple", "lb-alias"];
    let runs = zones.map(|zone| Report { zone: zone.into(), ..report.clone() });
    let comparison = Comparison::of(runs.into(), Vec::new());
    let sizes = [of_run(&report, &detail).len(), of_comparison(&comparison, &vec![detail; 5]).len()];
    println!("40 proxies, 200 s: {} KiB for a run, {} KiB for five zones", sizes[0] / 1024, sizes[1] / 1024);
    assert!(sizes.iter().all(|size| *size <= MOST_BYTES), "{sizes:?}");
}
