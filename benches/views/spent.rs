//! Processor time of the command and its agents, read while they run and told for any span afterwards.
//!
//! A run that draws on a terminal says nothing that a bench could read, so nothing here waits for a word: T0 stands in the
//! run directory, by the clock that readings are kept with.

use std::collections::HashMap;
use std::fs;

use rustix::time::{ClockId, clock_gettime};

use crate::Outcome;

/// Where the roles stand in [`Span::spent`].
pub(crate) const COORDINATOR: usize = 0;
pub(crate) const AGENTS: usize = 1;
/// How often processes are looked for, in seconds: all of /proc is read for it.
const SEARCH_EVERY_S: f64 = 1.0;

/// What went by between two instants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// Seconds of processor time, by role.
    pub(crate) spent: [f64; 2],
    /// Share of the machine's time that its host took.
    pub(crate) stolen: f64,
}

/// Cumulative counters at one instant.
#[derive(Clone, Copy, Debug)]
struct Reading {
    /// Seconds of `CLOCK_MONOTONIC`.
    at: f64,
    /// Seconds of processor time by role; ticks of the whole machine, and those that its host took.
    counters: [f64; 4],
}

/// All readings of one run.
#[derive(Debug)]
pub(crate) struct Series {
    /// What the bench started.
    started: u32,
    /// Whether that is a terminal, whose child the command is.
    inside: bool,
    /// The command and its agents, and their roles.
    processes: Vec<(u32, usize)>,
    searched: Option<f64>,
    /// Nanoseconds of each thread, also of those that have ended: a runtime lets idle threads go.
    threads: HashMap<(u32, u32), (usize, u64)>,
    readings: Vec<Reading>,
}

impl Series {
    /// Of the command with this process id, or of the one that this process is the terminal of.
    pub(crate) fn new(started: u32, inside: bool) -> Self {
        Self { started, inside, processes: Vec::new(), searched: None, threads: HashMap::new(), readings: Vec::new() }
    }

    /// Takes a reading, and tells when.
    pub(crate) fn look(&mut self) -> Outcome<f64> {
        let at = now();
        if self.searched.is_none_or(|searched| at - searched >= SEARCH_EVERY_S) {
            self.search()?;
            self.searched = Some(at);
        }
        for (process, role) in &self.processes {
            // It may be gone since.
            let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { continue };
            for thread in tasks.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
                // The first number is time on a processor in nanoseconds (Documentation/scheduler/sched-stats.rst). Those of
                // /proc/PID/stat are in steps of 10 ms, as much as a second of all of this takes.
                let words = fs::read_to_string(format!("/proc/{process}/task/{thread}/schedstat")).unwrap_or_default();
                if let Some(ns) = words.split(' ').next().and_then(|word| word.parse().ok()) {
                    self.threads.insert((*process, thread), (*role, ns));
                }
            }
        }
        let [all, stolen] = machine()?;
        let mut counters = [0.0, 0.0, all, stolen];
        self.threads.values().for_each(|(role, ns)| counters[*role] += *ns as f64 / 1e9);
        self.readings.push(Reading { at, counters });
        Ok(at)
    }

    /// What went by between these seconds of `CLOCK_MONOTONIC`.
    ///
    /// # Errors
    /// When the readings do not reach from one to the other, or no agent was found.
    pub(crate) fn between(&self, from: f64, to: f64) -> Outcome<Span> {
        let (first, last) = (self.at(from)?, self.at(to)?);
        let grown: Vec<_> = last.into_iter().zip(first).map(|(last, first)| last - first).collect();
        if grown[COORDINATOR] <= 0.0 || grown[AGENTS] <= 0.0 {
            return Err("no processor time of the command or of its agents was found in /proc".into());
        }
        Ok(Span { spent: [grown[COORDINATOR], grown[AGENTS]], stolen: grown[3] / grown[2].max(1.0) })
    }

    /// The counters at this instant, on a straight line between the readings around it.
    fn at(&self, instant: f64) -> Outcome<[f64; 4]> {
        let after = self.readings.partition_point(|reading| reading.at < instant);
        let (Some(before), Some(after)) = (after.checked_sub(1).map(|at| self.readings[at]), self.readings.get(after)) else {
            return Err("the run was not looked at all the time".into());
        };
        let share = (instant - before.at) / (after.at - before.at);
        Ok(std::array::from_fn(|index| before.counters[index] + share * (after.counters[index] - before.counters[index])))
    }

    /// Looks for the command and its agents by who started them and by their first word.
    fn search(&mut self) -> Outcome<()> {
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        for entry in fs::read_dir("/proc")? {
            let Some(process) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // Others come and go meanwhile.
            let Ok(stat) = fs::read_to_string(format!("/proc/{process}/stat")) else { continue };
            // The parent is the second word behind the name (proc(5)).
            let parent = stat.rsplit_once(") ").and_then(|(_, words)| words.split(' ').nth(1)?.parse().ok());
            children.entry(parent.unwrap_or(0)).or_default().push(process);
        }
        let of = |parent: u32, word: &str| -> Vec<u32> {
            let all = children.get(&parent).into_iter().flatten().copied();
            all.filter(|process| first_word(*process).is_some_and(|first| first == word)).collect()
        };
        let commands = if self.inside { of(self.started, "run") } else { vec![self.started] };
        self.processes.clear();
        for command in commands {
            self.processes.push((command, COORDINATOR));
            self.processes.extend(of(command, "agent").into_iter().map(|agent| (agent, AGENTS)));
        }
        Ok(())
    }
}

/// The first argument of a process.
fn first_word(process: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{process}/cmdline")).ok()?.split('\0').nth(1).map(str::to_owned)
}

/// Ticks of all processors, and those of them that the host took (proc(5), /proc/stat: the eighth number).
fn machine() -> Outcome<[f64; 2]> {
    let stat = fs::read_to_string("/proc/stat")?;
    let first = stat.lines().next().and_then(|line| line.strip_prefix("cpu ")).ok_or("no processors in /proc/stat")?;
    let ticks: Vec<f64> = first.split_ascii_whitespace().take(8).filter_map(|word| word.parse().ok()).collect();
    Ok([ticks.iter().sum(), ticks.get(7).copied().unwrap_or(0.0)])
}

fn now() -> f64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
