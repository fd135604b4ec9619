use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::join_all;
use tokio::net::UdpSocket;
use tokio::time::sleep;
use voteburst_burst::phone::PhoneKind;

use super::*;

/// What a name server says to one kind of question.
#[derive(Clone, Copy)]
enum Says {
    /// These addresses, with this TTL, so many milliseconds later.
    Yes(&'static [&'static str], u32, u64),
    NoSuchName,
    Nothing,
}

use Says::{NoSuchName, Nothing, Yes};

const V4: Says = Yes(&["127.0.0.1", "127.0.0.2"], 5, 0);
const V6: Says = Yes(&["::1"], 60, 0);

/// A name server, and how often it was asked for IPv4 and IPv6.
struct Server {
    address: SocketAddr,
    asked: Arc<[AtomicU32; 2]>,
}

impl Server {
    async fn saying(v4: Says, v6: Says) -> Self {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let (address, asked) = (socket.local_addr().unwrap(), Arc::new([AtomicU32::new(0), AtomicU32::new(0)]));
        let counts = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut packet = [0_u8; 512];
            while let Ok((length, peer)) = socket.recv_from(&mut packet).await {
                let end = 12 + packet[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
                let is_v6 = packet[end - 3] == 28;
                counts[usize::from(is_v6)].fetch_add(1, Ordering::SeqCst);
                let (query, says) = (packet[..length].to_vec(), if is_v6 { v6 } else { v4 });
                let socket = Arc::clone(&socket);
                tokio::spawn(async move {
                    if let Yes(_, _, after) = says {
                        sleep(Duration::from_millis(after)).await;
                    }
                    if let Some(reply) = reply(&query[..end], says) {
                        socket.send_to(&reply, peer).await.unwrap();
                    }
                });
            }
        });
        Self { address, asked }
    }

    /// Questions for IPv4 and IPv6 so far.
    fn asked(&self) -> [u32; 2] {
        [0, 1].map(|kind| self.asked[kind].load(Ordering::SeqCst))
    }
}

/// A reply to this id and question (RFC 1035, section 4.1).
fn reply(question: &[u8], says: Says) -> Option<Vec<u8>> {
    let (addresses, ttl_s, code) = match says {
        Yes(addresses, ttl_s, _) => (addresses, ttl_s, 0),
        NoSuchName => (&[][..], 0, 3),
        Nothing => return None,
    };
    let mut reply = question.to_vec();
    (reply[2], reply[3]) = (0x84, code);
    reply[4..12].copy_from_slice(&[0, 1, 0, u8::try_from(addresses.len()).unwrap(), 0, 0, 0, 0]);
    for address in addresses {
        let octets = match address.parse::<IpAddr>().unwrap() {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        reply.extend([0xc0, 12, 0, if octets.len() == 4 { 1 } else { 28 }, 0, 1]);
        reply.extend(ttl_s.to_be_bytes());
        reply.extend([0, u8::try_from(octets.len()).unwrap()]);
        reply.extend(octets);
    }
    Some(reply)
}

/// Viewers that all hold one kind of phone, behind one carrier.
struct Phones {
    resolver: Resolver,
    model: PhoneModel,
    clock: Clock,
}

impl Phones {
    fn of(kind: PhoneKind, server: &Server) -> Self {
        let text = format!(
            r#"
            name = "phones"
            seed = 1
            audience = {{ viewers = 40, phones = [{{ kind = "{}", share = 1.0 }}] }}
            carriers = {{ resolvers = ["{}"] }}
            dns = {{ ipv6 = true, timeout = "400ms", attempts = 1 }}
            target = {{ url = "http://vote.test/vote?ballot={{ballot}}" }}
            questions = [{{ id = "q", window = "1s", arrivals = {{ shape = "uniform" }}, choices = {{ anna = 1.0 }} }}]
            "#,
            kind.name(),
            server.address
        );
        let scenario = Scenario::parse(&text, "phones.toml", &|_| Err(io::ErrorKind::NotFound.into())).unwrap();
        let resolver = Resolver::new(&scenario, vec![server.address], false, 0, 40).unwrap();
        Self { resolver, model: kind.model().unwrap(), clock: Clock::start() }
    }

    /// What the phone of one viewer makes of the name, so many seconds after the first one was there.
    async fn at(&self, seconds: u64, me: u32) -> Result<Resolved, NotResolved> {
        let viewer = Viewer { phone: 0, carrier: 0, enters_after: Duration::ZERO };
        self.resolver.resolve(me, viewer, &self.model, self.clock.ahead(Duration::from_secs(seconds))).await
    }

    /// Where viewer 0 connects after so many seconds, in order.
    async fn list(&self, seconds: u64) -> Vec<String> {
        self.at(seconds, 0).await.unwrap().addresses.iter().map(ToString::to_string).collect()
    }
}

#[tokio::test]
async fn a_phone_keeps_its_answer_for_as_long_as_its_kind_does_and_then_asks_again() {
    // Seconds after the first lookup, and how often IPv4 was asked for until then.
    for (kind, expected) in [
        (PhoneKind::AndroidOkhttp, [(4, 1), (6, 2)]),
        (PhoneKind::IosUrlsession, [(14, 1), (16, 2)]),
        (PhoneKind::BrowserChromium, [(59, 1), (61, 2)]),
        (PhoneKind::JvmDefault, [(29, 1), (31, 2)]),
        (PhoneKind::GlibcNoCache, [(0, 2), (0, 3)]),
        (PhoneKind::NaiveLoadtool, [(100, 1), (1_000_000, 1)]),
    ] {
        let server = Server::saying(V4, V6).await;
        let phones = Phones::of(kind, &server);
        assert!(phones.at(0, 0).await.unwrap().answered.is_some());
        for (seconds, asked) in expected {
            let before = server.asked()[0];
            let resolved = phones.at(seconds, 0).await.unwrap();
            assert_eq!((server.asked()[0], resolved.answered.is_some()), (asked, asked > before), "{} {seconds}", kind.name());
        }
    }
}

#[tokio::test]
async fn each_device_asks_for_itself_and_a_process_once_for_all_who_wait() {
    for (kind, lookups) in [(PhoneKind::AndroidOkhttp, 40), (PhoneKind::JvmDefault, 1), (PhoneKind::NaiveLoadtool, 1)] {
        let server = Server::saying(V4, V6).await;
        let phones = Phones::of(kind, &server);
        let all = join_all((0..40).map(|me| phones.at(0, me))).await;
        let answered = all.iter().filter(|resolved| resolved.as_ref().unwrap().answered.is_some()).count();
        assert_eq!((server.asked()[0], answered), (lookups, lookups as usize), "{}", kind.name());
    }
}

#[tokio::test]
async fn those_who_waited_for_a_lookup_that_failed_share_its_failure() {
    for (kind, again) in [(PhoneKind::JvmDefault, false), (PhoneKind::NaiveLoadtool, true)] {
        let server = Server::saying(Nothing, Nothing).await;
        let phones = Phones::of(kind, &server);
        let all = join_all((0..40).map(|me| phones.at(0, me))).await;
        let count = |failure| all.iter().filter(|failed| failed.as_ref().unwrap_err().failure == failure).count();
        assert_eq!([count(LookupFailure::NoAnswer), count(LookupFailure::Remembered)], [1, 39], "{}", kind.name());
        assert_eq!(server.asked()[0], 1);
        // Whoever comes later asks again, unless this kind keeps failures in mind: a JVM does for 10 s.
        let later = phones.at(5, 0).await.unwrap_err().failure;
        assert_eq!(later == LookupFailure::NoAnswer, again, "{}: {later}", kind.name());
        assert_eq!(phones.at(11, 0).await.unwrap_err().failure, LookupFailure::NoAnswer);
    }
}

#[tokio::test]
async fn families_are_asked_for_and_preferred_as_each_kind_does() {
    for (kind, list, asked) in [
        (PhoneKind::AndroidOkhttp, vec!["::1", "127.0.0.1", "127.0.0.2"], [1, 1]),
        (PhoneKind::AndroidOkhttp4, vec!["::1", "127.0.0.1", "127.0.0.2"], [1, 1]),
        (PhoneKind::IosUrlsession, vec!["::1", "127.0.0.1", "127.0.0.2"], [1, 1]),
        (PhoneKind::BrowserChromium, vec!["::1", "127.0.0.1", "127.0.0.2"], [1, 1]),
        (PhoneKind::JvmDefault, vec!["127.0.0.1"], [1, 1]),
        (PhoneKind::NaiveLoadtool, vec!["127.0.0.1"], [1, 0]),
    ] {
        let server = Server::saying(V4, V6).await;
        let phones = Phones::of(kind, &server);
        assert_eq!(phones.list(0).await, list, "{}", kind.name());
        assert_eq!(server.asked(), asked, "{}", kind.name());
    }
}

#[tokio::test]
async fn an_answer_of_both_families_is_kept_for_the_lesser_ttl() {
    let server = Server::saying(Yes(&["127.0.0.1"], 60, 0), Yes(&["::1"], 5, 0)).await;
    let phones = Phones::of(PhoneKind::AndroidOkhttp, &server);
    for (seconds, asked) in [(0, 1), (4, 1), (6, 2)] {
        phones.at(seconds, 0).await.unwrap();
        assert_eq!(server.asked(), [asked, asked]);
    }
}

#[tokio::test]
async fn apple_waits_a_moment_for_ipv6_once_it_has_ipv4_and_android_for_both() {
    let late = Yes(&["::1"], 60, 300);
    for (kind, list) in [
        (PhoneKind::IosUrlsession, vec!["127.0.0.1", "127.0.0.2"]),
        (PhoneKind::AndroidOkhttp, vec!["::1", "127.0.0.1", "127.0.0.2"]),
    ] {
        let server = Server::saying(V4, late).await;
        assert_eq!(Phones::of(kind, &server).list(0).await, list, "{}", kind.name());
    }
    // The other way round Apple waits: there is nothing to fall back on yet.
    let server = Server::saying(Yes(&["127.0.0.1"], 60, 100), V6).await;
    assert_eq!(Phones::of(PhoneKind::IosUrlsession, &server).list(0).await, ["::1", "127.0.0.1"]);
}

#[tokio::test]
async fn one_family_is_enough_and_what_ipv4_was_told_stands_for_both() {
    for (v4, v6, list) in [
        (V4, Nothing, vec!["127.0.0.1", "127.0.0.2"]),
        (V4, NoSuchName, vec!["127.0.0.1", "127.0.0.2"]),
        (V4, Yes(&[], 60, 0), vec!["127.0.0.1", "127.0.0.2"]),
        (Nothing, V6, vec!["::1"]),
        (Yes(&[], 60, 0), V6, vec!["::1"]),
    ] {
        let server = Server::saying(v4, v6).await;
        for kind in [PhoneKind::AndroidOkhttp, PhoneKind::IosUrlsession] {
            assert_eq!(Phones::of(kind, &server).list(0).await, list, "{}", kind.name());
        }
    }
    for (v4, v6, failure) in [
        (NoSuchName, Nothing, LookupFailure::NoSuchName),
        (Nothing, NoSuchName, LookupFailure::NoAnswer),
        (Yes(&[], 60, 0), Nothing, LookupFailure::NoAddress),
    ] {
        let server = Server::saying(v4, v6).await;
        for kind in [PhoneKind::AndroidOkhttp, PhoneKind::IosUrlsession, PhoneKind::GlibcNoCache] {
            let failed = Phones::of(kind, &server).at(0, 0).await.unwrap_err();
            assert_eq!((failed.failure, failed.class), (failure, Failure::Dns), "{}", kind.name());
            assert!(failed.what.contains(&server.address.to_string()), "{}", failed.what);
        }
    }
}

#[tokio::test]
async fn an_address_that_failed_or_worked_moves_as_the_kind_remembers_it() {
    let [one, two] = ["127.0.0.1", "127.0.0.2"].map(|address| address.parse::<IpAddr>().unwrap());
    for (kind, worked, failed, first) in [
        // OkHttp tries a failed route last.
        (PhoneKind::AndroidOkhttp, None, Some(one), "127.0.0.2"),
        // URLSession tries one that worked first.
        (PhoneKind::IosUrlsession, Some(two), None, "127.0.0.2"),
        (PhoneKind::IosUrlsession, None, Some(one), "127.0.0.1"),
        (PhoneKind::BrowserChromium, Some(two), Some(one), "127.0.0.1"),
        (PhoneKind::GlibcNoCache, Some(two), Some(one), "127.0.0.1"),
    ] {
        let server = Server::saying(V4, Yes(&[], 60, 0)).await;
        let phones = Phones::of(kind, &server);
        assert_eq!(phones.list(0).await[0], "127.0.0.1");
        phones.resolver.tried(0, &phones.model, worked, &Vec::from_iter(failed));
        assert_eq!(phones.list(1).await[0], first, "{}", kind.name());
        // An answer that is newer does not change what is known of its addresses, and another viewer's phone knows nothing.
        assert_eq!(phones.list(100).await[0], first, "{}", kind.name());
        assert_eq!(phones.at(0, 1).await.unwrap().addresses[0], one, "{}", kind.name());
    }
}
