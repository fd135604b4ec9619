//! Whoever stands still is the one to blame: a server that stops, and an agent that does.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::Outcome;
use super::figures::{QUANTILES, Row, bound_ms, quantile};
use super::known::planned_ns;
use super::play::{Played, Run, Size};
use super::server::{Orders, Served};
use super::stall::Stall;
use super::target::{Target, stop_for};

/// How long the server stands still.
pub(crate) const SERVER_STOPS: Duration = Duration::from_secs(1);
/// How far a response time may be from the analytic answer, as a part of it.
pub(crate) const STALL_BOUND: f64 = 0.02;
/// How long an agent stands still.
pub(crate) const AGENT_STOPS: Duration = Duration::from_millis(500);
/// What the server takes for each vote while an agent stands still.
const SERVICE: Duration = Duration::from_millis(5);
/// How much of an agent's stop may show in the target's slowest service times, as a part of it. An agent that goes on sends
/// all that is late at once, and those votes pass through its thread and the server's one after the other.
const CHARGED: f64 = 0.01;

fn orders(delay: Duration, tell_after: u32) -> Outcome<Orders> {
    let places = vec![(Ipv4Addr::new(127, 61, 0, 11), vec![u64::try_from(delay.as_nanos())?])];
    Ok(Orders { places, tell_after: tell_after as usize })
}

/// What a stop of the server came to.
pub(crate) struct ServerStopped {
    /// The report's response times beside the analytic answer, and beside what the server wrote down.
    pub(crate) rows: Vec<Row>,
    /// The stop as it was: how long, and what each vote of the backlog took.
    pub(crate) stall: Stall,
    /// How long after the stop, and before the end of the window, the backlog was gone, in seconds. Negative: the formula does
    /// not hold.
    pub(crate) spare_s: f64,
    /// The agents' lateness at p99, in milliseconds.
    pub(crate) lateness_p99_ms: f64,
    /// What the verdict said, if it was not `pass`.
    pub(crate) not_passed: Option<String>,
}

/// Stops the server process for a second once an eighth of the votes has come. Votes come evenly and take next to nothing.
pub(crate) fn of_the_server(size: Size) -> Outcome<ServerStopped> {
    let mut target = Target::start(&orders(Duration::ZERO, size.viewers / 8)?)?;
    let run = Run::start(&target, size)?;
    target.reached()?;
    let length_ns = target.stop_for(SERVER_STOPS)?;
    let played = run.end()?;
    let served = target.end()?;
    played.report.all_accepted(&served)?;

    let backlog = Backlog::of(&served, &played)?;
    let window_s = size.window.as_secs_f64();
    let stall = Stall { votes: size.viewers, window_s, length_s: length_ns as f64 / 1e9, each_s: backlog.each_ns / 1e9 };
    let spare_s = window_s - (backlog.began_ns - played.t0_ns) as f64 / 1e9 - stall.over_after_s();
    let planned_ns = planned_ns(&played.tickets, played.t0_ns);
    let truth: Vec<_> = served.iter().map(|served| (served.answered_ns - planned_ns(served.ticket)) as f64 / 1e6).collect();
    let mut rows = Vec::new();
    for (key, at) in QUANTILES.into_iter().chain([("p999", 0.999)]) {
        let reported = played.report.number(&format!("latency_ms.response.{key}"))?;
        for (what, truth) in [("analytic", stall.response_s(at) * 1e3), ("server's record", quantile(&truth, at))] {
            let bound = (STALL_BOUND * truth).max(bound_ms(truth));
            rows.push(Row { what: format!("response {key}, {what}"), nominal: None, truth, reported, floor: None, bound });
        }
    }
    let lateness_p99_ms = played.report.number("latency_ms.lateness.p99")?;
    let not_passed = (played.code != Some(0)).then(|| played.report.reasons()).transpose()?.map(|(_, text)| text);
    Ok(ServerStopped { rows, stall, spare_s, lateness_p99_ms, not_passed })
}

/// What had piled up when a server went on.
struct Backlog {
    /// When the last answer before the stop was given, on the kernel's clock.
    began_ns: i64,
    /// What each vote of it took, in nanoseconds.
    each_ns: f64,
}

impl Backlog {
    /// Finds the stop as the longest time between two answers in a row.
    fn of(served: &[Served], played: &Played) -> Outcome<Self> {
        let gap = |pair: &[Served]| pair[1].answered_ns - pair[0].answered_ns;
        let stop = (1..served.len()).max_by_key(|after| gap(&served[after - 1..=*after])).ok_or("too few votes")?;
        let (began_ns, goes_on_ns) = (served[stop - 1].answered_ns, served[stop].answered_ns);
        let planned_ns = planned_ns(&played.tickets, played.t0_ns);
        let waiting = served[stop..].iter().take_while(|served| planned_ns(served.ticket) < goes_on_ns).count();
        let last = served.get(stop + waiting.max(1) - 1).ok_or("the burst ended within the stop")?;
        Ok(Self { began_ns, each_ns: (last.answered_ns - goes_on_ns) as f64 / waiting.max(1) as f64 })
    }
}

/// What a stop of an agent came to.
pub(crate) struct AgentStopped {
    /// The exit code of the run.
    pub(crate) code: Option<i32>,
    /// Codes of the verdict's reasons.
    pub(crate) codes: Vec<String>,
    /// The verdict's reasons in words.
    pub(crate) reasons: String,
    /// The target's service times beside the truth.
    pub(crate) rows: Vec<Row>,
    /// How long the agent stood still, in seconds.
    pub(crate) stopped_s: f64,
    /// The agents' lateness at p99, in milliseconds.
    pub(crate) lateness_p99_ms: f64,
    /// The longest lateness, in milliseconds.
    pub(crate) lateness_max_ms: f64,
}

/// Stops one agent for half a second once three of ten votes have come.
pub(crate) fn of_an_agent(size: Size) -> Outcome<AgentStopped> {
    let mut target = Target::start(&orders(SERVICE, size.viewers / 10 * 3)?)?;
    let mut run = Run::start(&target, size)?;
    let agent = run.agent()?;
    target.reached()?;
    let stopped_ns = stop_for(agent, AGENT_STOPS, false)?;
    let played = run.end()?;
    let served = target.end()?;
    played.report.all_accepted(&served)?;

    let truth: Vec<_> = served.iter().map(|served| (served.answered_ns - served.read_ns) as f64 / 1e6).collect();
    let stopped_s = stopped_ns as f64 / 1e9;
    let mut rows = Vec::new();
    for (key, at) in QUANTILES {
        let truth = quantile(&truth, at);
        let bound = if at < 0.9 { bound_ms(truth) } else { CHARGED * stopped_s * 1e3 };
        let reported = played.report.number(&format!("latency_ms.service.{key}"))?;
        let nominal = Some(SERVICE.as_secs_f64() * 1e3);
        rows.push(Row { what: format!("service {key}"), nominal, truth, reported, floor: None, bound });
    }
    let (codes, reasons) = played.report.reasons()?;
    let lateness = |key: &str| played.report.number(&format!("latency_ms.lateness.{key}"));
    let (lateness_p99_ms, lateness_max_ms) = (lateness("p99")?, lateness("max")?);
    Ok(AgentStopped { code: played.code, codes, reasons, rows, stopped_s, lateness_p99_ms, lateness_max_ms })
}
