//! Lookups: groups one by one, their addresses and counts in columns.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use prost::Message as _;
use voteburst_burst::tally::{Group, LookupFailure, Lookups, MOST_SECONDS, PhoneGroup};

use super::{MOST_PROXIES, WireProblem, at_most, histogram, malformed};
use crate::wire;

/// The most carriers that a snapshot may name: as many as a scenario may have.
const MOST_CARRIERS: usize = 10_000;
/// The most kinds of phones: a viewer keeps the number of its kind in a byte.
const MOST_PHONES: usize = 256;
/// The most counts by address and second in one group: what some hundred addresses over ten minutes need.
const MOST_COUNTS: usize = 1 << 20;
/// An address takes this many bytes, IPv4 as its mapped form (RFC 4291, section 2.5.5.2).
const ADDRESS_BYTES: usize = 16;

pub(super) fn to_wire(lookups: &Lookups) -> wire::Lookups {
    let carriers = lookups.carriers.iter().map(|(carrier, group)| group_to_wire(u32::from(*carrier), group, None));
    let phones = lookups.phones.iter().map(|(phone, told)| group_to_wire(u32::from(*phone), &told.group, Some(&told.opened)));
    wire::Lookups {
        carriers: carriers.map(|group| group.encode_to_vec()).collect(),
        phones: phones.map(|group| group.encode_to_vec()).collect(),
        latency: histogram::to_wire(&lookups.latency),
        failures: lookups.failures.to_vec(),
    }
}

fn group_to_wire(index: u32, group: &Group, opened: Option<&BTreeMap<IpAddr, Vec<u32>>>) -> wire::LookupGroup {
    let addresses: BTreeSet<IpAddr> =
        group.answers.keys().chain(group.led_to.keys()).chain(opened.iter().flat_map(|opened| opened.keys())).copied().collect();
    let column =
        |counts: &BTreeMap<IpAddr, u64>| addresses.iter().map(|address| counts.get(address).copied().unwrap_or(0)).collect();
    let seconds = opened.iter().flat_map(|opened| opened.values()).map(Vec::len).max().unwrap_or(0);
    let row = |address: &IpAddr| {
        let counts = opened.and_then(|opened| opened.get(address)).map(Vec::as_slice).unwrap_or_default();
        counts.iter().copied().chain(std::iter::repeat_n(0, seconds - counts.len())).collect::<Vec<_>>()
    };
    wire::LookupGroup {
        index,
        asked: group.asked,
        remembered: group.remembered,
        failed: group.failed,
        addresses: addresses.iter().flat_map(|address| octets(*address)).collect(),
        answers: column(&group.answers),
        led_to: column(&group.led_to),
        seconds: u32::try_from(seconds).unwrap_or(u32::MAX),
        opened: if seconds == 0 { Vec::new() } else { addresses.iter().flat_map(row).collect() },
    }
}

fn octets(address: IpAddr) -> [u8; ADDRESS_BYTES] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

pub(super) fn from_wire(message: Option<wire::Lookups>) -> Result<Lookups, WireProblem> {
    let message = message.unwrap_or_default();
    let mut lookups = judge(&message)?;
    histogram::add_to(&mut lookups.latency, message.latency.as_ref())?;
    Ok(lookups)
}

/// The lookups without their histogram, which is read through and left empty.
pub(super) fn judge(message: &wire::Lookups) -> Result<Lookups, WireProblem> {
    histogram::judge(message.latency.as_ref())?;
    at_most("number of carriers in a snapshot", message.carriers.len(), MOST_CARRIERS)?;
    at_most("number of kinds of phones in a snapshot", message.phones.len(), MOST_PHONES)?;
    at_most("number of classes of failed lookups", message.failures.len(), LookupFailure::COUNT)?;
    let mut lookups = Lookups::default();
    lookups.failures[..message.failures.len()].copy_from_slice(&message.failures);
    for encoded in &message.carriers {
        let (index, told) = group_from_wire(encoded)?;
        let carrier = u16::try_from(index).map_err(|_| odd_index(index))?;
        if lookups.carriers.insert(carrier, told.group).is_some() {
            return Err(odd_index(index));
        }
    }
    for encoded in &message.phones {
        let (index, told) = group_from_wire(encoded)?;
        let phone = u8::try_from(index).map_err(|_| odd_index(index))?;
        if lookups.phones.insert(phone, told).is_some() {
            return Err(odd_index(index));
        }
    }
    Ok(lookups)
}

fn odd_index(index: u32) -> WireProblem {
    malformed("the number of a carrier or kind of phone", &index.to_string(), "each number of the scenario once")
}

fn group_from_wire(encoded: &[u8]) -> Result<(u32, PhoneGroup), WireProblem> {
    let message = wire::LookupGroup::decode(encoded).map_err(|error| WireProblem::Undecodable(error.to_string()))?;
    let (records, rest) = message.addresses.as_chunks::<ADDRESS_BYTES>();
    if !rest.is_empty() {
        let found = format!("{} bytes", message.addresses.len());
        return Err(malformed("the addresses of a carrier or kind of phone", &found, "16 bytes each"));
    }
    let (addresses, seconds) = (records.len(), message.seconds as usize);
    at_most("number of addresses of a carrier or kind of phone", addresses, MOST_PROXIES)?;
    at_most("number of seconds of a kind of phone", seconds, MOST_SECONDS as usize)?;
    at_most("number of counts of a kind of phone", addresses * seconds, MOST_COUNTS)?;
    at_most("number of counts of answers", message.answers.len(), addresses)?;
    at_most("number of counts of connections", message.led_to.len(), addresses)?;
    at_most("number of counts by second", message.opened.len(), addresses * seconds)?;
    let addresses: Vec<IpAddr> = records.iter().map(|octets| address(*octets)).collect();
    let counted =
        |column: &[u64]| addresses.iter().copied().zip(column.iter().copied()).filter(|(_, count)| *count > 0).collect();
    let rows = addresses.iter().copied().zip(message.opened.chunks(seconds.max(1)));
    let opened = rows.map(|(address, row)| (address, trimmed(row))).filter(|(_, row)| !row.is_empty()).collect();
    let group = Group {
        asked: message.asked,
        remembered: message.remembered,
        failed: message.failed,
        answers: counted(&message.answers),
        led_to: counted(&message.led_to),
    };
    Ok((message.index, PhoneGroup { group, opened }))
}

fn trimmed(row: &[u32]) -> Vec<u32> {
    let used = row.iter().rposition(|count| *count != 0).map_or(0, |last| last + 1);
    row[..used].to_vec()
}

fn address(octets: [u8; ADDRESS_BYTES]) -> IpAddr {
    let v6 = Ipv6Addr::from(octets);
    v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), |v4: Ipv4Addr| IpAddr::V4(v4))
}
