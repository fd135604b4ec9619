//! The authority as a resolver sees it.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, ResponseCode};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_proto::rr::rdata::{A, NS};
use hickory_proto::rr::{RData, RecordType};
use voteburst_burst::scenario::Subnet;
use voteburst_burst::zone::{Family, Member, MemberState, Moment, Zone, ZonePolicy};
use voteburst_dns::authority::{Authority, AuthorityProblem};
use voteburst_dns::stub::{self, AskError, Kind, MOST_ALIASES, Query, Question, Reply};

use crate::fixture::{
    ANYWHERE, NAME, PATIENCE, ask, authority, name, over_tcp, over_udp, plain, proxy, query, question, v4, zone,
};

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
            let expected = zone.answer(Family::V4, number, Moment::default());
            let (found, ttl_s) = if number % 2 == 0 {
                let reply = ask(authority.address(), Kind::A, 1).await.unwrap();
                (reply.addresses, reply.ttl_s)
            } else {
                let answer = over_tcp(authority.address(), &query(NAME, RecordType::A)).await;
                (addresses(&answer), answer.answers[0].ttl)
            };
            assert_eq!((found, ttl_s), (zone.addresses(&expected), expected.ttl_s), "{policy}, query {number}");
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
        let member = zone.answer(Family::V4, number, Moment::default()).members[0];
        assert_eq!((record.kind, &record.set_ids), ("A", &vec![format!("proxy-{member}")]));
        assert_eq!((&record.addresses, &record.client_subnet), (&vec![zone.members()[member].address], &None));
        assert!(record.peer.ip().is_loopback());
    }
    assert_eq!((log[20].kind, log[20].addresses.len()), ("AAAA", 0));
    assert!(log.is_sorted_by_key(|record| record.at) && log[20].at <= authority.elapsed());
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
async fn nobody_gets_more_bytes_than_pass_unfragmented() {
    let authority = authority(zone(ZonePolicy::Simple, 100, 60)).await;
    let mut greedy = query(NAME, RecordType::A);
    let mut edns = Edns::new();
    edns.set_max_payload(4_096);
    greedy.set_edns(edns);
    let answer = over_udp(authority.address(), &greedy).await;
    assert!(answer.metadata.truncation && answer.to_vec().unwrap().len() <= 1_232);
}

#[tokio::test]
async fn the_network_of_a_client_is_noted_and_comes_back_with_an_answer_for_everybody() {
    let authority = authority(zone(ZonePolicy::Simple, 3, 60)).await;
    let query = Query { client_subnet: Some(Subnet { address: [192, 0, 2, 7].into(), prefix: 24 }), ..plain(1, PATIENCE, 1) };
    stub::ask(authority.address(), &question(Kind::A), &query).await.unwrap();
    assert_eq!(authority.query_log()[0].client_subnet.as_deref(), Some("192.0.2.0/24"));

    let mut raw = crate::fixture::query(NAME, RecordType::A);
    let (mut edns, ours) = (Edns::new(), EdnsOption::Subnet(ClientSubnet::new("2001:db8::".parse().unwrap(), 56, 0)));
    edns.options_mut().insert(ours.clone());
    // A cookie that no server took part in must not come back (RFC 7873, section 5.3).
    edns.options_mut().insert(EdnsOption::Unknown(EdnsCode::Cookie.into(), vec![7; 8]));
    raw.set_edns(edns);
    let answered = over_udp(authority.address(), &raw).await.edns.unwrap();
    assert_eq!((answered.option(EdnsCode::Subnet), answered.option(EdnsCode::Cookie)), (Some(&ours), None));
    assert_eq!(authority.query_log()[1].client_subnet.as_deref(), Some("2001:db8::/56"));
}

#[tokio::test]
async fn another_zone_is_answered_from_the_next_query_on() {
    let authority = authority(zone(ZonePolicy::SingleAWindow, 15, 60)).await;
    let said = async |id: u16| {
        let reply = ask(authority.address(), Kind::A, id).await.unwrap();
        assert!(reply.authoritative);
        (reply.addresses.len(), reply.ttl_s)
    };
    assert_eq!(said(1).await, (1, 60));
    authority.set_zone(zone(ZonePolicy::LbAlias, 3, 5));
    assert_eq!(said(2).await, (3, 60));
    authority.set_zone(zone(ZonePolicy::Simple, 2, 5));
    assert_eq!((said(3).await, authority.queries()), ((2, 5), 3));
}

/// A zone whose even members are IPv6.
fn of_both_families(policy: ZonePolicy) -> Zone {
    let address = |n: u8| if n.is_multiple_of(2) { v6(n) } else { proxy(n).into() };
    let members = (0..8).map(|n| Member::new(format!("proxy-{n}"), address(n))).collect();
    Zone::new(policy, members, 5, Duration::from_secs(3_600), 7).unwrap()
}

fn v6(number: u8) -> IpAddr {
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number.into()).into()
}

#[tokio::test]
async fn each_family_is_drawn_from_its_own_members_and_every_answer_is_one_draw() {
    for policy in ZonePolicy::ALL {
        let zone = of_both_families(policy);
        let authority = authority(zone.clone()).await;
        for number in 0..20 {
            let (family, kind) = if number % 3 == 0 { (Family::V6, Kind::Aaaa) } else { (Family::V4, Kind::A) };
            let expected = zone.answer(family, number, Moment::default());
            let reply = ask(authority.address(), kind, 1).await.unwrap();
            assert_eq!((reply.addresses, reply.ttl_s), (zone.addresses(&expected), expected.ttl_s), "{policy}, query {number}");
        }
        assert_eq!((authority.queries(), authority.query_log()[0].kind), (20, "AAAA"));
    }
}

#[tokio::test]
async fn members_come_and_go_after_t0_only() {
    let mut members: Vec<Member> = (0..4).map(|n| Member::new(format!("proxy-{n}"), proxy(n).into())).collect();
    members[0].changes = vec![(Duration::ZERO, MemberState::Unhealthy)];
    members[1].changes = vec![(Duration::ZERO, MemberState::Absent)];
    members[2].changes = vec![(Duration::from_secs(3_600), MemberState::Absent)];
    let zone = Zone::new(ZonePolicy::Multivalue, members, 5, Duration::from_secs(1), 7).unwrap();
    let authority = authority(zone.clone()).await;
    let answered = async || {
        let mut addresses = ask(authority.address(), Kind::A, 1).await.unwrap().addresses;
        addresses.sort_unstable();
        addresses
    };
    let all = v4(&[proxy(0), proxy(1), proxy(2), proxy(3)]);
    assert_eq!(answered().await, all);
    authority.set_t0_in(Duration::from_secs(3_600));
    assert_eq!(answered().await, all);
    authority.set_t0_in(Duration::ZERO);
    assert_eq!(answered().await, all[2..]);
}

#[tokio::test]
async fn a_zone_whose_members_are_all_gone_answers_with_nothing_and_draws_nothing() {
    let gone = Member { state: MemberState::Absent, ..Member::new("proxy-0".into(), proxy(0).into()) };
    let authority = authority(Zone::new(ZonePolicy::Simple, vec![gone], 60, Duration::from_secs(1), 7).unwrap()).await;
    let reply = ask(authority.address(), Kind::A, 1).await.unwrap();
    assert_eq!((reply.addresses, reply.ttl_s, authority.queries(), authority.query_log().len()), (vec![], 5, 0, 1));
}

fn aliases() -> Vec<String> {
    ["www.cdn.example.", "lb.example"].map(String::from).to_vec()
}

#[tokio::test]
async fn an_aliased_name_is_answered_with_its_chain_and_each_alias_by_itself() {
    let zone = zone(ZonePolicy::Multivalue, 3, 30);
    let authority = Authority::start_aliased(ANYWHERE, NAME, &aliases(), zone.clone()).await.unwrap();
    let asks =
        [(NAME, vec!["www.cdn.example.", "lb.example."]), ("WWW.cdn.example", vec!["lb.example."]), ("lb.example", vec![])];
    for (number, (asked, aliases)) in (0..).zip(asks) {
        let question = Question::new(asked, Kind::A).unwrap();
        let reply = stub::ask(authority.address(), &question, &plain(1, PATIENCE, 1)).await.unwrap();
        let addresses = zone.addresses(&zone.answer(Family::V4, number, Moment::default()));
        let aliases = aliases.into_iter().map(String::from).collect();
        assert_eq!(reply, Reply { addresses, ttl_s: 30, authoritative: true, aliases }, "{asked}");
    }
    let none = ask(authority.address(), Kind::Aaaa, 1).await.unwrap();
    assert_eq!((none.addresses.len(), none.ttl_s, none.aliases.len()), (0, 5, 2));
    let alias = over_udp(authority.address(), &query(NAME, RecordType::CNAME)).await;
    assert_eq!((alias.answers.len(), alias.answers[0].record_type(), alias.authorities.len()), (1, RecordType::CNAME, 0));
    let no_alias = over_udp(authority.address(), &query("lb.example", RecordType::CNAME)).await;
    assert_eq!((no_alias.answers.len(), negative_ttl(&no_alias)), (0, Some(5)));
    assert_eq!((authority.queries(), authority.query_log().len()), (3, 6));
}

#[tokio::test]
async fn whoever_looks_for_the_names_server_finds_this_one() {
    for (aliases, top) in [(vec![], "vote.example."), (aliases(), "lb.example.")] {
        let authority = Authority::start_aliased(ANYWHERE, NAME, &aliases, zone(ZonePolicy::Simple, 3, 60)).await.unwrap();
        let server = format!("ns.{top}");
        let found = over_udp(authority.address(), &query(NAME, RecordType::NS)).await;
        let last = found.answers.last().unwrap();
        assert_eq!((found.answers.len(), last.name.to_ascii()), (aliases.len() + 1, top.into()));
        assert_eq!(last.data, RData::NS(NS(name(&server))));
        let here = RData::A(A(Ipv4Addr::LOCALHOST));
        assert_eq!((found.additionals[0].name.to_ascii(), &found.additionals[0].data), (server.clone(), &here));
        let zone = over_udp(authority.address(), &query(top, RecordType::SOA)).await;
        assert_eq!(
            (zone.answers.len(), zone.answers[0].record_type(), zone.answers[0].name.to_ascii()),
            (1, RecordType::SOA, top.into())
        );
        let glue = over_udp(authority.address(), &query(&server, RecordType::A)).await;
        assert_eq!((glue.answers.len(), &glue.answers[0].data), (1, &here));
        let none = over_udp(authority.address(), &query(&server, RecordType::AAAA)).await;
        assert_eq!((none.metadata.response_code, none.answers.len(), negative_ttl(&none)), (ResponseCode::NoError, 0, Some(5)));
        assert_eq!((authority.queries(), authority.query_log().len()), (0, 2));
    }
}

#[tokio::test]
async fn aliases_that_lead_nowhere_are_refused() {
    let start = async |aliases: &[&str]| {
        let aliases: Vec<String> = aliases.iter().map(ToString::to_string).collect();
        Authority::start_aliased(ANYWHERE, NAME, &aliases, zone(ZonePolicy::Simple, 3, 60))
            .await
            .err()
            .map(|error| error.to_string())
    };
    let many: Vec<String> = (0..=MOST_ALIASES).map(|number| format!("a{number}.example")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let cases = [
        (&["VOTE.example."][..], "`VOTE.example.` stands twice"),
        (&["a.example", "b.example", "a.example"], "`a.example.` stands twice"),
        (&["a..example"], "`a..example` is no DNS name"),
        (&many, "a chain of 9 aliases: needed at most 8"),
    ];
    for (aliases, expected) in cases {
        let problem = start(aliases).await.unwrap();
        assert!(problem.contains(expected), "{problem}");
    }
    assert_eq!(start(&many[1..]).await, None);
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
