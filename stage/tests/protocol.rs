//! A worker does what its parent says, refuses what it cannot do in words, and ends with its parent;
//! a connection speaks HTTP/1.1 as far as clients rely on it.

mod support;

use std::net::TcpListener;
use std::time::Duration;

use support::{Client, Worker, cast_all, service, spec, statuses, vote};
use voteburst_burst::scenario::stage::BallotRule;
use voteburst_stage::protocol::{Command, Report, WorkerSpec};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn quick() -> WorkerSpec {
    WorkerSpec { service_time: service(ms(0)), ..spec() }
}

fn problem(report: Report) -> (bool, String) {
    match report {
        Report::Failed { address_in_use, problem } => (address_in_use, problem),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_end_of_the_input_ends_the_worker_with_its_connections_and_votes() {
    let mut worker = Worker::open(WorkerSpec { service_time: service(ms(60_000)), ..spec() }).await;
    let mut client = Client::connect(worker.listening[0]).await;
    client.cast(1).await;
    worker.counters_when(|counters| counters.unanswered() == 1).await;
    worker.orphan().unwrap();
    assert_eq!(client.rest().await, "", "closed without an answer");
}

#[tokio::test]
async fn the_end_of_the_input_ends_a_worker_that_drains_as_well() {
    let worker = Worker::open(WorkerSpec { service_time: service(ms(60_000)), ..spec() }).await;
    let mut client = Client::connect(worker.listening[0]).await;
    client.cast(1).await;
    let dir = tempfile::tempdir().unwrap();
    worker.orphan_while_closing(&dir.path().join("ballots"), &mut client).await.unwrap();
    assert!(!dir.path().join("ballots").exists());
}

#[tokio::test]
async fn closing_waits_for_votes_in_flight_and_in_the_queue_and_counts_them() {
    let mut worker = Worker::open(WorkerSpec { server_limit: 1, web_servers: 1, service_time: service(ms(100)), ..spec() }).await;
    let mut clients = Client::connect_all(worker.listening[0], 3).await;
    cast_all(&mut clients, 0).await;
    worker.counters_when(|counters| counters.req_tot == 3).await;
    let dir = tempfile::tempdir().unwrap();
    let (ballots, report) = worker.close(dir.path(), ms(10_000)).await;
    assert_eq!(ballots.len(), 3);
    let Report::Closed { proxies, ballots, abandoned } = report else { panic!("{report:?}") };
    assert_eq!((ballots, abandoned, proxies[0].hrsp_2xx), (3, 0, 3));
}

#[tokio::test]
async fn closing_says_how_many_votes_it_had_to_abandon() {
    let mut worker = Worker::open(WorkerSpec { service_time: service(ms(60_000)), ..spec() }).await;
    let mut client = Client::connect(worker.listening[0]).await;
    client.cast(1).await;
    worker.counters_when(|counters| counters.unanswered() == 1).await;
    let dir = tempfile::tempdir().unwrap();
    let (ballots, report) = worker.close(dir.path(), ms(10)).await;
    assert!(ballots.is_empty());
    assert!(matches!(report, Report::Closed { abandoned: 1, .. }), "{report:?}");
}

#[tokio::test]
async fn commands_that_make_no_sense_are_refused_with_what_was_found() {
    let counters = r#"{"counters":{}}"#;
    for (line, wanted) in [("nonsense", "told `nonsense`"), (r#"{"dance":{}}"#, "dance"), (counters, "no proxies are open yet")] {
        let (_, text) = problem(Worker::start().ask_line(line).await);
        assert!(text.contains(wanted), "{text}");
    }
    let mut worker = Worker::open(quick()).await;
    let (_, text) = problem(worker.ask(&Command::Open(quick())).await);
    assert!(text.contains("open already"), "{text}");
}

#[tokio::test]
async fn a_specification_with_a_zero_is_refused_by_name() {
    for (spec, wanted) in [
        (WorkerSpec { connection_limit: 0, ..quick() }, "connection limit"),
        (WorkerSpec { web_servers: 0, ..quick() }, "web servers"),
        (WorkerSpec { server_limit: 0, ..quick() }, "limit per web server"),
        (WorkerSpec { keep_alive_timeout: ms(0), ..quick() }, "keep-alive"),
    ] {
        let (_, text) = problem(Worker::start().ask(&Command::Open(spec)).await);
        assert!(text.contains(wanted), "{text}");
    }
}

#[tokio::test]
async fn a_port_in_use_is_named_and_told_apart() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    let (in_use, text) = problem(Worker::start().ask(&Command::Open(WorkerSpec { port: address.port(), ..quick() })).await);
    assert!(in_use && text.contains(&address.to_string()), "{text}");
}

#[tokio::test]
async fn ballots_that_cannot_be_written_are_reported_with_the_path() {
    let mut worker = Worker::open(quick()).await;
    let close = Command::Close { ballots: "/nowhere/at/all".into(), drain: ms(0) };
    let (_, text) = problem(worker.ask(&close).await);
    assert!(text.contains("/nowhere/at/all: cannot write"), "{text}");
}

#[tokio::test]
async fn under_the_rule_every_request_each_receipt_counts() {
    let worker = Worker::open(WorkerSpec { ballot_rule: BallotRule::EveryRequest, ..quick() }).await;
    let mut client = Client::connect(worker.listening[0]).await;
    for _ in 0..3 {
        client.cast(5).await;
        assert_eq!(client.answer().await.0, 200);
    }
    let dir = tempfile::tempdir().unwrap();
    let (ballots, _) = worker.close(dir.path(), ms(0)).await;
    assert_eq!((ballots.len(), ballots[0].receipts, ballots[0].counted), (1, 3, 3));
}

#[tokio::test]
async fn requests_that_arrive_in_pieces_or_together_are_answered_one_after_the_other() {
    let mut worker = Worker::open(quick()).await;
    let mut client = Client::connect(worker.listening[0]).await;
    for byte in vote(1, "").into_bytes() {
        client.send([byte]).await;
    }
    assert_eq!(client.answer().await.0, 200);
    client.send([vote(2, ""), "GET / HTTP/1.1\r\n\r\n".to_owned(), vote(3, "")].concat()).await;
    let bodies = [client.answer().await.2, client.answer().await.2, client.answer().await.2];
    assert_eq!(bodies, [r#"{"counted":true}"#, "voteburst stage\n", r#"{"counted":true}"#]);
    assert_eq!(worker.counters().await[0].req_tot, 4);
}

#[tokio::test]
async fn a_client_that_asks_for_the_close_gets_its_answer_first() {
    let mut worker = Worker::open(quick()).await;
    let mut client = Client::connect(worker.listening[0]).await;
    client.send(vote(1, "Connection: close\r\n")).await;
    let (status, head, _) = client.answer().await;
    assert!(status == 200 && head.contains("connection: close\r\n"), "{head}");
    assert_eq!(client.rest().await, "");
    assert_eq!(worker.counters_when(|counters| counters.conn_cur == 0).await.idle_closed, 0);
}

#[tokio::test]
async fn bad_votes_are_answered_by_a_web_server_and_the_connection_serves_on() {
    let mut worker = Worker::open(quick()).await;
    let mut client = Client::connect(worker.listening[0]).await;
    client.send("POST /vote HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}").await;
    let (status, _, body) = client.answer().await;
    assert!(status == 400 && body.contains(r#""error":"no ballot"#), "{body}");
    client.cast(1).await;
    assert_eq!(client.answer().await.0, 200);
    let counters = worker.counters().await.swap_remove(0);
    assert_eq!((counters.hrsp_2xx, counters.hrsp_4xx, counters.in_flight_peak), (1, 1, vec![1, 1]));
}

#[tokio::test]
async fn a_bad_request_is_answered_as_haproxy_does_and_closed_without_a_reset() {
    let mut worker = Worker::open(quick()).await;
    let mut client = Client::connect(worker.listening[0]).await;
    // More than one read: what the proxy has not read when it closes would turn the close into a reset.
    client.send(["nonsense\r\n\r\n".to_owned(), "x".repeat(100_000)].concat()).await;
    let wanted = "HTTP/1.1 400 Bad request\r\nContent-length: 90\r\nCache-Control: no-cache\r\nConnection: close\r\n\
                  Content-Type: text/html\r\n\r\n<html><body><h1>400 Bad request</h1>\n\
                  Your browser sent an invalid request.\n</body></html>\n";
    assert_eq!(client.rest().await, wanted);
    let counters = worker.counters().await.swap_remove(0);
    assert_eq!((counters.req_tot, counters.hrsp_4xx, counters.in_flight_peak), (1, 1, vec![0, 0]));
}

#[tokio::test]
async fn half_a_request_is_answered_408_when_its_time_is_over() {
    let mut worker = Worker::open(WorkerSpec { keep_alive_timeout: ms(200), ..quick() }).await;
    let mut client = Client::connect(worker.listening[0]).await;
    client.send(&vote(1, "").as_bytes()[..60]).await;
    let text = client.rest().await;
    assert!(text.starts_with("HTTP/1.1 408 Request Time-out\r\n"), "{text}");
    let counters = worker.counters_when(|counters| counters.conn_cur == 0).await;
    assert_eq!((counters.hrsp_4xx, counters.idle_closed, counters.unanswered()), (1, 0, 0));
}

#[tokio::test]
async fn a_chunked_body_is_refused_with_the_remedy() {
    let worker = Worker::open(quick()).await;
    let mut client = Client::connect(worker.listening[0]).await;
    client.send("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n").await;
    let (status, _, body) = client.answer().await;
    assert!(status == 411 && body.contains("content-length"), "{body}");
}

#[tokio::test]
async fn every_client_gets_one_answer_per_vote_under_a_crowd() {
    let mut worker = Worker::open(WorkerSpec { service_time: service(ms(1)), ..spec() }).await;
    let mut clients = Client::connect_all(worker.listening[0], 200).await;
    for wave in 0..10 {
        cast_all(&mut clients, wave * 200).await;
        assert_eq!(statuses(&mut clients).await, (200, 0));
    }
    let counters = worker.counters().await.swap_remove(0);
    assert_eq!((counters.req_tot, counters.hrsp_2xx, counters.conn_tot), (2000, 2000, 200));
    assert!(counters.in_flight_peak.iter().all(|&peak| peak <= 50), "{counters:?}");
    let dir = tempfile::tempdir().unwrap();
    let (ballots, _) = worker.close(dir.path(), ms(0)).await;
    assert_eq!(ballots.iter().map(|ballot| ballot.ticket).collect::<Vec<_>>(), (0..2000).collect::<Vec<_>>());
}
