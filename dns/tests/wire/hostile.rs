//! Servers that lie, break off or babble: what the stub makes of each, and what a carrier in front of it tells a phone.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{RData, Record, RecordType};
use proptest::prelude::*;
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;
use voteburst_burst::cache::CacheModel;
use voteburst_burst::zone::ZonePolicy;
use voteburst_dns::carrier::{Carrier, CarrierSpec};
use voteburst_dns::stub::{self, AskError, Kind, MOST_ALIASES, Reply};

use crate::fixture::{
    ANYWHERE, Fake, IMPATIENCE, NAME, PATIENCE, a, answering, ask, ask_briefly, authority, cname, name, nobody, plain, query,
    question, soa, truncated, zone,
};

/// A server, what the stub makes of it, and how what a carrier in front of it tells a phone begins.
struct Case {
    what: &'static str,
    server: Fake,
    stub: &'static str,
    carrier: &'static str,
}

/// What came of a question, in a word or two.
fn outcome(asked: &Result<Reply, AskError>) -> String {
    match asked {
        Ok(Reply { addresses, ttl_s, .. }) => format!("{} addresses for {ttl_s} s", addresses.len()),
        Err(AskError::Timeout) => "timeout".into(),
        Err(AskError::Unreachable(_)) => "unreachable".into(),
        Err(AskError::NoSuchName { ttl_s }) => format!("no such name for {ttl_s} s"),
        Err(AskError::Code(code)) => format!("{code:?}"),
        Err(AskError::Malformed(_)) => "malformed".into(),
        Err(AskError::AliasLoop(_)) => "alias loop".into(),
        Err(error) => error.to_string(),
    }
}

/// A carrier in front of `upstream` that waits as little as the tests do.
async fn carrier(upstream: SocketAddr, each: Duration) -> Carrier {
    let spec = CarrierSpec {
        upstreams: vec![upstream],
        recursion_desired: false,
        cache: CacheModel::default(),
        caches: 1,
        client_subnet: None,
        each,
        attempts: 1,
        seed: 3,
    };
    Carrier::start(ANYWHERE, spec).await.unwrap()
}

/// A server that answers with these records, all of them in one packet.
async fn saying(records: Vec<Record>) -> Fake {
    Fake::start(move |query| vec![answering(query, records.clone()).to_vec().unwrap()]).await
}

/// A server that answers with this code.
async fn refusing(code: ResponseCode) -> Fake {
    Fake::start(move |query| {
        let mut message = answering(query, vec![]);
        message.metadata.response_code = code;
        message.add_authority(soa(9, 9));
        vec![message.to_vec().unwrap()]
    })
    .await
}

/// A server whose answer is spoilt by `spoil`.
async fn spoilt(spoil: fn(&mut Message)) -> Fake {
    Fake::start(move |query| {
        let mut message = answering(query, vec![a(NAME, 5, 66)]);
        spoil(&mut message);
        vec![message.to_vec().unwrap()]
    })
    .await
}

fn many(query: &[u8]) -> Vec<u8> {
    answering(query, (0..200).map(|number| a(NAME, 60, number)).collect()).to_vec().unwrap()
}

/// A server that truncates, and over TCP takes the query and says nothing, or hangs up at once.
async fn dead_over_tcp(hangs_up: bool) -> Fake {
    let listener = TcpListener::bind(ANYWHERE).await.unwrap();
    let socket = UdpSocket::bind(listener.local_addr().unwrap()).await.unwrap();
    let holding: JoinHandle<()> = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            if !hangs_up {
                held.push(stream);
            }
        }
    });
    Fake::on(socket, truncated).beside(holding)
}

async fn cases() -> Vec<Case> {
    let case = |what, server, stub, carrier| Case { what, server, stub, carrier };
    let long = cname(NAME, 60, NAME);
    vec![
        case("NXDOMAIN", refusing(ResponseCode::NXDomain).await, "no such name for 9 s", "no such name for 9 s"),
        case("SERVFAIL", refusing(ResponseCode::ServFail).await, "ServFail", "ServFail"),
        case("REFUSED", refusing(ResponseCode::Refused).await, "Refused", "ServFail"),
        case("silence", Fake::start(|_| vec![]).await, "timeout", "ServFail"),
        case("an empty packet", Fake::start(|_| vec![vec![]]).await, "timeout", "ServFail"),
        case("TTL 0", saying(vec![a(NAME, 0, 1)]).await, "1 addresses for 0 s", "1 addresses for 0 s"),
        case("TTL 2^31", saying(vec![a(NAME, 1 << 31, 1)]).await, "1 addresses for 0 s", "1 addresses for 0 s"),
        case("TTL 2^32 - 1", saying(vec![a(NAME, u32::MAX, 1)]).await, "1 addresses for 0 s", "1 addresses for 0 s"),
        // A phone asks its carrier over TCP too, and is then answered from the cache.
        case("200 records over TCP", Fake::start_both(truncated, many).await, "200 addresses for 60 s", "200 addresses"),
        // Without EDNS no server may send more than 512 bytes over UDP; the rest of this packet is lost.
        case("200 records over UDP", Fake::start(|query| vec![many(query)]).await, "malformed", "ServFail"),
        case("truncated, nobody there over TCP", Fake::start(truncated).await, "unreachable", "ServFail"),
        case("truncated, hung up over TCP", dead_over_tcp(true).await, "unreachable", "ServFail"),
        case("truncated, silent over TCP", dead_over_tcp(false).await, "timeout", "ServFail"),
        case(
            "a piece of an answer over TCP",
            Fake::start_both(truncated, |query| query[..9].into()).await,
            "malformed",
            "ServFail",
        ),
        case("an alias of itself", saying(vec![long]).await, "alias loop", "ServFail"),
        case(
            "aliases in a circle",
            saying(vec![cname(NAME, 60, "a.example"), cname("a.example", 60, NAME)]).await,
            "alias loop",
            "ServFail",
        ),
        case("another id", spoilt(|message| message.metadata.id ^= 1).await, "timeout", "ServFail"),
        case(
            "another question",
            spoilt(|message| {
                message.queries[0].set_name(name("other.example"));
            })
            .await,
            "timeout",
            "ServFail",
        ),
        case("no question", spoilt(|message| message.queries.clear()).await, "timeout", "ServFail"),
        case(
            "somebody else's address",
            saying(vec![a("other.example", 5, 66)]).await,
            "0 addresses for 0 s",
            "0 addresses for 0 s",
        ),
        case("half a packet", Fake::start(|query| vec![many(query)[..200].to_vec()]).await, "malformed", "ServFail"),
    ]
}

#[tokio::test]
async fn the_stub_tells_each_of_them_apart_in_time() {
    for case in cases().await {
        let asked = tokio::time::timeout(PATIENCE, ask_briefly(case.server.address)).await;
        assert_eq!(outcome(&asked.expect(case.what)), case.stub, "{}", case.what);
    }
}

#[tokio::test]
async fn a_carrier_tells_its_phones_what_real_resolvers_would_and_lives_on() {
    for case in cases().await {
        let carrier = carrier(case.server.address, IMPATIENCE).await;
        let first = outcome(&ask(carrier.address(), Kind::A, 1).await);
        assert!(first.starts_with(case.carrier), "{}: {first}", case.what);
        // The second answer may come from the cache, with less time left.
        let second = outcome(&ask(carrier.address(), Kind::A, 2).await);
        assert_eq!(second.split(" for").next(), first.split(" for").next(), "{}", case.what);
        assert!(carrier.counters().queries >= 2, "{}", case.what);
    }
}

#[tokio::test]
async fn a_dead_upstream_is_an_error_of_the_carrier() {
    let carrier = carrier(nobody().await, IMPATIENCE).await;
    assert_eq!(outcome(&ask(carrier.address(), Kind::A, 1).await), "ServFail");
}

#[tokio::test]
async fn a_flood_of_forged_answers_does_not_outlast_the_timeout() {
    let server = Fake::start(|query| {
        let mut forged = answering(query, vec![a(NAME, 5, 66)]);
        forged.metadata.id ^= 1;
        vec![forged.to_vec().unwrap(); 1_000]
    })
    .await;
    let asked = tokio::time::timeout(PATIENCE, ask_briefly(server.address)).await.unwrap();
    assert_eq!(outcome(&asked), "timeout");
}

/// Answers that are sound, in every shape that the stub knows.
fn shapes() -> Vec<Vec<u8>> {
    let asked = query(NAME, RecordType::A).to_vec().unwrap();
    let chain =
        vec![cname(NAME, 60, "a.example"), cname("a.example", 60, "b.example"), a("b.example", 60, 1), a("b.example", 60, 2)];
    let mut nothing = answering(&asked, vec![cname(NAME, 60, "a.example")]);
    nothing.add_authority(soa(60, 60));
    let text = RData::TXT(hickory_proto::rr::rdata::TXT::new(vec!["v=spf1 -all".into()]));
    let mut mixed = answering(&asked, vec![Record::from_rdata(name(NAME), 60, text), a(NAME, 60, 1)]);
    mixed.set_edns(hickory_proto::op::Edns::new());
    [answering(&asked, vec![a(NAME, 5, 1)]), answering(&asked, chain), nothing, mixed]
        .iter()
        .map(|message| message.to_vec().unwrap())
        .collect()
}

prop_compose! {
    /// A sound answer of which some bytes were changed, and which was cut or continued.
    fn mutated()(
        shape in 0..shapes().len(),
        // Not the id: a packet with another one is not read at all.
        changes in proptest::collection::vec((2_usize..200, any::<u8>()), 0..6),
        cut in prop_oneof![3 => Just(usize::MAX), 1 => 2_usize..120],
        more in proptest::collection::vec(any::<u8>(), 0..40),
    ) -> Vec<u8> {
        let mut bytes = shapes().swap_remove(shape);
        let length = bytes.len();
        for (at, byte) in changes {
            bytes[2 + at % (length - 2)] = byte;
        }
        bytes.truncate(cut);
        bytes.extend(more);
        bytes
    }
}

fn packet() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![proptest::collection::vec(any::<u8>(), 2..600), mutated()]
}

/// A server that sends this packet to everybody, with the id that was asked with.
async fn babbling(packet: Vec<u8>) -> Fake {
    Fake::start(move |query| {
        let mut packet = packet.clone();
        packet[..2].copy_from_slice(&query[..2]);
        vec![packet]
    })
    .await
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    // A server under attack or out of order may send anything: the stub must neither panic nor wait for ever.
    #[test]
    fn no_packet_at_all_upsets_the_stub(packet in packet()) {
        block_on(async {
            let server = babbling(packet).await;
            let (question, query) = (question(Kind::A), plain(77, Duration::from_millis(5), 1));
            let asked = tokio::time::timeout(PATIENCE, stub::ask(server.address, &question, &query)).await.expect("an end in time");
            if let Ok(reply) = asked {
                assert!(reply.aliases.len() <= MOST_ALIASES && reply.ttl_s <= i32::MAX as u32);
                // The largest shape has two records of 16 bytes; noise may be many of them.
                assert!(reply.addresses.len() <= 600 / 16, "{reply:?}");
            }
        });
    }

    // Whoever asks a carrier gets an answer from it, were it that there is none: a handler that panicked would be silent.
    #[test]
    fn no_packet_at_all_silences_a_carrier(packet in packet()) {
        block_on(async {
            let server = babbling(packet).await;
            let carrier = carrier(server.address, Duration::from_millis(5)).await;
            let asked = ask(carrier.address(), Kind::A, 1).await;
            assert!(matches!(&asked, Ok(_) | Err(AskError::NoSuchName { .. } | AskError::Code(ResponseCode::ServFail))), "{asked:?}");
        });
    }

    // The same for whoever is asked: packets that are no queries leave an authority and a carrier as they were.
    #[test]
    fn no_packet_at_all_silences_a_server(packets in proptest::collection::vec(packet(), 1..8)) {
        block_on(async {
            let authority = authority(zone(ZonePolicy::Simple, 3, 60)).await;
            let carrier = carrier(authority.address(), PATIENCE).await;
            let noise = UdpSocket::bind(ANYWHERE).await.unwrap();
            for server in [authority.address(), carrier.address()] {
                for packet in &packets {
                    noise.send_to(packet, server).await.unwrap();
                }
                assert_eq!(ask(server, Kind::A, 1).await.unwrap().addresses.len(), 3);
            }
        });
    }
}
