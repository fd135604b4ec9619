//! Names that are aliases: chains within one answer and over several, and such as never end.

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::NS;
use hickory_proto::rr::{RData, Record};
use voteburst_dns::stub::{AskError, Kind, MOST_ALIASES, Reply};

use crate::fixture::{Fake, NAME, PATIENCE, a, answering, ask, ask_briefly, cname, name, proxy, soa};

/// The name after so many aliases.
fn link(number: usize) -> String {
    if number == 0 { NAME.into() } else { format!("a{number}.example") }
}

/// The name that a query asks for, without its last dot.
fn asked_for(query: &[u8]) -> String {
    Message::from_vec(query).unwrap().queries[0].name().to_ascii().trim_end_matches('.').into()
}

/// A server that answers each name of the chain by the next alias only, and the last by an address; every record has its
/// own TTL, that of alias `n` being `100 - n`.
async fn one_by_one(aliases: usize) -> Fake {
    Fake::start(move |query| {
        let position = (0..=aliases).find(|number| link(*number) == asked_for(query)).unwrap();
        let ttl_s = 100 - u32::try_from(position).unwrap();
        let record =
            if position == aliases { a(&link(position), ttl_s, 1) } else { cname(&link(position), ttl_s, &link(position + 1)) };
        vec![answering(query, vec![record]).to_vec().unwrap()]
    })
    .await
}

type Answer = fn(&[u8]) -> Message;

/// A server that has one answer for each name, and is silent about others.
async fn by_name(answers: Vec<(&'static str, Answer)>) -> Fake {
    Fake::start(move |query| {
        let wanted = asked_for(query);
        answers.iter().filter(|(name, _)| *name == wanted).map(|(_, answer)| answer(query).to_vec().unwrap()).collect()
    })
    .await
}

#[tokio::test]
async fn a_chain_is_followed_over_as_many_answers_as_it_takes() {
    for aliases in [0, 1, 2, MOST_ALIASES] {
        let server = one_by_one(aliases).await;
        let reply = ask(server.address, Kind::A, 9).await.unwrap();
        let expected = Reply {
            addresses: vec![proxy(1).into()],
            // The last record lives shortest.
            ttl_s: 100 - u32::try_from(aliases).unwrap(),
            authoritative: false,
            aliases: (1..=aliases).map(|number| link(number) + ".").collect(),
        };
        assert_eq!(reply, expected);
        let ids: Vec<u16> = server.queries().iter().map(|query| Message::from_vec(query).unwrap().metadata.id).collect();
        assert_eq!(ids.len(), aliases + 1);
        assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "{ids:?}");
    }
}

#[tokio::test]
async fn a_chain_within_one_answer_is_read_at_once_and_its_least_ttl_counts() {
    let chain = vec![cname(NAME, 60, "a1.example"), cname("a1.example", 4, "a2.example"), a("a2.example", 30, 1), a(NAME, 1, 66)];
    let server = Fake::start(move |query| vec![answering(query, chain.clone()).to_vec().unwrap()]).await;
    let reply = ask(server.address, Kind::A, 1).await.unwrap();
    let aliases = vec!["a1.example.".into(), "a2.example.".into()];
    assert_eq!(reply, Reply { addresses: vec![proxy(1).into()], ttl_s: 4, authoritative: false, aliases });
    assert_eq!(server.queries().len(), 1);
}

#[tokio::test]
async fn chains_that_never_end_are_told_with_their_names() {
    let loops: [(&str, Vec<Record>); 4] = [
        ("itself", vec![cname(NAME, 60, NAME)]),
        ("there and back", vec![cname(NAME, 60, "a1.example"), cname("a1.example", 60, NAME)]),
        ("capitals make no other name", vec![cname(NAME, 60, "VOTE.example")]),
        ("too long", (0..=MOST_ALIASES).map(|number| cname(&link(number), 60, &link(number + 1))).collect()),
    ];
    for (what, records) in loops {
        let server = Fake::start(move |query| vec![answering(query, records.clone()).to_vec().unwrap()]).await;
        let asked = ask(server.address, Kind::A, 1).await;
        let Err(error @ AskError::AliasLoop(_)) = asked else { panic!("{what}: {asked:?}") };
        assert!(error.to_string().contains("vote.example. -> "), "{error}");
        assert_eq!(server.queries().len(), 1, "{what}");
    }
}

#[tokio::test]
async fn a_loop_over_several_answers_ends_too() {
    let too_long = one_by_one(MOST_ALIASES + 1).await;
    let there_and_back = by_name(vec![
        (NAME, |query| answering(query, vec![cname(NAME, 60, "a1.example")])),
        ("a1.example", |query| answering(query, vec![cname("a1.example", 60, NAME)])),
    ])
    .await;
    for (server, queries) in [(too_long, MOST_ALIASES + 1), (there_and_back, 2)] {
        let asked = ask(server.address, Kind::A, 1).await;
        assert!(matches!(asked, Err(AskError::AliasLoop(_))), "{asked:?}");
        assert_eq!(server.queries().len(), queries);
    }
}

#[tokio::test]
async fn an_alias_that_has_no_address_is_not_asked_for_again() {
    let answer = |code: ResponseCode| {
        move |query: &[u8]| {
            let mut message = answering(query, vec![cname(NAME, 7, "a1.example")]);
            message.metadata.response_code = code;
            message.add_authority(soa(60, 60));
            vec![message.to_vec().unwrap()]
        }
    };
    let (nothing, missing) =
        (Fake::start(answer(ResponseCode::NoError)).await, Fake::start(answer(ResponseCode::NXDomain)).await);
    let reply = ask(nothing.address, Kind::Aaaa, 1).await.unwrap();
    // The alias may be another one after its own TTL.
    assert_eq!((reply.addresses.len(), reply.ttl_s, reply.aliases), (0, 7, vec!["a1.example.".to_owned()]));
    let asked = ask(missing.address, Kind::A, 1).await;
    assert!(matches!(asked, Err(AskError::NoSuchName { ttl_s: 7 })), "{asked:?}");
    assert_eq!((nothing.queries().len(), missing.queries().len()), (1, 1));
}

#[tokio::test]
async fn an_alias_into_a_zone_that_the_server_does_not_serve_is_named() {
    let refused = |query: &[u8]| {
        let mut message = answering(query, vec![]);
        message.metadata.response_code = ResponseCode::Refused;
        message
    };
    let referral = |query: &[u8]| {
        let mut message = answering(query, vec![]);
        message.add_authority(Record::from_rdata(name("example"), 60, RData::NS(NS(name("ns.example")))));
        message
    };
    let elsewhere: [Answer; 2] = [refused, referral];
    for answer in elsewhere {
        let alias: Answer = |query| answering(query, vec![cname(NAME, 7, "lb.example")]);
        let server = by_name(vec![(NAME, alias), ("lb.example", answer)]).await;
        let asked = ask(server.address, Kind::A, 1).await;
        assert!(matches!(&asked, Err(AskError::AliasElsewhere(target)) if target == "lb.example."), "{asked:?}");
    }
}

#[tokio::test]
async fn silence_about_an_alias_takes_no_longer_than_silence_about_the_name() {
    let server = by_name(vec![(NAME, |query| answering(query, vec![cname(NAME, 7, "lb.example")]))]).await;
    let asked = tokio::time::timeout(PATIENCE, ask_briefly(server.address)).await.unwrap();
    assert!(matches!(asked, Err(AskError::Timeout)), "{asked:?}");
    assert_eq!(server.queries().len(), 2);
}
