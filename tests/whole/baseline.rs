//! A run held against an earlier one of the same scenario: as good, slower, and of something else.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::scenario::{Place, Scenario};
use crate::targets::{Names, listen};

const PROXIES: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 88, 2, 1), Ipv4Addr::new(127, 88, 2, 2)];

/// Answers every vote of a connection after so many milliseconds.
async fn answer(mut connection: TcpStream, millis: Arc<AtomicU64>) {
    let mut buffer = [0; 4_096];
    while let Ok(1..) = connection.read(&mut buffer).await {
        tokio::time::sleep(Duration::from_millis(millis.load(Ordering::Relaxed))).await;
        if connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.is_err() {
            return;
        }
    }
}

/// The reasons of a run and its limits of this code, and whether each holds.
fn run(place: &Place, out: &str, words: &[&str], code: i32) -> crate::reading::Report {
    let words = [&["run", "scenario.toml", "--out", out, "--json"], words].concat();
    place.voteburst(&words).end().exits(code).report()
}

#[test]
fn a_target_that_became_slower_fails_against_its_baseline_and_only_for_that() {
    let names = Names::serving("vote.small.test", &PROXIES);
    let (listeners, port) = names.runtime.block_on(listen(&PROXIES));
    let millis = Arc::new(AtomicU64::new(1));
    for listener in listeners {
        let millis = Arc::clone(&millis);
        names.runtime.spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(answer(connection, Arc::clone(&millis)));
            }
        });
    }
    // Its own limits are wide: nothing but the baseline can tell the two runs apart.
    let place = Scenario::small().live(names.at(), port).place();
    run(&place, "earlier", &[], 0).is("pass");
    // Far more than a tenth or chance, whatever else this machine does meanwhile.
    millis.store(1_500, Ordering::Relaxed);
    let report = run(&place, "later", &["--baseline", "earlier"], 1);
    report.is("fail");
    let worse = report.reason("worse").unwrap_or_else(|| panic!("{:#}", report.at("verdict")));
    assert!(worse.starts_with("response.p50 against the baseline got worse"), "{worse}");
    let told = report.reason("baseline").unwrap();
    assert!(told.starts_with("held against the baseline earlier, a PASS begun "), "{told}");
    let limit = |name: &str| {
        let name = format!("{name} against the baseline");
        report.list("thresholds").iter().find(|limit| limit["name"] == name.as_str()).unwrap().clone()
    };
    assert_eq!([limit("response.p50")["holds"].as_bool(), limit("accepted")["holds"].as_bool()], [Some(false), Some(true)]);
    assert_eq!(limit("response.p99")["holds"], serde_json::Value::Null, "200 votes have no bounds of a 99th percentile");
    for (file, words) in [("report.txt", "✗ response.p50 against the baseline"), ("junit.xml", "type=\"worse\"")] {
        assert!(place.read(&format!("later/{file}")).contains(words), "{file}");
    }
    let (before, told) = (place.read("later/report.json"), place.read("later/report.html"));
    std::fs::remove_dir_all(place.path("earlier")).unwrap();
    assert_eq!(place.voteburst(&["report", "later", "--json"]).end().exits(1).stdout, before, "without the baseline");
    assert!(told.contains("response.p50 against the baseline"));
    // Of this one, another audience is refused with its key; nothing starts and nothing is left.
    for (words, says) in [
        (&["--baseline", "later", "--viewers", "150"][..], "audience.viewers: 200 against 150"),
        (&["--baseline", "no-such-run"][..], "no-such-run"),
        (&["--baseline", "."][..], "needed the directory of a run"),
    ] {
        let refused = place.voteburst(&[&["run", "scenario.toml", "--out", "third"], words].concat()).end().exits(2);
        refused.says(&["--baseline: ", says]);
        assert_eq!(place.holds(), ["later", "scenario.toml"]);
    }
}
