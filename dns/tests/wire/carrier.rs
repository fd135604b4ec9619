//! Carriers between phones and an authority.

mod farm;
mod renewal;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use hickory_proto::op::{Message, ResponseCode};
use tokio::sync::watch;
use tokio::task::JoinSet;
use voteburst_burst::cache::{CacheModel, CacheOrder};
use voteburst_burst::zone::{Family, Moment, ZonePolicy};
use voteburst_dns::carrier::{Carrier, CarrierCounters, CarrierProblem, CarrierSpec};
use voteburst_dns::stub::{self, AskError, Kind, Query};

use crate::fixture::{
    ANYWHERE, Fake, IMPATIENCE, NAME, PATIENCE, a, answering, ask, authority, nobody, plain, proxy, question, v4, zone,
};

/// A carrier with one cache that asks these.
fn spec(upstreams: &[SocketAddr], cache: CacheModel) -> CarrierSpec {
    CarrierSpec {
        upstreams: upstreams.to_vec(),
        recursion_desired: false,
        cache,
        caches: 1,
        client_subnet: None,
        each: PATIENCE,
        attempts: 2,
        seed: 3,
    }
}

async fn start(spec: CarrierSpec) -> Carrier {
    Carrier::start(ANYWHERE, spec).await.unwrap()
}

async fn carrier(upstreams: &[SocketAddr], cache: CacheModel) -> Carrier {
    start(spec(upstreams, cache)).await
}

fn model() -> CacheModel {
    CacheModel::default()
}

/// Waits until the carrier counted so much.
async fn counted(carrier: &Carrier, enough: impl Fn(CarrierCounters) -> bool) {
    let counting = async {
        while !enough(carrier.counters()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, counting).await.unwrap_or_else(|_| panic!("{:?}", carrier.counters()));
}

/// How often each address comes first in the answers to so many phones.
async fn firsts(carrier: &Carrier, phones: u16) -> HashMap<IpAddr, u32> {
    let mut firsts = HashMap::new();
    for id in 0..phones {
        let reply = ask(carrier.address(), Kind::A, id).await.unwrap();
        *firsts.entry(reply.addresses[0]).or_default() += 1;
    }
    firsts
}

#[tokio::test]
async fn one_question_upstream_serves_all_phones_as_policy_and_order_say() {
    // Proxies that get connections out of fifteen, and the most that one of them gets of 400.
    let cases = [
        (ZonePolicy::SingleAWeighted, CacheOrder::Rotate, 1, 400..=400),
        (ZonePolicy::SingleAWindow, CacheOrder::Rotate, 1, 400..=400),
        (ZonePolicy::Multivalue, CacheOrder::Rotate, 8, 50..=50),
        (ZonePolicy::Multivalue, CacheOrder::Fixed, 1, 400..=400),
        // Shuffled, 50 each with a standard deviation of 6.6.
        (ZonePolicy::Multivalue, CacheOrder::Shuffle, 8, 51..=83),
        (ZonePolicy::Simple, CacheOrder::Rotate, 15, 27..=27),
    ];
    for (policy, order, proxies, most) in cases {
        let authority = authority(zone(policy, 15, 3_600)).await;
        let carrier = carrier(&[authority.address()], CacheModel { order, ..model() }).await;
        let firsts = firsts(&carrier, 400).await;
        assert_eq!(firsts.len(), proxies, "{policy} {order:?}");
        assert!(most.contains(firsts.values().max().unwrap()), "{policy} {order:?} {firsts:?}");
        assert_eq!(authority.queries(), 1);
        let expected = CarrierCounters { queries: 400, hits: 399, misses: 1, asked: 1, ..CarrierCounters::default() };
        assert_eq!(carrier.counters(), expected);
    }
}

#[tokio::test]
async fn without_a_ttl_every_phone_gets_a_draw_of_its_own() {
    let zone = zone(ZonePolicy::SingleAWeighted, 15, 0);
    let authority = authority(zone.clone()).await;
    let carrier = carrier(&[authority.address()], model()).await;
    for number in 0..50 {
        let reply = ask(carrier.address(), Kind::A, 1).await.unwrap();
        let drawn = zone.answer(Family::V4, number, Moment::default());
        assert_eq!((reply.addresses, reply.ttl_s), (zone.addresses(&drawn), 0));
    }
    assert_eq!((authority.queries(), carrier.counters().hits), (50, 0));
}

#[tokio::test]
async fn a_cached_answer_hands_out_the_time_it_has_left_and_is_asked_for_anew_after_it() {
    let authority = authority(zone(ZonePolicy::Simple, 3, 2)).await;
    let carrier = carrier(&[authority.address()], model()).await;
    assert_eq!(ask(carrier.address(), Kind::A, 1).await.unwrap().ttl_s, 2);
    let mut left = Vec::new();
    let expired = async {
        while authority.queries() < 2 {
            left.push(ask(carrier.address(), Kind::A, 1).await.unwrap().ttl_s);
        }
    };
    tokio::time::timeout(PATIENCE, expired).await.expect("an answer of two seconds is asked for anew within ten");
    // Whole seconds are handed out, so 1 and 0 are left until the last answer, which is fresh.
    assert_eq!(left.pop(), Some(2));
    assert!(left.is_sorted_by(|earlier, later| earlier >= later) && left.iter().all(|ttl_s| *ttl_s < 2));
    left.dedup();
    assert_eq!(left.last(), Some(&0), "{left:?}");
}

#[tokio::test]
async fn ttls_are_clamped_as_modelled() {
    let authority = authority(zone(ZonePolicy::Simple, 3, 60)).await;
    for (least, most, ttl_s) in [(0, 10, 10), (300, 3_600, 300), (0, 86_400, 60)] {
        let carrier = carrier(&[authority.address()], CacheModel { ttl_min_s: least, ttl_max_s: most, ..model() }).await;
        assert_eq!(ask(carrier.address(), Kind::A, 1).await.unwrap().ttl_s, ttl_s);
    }
}

#[tokio::test]
async fn phones_that_ask_at_once_share_one_question_and_each_gets_its_own_turn() {
    // A long TTL, and one that the carrier's model cuts to nothing: the answer is in no cache, yet all are served from it.
    for (most, ttl_s) in [(86_400, 60), (0, 0)] {
        let (release, held) = watch::channel(false);
        let slow = tokio::net::UdpSocket::bind(ANYWHERE).await.unwrap();
        let upstream = slow.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let (mut buffer, mut held) = ([0; 512], held);
            let (length, peer) = slow.recv_from(&mut buffer).await.unwrap();
            held.wait_for(|released| *released).await.unwrap();
            let answer = answering(&buffer[..length], (0..4).map(|number| a(NAME, 60, number)).collect());
            slow.send_to(&answer.to_vec().unwrap(), peer).await.unwrap();
            slow
        });
        let carrier = carrier(&[upstream], CacheModel { ttl_max_s: most, ..model() }).await;
        let mut phones = JoinSet::new();
        let address = carrier.address();
        (0..100_u16).for_each(|id| {
            phones.spawn(async move { (id, ask(address, Kind::A, id).await.unwrap()) });
        });
        counted(&carrier, |counters| counters.misses == 100).await;
        release.send(true).unwrap();
        for (id, reply) in phones.join_all().await {
            let turned: Vec<_> = (0..4).map(|place| proxy(((id + place) % 4).try_into().unwrap())).collect();
            assert_eq!(reply.addresses, v4(&turned), "phone {id}");
            assert!((ttl_s.max(1) - 1..=ttl_s).contains(&reply.ttl_s), "{reply:?}");
        }
        assert_eq!(carrier.counters(), CarrierCounters { queries: 100, misses: 100, asked: 1, ..CarrierCounters::default() });
        let again = serving.await.unwrap().try_recv(&mut [0; 512]);
        assert_eq!(again.unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "asked a second time");
    }
}

#[tokio::test]
async fn hundreds_of_phones_at_once_are_all_answered_at_the_first_attempt() {
    let authority = authority(zone(ZonePolicy::Multivalue, 15, 3_600)).await;
    let carrier = carrier(&[authority.address()], model()).await;
    let mut phones = JoinSet::new();
    let address = carrier.address();
    // More than the 277 small packets of a socket's default buffer, fewer than the 554 of the most that Linux grants by default.
    (0..400_u16).for_each(|id| {
        phones.spawn(async move { ask(address, Kind::A, id).await.unwrap().addresses.len() });
    });
    assert!(phones.join_all().await.into_iter().all(|addresses| addresses == 8));
    assert_eq!((carrier.counters().queries, authority.queries()), (400, 1));
}

#[tokio::test]
async fn a_carrier_goes_on_to_the_next_upstream_and_fails_when_there_is_none_left() {
    let dead = nobody().await;
    let authority = authority(zone(ZonePolicy::Simple, 3, 60)).await;
    let lucky = carrier(&[dead, authority.address()], model()).await;
    assert_eq!(ask(lucky.address(), Kind::A, 1).await.unwrap().addresses.len(), 3);
    assert_eq!(lucky.counters().failures, 0);

    let unlucky = carrier(&[dead], model()).await;
    for failures in 1..=2 {
        let asked = ask(unlucky.address(), Kind::A, 1).await;
        assert!(matches!(asked, Err(AskError::Code(ResponseCode::ServFail))), "{asked:?}");
        let counters = unlucky.counters();
        assert_eq!((counters.queries, counters.misses, counters.failures), (failures, failures, failures));
    }
}

#[tokio::test]
async fn a_silent_upstream_becomes_a_servfail_and_not_silence() {
    let silent = Fake::start(|_| vec![]).await;
    let carrier = start(CarrierSpec { each: IMPATIENCE, ..spec(&[silent.address], model()) }).await;
    let asked = ask(carrier.address(), Kind::A, 1).await;
    assert!(matches!(asked, Err(AskError::Code(ResponseCode::ServFail))), "{asked:?}");
    assert_eq!((silent.queries().len(), carrier.counters().asked), (2, 1), "two attempts at one question");
}

#[tokio::test]
async fn a_carrier_that_ends_leaves_nobody_waiting() {
    let silent = Fake::start(|_| vec![]).await;
    let carrier = carrier(&[silent.address], model()).await;
    let address = carrier.address();
    let phone = tokio::spawn(async move { ask(address, Kind::A, 1).await });
    counted(&carrier, |counters| counters.misses == 1).await;
    // Half the time that the carrier has for each of its two attempts.
    tokio::time::timeout(PATIENCE / 2, carrier.shutdown()).await.unwrap();
    let asked = phone.await.unwrap();
    assert!(matches!(asked, Err(AskError::Code(ResponseCode::ServFail))), "{asked:?}");
}

#[tokio::test]
async fn a_kind_that_the_name_has_none_of_passes_through_and_is_kept_apart() {
    let authority = authority(zone(ZonePolicy::Simple, 3, 60)).await;
    let carrier = carrier(&[authority.address()], model()).await;
    assert_eq!(ask(carrier.address(), Kind::Aaaa, 1).await.unwrap().addresses, Vec::<IpAddr>::new());
    assert_eq!(ask(carrier.address(), Kind::A, 1).await.unwrap().addresses.len(), 3);
    assert_eq!(ask(carrier.address(), Kind::Aaaa, 1).await.unwrap().addresses, Vec::<IpAddr>::new());
    assert_eq!((carrier.counters().misses, carrier.counters().hits, authority.query_log().len()), (2, 1, 2));
}

#[tokio::test]
async fn recursion_is_desired_of_upstreams_that_are_resolvers_only() {
    for desired in [false, true] {
        let upstream = Fake::start(|query| vec![answering(query, vec![a(NAME, 5, 1)]).to_vec().unwrap()]).await;
        let carrier = start(CarrierSpec { recursion_desired: desired, ..spec(&[upstream.address], model()) }).await;
        // What the phone desires is between it and its carrier.
        let query = Query { recursion_desired: !desired, ..plain(1, PATIENCE, 1) };
        stub::ask(carrier.address(), &question(Kind::A), &query).await.unwrap();
        let asked = Message::from_vec(&upstream.queries()[0]).unwrap();
        assert_eq!(asked.metadata.recursion_desired, desired);
    }
}

#[tokio::test]
async fn a_carrier_behind_a_carrier_hands_on_what_is_left() {
    let authority = authority(zone(ZonePolicy::Multivalue, 15, 60)).await;
    let near_authority = carrier(&[authority.address()], model()).await;
    ask(near_authority.address(), Kind::A, 1).await.unwrap();
    let near_phone = carrier(&[near_authority.address()], model()).await;
    let reply = ask(near_phone.address(), Kind::A, 2).await.unwrap();
    assert_eq!((reply.addresses.len(), authority.queries()), (8, 1));
    assert!(reply.ttl_s < 60, "{reply:?}");
}

#[tokio::test]
async fn carriers_that_cannot_be_are_refused() {
    let nobody_to_ask = Carrier::start(ANYWHERE, spec(&[], model())).await;
    assert!(matches!(nobody_to_ask, Err(CarrierProblem::NoUpstream)));
    let first = carrier(&[ANYWHERE], model()).await;
    let second = Carrier::start(first.address(), spec(&[ANYWHERE], model())).await;
    assert!(matches!(second, Err(CarrierProblem::Bind { .. })));
    let address = first.address();
    first.shutdown().await;
    assert!(Carrier::start(address, spec(&[ANYWHERE], model())).await.is_ok());
}
