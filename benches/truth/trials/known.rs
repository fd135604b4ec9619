//! Answers that take a known time: does the report give that time back?
//!
//! Two figures of a report are held against what the server wrote down, each against its own truth:
//!
//! - *service* (from the first byte written to the last one of the answer) against the time from reading a request to
//!   answering it
//! - *response* (from the planned instant to the accepted answer) against the time from the planned instant, T0 of `run.json`
//!   plus the plan's offset, to the server's answer: one clock serves all processes of a machine
//!
//! Both reported figures end when the agent has read the answer, and *service* begins before it writes: they are never below
//! the truth, and above it by what the kernel's loopback takes. A response holds the agent's lateness, and is meant to: the viewer
//! would have waited. So its truth holds it too; how large it is, is told beside it.

use std::net::Ipv4Addr;

use super::figures::{QUANTILES, Row, bound_ms, quantile};
use voteburst_burst::plan::Ticket;

use super::Outcome;
use super::floor::{self, Seen};
use super::play::{Played, Run, Size};
use super::server::{Orders, Served};
use super::target::Target;

const US: u64 = 1_000;
const MS: u64 = 1_000_000;

/// A kind of server by what its answers take, in turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// Its name.
    pub(crate) name: &'static str,
    /// The delays of its answers in nanoseconds, in turn.
    delays: &'static [u64],
}

/// All kinds that must come back.
///
/// The bimodal one takes 200 ms for every fifth vote, not for every tenth: p90 would otherwise be the rank between
/// the two modes, where one vote more or less decides between 5 and 200 ms.
pub(crate) const KINDS: [Kind; 5] = [
    Kind { name: "0.1 ms", delays: &[100 * US] },
    Kind { name: "5 ms", delays: &[5 * MS] },
    Kind { name: "50 ms", delays: &[50 * MS] },
    Kind { name: "500 ms", delays: &[500 * MS] },
    Kind { name: "5/200 ms", delays: &[5 * MS, 5 * MS, 5 * MS, 5 * MS, 200 * MS] },
];

impl Kind {
    fn nominal_ms(&self, at: f64) -> f64 {
        quantile(&self.delays.iter().map(|delay| *delay as f64 / MS as f64).collect::<Vec<_>>(), at)
    }
}

/// The address of the place with this number.
fn address(place: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 61, 0, 11 + place as u8)
}

/// What a trial is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trial {
    pub(crate) size: Size,
    /// Whether the least client measures the same server afterwards.
    pub(crate) floor: bool,
}

/// What a trial found.
pub(crate) struct Found {
    /// The report's figures beside the truth.
    pub(crate) rows: Vec<Row>,
    /// The agents' lateness at p50, p99 and its maximum, in milliseconds.
    pub(crate) lateness_ms: [f64; 3],
    /// The floor's lateness at p50 and p99, in milliseconds.
    pub(crate) floor_lateness_ms: Option<[f64; 2]>,
    /// What the verdict said, if it was not `pass`.
    pub(crate) not_passed: Option<String>,
}

/// Plays one burst against servers of these kinds, each at an address of its own.
pub(crate) fn trial(kinds: &[Kind], trial: Trial) -> Outcome<Found> {
    let places: Vec<_> = (0..kinds.len()).map(|place| (address(place), kinds[place].delays.to_vec())).collect();
    let addresses: Vec<_> = places.iter().map(|(address, _)| *address).collect();
    let target = Target::start(&Orders { places, tell_after: 0 })?;
    let played = Run::start(&target, trial.size)?.end()?;
    let seen = if trial.floor { Some(floor::measure(&played.tickets, &addresses, target.port)?) } else { None };
    let served = target.end()?;
    let (by_agents, by_floor) =
        served.split_at_checked(played.tickets.len()).ok_or("the server read fewer requests than votes")?;
    played.report.all_accepted(by_agents)?;

    let floor_at = |place: Option<usize>| {
        let here = |at: usize| place.is_none_or(|place| place == at);
        let (t0_ns, seen) = seen.as_ref()?;
        let seen: Vec<_> = seen.iter().filter(|seen| here(seen.place)).copied().collect();
        let served: Vec<_> = by_floor.iter().filter(|served| here(served.place)).copied().collect();
        Some(floor_excess(&seen, &truth(&served, planned_ns(&played.tickets, *t0_ns))))
    };
    let mut rows = Vec::new();
    if let [kind] = kinds {
        rows.extend(compare("", Some(*kind), &played, "latency_ms", by_agents, floor_at(None).as_ref())?);
    } else {
        for (place, kind) in kinds.iter().enumerate() {
            let address = addresses[place].to_string();
            let proxies = played.report.at("proxies")?.as_array().ok_or("no list of proxies")?;
            let number = proxies.iter().position(|proxy| proxy["address"] == address).ok_or("a proxy without votes")?;
            let here: Vec<_> = by_agents.iter().filter(|served| served.place == place).copied().collect();
            rows.extend(compare(
                kind.name,
                Some(*kind),
                &played,
                &format!("proxies.{number}.latency_ms"),
                &here,
                floor_at(Some(place)).as_ref(),
            )?);
        }
        rows.extend(compare("merged", None, &played, "latency_ms", by_agents, floor_at(None).as_ref())?);
    }
    let lateness = |key: &str| played.report.number(&format!("latency_ms.lateness.{key}"));
    let lateness_ms = [lateness("p50")?, lateness("p99")?, lateness("max")?];
    let floor_lateness_ms = seen.as_ref().map(|(_, seen)| {
        let late: Vec<_> = seen.iter().map(|seen| seen.lateness_ns as f64 / 1e6).collect();
        [quantile(&late, 0.5), quantile(&late, 0.99)]
    });
    let (_, reasons) = played.report.reasons()?;
    let not_passed = (played.code != Some(0)).then_some(reasons);
    Ok(Found { rows, lateness_ms, floor_lateness_ms, not_passed })
}

/// The truth about these requests in milliseconds: service times, and response times from the planned instant.
fn truth(served: &[Served], planned_ns: impl Fn(u64) -> i64) -> [Vec<f64>; 2] {
    let service = served.iter().map(|served| (served.answered_ns - served.read_ns) as f64 / 1e6).collect();
    let response = served.iter().map(|served| (served.answered_ns - planned_ns(served.ticket)) as f64 / 1e6).collect();
    [service, response]
}

/// The planned instant of each ticket on the kernel's clock, by its number.
pub(crate) fn planned_ns(tickets: &[Ticket], t0_ns: i64) -> impl Fn(u64) -> i64 + use<> {
    let most = tickets.iter().map(|ticket| ticket.number as usize + 1).max().unwrap_or(0);
    let mut instants = vec![0; most];
    for ticket in tickets {
        instants[ticket.number as usize] = i64::try_from(ticket.planned_ns).unwrap_or(i64::MAX);
    }
    move |ticket| t0_ns + instants.get(ticket as usize).copied().unwrap_or(0)
}

/// What the least client saw above the truth of its own votes at each percentile, of service and of response.
fn floor_excess(seen: &[Seen], truth: &[Vec<f64>; 2]) -> [[f64; 3]; 2] {
    let excess = |truth: &[f64], of: fn(&Seen) -> i64| {
        let seen: Vec<_> = seen.iter().map(|seen| of(seen) as f64 / 1e6).collect();
        QUANTILES.map(|(_, at)| quantile(&seen, at) - quantile(truth, at))
    };
    [excess(&truth[0], |seen| seen.service_ns), excess(&truth[1], |seen| seen.response_ns)]
}

fn compare(
    name: &str,
    kind: Option<Kind>,
    played: &Played,
    path: &str,
    served: &[Served],
    floor: Option<&[[f64; 3]; 2]>,
) -> Outcome<Vec<Row>> {
    let truths = truth(served, planned_ns(&played.tickets, played.t0_ns));
    let mut rows = Vec::new();
    for (figure, (what, truth)) in ["service", "response"].into_iter().zip(truths).enumerate() {
        for (position, (key, at)) in QUANTILES.into_iter().enumerate() {
            let truth = quantile(&truth, at);
            rows.push(Row {
                what: format!("{name} {what} {key}").trim_start().to_owned(),
                nominal: kind.map(|kind| kind.nominal_ms(at)),
                truth,
                reported: played.report.number(&format!("{path}.{what}.{key}"))?,
                floor: floor.map(|floor| floor[figure][position]),
                bound: bound_ms(truth),
            });
        }
    }
    Ok(rows)
}
