//! One run, watched in one way.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

use crate::reader::{Reader, Wanted};
use crate::spent::{AGENTS, COORDINATOR, Series};
use crate::{Figures, Outcome};

/// How often processor time is read.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A run that takes longer than its doors and burst by this has gone wrong.
const PATIENCE_S: f64 = 60.0;

/// What a terminal is told when the view takes it (xterm's control sequences: DECSET 1049).
const ALTERNATE_SCREEN: &[u8] = b"\x1b[?1049h";

/// A way of watching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watched {
    /// Lines on a standard error that is no terminal.
    Lines,
    /// The same once more.
    LinesAgain,
    /// The view on a terminal of 160 × 50.
    Terminal,
    /// `--web` with the events of the page read by one.
    Events,
    /// `--web` with the metrics read once a second.
    Metrics,
}

/// All of them, lines first.
pub(crate) const WATCHED: [Watched; 5] =
    [Watched::Lines, Watched::LinesAgain, Watched::Terminal, Watched::Events, Watched::Metrics];

impl Watched {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lines => "lines",
            Self::LinesAgain => "lines again",
            Self::Terminal => "terminal view",
            Self::Events => "web, one page",
            Self::Metrics => "web, metrics each 1 s",
        }
    }

    fn wanted(self) -> Option<Wanted> {
        match self {
            Self::Lines | Self::LinesAgain | Self::Terminal => None,
            Self::Events => Some(Wanted::Events),
            Self::Metrics => Some(Wanted::Metrics),
        }
    }
}

/// What became of a run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) figures: Figures,
    /// Share of the machine's time that its host took during the burst.
    pub(crate) stolen: f64,
    /// What the watcher got.
    pub(crate) seen: String,
}

/// The command or the terminal around it; ended when dropped.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Plays one rehearsal.
///
/// # Errors
/// When it cannot be started, casts no votes, or nobody could watch it in this way.
pub(crate) fn play(watched: Watched, viewers: u32, seconds: u32) -> Outcome<Run> {
    let dir = tempfile::tempdir()?;
    fs::write(dir.path().join("views.toml"), scenario(viewers, seconds))?;
    let mut run = Started(command(watched, dir.path())?.spawn().map_err(|error| format!("{}: {error}", watched.name()))?);
    let shown = match watched {
        // What script writes is what the terminal would be told.
        Watched::Terminal => drain(run.0.stdout.take().ok_or("no output of script")?),
        _ => follow(run.0.stderr.take().ok_or("no standard error of the run")?, watched.wanted()),
    };
    let mut series = Series::new(run.0.id(), watched == Watched::Terminal);
    let began = series.look()?;
    while run.0.try_wait()?.is_none() {
        thread::sleep(LOOK_EVERY);
        if series.look()? - began > f64::from(2 * seconds) + PATIENCE_S {
            return Err(format!("{}: the run does not end", watched.name()).into());
        }
    }
    let seen = shown.join().map_err(|_| "the reader of what is shown failed")?;
    seen.map_err(Into::into).and_then(|seen| figures(dir.path(), seconds, &series, seen)).map_err(|error| {
        let report = fs::read_to_string(dir.path().join("report.json")).unwrap_or_default();
        format!("{}: {error}\n{report}", watched.name()).into()
    })
}

fn command(watched: Watched, dir: &Path) -> Outcome<Command> {
    let exe = env!("CARGO_BIN_EXE_voteburst");
    let run = ["run", "views.toml", "--out", "run", "--json"];
    let mut command;
    if watched == Watched::Terminal {
        // A terminal made by script has no size of its own. The shell becomes the command.
        let inner = format!("stty rows 50 cols 160 && exec \"$VOTEBURST\" {} >report.json", run.join(" "));
        command = Command::new("script");
        command.args(["-qefc", &inner, "/dev/null"]).env("VOTEBURST", exe).env("TERM", "xterm-256color").env("SHELL", "/bin/sh");
        // Held open: at the end of its input script would type an end of file.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    } else {
        command = Command::new(exe);
        command.args(run).stdin(Stdio::null()).stdout(File::create(dir.join("report.json"))?).stderr(Stdio::piped());
    }
    if watched.wanted().is_some() {
        command.args(["--web", "127.0.0.1:0"]);
    }
    command.current_dir(dir).env_remove("NO_COLOR");
    Ok(command)
}

/// What the watcher got, or why that is nothing.
type Shown = JoinHandle<Result<String, String>>;

/// Takes all that a terminal is told.
fn drain(mut from: impl Read + Send + 'static) -> Shown {
    thread::spawn(move || {
        let mut told = Vec::new();
        from.read_to_end(&mut told).map_err(|error| error.to_string())?;
        if !told.windows(ALTERNATE_SCREEN.len()).any(|window| window == ALTERNATE_SCREEN) {
            return Err(format!("the terminal was told but lines: {}", String::from_utf8_lossy(&told)));
        }
        Ok(format!("{} drawn", kib(told.len())))
    })
}

/// Reads the command's lines, and the page where one of them tells of it.
fn follow(from: impl Read + Send + 'static, wanted: Option<Wanted>) -> Shown {
    thread::spawn(move || {
        let (mut told, mut reader) = (String::new(), None);
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if let (Some(url), Some(wanted)) = (line.strip_prefix("watch it on "), wanted) {
                reader = Some(Reader::start(url, wanted));
            }
            told = told + &line + "\n";
        }
        match (reader, wanted) {
            (Some(reader), _) => reader.end(),
            (None, Some(_)) => Err(format!("no page was told of: {told}")),
            (None, None) => Ok(format!("{} of lines", kib(told.len()))),
        }
    })
}

/// Bytes in words.
pub(crate) fn kib(bytes: usize) -> String {
    format!("{:.1} KiB", bytes as f64 / 1_024.0)
}

fn figures(dir: &Path, seconds: u32, series: &Series, seen: String) -> Outcome<Run> {
    let read = |name: &str| -> Outcome<Value> { Ok(serde_json::from_str(&fs::read_to_string(dir.join(name))?)?) };
    let (report, record) = (read("report.json")?, read("run/run.json")?);
    let number = |path: &str| report.pointer(path).and_then(Value::as_f64).ok_or_else(|| format!("no {path} in the report"));
    let t0 = record.get("t0_kernel_ns").and_then(Value::as_f64).ok_or("nothing was fired")? / 1e9;
    let length = f64::from(seconds);
    let (burst, doors) = (series.between(t0, t0 + length)?, series.between(t0 - length, t0)?);
    let planned = number("/votes/planned")?;
    let accepted = number("/votes/accepted")?;
    if accepted < planned * 0.99 {
        return Err(format!("only {accepted} of {planned} votes were accepted").into());
    }
    let figures = [
        burst.spent[COORDINATOR] / length * 1e3,
        doors.spent[COORDINATOR] / length * 1e3,
        burst.spent[AGENTS] / accepted * 1e6,
        number("/latency_ms/lateness/p50")?,
        number("/latency_ms/lateness/p99")?,
    ];
    Ok(Run { figures, stolen: burst.stolen, seen })
}

fn scenario(viewers: u32, seconds: u32) -> String {
    format!(
        r#"name = "views"
seed = 23
[audience]
viewers = {viewers}
doors_open = "{seconds}s"
[target]
url = "http://vote.show.test/vote"
body = '{{"ballot":"{{ballot}}","question":"{{question}}","choice":"{{choice}}"}}'
[[questions]]
id = "winner"
window = "{seconds}s"
grace = "1s"
arrivals = {{ shape = "uniform" }}
choices = {{ anna = 0.6, ben = 0.4 }}
[stage]
zone = "multivalue"
ttl = "15s"
proxies = 15
connection_limit = 36_000
web_servers = 6
web_server_coefficient = 300
keep_alive_timeout = "5min"
service_time = {{ distribution = "constant", mean = "30ms" }}
"#
    )
}
