//! What an agent has counted, as the coordinator gets it.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use voteburst_burst::clock::Offset;
use voteburst_burst::generator::Watched;
use voteburst_burst::outcome::Fate;
use voteburst_proto::message::Snapshot;

use super::Session;
use crate::crew::{Crew, CrewSnapshot};

impl Session {
    /// The next snapshot; the last one carries the fates.
    pub(super) fn snapshot(
        &mut self,
        crew: &Crew,
        counted: CrewSnapshot,
        offset: Offset,
        watched: Option<Watched>,
        last: bool,
    ) -> Snapshot {
        let CrewSnapshot { tally, ended, first_send_lateness_ns, connected_at_t0, fates, warnings, .. } = counted;
        self.seq += 1;
        let fates = if last { fates.into_iter().filter_map(Fate::from_number).collect() } else { Vec::new() };
        Snapshot {
            run: self.welcome.run,
            agent: self.welcome.agent,
            incarnation: self.incarnation,
            seq: self.seq,
            last,
            tally,
            ended,
            connected: crew.status().connected,
            connected_at_t0,
            first_send_lateness_ns,
            offset,
            cpu: processor_time(),
            memory_bytes: resident_bytes(),
            warnings,
            watched,
            fates,
        }
    }
}

/// Processor time of this process, user and system.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Resident memory of this process; 0 where `/proc` does not tell.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_ascii_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or(0) * 1_024
}
