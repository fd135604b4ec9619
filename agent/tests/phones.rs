//! A crew whose viewers hold different kinds of phones: where they connect, what they remember, and what is counted of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod support;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use support::{Client, Names, Play, Result, Server, scenario, until};
use voteburst_burst::outcome::Failure;
use voteburst_burst::tally::{LookupFailure, Second};

const VIEWERS: u32 = 20;
const ALL: u64 = VIEWERS as u64;
const V4: &str = "127.0.0.1";
const V6: &str = "::1";
/// A proxy that takes no connection and refuses none.
const SILENT: &str = "127.78.0.1";

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A scenario whose audience holds these phones, on a network with IPv6.
fn audience(names: &Names, phones: &[&str], changes: &[(&str, &str)]) -> String {
    let share = 1.0 / phones.len() as f64;
    let list: Vec<_> = phones.iter().map(|kind| format!("{{ kind = \"{kind}\", share = {share} }}")).collect();
    let phones = format!("doors_open = \"100ms\"\nphones = [{}]", list.join(", "));
    let changes = [&[("doors_open = \"100ms\"", phones.as_str()), ("[dns]", "[dns]\nipv6 = true")], changes].concat();
    scenario(VIEWERS, names.address, &changes)
}

/// What happened at one proxy.
fn at(result: &Result, proxy: &str) -> Second {
    let proxies = result.snapshot.tally.proxies();
    proxies.iter().find(|(known, _)| *known == address(proxy)).map(|(_, tally)| tally.total()).unwrap_or_default()
}

async fn names(addresses: &[&str]) -> Names {
    Names::telling(Some(addresses.iter().map(|text| address(text)).collect()), 60).await
}

/// A full backlog, whose further SYNs Linux drops (listen(2)).
struct Silent {
    _listener: Socket,
    _waiting: std::net::TcpStream,
}

fn silent(port: u16) -> Silent {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
    let here = SocketAddr::new(address(SILENT), port);
    listener.bind(&here.into()).unwrap();
    listener.listen(0).unwrap();
    // A backlog of none takes one.
    let waiting = std::net::TcpStream::connect_timeout(&here, Duration::from_secs(5)).unwrap();
    Silent { _listener: listener, _waiting: waiting }
}

/// A server that closes the first connection of each viewer and serves the second.
async fn closing_once(addresses: &[&str]) -> Server {
    Server::listening(addresses, |client: Client| async move {
        if client.number >= VIEWERS {
            client.serve().await;
        }
    })
    .await
}

/// From the doors to the end, once every viewer has come back to [`closing_once`].
async fn whole_after_coming_back(text: &str, server: &Server) -> Result {
    let play = Play::muster(text, server.port).enter().await;
    until(|| server.seen.connections.load(Ordering::SeqCst) == 2 * VIEWERS).await;
    play.connected(VIEWERS).await;
    play.fire();
    play.result().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_both_families_answer_smartphones_take_ipv6_and_a_jvm_ipv4() {
    let names = names(&[V4, V6]).await;
    let server = Server::listening(&[V4, V6], Client::serve).await;
    for (kind, taken, left) in [
        ("android-okhttp", V6, V4),
        ("android-okhttp4", V6, V4),
        ("ios-urlsession", V6, V4),
        ("browser-chromium", V6, V4),
        ("glibc-no-cache", V6, V4),
        ("jvm-default", V4, V6),
    ] {
        let result = Play::whole(&audience(&names, &[kind], &[]), server.port).await;
        assert_eq!(result.fates, [0, 0, 0, VIEWERS], "{kind}");
        assert_eq!((at(&result, taken).opened, at(&result, left)), (VIEWERS, Second::default()), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_ipv6_refuses_the_phone_takes_ipv4_at_once_and_the_proxy_saw_an_attempt() {
    let names = names(&[V4, V6]).await;
    let server = Server::counting().await;
    for kind in ["android-okhttp", "android-okhttp4", "ios-urlsession", "browser-chromium", "glibc-no-cache"] {
        let result = Play::whole(&audience(&names, &[kind], &[]), server.port).await;
        assert_eq!(result.fates, [0, 0, 0, VIEWERS], "{kind}");
        let (refusing, taken) = (at(&result, V6), at(&result, V4));
        assert_eq!([refusing.also_rans, refusing.opened, taken.also_rans, taken.opened], [VIEWERS, 0, 0, VIEWERS], "{kind}");
        // The first address of the answer stays what DNS said; where it led to is another matter.
        assert_eq!([refusing.dns_answers, taken.dns_answers], [VIEWERS, 0], "{kind}");
        let total = result.snapshot.tally.lookups.total();
        assert_eq!((total.answers[&address(V6)], total.led_to[&address(V4)]), (ALL, ALL), "{kind}");
        assert!(result.snapshot.warnings.is_empty(), "{kind}: {:?}", result.snapshot.warnings);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jvm_that_is_refused_at_its_first_address_tries_no_other() {
    let names = names(&["127.78.0.2", V4]).await;
    let server = Server::counting().await;
    let result = Play::whole(&audience(&names, &["jvm-default"], &[]), server.port).await;
    assert_eq!((result.failed_only(Failure::Refused), at(&result, V4)), (VIEWERS, Second::default()));
    assert_eq!(result.fates, [VIEWERS, 0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_race_leaves_a_silent_proxy_behind_again_and_again() {
    let names = names(&[SILENT, V4]).await;
    let server = closing_once(&[V4]).await;
    let _silent = silent(server.port);
    let slow = ("connect_timeout = \"1s\"", "connect_timeout = \"20s\"");
    let result = whole_after_coming_back(&audience(&names, &["android-okhttp"], &[slow]), &server).await;
    let (behind, taken) = (at(&result, SILENT), at(&result, V4));
    // An attempt that lost did not fail: OkHttp tries the address first the next time too.
    assert_eq!([behind.also_rans, behind.opened, taken.also_rans, taken.opened], [2 * VIEWERS, 0, 0, 2 * VIEWERS]);
    assert_eq!(result.fates, [0, 0, 0, VIEWERS]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_waited_for_a_silent_proxy_in_vain_tries_it_last_from_then_on() {
    let names = names(&[SILENT, V4]).await;
    let server = closing_once(&[V4]).await;
    let _silent = silent(server.port);
    let quick = ("connect_timeout = \"1s\"", "connect_timeout = \"300ms\"");
    let result = whole_after_coming_back(&audience(&names, &["android-okhttp4"], &[quick]), &server).await;
    let (behind, taken) = (at(&result, SILENT), at(&result, V4));
    assert_eq!([behind.also_rans, behind.opened, taken.also_rans, taken.opened], [VIEWERS, 0, 0, 2 * VIEWERS]);
    assert_eq!(result.total.failed_total(), 0, "no vote noticed it");
    assert_eq!(result.snapshot.tally.lookups.total().asked, ALL, "and nobody asked again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_phones_remember_over_a_closed_connection_is_counted_by_kind() {
    for (kind, asked, remembered) in
        [("android-okhttp", ALL, ALL), ("jvm-default", 1, 2 * ALL - 1), ("glibc-no-cache", 2 * ALL, 0)]
    {
        let (names, server) = (names(&[V4]).await, closing_once(&[V4]).await);
        let result = whole_after_coming_back(&audience(&names, &[kind], &[]), &server).await;
        let lookups = &result.snapshot.tally.lookups;
        let group = &lookups.phones[&0].group;
        assert_eq!([group.asked, group.remembered, group.failed], [asked, remembered, 0], "{kind}");
        assert_eq!((lookups.latency.len(), lookups.total()), (asked, group.clone()), "{kind}: one kind behind one carrier");
        assert_eq!(group.led_to[&address(V4)], 2 * ALL, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kinds_of_phones_are_told_apart_second_by_second() {
    let (names, server) = (names(&[V4, V6]).await, Server::listening(&[V4, V6], Client::serve).await);
    let result = Play::whole(&audience(&names, &["ios-urlsession", "jvm-default"], &[]), server.port).await;
    let lookups = &result.snapshot.tally.lookups;
    let mut connections = 0;
    for (phone, taken) in [(0, V6), (1, V4)] {
        let told = &lookups.phones[&phone];
        let opened: Vec<_> = told.opened.iter().map(|(proxy, seconds)| (*proxy, seconds.iter().sum::<u32>())).collect();
        let expected = at(&result, taken).opened;
        assert_eq!(opened, [(address(taken), expected)]);
        assert_eq!(told.group.led_to[&address(taken)], u64::from(expected));
        connections += expected;
    }
    assert_eq!((connections, lookups.phones.len()), (VIEWERS, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lookups_that_fail_are_counted_by_class_and_their_votes_with_those_of_no_proxy() {
    let names = Names::telling(None, 0).await;
    let result = Play::whole(&audience(&names, &["glibc-no-cache"], &[]), 80).await;
    let lookups = &result.snapshot.tally.lookups;
    let total = lookups.total();
    assert_eq!(result.unplaced.failed[Failure::Dns as usize], VIEWERS);
    assert_eq!((total.failed, total.asked, lookups.latency.len()), (total.asked, total.failed, 0));
    assert_eq!(lookups.failures[LookupFailure::NoSuchName as usize], total.failed);
    assert!(total.failed >= 2 * ALL, "once as each viewer came in, and once for its vote");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forbidden_address_in_an_answer_is_passed_over_and_sees_nothing() {
    let names = names(&["192.0.2.1", V4]).await;
    let server = Server::counting().await;
    let result = Play::whole(&audience(&names, &["ios-urlsession"], &[]), server.port).await;
    assert_eq!(result.fates, [0, 0, 0, VIEWERS]);
    assert_eq!((at(&result, "192.0.2.1").also_rans, at(&result, V4).opened), (0, VIEWERS));
}
