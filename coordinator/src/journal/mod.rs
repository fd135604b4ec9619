//! The run directory: everything that is kept of a run, and everything a report is made from.
//!
//! `scenario.toml` (as its author wrote it), `plan.toml` (canonical and self-contained), `run.json` ([`RunRecord`]),
//! `tallies/agent-N.snapshot` (the newest snapshot of each agent as it came over the wire; its fates are in there) and
//! `ballots.bin` (what the ballot box counted). Each file is written beside its place and moved into it, so that a
//! reader finds all of it or none.

mod ballots;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use voteburst_burst::ledger::{Ballot, ShareReport};
use voteburst_burst::plan::Plan;
use voteburst_burst::scenario::{Scenario, ScenarioProblem};
use voteburst_burst::tally::Tally;
use voteburst_proto::MOST_AGENT_BYTES;
use voteburst_proto::convert::Sealed;

use crate::collect;
use crate::record::{self, AgentRecord, RunRecord, SCHEMA};

/// Why a run directory cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalProblem {
    /// There is something in it already.
    #[error("{}: holds something already; needed a new or an empty directory, so that no run is overwritten: give another --out", .0.display())]
    NotEmpty(PathBuf),
    /// It cannot be made or written to.
    #[error("{}: cannot be written to: {source}; needed a writable directory: give another --out", dir.display())]
    NotWritable {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Writing failed on the way, most often because the disk is full.
    #[error("{}: could not be written: {source}; {lost} of this run is not on disk, so `voteburst report` cannot show it again: make room", path.display())]
    Lost {
        /// The file.
        path: PathBuf,
        /// What it would have held.
        lost: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A report does not fit; all that it is made from is there.
    #[error("{}: could not be written: {source}; nothing of the run itself is lost: make room, then `voteburst report` makes it again", path.display())]
    ReportLost {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of a run cannot be read.
    #[error("{}: cannot be read: {source}; needed the directory of a run", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of a run holds something else.
    #[error("{}: needed {needed}, found {found}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        needed: &'static str,
        /// What it holds.
        found: String,
    },
    /// The plan is no scenario any more.
    #[error("the plan of this run cannot be read: {0}")]
    Plan(#[from] Box<ScenarioProblem>),
    /// The plan is another one than the run's.
    #[error("{}: gives plan {found}, needed {needed}: the file was changed, or this program derives plans by other rules than the run's", path.display())]
    OtherPlan {
        /// The file.
        path: PathBuf,
        /// The hash it gives.
        found: String,
        /// The hash the run had.
        needed: String,
    },
}

/// A run directory that is being written.
#[derive(Clone, Debug)]
pub struct RunDirectory {
    dir: PathBuf,
}

impl RunDirectory {
    /// Makes the directory, or takes an empty one, and makes sure that it can be written to before anything starts.
    ///
    /// # Errors
    /// When there is something in it, or when it cannot be made or written to.
    pub fn create(dir: &Path) -> Result<Self, JournalProblem> {
        let not_writable = |source| JournalProblem::NotWritable { dir: dir.to_owned(), source };
        fs::create_dir_all(dir).map_err(not_writable)?;
        if fs::read_dir(dir).map_err(not_writable)?.next().is_some() {
            return Err(JournalProblem::NotEmpty(dir.to_owned()));
        }
        fs::create_dir(dir.join(TALLIES)).map_err(not_writable)?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Keeps the scenario as its author wrote it, and the plan that was derived from it.
    ///
    /// # Errors
    /// [`JournalProblem::Lost`] when it does not fit or may not be written.
    pub fn write_plan(&self, scenario: &str, plan: &Plan) -> Result<(), JournalProblem> {
        self.write("scenario.toml", "the scenario", scenario.as_bytes())?;
        self.write(PLAN, "the plan", plan.scenario.to_toml().as_bytes())
    }

    /// Keeps what is known of the run; a later one replaces it.
    ///
    /// # Errors
    /// [`JournalProblem::Lost`] when it does not fit or may not be written.
    pub fn write_record(&self, record: &RunRecord) -> Result<(), JournalProblem> {
        let lost = "the record";
        let text = serde_json::to_vec_pretty(record).map_err(|error| self.lost(RECORD, lost, error.into()))?;
        self.write(RECORD, lost, &text)
    }

    /// Keeps the newest snapshot of an agent.
    ///
    /// # Errors
    /// [`JournalProblem::Lost`] when it does not fit or may not be written.
    pub fn write_snapshot(&self, snapshot: &Sealed) -> Result<(), JournalProblem> {
        let name = format!("{TALLIES}/agent-{}.{SNAPSHOT}", snapshot.agent);
        self.write(&name, "the tally of an agent", snapshot.bytes())
    }

    /// Keeps what the ballot box counted.
    ///
    /// # Errors
    /// [`JournalProblem::Lost`] when it does not fit or may not be written.
    pub fn write_ballots(&self, ballots: &[Ballot]) -> Result<(), JournalProblem> {
        self.write(BALLOTS, "what the ballot box counted", &ballots::to_bytes(ballots))
    }

    /// Keeps a file of any other kind, such as a report, by its name in this directory. `lost` tells in words what
    /// its loss means.
    ///
    /// # Errors
    /// [`JournalProblem::Lost`] when it does not fit or may not be written.
    pub fn write(&self, name: &str, lost: &'static str, bytes: &[u8]) -> Result<(), JournalProblem> {
        write_atomically(&self.dir.join(name), bytes).map_err(|source| self.lost(name, lost, source))
    }

    fn lost(&self, name: &str, lost: &'static str, source: io::Error) -> JournalProblem {
        JournalProblem::Lost { path: self.dir.join(name), lost, source }
    }
}

const TALLIES: &str = "tallies";
const SNAPSHOT: &str = "snapshot";
const PLAN: &str = "plan.toml";
const RECORD: &str = "run.json";
const BALLOTS: &str = "ballots.bin";

/// Writes a file beside its place and moves it there, so that a reader finds all of it or none.
///
/// # Errors
/// Whatever the system says, most often that the disk is full. Nothing is left behind then.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".tmp");
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        // A full disk may show itself only here.
        file.sync_all()
    });
    let moved = written.and_then(|()| fs::rename(&beside, path));
    if moved.is_err() {
        // What failed to be written takes room that the next file needs; that it cannot be removed changes nothing.
        let _ = fs::remove_file(&beside);
    }
    moved
}

/// Everything a run directory holds.
#[derive(Debug)]
pub struct Evidence {
    /// What is known of the run.
    pub record: RunRecord,
    /// The plan, derived anew and equal to the run's.
    pub plan: Arc<Plan>,
    /// The newest snapshot of each agent that sent one.
    pub snapshots: Vec<Sealed>,
    /// What the ballot box counted; `None` without one.
    pub ballots: Option<Vec<Ballot>>,
    /// Merged once, for a report, its page and its logs all begin with it.
    tally: OnceLock<Tally>,
}

impl Evidence {
    /// Puts together what is known of a run.
    #[must_use]
    pub fn new(record: RunRecord, plan: Arc<Plan>, snapshots: Vec<Sealed>, ballots: Option<Vec<Ballot>>) -> Self {
        Self { record, plan, snapshots, ballots, tally: OnceLock::new() }
    }

    /// Reads a run directory.
    ///
    /// # Errors
    /// When a file is missing, cut short or changed: a report of something else would be worse than none.
    pub fn load(dir: &Path) -> Result<Self, JournalProblem> {
        let record = load_record(&dir.join(RECORD))?;
        let plan = load_plan(&dir.join(PLAN), &record.plan_hash)?;
        let snapshots = load_snapshots(&dir.join(TALLIES))?;
        match_snapshots(&dir.join(TALLIES), &record, &snapshots)?;
        let path = dir.join(BALLOTS);
        let ballots = match fs::read(&path) {
            Ok(bytes) => Some(ballots::from_bytes(&bytes).map_err(|found| content(&path, "a file of ballots", found))?),
            // A stage has a ballot box. Without what that counted, lost and doubled votes would pass for none.
            Err(error) if error.kind() == io::ErrorKind::NotFound && record.stage.is_none() => None,
            Err(source) => return Err(JournalProblem::Unreadable { path, source }),
        };
        Ok(Self::new(record, Arc::new(plan), snapshots, ballots))
    }

    /// The fleet's tally.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        self.tally.get_or_init(|| collect::merge(&self.snapshots))
    }

    /// What each agent reported of its share, for the ledger.
    #[must_use]
    pub fn shares(&self) -> Vec<ShareReport> {
        record::share_reports(&self.record.agents, &self.snapshots)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, JournalProblem> {
    fs::read(path).map_err(|source| JournalProblem::Unreadable { path: path.to_owned(), source })
}

fn content(path: &Path, needed: &'static str, found: String) -> JournalProblem {
    JournalProblem::Content { path: path.to_owned(), needed, found }
}

fn load_record(path: &Path) -> Result<RunRecord, JournalProblem> {
    let needed = "the record of a run, of schema 1";
    let value: serde_json::Value =
        serde_json::from_slice(&read(path)?).map_err(|error| content(path, needed, error.to_string()))?;
    // Judged first: of another schema the names of missing fields would only mislead.
    if value["schema"] != SCHEMA {
        return Err(content(path, needed, format!("schema {}", value["schema"])));
    }
    serde_json::from_value(value).map_err(|error| content(path, needed, error.to_string()))
}

fn load_plan(path: &Path, needed: &str) -> Result<Plan, JournalProblem> {
    let bytes = read(path)?;
    let text = str::from_utf8(&bytes).map_err(|error| content(path, "the canonical text of a plan", error.to_string()))?;
    let no_traces = |_: &str| Err(io::Error::other("a canonical plan holds its traces itself"));
    let scenario = Scenario::parse(text, &path.display().to_string(), &no_traces).map_err(Box::new)?;
    let plan = Plan::new(scenario);
    let found = plan.hash.to_string();
    if found != needed {
        return Err(JournalProblem::OtherPlan { path: path.to_owned(), found, needed: needed.to_owned() });
    }
    Ok(plan)
}

/// A disk that was full, or a copy that was cut short, must not pass for votes that were never accepted.
fn match_snapshots(dir: &Path, record: &RunRecord, snapshots: &[Sealed]) -> Result<(), JournalProblem> {
    let file = |agent: u32| dir.join(format!("agent-{agent}.{SNAPSHOT}"));
    if let Some(other) = snapshots.iter().find(|snapshot| format!("{:016x}", snapshot.run) != record.run) {
        return Err(content(&file(other.agent), "a snapshot of this run", format!("one of run {:016x}", other.run)));
    }
    if let Some(pair) = snapshots.windows(2).find(|pair| pair[0].agent == pair[1].agent) {
        return Err(content(dir, "one snapshot of each agent", format!("several of agent {}", pair[0].agent)));
    }
    let kept = |agent: &&AgentRecord| snapshots.iter().any(|snapshot| snapshot.agent == agent.id && snapshot.last);
    match record.agents.iter().filter(|agent| agent.last).find(|agent| !kept(agent)) {
        Some(agent) => Err(content(&file(agent.id), "the last snapshot of this agent, which had arrived", "none".to_owned())),
        None => Ok(()),
    }
}

fn load_snapshots(dir: &Path) -> Result<Vec<Sealed>, JournalProblem> {
    let unreadable = |source| JournalProblem::Unreadable { path: dir.to_owned(), source };
    let mut snapshots = Vec::new();
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_none_or(|extension| extension != SNAPSHOT) {
            continue;
        }
        let bytes = read(&path)?;
        if bytes.len() > MOST_AGENT_BYTES {
            return Err(content(&path, "a snapshot of at most 16 MiB", format!("{} bytes", bytes.len())));
        }
        match Sealed::from_bytes(&bytes) {
            Ok(Some(snapshot)) => snapshots.push(snapshot),
            Ok(None) => return Err(content(&path, "a snapshot", "another word of an agent".to_owned())),
            Err(problem) => return Err(content(&path, "a snapshot", problem.to_string())),
        }
    }
    snapshots.sort_by_key(|snapshot| snapshot.agent);
    Ok(snapshots)
}

#[cfg(test)]
mod tests;
