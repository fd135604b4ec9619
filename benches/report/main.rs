//! How long a run directory takes to become its report and its pages. Figures, no assertions.
//!
//! 300,000 viewers, 40 proxies and 120 s of one question, held by 20 agents, as they would be kept on disk; goal: the page of it within
//! 2 s of a report that is there, and no larger than 5 MiB. `publish`'s own tests hold the sizes; this holds nothing and prints all.

#![allow(clippy::print_stdout, reason = "a bench prints")]
#![allow(clippy::disallowed_methods, reason = "a bench measures time")]
#![allow(missing_docs, reason = "a bench has no readers of docs")]

use std::error::Error;
use std::hint::black_box;
use std::io;
use std::net::IpAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use voteburst_burst::clock::Offset;
use voteburst_burst::draw::unit;
use voteburst_burst::outcome::Fate;
use voteburst_burst::plan::Plan;
use voteburst_burst::scenario::Draft;
use voteburst_burst::tally::Tally;
use voteburst_coordinator::conductor::Ended;
use voteburst_coordinator::journal::{Evidence, RunDirectory};
use voteburst_coordinator::record::{AgentRecord, RunRecord, SCHEMA, StartSpread};
use voteburst_coordinator::report::Report;
use voteburst_coordinator::report::compare::Comparison;
use voteburst_coordinator::report::diff::{Diff, Side};
use voteburst_proto::convert::Sealed;
use voteburst_proto::message::Snapshot;
use voteburst_publish::html::{self, Detail};
use voteburst_publish::of_run;

const VIEWERS: u32 = 300_000;
const PROXIES: u64 = 40;
const AGENTS: u32 = 20;
/// Doors stand open for so many seconds before T0.
const DOORS: u32 = 60;
const SHOW: &str = r#"
name = "large"
seed = 7
[audience]
viewers = 300000
doors_open = "60s"
[target]
url = "http://vote.show.test/vote"
body = '{"ballot":"{ballot}"}'
[[questions]]
id = "winner"
window = "120s"
turnout = 1.0
arrivals = { shape = "exponential-decay", mean = "30s" }
choices = { anna = 0.5, ben = 0.5 }
[stage]
zone = "multivalue"
proxies = 40
connection_limit = 9000
web_servers = 6
web_server_coefficient = 800
service_time = { distribution = "constant", mean = "30ms" }
"#;

fn main() -> Result<(), Box<dyn Error>> {
    let scenario = Draft::read(SHOW, "large.toml")?.resolve(&|_| Err(io::ErrorKind::NotFound.into()))?;
    let plan = Plan::new(scenario);
    let dir = tempfile::tempdir()?;
    let run = RunDirectory::create(&dir.path().join("run"))?;
    run.write_plan(SHOW, &plan)?;
    let shares: Vec<_> = (0..).zip(plan.shares(AGENTS)).collect();
    let agents = shares.iter().map(|(agent, viewers)| keep(&run, &plan, *agent, viewers)).collect::<Result<Vec<_>, _>>()?;
    run.write_record(&record(&plan, agents))?;

    let evidence = timed("read from disk", || Evidence::load(run.path()))?;
    timed("tallies merged", || evidence.tally().proxies().len());
    let report = timed("report, its forecast included", || Report::of_evidence(&evidence));
    let detail = timed("what a page shows beyond it", || Detail::of(&evidence));
    let page = timed("report.html", || html::of_run(&report, &detail));
    let all = timed("all files of the run, that one too", || of_run(&report, &evidence, &detail));
    let sizes = all.iter().map(|document| format!("{} {} KiB", document.name, document.bytes.len() >> 10));
    println!("  {}", sizes.collect::<Vec<_>>().join(", "));
    let runs = vec![report.clone(); 5];
    let comparison = Comparison::of(runs, Vec::new());
    let details = vec![detail.clone(); 5];
    let five = timed("compare.html of five such zones", || html::of_comparison(&comparison, &details));
    let (a, b) = (Side::of("a", &evidence), Side::of("b", &evidence));
    let diff = timed("difference of two such runs", || Diff::of(&a, &b));
    let two = timed("its page", || html::of_diff(&diff, [(&report, &detail), (&report, &detail)]));
    println!("  pages: {} KiB, {} KiB of five zones, {} KiB of two runs", page.len() >> 10, five.len() >> 10, two.len() >> 10);
    Ok(())
}

/// Plays a share on paper and keeps its snapshot: an answer takes 20 to 40 ms, and ten times that at every fourth proxy.
fn keep(run: &RunDirectory, plan: &Plan, agent: u32, viewers: &Range<u32>) -> Result<AgentRecord, Box<dyn Error>> {
    let (mut tally, mut tickets) = (Tally::default(), 0);
    for viewer in viewers.clone() {
        let index = tally.index(proxy(viewer));
        let second = tally.proxy(index).second(viewer % DOORS);
        (second.opened, second.dns_answers) = (second.opened + 1, second.dns_answers + 1);
    }
    for ticket in plan.tickets_of(viewers) {
        let index = tally.index(proxy(ticket.viewer));
        let slow = if (u64::from(ticket.viewer) % PROXIES).is_multiple_of(4) { 10.0 } else { 1.0 };
        let chance = unit(u64::from(ticket.number).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let response = (2e7 * slow * (1.0 + chance * chance)) as u64;
        let second = DOORS + (ticket.planned_ns / 1_000_000_000) as u32;
        tally.late.record_ns(second, 500_000);
        let proxy = tally.proxy(index);
        for latency in [&mut proxy.response, &mut proxy.service] {
            latency.record_ns(response);
        }
        proxy.lateness.record_ns(500_000);
        proxy.response_by_second.record_ns(second, response);
        let counts = proxy.second(second);
        (counts.sent, counts.ended, counts.accepted) = (counts.sent + 1, counts.ended + 1, counts.accepted + 1);
        tickets += 1;
    }
    let snapshot = Snapshot {
        run: 7,
        agent,
        incarnation: 1,
        seq: 1,
        last: true,
        tally,
        ended: tickets,
        connected: viewers.len() as u32,
        connected_at_t0: Some(viewers.len() as u32),
        first_send_lateness_ns: Some(500_000),
        offset: Offset { nanos: 0, bound_ns: 1_000 },
        cpu: Duration::from_secs(60),
        memory_bytes: 1 << 26,
        warnings: Vec::new(),
        watched: None,
        fates: vec![Fate::Accepted; tickets as usize],
    };
    let sealed = Sealed::new(&snapshot)?;
    if agent == 0 {
        println!("a snapshot of {} viewers, its fates included: {} KiB", viewers.len(), sealed.bytes().len() >> 10);
    }
    run.write_snapshot(&sealed)?;
    Ok(AgentRecord {
        id: agent,
        host: "here".into(),
        pid: 1,
        version: "0".into(),
        viewers: viewers.clone(),
        tickets,
        slot: agent,
        offset_ns: Some(0),
        bound_ns: Some(1_000),
        offset_moved_ns: Some(0),
        first_send_lateness_ns: Some(500_000),
        last: true,
        lost: None,
        connected_at_t0: Some(viewers.len() as u32),
        ended: tickets,
        cpu_us: 1,
        memory_bytes: 1,
        warnings: Vec::new(),
        preflight: Vec::new(),
    })
}

fn proxy(viewer: u32) -> IpAddr {
    [198, 51, 100, (u64::from(viewer) % PROXIES) as u8 + 1].into()
}

fn record(plan: &Plan, agents: Vec<AgentRecord>) -> RunRecord {
    RunRecord {
        schema: SCHEMA,
        name: "large".into(),
        started: "2026-01-01T00:00:00Z".into(),
        run: format!("{:016x}", 7),
        plan_hash: plan.hash.to_string(),
        viewers: VIEWERS,
        tickets: plan.tickets,
        seed: 7,
        zone: Some("multivalue".into()),
        fronts: Vec::new(),
        zone_seen: None,
        phases: Vec::new(),
        t0_ns: Some(0),
        t0_kernel_ns: Some(0),
        t0_second: Some(DOORS),
        start: StartSpread::of(&agents),
        agents,
        ended: Ended::Complete,
        forced: Vec::new(),
        stage: None,
        carriers: None,
        baselines: Default::default(),
    }
}

fn timed<T>(what: &str, made: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let made = black_box(made());
    println!("  {what:<36} {:>6.0} ms", began.elapsed().as_secs_f64() * 1e3);
    made
}
