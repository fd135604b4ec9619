//! Addresses that an agent connects from.
//!
//! A connection is named by both addresses and both ports, so one source address can hold only as many
//! connections to one proxy as there are ephemeral ports; and `connect` slows down long before, for the kernel
//! hands out one half of the range first and then searches (Cloudflare, "connect() – why are you so slow?", 2024).
//! Under single-A answers *all* viewers of an agent may sit on one proxy: the budget is made for that case.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::path::Path;

/// The kernel's default range of ephemeral ports (`ip-sysctl`, `ip_local_port_range`).
pub const DEFAULT_PORTS: RangeInclusive<u16> = 32_768..=60_999;

/// The ephemeral ports of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports {
    range: RangeInclusive<u16>,
    reserved: u32,
}

impl Ports {
    /// The ports that the kernel of the machine at `root` hands out; [`DEFAULT_PORTS`] when it does not tell.
    #[must_use]
    pub fn read(root: &Path) -> Self {
        let text = |name: &str| fs::read_to_string(root.join("proc/sys/net/ipv4").join(name)).unwrap_or_default();
        let range = parse_ports(&text("ip_local_port_range")).unwrap_or(DEFAULT_PORTS);
        Self { reserved: parse_reserved(&text("ip_local_reserved_ports"), &range), range }
    }

    /// A range in which nothing is reserved.
    #[must_use]
    pub fn of(range: RangeInclusive<u16>) -> Self {
        Self { range, reserved: 0 }
    }

    /// The range they come from (`ip_local_port_range`).
    #[must_use]
    pub fn range(&self) -> &RangeInclusive<u16> {
        &self.range
    }

    /// How many of the range the kernel never hands out (`ip_local_reserved_ports`).
    #[must_use]
    pub fn reserved(&self) -> u32 {
        self.reserved
    }

    /// How many it does hand out, to each pair of a source address and a destination.
    #[must_use]
    pub fn usable(&self) -> u32 {
        u32::try_from(self.range.len()).unwrap_or(u32::MAX).saturating_sub(self.reserved)
    }

    /// How many connections from one source address to one destination stay cheap: half of the usable ports, at least 1.
    #[must_use]
    pub fn per_pair(&self) -> u32 {
        (self.usable() / 2).max(1)
    }
}

/// The ports that the kernel hands out on this machine, or [`DEFAULT_PORTS`] when it does not tell.
#[must_use]
pub fn local_ports() -> Ports {
    Ports::read(Path::new("/"))
}

/// The source addresses for an agent's share: those it was told, or, when its targets are on loopback, some of its own.
///
/// Neither: an empty list, and the kernel chooses.
#[must_use]
pub fn choose(slot: u32, viewers: u32, configured: &[IpAddr], loopback: bool, ports: &Ports) -> Vec<IpAddr> {
    if !configured.is_empty() {
        return configured.to_vec();
    }
    if loopback { automatic(slot, viewers, ports) } else { Vec::new() }
}

/// Source addresses on loopback for the agent with this slot: 127.(64 + slot / 200).(slot mod 200 + 1).1 and on.
///
/// As many as needed so that even with all viewers on one proxy no pair of addresses takes more than half of
/// the range. No two slots below 12,600 share an address; later ones begin again.
#[must_use]
pub fn automatic(slot: u32, viewers: u32, ports: &Ports) -> Vec<IpAddr> {
    let needed = viewers.div_ceil(ports.per_pair()).clamp(1, 254);
    let octet = |value: u32| u8::try_from(value).unwrap_or(u8::MAX);
    (1..=needed).map(|host| Ipv4Addr::new(127, octet(64 + slot / 200 % 63), octet(slot % 200 + 1), octet(host)).into()).collect()
}

fn parse_ports(text: &str) -> Option<RangeInclusive<u16>> {
    let mut words = text.split_ascii_whitespace().map(str::parse::<u16>);
    let (first, last) = (words.next()?.ok()?, words.next()?.ok()?);
    (first <= last).then_some(first..=last)
}

/// How many ports of the range stand in a list such as `8080,9148-9150` (ip-sysctl); the kernel writes it sorted, each once.
fn parse_reserved(text: &str, range: &RangeInclusive<u16>) -> u32 {
    let within = |entry: &str| {
        let (first, last) = entry.split_once('-').unwrap_or((entry, entry));
        let first = first.trim().parse::<u16>().ok()?.max(*range.start());
        let last = last.trim().parse::<u16>().ok()?.min(*range.end());
        (first <= last).then(|| u32::from(last - first) + 1)
    };
    text.split(',').filter_map(within).fold(0, u32::saturating_add)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_range_of_ports_is_read_as_the_kernel_writes_it() {
        for (text, range) in [
            ("32768\t60999\n", Some(32_768..=60_999)),
            ("1024 65535", Some(1_024..=65_535)),
            ("5 4", None),
            ("70000 80000", None),
            ("1024", None),
            ("", None),
        ] {
            assert_eq!(parse_ports(text), range, "{text:?}");
        }
    }

    #[test]
    fn reserved_ports_count_where_they_lie_in_the_range() {
        for (text, reserved) in [
            ("\n", 0),
            ("8080,9148\n", 0),
            ("32768", 1),
            ("8080,32000-32769,40000,60998-65000\n", 5),
            ("1-65535", 28_232),
            ("5-4,x,-,40000-", 0),
        ] {
            assert_eq!(parse_reserved(text, &DEFAULT_PORTS), reserved, "{text:?}");
        }
        let ports = Ports { range: DEFAULT_PORTS, reserved: 28_232 };
        assert_eq!((ports.usable(), ports.per_pair()), (0, 1));
    }

    #[test]
    fn addresses_follow_the_slot() {
        let first = |slot| automatic(slot, 1, &Ports::of(DEFAULT_PORTS))[0].to_string();
        assert_eq!(
            [0, 199, 200, 12_599, 12_600].map(first),
            ["127.64.1.1", "127.64.200.1", "127.65.1.1", "127.126.200.1", "127.64.1.1"]
        );
    }

    #[test]
    fn fifteen_thousand_viewers_on_one_proxy_need_two_addresses() {
        assert_eq!(automatic(0, 14_116, &Ports::of(DEFAULT_PORTS)).len(), 1);
        assert_eq!(automatic(0, 14_117, &Ports::of(DEFAULT_PORTS)).len(), 2);
        assert_eq!(automatic(0, 0, &Ports::of(DEFAULT_PORTS)).len(), 1);
    }

    #[test]
    fn told_addresses_stand_and_a_distant_target_leaves_the_choice_to_the_kernel() {
        let told: Vec<IpAddr> = vec!["10.0.0.7".parse().unwrap()];
        assert_eq!(choose(0, 5, &told, true, &Ports::of(DEFAULT_PORTS)), told);
        assert_eq!(choose(0, 5, &[], false, &Ports::of(DEFAULT_PORTS)), Vec::<IpAddr>::new());
        assert_eq!(choose(0, 5, &[], true, &Ports::of(DEFAULT_PORTS)), automatic(0, 5, &Ports::of(DEFAULT_PORTS)));
    }

    proptest! {
        #[test]
        fn no_pair_takes_more_than_half_of_the_range(slot in 0_u32..12_600, viewers in 0_u32..1_000_000, first in 1_024_u16..40_000) {
            let ports = Ports::of(first..=60_999);
            let sources = automatic(slot, viewers, &ports);
            let most = viewers.div_ceil(u32::try_from(sources.len()).unwrap());
            prop_assert!(most <= ports.per_pair());
            prop_assert!(sources.iter().all(IpAddr::is_loopback));
            prop_assert_eq!(sources.iter().collect::<HashSet<_>>().len(), sources.len());
        }
    }
}
