//! What a simulated agent has counted: cumulative, second by second.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use voteburst_burst::clock::Offset;
use voteburst_burst::outcome::{Failure, Fate};
use voteburst_burst::tally::{Asker, Tally};
use voteburst_proto::message::Snapshot;

/// Proxies of the target.
pub(crate) const PROXIES: u32 = 15;
/// Seconds from doors open to T0.
pub(crate) const DOORS: u32 = 30;
/// Kinds of phones, as in the bench's scenario.
const PHONES: u32 = 3;

/// Numbers that look like chance and are the same in every run (Steele et al., "SplitMix", 2014).
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    /// The next number in [0, 1).
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A latency with this median, in nanoseconds: log-normal with a sigma of 0.8, by the sum of twelve uniform numbers.
    fn latency_ns(&mut self, median_ms: f64) -> u64 {
        let normal = (0..12).map(|_| self.next()).sum::<f64>() - 6.0;
        (median_ms * 1e6 * (0.8 * normal).exp()) as u64
    }
}

/// The fleet's proxies.
fn proxy(number: u32) -> IpAddr {
    Ipv4Addr::from(0xc633_6401 + number).into()
}

/// The doors: every viewer asks for the name and connects.
pub(crate) fn entered(viewers: u32, chance: &mut Chance) -> Tally {
    let mut tally = Tally::default();
    for viewer in 0..viewers {
        let (number, second) = ((chance.next() * f64::from(PROXIES)) as u32, viewer * DOORS / viewers.max(1));
        let (index, asker) = (tally.index(proxy(number)), Asker { carrier: 0, phone: (viewer % PHONES) as u8 });
        let opened = tally.proxy(index).second(second);
        (opened.opened, opened.dns_answers) = (opened.opened + 1, opened.dns_answers + 1);
        tally.lookups.answered(asker, proxy(number), chance.latency_ns(8.0));
        tally.lookups.led_to(asker, proxy(number), second);
    }
    tally
}

/// One more second of the burst, with so many votes; one of two hundred fails first.
pub(crate) fn vote(tally: &mut Tally, second: u32, votes: u32, chance: &mut Chance) {
    for _ in 0..votes {
        let index = tally.index(proxy((chance.next() * f64::from(PROXIES)) as u32));
        let (service, late) = (chance.latency_ns(25.0), chance.latency_ns(0.2));
        let fails = chance.next() < 0.005;
        let of_proxy = tally.proxy(index);
        of_proxy.service.record_ns(service);
        of_proxy.lateness.record_ns(late);
        of_proxy.response.record_ns(service + late + if fails { 400_000_000 } else { 0 });
        let counts = of_proxy.second(DOORS + second);
        counts.sent += 1 + u32::from(fails);
        counts.ended += 1 + u32::from(fails);
        counts.accepted += 1;
        counts.failed[Failure::COUNT / 2] += u32::from(fails);
    }
}

/// The snapshot that holds this tally.
pub(crate) fn snapshot(tally: Tally, ended: u32, last: bool) -> Snapshot {
    Snapshot {
        run: super::RUN,
        agent: 0,
        incarnation: 0,
        seq: 0,
        last,
        tally,
        ended,
        connected: 300,
        connected_at_t0: Some(300),
        first_send_lateness_ns: Some(150_000),
        offset: Offset { nanos: 0, bound_ns: 100_000 },
        cpu: Duration::from_secs(1),
        memory_bytes: 64 << 20,
        warnings: Vec::new(),
        watched: None,
        fates: if last { vec![Fate::Accepted; ended as usize] } else { Vec::new() },
    }
}
