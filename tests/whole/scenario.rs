//! Scenarios for tests: one small text, and what a test changes in it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::fixture::{Ended, Running, Voteburst};

/// Small enough that dozens of these run beside each other on two slow cores. Limits on timing are wide: a test that
/// is about timing narrows them itself.
const SMALL: &str = r#"name = "small"
seed = 7

[audience]
viewers = 200
doors_open = "500ms"

[carriers]
count = 3

[target]
url = "http://vote.small.test/vote"
body = '{"ballot":"{ballot}","question":"{question}","choice":"{choice}"}'

[[questions]]
id = "winner"
window = "2s"
grace = "5s"
arrivals = { shape = "uniform" }
choices = { anna = 0.6, ben = 0.4 }

[agents]
gather_timeout = "30s"

[thresholds]
response_p99_max = "5s"
lateness_p99_max = "2s"
stall_max = "2s"
start_spread_max = "2s"
connected_min = 0.9

[stage]
zone = "multivalue"
proxies = 3
connection_limit = 2_000
web_servers = 3
web_server_coefficient = 60
service_time = { distribution = "constant", mean = "10ms" }
"#;

/// A scenario in the making.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    text: String,
}

impl Scenario {
    /// 200 viewers, one question of two seconds, three proxies of a stage that carries it with ease.
    pub(crate) fn small() -> Self {
        Self { text: SMALL.into() }
    }

    /// The same with another piece of text in place of one that stands there exactly once.
    pub(crate) fn with(mut self, instead_of: &str, text: &str) -> Self {
        assert_eq!(self.text.matches(instead_of).count(), 1, "`{instead_of}` must stand once in:\n{}", self.text);
        self.text = self.text.replace(instead_of, text);
        self
    }

    pub(crate) fn viewers(self, viewers: u32) -> Self {
        self.with("viewers = 200", &format!("viewers = {viewers}"))
    }

    pub(crate) fn window(self, window: &str) -> Self {
        self.with("window = \"2s\"", &format!("window = \"{window}\""))
    }

    /// No stage: the name is asked for at this server.
    pub(crate) fn live(mut self, authoritative: SocketAddr, port: u16) -> Self {
        let stage = self.text.find("[stage]").expect("the small scenario ends with its stage");
        self.text.truncate(stage);
        self.text += &format!("[dns]\nauthoritative = [\"{authoritative}\"]\ntimeout = \"200ms\"\nattempts = 2\n");
        self.with("vote.small.test/vote", &format!("vote.small.test:{port}/vote"))
    }

    /// Which line of the file this text stands on, counted from 1.
    pub(crate) fn line_of(&self, text: &str) -> usize {
        let before = self.text.find(text).unwrap_or_else(|| panic!("`{text}` stands nowhere in:\n{}", self.text));
        self.text[..before].matches('\n').count() + 1
    }

    /// Writes it as `scenario.toml` into a directory of its own.
    pub(crate) fn place(&self) -> Place {
        let place = Place { dir: tempfile::tempdir().unwrap() };
        std::fs::write(place.path("scenario.toml"), &self.text).unwrap();
        place
    }
}

/// A directory of its own in which the command is run; it goes with the test.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The command with these words, in this directory.
    pub(crate) fn voteburst(&self, words: &[&str]) -> Voteburst {
        Voteburst::new(self.dir.path(), words)
    }

    /// The same below other programs.
    pub(crate) fn voteburst_within(&self, outer: &[&str], words: &[&str]) -> Voteburst {
        Voteburst::within(self.dir.path(), outer, words)
    }

    /// Starts `voteburst run scenario.toml --out run` and further words.
    pub(crate) fn start_run(&self, words: &[&str]) -> Running {
        self.voteburst(&[&["run", "scenario.toml", "--out", "run"], words].concat()).start()
    }

    /// Plays `voteburst run scenario.toml --out run` and further words to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Ended {
        self.start_run(words).end()
    }

    /// The names of everything in the directory, in order.
    pub(crate) fn holds(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The text of a file.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}; there is {:?}", self.holds()))
    }
}
