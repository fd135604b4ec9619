//! What a coordinator says.

use std::time::Duration;

use voteburst_burst::clock::FleetTime;

use super::{MOST_ITEMS, WireProblem, at_most, malformed, parse, text};
use crate::message::{FromCoordinator, Share, Welcome};
use crate::wire::{self, coordinator_message::Body};

/// The longest certificate in bytes, far above one on any key in use.
const MOST_CERTIFICATE: usize = 16_384;

impl From<FromCoordinator> for wire::CoordinatorMessage {
    fn from(message: FromCoordinator) -> Self {
        let body = match message {
            FromCoordinator::Welcome(Welcome { agent, run, report_every }) => Body::Welcome(wire::Welcome {
                agent,
                run,
                report_every_ms: u32::try_from(report_every.as_millis()).unwrap_or(u32::MAX),
            }),
            FromCoordinator::Share(share) => Body::Share(share.into()),
            FromCoordinator::OpenDoors { at } => Body::OpenDoors(wire::OpenDoors { at_ns: at.0 }),
            FromCoordinator::Arm => Body::Arm(wire::Arm {}),
            FromCoordinator::Commit { t0 } => Body::Commit(wire::Commit { t0_ns: t0.0 }),
            FromCoordinator::Abort { reason } => Body::Abort(wire::Abort { reason }),
            FromCoordinator::Drain => Body::Drain(wire::Drain {}),
            FromCoordinator::Bye => Body::Bye(wire::Bye {}),
            FromCoordinator::Refused { reason, for_now } => Body::Refused(wire::Refused { reason, for_now }),
        };
        Self { body: Some(body) }
    }
}

impl TryFrom<wire::CoordinatorMessage> for FromCoordinator {
    type Error = WireProblem;

    fn try_from(message: wire::CoordinatorMessage) -> Result<Self, WireProblem> {
        Ok(match message.body.ok_or(WireProblem::Missing("body"))? {
            Body::Welcome(wire::Welcome { agent, run, report_every_ms }) => {
                if report_every_ms == 0 {
                    return Err(WireProblem::Missing("interval of reports"));
                }
                let report_every = Duration::from_millis(report_every_ms.into());
                Self::Welcome(Welcome { agent, run, report_every })
            }
            Body::Share(share) => Self::Share(share.try_into()?),
            Body::OpenDoors(wire::OpenDoors { at_ns }) => Self::OpenDoors { at: FleetTime(at_ns) },
            Body::Arm(wire::Arm {}) => Self::Arm,
            Body::Commit(wire::Commit { t0_ns }) => Self::Commit { t0: FleetTime(t0_ns) },
            Body::Abort(wire::Abort { reason }) => Self::Abort { reason: text("the reason of an abort", reason)? },
            Body::Drain(wire::Drain {}) => Self::Drain,
            Body::Bye(wire::Bye {}) => Self::Bye,
            Body::Refused(wire::Refused { reason, for_now }) => {
                Self::Refused { reason: text("the reason of a refusal", reason)?, for_now }
            }
        })
    }
}

impl From<Share> for wire::Share {
    fn from(share: Share) -> Self {
        Self {
            scenario: share.scenario,
            plan_hash: share.plan_hash,
            first_viewer: share.viewers.start,
            end_viewer: share.viewers.end,
            carriers: share.carriers.iter().map(ToString::to_string).collect(),
            recursion_desired: share.recursion_desired,
            port: share.port.into(),
            sources: share.sources.iter().map(ToString::to_string).collect(),
            slot: share.slot,
            authority: share.authority,
        }
    }
}

impl TryFrom<wire::Share> for Share {
    type Error = WireProblem;

    fn try_from(share: wire::Share) -> Result<Self, WireProblem> {
        at_most("number of carriers", share.carriers.len(), MOST_ITEMS)?;
        at_most("number of source addresses", share.sources.len(), MOST_ITEMS)?;
        at_most("length of a certificate", share.authority.len(), MOST_CERTIFICATE)?;
        if share.first_viewer > share.end_viewer {
            let found = format!("{}..{}", share.first_viewer, share.end_viewer);
            return Err(malformed("the viewers of a share", &found, "an end that is not before the first"));
        }
        let port = u16::try_from(share.port).ok().filter(|port| *port != 0);
        let port = port.ok_or_else(|| malformed("the target's port", &share.port.to_string(), "1 to 65535"))?;
        let carrier = |text: &String| parse("a carrier", text, "an address and a port");
        let source = |text: &String| parse("a source address", text, "an IP address");
        Ok(Self {
            scenario: share.scenario,
            plan_hash: text("the plan's hash", share.plan_hash)?,
            viewers: share.first_viewer..share.end_viewer,
            carriers: share.carriers.iter().map(carrier).collect::<Result<_, _>>()?,
            recursion_desired: share.recursion_desired,
            port,
            sources: share.sources.iter().map(source).collect::<Result<_, _>>()?,
            slot: share.slot,
            authority: share.authority,
        })
    }
}
