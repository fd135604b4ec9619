//! Rows of the stage's table of behaviour, played on a real HAProxy: what `stage/tests/conformance.rs` asserts of the
//! stage's proxy is asserted here of the program that it imitates, with the same words.

use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::time::Duration;

use crate::services::{Alone, Limits, PATIENCE, Service};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A viewer on a plain socket.
struct Client(TcpStream);

impl Client {
    fn connect_all(to: SocketAddrV4, count: usize) -> Vec<Self> {
        let connect = |_| {
            let stream = TcpStream::connect_timeout(&to.into(), PATIENCE).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            Self(stream)
        };
        (0..count).map(connect).collect()
    }

    fn cast(&mut self) {
        self.0.write_all(b"POST /vote HTTP/1.1\r\nhost: vote\r\ncontent-length: 4\r\n\r\nvote").unwrap();
    }

    /// The status of the next answer.
    fn status(&mut self) -> u16 {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.byte());
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let (_, length) = head.split_once("content-length: ").unwrap_or_else(|| panic!("no length in {head}"));
        let length = length.lines().next().unwrap().parse().unwrap();
        self.0.read_exact(&mut vec![0; length]).unwrap();
        head["http/1.1 ".len()..][..3].parse().unwrap()
    }

    fn byte(&mut self) -> u8 {
        let mut byte = [0];
        self.0.read_exact(&mut byte).unwrap();
        byte[0]
    }

    /// Whether nothing came so far.
    fn silent(&mut self) -> bool {
        self.0.set_nonblocking(true).unwrap();
        let read = self.0.peek(&mut [0]);
        self.0.set_nonblocking(false).unwrap();
        read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }

    /// Everything until the proxy closes.
    fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).unwrap();
        rest
    }
}

fn cast_all(clients: &mut [Client]) {
    clients.iter_mut().for_each(Client::cast);
}

/// How many were answered 200 and how many 503.
fn statuses(clients: &mut [Client]) -> (usize, usize) {
    let statuses: Vec<_> = clients.iter_mut().map(Client::status).collect();
    let count = |wanted| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!(count(200) + count(503), clients.len(), "{statuses:?}");
    (count(200), count(503))
}

#[test]
fn sixty_votes_at_once_go_to_two_servers_in_halves() {
    let haproxy = Alone::start(Limits { per_server: 50, ..Limits::default() }, Service::OneSecond);
    let mut clients = Client::connect_all(haproxy.address(), 60);
    cast_all(&mut clients);
    let counters = haproxy.counters_when(|counters| counters.req_tot == 60);
    assert_eq!((&counters.in_flight, counters.queue_cur, counters.unanswered()), (&vec![30, 30], 0, 60));
    assert_eq!(statuses(&mut clients), (60, 0));
    let counters = haproxy.counters_when(|counters| counters.unanswered() == 0);
    assert_eq!((counters.hrsp[1], counters.conn_cur, counters.in_flight), (60, 60, vec![0, 0]));
}

#[test]
fn votes_beyond_the_servers_limits_queue_and_are_refused_after_the_queue_timeout() {
    // The servers take 100 at 0 s and 100 at 1 s; the queue gives the last 100 up at 1.5 s.
    let haproxy = Alone::start(Limits { per_server: 50, queue: ms(1_500), ..Limits::default() }, Service::OneSecond);
    let mut clients = Client::connect_all(haproxy.address(), 300);
    cast_all(&mut clients);
    let counters = haproxy.counters_when(|counters| counters.req_tot == 300);
    assert_eq!((counters.in_flight, counters.queue_cur), (vec![50, 50], 200));
    assert_eq!(statuses(&mut clients), (200, 100));
    let counters = haproxy.counters_when(|counters| counters.unanswered() == 0);
    assert_eq!((counters.hrsp[1], counters.hrsp[4], counters.econ), (200, 100, 100));
    // A request passes through the queue's count on its way to a free server, so the peak may lie above.
    assert!((200..=300).contains(&counters.queue_peak), "{counters:?}");
    assert_eq!((counters.queue_cur, counters.in_flight), (0, vec![0, 0]));
}

#[test]
fn a_connection_answered_503_serves_on() {
    let haproxy = Alone::start(Limits { per_server: 5, queue: ms(1_500), ..Limits::default() }, Service::OneSecond);
    let mut clients = Client::connect_all(haproxy.address(), 40);
    for wave in 0..2 {
        cast_all(&mut clients);
        assert_eq!(statuses(&mut clients), (20, 20), "wave {wave}");
    }
}

#[test]
fn beyond_the_connection_limit_clients_wait_unanswered_and_uncounted_until_idle_ones_are_closed() {
    // The twenty are answered first: a connection's idle time begins with its answer.
    let limits = Limits { connections: 20, keep_alive: ms(2_000), ..Limits::default() };
    let haproxy = Alone::start(limits, Service::Instant);
    let mut idle = Client::connect_all(haproxy.address(), 20);
    cast_all(&mut idle);
    assert_eq!(statuses(&mut idle), (20, 0));
    let mut waiting = Client::connect_all(haproxy.address(), 15);
    cast_all(&mut waiting);
    // HAProxy has been through its loop between the two looks: what it would accept, it has accepted.
    for _ in 0..2 {
        let counters = haproxy.counters();
        assert_eq!((counters.conn_tot, counters.conn_cur, counters.req_tot), (20, 20, 20), "{counters:?}");
    }
    assert!(waiting.iter_mut().all(Client::silent));
    assert_eq!(statuses(&mut waiting), (15, 0), "never refused, never an error answer");
    for client in &mut idle {
        assert_eq!(client.rest(), "", "closed without a word");
    }
    let counters = haproxy.counters_when(|counters| counters.req_tot == 35);
    assert_eq!((counters.conn_tot, counters.hrsp[1]), (35, 35));
}
