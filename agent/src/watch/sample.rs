//! Samples of the machine, once a second on the session's thread: never on the viewers'.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use voteburst_burst::clock::LocalTime;
use voteburst_burst::generator::{MachineTime, TcpCounts, Usage};

use super::netstat::{self, TcpCounters};

/// The name of the thread that fires.
pub(crate) const VIEWERS: &str = "viewers";

/// Times in /proc are counted in these (proc(5): `USER_HZ`, 100 on every Linux that this runs on).
const TICK_US: u64 = 10_000;

/// The shortest time over which a share is worth comparing with others: of fifty ticks or more, each is 2 % at most.
const SHORTEST: Duration = Duration::from_millis(500);

/// Counters as they stand. `None`: the system does not tell.
#[derive(Clone, Copy, Debug)]
struct Reading {
    at: LocalTime,
    process_us: Option<u64>,
    viewers_ns: Option<(u64, u64)>,
    machine: Option<MachineTime>,
    resident_bytes: Option<u64>,
    tcp: TcpCounters,
}

/// What was seen of the machine since the first sample.
#[derive(Debug)]
pub(crate) struct Samples {
    root: PathBuf,
    doors: LocalTime,
    /// Where the thread that fires tells of itself.
    viewers: Option<PathBuf>,
    first: Reading,
    /// Where the time begins that the next sample is compared over.
    mark: Reading,
    newest: Reading,
    busiest: Option<(u32, Usage)>,
    memory_peak_bytes: Option<u64>,
}

impl Samples {
    /// Takes the first sample, below `root` in place of /. Seconds count from `doors`.
    pub(crate) fn begin(root: &Path, doors: LocalTime, now: LocalTime) -> Self {
        let viewers = viewers_thread(root);
        let first = Reading::take(root, viewers.as_deref(), now);
        let memory_peak_bytes = first.resident_bytes;
        Self { root: root.to_owned(), doors, viewers, first, mark: first, newest: first, busiest: None, memory_peak_bytes }
    }

    /// Takes one more.
    pub(crate) fn take(&mut self, now: LocalTime) {
        let reading = Reading::take(&self.root, self.viewers.as_deref(), now);
        self.memory_peak_bytes = self.memory_peak_bytes.max(reading.resident_bytes);
        self.newest = reading;
        if now.since(self.mark.at) < SHORTEST {
            return;
        }
        let usage = usage(&self.mark, &reading);
        let busier = |(_, busiest): &(u32, Usage)| usage.demand() > busiest.demand();
        if usage.demand().is_some() && self.busiest.as_ref().is_none_or(busier) {
            let second = u32::try_from(now.since(self.doors).as_secs()).unwrap_or(u32::MAX);
            self.busiest = Some((second, usage));
        }
        self.mark = reading;
    }

    /// Processor time from the first sample to the last.
    pub(crate) fn usage(&self) -> Usage {
        usage(&self.first, &self.newest)
    }

    /// The busiest sample and the second in which it ended.
    pub(crate) fn busiest(&self) -> Option<(u32, Usage)> {
        self.busiest
    }

    /// What TCP counted from the first sample to the last.
    pub(crate) fn tcp(&self) -> TcpCounts {
        let (before, after) = (&self.first.tcp, &self.newest.tcp);
        let counted = |before: Option<u64>, after: Option<u64>| Some(after?.saturating_sub(before?));
        TcpCounts {
            retransmits: counted(before.retransmits, after.retransmits),
            syn_retransmits: counted(before.syn_retransmits, after.syn_retransmits),
            listen_overflows: counted(before.listen_overflows, after.listen_overflows),
            listen_drops: counted(before.listen_drops, after.listen_drops),
        }
    }

    /// The most resident memory that any sample found.
    pub(crate) fn memory_peak_bytes(&self) -> Option<u64> {
        self.memory_peak_bytes
    }
}

impl Reading {
    fn take(root: &Path, viewers: Option<&Path>, at: LocalTime) -> Self {
        let text = |path: &str| fs::read_to_string(root.join(path)).ok();
        Self {
            at,
            process_us: text("proc/self/stat").and_then(|stat| process_us(&stat)),
            viewers_ns: viewers
                .and_then(|viewers| fs::read_to_string(viewers.join("schedstat")).ok())
                .and_then(|text| on_and_waiting(&text)),
            machine: text("proc/stat").and_then(|stat| machine(&stat)),
            resident_bytes: text("proc/self/status").and_then(|status| resident_bytes(&status)),
            tcp: netstat::read(root),
        }
    }
}

fn usage(before: &Reading, after: &Reading) -> Usage {
    let since = |before: u64, after: u64| after.saturating_sub(before);
    let viewers = before.viewers_ns.zip(after.viewers_ns);
    let machine = before.machine.zip(after.machine).map(|(before, after)| MachineTime {
        busy_us: since(before.busy_us, after.busy_us),
        idle_us: since(before.idle_us, after.idle_us),
        stolen_us: since(before.stolen_us, after.stolen_us),
    });
    Usage {
        span_us: u64::try_from(after.at.since(before.at).as_micros()).unwrap_or(u64::MAX),
        process_us: before.process_us.zip(after.process_us).map(|(before, after)| since(before, after)),
        viewers_us: viewers.map(|(before, after)| since(before.0, after.0) / 1_000),
        waited_us: viewers.map(|(before, after)| since(before.1, after.1) / 1_000),
        machine,
    }
}

/// The directory of the thread that fires, by its name.
fn viewers_thread(root: &Path) -> Option<PathBuf> {
    let threads = fs::read_dir(root.join("proc/self/task")).ok()?;
    let named = |path: &PathBuf| fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim_end() == VIEWERS);
    threads.filter_map(|thread| Some(thread.ok()?.path())).find(named)
}

/// User and system time of a process, the 14th and 15th of its fields (proc_pid_stat(5)).
fn process_us(stat: &str) -> Option<u64> {
    // The second field, the program's name in brackets, may hold anything, spaces and brackets among it.
    let (_, behind) = stat.rsplit_once(')')?;
    let mut times = behind.split_ascii_whitespace().skip(11).map(|field| field.parse::<u64>().ok());
    Some(times.next()??.saturating_add(times.next()??).saturating_mul(TICK_US))
}

/// Nanoseconds on a processor, and nanoseconds on a run queue (kernel documentation, "Scheduler Statistics").
fn on_and_waiting(schedstat: &str) -> Option<(u64, u64)> {
    let mut fields = schedstat.split_ascii_whitespace().map(|field| field.parse().ok());
    Some((fields.next()??, fields.next()??))
}

/// Time of all processors together (proc_stat(5)): user, nice, system, idle, iowait, irq, softirq, steal. Time of guests is
/// part of user and nice.
fn machine(stat: &str) -> Option<MachineTime> {
    let fields = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = fields.split_ascii_whitespace().map_while(|field| field.parse().ok()).collect();
    let [user, nice, system, idle, iowait, irq, softirq, steal, ..] = ticks[..] else { return None };
    let us = |parts: &[u64]| parts.iter().fold(0, |sum: u64, part| sum.saturating_add(*part)).saturating_mul(TICK_US);
    Some(MachineTime { busy_us: us(&[user, nice, system, irq, softirq]), idle_us: us(&[idle, iowait]), stolen_us: us(&[steal]) })
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_ascii_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::fake::Tree;

    fn at(millis: i64) -> LocalTime {
        LocalTime(millis * 1_000_000)
    }

    /// Ticks of the process, nanoseconds of the viewers' thread, ticks of the machine, all since whenever.
    fn write(tree: &Tree, process: u64, (on, waiting): (u64, u64), (busy, idle, steal): (u64, u64, u64)) {
        let stat = format!("7 (a ) b) R 1 7 7 0 -1 4194304 1 2 3 4 {process} 5 0 0 20 0 3 0 100 1 2\n");
        tree.write("proc/self/stat", &stat);
        tree.write("proc/self/task/7/comm", "voteburst\n");
        tree.write("proc/self/task/7/schedstat", "1 2 3\n");
        tree.write("proc/self/task/9/comm", "viewers\n");
        tree.write("proc/self/task/9/schedstat", &format!("{on} {waiting} 12\n"));
        tree.write("proc/stat", &format!("cpu  {busy} 0 1 {idle} 2 3 4 {steal} 50 60\ncpu0 9 9 9 9 9 9 9 9 9 9\n"));
    }

    #[test]
    fn the_busiest_sample_is_the_one_that_asked_for_most_and_the_sum_is_of_all() {
        let tree = Tree::new();
        write(&tree, 100, (5_000_000_000, 70_000_000), (1_000, 5_000, 10));
        let mut samples = Samples::begin(tree.root(), at(2_000), at(12_000));
        // The thread runs half of a second and waits a quarter, on a machine of two cores that is busy for 120 of 190 ticks.
        write(&tree, 160, (5_500_000_000, 320_000_000), (1_120, 5_070, 20));
        samples.take(at(13_000));
        write(&tree, 161, (5_510_000_000, 330_000_000), (1_130, 5_260, 20));
        samples.take(at(14_000));
        let usage = samples.usage();
        assert_eq!((usage.span_us, usage.process_us), (2_000_000, Some(610_000)));
        assert_eq!((usage.viewers_us, usage.waited_us), (Some(510_000), Some(260_000)));
        let machine = MachineTime { busy_us: 1_300_000, idle_us: 2_600_000, stolen_us: 100_000 };
        assert_eq!((usage.machine, usage.cores()), (Some(machine), Some(2.0)));
        let (second, busiest) = samples.busiest().unwrap();
        assert_eq!((second, busiest.span_us, busiest.demand()), (11, 1_000_000, Some(0.75)));
    }

    #[test]
    fn too_short_a_time_counts_in_the_sum_and_is_left_to_the_next_for_comparing() {
        let tree = Tree::new();
        write(&tree, 0, (0, 0), (0, 0, 0));
        let mut samples = Samples::begin(tree.root(), at(0), at(0));
        write(&tree, 9, (90_000_000, 0), (9, 9, 0));
        samples.take(at(90));
        assert_eq!((samples.busiest(), samples.usage().process_us), (None, Some(90_000)));
        write(&tree, 30, (300_000_000, 0), (30, 170, 0));
        samples.take(at(1_000));
        assert_eq!(samples.busiest().map(|(_, usage)| (usage.span_us, usage.viewers_us)), Some((1_000_000, Some(300_000))));
    }

    #[test]
    fn what_is_not_told_is_absent_and_never_zero() {
        let tree = Tree::new();
        let mut samples = Samples::begin(tree.root(), at(0), at(0));
        samples.take(at(1_000));
        assert_eq!(samples.usage(), Usage { span_us: 1_000_000, ..Usage::default() });
        assert_eq!((samples.busiest(), samples.tcp(), samples.memory_peak_bytes()), (None, TcpCounts::default(), None));
        // What is told from the second sample on has nothing to be compared with.
        write(&tree, 50, (1, 1), (1, 1, 1));
        samples.take(at(2_000));
        assert_eq!(samples.usage().process_us, None);
    }

    #[test]
    fn tcp_counts_from_the_first_sample_and_memory_has_its_peak() {
        let tree = Tree::new();
        let netstat = |overflows, drops| format!("TcpExt: ListenOverflows ListenDrops\nTcpExt: {overflows} {drops}\n");
        tree.write("proc/net/netstat", &netstat(5, 100));
        tree.write("proc/self/status", "Name:\tx\nVmRSS:\t    2048 kB\n");
        let mut samples = Samples::begin(tree.root(), at(0), at(0));
        tree.write("proc/net/netstat", &netstat(5, 107));
        tree.write("proc/self/status", "VmHWM:\t 9999 kB\nVmRSS:\t    1024 kB\n");
        samples.take(at(1_000));
        let counted = TcpCounts { listen_overflows: Some(0), listen_drops: Some(7), ..TcpCounts::default() };
        assert_eq!((samples.tcp(), samples.memory_peak_bytes()), (counted, Some(2 << 20)));
    }

    #[test]
    fn files_that_say_something_else_are_not_understood_rather_than_misread() {
        for stat in ["", "7 no brackets 1 2 3", "7 (x) R 1 2", "7 (x) R 1 2 3 4 5 6 7 8 9 10 many 5"] {
            assert_eq!(process_us(stat), None, "{stat:?}");
        }
        for stat in ["", "cpu0 1 2 3 4 5 6 7 8", "cpu  1 2 3 4 5 6 7", "cpu  1 2 3 x 5 6 7 8 9 10"] {
            assert_eq!(machine(stat), None, "{stat:?}");
        }
        for (text, read) in [("", None), ("1", None), ("1 x 3", None), ("1 2", Some((1, 2))), ("1 2 3", Some((1, 2)))] {
            assert_eq!(on_and_waiting(text), read, "{text:?}");
        }
    }

    #[test]
    fn this_kernel_tells_all_but_of_a_thread_that_is_not_there() {
        let mut samples = Samples::begin(Path::new("/"), at(0), at(0));
        samples.take(at(1));
        let usage = samples.usage();
        let told = [usage.process_us.is_some(), usage.machine.is_some(), samples.memory_peak_bytes().is_some()];
        assert_eq!(told, [true; 3]);
    }
}
