//! What an agent says.

use std::time::Duration;

use voteburst_burst::clock::Offset;
use voteburst_burst::outcome::Fate;
use voteburst_burst::tally::Tally;

use super::{MOST_ITEMS, WireProblem, at_most, generator, lookups, malformed, tally, text};
use crate::message::{Check, CheckStatus, FromAgent, Join, Progress, Ready, Snapshot};
use crate::wire::{self, agent_message::Body, check::Status};

impl From<FromAgent> for wire::AgentMessage {
    fn from(message: FromAgent) -> Self {
        let body = match message {
            FromAgent::Join(join) => Body::Join(join.into()),
            FromAgent::Planned { plan_hash } => Body::Planned(wire::Planned { plan_hash }),
            FromAgent::Preflight { checks } => {
                Body::Preflight(wire::Preflight { checks: checks.into_iter().map(Into::into).collect() })
            }
            FromAgent::Progress(Progress { connected, tried }) => Body::Progress(wire::Progress { connected, tried }),
            FromAgent::Ready(Ready { connected, failed }) => Body::Ready(wire::Ready { connected, failed }),
            FromAgent::Armed { offset } => Body::Armed(wire::Armed { offset: Some(offset_to_wire(offset)) }),
            FromAgent::Snapshot(snapshot) => Body::Snapshot(Box::new((&*snapshot).into())),
            FromAgent::Failed { reason } => Body::Failed(wire::Failed { reason }),
        };
        Self { body: Some(body) }
    }
}

impl TryFrom<wire::AgentMessage> for FromAgent {
    type Error = WireProblem;

    fn try_from(message: wire::AgentMessage) -> Result<Self, WireProblem> {
        Ok(match message.body.ok_or(WireProblem::Missing("body"))? {
            Body::Join(join) => Self::Join(join.try_into()?),
            Body::Planned(wire::Planned { plan_hash }) => Self::Planned { plan_hash: text("the plan's hash", plan_hash)? },
            Body::Preflight(wire::Preflight { checks }) => {
                at_most("number of checks", checks.len(), MOST_ITEMS)?;
                Self::Preflight { checks: checks.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()? }
            }
            Body::Progress(wire::Progress { connected, tried }) => Self::Progress(Progress { connected, tried }),
            Body::Ready(wire::Ready { connected, failed }) => Self::Ready(Ready { connected, failed }),
            Body::Armed(wire::Armed { offset }) => Self::Armed { offset: offset_from_wire(offset)? },
            Body::Snapshot(snapshot) => Self::Snapshot(Box::new((*snapshot).try_into()?)),
            Body::Failed(wire::Failed { reason }) => Self::Failed { reason: text("the reason of a failure", reason)? },
        })
    }
}

impl From<Join> for wire::Join {
    fn from(Join { protocol, version, host, pid, incarnation, token, allowed }: Join) -> Self {
        Self { protocol, version, host, pid, incarnation, token, allowed }
    }
}

impl TryFrom<wire::Join> for Join {
    type Error = WireProblem;

    fn try_from(join: wire::Join) -> Result<Self, WireProblem> {
        let wire::Join { protocol, version, host, pid, incarnation, token, allowed } = join;
        at_most("number of allowed networks", allowed.len(), MOST_ITEMS)?;
        Ok(Self {
            protocol,
            version: text("the version", version)?,
            host: text("the host name", host)?,
            pid,
            incarnation,
            token: token.map(|token| text("the join token", token)).transpose()?,
            allowed: allowed.into_iter().map(|network| text("an allowed network", network)).collect::<Result<_, _>>()?,
        })
    }
}

impl From<Check> for wire::Check {
    fn from(Check { what, found, needed, fix, effect, status }: Check) -> Self {
        let status = match status {
            CheckStatus::Good => Status::Good,
            CheckStatus::Warning => Status::Warning,
            CheckStatus::Bad => Status::Bad,
        };
        Self { what, found, needed, fix, effect, status: status.into() }
    }
}

impl TryFrom<wire::Check> for Check {
    type Error = WireProblem;

    fn try_from(check: wire::Check) -> Result<Self, WireProblem> {
        let status = match check.status() {
            Status::Good => CheckStatus::Good,
            Status::Warning => CheckStatus::Warning,
            Status::Bad => CheckStatus::Bad,
            // A status that is not known must not pass for a good one.
            Status::Unspecified => return Err(WireProblem::Missing("status of a check")),
        };
        let wire::Check { what, found, needed, fix, effect, .. } = check;
        let text = |line| text("a line of the preflight", line);
        Ok(Self { what: text(what)?, found: text(found)?, needed: text(needed)?, fix: text(fix)?, effect: text(effect)?, status })
    }
}

impl From<&Snapshot> for wire::Snapshot {
    fn from(snapshot: &Snapshot) -> Self {
        let (proxies, unplaced) = tally::to_wire(&snapshot.tally);
        Self {
            run: snapshot.run,
            agent: snapshot.agent,
            incarnation: snapshot.incarnation,
            seq: snapshot.seq,
            last: snapshot.last,
            ended: snapshot.ended,
            connected: snapshot.connected,
            connected_at_t0: snapshot.connected_at_t0,
            first_send_lateness_ns: snapshot.first_send_lateness_ns,
            offset: Some(offset_to_wire(snapshot.offset)),
            cpu_us: u64::try_from(snapshot.cpu.as_micros()).unwrap_or(u64::MAX),
            memory_bytes: snapshot.memory_bytes,
            warnings: snapshot.warnings.clone(),
            proxies,
            unplaced: Some(unplaced),
            lookups: Some(lookups::to_wire(&snapshot.tally.lookups)),
            watched: snapshot.watched.as_ref().map(generator::to_wire),
            late: generator::late_to_wire(&snapshot.tally.late),
            fates: snapshot.fates.iter().map(|fate| *fate as u8).collect(),
        }
    }
}

impl TryFrom<wire::Snapshot> for Snapshot {
    type Error = WireProblem;

    fn try_from(mut snapshot: wire::Snapshot) -> Result<Self, WireProblem> {
        let mut tally = tally::from_wire(&snapshot.proxies, snapshot.unplaced.take())?;
        tally.lookups = lookups::from_wire(snapshot.lookups.take())?;
        generator::add_late(snapshot.late.take().as_ref(), &mut tally.late)?;
        Ok(Self { tally, ..head_from_wire(snapshot)? })
    }
}

/// All of a snapshot but its tally, which is empty here.
pub(super) fn head_from_wire(snapshot: wire::Snapshot) -> Result<Snapshot, WireProblem> {
    at_most("number of warnings", snapshot.warnings.len(), MOST_WARNINGS)?;
    Ok(Snapshot {
        run: snapshot.run,
        agent: snapshot.agent,
        incarnation: snapshot.incarnation,
        seq: snapshot.seq,
        last: snapshot.last,
        tally: Tally::default(),
        ended: snapshot.ended,
        connected: snapshot.connected,
        connected_at_t0: snapshot.connected_at_t0,
        first_send_lateness_ns: snapshot.first_send_lateness_ns,
        offset: offset_from_wire(snapshot.offset)?,
        cpu: Duration::from_micros(snapshot.cpu_us),
        memory_bytes: snapshot.memory_bytes,
        warnings: snapshot.warnings.into_iter().map(|warning| text("a warning", warning)).collect::<Result<_, _>>()?,
        watched: snapshot.watched.map(generator::from_wire).transpose()?,
        fates: snapshot.fates.into_iter().map(fate).collect::<Result<_, _>>()?,
    })
}

/// The most warnings of an agent: one per kind of trouble, and some that name a proxy.
const MOST_WARNINGS: usize = 1_024;

fn fate(number: u8) -> Result<Fate, WireProblem> {
    Fate::from_number(number).ok_or_else(|| malformed("the fate of a ticket", &number.to_string(), "a number from 0 to 3"))
}

fn offset_to_wire(Offset { nanos, bound_ns }: Offset) -> wire::Offset {
    wire::Offset { nanos, bound_ns }
}

fn offset_from_wire(offset: Option<wire::Offset>) -> Result<Offset, WireProblem> {
    let wire::Offset { nanos, bound_ns } = offset.ok_or(WireProblem::Missing("offset of clocks"))?;
    if bound_ns < 0 {
        return Err(malformed("the bound of an offset", &bound_ns.to_string(), "no negative number"));
    }
    Ok(Offset { nanos, bound_ns })
}
