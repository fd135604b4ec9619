//! One agent of a calibration: the very crew that a rehearsal's agent has, without a coordinator.
//!
//! What a session adds to that in a real run is a snapshot each second, which is taken here too, though nobody hears of it.

use std::io::{self, BufRead as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use voteburst_agent::clock::Clock;
use voteburst_agent::crew::{Assignment, Crew, CrewSnapshot};
use voteburst_agent::preflight::raise_file_limit;
use voteburst_agent::{AllowList, sources};
use voteburst_burst::clock::LocalTime;
use voteburst_burst::plan::Plan;
use voteburst_burst::scenario::Scenario;

use super::child::{Counted, Entered, Order, Report, Share, processor_us, tell};
use super::figures::Counts;
use super::rounds::{ROUNDS, Round};
use crate::problem::Problem;

/// How often is looked whether a round's last vote has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often an agent reports, as in a run.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Plays its share as told over standard input; ends with that.
pub(super) fn play() -> Result<(), Problem> {
    raise_file_limit();
    let (tell, told) = mpsc::unbounded_channel();
    std::thread::spawn(move || read(&tell));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Problem::usage)?.block_on(Agent { told, clock: Clock::start() }.play())
}

/// Passes orders on. Whatever this process does, it ends with the parent that gives them.
fn read(orders: &mpsc::UnboundedSender<Order>) {
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        let Ok(order) = serde_json::from_str(&line) else { break };
        if orders.send(order).is_err() {
            return;
        }
    }
    std::process::exit(3);
}

struct Agent {
    told: mpsc::UnboundedReceiver<Order>,
    clock: Clock,
}

impl Agent {
    async fn play(mut self) -> Result<(), Problem> {
        let base = resident_bytes();
        let Some(Order::Muster(share)) = self.told.recv().await else { return Err(out_of_turn()) };
        let (crew, by_round) = muster(share, self.clock)?;
        tell(&Report::Mustered);
        let Some(Order::OpenDoors { at_ns, within }) = self.told.recv().await else { return Err(out_of_turn()) };
        let (at, before) = (self.local(at_ns), processor_us());
        crew.open_doors(at);
        // Whoever is not in by then is counted out below.
        if let Ok(Err(lost)) = timeout(at.since(self.clock.now()) + within, crew.entered()).await {
            return Err(Problem::unknown(lost));
        }
        tell(&Report::Entered(Entered {
            connected: crew.status().connected,
            took_us: u64::try_from(self.clock.now().since(at).as_micros()).unwrap_or(u64::MAX),
            cpu_us: processor_us().saturating_sub(before),
            memory_bytes: resident_bytes().saturating_sub(base),
        }));
        let Some(Order::Fire { at_ns, second }) = self.told.recv().await else { return Err(out_of_turn()) };
        let (t0, before) = (self.local(at_ns), processor_us());
        crew.fire(t0);
        for (round, due) in ROUNDS.into_iter().zip(by_round) {
            self.wait(&crew, t0, round, due).await?;
            let snapshot = crew.snapshot().await.map_err(Problem::unknown)?;
            tell(&Report::Counted(counted(&snapshot, second, round, before)));
        }
        // Connections stay until the parent has heard everybody, or the last would be late for another's sake.
        while self.told.recv().await.is_some() {}
        Ok(())
    }

    /// Waits until the round is over and all votes so far have ended, or until the next round is near.
    async fn wait(&self, crew: &Crew, t0: LocalTime, round: Round, due: u32) -> Result<(), Problem> {
        let last = t0.after(Duration::from_millis(round.counted_by_ms()));
        let over = t0.after(Duration::from_secs((round.starts_s + round.lasts_s).into()));
        let mut reports = interval(REPORT_EVERY);
        reports.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let end = sleep(over.since(self.clock.now()));
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => break,
                _ = reports.tick() => drop(crew.snapshot().await.map_err(Problem::unknown)?),
            }
        }
        while crew.status().tickets_ended < due && self.clock.now() < last {
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// An instant of the kernel's monotonic clock, which is the same for all processes of a machine, on this one's.
    fn local(&self, kernel_ns: i64) -> LocalTime {
        let now = self.clock.now();
        LocalTime(now.0 + kernel_ns - kernel_ns_of(self.clock, now))
    }
}

/// The kernel's count at an instant.
pub(super) fn kernel_ns_of(clock: Clock, at: LocalTime) -> i64 {
    let time = clock.kernel_time(at);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// A crew, and how many tickets it has in each round and all before it.
fn muster(share: Share, clock: Clock) -> Result<(Crew, [u32; ROUNDS.len()]), Problem> {
    let no_files = |_: &str| Err(io::ErrorKind::NotFound.into());
    let plan = Plan::new(Scenario::parse(&share.scenario, "calibration.toml", &no_files).map_err(Problem::unknown)?);
    let viewers = share.first..share.end;
    let count = viewers.end.saturating_sub(viewers.start);
    let tickets = plan.tickets_of(&viewers);
    let by = |round: Round| tickets.partition_point(|ticket| ticket.planned_ns < round.ends_ns());
    let by_round = ROUNDS.map(|round| u32::try_from(by(round)).unwrap_or(u32::MAX));
    drop(tickets);
    let assignment = Assignment {
        plan: Arc::new(plan),
        viewers,
        run: 0,
        carriers: share.carriers,
        recursion_desired: false,
        port: share.port,
        sources: sources::automatic(share.slot, count, &sources::local_ports()),
        authority: Vec::new(),
        allowed: AllowList::default(),
    };
    Ok((Crew::muster(assignment, clock).map_err(Problem::unknown)?, by_round))
}

fn counted(snapshot: &CrewSnapshot, t0_second: u32, round: Round, cpu_before_us: u64) -> Counted {
    let total = snapshot.tally.total();
    let first = (t0_second + round.starts_s) as usize;
    let seconds = total.seconds.iter().skip(first).take(round.lasts_s as usize);
    Counted {
        ended: snapshot.ended.into(),
        accepted: total.total().accepted.into(),
        in_time: seconds.map(|second| u64::from(second.sent)).sum(),
        cpu_us: processor_us().saturating_sub(cpu_before_us),
        lateness: Counts::of(&total.lateness),
    }
}

fn out_of_turn() -> Problem {
    Problem::unknown(
        "an agent of a calibration was told something out of turn; it is started by `voteburst check --calibrate` alone",
    )
}

/// Resident memory of this process; 0 where `/proc` does not tell.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_ascii_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or(0) * 1_024
}
