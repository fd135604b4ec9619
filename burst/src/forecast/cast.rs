//! Who enters when and votes when: what a plan fixes, laid out for playing it many times.

use crate::plan::Plan;

/// Everybody of an audience in order of entry. Times are in milliseconds after the doors opened.
pub(super) struct Cast {
    pub(super) enters_ms: Vec<u32>,
    pub(super) carrier: Vec<u16>,
    pub(super) phone: Vec<u8>,
    /// The agent process that plays the viewer.
    pub(super) agent: Vec<u16>,
    /// Where each viewer's votes begin in `votes_ms`; one more entry than viewers.
    starts: Vec<u32>,
    votes_ms: Vec<u32>,
    /// When T0 is.
    pub(super) t0_ms: u32,
    /// How many seconds there are from the opening of the doors to the close of the last window.
    pub(super) seconds: usize,
}

impl Cast {
    /// Derives it. T0 is taken to follow the doors at once: how long agents take to arm moves all votes alike.
    pub(super) fn new(plan: &Plan, agents: u32) -> Self {
        let viewers = plan.scenario.audience.viewers;
        let doors = plan.scenario.audience.doors_open;
        let t0_ms = u32::try_from(doors.as_secs() + u64::from(doors.subsec_nanos() > 0)).unwrap_or(u32::MAX / 1_000) * 1_000;
        let shares = plan.shares(agents);
        // One sort of plain numbers: entry above, viewer below.
        let entry = |viewer| u64::from(millis(plan.viewer(viewer).enters_after.as_millis())) << 32 | u64::from(viewer);
        let mut order: Vec<u64> = (0..viewers).map(entry).collect();
        order.sort_unstable();
        let size = order.len();
        let mut cast = Self {
            enters_ms: Vec::with_capacity(size),
            carrier: Vec::with_capacity(size),
            phone: Vec::with_capacity(size),
            agent: Vec::with_capacity(size),
            starts: Vec::with_capacity(size + 1),
            votes_ms: Vec::with_capacity(plan.tickets as usize),
            t0_ms,
            seconds: (t0_ms / 1_000) as usize + plan.duration().as_secs() as usize + 1,
        };
        for entry in order {
            let number = entry as u32;
            let viewer = plan.viewer(number);
            cast.enters_ms.push((entry >> 32) as u32);
            cast.carrier.push(viewer.carrier);
            cast.phone.push(viewer.phone);
            cast.agent.push(u16::try_from(shares.partition_point(|share| share.end <= number)).unwrap_or(u16::MAX));
            let first = cast.votes_ms.len();
            cast.starts.push(u32::try_from(first).unwrap_or(u32::MAX));
            for question in 0..plan.scenario.questions.len() {
                let planned = plan.ticket(question, number).map(|ticket| millis(u128::from(ticket.planned_ns / 1_000_000)));
                cast.votes_ms.extend(planned.map(|planned| t0_ms.saturating_add(planned)));
            }
            cast.votes_ms[first..].sort_unstable();
        }
        cast.starts.push(u32::try_from(cast.votes_ms.len()).unwrap_or(u32::MAX));
        cast
    }

    pub(super) fn len(&self) -> usize {
        self.enters_ms.len()
    }

    /// When a viewer votes, in order.
    pub(super) fn votes(&self, viewer: usize) -> &[u32] {
        &self.votes_ms[self.starts[viewer] as usize..self.starts[viewer + 1] as usize]
    }
}

fn millis(millis: u128) -> u32 {
    u32::try_from(millis).unwrap_or(u32::MAX)
}
