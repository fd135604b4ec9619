//! Tallies: proxies one by one, seconds in columns.

use std::collections::BTreeSet;
use std::net::IpAddr;

use prost::Message as _;
use voteburst_burst::outcome::Failure;
use voteburst_burst::tally::{MOST_SECONDS, ProxyTally, Second, Tally};

use super::sealed::{Counts, Latencies, ProxyCounts};
use super::{WireProblem, at_most, histogram, malformed, response};
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
    let mut tally = Tally::default();
    judge(proxies, unplaced.as_ref())?;
    add_to(proxies, unplaced, &mut tally)?;
    Ok(tally)
}

/// Reads a tally through and keeps its sums only, of all and of each proxy.
pub(super) fn judge(proxies: &[Vec<u8>], unplaced: Option<&wire::ProxyTally>) -> Result<(Counts, Vec<ProxyCounts>), WireProblem> {
    at_most("number of proxies in a snapshot", proxies.len(), MOST_PROXIES)?;
    let (mut counts, mut known) = (Counts::default(), BTreeSet::new());
    let mut each = Vec::with_capacity(proxies.len());
    for encoded in proxies {
        let message = decoded(encoded)?;
        let address = address(&message.address)?;
        if !known.insert(address) {
            return Err(WireProblem::Twice(address));
        }
        judge_proxy(&message, &mut counts)?;
        each.push(counts_of(address, message.seconds.as_ref()));
    }
    unplaced.map_or(Ok(()), |message| judge_proxy(message, &mut counts))?;
    Ok((counts, each))
}

fn counts_of(address: IpAddr, seconds: Option<&wire::Seconds>) -> ProxyCounts {
    let sum = |column: fn(&wire::Seconds) -> &[u32]| sum(seconds.map_or(&[], column));
    let refused = seconds.map_or(0, |seconds| of_class(&seconds.failed, Failure::Refused as usize));
    ProxyCounts {
        address,
        opened: sum(|seconds| &seconds.opened),
        closed: sum(|seconds| &seconds.closed),
        dns_answers: sum(|seconds| &seconds.dns_answers),
        sent: sum(|seconds| &seconds.sent),
        accepted: sum(|seconds| &seconds.accepted),
        failed: sum(|seconds| &seconds.failed),
        refused,
    }
}

fn sum(column: &[u32]) -> u64 {
    column.iter().copied().map(u64::from).sum()
}

/// All failures of one class; a row of classes stands for each second.
fn of_class(failed: &[u32], class: usize) -> u64 {
    failed.iter().skip(class).step_by(Failure::COUNT).copied().map(u64::from).sum()
}

/// Adds the histograms that are looked at while a run goes on.
pub(super) fn add_latencies(
    proxies: &[Vec<u8>],
    unplaced: Option<&wire::ProxyTally>,
    sum: &mut Latencies,
) -> Result<(), WireProblem> {
    for encoded in proxies {
        let message = decoded(encoded)?;
        histogram::add_to(sum.response.entry(address(&message.address)?).or_default(), message.response.as_ref())?;
        histogram::add_to(&mut sum.lateness, message.lateness.as_ref())?;
        response::cells(message.response_seconds.as_ref(), |second, place, count| {
            sum.response_by_second.add(second, place, count)
        })?;
    }
    let Some(unplaced) = unplaced else { return Ok(()) };
    histogram::add_to(&mut sum.lateness, unplaced.lateness.as_ref())
}

/// Adds a tally that was judged to another one.
pub(super) fn add_to(proxies: &[Vec<u8>], unplaced: Option<wire::ProxyTally>, tally: &mut Tally) -> Result<(), WireProblem> {
    for encoded in proxies {
        let message = decoded(encoded)?;
        let index = tally.index(address(&message.address)?);
        add_proxy(&message, tally.proxy(index))?;
    }
    unplaced.map_or(Ok(()), |message| add_proxy(&message, &mut tally.unplaced))
}

fn decoded(encoded: &[u8]) -> Result<wire::ProxyTally, WireProblem> {
    wire::ProxyTally::decode(encoded).map_err(|error| WireProblem::Undecodable(error.to_string()))
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
        response_seconds: response::to_wire(&proxy.response_by_second),
    }
}

fn judge_proxy(message: &wire::ProxyTally, counts: &mut Counts) -> Result<(), WireProblem> {
    for latency in [&message.response, &message.service, &message.lateness] {
        histogram::judge(latency.as_ref())?;
    }
    counts.timed += response::judge(message.response_seconds.as_ref())?;
    let Some(seconds) = &message.seconds else { return Ok(()) };
    judge_seconds(seconds)?;
    counts.sent += sum(&seconds.sent);
    counts.accepted += sum(&seconds.accepted);
    counts.failed += sum(&seconds.failed);
    for (class, total) in counts.failed_by.iter_mut().enumerate() {
        *total += of_class(&seconds.failed, class);
    }
    Ok(())
}

fn add_proxy(message: &wire::ProxyTally, proxy: &mut ProxyTally) -> Result<(), WireProblem> {
    histogram::add_to(&mut proxy.response, message.response.as_ref())?;
    histogram::add_to(&mut proxy.service, message.service.as_ref())?;
    histogram::add_to(&mut proxy.lateness, message.lateness.as_ref())?;
    response::cells(message.response_seconds.as_ref(), |second, place, count| {
        proxy.response_by_second.add(second, place, count)
    })?;
    message.seconds.as_ref().map_or(Ok(()), |seconds| add_seconds(seconds, &mut proxy.seconds))
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

type Field = fn(&mut Second) -> &mut u32;

fn columns(message: &wire::Seconds) -> [(&[u32], Field); 8] {
    [
        (&message.opened, |s| &mut s.opened),
        (&message.closed, |s| &mut s.closed),
        (&message.closed_idle, |s| &mut s.closed_idle),
        (&message.also_rans, |s| &mut s.also_rans),
        (&message.dns_answers, |s| &mut s.dns_answers),
        (&message.sent, |s| &mut s.sent),
        (&message.ended, |s| &mut s.ended),
        (&message.accepted, |s| &mut s.accepted),
    ]
}

fn judge_seconds(message: &wire::Seconds) -> Result<(), WireProblem> {
    let count = message.count as usize;
    at_most("number of seconds of a proxy", count, MOST_SECONDS as usize)?;
    for (column, _) in columns(message) {
        at_most("length of a column of seconds", column.len(), count)?;
    }
    at_most("length of the failures of all seconds", message.failed.len(), count * Failure::COUNT)
}

fn add_seconds(message: &wire::Seconds, seconds: &mut Vec<Second>) -> Result<(), WireProblem> {
    judge_seconds(message)?;
    let count = message.count as usize;
    if seconds.len() < count {
        seconds.resize(count, Second::default());
    }
    for (column, field) in columns(message) {
        for (second, value) in seconds.iter_mut().zip(column) {
            let sum = field(second);
            *sum = sum.saturating_add(*value);
        }
    }
    for (second, row) in seconds.iter_mut().zip(message.failed.chunks(Failure::COUNT)) {
        for (sum, value) in second.failed.iter_mut().zip(row) {
            *sum = sum.saturating_add(*value);
        }
    }
    Ok(())
}
