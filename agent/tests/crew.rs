//! A crew against scripted servers: what it counts is exactly what happened.

mod support;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use support::{Client, Names, OK, PATIENCE, Play, Server, scenario, until};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Notify;
use tokio::time::timeout;
use voteburst_burst::outcome::Failure;

const HERE: Option<Ipv4Addr> = Some(Ipv4Addr::LOCALHOST);
const VIEWERS: u32 = 40;

/// Retries of a class, twice in all.
fn retrying(class: &str) -> (&'static str, &'static str) {
    let retry = format!("attempts = 2, backoff = \"20ms\", on = [\"{class}\"]");
    ("attempts = 1, backoff = \"20ms\", on = []", retry.leak())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_viewer_connects_once_and_votes_once() {
    let (names, server) = (Names::answering(HERE, 60).await, Server::counting().await);
    let play = Play::muster(&scenario(VIEWERS, names.address, &[]), server.port).enter().await;
    play.connected(VIEWERS).await;
    play.fire();
    let result = play.result().await;
    let total = result.total;
    assert_eq!(
        [total.opened, total.closed, total.sent, total.accepted, total.dns_answers],
        [VIEWERS, 0, VIEWERS, VIEWERS, VIEWERS]
    );
    assert_eq!(total.failed_total(), 0);
    assert_eq!(result.histograms, [u64::from(VIEWERS); 3]);
    assert_eq!(result.fates, [0, 0, 0, VIEWERS]);
    assert_eq!(server.seen.counts(), vec![1; VIEWERS as usize]);
    assert_eq!(names.queries.load(Ordering::SeqCst), VIEWERS);
    assert_eq!(result.snapshot.connected_at_t0, Some(VIEWERS));
    assert!(result.snapshot.first_send_lateness_ns.is_some());
    assert!(result.snapshot.warnings.is_empty(), "{:?}", result.snapshot.warnings);
    let status = play.crew.status();
    assert_eq!([status.viewers, status.tried, status.connected, status.tickets_ended, status.tickets], [VIEWERS; 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_late_an_agent_began_holds_nothing_of_what_names_and_connections_took() {
    let leave = Arc::new(Notify::new());
    let (names, server) = (Names::answering_on(Arc::clone(&leave), Ipv4Addr::LOCALHOST, 60).await, Server::counting().await);
    let text = scenario(1, names.address, &[("timeout = \"500ms\"", "timeout = \"20s\"")]);
    let play = Play::muster(&text, server.port);
    play.crew.open_doors(play.clock.now());
    until(|| names.queries.load(Ordering::SeqCst) == 1).await;
    play.fire();
    // The vote is due long before its viewer knows where to send it.
    let due = play.clock.now().after(Duration::from_millis(300));
    until(|| play.clock.now() > due).await;
    leave.notify_one();
    let result = play.result().await;
    let lateness_ms = result.snapshot.tally.total().lateness.max_ms().unwrap();
    let began_ms = result.snapshot.first_send_lateness_ns.unwrap() as f64 / 1e6;
    // The histogram of lateness has steps.
    assert!(began_ms <= lateness_ms + 1.0, "{began_ms} ms, though the viewer was {lateness_ms} ms late");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vote_that_waits_for_names_and_connections_keeps_nobody_from_draining() {
    let leave = Arc::new(Notify::new());
    let names = Names::answering_on(Arc::clone(&leave), Ipv4Addr::LOCALHOST, 0).await;
    // Takes a vote and hangs up.
    let server = Server::playing(|mut client| async move { drop(client.request().await) }).await;
    // A phone without a memory, so that each connection asks for the name.
    let phones = ("doors_open = \"100ms\"", "doors_open = \"100ms\"\nphones = [{ kind = \"glibc-no-cache\", share = 1.0 }]");
    let changes = [("timeout = \"500ms\"", "timeout = \"20s\""), retrying("stale-keep-alive"), phones];
    leave.notify_one();
    let play = Play::muster(&scenario(1, names.address, &changes), server.port).enter().await;
    play.connected(1).await;
    play.fire();
    // The second attempt needs a connection, and for that an answer that does not come.
    until(|| names.queries.load(Ordering::SeqCst) == 2).await;
    play.crew.drain();
    let drained = timeout(Duration::from_secs(10), play.result()).await;
    let result = drained.expect("long before the name is given up");
    assert_eq!((result.fates, result.total.sent), ([0, 0, 1, 0], 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_the_proxy_closed_while_idle_is_opened_again_before_the_vote() {
    let names = Names::answering(HERE, 60).await;
    let server = Server::playing(|client| async move {
        if client.number >= VIEWERS {
            client.serve().await;
        }
    })
    .await;
    let play = Play::muster(&scenario(VIEWERS, names.address, &[]), server.port).enter().await;
    until(|| server.seen.connections.load(Ordering::SeqCst) == 2 * VIEWERS).await;
    play.connected(VIEWERS).await;
    play.fire();
    let result = play.result().await;
    let total = result.total;
    assert_eq!(
        [total.opened, total.closed, total.closed_idle, total.sent, total.accepted],
        [2 * VIEWERS, VIEWERS, VIEWERS, VIEWERS, VIEWERS]
    );
    assert_eq!(total.failed_total(), 0);
    // Their phones remember the answer for its TTL.
    assert_eq!(total.dns_answers, VIEWERS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vote_that_was_refused_is_tried_again_with_the_same_ballot() {
    let names = Names::answering(HERE, 60).await;
    let server = Server::playing(|mut client| async move {
        while let Some(request) = client.request().await {
            let first = client.seen.ballot(&request) == 1;
            let answer = if first { "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy" } else { OK };
            if client.answer(answer).await.is_err() {
                break;
            }
        }
    })
    .await;
    let retry = retrying("status-5xx");
    let result = Play::whole(&scenario(VIEWERS, names.address, &[retry]), server.port).await;
    let total = result.total;
    assert_eq!(result.failed_only(Failure::Status5xx), VIEWERS);
    assert_eq!([total.opened, total.closed, total.sent, total.accepted], [VIEWERS, 0, 2 * VIEWERS, VIEWERS]);
    // Both attempts were answered, lateness counts once per ticket.
    assert_eq!(result.histograms, [u64::from(VIEWERS), 2 * u64::from(VIEWERS), u64::from(VIEWERS)]);
    assert_eq!(result.fates, [0, 0, 0, VIEWERS]);
    assert_eq!(server.seen.counts(), vec![2; VIEWERS as usize]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_retry_a_refused_vote_stays_refused() {
    let names = Names::answering(HERE, 60).await;
    let server = Server::answering("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").await;
    let result = Play::whole(&scenario(VIEWERS, names.address, &[]), server.port).await;
    assert_eq!(result.failed_only(Failure::Status5xx), VIEWERS);
    assert_eq!((result.fates, result.total.closed), ([0, VIEWERS, 0, 0], 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_never_answers_costs_the_timeout_and_leaves_votes_unknown() {
    let names = Names::answering(HERE, 60).await;
    let server = Server::playing(|mut client| async move { while client.request().await.is_some() {} }).await;
    let text = scenario(VIEWERS, names.address, &[("response_timeout = \"1s\"", "response_timeout = \"200ms\"")]);
    let result = Play::whole(&text, server.port).await;
    assert_eq!(result.failed_only(Failure::NoAnswer), VIEWERS);
    assert_eq!((result.fates, result.total.closed, result.total.closed_idle), ([0, 0, VIEWERS, 0], VIEWERS, 0));
    assert_eq!(result.histograms, [0, 0, u64::from(VIEWERS)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vote_without_an_answer_stays_unknown_when_its_retry_is_refused() {
    let names = Names::answering(HERE, 60).await;
    let server = Server::playing(|mut client| async move {
        while let Some(request) = client.request().await {
            if client.seen.ballot(&request) > 1 && client.answer("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n").await.is_err() {
                break;
            }
        }
    })
    .await;
    let retry = retrying("no-answer");
    let text = scenario(VIEWERS, names.address, &[retry, ("response_timeout = \"1s\"", "response_timeout = \"200ms\"")]);
    let result = Play::whole(&text, server.port).await;
    assert_eq!(result.fates, [0, 0, VIEWERS, 0]);
    assert_eq!(
        (result.total.failed[Failure::NoAnswer as usize], result.total.failed[Failure::Status5xx as usize]),
        (VIEWERS, VIEWERS)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_is_a_bad_response_and_its_vote_unknown() {
    let names = Names::answering(HERE, 60).await;
    let server = Server::answering("220 mail.test ESMTP\r\n").await;
    let result = Play::whole(&scenario(VIEWERS, names.address, &[]), server.port).await;
    assert_eq!(result.failed_only(Failure::BadResponse), VIEWERS);
    assert_eq!((result.fates, result.total.closed), ([0, 0, VIEWERS, 0], VIEWERS));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunked_answers_in_pieces_are_understood() {
    let names = Names::answering(HERE, 60).await;
    let server = Server::playing(|mut client| async move {
        while let Some(request) = client.request().await {
            client.seen.ballot(&request);
            for piece in ["HTTP/1.1 200 OK\r\ntransfer-enc", "oding: chunked\r\n\r\n4\r\nwi", "ki\r\n0\r", "\n\r\n"] {
                if client.answer(piece).await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
    let result = Play::whole(&scenario(VIEWERS, names.address, &[]), server.port).await;
    assert_eq!((result.fates, result.total.closed), ([0, 0, 0, VIEWERS], 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_connection_that_ends_without_an_answer_is_stale_and_its_retry_opens_another() {
    let names = Names::answering(HERE, 60).await;
    let server = Server::playing(|mut client| async move {
        while let Some(request) = client.request().await {
            if client.seen.ballot(&request) == 1 || client.answer(OK).await.is_err() {
                break;
            }
        }
    })
    .await;
    let retry = retrying("stale-keep-alive");
    let result = Play::whole(&scenario(VIEWERS, names.address, &[retry]), server.port).await;
    assert_eq!(result.failed_only(Failure::StaleKeepAlive), VIEWERS);
    let total = result.total;
    assert_eq!([total.opened, total.closed, total.sent, total.accepted], [2 * VIEWERS, VIEWERS, 2 * VIEWERS, VIEWERS]);
    assert_eq!(result.fates, [0, 0, 0, VIEWERS]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_breaks_off_is_a_reset() {
    let names = Names::answering(HERE, 60).await;
    let server = Server::playing(|mut client| async move {
        if client.request().await.is_some() {
            let _ = client.answer("HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{\"cou").await;
        }
    })
    .await;
    let result = Play::whole(&scenario(VIEWERS, names.address, &[]), server.port).await;
    assert_eq!(result.failed_only(Failure::Reset), VIEWERS);
    assert_eq!(result.fates, [0, 0, VIEWERS, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_announced_close_is_honoured_and_the_next_question_opens_a_fresh_connection() {
    let names = Names::answering(HERE, 60).await;
    let server = Server::playing(|mut client| async move {
        // The first connection of each viewer answers once and closes; the second one breaks without an answer.
        if client.request().await.is_some() && client.number < VIEWERS {
            let _ = client.answer("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
        }
    })
    .await;
    let second = "[[questions]]\nid = \"q2\"\nopens_at = \"10s\"\nwindow = \"1s\"\narrivals = { shape = \"all-at-once\" }\nchoices = { anna = 1.0 }\n";
    let text = scenario(VIEWERS, names.address, &[("window = \"10s\"", "window = \"300ms\"")]) + &second.replace("10s", "400ms");
    let result = Play::whole(&text, server.port).await;
    // A fresh connection cannot be a stale one.
    assert_eq!(result.failed_only(Failure::Reset), VIEWERS);
    assert_eq!([result.total.opened, result.total.closed, result.total.closed_idle], [2 * VIEWERS, 2 * VIEWERS, 0]);
    assert_eq!(result.fates, [0, 0, VIEWERS, VIEWERS]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_connections_are_told_ahead_of_t0_and_counted_at_the_vote() {
    let names = Names::answering(HERE, 60).await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let play = Play::muster(&scenario(VIEWERS, names.address, &[]), free).enter().await;
    assert_eq!((play.crew.status().tried, play.crew.status().connected), (VIEWERS, 0));
    play.fire();
    let result = play.result().await;
    assert_eq!(result.failed_only(Failure::Refused), VIEWERS);
    assert_eq!(result.unplaced.failed_total(), 0, "the proxy that refused is known");
    assert_eq!((result.fates, result.total.sent, result.histograms), ([VIEWERS, 0, 0, 0], 0, [0, 0, u64::from(VIEWERS)]));
    assert!(result.snapshot.warnings[0].contains("refused"), "{:?}", result.snapshot.warnings);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_that_is_full_ends_in_connect_timeouts() {
    let names = Names::answering(HERE, 60).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let port = listener.local_addr().unwrap().port();
    let text = scenario(10, names.address, &[("connect_timeout = \"1s\"", "connect_timeout = \"100ms\"")]);
    let play = Play::muster(&text, port).enter().await;
    play.fire();
    let result = play.result().await;
    // A backlog of 1 holds two; whoever got in is never answered.
    assert_eq!(result.total.failed[Failure::ConnectTimeout as usize], 8);
    assert_eq!(result.total.failed[Failure::NoAnswer as usize], 2);
    assert_eq!(result.fates, [8, 0, 2, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_does_not_resolve_fails_before_any_proxy() {
    let (names, server) = (Names::answering(None, 0).await, Server::counting().await);
    let result = Play::whole(&scenario(VIEWERS, names.address, &[]), server.port).await;
    assert_eq!(result.failed_only(Failure::Dns), VIEWERS);
    assert_eq!(result.unplaced.failed[Failure::Dns as usize], VIEWERS);
    assert_eq!((result.fates, result.histograms[2]), ([VIEWERS, 0, 0, 0], u64::from(VIEWERS)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_outside_the_allow_list_is_never_dialled() {
    let names = Names::answering(Some(Ipv4Addr::new(192, 0, 2, 1)), 60).await;
    let result = Play::whole(&scenario(VIEWERS, names.address, &[]), 80).await;
    assert_eq!(result.failed_only(Failure::NotAllowed), VIEWERS);
    assert_eq!(result.fates, [VIEWERS, 0, 0, 0]);
    assert!(result.snapshot.warnings[0].contains("allow-list"), "{:?}", result.snapshot.warnings);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_naive_load_tool_asks_once_for_all_its_viewers() {
    let (names, server) = (Names::answering(HERE, 0).await, Server::counting().await);
    let phones = ("doors_open = \"100ms\"", "doors_open = \"100ms\"\nphones = [{ kind = \"naive-loadtool\", share = 1.0 }]");
    let result = Play::whole(&scenario(VIEWERS, names.address, &[phones]), server.port).await;
    assert_eq!((result.total.dns_answers, names.queries.load(Ordering::SeqCst)), (1, 1));
    assert_eq!(result.fates, [0, 0, 0, VIEWERS]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_attempt_begins_after_the_window_has_closed() {
    let names = Names::answering(HERE, 60).await;
    let server = Server::answering("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n").await;
    let changes = [
        ("attempts = 1, backoff = \"20ms\", on = []", "attempts = 9, backoff = \"400ms\", on = [\"status-5xx\"]"),
        ("window = \"10s\"", "window = \"100ms\""),
    ];
    let result = Play::whole(&scenario(VIEWERS, names.address, &changes), server.port).await;
    let total = result.total;
    assert_eq!(
        [total.sent, total.failed[Failure::Status5xx as usize], total.failed[Failure::WindowClosed as usize]],
        [VIEWERS; 3]
    );
    assert_eq!(result.fates, [0, VIEWERS, 0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_crew_begins_no_further_vote_and_says_which_were_never_sent() {
    let (names, server) = (Names::answering(HERE, 60).await, Server::counting().await);
    let text = scenario(VIEWERS, names.address, &[("window = \"10s\"", "window = \"30m\""), ("\"all-at-once\"", "\"uniform\"")]);
    let play = Play::muster(&text, server.port).enter().await;
    play.fire();
    play.crew.drain();
    let result = play.result().await;
    let ended = result.snapshot.ended;
    assert!(ended < VIEWERS, "half an hour has not passed");
    assert_eq!(result.fates, [VIEWERS - ended, 0, 0, ended]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_crew_waits_for_the_votes_in_flight() {
    let names = Names::answering(HERE, 60).await;
    let server = Server::playing(|mut client| async move {
        while let Some(request) = client.request().await {
            client.seen.ballot(&request);
            tokio::time::sleep(Duration::from_millis(200)).await;
            if client.answer(OK).await.is_err() {
                break;
            }
        }
    })
    .await;
    let play = Play::muster(&scenario(VIEWERS, names.address, &[]), server.port).enter().await;
    play.fire();
    until(|| server.seen.counts().len() == VIEWERS as usize).await;
    play.crew.drain();
    assert_eq!(play.result().await.fates, [0, 0, 0, VIEWERS]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshots_only_ever_grow_and_show_fates_at_the_end_alone() {
    let (names, server) = (Names::answering(HERE, 60).await, Server::counting().await);
    let text = scenario(VIEWERS, names.address, &[("shape = \"all-at-once\"", "shape = \"exponential-decay\", mean = \"50ms\"")]);
    let play = Play::muster(&text, server.port).enter().await;
    play.fire();
    let mut before = 0;
    while play.crew.status().tickets_ended < VIEWERS {
        let snapshot = play.crew.snapshot().await.unwrap();
        let accepted = snapshot.tally.total().total().accepted;
        assert!(accepted >= before);
        assert!(snapshot.fates.is_empty() || snapshot.ended == VIEWERS);
        before = accepted;
    }
    assert_eq!(play.result().await.total.accepted, VIEWERS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_accept_queue_narrows_the_ramp_and_everybody_gets_in_and_votes_all_the_same() {
    const MANY: u32 = 450;
    let names = Names::answering(HERE, 60).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let listener = socket.listen(1).unwrap();
    let port = listener.local_addr().unwrap().port();
    let text = scenario(
        MANY,
        names.address,
        &[("connect_timeout = \"1s\"", "connect_timeout = \"20s\""), ("response_timeout = \"1s\"", "response_timeout = \"9s\"")],
    );
    let play = Play::muster(&text, port);
    play.crew.open_doors(play.clock.now());
    let told = timeout(PATIENCE, async {
        loop {
            let warnings = play.crew.snapshot().await.unwrap().warnings;
            if let Some(told) = warnings.into_iter().find(|warning| warning.contains("opened at once at least")) {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let told = told.await.unwrap();
    assert!(told.contains("held back for ") && told.contains("a listen queue was full"), "{told}");
    // Those whose SYN was dropped do not keep the others out: long before the first gives up everybody has begun.
    let begun = timeout(Duration::from_secs(15), async {
        while play.crew.snapshot().await.unwrap().tally.lookups.total().asked < u64::from(MANY) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    begun.await.unwrap();
    assert!(play.crew.status().tried < MANY, "nobody accepts yet");

    // The proxy comes to itself: a second listen(2) on a socket changes its backlog.
    rustix::net::listen(&listener, 1_024).unwrap();
    let accepted = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(Client::new(stream, 0, Arc::default()).serve());
        }
    });
    timeout(PATIENCE, play.crew.entered()).await.unwrap().unwrap();
    play.connected(MANY).await;
    play.fire();
    let result = play.result().await;
    assert_eq!((result.fates, result.snapshot.connected_at_t0), ([0, 0, 0, MANY], Some(MANY)));
    accepted.abort();
}
