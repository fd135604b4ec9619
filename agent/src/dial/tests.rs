use rustix::io::Errno;
use tokio::net::TcpListener;
use voteburst_burst::clock::LocalTime;

use super::*;
use crate::clock::Clock;

fn dialler(port: u16, sources: &[&str]) -> Dialler {
    Dialler {
        sources: sources.iter().map(|source| source.parse().unwrap()).collect(),
        allowed: AllowList::default(),
        port,
        connect_timeout: Duration::from_millis(300),
        tls: None,
    }
}

#[tokio::test]
async fn viewers_connect_from_the_sources_in_turn() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dialler = dialler(listener.local_addr().unwrap().port(), &["127.64.1.1", "127.64.1.2"]);
    let mut seen = Vec::new();
    for viewer in 0..3 {
        let _conn = dialler.open(viewer, Racing::Sequential, &["127.0.0.1".parse().unwrap()]).await.unwrap();
        seen.push(listener.accept().await.unwrap().1.ip().to_string());
    }
    assert_eq!(seen, ["127.64.1.1", "127.64.1.2", "127.64.1.1"]);
}

#[tokio::test]
async fn an_address_outside_the_allow_list_is_never_dialled() {
    let error = dialler(80, &[]).open(0, Racing::Sequential, &["192.0.2.1".parse().unwrap()]).await.unwrap_err();
    assert_eq!(error.class, Failure::NotAllowed);
    assert!(error.to_string().contains("allow-list"), "{error}");
}

#[tokio::test]
async fn a_port_where_nobody_listens_refuses() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let error = dialler(free, &[]).open(0, Racing::Sequential, &["127.0.0.1".parse().unwrap()]).await.unwrap_err();
    assert_eq!((error.class, error.address.to_string()), (Failure::Refused, "127.0.0.1".into()));
}

#[tokio::test]
async fn a_source_address_of_another_machine_is_a_local_limit() {
    let error = dialler(80, &["192.0.2.1"]).open(0, Racing::Sequential, &["127.0.0.1".parse().unwrap()]).await.unwrap_err();
    assert_eq!(error.class, Failure::LocalLimit);
}

#[test]
fn errors_of_connect_have_their_class() {
    for (errno, class) in [
        (Errno::CONNREFUSED, Failure::Refused),
        (Errno::CONNRESET, Failure::Refused),
        (Errno::HOSTUNREACH, Failure::Refused),
        (Errno::NETUNREACH, Failure::Refused),
        (Errno::TIMEDOUT, Failure::ConnectTimeout),
        (Errno::MFILE, Failure::LocalLimit),
        (Errno::NOBUFS, Failure::LocalLimit),
        (Errno::ADDRNOTAVAIL, Failure::LocalLimit),
        (Errno::AGAIN, Failure::LocalLimit),
        (Errno::PERM, Failure::LocalLimit),
    ] {
        assert_eq!(class_of(&errno.into()), class, "{errno:?}");
    }
}

#[test]
fn a_ca_file_that_is_missing_or_empty_is_named() {
    let empty = std::env::temp_dir().join(format!("voteburst-empty-{}.pem", std::process::id()));
    std::fs::write(&empty, "no certificate\n").unwrap();
    for file in ["/nonexistent/ca.pem", empty.to_str().unwrap()] {
        let error = Tls::new("vote.test", Some(file), &[]).err().unwrap();
        assert!(error.to_string().contains(file), "{error}");
    }
    std::fs::remove_file(empty).unwrap();
}

/// An address that takes no connection and refuses none: a full backlog, whose further SYNs Linux drops (listen(2)).
struct Silent {
    _listener: Socket,
    _waiting: Vec<std::net::TcpStream>,
}

/// Listens at this address, silently or not. Port 0 takes a free one.
fn bound(address: &str, port: u16) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&SocketAddr::new(address.parse().unwrap(), port).into()).unwrap();
    socket
}

impl Silent {
    fn at(address: &str, port: u16) -> Self {
        let listener = bound(address, port);
        listener.listen(0).unwrap();
        // One connection fills the backlog of none (Linux accepts one more than asked for).
        let target = SocketAddr::new(address.parse().unwrap(), port);
        let waiting = std::net::TcpStream::connect_timeout(&target, Duration::from_secs(1)).unwrap();
        Self { _listener: listener, _waiting: vec![waiting] }
    }
}

/// Three addresses of one port: the first is silent, at the second nobody listens, the third answers.
struct Three {
    _silent: Silent,
    _third: Socket,
    dialler: Dialler,
}

const SILENT: &str = "127.77.0.1";
const NOBODY: &str = "127.77.0.2";
const THIRD: &str = "127.77.0.3";

fn three() -> Three {
    let third = bound(THIRD, 0);
    third.listen(16).unwrap();
    let port = third.local_addr().unwrap().as_socket().unwrap().port();
    // So long that a race which waits for it is seen to do so even on a busy machine.
    let dialler = Dialler { connect_timeout: Duration::from_secs(20), ..dialler(port, &[]) };
    Three { _silent: Silent::at(SILENT, port), _third: third, dialler }
}

fn list(addresses: &[&str]) -> Vec<IpAddr> {
    addresses.iter().map(|address| address.parse().unwrap()).collect()
}

/// Opens and measures; the clock is real, for sockets are.
async fn timed(three: &Three, racing: Racing, addresses: &[&str]) -> (Result<Opened, DialError>, Duration) {
    let clock = Clock::start();
    let opened = three.dialler.open(0, racing, &list(addresses)).await;
    (opened, clock.now().since(LocalTime(0)))
}

const EVERY: Racing = Racing::Every(Duration::from_millis(100));

#[tokio::test]
async fn a_racing_phone_goes_on_after_the_delay_and_leaves_the_silent_one_behind() {
    let three = three();
    let (opened, took) = timed(&three, EVERY, &[SILENT, THIRD]).await;
    let opened = opened.unwrap();
    assert_eq!((opened.address, opened.others.seen, opened.others.failed), (list(&[THIRD])[0], list(&[SILENT]), vec![]));
    assert!(took >= Duration::from_millis(100), "{took:?}");
}

#[tokio::test]
async fn a_refusal_leads_to_the_next_address_at_once() {
    let three = three();
    for racing in [Racing::Sequential, Racing::Every(Duration::from_secs(60)), Racing::Families(Duration::from_secs(60))] {
        let (opened, took) = timed(&three, racing, &[NOBODY, THIRD]).await;
        let opened = opened.unwrap();
        let Others { failed, seen } = opened.others;
        assert_eq!((opened.address, failed, seen), (list(&[THIRD])[0], list(&[NOBODY]), list(&[NOBODY])), "{racing:?}");
        assert!(took < Duration::from_secs(30), "{racing:?}: {took:?}");
    }
}

#[tokio::test]
async fn a_sequential_phone_waits_out_the_connect_timeout_of_a_silent_address() {
    let mut three = three();
    three.dialler.connect_timeout = Duration::from_millis(300);
    let (opened, took) = timed(&three, Racing::Sequential, &[SILENT, THIRD]).await;
    assert_eq!(opened.unwrap().others.failed, list(&[SILENT]));
    assert!(took >= Duration::from_millis(300), "{took:?}");
}

#[tokio::test]
async fn families_are_tried_beside_each_other_after_their_delay() {
    let mut three = three();
    three.dialler.connect_timeout = Duration::from_millis(300);
    let racing = Racing::Families(Duration::from_millis(50));
    // IPv6 first, where nobody listens; then two of IPv4, of which the first is silent.
    let (opened, _) = timed(&three, racing, &["::1", SILENT, THIRD]).await;
    let opened = opened.unwrap();
    assert_eq!((opened.address, opened.others.failed), (list(&[THIRD])[0], list(&["::1", SILENT])));
}

#[tokio::test]
async fn when_all_fail_every_address_is_named_and_a_forbidden_one_comes_first() {
    let mut three = three();
    three.dialler.connect_timeout = Duration::from_millis(300);
    let (error, _) = timed(&three, EVERY, &[NOBODY, "192.0.2.1"]).await;
    let error = error.unwrap_err();
    let (class, address) = (Failure::NotAllowed, list(&["192.0.2.1"])[0]);
    assert_eq!((error.class, error.address, &error.others.failed), (class, address, &list(&[NOBODY])));
    assert!(error.to_string().contains(NOBODY) && error.to_string().contains("refused"), "{error}");
    let (error, _) = timed(&three, Racing::Sequential, &[SILENT, NOBODY]).await;
    let error = error.unwrap_err();
    assert_eq!((error.class, error.address), (Failure::ConnectTimeout, list(&[SILENT])[0]));
}

#[tokio::test]
async fn a_forbidden_address_does_not_keep_a_phone_from_the_next_one() {
    let three = three();
    let (opened, _) = timed(&three, EVERY, &["192.0.2.1", THIRD]).await;
    let others = opened.unwrap().others;
    assert_eq!((others.failed, others.seen), (list(&["192.0.2.1"]), vec![]), "nothing was sent there");
}

#[tokio::test]
async fn a_refusal_beside_an_attempt_under_way_does_not_hurry_the_next_one() {
    let three = three();
    let (opened, took) = timed(&three, EVERY, &[SILENT, NOBODY, THIRD]).await;
    let others = opened.unwrap().others;
    assert_eq!((others.failed, others.seen), (list(&[NOBODY]), list(&[SILENT, NOBODY])));
    assert!(took >= Duration::from_millis(200), "the third one begins two delays after the first: {took:?}");
}
