//! Precedence over the machine's other programs, for rehearsals whose both ends are here and want all of its cores.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::{getpriority_process, setpriority_process};
use voteburst_burst::scenario::Scenario;

use crate::say;

/// The nice value that agents, stage and coordinator share (sched(7)): each step weighs a quarter more, so that another program
/// with the usual 0 gets a tenth of a core that we want too.
const NICE: i32 = -10;

/// The nice value of the whole session, which decides between sessions where the kernel groups them, and without which the
/// value of a process counts only within its own (sched(7), "The autogroup feature").
const SESSION: &str = "/proc/self/autogroup";

/// Precedence taken. The session's is given back when this is dropped; the process's own ends with it.
#[derive(Debug)]
pub(crate) struct Precedence {
    /// The file of the session's nice value, and what stood there.
    session: Option<(PathBuf, i32)>,
}

/// What the scenario wants of it. Where it is not permitted a line says so, and the rehearsal goes on as one among others.
pub(crate) fn wanted(scenario: &Scenario) -> Option<Precedence> {
    if !scenario.stage.as_ref().is_some_and(|stage| stage.precedence) {
        return None;
    }
    let refused = |error: &io::Error| {
        say::note(&format!(
            "  ! precedence over other programs: {error}; the scenario asks for it (stage.precedence); run as root or with CAP_SYS_NICE, or votes may be late whenever another program wants the processor"
        ));
    };
    Precedence::take().inspect_err(refused).ok()
}

impl Precedence {
    /// Takes precedence for this process and for all that it starts from now on. To be called before there are threads, for each
    /// has a nice value of its own.
    ///
    /// A nice value that somebody chose stays as it is.
    ///
    /// # Errors
    /// What the system says if this user may not (setpriority(2)).
    fn take() -> io::Result<Self> {
        if getpriority_process(None)? == 0 {
            setpriority_process(None, NICE)?;
        }
        Ok(Self { session: before(Path::new(SESSION))? })
    }
}

impl Drop for Precedence {
    fn drop(&mut self) {
        if let Some((file, nice)) = &self.session {
            // What stays behind otherwise is a shell that goes before others, until it ends.
            let _ = fs::write(file, nice.to_string());
        }
    }
}

/// Puts the session before others, and tells what to give back. A kernel without sessions of that kind has nothing to take.
fn before(file: &Path) -> io::Result<Option<(PathBuf, i32)>> {
    let Some(0) = fs::read_to_string(file).ok().and_then(|text| nice(&text)) else { return Ok(None) };
    fs::write(file, NICE.to_string())?;
    Ok(Some((file.to_owned(), 0)))
}

/// The nice value in a line such as `/autogroup-784 nice 0`.
fn nice(text: &str) -> Option<i32> {
    text.trim_end().rsplit_once(" nice ")?.1.parse().ok()
}
