//! A crew behind carriers that lie, break off or babble: every vote gets its fate, every failure its class, and whoever sits
//! behind a sound carrier votes on.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use support::{Play, Server, scenario};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use voteburst_burst::outcome::{Failure, Fate};

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// Response codes (RFC 1035, section 4.1.1).
const SERVFAIL: u8 = 2;
const NXDOMAIN: u8 = 3;
const REFUSED: u8 = 5;
/// The TC bit within the third byte.
const TRUNCATED: u8 = 0b10;

/// Makes packets of a query and of how many came before it.
type Script = Arc<dyn Fn(&[u8], usize) -> Vec<Vec<u8>> + Send + Sync>;

/// What a carrier does over TCP.
#[derive(Clone, Copy)]
enum OverTcp {
    /// Nobody listens.
    Nothing,
    /// It takes connections and says nothing.
    Silence,
    /// It answers with 200 addresses.
    Many,
}

/// A carrier, and how a vote of those behind it ends: counted, or failed with a class, or either.
struct Hostile {
    what: &'static str,
    over_udp: Script,
    over_tcp: OverTcp,
    ends: Ends,
}

#[derive(Clone, Copy)]
enum Ends {
    Counted,
    Failed(Failure),
    /// Whatever a packet of chance leads to.
    Somehow,
}

/// A reply with the query's id and question and these A records (RFC 1035, section 4.1).
fn reply(query: &[u8], code: u8, ttl_s: u32, addresses: &[Ipv4Addr]) -> Vec<u8> {
    let question_end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
    let mut reply = query[..question_end].to_vec();
    reply[2] = 0x84;
    reply[3] = code;
    let count = u16::try_from(addresses.len()).unwrap().to_be_bytes();
    reply[4..12].copy_from_slice(&[0, 1, count[0], count[1], 0, 0, 0, 0]);
    for address in addresses {
        reply.extend([0xc0, 12, 0, 1, 0, 1]);
        reply.extend(ttl_s.to_be_bytes());
        reply.extend([0, 4]);
        reply.extend(address.octets());
    }
    reply
}

/// A reply that says that the name is an alias of itself.
fn alias_of_itself(query: &[u8]) -> Vec<u8> {
    let mut reply = reply(query, 0, 60, &[]);
    reply[7] = 1;
    // The type CNAME; the target is a pointer to the question's name.
    reply.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 2, 0xc0, 12]);
    reply
}

/// A sound reply in which one byte, another one for each query, is not what it was; the id is left as it is.
fn flipped(query: &[u8], number: usize) -> Vec<u8> {
    let mut reply = reply(query, 0, 0, &[HERE]);
    let at = 2 + number % (reply.len() - 2);
    // Odd numbers reach every byte value before they repeat.
    reply[at] ^= u8::try_from(number * 37 % 255).unwrap() + 1;
    reply
}

fn hostile(what: &'static str, ends: Ends, over_udp: impl Fn(&[u8], usize) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Hostile {
    Hostile { what, over_udp: Arc::new(over_udp), over_tcp: OverTcp::Nothing, ends }
}

fn all() -> Vec<Hostile> {
    let dns = Ends::Failed(Failure::Dns);
    let code = |what, code| hostile(what, dns, move |query, _| vec![reply(query, code, 0, &[])]);
    let said = |what, ends, ttl_s, address| hostile(what, ends, move |query, _| vec![reply(query, 0, ttl_s, &[address])]);
    let truncated = |what, ends, over_tcp| {
        let truncated = hostile(what, ends, |query, _| {
            let mut reply = reply(query, 0, 60, &[]);
            reply[2] |= TRUNCATED;
            vec![reply]
        });
        Hostile { over_tcp, ..truncated }
    };
    let spoilt = |what, at: usize| {
        hostile(what, dns, move |query, _| {
            let mut reply = reply(query, 0, 60, &[HERE]);
            reply[at] ^= 1;
            vec![reply]
        })
    };
    vec![
        said("a sound one", Ends::Counted, 60, HERE),
        code("NXDOMAIN", NXDOMAIN),
        code("SERVFAIL", SERVFAIL),
        code("REFUSED", REFUSED),
        code("no address", 0),
        hostile("silence", dns, |_, _| vec![]),
        said("TTL 0", Ends::Counted, 0, HERE),
        said("TTL 2^31", Ends::Counted, 1 << 31, HERE),
        truncated("200 records over TCP", Ends::Counted, OverTcp::Many),
        truncated("truncated, nobody there over TCP", dns, OverTcp::Nothing),
        truncated("truncated, silent over TCP", dns, OverTcp::Silence),
        hostile("an alias of itself", dns, |query, _| vec![alias_of_itself(query)]),
        spoilt("another id", 0),
        // The first letter of the name.
        spoilt("another question", 13),
        said("a forbidden address", Ends::Failed(Failure::NotAllowed), 60, Ipv4Addr::new(192, 0, 2, 1)),
        hostile("noise", dns, |query, number| {
            let noise = (0..number * 7 % 500).map(|at| u8::try_from((at * at + number) % 256).unwrap());
            vec![query[..2].iter().copied().chain(noise).collect()]
        }),
        hostile("flipped bytes", Ends::Somehow, |query, number| vec![flipped(query, number)]),
    ]
}

/// Starts the carrier; it lives as long as the test's runtime.
async fn start(over_udp: Script, over_tcp: OverTcp) -> SocketAddr {
    // TCP first: its ports are the scarcer ones on a machine that runs other tests.
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let socket = UdpSocket::bind(address).await.unwrap();
    tokio::spawn(async move {
        let (mut packet, mut number) = ([0; 512], 0);
        while let Ok((length, peer)) = socket.recv_from(&mut packet).await {
            for answer in over_udp(&packet[..length], number) {
                // An asker that has gone makes no difference to the others.
                let _ = socket.send_to(&answer, peer).await;
            }
            number += 1;
        }
    });
    tokio::spawn(async move {
        if let OverTcp::Nothing = over_tcp {
            return;
        }
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            if let OverTcp::Many = over_tcp {
                let mut query = vec![0; stream.read_u16().await.unwrap().into()];
                stream.read_exact(&mut query).await.unwrap();
                let addresses: Vec<Ipv4Addr> = std::iter::once(HERE).chain((2..=200).map(|n| [127, 0, 1, n].into())).collect();
                let answer = reply(&query, 0, 60, &addresses);
                stream.write_u16(answer.len().try_into().unwrap()).await.unwrap();
                stream.write_all(&answer).await.unwrap();
            }
            held.push(stream);
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_carrier_sends_every_vote_has_a_fate_and_every_failure_a_class() {
    let carriers = all();
    let mut resolvers = Vec::new();
    for carrier in &carriers {
        resolvers.push(start(Arc::clone(&carrier.over_udp), carrier.over_tcp).await);
    }
    let server = Server::counting().await;
    let viewers = 12 * u32::try_from(carriers.len()).unwrap();
    let listed = resolvers.iter().map(|resolver| format!("\"{resolver}\"")).collect::<Vec<_>>().join(", ");
    let one = format!("[\"{}\"]", resolvers[0]);
    let text = scenario(viewers, resolvers[0], &[(&one, &format!("[{listed}]"))]);
    let play = Play::muster(&text, server.port).enter().await;
    play.fire();
    let result = play.result().await;

    let tickets = play.plan.tickets_of(&(0..viewers));
    assert_eq!((tickets.len(), result.fates.iter().sum::<u32>()), (viewers as usize, viewers));
    let mut failed = [0; Failure::COUNT];
    let (mut seen, mut by_chance) = (vec![0; carriers.len()], 0);
    for (ticket, fate) in tickets.iter().zip(&result.snapshot.fates) {
        let number = usize::from(play.plan.viewer(ticket.viewer).carrier);
        seen[number] += 1;
        let carrier = &carriers[number];
        let fate = Fate::from_number(*fate).unwrap();
        match carrier.ends {
            Ends::Counted => assert_eq!(fate, Fate::Accepted, "{}", carrier.what),
            Ends::Failed(class) => {
                assert_eq!(fate, Fate::NeverSent, "{}", carrier.what);
                failed[class as usize] += 1;
            }
            Ends::Somehow => by_chance += u64::from(fate != Fate::Accepted),
        }
    }
    assert!(seen.iter().all(|viewers| *viewers > 0), "{seen:?}: each carrier has viewers");
    // Those who met a packet of chance failed in one of the same ways, or found nobody at the address that it named.
    let of_chance: Vec<u32> = result.total.failed.iter().zip(failed).map(|(found, expected)| found - expected).collect();
    assert_eq!(of_chance.iter().map(|count| u64::from(*count)).sum::<u64>(), by_chance, "{of_chance:?}");
    for class in Failure::ALL {
        let possible = matches!(class, Failure::Dns | Failure::NotAllowed | Failure::Refused);
        assert!(possible || of_chance[class as usize] == 0, "{class}: {of_chance:?}");
    }
    assert!(result.snapshot.warnings.iter().any(|warning| warning.contains("not-allowed")), "{:?}", result.snapshot.warnings);
}
