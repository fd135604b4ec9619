//! One run of the real command: coordinator and agents as processes, the report by its stable keys.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use rustix::process::Pid;
use serde_json::Value;
use tempfile::TempDir;
use voteburst_burst::plan::{Plan, Ticket};
use voteburst_burst::scenario::Scenario;

use super::Outcome;
use super::server::Served;
use super::target::{NAME, Target};

/// How the votes of a run arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrivals {
    /// At random instants of the window, each as likely as any other.
    Uniform,
    /// One after the other in equal steps.
    Even,
}

/// What is played.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// How many vote, once each.
    pub(crate) viewers: u32,
    /// Over which time.
    pub(crate) window: Duration,
    /// How.
    pub(crate) arrivals: Arrivals,
    /// How many agents share them.
    pub(crate) agents: u32,
}

impl Size {
    /// Votes per second.
    pub(crate) fn rate(&self) -> f64 {
        f64::from(self.viewers) / self.window.as_secs_f64()
    }
}

/// A run under way.
pub(crate) struct Run {
    command: Child,
    said: BufReader<ChildStderr>,
    told: String,
    plan: Plan,
    dir: TempDir,
}

impl Run {
    /// Starts `voteburst run` against this target.
    pub(crate) fn start(target: &Target, size: Size) -> Outcome<Self> {
        let text = scenario(target, size)?;
        let dir = tempfile::tempdir()?;
        std::fs::write(dir.path().join("scenario.toml"), &text)?;
        let no_files = |_: &str| Err(std::io::ErrorKind::NotFound.into());
        let plan = Plan::new(Scenario::parse(&text, "scenario.toml", &no_files).map_err(|problem| problem.to_string())?);
        let agents = size.agents.to_string();
        let words = ["run", "scenario.toml", "--out", "run", "--json", "--agents", &agents];
        let mut command = Command::new(env!("CARGO_BIN_EXE_voteburst"));
        command.current_dir(dir.path()).args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut command = command.spawn()?;
        let said = BufReader::new(command.stderr.take().ok_or("no standard error of the run")?);
        Ok(Self { command, said, told: String::new(), plan, dir })
    }

    /// Waits until the run says a line with this text, and returns it.
    pub(crate) fn line(&mut self, text: &str) -> Outcome<String> {
        loop {
            let from = self.told.len();
            if self.said.read_line(&mut self.told)? == 0 {
                return Err(format!("the run ended without `{text}`:\n{}", self.told).into());
            }
            if self.told[from..].contains(text) {
                return Ok(self.told[from..].to_owned());
            }
        }
    }

    /// The process of the agent that joins next, out of its line.
    pub(crate) fn agent(&mut self) -> Outcome<Pid> {
        let line = self.line(" joined")?;
        let number = line.split_once("(process ").and_then(|(_, rest)| rest.split_once(')')).map(|(number, _)| number);
        let number = number.ok_or_else(|| format!("no process in `{line}`"))?.parse()?;
        Ok(Pid::from_raw(number).ok_or("process 0")?)
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Outcome<Played> {
        let mut stdout = self.command.stdout.take().ok_or("no output of the run")?;
        let mut json = String::new();
        // What is said meanwhile fits into the pipe: a line a second.
        stdout.read_to_string(&mut json)?;
        self.said.read_to_string(&mut self.told)?;
        let code = self.command.wait()?.code();
        let report = serde_json::from_str(&json).map_err(|error| format!("{error} in `{json}`:\n{}", self.told))?;
        let kept: PathBuf = self.dir.path().join("run/run.json");
        let kept: Value = serde_json::from_str(&std::fs::read_to_string(kept)?)?;
        let t0_ns = kept["t0_kernel_ns"].as_i64().ok_or_else(|| format!("nothing was fired:\n{}", self.told))?;
        let tickets = self.plan.tickets_of(&(0..self.plan.scenario.audience.viewers));
        Ok(Played { code, report: Report(report), t0_ns, tickets })
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // It has mostly ended by itself; then there is nobody to kill.
        let _ = self.command.kill();
        let _ = self.command.wait();
    }
}

/// A run that has ended.
pub(crate) struct Played {
    /// Its exit code.
    pub(crate) code: Option<i32>,
    /// Its report.
    pub(crate) report: Report,
    /// T0 on the kernel's monotonic clock, in nanoseconds.
    pub(crate) t0_ns: i64,
    /// The tickets of the plan.
    pub(crate) tickets: Vec<Ticket>,
}

/// `report.json`, asked by dotted paths such as `votes.accepted`.
pub(crate) struct Report(pub(crate) Value);

impl Report {
    pub(crate) fn at(&self, path: &str) -> Outcome<&Value> {
        let pointer = format!("/{}", path.replace('.', "/"));
        Ok(self.0.pointer(&pointer).ok_or_else(|| format!("no `{path}` in the report"))?)
    }

    pub(crate) fn number(&self, path: &str) -> Outcome<f64> {
        Ok(self.at(path)?.as_f64().ok_or_else(|| format!("`{path}` is no number"))?)
    }

    /// The verdict's reasons: their codes, and everything of them as text.
    pub(crate) fn reasons(&self) -> Outcome<(Vec<String>, String)> {
        let reasons = self.at("verdict.reasons")?.as_array().ok_or("no reasons")?;
        let codes = reasons.iter().filter_map(|reason| reason["code"].as_str().map(str::to_owned)).collect();
        let texts: Vec<_> = reasons.iter().filter_map(|reason| reason["text"].as_str()).collect();
        Ok((codes, texts.join("; ")))
    }

    /// Says what is wrong unless the account is closed: every planned vote was sent and accepted, and the server read each
    /// of them once.
    pub(crate) fn all_accepted(&self, served: &[Served]) -> Outcome<()> {
        let planned = self.number("votes.planned")?;
        for path in ["votes.sent", "votes.accepted", "votes.attempts", "ledger.accepted"] {
            let found = self.number(path)?;
            if found != planned {
                return Err(format!("{path}: {found} of {planned} planned").into());
            }
        }
        let tickets: BTreeSet<_> = served.iter().map(|served| served.ticket).collect();
        if tickets.len() != served.len() || served.len() as f64 != planned {
            return Err(
                format!("the server read {} votes, {} of them different, of {planned}", served.len(), tickets.len()).into()
            );
        }
        Ok(())
    }
}

fn scenario(target: &Target, size: Size) -> Outcome<String> {
    let Size { viewers, window, arrivals, .. } = size;
    let window_ms = window.as_millis();
    let arrivals = match arrivals {
        Arrivals::Uniform => "shape = \"uniform\"".to_owned(),
        Arrivals::Even => {
            let step_us = window.as_secs_f64() * 1e6 / f64::from(viewers);
            let mut offsets = String::new();
            for vote in 0..viewers {
                write!(offsets, "{},", ((f64::from(vote) + 0.5) * step_us) as u64)?;
            }
            format!("shape = \"trace\", offsets_us = [{offsets}]")
        }
    };
    Ok(format!(
        r#"name = "truth"
seed = 11
[audience]
viewers = {viewers}
doors_open = "1s"
phones = [{{ kind = "glibc-no-cache", share = 1.0 }}]
[carriers]
resolvers = ["{names}"]
[target]
url = "http://{NAME}:{port}/vote"
headers = {{ content-type = "application/json" }}
body = '{{"ballot":"{{ballot}}","question":"{{question}}","choice":"{{choice}}"}}'
[[questions]]
id = "winner"
window = "{window_ms}ms"
grace = "5s"
arrivals = {{ {arrivals} }}
choices = {{ anna = 0.5, ben = 0.5 }}
[thresholds]
complaints_max = 1.0
"#,
        names = target.names(),
        port = target.port
    ))
}
