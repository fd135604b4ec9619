//! The server as a reader sees it, over real connections.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use voteburst_coordinator::live::Live;

use super::*;

const SECRET: &str = "correct horse battery";

fn live(second: i64) -> Arc<Live> {
    Arc::new(Live { run: "a".into(), second: Some(second), sent: 41, ..Live::default() })
}

fn start(token: Option<&str>, hub: &Hub) -> Served {
    let access = Access { token: token.map(|text| Token::new(text).unwrap()) };
    Served::start("127.0.0.1:0".parse().unwrap(), access, hub.clone()).unwrap()
}

/// Sends a request, further headers with it, and reads until the server has no more to say.
fn ask(address: SocketAddr, line: &str, headers: &str) -> String {
    let host = if headers.contains("Host:") { String::new() } else { format!("Host: {address}\r\n") };
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "{line} HTTP/1.1\r\n{host}Connection: close\r\n{headers}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_a_page_loads_is_served_with_a_policy_that_lets_nothing_else_in() {
    let served = start(None, &Hub::default());
    for path in ["/", "/live.css", "/live.js", "/charts.js", "/palette.js", "/metrics"] {
        let answer = ask(served.address, &format!("GET {path}"), "");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {}", answer.lines().next().unwrap());
        assert!(answer.contains("content-security-policy: default-src 'none'; script-src 'self'"), "{path}");
    }
    served.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_token_figures_are_only_for_those_who_show_it() {
    let served = start(Some(SECRET), &Hub::default());
    let status = |line: &str, headers: &str| ask(served.address, line, headers)[9..12].to_owned();
    assert_eq!(status("GET /", ""), "200", "the page itself holds no figure");
    for path in ["/metrics", "/events"] {
        for wrong in [
            "",
            "Authorization: Bearer correct horse\r\n",
            "Cookie: voteburst=\r\n",
            "Cookie: voteburstx=correct horse battery\r\n",
        ] {
            assert_eq!(status(&format!("GET {path}"), wrong), "401", "{path} with {wrong:?}");
        }
    }
    assert_eq!(status("POST /session", "Content-Length: 0\r\n"), "401");
    let bearer = format!("Authorization: Bearer {SECRET}\r\n");
    assert_eq!(status("GET /metrics", &bearer), "200");
    let answer = ask(served.address, "POST /session", &format!("{bearer}Content-Length: 0\r\n"));
    let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    assert!(cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
    let cookie = format!("Cookie: other=1; {}\r\n", cookie.split(';').next().unwrap());
    assert_eq!(status("GET /metrics", &cookie), "200");
    served.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_was_turned_to_this_machine_is_not_served() {
    let served = start(None, &Hub::default());
    for (host, status) in
        [("evil.example", "421"), ("evil.example:80", "421"), ("localhost:80", "200"), ("[::1]:80", "200"), ("", "421")]
    {
        assert_eq!(&ask(served.address, "GET /metrics", &format!("Host: {host}\r\n"))[9..12], status, "{host:?}");
    }
    served.close().await;
}

#[tokio::test]
async fn others_cannot_reach_it_without_a_token() {
    let everywhere = "0.0.0.0:0".parse().unwrap();
    let problem = Served::start(everywhere, Access::default(), Hub::default()).unwrap_err();
    assert!(problem.to_string().contains("--web-token-file"), "{problem}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_reader_gets_the_whole_run_and_the_last_value_before_the_end() {
    let hub = Hub::default();
    (1..=3).for_each(|second| hub.take(live(second)));
    let served = start(None, &hub);
    let address = served.address;
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET /events HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    let mut part = [0; 4096];
    while !text.contains("event: news") {
        let read = stream.read(&mut part).unwrap();
        text.push_str(std::str::from_utf8(&part[..read]).unwrap());
    }
    hub.take(live(4));
    served.close().await;
    stream.read_to_string(&mut text).unwrap();
    for second in 1..=4 {
        assert!(text.contains(&format!("\"number\":{second},\"second\":{second},")), "second {second} is not in {text}");
    }
    assert!(text.contains("\"sent\":41") && text.contains("event: over"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_reads_nothing_holds_nobody_back() {
    let hub = Hub::default();
    let served = start(None, &hub);
    let address = served.address;
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /events HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    // Far more than any buffer of sockets holds: taking values must not wait for it.
    let agents = vec![voteburst_coordinator::live::LiveAgent { host: "x".repeat(10_000), ..Default::default() }; 100];
    let large = Arc::new(Live { agents, ..Live::default() });
    (0..1_000).for_each(|_| hub.take(Arc::clone(&large)));
    assert!(ask(address, "GET /metrics", "").starts_with("HTTP/1.1 200 "), "others are served meanwhile");
    // Ends although that reader never takes what is left for it.
    served.close().await;
}
