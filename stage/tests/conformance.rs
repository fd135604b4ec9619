//! The proxy behaves as HAProxy 2.6 was measured to, with times scaled down: each test is one set-up and one action.

mod support;

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use support::{Client, RUN, Worker, cast_all, service, spec, statuses};
use voteburst_stage::protocol::{ProxySpec, WorkerSpec};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[expect(clippy::disallowed_methods, reason = "a test measures what a client sees")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test]
async fn silent_connections_count_as_connections_and_as_nothing_else() {
    let mut worker = Worker::open(spec()).await;
    let _clients = Client::connect_all(worker.listening[0], 1000).await;
    let counters = worker.counters_when(|counters| counters.conn_cur == 1000).await;
    assert_eq!((counters.conn_tot, counters.conn_peak, counters.req_tot), (1000, 1000, 0));
    assert_eq!((counters.in_flight, counters.queue_cur), (vec![0, 0], 0));
}

#[tokio::test]
async fn sixty_votes_at_once_go_to_two_servers_in_halves() {
    let mut worker = Worker::open(WorkerSpec { service_time: service(ms(1000)), ..spec() }).await;
    let mut clients = Client::connect_all(worker.listening[0], 60).await;
    cast_all(&mut clients, 0).await;
    let counters = worker.counters_when(|counters| counters.req_tot == 60).await;
    assert_eq!((&counters.in_flight, counters.queue_cur, counters.unanswered()), (&vec![30, 30], 0, 60));
    assert_eq!(statuses(&mut clients).await, (60, 0));
    let counters = worker.counters().await.swap_remove(0);
    assert_eq!((counters.hrsp_2xx, counters.unanswered(), counters.conn_cur), (60, 0, 60));
    assert_eq!((counters.in_flight, counters.in_flight_peak), (vec![0, 0], vec![30, 30]));
}

#[tokio::test]
async fn a_single_vote_goes_to_the_first_server() {
    let mut worker = Worker::open(spec()).await;
    let mut client = Client::connect(worker.listening[0]).await;
    client.cast(0).await;
    assert_eq!(client.answer().await.0, 200);
    assert_eq!(worker.counters().await[0].in_flight_peak, [1, 0]);
}

#[tokio::test]
async fn votes_beyond_the_servers_limits_queue_and_are_refused_after_the_queue_timeout() {
    // The servers take 100 at 0 ms and 100 at 600 ms; the queue gives the last 100 up at 900 ms.
    let worker = WorkerSpec { service_time: service(ms(600)), queue_timeout: ms(900), ..spec() };
    let mut worker = Worker::open(worker).await;
    let mut clients = Client::connect_all(worker.listening[0], 300).await;
    let cast = now();
    cast_all(&mut clients, 0).await;
    let counters = worker.counters_when(|counters| counters.req_tot == 300).await;
    assert_eq!((counters.in_flight, counters.queue_cur), (vec![50, 50], 200));
    assert_eq!(statuses(&mut clients).await, (200, 100));
    assert!(cast.elapsed() >= ms(1200), "the second hundred takes two service times");
    let counters = worker.counters().await.swap_remove(0);
    assert_eq!((counters.hrsp_2xx, counters.hrsp_5xx, counters.queue_timeouts), (200, 100, 100));
    assert_eq!((counters.queue_peak, counters.queue_cur, counters.in_flight_peak), (200, 0, vec![50, 50]));
}

#[tokio::test]
async fn a_connection_answered_503_serves_on() {
    let worker = WorkerSpec { server_limit: 5, service_time: service(ms(400)), queue_timeout: ms(600), ..spec() };
    let worker = Worker::open(worker).await;
    let mut clients = Client::connect_all(worker.listening[0], 40).await;
    for wave in 0..2 {
        cast_all(&mut clients, wave * 40).await;
        assert_eq!(statuses(&mut clients).await, (20, 20), "wave {wave}");
    }
}

#[tokio::test]
async fn waiting_votes_are_served_in_the_order_of_their_arrival() {
    let worker = WorkerSpec { web_servers: 1, server_limit: 1, service_time: service(ms(60)), queue_timeout: ms(5000), ..spec() };
    let mut worker = Worker::open(worker).await;
    let mut clients = Client::connect_all(worker.listening[0], 8).await;
    for (ticket, client) in (0..).zip(&mut clients) {
        client.cast(ticket).await;
        worker.counters_when(|counters| counters.req_tot == ticket + 1).await;
    }
    assert_eq!(statuses(&mut clients).await, (8, 0));
    let dir = tempfile::tempdir().unwrap();
    let (ballots, _) = worker.close(dir.path(), ms(0)).await;
    assert!(ballots.is_sorted_by_key(|ballot| ballot.first_counted_ns), "{ballots:?}");
    assert_eq!(ballots.len(), 8);
}

#[tokio::test]
async fn proxies_share_neither_limits_nor_queue() {
    let proxy = |number| ProxySpec { number, address: IpAddr::V4(Ipv4Addr::LOCALHOST) };
    let worker = WorkerSpec { proxies: vec![proxy(0), proxy(1)], server_limit: 1, queue_timeout: ms(5000), ..spec() };
    let mut worker = Worker::open(worker).await;
    let mut crowd = Client::connect_all(worker.listening[0], 20).await;
    cast_all(&mut crowd, 0).await;
    worker.counters_when(|counters| counters.req_tot == 20).await;
    let mut lucky = Client::connect(worker.listening[1]).await;
    lucky.cast(100).await;
    assert_eq!(lucky.answer().await.0, 200);
    let counters = worker.counters().await;
    assert!(counters[0].queue_cur > 0, "the first proxy's queue is as long as it was: {counters:?}");
    assert_eq!((counters[1].req_tot, counters[1].queue_peak, &counters[1].in_flight_peak), (1, 0, &vec![1, 0]));
}

#[tokio::test]
async fn beyond_the_connection_limit_clients_wait_unanswered_and_uncounted_until_idle_ones_are_closed() {
    let worker = WorkerSpec { connection_limit: 20, keep_alive_timeout: ms(800), ..spec() };
    let mut worker = Worker::open(worker).await;
    let opened = now();
    let mut idle = Client::connect_all(worker.listening[0], 20).await;
    worker.counters_when(|counters| counters.conn_cur == 20).await;
    let mut waiting = Client::connect_all(worker.listening[0], 15).await;
    cast_all(&mut waiting, 0).await;
    // The worker has been through its loop between the two questions: what it would accept, it has accepted.
    for _ in 0..2 {
        let counters = worker.counters().await.swap_remove(0);
        assert_eq!((counters.conn_tot, counters.conn_cur, counters.req_tot, counters.accept_pauses), (20, 20, 0, 0));
    }
    assert!(waiting.iter_mut().all(Client::silent));
    assert_eq!(statuses(&mut waiting).await, (15, 0), "never refused, never an error answer");
    assert!(opened.elapsed() >= ms(800));
    for client in &mut idle {
        assert_eq!(client.rest().await, "", "closed without a word");
    }
    let counters = worker.counters_when(|counters| counters.idle_closed >= 20).await;
    assert_eq!((counters.conn_tot, counters.conn_peak, counters.hrsp_2xx), (35, 20, 15));
}

#[tokio::test]
async fn votes_of_viewers_who_left_are_executed_all_the_same() {
    // Ten at 0, 200 and 400 ms; the queue gives the last thirty up at 500 ms.
    let worker = WorkerSpec { server_limit: 5, service_time: service(ms(200)), queue_timeout: ms(500), ..spec() };
    let mut worker = Worker::open(worker).await;
    let mut clients = Client::connect_all(worker.listening[0], 60).await;
    cast_all(&mut clients, 0).await;
    worker.counters_when(|counters| counters.req_tot == 60).await;
    drop(clients);
    let counters = worker.counters().await.swap_remove(0);
    assert_eq!(counters.conn_cur, 60, "the proxy does not look at its clients while they wait");
    let counters = worker.counters_when(|counters| counters.conn_cur == 0).await;
    assert_eq!((counters.hrsp_2xx, counters.hrsp_5xx, counters.unanswered()), (30, 30, 0));
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(worker.close(dir.path(), ms(0)).await.0.len(), 30);
}

#[tokio::test]
async fn an_idle_connection_is_closed_by_a_plain_fin_after_its_last_answer() {
    let worker = WorkerSpec { keep_alive_timeout: ms(400), service_time: service(ms(300)), ..spec() };
    let mut worker = Worker::open(worker).await;
    let mut client = Client::connect(worker.listening[0]).await;
    for ticket in 0..2 {
        client.cast(ticket).await;
        assert_eq!(client.answer().await.0, 200, "the time a vote takes is not idle time");
    }
    let answered = now();
    assert_eq!(client.rest().await, "");
    // The proxy's own time began before the answer arrived here: allow it as much as the answer may have taken.
    assert!((ms(380)..ms(1500)).contains(&answered.elapsed()), "{:?}", answered.elapsed());
    let counters = worker.counters_when(|counters| counters.conn_cur == 0).await;
    assert_eq!((counters.idle_closed, counters.req_tot, counters.hrsp_2xx, counters.hrsp_4xx), (1, 2, 2, 0));
}

#[tokio::test]
async fn a_ballot_of_this_run_is_on_record_with_question_and_choice() {
    let mut worker = Worker::open(spec()).await;
    let mut client = Client::connect(worker.listening[0]).await;
    for _ in 0..2 {
        client.cast(42).await;
        assert_eq!(client.answer().await.0, 200);
    }
    client.send(support::vote(43, "").replace(&format!("{RUN:016x}"), "00000000000000ff")).await;
    assert_eq!(client.answer().await.0, 400, "a ballot of another run");
    let counters = worker.counters().await.swap_remove(0);
    assert_eq!((counters.req_tot, counters.hrsp_2xx, counters.hrsp_4xx), (3, 2, 1));
    let dir = tempfile::tempdir().unwrap();
    let (ballots, _) = worker.close(dir.path(), ms(0)).await;
    assert_eq!(ballots.len(), 1);
    let ballot = ballots[0];
    assert_eq!((ballot.ticket, ballot.question, ballot.choice, ballot.receipts, ballot.counted), (42, 0, 1, 2, 1));
}

#[tokio::test]
async fn under_overload_a_proxy_answers_its_capacity_times_offered_time_and_queue_timeout() {
    // Two servers of ten requests of 50 ms: 400 votes a second. Offered: 1000 in one second; the queue adds 500 ms.
    let worker = WorkerSpec { server_limit: 10, service_time: service(ms(50)), queue_timeout: ms(500), ..spec() };
    let worker = Worker::open(worker).await;
    let mut clients = Client::connect_all(worker.listening[0], 1000).await;
    let mut pace = tokio::time::interval(ms(1));
    let begun = now();
    for (ticket, client) in (0..).zip(&mut clients) {
        pace.tick().await;
        client.cast(ticket).await;
    }
    let offered = begun.elapsed().as_secs_f64();
    let (counted, refused) = statuses(&mut clients).await;
    // 600 if the second was one, and what the servers hold at its end. Timers that ring late on a busy machine lower it,
    // as they do on HAProxy (2,762 and 2,773 seen of 2,800); nothing may raise it.
    let most = 400.0 * (offered + 0.5) + 20.0;
    assert!(counted >= 450 && counted as f64 <= most, "{counted} counted of at most {most}, {refused} refused");
    assert_eq!(counted + refused, 1000);
}
