//! Where live values go out, and when.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::watch;
use voteburst_burst::clock::FleetTime;
use voteburst_proto::convert::Sealed;

use super::{Fixed, Live, Member, Moment, Rounds};
use crate::conductor::Phase;

/// Least time between two values of one phase, in nanoseconds.
const EVERY_NS: i64 = 1_000_000_000;

/// What somebody who wants to watch a run hands over with its setup.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Takes the newest value. Nothing is worked out while it has no receiver.
    pub to: watch::Sender<Arc<Live>>,
    /// Proxies to show from the beginning, whether anything is known of them or not.
    pub fronts: Vec<IpAddr>,
}

/// Puts values together once a second and at each change of phase, while somebody listens.
#[derive(Debug)]
pub(crate) struct Outlet {
    to: watch::Sender<Arc<Live>>,
    fixed: Fixed,
    rounds: Rounds,
    shown: Option<(Phase, FleetTime)>,
}

impl Outlet {
    pub(crate) fn new(watch: Watch, fixed: Fixed) -> Self {
        let fixed = Fixed { fronts: watch.fronts, ..fixed };
        Self { to: watch.to, fixed, rounds: Rounds::default(), shown: None }
    }

    /// Goes on with decoding; tells whether a value is due.
    pub(crate) fn tick<'a>(&mut self, phase: Phase, now: FleetTime, snapshots: impl Iterator<Item = &'a Sealed>) -> bool {
        if self.to.receiver_count() == 0 {
            return false;
        }
        self.rounds.tick(snapshots);
        !self.shown.is_some_and(|(shown, at)| shown == phase && now.0 - at.0 < EVERY_NS)
    }

    /// Sends a value, and has the histograms decoded anew for those to come.
    pub(crate) fn send(&mut self, now: FleetTime, moment: Moment, members: &[Member<'_>]) {
        let phase = moment.phase;
        self.shown = Some((phase, now));
        if phase >= Phase::Done {
            self.rounds.all(members.iter().filter_map(|member| member.newest));
        } else {
            self.rounds.begin();
        }
        self.to.send_replace(Arc::new(Live::of(&self.fixed, moment, members, self.rounds.done())));
    }
}
