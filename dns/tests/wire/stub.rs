//! The stub against servers that misbehave in every way one can.

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::RecordType;
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use tokio::net::UdpSocket;
use voteburst_burst::scenario::Subnet;
use voteburst_dns::stub::{self, AskError, Kind, Query, Question, Reply};

use crate::fixture::{
    ANYWHERE, Fake, IMPATIENCE, NAME, PATIENCE, a, answering, ask, ask_briefly, name, nobody, plain, proxy, question, soa,
    truncated,
};

/// What a sound server answers.
fn sound(query: &[u8]) -> Vec<u8> {
    answering(query, vec![a(NAME, 5, 1)]).to_vec().unwrap()
}

/// The reply of a cache with these proxies.
fn said(numbers: &[u8], ttl_s: u32) -> Reply {
    let addresses = numbers.iter().map(|number| proxy(*number).into()).collect();
    Reply { addresses, ttl_s, authoritative: false, aliases: vec![] }
}

fn soundly_answered() -> Reply {
    said(&[1], 5)
}

#[tokio::test]
async fn every_attempt_at_a_silent_server_repeats_the_same_query_and_then_time_is_up() {
    let silent = UdpSocket::bind(ANYWHERE).await.unwrap();
    let asked = stub::ask(
        silent.local_addr().unwrap(),
        &question(Kind::A),
        &Query { recursion_desired: true, ..plain(0xbeef, IMPATIENCE, 3) },
    )
    .await;
    assert!(matches!(asked, Err(AskError::Timeout)), "{asked:?}");
    let mut buffer = [0; 512];
    let (length, first) = silent.recv_from(&mut buffer).await.unwrap();
    let sent = Message::from_vec(&buffer[..length]).unwrap();
    assert_eq!((sent.metadata.id, sent.metadata.recursion_desired, sent.queries.len()), (0xbeef, true, 1));
    for _ in 0..2 {
        let mut again = [0; 512];
        assert_eq!(silent.recv_from(&mut again).await.unwrap(), (length, first));
        assert_eq!(again, buffer);
    }
    let more = silent.try_recv(&mut buffer);
    assert_eq!(more.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_told_from_silence() {
    let asked = ask(nobody().await, Kind::A, 1).await;
    assert!(matches!(asked, Err(AskError::Unreachable(_))), "{asked:?}");
}

/// What is wrong with a message, in words and in deed.
type Spoil = (&'static str, fn(&mut Message));

#[tokio::test]
async fn answers_to_other_queries_are_passed_over() {
    let spoils: [Spoil; 4] = [
        ("another id", |message| message.metadata.id ^= 1),
        ("another name", |message| {
            message.queries[0].set_name(name("other.example"));
        }),
        ("another type", |message| {
            message.queries[0].set_query_type(RecordType::AAAA);
        }),
        ("a query", |message| message.metadata.message_type = MessageType::Query),
    ];
    for (what, spoil) in spoils {
        let server = Fake::start(move |query| {
            let mut spoilt = answering(query, vec![a(NAME, 5, 99)]);
            spoil(&mut spoilt);
            vec![spoilt.to_vec().unwrap(), sound(query)]
        });
        assert_eq!(ask(server.await.address, Kind::A, 1).await.unwrap(), soundly_answered(), "{what}");
    }
}

#[tokio::test]
async fn nobody_else_can_answer_in_the_servers_stead() {
    let server = UdpSocket::bind(ANYWHERE).await.unwrap();
    let address = server.local_addr().unwrap();
    let forger = tokio::spawn(async move {
        let mut buffer = [0; 512];
        let (length, peer) = server.recv_from(&mut buffer).await.unwrap();
        let stranger = UdpSocket::bind(ANYWHERE).await.unwrap();
        stranger.send_to(&sound(&buffer[..length]), peer).await.unwrap();
        server
    });
    let asked = ask_briefly(address).await;
    assert!(matches!(asked, Err(AskError::Timeout)), "{asked:?}");
    forger.await.unwrap();
}

#[tokio::test]
async fn a_packet_that_cannot_be_read_is_malformed() {
    let server = Fake::start(|query| vec![sound(query)[..20].to_vec()]).await;
    let asked = ask(server.address, Kind::A, 1).await;
    assert!(matches!(asked, Err(AskError::Malformed(_))), "{asked:?}");
}

#[tokio::test]
async fn codes_are_told_apart_and_asked_for_once_only() {
    for code in [ResponseCode::NXDomain, ResponseCode::ServFail, ResponseCode::Refused] {
        let server = Fake::start(move |query| {
            let mut message = answering(query, vec![]);
            message.metadata.response_code = code;
            vec![message.to_vec().unwrap()]
        });
        let server = server.await;
        match stub::ask(server.address, &question(Kind::A), &plain(1, PATIENCE, 3)).await {
            Err(AskError::NoSuchName { ttl_s }) => assert_eq!((code, ttl_s), (ResponseCode::NXDomain, 0)),
            Err(AskError::Code(found)) => assert_eq!(code, found),
            other => panic!("{code}: {other:?}"),
        }
        assert_eq!(server.queries().len(), 1, "{code}");
    }
}

#[tokio::test]
async fn a_server_that_leaves_the_question_out_is_heard_when_it_refuses_only() {
    for (code, heard) in [(ResponseCode::FormErr, true), (ResponseCode::Refused, true), (ResponseCode::NXDomain, false)] {
        let server = Fake::start(move |query| {
            let mut message = answering(query, vec![]);
            message.metadata.response_code = code;
            message.queries.clear();
            vec![message.to_vec().unwrap()]
        });
        let asked = ask_briefly(server.await.address).await;
        match asked {
            Err(AskError::Code(found)) => assert!(heard && found == code, "{code}: {found}"),
            Err(AskError::Timeout) => assert!(!heard, "{code}"),
            other => panic!("{code}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_truncated_answer_is_asked_for_again_over_tcp() {
    // Truncated between records and within one.
    for cut in [0, 3] {
        let truncated = move |query: &[u8]| {
            let mut message = answering(query, vec![a(NAME, 5, 99)]);
            message.metadata.truncation = true;
            let bytes = message.to_vec().unwrap();
            vec![bytes[..bytes.len() - cut].to_vec()]
        };
        let server = Fake::start_both(truncated, sound).await;
        assert_eq!(ask(server.address, Kind::A, 1).await.unwrap(), soundly_answered(), "{cut} bytes cut");
    }
}

#[tokio::test]
async fn a_tcp_server_that_answers_something_else_makes_no_sense() {
    let other = |query: &[u8]| {
        let mut message = answering(query, vec![a(NAME, 5, 1)]);
        message.metadata.id ^= 1;
        message.to_vec().unwrap()
    };
    let server = Fake::start_both(truncated, other).await;
    let asked = ask(server.address, Kind::A, 1).await;
    assert!(matches!(asked, Err(AskError::Malformed(_))), "{asked:?}");
}

#[tokio::test]
async fn an_answer_keeps_its_order_and_its_least_ttl() {
    let cases = [
        ("the order of the wire", vec![a(NAME, 9, 3), a(NAME, 9, 1), a(NAME, 9, 2)], vec![3, 1, 2], 9),
        ("the least of many", vec![a(NAME, 9, 3), a(NAME, 4, 1)], vec![3, 1], 4),
        ("capitals do not matter", vec![a("VOTE.example", 7, 1)], vec![1], 7),
        ("a stray record", vec![a("evil.example", 1, 66), a(NAME, 7, 1)], vec![1], 7),
        ("a TTL with its highest bit set", vec![a(NAME, 1 << 31, 1)], vec![1], 0),
    ];
    for (what, records, numbers, ttl_s) in cases {
        let server = Fake::start(move |query| vec![answering(query, records.clone()).to_vec().unwrap()]).await;
        assert_eq!(ask(server.address, Kind::A, 1).await.unwrap(), said(&numbers, ttl_s), "{what}");
    }
}

#[tokio::test]
async fn no_addresses_may_be_kept_for_the_lesser_ttl_of_the_soa() {
    for (own, minimum, least) in [(60, 5, 5), (5, 60, 5), (1 << 31, 60, 0), (60, 1 << 31, 0)] {
        for code in [ResponseCode::NoError, ResponseCode::NXDomain] {
            let server = Fake::start(move |query| {
                let mut message = answering(query, vec![]);
                message.metadata.response_code = code;
                message.add_authority(soa(own, minimum));
                vec![message.to_vec().unwrap()]
            });
            match ask(server.await.address, Kind::Aaaa, 1).await {
                Ok(reply) => assert_eq!((reply, code), (said(&[], least), ResponseCode::NoError)),
                Err(AskError::NoSuchName { ttl_s }) => assert_eq!((ttl_s, code), (least, ResponseCode::NXDomain)),
                other => panic!("{code}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn an_authority_is_told_from_a_cache() {
    for authoritative in [true, false] {
        let server = Fake::start(move |query| {
            let mut message = answering(query, vec![a(NAME, 5, 1)]);
            message.metadata.authoritative = authoritative;
            vec![message.to_vec().unwrap()]
        });
        assert_eq!(ask(server.await.address, Kind::A, 1).await.unwrap(), Reply { authoritative, ..said(&[1], 5) });
    }
}

#[tokio::test]
async fn a_clients_network_travels_with_the_query_only_when_it_is_given() {
    let server = Fake::start(|query| vec![sound(query)]).await;
    let subnet = Subnet { address: [192, 0, 2, 77].into(), prefix: 24 };
    for client_subnet in [None, Some(subnet)] {
        let query = Query { client_subnet, ..plain(1, PATIENCE, 1) };
        assert_eq!(stub::ask(server.address, &question(Kind::A), &query).await.unwrap(), soundly_answered());
    }
    let sent: Vec<Message> = server.queries().iter().map(|bytes| Message::from_vec(bytes).unwrap()).collect();
    assert_eq!(sent[0].edns, None);
    let edns = sent[1].edns.as_ref().unwrap();
    let told = EdnsOption::Subnet(ClientSubnet::new([192, 0, 2, 0].into(), 24, 0));
    assert_eq!((edns.max_payload(), edns.option(EdnsCode::Subnet)), (1_232, Some(&told)));
}

#[test]
fn names_that_are_none_are_refused_with_a_reason() {
    for refused in ["", ".", "vote..example", &"x".repeat(64), &["x".repeat(60).as_str(); 5].join(".")] {
        let problem = Question::new(refused, Kind::A).unwrap_err();
        assert!(problem.to_string().contains(&format!("`{refused}` is no DNS name")), "{problem}");
    }
    for accepted in ["vote", "vote.example", "vote.example.", "_dmarc.vote-2.example"] {
        assert!(Question::new(accepted, Kind::A).is_ok(), "{accepted}");
    }
}
