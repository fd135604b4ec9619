//! A Java virtual machine with nothing set, as servers and many load tools run on one.

use super::*;

use std::sync::mpsc::{Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};

use voteburst_burst::phone::PhoneKind;

use crate::services::program;

/// What a Java program prints for so many lookups, so many milliseconds apart.
fn lookups(place: &Place, options: &[&str], name: &str, times: u32, apart_ms: u32) -> Vec<String> {
    let (source, times, apart) = (client("Lookup.java"), times.to_string(), apart_ms.to_string());
    let words = [options, &[source.to_str().unwrap(), name, &times, &apart]].concat();
    place.lines(&program("java"), &words)
}

/// The option that sets a security property; `-D` alone does not set those.
fn with(place: &Place, property: &str) -> String {
    let file = place.dir.path().join("more.security");
    std::fs::write(&file, property).unwrap();
    format!("-Djava.security.properties={}", file.display())
}

#[test]
fn a_jvm_keeps_answers_for_thirty_seconds_and_failures_for_ten_unless_told_otherwise() {
    // The class that its cache asks; the tests below show that it obeys.
    let words = ["--add-exports", "java.base/sun.net=ALL-UNNAMED"];
    let ended = Command::new(program("java")).args(words).arg(client("Policy.java")).output().unwrap();
    let model = PhoneKind::JvmDefault.model().unwrap();
    assert_eq!(said(&ended).trim(), format!("{} {}", model.lifetime_s(1), model.failure_s));
    assert_eq!(model.lifetime_s(1), model.lifetime_s(3_600), "whatever the TTL");
}

#[test]
fn a_jvm_keeps_an_answer_whatever_its_ttl_and_takes_the_first_address() {
    let Some(place) = Place::serving(&far(8), 1, false) else { return };
    let lines = lookups(&place, &[], NAME, 3, 1_200);
    let asked = place.answers("A");
    assert_eq!(asked.len(), 1, "two TTLs have passed, and 30 s have not: {lines:?}");
    assert_eq!(lines.len(), 6, "{lines:?}");
    for pair in lines.chunks(2) {
        assert_eq!(addresses(&pair[0]), asked[0], "the order of DNS, and no rotation while cached");
        assert_eq!(pair[1], format!("socket {}", asked[0][0]), "a socket's address is the first");
    }
}

#[test]
fn a_jvm_told_to_keep_answers_for_a_second_asks_again_after_it() {
    let Some(place) = Place::serving(&far(8), 300, false) else { return };
    let lines = lookups(&place, &[&with(&place, "networkaddress.cache.ttl=1\n")], NAME, 2, 2_100);
    assert_eq!(place.answers("A").len(), 2, "so it was the cache that kept it before: {lines:?}");
}

#[test]
fn a_jvm_puts_ipv4_first_though_it_asks_for_both() {
    if !has_ipv6() {
        return;
    }
    let mut both: Vec<IpAddr> = vec![Ipv6Addr::LOCALHOST.into()];
    both.extend(far(4));
    let Some(place) = Place::serving(&both, 300, false) else { return };
    let lines = lookups(&place, &[], NAME, 1, 0);
    let (four, six) = (place.answers("A"), place.answers("AAAA"));
    assert_eq!((four.len(), six.len()), (1, 1), "{lines:?}");
    assert_eq!(addresses(&lines[0]), [&*four[0], &*six[0]].concat());
    assert_eq!(lines[1], format!("socket {}", four[0][0]));
}

/// A name server that knows no name, and how often it was asked for an IPv4 address. The authority's log would not tell: it
/// holds its own name only.
struct Nobody {
    stop: Sender<()>,
    counting: JoinHandle<u32>,
}

impl Nobody {
    fn at(address: Ipv4Addr) -> Self {
        let socket = UdpSocket::bind((address, 53)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let (stop, stopped) = channel::<()>();
        let counting = thread::spawn(move || {
            let (mut queries, mut packet) = (0, [0; 512]);
            while matches!(stopped.try_recv(), Err(TryRecvError::Empty)) {
                let Ok((length, from)) = socket.recv_from(&mut packet) else { continue };
                // Type A, class IN, at the end of the question.
                queries += u32::from(packet[..length].windows(4).any(|end| end == [0, 1, 0, 1]));
                // NXDOMAIN (RFC 1035, section 4.1.1) with the question as it came.
                (packet[2], packet[3]) = (0x85, 0x83);
                packet[6..12].fill(0);
                socket.send_to(&packet[..length], from).unwrap();
            }
            queries
        });
        Self { stop, counting }
    }

    fn queries(self) -> u32 {
        drop(self.stop);
        self.counting.join().unwrap()
    }
}

#[test]
fn a_jvm_keeps_in_mind_that_a_lookup_failed_for_as_long_as_it_is_told_to() {
    let Some(place) = Place::serving(&far(1), 300, false) else { return };
    let address = place.block.address(54);
    place.resolves_at(address);
    let for_a_second = with(&place, "networkaddress.cache.negative.ttl=1\n");
    for (options, apart_ms, expected) in [(&[][..], 1_500, 1), (&[&*for_a_second][..], 2_100, 2)] {
        let nobody = Nobody::at(address);
        let lines = lookups(&place, options, "nobody.clients.test.", 2, apart_ms);
        assert_eq!((lines, nobody.queries()), (vec!["error".to_owned(), "error".to_owned()], expected), "{options:?}");
    }
}
