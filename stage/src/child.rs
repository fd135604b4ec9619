//! The parent's end of one worker process.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command as Process};
use tokio::time::timeout;

use crate::error::StageError;
use crate::protocol::{Command, Report};

/// How long a process may take to be gone once its output has ended.
const EXIT_BOUND: Duration = Duration::from_secs(5);

/// A worker process. It ends when this is dropped, or when this process dies in whatever way.
#[derive(Debug)]
pub(crate) struct Worker {
    number: usize,
    exe: PathBuf,
    process: Child,
    commands: ChildStdin,
    reports: Lines<BufReader<ChildStdout>>,
    /// Reports not heard yet, those included that a caller stopped waiting for: they must not answer a later command.
    owed: u32,
}

impl Worker {
    pub(crate) fn start(exe: &Path, number: usize) -> Result<Self, StageError> {
        let refuse = |source| StageError::Spawn { exe: exe.to_owned(), source };
        let mut process = Process::new(exe)
            .arg("stage-worker")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            // Ctrl-C on a terminal goes to the whole foreground group: the parent must be the one to decide what it means.
            .process_group(0)
            .spawn()
            .map_err(refuse)?;
        let pipes = process.stdin.take().zip(process.stdout.take());
        let (commands, reports) = pipes.ok_or_else(|| refuse(std::io::ErrorKind::BrokenPipe.into()))?;
        Ok(Self { number, exe: exe.to_owned(), process, commands, reports: BufReader::new(reports).lines(), owed: 0 })
    }

    /// Gives a command; its report has to be heard before the next one is of use.
    pub(crate) async fn tell(&mut self, command: &Command) -> Result<(), StageError> {
        let mut line = serde_json::to_vec(command).map_err(|error| self.broken(error.into()))?;
        line.push(b'\n');
        self.owed += 1;
        match self.commands.write_all(&line).await {
            Ok(()) => Ok(()),
            // The worker is gone; what it said last tells more than the broken pipe does.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(self.broken(error)),
        }
    }

    /// The report on the last command.
    pub(crate) async fn hear(&mut self, bound: Duration) -> Result<Report, StageError> {
        timeout(bound, self.last_report()).await.map_err(|_| StageError::Silent { worker: self.number, bound })?
    }

    async fn last_report(&mut self) -> Result<Report, StageError> {
        loop {
            let Some(line) = self.reports.next_line().await.map_err(|error| self.broken(error))? else {
                let status = timeout(EXIT_BOUND, self.process.wait()).await;
                let status = status.map_err(|_| StageError::Silent { worker: self.number, bound: EXIT_BOUND })?;
                return Err(StageError::Died { worker: self.number, status: status.map_err(|error| self.broken(error))? });
            };
            match serde_json::from_str(&line) {
                Ok(Report::Failed { problem, address_in_use }) => return Err(StageError::Refused { problem, address_in_use }),
                Ok(report) if self.owed <= 1 => {
                    self.owed = 0;
                    return Ok(report);
                }
                Ok(_) => self.owed -= 1,
                Err(_) => return Err(self.confused(&line)),
            }
        }
    }

    /// The error for a report that does not belong to the command.
    pub(crate) fn unexpected(&self, report: &Report) -> StageError {
        self.confused(&format!("{report:?}"))
    }

    /// Waits until the process, told to close, has ended.
    pub(crate) async fn ended(mut self) -> Result<(), StageError> {
        drop(self.commands);
        match timeout(EXIT_BOUND, self.process.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(StageError::Died { worker: self.number, status }),
            Ok(Err(source)) => Err(StageError::Talk { worker: self.number, source }),
            Err(_) => Err(StageError::Silent { worker: self.number, bound: EXIT_BOUND }),
        }
    }

    fn broken(&self, source: std::io::Error) -> StageError {
        StageError::Talk { worker: self.number, source }
    }

    fn confused(&self, found: &str) -> StageError {
        StageError::Confused { worker: self.number, found: found.chars().take(160).collect(), exe: self.exe.clone() }
    }
}
