//! Who answers for a name, through a resolver that plays a small internet.

use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{AAAA, NS};
use hickory_proto::rr::{RData, Record, RecordType};
use voteburst_dns::find::{FindError, Found, authorities};
use voteburst_dns::stub::{AskError, Query};

use crate::fixture::*;

fn ns(owner: &str, server: &str) -> Record {
    Record::from_rdata(name(owner), 300, RData::NS(NS(name(server))))
}

/// A resolver that answers each question (name and type) with these records and additional ones; everything else exists, but has none
/// of the kind, unless it begins with `no-`.
async fn resolver(said: Vec<(&'static str, RecordType, Vec<Record>, Vec<Record>)>) -> Fake {
    Fake::start(move |query| {
        let mut message = answering(query, vec![]);
        let asked = message.queries[0].clone();
        let known = said.iter().find(|(owner, kind, ..)| name(owner) == *asked.name() && *kind == asked.query_type());
        if let Some((_, _, answers, additional)) = known {
            message.add_answers(answers.clone());
            message.add_additionals(additional.clone());
        } else if asked.name().to_ascii().starts_with("no-") {
            message.metadata.response_code = ResponseCode::NXDomain;
        } else {
            message.add_authority(soa(5, 5));
        }
        vec![message.to_vec().unwrap()]
    })
    .await
}

async fn find(asked: &str, resolver: &Fake) -> Result<Found, FindError> {
    authorities(asked, resolver.address, &Query { recursion_desired: true, ..plain(9, PATIENCE, 1) }, 5_353).await
}

#[tokio::test]
async fn servers_are_found_upward_and_glue_is_taken() {
    let resolver = resolver(vec![
        ("vote.show.example", RecordType::A, vec![a("vote.show.example", 5, 1)], vec![]),
        (
            "example",
            RecordType::NS,
            vec![ns("example", "one.example"), ns("example", "two.example"), ns("example", "dead.example")],
            vec![a("one.example", 300, 11), a("stranger.example", 300, 99)],
        ),
        ("two.example", RecordType::A, vec![a("two.example", 300, 12)], vec![]),
    ])
    .await;
    let found = find("vote.show.example", &resolver).await.unwrap();
    assert_eq!((found.owner.as_str(), found.zone.as_str()), ("vote.show.example.", "example."));
    let expected = [("one.example.", proxy(11)), ("two.example.", proxy(12))];
    let servers: Vec<_> = found.servers.iter().map(|(server, address)| (server.as_str(), address.to_string())).collect();
    assert_eq!(servers, expected.map(|(server, address)| (server, format!("{address}:5353"))));
    assert!(found.aliases.is_empty());
    // A of the name; NS of three names upward; A of two, then AAAA of the one without.
    assert_eq!(resolver.queries().len(), 1 + 3 + 2 + 1);
}

#[tokio::test]
async fn servers_are_those_of_the_name_at_the_end_of_the_aliases() {
    let v6 = "2001:db8::53".parse().unwrap();
    let resolver = resolver(vec![
        (
            "vote.example",
            RecordType::A,
            vec![cname("vote.example", 300, "edge.cdn.example"), a("edge.cdn.example", 5, 1)],
            vec![],
        ),
        ("cdn.example", RecordType::NS, vec![ns("cdn.example", "ns.cdn.example")], vec![]),
        ("ns.cdn.example", RecordType::AAAA, vec![Record::from_rdata(name("ns.cdn.example"), 5, RData::AAAA(AAAA(v6)))], vec![]),
    ])
    .await;
    let found = find("vote.example", &resolver).await.unwrap();
    assert_eq!((found.owner.as_str(), found.zone.as_str()), ("edge.cdn.example.", "cdn.example."));
    assert_eq!(found.aliases, ["edge.cdn.example."]);
    assert_eq!(found.servers, [("ns.cdn.example.".to_owned(), "[2001:db8::53]:5353".parse().unwrap())]);
}

#[tokio::test]
async fn each_way_to_find_nobody_has_its_own_message() {
    let nothing = resolver(vec![
        ("lonely.example", RecordType::A, vec![a("lonely.example", 5, 1)], vec![]),
        ("mute.example", RecordType::A, vec![a("mute.example", 5, 1)], vec![]),
        ("mute.example", RecordType::NS, vec![ns("mute.example", "no-such.example")], vec![]),
    ])
    .await;
    let gone = find("no-such.example", &nothing).await.unwrap_err();
    assert!(matches!(gone, FindError::Resolver { source: AskError::NoSuchName { .. }, .. }), "{gone}");
    let lonely = find("lonely.example", &nothing).await.unwrap_err();
    assert!(matches!(lonely, FindError::NoServers { .. }) && lonely.to_string().contains("--server"), "{lonely}");
    let mute = find("mute.example", &nothing).await.unwrap_err();
    assert!(matches!(mute, FindError::NoAddresses { .. }) && mute.to_string().contains("no-such.example."), "{mute}");
    assert!(matches!(find("a..b", &nothing).await, Err(FindError::Name(_))));
    assert!(matches!(find(&"a.".repeat(21), &nothing).await, Err(FindError::Deep(_))));
    let silent = authorities(NAME, nobody().await, &plain(9, Duration::from_millis(50), 1), 53).await.unwrap_err();
    assert!(matches!(silent, FindError::Resolver { source: AskError::Unreachable(_), .. }), "{silent}");
}
