//! Agents that die, fall silent or do not belong: each is named soon, with the share that is missing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rustix::process::{Signal, kill_process};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use voteburst_burst::plan::PROTOCOL;
use voteburst_proto::message::Join;
use voteburst_proto::wire::rehearsal_client::RehearsalClient;
use voteburst_proto::{FromAgent, FromCoordinator};

use crate::fixture::{LONGEST, Running, kill};
use crate::reading::Report;
use crate::scenario::{Place, Scenario};

/// By then whoever watches the run knows which agent is gone.
const NAMED_WITHIN: Duration = Duration::from_secs(5);

#[test]
fn an_agent_killed_while_gathering_is_named_and_its_place_is_free_again() {
    let place = Scenario::small().place();
    let run = place.start_run(&["--wait-for", "2", "--listen", "127.0.0.1:0", "--json"]);
    let join = || place.voteburst(&["agent", "--join", &run.address()]).start();
    let first = join();
    let process = run.agent(0);
    kill(process);
    run.line_within(NAMED_WITHIN, "LOST agent 0");
    drop(first);
    let others = [join(), join()];
    let report = run.end().exits(0).report();
    report.is("pass").balances();
    assert_eq!((report.count("votes.accepted"), report.list("agents").len()), (200, 2));
    for agent in others {
        agent.end().exits(0);
    }
}

#[test]
fn an_agent_killed_before_it_is_armed_ends_the_run_before_anybody_fires() {
    let place = Scenario::small().with("doors_open = \"500ms\"", "doors_open = \"10s\"").place();
    let run = place.start_run(&["--agents", "3", "--json"]);
    let process = run.agent(1);
    run.line("doors open:");
    kill(process);
    run.line_within(NAMED_WITHIN, "LOST agent 1");
    let report = run.end_within(Duration::from_secs(15)).exits(3).report();
    report.is("unknown").balances();
    let reason = report.reason("partial").unwrap();
    assert!(reason.contains("agent 1 was lost before the burst"), "{reason}");
    assert_eq!((report.count("votes.sent"), report.count("ledger.never_sent")), (0, 200));
    assert_eq!(place.read("run/report.json").parse::<serde_json::Value>().unwrap(), report.0);
}

/// What has to hold when agent 1 of 3 was lost after the commit: the others' votes all count, nothing is made up about
/// the missing third, and the verdict says which share that is.
#[track_caller]
fn only_the_share_of_agent_1_is_missing(report: &Report) {
    report.is("unknown").balances();
    let reason = report.reason("agent-lost").unwrap_or_else(|| panic!("{:#}", report.at("verdict")));
    assert!(reason.contains("agent 1") && reason.contains("33.333 % of the audience missing"), "{reason}");
    for (number, agent) in report.list("agents").iter().enumerate() {
        assert_eq!((&agent["viewers"], &agent["final"]), (&100.into(), &(number != 1).into()), "{agent:#}");
        assert_eq!(agent["lost"].is_string(), number == 1, "{agent:#}");
    }
}

#[test]
fn an_agent_killed_in_the_burst_makes_it_unknown_names_its_share_and_leaves_the_rest_intact() {
    let place = Scenario::small().viewers(300).window("5s").place();
    let run = place.start_run(&["--agents", "3", "--json"]);
    let process = run.agent(1);
    run.line("burst   2 s");
    kill(process);
    let line = run.line_within(NAMED_WITHIN, "LOST agent 1");
    assert!(line.contains("with 33.33 % of the audience"), "{line}");
    let report = run.end().exits(3).report();
    only_the_share_of_agent_1_is_missing(&report);
    // Each agent has 100 votes. All of two agents' count, and of the third what it had reported before it died; the rest
    // is unknown and nothing else, whatever the ballot box counted of it.
    let (accepted, unreported) = (report.count("ledger.accepted"), report.count("ledger.unreported"));
    assert_eq!((accepted + unreported, report.count("ledger.unknown")), (300, unreported), "{:#}", report.at("ledger"));
    assert!((200..300).contains(&accepted), "{:#}", report.at("ledger"));
    // Reports are a function of the run directory, also of one that lacks a snapshot.
    let json = place.read("run/report.json");
    assert_eq!(place.voteburst(&["report", "run", "--json"]).end().exits(3).stdout, json);
}

#[test]
fn an_agent_killed_while_draining_leaves_the_others_results_intact() {
    // Votes take four seconds, so that draining does.
    let scenario = Scenario::small()
        .viewers(300)
        .with("\"10ms\"", "\"4s\"")
        .with("web_server_coefficient = 60", "web_server_coefficient = 900");
    let place = scenario.with("[[questions]]", "response_timeout = \"30s\"\n\n[[questions]]").window("3s").place();
    let run = place.start_run(&["--agents", "3", "--json"]);
    let process = run.agent(1);
    run.line("burst   2 s");
    run.interrupt();
    run.line("draining");
    kill(process);
    run.line_within(NAMED_WITHIN, "LOST agent 1");
    let report = run.end().exits(3).report();
    only_the_share_of_agent_1_is_missing(&report);
    assert!(report.reason("partial").is_some_and(|reason| reason.contains("interrupted")), "{:#}", report.at("verdict"));
    assert!(report.count("ledger.accepted") > 0, "votes in flight were waited for: {:#}", report.at("ledger"));
}

#[test]
fn an_agent_that_falls_silent_is_named_as_soon_as_one_that_dies() {
    let place = Scenario::small().viewers(300).window("4s").place();
    let run = place.start_run(&["--agents", "3", "--json"]);
    let process = run.agent(1);
    run.line("burst   1 s");
    // A stopped process keeps its connections open: only its silence tells.
    kill_process(process, Signal::STOP).unwrap();
    run.line_within(NAMED_WITHIN, "LOST agent 1");
    only_the_share_of_agent_1_is_missing(&run.end().exits(3).report());
}

/// A stranger that joins a run over gRPC, says this after it got its share, and gives the last words it hears.
fn stranger(run: &Running, protocol: u32, then: Option<FromAgent>) -> Vec<FromCoordinator> {
    let join = Join {
        protocol,
        version: "0.0.1".into(),
        host: "stranger".into(),
        pid: 42,
        incarnation: 1,
        token: None,
        allowed: vec!["127.0.0.0/8".into()],
    };
    let address = run.address();
    let talk = async move {
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        let (say, said) = mpsc::channel(4);
        say.send(FromAgent::Join(join).into()).await.unwrap();
        let mut words = RehearsalClient::new(channel).session(ReceiverStream::new(said)).await.unwrap().into_inner();
        let mut heard = Vec::new();
        // Ends with the session, which a coordinator closes in order or by going away.
        while let Ok(Some(word)) = words.message().await {
            let word = FromCoordinator::try_from(word).unwrap();
            if let (FromCoordinator::Share(_), Some(then)) = (&word, &then) {
                say.send(then.clone().into()).await.unwrap();
            }
            heard.push(word);
        }
        heard
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(LONGEST, talk).await.expect("the session ends") })
}

#[test]
fn an_agent_with_another_plan_ends_the_run_before_anybody_fires() {
    let place = Scenario::small().place();
    let run = place.start_run(&["--wait-for", "1", "--listen", "127.0.0.1:0", "--json"]);
    let heard = stranger(&run, PROTOCOL, Some(FromAgent::Planned { plan_hash: "ab".repeat(32) }));
    let told = heard.iter().any(|word| matches!(word, FromCoordinator::Abort { reason } if reason.contains("abababababab")));
    assert!(told, "it is told why: {heard:?}");
    let report = run.end().exits(3).report();
    report.is("unknown").balances();
    let reason = report.reason("partial").unwrap();
    // Both hashes, shortened, and what to do.
    for text in
        ["agent 0 came to plan abababababab", &report.text("plan.hash")[..12], "start agents of the coordinator's version"]
    {
        assert!(reason.contains(text), "`{text}` is missing in: {reason}");
    }
    assert_eq!(report.count("votes.sent"), 0);
}

#[test]
fn an_agent_of_another_protocol_is_refused_and_the_run_waits_on_for_a_sound_one() {
    let place = Scenario::small().place();
    let run = place.start_run(&["--wait-for", "1", "--listen", "127.0.0.1:0", "--json"]);
    let heard = stranger(&run, PROTOCOL + 1, None);
    let refused =
        |word: &FromCoordinator| matches!(word, FromCoordinator::Refused { reason, .. } if reason.contains("speaks protocol"));
    assert!(heard.iter().any(refused), "it is told why: {heard:?}");
    run.line("refused stranger (process 42): it speaks protocol");
    let agent = place.voteburst(&["agent", "--join", &run.address()]).start();
    run.end().exits(0).report().is("pass").balances();
    agent.end().exits(0);
}

fn token(place: &Place, name: &str, text: &str) {
    fs::write(place.path(name), text).unwrap();
    fs::set_permissions(place.path(name), fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn without_the_coordinators_token_nobody_joins() {
    let place = Scenario::small().place();
    token(&place, "token", "a secret of the show\n");
    token(&place, "other", "a secret of another show\n");
    let run = place.start_run(&["--wait-for", "1", "--listen", "127.0.0.1:0", "--token-file", "token", "--json"]);
    let address = run.address();
    let join = |words: &[&str]| place.voteburst(&[&["agent", "--join", &address], words].concat()).start();
    join(&[]).end().exits(3).says(&["the coordinator refused this agent", "showed no join token", "--token-file"]);
    join(&["--token-file", "other"]).end().exits(3).says(&["showed another join token", "--token-file"]);
    run.line("it showed no join token");
    run.line("it showed another join token");
    let agent = join(&["--token-file", "token"]);
    let ended = run.end().exits(0);
    ended.report().is("pass").balances();
    agent.end().exits(0);
    let said = ended.stderr + &ended.stdout + &place.read("run/run.json");
    assert!(!said.contains("a secret of"), "no token, right or wrong, is ever shown:\n{said}");
}

#[test]
fn local_agents_are_handed_the_token() {
    let place = Scenario::small().place();
    token(&place, "token", "a secret of the show\n");
    place.run(&["--token-file", "token", "--json"]).exits(0).report().is("pass").balances();
}

#[test]
fn an_agent_without_a_coordinator_says_where_it_looked() {
    let place = Scenario::small().place();
    // Nobody listens on a port that was free a moment ago, on an address that nobody else uses.
    let address = std::net::TcpListener::bind("127.88.2.1:0").unwrap().local_addr().unwrap().to_string();
    place.voteburst(&["agent", "--join", &address]).end().exits(3).says(&["no coordinator at", &address, "start it first"]);
    place.voteburst(&["agent", "--join", "coordinator"]).end().exits(2).says(&["`coordinator` is no place to join", "HOST:PORT"]);
}
