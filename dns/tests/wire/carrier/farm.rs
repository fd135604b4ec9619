//! Several caches behind one address, and what they hold before anybody asks.

use std::collections::{BTreeSet, HashSet};

use hickory_proto::op::{Edns, Message};
use hickory_proto::rr::RecordType;
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use voteburst_burst::scenario::Subnet;
use voteburst_dns::carrier::WarmProblem;

use super::*;
use crate::fixture::{over_udp, query};

/// A carrier of so many caches.
async fn farm(upstream: SocketAddr, caches: u16) -> Carrier {
    start(CarrierSpec { caches, ..spec(&[upstream], model()) }).await
}

#[tokio::test]
async fn each_cache_of_a_carrier_draws_an_answer_of_its_own() {
    let zone = zone(ZonePolicy::SingleAWeighted, 15, 3_600);
    let authority = authority(zone.clone()).await;
    let carrier = farm(authority.address(), 6).await;
    let mut seen = HashSet::new();
    for _ in 0..400 {
        // Always the same id: it is not what leads to a cache.
        seen.extend(ask(carrier.address(), Kind::A, 1).await.unwrap().addresses);
    }
    let draws = (0..6).map(|number| zone.addresses(&zone.answer(Family::V4, number, Moment::default()))[0]);
    assert_eq!(seen, draws.collect());
    assert!(seen.len() > 1, "one cache has one address only");
    assert_eq!((authority.queries(), carrier.counters().asked, carrier.counters().hits), (6, 6, 394));
}

#[tokio::test]
async fn phones_that_ask_at_once_share_a_question_with_those_who_met_the_same_cache() {
    let (release, mut held) = watch::channel(false);
    let slow = tokio::net::UdpSocket::bind(ANYWHERE).await.unwrap();
    let upstream = slow.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (mut buffer, mut asked) = ([0; 512], Vec::new());
        for number in 0..3 {
            let (length, peer) = slow.recv_from(&mut buffer).await.unwrap();
            asked.push((answering(&buffer[..length], vec![a(NAME, 60, number)]), peer));
        }
        held.wait_for(|released| *released).await.unwrap();
        for (answer, peer) in asked {
            slow.send_to(&answer.to_vec().unwrap(), peer).await.unwrap();
        }
        slow
    });
    let carrier = farm(upstream, 3).await;
    let (mut phones, address) = (JoinSet::new(), carrier.address());
    (0..100).for_each(|id| {
        phones.spawn(async move { ask(address, Kind::A, id).await.unwrap().addresses[0] });
    });
    counted(&carrier, |counters| counters.misses == 100).await;
    release.send(true).unwrap();
    let seen: BTreeSet<IpAddr> = phones.join_all().await.into_iter().collect();
    assert_eq!(seen, v4(&[proxy(0), proxy(1), proxy(2)]).into_iter().collect());
    assert_eq!(carrier.counters(), CarrierCounters { queries: 100, misses: 100, asked: 3, ..CarrierCounters::default() });
    let again = serving.await.unwrap().try_recv(&mut [0; 512]);
    assert_eq!(again.unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "asked once more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_is_forgotten_while_answers_that_are_not_kept_come_and_go() {
    let authority = authority(zone(ZonePolicy::SingleAWeighted, 15, 0)).await;
    let carrier = farm(authority.address(), 2).await;
    let (mut phones, address) = (JoinSet::new(), carrier.address());
    (0..20_u16).for_each(|phone| {
        phones.spawn(async move {
            for id in 0..25 {
                assert_eq!(ask(address, Kind::A, phone * 25 + id).await.unwrap().addresses.len(), 1);
            }
        });
    });
    phones.join_all().await;
    let counters = carrier.counters();
    assert_eq!((counters.queries, counters.misses, counters.failures), (500, 500, 0));
    assert_eq!(authority.queries(), counters.asked);
}

#[tokio::test]
async fn a_warm_carrier_holds_answers_of_all_ages() {
    let authority = authority(zone(ZonePolicy::SingleAWeighted, 15, 10_000)).await;
    let carrier = farm(authority.address(), 40).await;
    carrier.warm(NAME, Kind::A).await.unwrap();
    assert_eq!((authority.queries(), carrier.counters().asked), (40, 40));
    let mut left = Vec::new();
    for id in 0..400 {
        left.push(ask(carrier.address(), Kind::A, id).await.unwrap().ttl_s);
    }
    assert_eq!((carrier.counters().hits, carrier.counters().misses), (400, 0));
    // 400 draws from 40 ages that are uniform in [0, 10,000): a quarter without any of them has a chance of 0.75^40 = 10^-5.
    for quarter in 0..4 {
        let (from, to) = (quarter * 2_500, (quarter + 1) * 2_500);
        assert!(left.iter().any(|left| (from..to).contains(left)), "{quarter} {left:?}");
    }
    assert!(left.iter().all(|left| *left < 10_000));
}

#[tokio::test]
async fn a_warm_carrier_knows_one_kind_only_when_the_other_was_not_asked_for() {
    let authority = authority(zone(ZonePolicy::Simple, 3, 10_000)).await;
    let carrier = farm(authority.address(), 1).await;
    carrier.warm(NAME, Kind::Aaaa).await.unwrap();
    ask(carrier.address(), Kind::A, 1).await.unwrap();
    assert_eq!((carrier.counters().hits, carrier.counters().misses), (0, 1));
}

#[tokio::test]
async fn a_carrier_that_cannot_be_warmed_says_who_did_not_answer() {
    let dead = nobody().await;
    let carrier = farm(dead, 3).await;
    let problem = carrier.warm(NAME, Kind::A).await.unwrap_err();
    assert!(matches!(problem, WarmProblem::Unanswered { server, .. } if server == dead), "{problem}");
    assert!(problem.to_string().contains(&dead.to_string()) && problem.to_string().contains(NAME), "{problem}");
    assert_eq!(carrier.counters().asked, 1, "the first failure is enough");
    assert!(matches!(carrier.warm("vote..example", Kind::A).await, Err(WarmProblem::Name(_))));
}

#[tokio::test]
async fn the_zone_is_told_the_carriers_network_and_never_a_phones() {
    let carriers = Subnet { address: [198, 51, 100, 0].into(), prefix: 24 };
    let phones = EdnsOption::Subnet(ClientSubnet::new([192, 0, 2, 0].into(), 24, 0));
    for client_subnet in [None, Some(carriers)] {
        let upstream = Fake::start(|query| vec![answering(query, vec![a(NAME, 5, 1)]).to_vec().unwrap()]).await;
        let carrier = start(CarrierSpec { client_subnet, ..spec(&[upstream.address], model()) }).await;
        let mut asking = query(NAME, RecordType::A);
        let mut edns = Edns::new();
        edns.options_mut().insert(phones.clone());
        asking.set_edns(edns);
        assert_eq!(over_udp(carrier.address(), &asking).await.answers.len(), 1);
        let asked = Message::from_vec(&upstream.queries()[0]).unwrap();
        let told = asked.edns.as_ref().and_then(|edns| edns.option(EdnsCode::Subnet).cloned());
        let expected = EdnsOption::Subnet(ClientSubnet::new([198, 51, 100, 0].into(), 24, 0));
        assert_eq!(told, client_subnet.map(|_| expected));
    }
}
