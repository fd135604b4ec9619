//! The fixture: the real command as a process, whose lines can be awaited and to which signals can be sent.
//!
//! Nothing here sleeps: a test waits for a line, for the end, or for neither.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::reading::Report;

/// No test waits longer for anything: beyond it something hangs. A run of these tests lasts some ten seconds on an idle
/// machine, and this one may be busy.
pub(crate) const LONGEST: Duration = Duration::from_secs(90);

/// The command, about to be started.
pub(crate) struct Voteburst {
    command: Command,
}

impl Voteburst {
    pub(crate) fn new(dir: &Path, words: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_voteburst"));
        command.current_dir(dir).args(words);
        Self { command }
    }

    /// The same below other programs, such as `unshare` or a shell that set something up before.
    pub(crate) fn within(dir: &Path, outer: &[&str], words: &[&str]) -> Self {
        let mut command = Command::new(outer[0]);
        command.current_dir(dir).args(&outer[1..]).arg(env!("CARGO_BIN_EXE_voteburst")).args(words);
        Self { command }
    }

    /// The same under a shell's limit of open files.
    pub(crate) fn with_open_files(dir: &Path, limit: u32, words: &[&str]) -> Self {
        Self::within(dir, &["sh", "-c", "ulimit -n \"$0\" && exec \"$@\"", &limit.to_string()], words)
    }

    pub(crate) fn start(mut self) -> Running {
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        let pid = Pid::from_child(&child);
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let lines = Arc::new(Lines::default());
        let told = Arc::clone(&lines);
        let out = thread::spawn(move || read_all(stdout));
        let err = thread::spawn(move || told.read(stderr));
        let (tell, ended) = mpsc::channel();
        thread::spawn(move || {
            // A test that is over no longer listens.
            let _ = tell.send(child.wait().unwrap());
        });
        Running { pid, lines, out: Some(out), err: Some(err), ended, status: None }
    }

    /// Runs it to its end.
    pub(crate) fn end(self) -> Ended {
        self.start().end()
    }
}

/// What a process said on standard error so far.
#[derive(Default)]
struct Lines {
    said: Mutex<Said>,
    more: Condvar,
}

#[derive(Default)]
struct Said {
    lines: Vec<String>,
    closed: bool,
}

impl Lines {
    fn read(&self, from: impl Read) {
        for line in BufReader::new(from).lines() {
            let line = line.unwrap_or_else(|error| format!("(no text: {error})"));
            self.said.lock().unwrap().lines.push(line);
            self.more.notify_all();
        }
        self.said.lock().unwrap().closed = true;
        self.more.notify_all();
    }

    fn text(&self) -> String {
        self.said.lock().unwrap().lines.join("\n")
    }
}

fn read_all(mut from: impl Read) -> String {
    let mut text = String::new();
    from.read_to_string(&mut text).unwrap();
    text
}

/// The command while it runs. It is killed when a test lets go of it.
pub(crate) struct Running {
    pid: Pid,
    lines: Arc<Lines>,
    out: Option<JoinHandle<String>>,
    err: Option<JoinHandle<()>>,
    ended: mpsc::Receiver<ExitStatus>,
    status: Option<ExitStatus>,
}

impl Running {
    /// Waits for a line on standard error that holds this text, and returns it.
    pub(crate) fn line(&self, text: &str) -> String {
        self.line_within(LONGEST, text)
    }

    /// The same within a given time, for tests of how soon something is said.
    pub(crate) fn line_within(&self, longest: Duration, text: &str) -> String {
        let find = |said: &Said| said.lines.iter().find(|line| line.contains(text)).cloned();
        let said = self.lines.said.lock().unwrap();
        let (said, _) = self.lines.more.wait_timeout_while(said, longest, |said| find(said).is_none() && !said.closed).unwrap();
        find(&said).unwrap_or_else(|| {
            let why = if said.closed { "it ended without" } else { "nothing in time of" };
            panic!("{why} `{text}` (waited up to {longest:?}) in:\n{}", said.lines.join("\n"))
        })
    }

    /// The process of an agent, out of the line with which it joined.
    pub(crate) fn agent(&self, number: u32) -> Pid {
        let line = self.line(&format!("agent {number} joined"));
        let (_, rest) = line.split_once("(process ").unwrap_or_else(|| panic!("no process in `{line}`"));
        let (pid, _) = rest.split_once(')').unwrap();
        Pid::from_raw(pid.parse().unwrap()).unwrap()
    }

    /// Where it waits for agents, out of its own line.
    pub(crate) fn address(&self) -> String {
        let line = self.line("waiting for agents on ");
        line.rsplit(' ').next().unwrap().to_owned()
    }

    /// What Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        kill_process(self.pid, Signal::INT).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn end(self) -> Ended {
        self.end_within(LONGEST)
    }

    /// The same within a given time, for tests of how long it takes.
    pub(crate) fn end_within(mut self, longest: Duration) -> Ended {
        let status = self.ended.recv_timeout(longest);
        let status = status.unwrap_or_else(|_| panic!("it goes on after {longest:?}:\n{}", self.lines.text()));
        self.status = Some(status);
        // Its agents share its standard error, and end with it or a moment later.
        self.err.take().unwrap().join().unwrap();
        let stdout = self.out.take().unwrap().join().unwrap();
        Ended { code: status.code(), signal: status.signal(), stdout, stderr: self.lines.text() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.status.is_none() && self.ended.try_recv().is_err() {
            // It may end by itself in this very moment; then there is nobody to kill.
            let _ = kill_process(self.pid, Signal::KILL);
        }
    }
}

/// Kills a process as `kill -9` does.
pub(crate) fn kill(process: Pid) {
    kill_process(process, Signal::KILL).unwrap();
}

/// Says loudly that a test proved nothing on this machine: past the harness, which hides what passing tests print.
pub(crate) fn skipped(why: &str) {
    let test = thread::current().name().unwrap_or("a test").to_owned();
    // A closed standard error leaves nobody to tell.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
}

/// What the command left behind when it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    signal: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Asserts the exit code; on another one everything that was said is shown.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        let Self { code: found, signal, stdout, stderr } = &self;
        assert_eq!(*found, Some(code), "signal {signal:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}");
        self
    }

    /// Asserts that standard error holds each of these texts.
    #[track_caller]
    pub(crate) fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stderr.contains(text), "`{text}` is missing in:\n{}", self.stderr);
        }
        self
    }

    /// The report on standard output, for a run with `--json`.
    #[track_caller]
    pub(crate) fn report(&self) -> Report {
        let json = serde_json::from_str(&self.stdout);
        Report(json.unwrap_or_else(|error| panic!("{error} in:\n{}\n{}", self.stdout, self.stderr)))
    }
}
