//! Where on loopback a stage sets itself up: a block of addresses and one port that is free on all of them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use voteburst_burst::draw::{Stream, below, draw};

use crate::error::StageError;

/// The most fronts one block holds: 127.x.y.11 to 127.x.y.254.
const MOST_FRONTS: u16 = 244;
/// Ports below the kernel's usual range for outgoing connections (`net.ipv4.ip_local_port_range`, 32768–60999).
const PORTS: std::ops::Range<u16> = 10_000..30_000;

/// A block of loopback addresses, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Where the fronts listen, in their order.
    pub(crate) fronts: Vec<Ipv4Addr>,
    /// The port of every front.
    pub(crate) port: u16,
}

impl Place {
    /// The place of an attempt: drawn, so that stages that run side by side do not ask for the same one.
    pub(crate) fn draw(seed: u64, attempt: u64, fronts: u16) -> Result<Self, StageError> {
        if !(1..=MOST_FRONTS).contains(&fronts) {
            return Err(StageError::Fronts { found: fronts, most: MOST_FRONTS });
        }
        let pick = |number, limit| below(draw(seed, Stream::StageAddress, attempt * 3 + number), limit);
        // 127.0.0.0/12 is left to others: resolvers, real proxies, agents' sources.
        let block = (127 << 24 | (16 + pick(0, 240)) << 16 | pick(1, 256) << 8) as u32;
        let address = |last: u32| Ipv4Addr::from(block | last);
        Ok(Self {
            fronts: (0..u32::from(fronts)).map(|front| address(11 + front)).collect(),
            port: PORTS.start + pick(2, u64::from(PORTS.end - PORTS.start)) as u16,
        })
    }

    /// Whether the port is free on every address now. Somebody may take it before a worker does: then the worker says so.
    ///
    /// # Errors
    /// What the system said of the first address that is not free.
    pub(crate) fn probe(&self) -> io::Result<()> {
        // Without SO_REUSEADDR: remnants of an earlier stage count as taken.
        self.fronts.iter().try_for_each(|&front| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
            socket.bind(&SocketAddr::new(IpAddr::V4(front), self.port).into())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn places_are_blocks_of_neighbouring_loopback_addresses() {
        for attempt in 0..1000 {
            let place = Place::draw(9, attempt, MOST_FRONTS).unwrap();
            assert!(place.fronts.iter().all(Ipv4Addr::is_loopback) && PORTS.contains(&place.port), "{place:?}");
            assert!(place.fronts[0].octets()[1] >= 16, "{place:?}");
            assert_eq!((place.fronts[0].octets()[3], place.fronts[243].octets()[3]), (11, 254));
            assert_eq!(place.fronts.iter().collect::<HashSet<_>>().len(), 244);
        }
    }

    #[test]
    fn attempts_and_seeds_lead_to_different_places() {
        let places: HashSet<_> = (0..100).map(|attempt| Place::draw(1, attempt, 1).unwrap().fronts[0]).collect();
        assert!(places.len() > 95, "{}", places.len());
        assert_ne!(Place::draw(1, 0, 3).unwrap(), Place::draw(2, 0, 3).unwrap());
    }

    #[test]
    fn a_place_is_not_free_if_one_of_its_addresses_is_taken() {
        let place = (0..20).map(|attempt| Place::draw(5, attempt, 3).unwrap()).find(|place| place.probe().is_ok()).unwrap();
        let _taken = TcpListener::bind((place.fronts[2], place.port)).unwrap();
        assert_eq!(place.probe().unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn no_fronts_and_too_many_are_refused() {
        for fronts in [0, 245] {
            assert!(matches!(Place::draw(1, 0, fronts), Err(StageError::Fronts { .. })));
        }
    }
}
