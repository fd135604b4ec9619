//! Tallies: proxies one by one, seconds in columns.

use std::collections::BTreeSet;
use std::net::IpAddr;

use prost::Message as _;
use voteburst_burst::outcome::Failure;
use voteburst_burst::tally::{MOST_SECONDS, ProxyTally, Second, Tally};

use super::{WireProblem, at_most, histogram, malformed};
use crate::wire;

/// The most proxies a snapshot may name. An answer holds some hundred addresses at most, and each proxy costs the
/// coordinator three histograms of 80 KB.
pub const MOST_PROXIES: usize = 1_024;

/// The encoded proxies and the unplaced rest.
pub(super) fn to_wire(tally: &Tally) -> (Vec<Vec<u8>>, wire::ProxyTally) {
    let proxies = tally
        .proxies()
        .into_iter()
        .map(|(address, proxy)| {
            let octets = match address {
                IpAddr::V4(v4) => v4.octets().to_vec(),
                IpAddr::V6(v6) => v6.octets().to_vec(),
            };
            proxy_to_wire(octets, proxy).encode_to_vec()
        })
        .collect();
    (proxies, proxy_to_wire(Vec::new(), &tally.unplaced))
}

pub(super) fn from_wire(proxies: &[Vec<u8>], unplaced: Option<wire::ProxyTally>) -> Result<Tally, WireProblem> {
    at_most("number of proxies in a snapshot", proxies.len(), MOST_PROXIES)?;
    let mut tally = Tally::default();
    let mut known = BTreeSet::new();
    for encoded in proxies {
        let message =
            wire::ProxyTally::decode(encoded.as_slice()).map_err(|error| WireProblem::Undecodable(error.to_string()))?;
        let address = address(&message.address)?;
        if !known.insert(address) {
            return Err(WireProblem::Twice(address));
        }
        let index = tally.index(address);
        *tally.proxy(index) = proxy_from_wire(message)?;
    }
    tally.unplaced = proxy_from_wire(unplaced.unwrap_or_default())?;
    Ok(tally)
}

fn address(octets: &[u8]) -> Result<IpAddr, WireProblem> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from))
        .map_err(|_| malformed("the address of a proxy", &format!("{} bytes", octets.len()), "4 or 16 bytes"))
}

fn proxy_to_wire(address: Vec<u8>, proxy: &ProxyTally) -> wire::ProxyTally {
    wire::ProxyTally {
        address,
        response: histogram::to_wire(&proxy.response),
        service: histogram::to_wire(&proxy.service),
        lateness: histogram::to_wire(&proxy.lateness),
        seconds: Some(seconds_to_wire(&proxy.seconds)),
    }
}

fn proxy_from_wire(message: wire::ProxyTally) -> Result<ProxyTally, WireProblem> {
    Ok(ProxyTally {
        response: histogram::from_wire(message.response)?,
        service: histogram::from_wire(message.service)?,
        lateness: histogram::from_wire(message.lateness)?,
        seconds: seconds_from_wire(&message.seconds.unwrap_or_default())?,
    })
}

fn seconds_to_wire(seconds: &[Second]) -> wire::Seconds {
    let column = |read: fn(&Second) -> u32| trimmed(seconds.iter().map(read).collect());
    wire::Seconds {
        count: u32::try_from(seconds.len()).unwrap_or(u32::MAX),
        opened: column(|s| s.opened),
        closed: column(|s| s.closed),
        closed_idle: column(|s| s.closed_idle),
        also_rans: column(|s| s.also_rans),
        dns_answers: column(|s| s.dns_answers),
        sent: column(|s| s.sent),
        ended: column(|s| s.ended),
        accepted: column(|s| s.accepted),
        failed: trimmed(seconds.iter().flat_map(|s| s.failed).collect()),
    }
}

fn trimmed(mut column: Vec<u32>) -> Vec<u32> {
    let used = column.iter().rposition(|value| *value != 0).map_or(0, |last| last + 1);
    column.truncate(used);
    column
}

fn seconds_from_wire(message: &wire::Seconds) -> Result<Vec<Second>, WireProblem> {
    let count = message.count as usize;
    at_most("number of seconds of a proxy", count, MOST_SECONDS as usize)?;
    let mut seconds = vec![Second::default(); count];
    type Field = fn(&mut Second) -> &mut u32;
    let columns: [(&[u32], Field); 8] = [
        (&message.opened, |s| &mut s.opened),
        (&message.closed, |s| &mut s.closed),
        (&message.closed_idle, |s| &mut s.closed_idle),
        (&message.also_rans, |s| &mut s.also_rans),
        (&message.dns_answers, |s| &mut s.dns_answers),
        (&message.sent, |s| &mut s.sent),
        (&message.ended, |s| &mut s.ended),
        (&message.accepted, |s| &mut s.accepted),
    ];
    for (column, field) in columns {
        at_most("length of a column of seconds", column.len(), count)?;
        for (second, value) in seconds.iter_mut().zip(column) {
            *field(second) = *value;
        }
    }
    at_most("length of the failures of all seconds", message.failed.len(), count * Failure::COUNT)?;
    for (second, row) in seconds.iter_mut().zip(message.failed.chunks(Failure::COUNT)) {
        second.failed[..row.len()].copy_from_slice(row);
    }
    Ok(seconds)
}
