//! The authority as a resolver sees it.

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, ResponseCode};
use hickory_proto::rr::{RData, RecordType};
use voteburst_burst::zone::ZonePolicy;
use voteburst_dns::authority::{Authority, AuthorityProblem};
use voteburst_dns::stub::{AskError, Kind, Reply};

use crate::fixture::{ANYWHERE, NAME, ask, authority, over_tcp, over_udp, proxy, query, v4, zone};

fn addresses(message: &Message) -> Vec<IpAddr> {
    message.answers.iter().filter_map(|record| record.data.ip_addr()).collect()
}

/// The negative TTL that the answer's SOA states.
fn negative_ttl(message: &Message) -> Option<u32> {
    message.authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
        _ => None,
    })
}

#[tokio::test]
async fn every_policy_answers_on_the_wire_as_its_zone_says_over_udp_and_tcp() {
    for policy in ZonePolicy::ALL {
        let zone = zone(policy, 15, 5);
        let authority = authority(zone.clone()).await;
        for number in 0..40 {
            let expected = zone.answer(number, Duration::ZERO);
            let (found, ttl_s) = if number % 2 == 0 {
                let reply = ask(authority.address(), Kind::A, 1).await.unwrap();
                (reply.addresses, reply.ttl_s)
            } else {
                let answer = over_tcp(authority.address(), &query(NAME, RecordType::A)).await;
                (addresses(&answer), answer.answers[0].ttl)
            };
            assert_eq!((found, ttl_s), (v4(&expected.addresses), expected.ttl_s), "{policy}, query {number}");
        }
        assert_eq!(authority.queries(), 40);
    }
}

#[tokio::test]
async fn the_log_tells_who_got_which_member() {
    let zone = zone(ZonePolicy::SingleAWeighted, 15, 5);
    let authority = authority(zone.clone()).await;
    for id in 0..20 {
        ask(authority.address(), Kind::A, id).await.unwrap();
    }
    ask(authority.address(), Kind::Aaaa, 20).await.unwrap();
    let log = authority.query_log();
    assert_eq!((log.len(), authority.queries()), (21, 20));
    for (number, record) in (0..20).zip(&log) {
        let member = zone.answer(number, Duration::ZERO).members[0];
        assert_eq!((record.kind, &record.set_ids), ("A", &vec![format!("proxy-{member}")]));
        assert_eq!(record.addresses, [proxy(member.try_into().unwrap())]);
        assert!(record.peer.ip().is_loopback());
    }
    assert_eq!((log[20].kind, log[20].addresses.len()), ("AAAA", 0));
    assert!(log.is_sorted_by_key(|record| record.at));
}

#[tokio::test]
async fn names_and_types_that_are_not_there_get_a_negative_answer_that_may_be_kept() {
    let authority = authority(zone(ZonePolicy::Simple, 3, 60)).await;
    let cases = [
        ("other.example", RecordType::A, ResponseCode::NXDomain),
        ("www.vote.example", RecordType::A, ResponseCode::NXDomain),
        (NAME, RecordType::AAAA, ResponseCode::NoError),
        (NAME, RecordType::MX, ResponseCode::NoError),
    ];
    for (owner, kind, code) in cases {
        let answer = over_udp(authority.address(), &query(owner, kind)).await;
        assert_eq!(answer.metadata.response_code, code, "{owner} {kind}");
        assert!(answer.metadata.authoritative && !answer.metadata.recursion_available);
        assert_eq!((answer.answers.len(), negative_ttl(&answer)), (0, Some(5)), "{owner} {kind}");
    }
    assert_eq!(authority.queries(), 0);
}

#[tokio::test]
async fn the_capitals_of_a_question_come_back() {
    let authority = authority(zone(ZonePolicy::Simple, 3, 60)).await;
    let answer = over_udp(authority.address(), &query("vOtE.eXaMpLe", RecordType::A)).await;
    assert_eq!(answer.answers.len(), 3);
    let names = answer.answers.iter().map(|record| &record.name).chain(answer.queries.iter().map(|query| query.name()));
    for name in names {
        assert_eq!(name.to_ascii(), "vOtE.eXaMpLe.");
    }
}

#[tokio::test]
async fn an_answer_too_large_for_udp_is_truncated_and_whole_over_tcp() {
    let authority = authority(zone(ZonePolicy::Simple, 100, 60)).await;
    let short = over_udp(authority.address(), &query(NAME, RecordType::A)).await;
    assert!(short.metadata.truncation && short.answers.len() < 100);
    let reply = ask(authority.address(), Kind::A, 1).await.unwrap();
    assert_eq!((reply.addresses.iter().collect::<HashSet<_>>().len(), reply.ttl_s), (100, 60));
}

#[tokio::test]
async fn edns_makes_room_for_more_than_512_bytes() {
    let authority = authority(zone(ZonePolicy::Simple, 60, 60)).await;
    let mut large = query(NAME, RecordType::A);
    let mut edns = Edns::new();
    edns.set_max_payload(1_232);
    large.set_edns(edns);
    let answer = over_udp(authority.address(), &large).await;
    assert!(answer.edns.is_some() && !answer.metadata.truncation);
    assert_eq!(answer.answers.len(), 60);
}

#[tokio::test]
async fn another_zone_is_answered_from_the_next_query_on() {
    let authority = authority(zone(ZonePolicy::SingleAWindow, 15, 60)).await;
    assert_eq!(ask(authority.address(), Kind::A, 1).await.unwrap(), Reply { addresses: v4(&[proxy(0)]), ttl_s: 60 });
    authority.set_zone(zone(ZonePolicy::LbAlias, 1, 5));
    assert_eq!(ask(authority.address(), Kind::A, 2).await.unwrap(), Reply { addresses: v4(&[proxy(0)]), ttl_s: 60 });
    authority.set_zone(zone(ZonePolicy::Simple, 2, 5));
    let reply = ask(authority.address(), Kind::A, 3).await.unwrap();
    assert_eq!((reply.addresses.len(), reply.ttl_s, authority.queries()), (2, 5, 3));
}

#[tokio::test]
async fn a_shut_down_authority_leaves_its_port_and_a_taken_one_is_refused() {
    let first = authority(zone(ZonePolicy::Simple, 3, 60)).await;
    let address = first.address();
    let second = Authority::start(address, NAME, zone(ZonePolicy::Simple, 3, 60)).await;
    let Err(problem @ AuthorityProblem::Bind { bind, .. }) = second else { panic!("two servers on one port") };
    assert_eq!(bind, address);
    assert!(problem.to_string().contains(&address.to_string()), "{problem}");
    first.shutdown().await;
    let asked = ask(address, Kind::A, 1).await;
    assert!(matches!(asked, Err(AskError::Unreachable(_))), "{asked:?}");
    let again = Authority::start(address, NAME, zone(ZonePolicy::Simple, 3, 60)).await.unwrap();
    assert_eq!(ask(address, Kind::A, 1).await.unwrap().addresses.len(), 3);
    again.shutdown().await;
}

#[tokio::test]
async fn a_name_that_is_none_is_refused() {
    let Err(problem) = Authority::start(ANYWHERE, "vote..example", zone(ZonePolicy::Simple, 1, 1)).await else {
        panic!("served a name without a label")
    };
    assert!(problem.to_string().starts_with("`vote..example` is no DNS name"), "{problem}");
}
