//! curl, as many apps and load tools connect: over libcurl, one address after the other, and both families in a race.

use super::*;

use std::io::{Read, Write};
use std::net::{SocketAddrV6, TcpStream};
use std::thread::{self, JoinHandle};

use rustix::net::{AddressFamily, SocketType, bind, listen, socket};

use crate::services::program;

/// What one call of curl did.
struct Fetched {
    /// Everything that it said, to show when a test fails.
    said: String,
    /// Which addresses it tried, in order.
    tried: Vec<IpAddr>,
    /// Which one it got through to.
    connected: String,
    /// From the end of the lookup to the connection, in seconds.
    took_s: f64,
}

fn fetch(place: &Place, port: u16, more: &[&str]) -> Fetched {
    let url = format!("http://{NAME}:{port}/");
    let figures = "\nfigures %{remote_ip} %{time_namelookup} %{time_connect} %{http_code}\n";
    // Each address gets half of the connect timeout that is left: twenty seconds of silence would be seen.
    let words = [&["-sv", "--noproxy", "*", "--connect-timeout", "40", "-w", figures], more, &[&url]].concat();
    let said = place.lines(&program("curl"), &words).join("\n");
    let tried = said.lines().filter_map(|line| line.trim_start_matches(['*', ' ']).strip_prefix("Trying "));
    let tried = tried.map(|line| line.trim_end_matches('.').parse::<SocketAddr>().unwrap().ip()).collect();
    let figures: Vec<_> = said.split("figures ").nth(1).unwrap_or_else(|| panic!("{said}")).split_whitespace().collect();
    assert_eq!(figures[3], "200", "{said}");
    let took_s = figures[2].parse::<f64>().unwrap() - figures[1].parse::<f64>().unwrap();
    Fetched { tried, connected: figures[0].to_owned(), took_s, said: said.clone() }
}

/// Answers so many requests, one after the other.
fn serve(listener: TcpListener, times: usize) -> JoinHandle<()> {
    thread::spawn(move || {
        for connection in listener.incoming().take(times) {
            let (mut connection, mut request) = (connection.unwrap(), [0; 1_024]);
            let read = connection.read(&mut request).unwrap();
            assert!(request[..read].starts_with(b"GET "));
            connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        }
    })
}

#[test]
fn curl_tries_addresses_in_the_order_of_dns_and_leaves_one_that_refuses_at_once() {
    const TIMES: usize = 20;
    // With these two in random order either comes first in twenty answers, but for once in half a million runs.
    let block = Block::claim();
    let (refusing, alive) = (IpAddr::from(block.address(1)), IpAddr::from(block.address(2)));
    let Some(place) = Place::serving(&[refusing, alive], 300, false) else { return };
    let listener = TcpListener::bind((alive, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = serve(listener, TIMES);
    let fetched: Vec<_> = (0..TIMES).map(|_| fetch(&place, port, &[])).collect();
    server.join().unwrap();
    let (answers, both) = (place.answers("A"), place.answers("AAAA").len());
    assert_eq!((answers.len(), both), (TIMES, TIMES), "one lookup for each, in both families");
    for (fetched, answer) in fetched.iter().zip(&answers) {
        let expected: Vec<_> = answer.iter().copied().take(1 + usize::from(answer[0] == refusing)).collect();
        assert_eq!(fetched.tried, expected, "{}", fetched.said);
        assert_eq!(fetched.connected, alive.to_string(), "{}", fetched.said);
        assert!(fetched.took_s < 10.0, "no share of the timeout: {}", fetched.said);
    }
    for first in [refusing, alive] {
        assert!(answers.iter().any(|answer| answer[0] == first), "{first} never came first");
    }
}

#[test]
fn curl_begins_with_ipv6_and_tries_ipv4_beside_it_after_a_fifth_of_a_second() {
    if !has_ipv6() {
        return;
    }
    let block = Block::claim();
    let alive = IpAddr::from(block.address(1));
    let Some(place) = Place::serving(&[Ipv6Addr::LOCALHOST.into(), alive], 300, false) else { return };
    let listener = TcpListener::bind((alive, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    // Silent: Linux drops the first packet of a connection that a full backlog has no place for (listen(2)), and one of 0
    // has place for one.
    let silent = socket(AddressFamily::INET6, SocketType::STREAM, None).unwrap();
    let at = SocketAddrV6::new(Ipv6Addr::LOCALHOST, port, 0, 0);
    bind(&silent, &at).unwrap();
    listen(&silent, 0).unwrap();
    let _filling = TcpStream::connect(at).unwrap();
    // The delay between families is 200 ms unless told otherwise (curl(1), `--happy-eyeballs-timeout-ms`).
    let settings: [(&[&str], f64); 2] = [(&[], 0.2), (&["--happy-eyeballs-timeout-ms", "700"], 0.7)];
    let server = serve(listener, settings.len());
    for (more, delay_s) in settings {
        let Fetched { said, tried, connected, took_s } = fetch(&place, port, more);
        assert_eq!(tried, [Ipv6Addr::LOCALHOST.into(), alive], "{said}");
        assert_eq!(connected, alive.to_string(), "{said}");
        // A millisecond, for it rounds its figures.
        assert!((delay_s - 0.001..10.0).contains(&took_s), "{took_s} s: {said}");
    }
    server.join().unwrap();
}
