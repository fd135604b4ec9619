//! Connections that have ended and still hold their ports.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::machine::Tree;

/// TIME_WAIT as /proc/net/tcp writes it (the kernel's `tcp_states.h`).
const TIME_WAIT: &str = "06";

/// Sockets in TIME_WAIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeWait {
    pub(super) all: u64,
    /// Those whose other end is not on loopback.
    pub(super) away: u64,
}

/// Where the other ends of `all` sockets are. Those of which the system does not tell are taken for away.
///
/// Takes some 0.3 s where there are 250,000.
pub(super) fn read(tree: &Tree<'_>, all: u64) -> TimeWait {
    let here: u64 = if all == 0 { 0 } else { ["proc/net/tcp", "proc/net/tcp6"].iter().map(|path| on_loopback(tree, path)).sum() };
    TimeWait { all, away: all.saturating_sub(here) }
}

/// By line, for with as many sockets as a show has viewers the whole text would be 50 MB.
fn on_loopback(tree: &Tree<'_>, path: &str) -> u64 {
    let Ok(file) = File::open(tree.root.join(path)) else { return 0 };
    let lines = BufReader::new(file).lines().map_while(Result::ok);
    lines.filter(|line| waits_for(line).is_some_and(|address| address.to_canonical().is_loopback())).count() as u64
}

/// The other end of a line's socket, if that is in TIME_WAIT. Columns: number, this end, the other end, state (proc(5)).
fn waits_for(line: &str) -> Option<IpAddr> {
    let mut columns = line.split_ascii_whitespace().skip(2);
    let (other, state) = (columns.next()?, columns.next()?);
    (state == TIME_WAIT).then_some(())?;
    address(other.split_once(':')?.0)
}

/// An address as the kernel prints it: words of 32 bits, each a number in hexadecimal of bytes that lie in the network's order.
fn address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(text.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (at, place) in bytes.chunks_exact_mut(4).enumerate() {
                place.copy_from_slice(&word(at)?);
            }
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_end_of_a_socket_in_time_wait_is_read_as_the_kernel_prints_it() {
        let word = |bytes: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(bytes));
        let (here, away) = (word([127, 64, 1, 2]), word([198, 51, 100, 7]));
        let mapped = format!("{}{}{}{here}", word([0; 4]), word([0; 4]), word([0, 0, 255, 255]));
        let one = format!("{}{}{}{}", word([0; 4]), word([0; 4]), word([0; 4]), word([0, 0, 0, 1]));
        for (other, state, expected) in [
            (&here, "06", Some("127.64.1.2")),
            (&here, "01", None),
            (&away, "06", Some("198.51.100.7")),
            (&mapped, "06", Some("::ffff:127.64.1.2")),
            (&one, "06", Some("::1")),
            (&"7F00".to_owned(), "06", None),
            (&"é7F0001".to_owned(), "06", None),
        ] {
            let line = format!("   3: {here}:BB80 {other}:0050 {state} 00000000:00000000 03:00000176 00000000 0 0 0 3 000");
            assert_eq!(waits_for(&line), expected.map(|text| text.parse().unwrap()), "{line}");
        }
        assert_eq!(waits_for("  sl  local_address rem_address   st tx_queue rx_queue"), None);
        assert_eq!(waits_for(""), None);
    }
}
