//! The scenario: everything a user says about a rehearsal, read in two steps.
//!
//! [`Draft`] holds the words as written, on which overrides of the command line work; [`Draft::resolve`] gives them
//! their meaning or says what is wrong, where, and how to fix it. A [`Scenario`] that exists is sound.

mod check;
mod problem;
pub mod sources;
pub mod stage;
pub mod template;
#[cfg(test)]
mod tests;
mod words;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use problem::nearest;
pub use problem::{ScenarioProblem, line_of};
use stage::Stage;
use template::RequestTemplate;

use crate::cache::CacheModel;
use crate::expect::Expected;
use crate::outcome::Failure;
use crate::phone::{PhoneKind, PhoneModel};
use crate::schedule::Shape;
use crate::zone::ZonePolicy;

/// The most viewers a scenario may have.
pub const MOST_VIEWERS: u32 = 50_000_000;

/// A sound scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Its name, which also names the run directory.
    pub name: String,
    /// Where all chance comes from.
    pub seed: u64,
    /// Who watches.
    pub audience: Audience,
    /// Behind which DNS caches they sit.
    pub carriers: Carriers,
    /// The name they resolve.
    pub dns: Dns,
    /// Where votes go, and how the app behaves.
    pub target: Target,
    /// What is asked.
    pub questions: Vec<Question>,
    /// How agents share the audience.
    pub agents: Agents,
    /// What makes a rehearsal pass.
    pub thresholds: Thresholds,
    /// The world to build on loopback; none for a live target.
    pub stage: Option<Stage>,
    words: words::Words,
}

/// Who watches.
#[derive(Clone, Debug, PartialEq)]
pub struct Audience {
    /// How many.
    pub viewers: u32,
    /// Over how long they open the app before the first question.
    pub doors_open: Duration,
    /// Kinds of phones; their shares sum to 1.
    pub phones: Vec<Phone>,
}

/// A kind of phone in an audience.
#[derive(Clone, Debug, PartialEq)]
pub struct Phone {
    /// The word for it in reports.
    pub name: String,
    /// The preset, or that the scenario describes it.
    pub kind: PhoneKind,
    /// What it does.
    pub model: PhoneModel,
    /// Its share of the audience.
    pub share: f64,
    /// How it speaks HTTP.
    pub client: Client,
}

/// How a phone speaks HTTP. What DNS makes of it is the same for both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Client {
    /// HTTP/1.1, at the least cost.
    #[default]
    Lean,
    /// HTTP/2 where the proxy agrees to it in the TLS handshake (ALPN, RFC 7301), else HTTP/1.1.
    Full,
}

impl Client {
    /// Whether it is the lean one, which a scenario need not name.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    fn is_lean(&self) -> bool {
        *self == Self::Lean
    }
}

/// The DNS caches between the audience and the zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Carriers {
    /// Each carrier; the shares sum to 1.
    pub list: Vec<Carrier>,
    /// What their caches hold when the doors open.
    pub phase: Phase,
    /// How long a carrier waits for the name's servers, each time.
    pub upstream_timeout: Duration,
    /// How often it asks each of them, in all.
    pub upstream_attempts: u32,
}

/// One carrier and those behind it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Carrier {
    /// Its share of the audience.
    pub share: f64,
    /// A real resolver that stands in its place.
    pub resolver: Option<SocketAddr>,
    /// How it caches.
    pub cache: CacheModel,
    /// How many caches it has that share nothing; each query meets one of them by chance.
    pub caches: u16,
    /// The network it tells the name's servers its phones are in (EDNS client subnet, RFC 7871).
    pub client_subnet: Option<Subnet>,
}

/// What caches hold when the doors open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Nothing: the name was not asked for before.
    #[default]
    Cold,
    /// An answer of random age: the name is asked for all day.
    Random,
}

/// A network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// An address in it.
    pub address: IpAddr,
    /// How many of its first bits tell the network.
    pub prefix: u8,
}

/// The name that viewers resolve.
#[derive(Clone, Debug, PartialEq)]
pub struct Dns {
    /// The name, absolute: with a dot at its end.
    pub name: String,
    /// Authoritative servers that voteburst's carriers ask on a live target.
    pub authoritative: Vec<SocketAddr>,
    /// Recursive servers that voteburst's carriers ask instead.
    pub recursive: Vec<SocketAddr>,
    /// How long a phone waits for its carrier, each time.
    pub timeout: Duration,
    /// How often a phone asks, in all.
    pub attempts: u32,
    /// Whether phones are in a network with IPv6 and ask for such addresses too, each as its kind does.
    pub ipv6: bool,
    /// The name of the production system, which must be of the same kind; see `voteburst dns --against`.
    pub production_name: Option<String>,
    /// DNS servers to ask for it; none: those that NS lookups find.
    pub production_servers: Vec<SocketAddr>,
}

/// Plain or encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain HTTP/1.1.
    Http,
    /// HTTP/1.1 over TLS.
    Https,
}

/// Where votes go, and how the app behaves.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Plain or encrypted.
    pub scheme: Scheme,
    /// The host of the URL: what TLS checks.
    pub host: String,
    /// The port; on a stage, the stage's own port stands in its place.
    pub port: u16,
    /// The vote as bytes.
    pub request: RequestTemplate,
    /// Statuses that mean "counted".
    pub accepted: Vec<u16>,
    /// How long the app waits for a connection, TLS included.
    pub connect_timeout: Duration,
    /// How long the app waits for an answer.
    pub response_timeout: Duration,
    /// What the app tries again.
    pub retry: Retry,
    /// Certificates to trust besides the system's, as a PEM file on each agent.
    pub ca_file: Option<String>,
}

/// What the app tries again, with the same ballot id.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Attempts in all, at least 1.
    pub attempts: u32,
    /// The wait before the second attempt, times a draw from 0.5 to 1.5.
    pub backoff: Duration,
    /// By what the wait grows with each further attempt, at least 1.
    pub backoff_factor: f64,
    /// The failures after which it tries again.
    pub on: Vec<Failure>,
}

/// One question of the show.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Its id, as it stands in votes.
    pub id: String,
    /// When it opens, after T0.
    pub opens_at: Duration,
    /// How long it stays open to viewers.
    pub window: Duration,
    /// How much longer the backend counts votes that were on their way when it closed.
    pub grace: Duration,
    /// How the votes are spread over the window.
    pub arrivals: Shape,
    /// The share of viewers who vote.
    pub turnout: f64,
    /// The choices; their shares sum to 1.
    pub choices: Vec<Choice>,
}

/// One choice of a question.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Its id, as it stands in votes.
    pub id: String,
    /// The share of votes it gets.
    pub share: f64,
}

/// How agents share the audience.
#[derive(Clone, Debug, PartialEq)]
pub struct Agents {
    /// The most viewers one agent holds.
    pub max_viewers: u32,
    /// Addresses that agents connect from, at most [`sources::MOST_SOURCES`]; none: automatic.
    pub sources: Vec<IpAddr>,
    /// How long the coordinator waits for all agents to join.
    pub gather_timeout: Duration,
    /// How long it waits for all agents to arm.
    pub arm_timeout: Duration,
}

/// What makes a rehearsal pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds {
    /// The least share of planned votes that must be accepted.
    pub accepted_min: f64,
    /// The greatest share of voting viewers whose vote may miss the window.
    pub complaints_max: f64,
    /// The least share of viewers that must be connected at T0.
    pub connected_min: f64,
    /// The longest response time at the 99th percentile.
    pub response_p99_max: Option<Duration>,
    /// The greatest share of votes that one proxy may get in any one second of the burst.
    pub busiest_share_max: Option<f64>,
    /// The most connections that may be open at one proxy.
    pub peak_open_max: Option<u32>,
    /// The generator's own lateness at the 99th percentile, above which a run proves nothing.
    pub lateness_p99_max: Duration,
    /// The longest time that an agent's worker may stand still between T0 and its last vote.
    pub stall_max: Duration,
    /// The spread of the agents' starts, above which a run proves nothing.
    pub start_spread_max: Duration,
    /// How much worse a figure may be than a baseline's beyond what chance explains, as a share of that.
    pub worse_max: f64,
    /// Further limits, in the order they are written.
    pub limits: Vec<Expected>,
}

/// A scenario as written, before it has a meaning.
#[derive(Clone, Debug)]
pub struct Draft {
    file: String,
    text: String,
    words: words::Words,
}

impl Draft {
    /// Reads the words of a scenario.
    ///
    /// # Errors
    /// Text that is no TOML, unknown keys and words, wrong types, missing keys.
    pub fn read(text: &str, file: &str) -> Result<Self, ScenarioProblem> {
        // Some editors begin a file with a byte order mark, which TOML does not know.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let words = toml::from_str(text).map_err(|error| problem::Places::new(file, text).of_reader(&error))?;
        Ok(Self { file: file.into(), text: text.into(), words })
    }

    /// Puts another number of viewers in place of the written one.
    #[must_use]
    pub fn with_viewers(mut self, viewers: u32) -> Self {
        self.words.audience.viewers = i64::from(viewers);
        self
    }

    /// Puts another seed in place of the written one.
    #[must_use]
    pub fn with_seed(mut self, seed: u32) -> Self {
        self.words.seed = i64::from(seed);
        self
    }

    /// Puts another zone policy in place of the written one. Without a stage nothing changes: a live zone answers as it does.
    #[must_use]
    pub fn with_zone(mut self, zone: ZonePolicy) -> Self {
        if let Some(stage) = &mut self.words.stage {
            stage.zone = zone;
        }
        self
    }

    /// Puts another number of proxies in place of the written one. Without a stage nothing changes.
    #[must_use]
    pub fn with_proxies(mut self, proxies: u16) -> Self {
        if let Some(stage) = &mut self.words.stage {
            stage.proxies = proxies.into();
        }
        self
    }

    /// Puts another TTL in place of the written one, in seconds. Without a stage nothing changes.
    #[must_use]
    pub fn with_ttl(mut self, ttl_s: u32) -> Self {
        if let Some(stage) = &mut self.words.stage {
            stage.ttl = words::Time::seconds(ttl_s.into());
        }
        self
    }

    /// Puts another number of carriers in place of the written one; their sizes follow the same rule.
    #[must_use]
    pub fn with_carriers(mut self, carriers: u16) -> Self {
        self.words.carriers.count = Some(carriers.into());
        self
    }

    /// Gives the words their meaning. `read` reads a trace file, by its path as written.
    ///
    /// # Errors
    /// The first thing that makes no sense, with its place and a way out.
    pub fn resolve(self, read: &dyn Fn(&str) -> io::Result<String>) -> Result<Scenario, ScenarioProblem> {
        check::resolve(self, read)
    }
}

impl Scenario {
    /// Reads a scenario in one go.
    ///
    /// # Errors
    /// Whatever [`Draft::read`] and [`Draft::resolve`] refuse.
    pub fn parse(text: &str, file: &str, read: &dyn Fn(&str) -> io::Result<String>) -> Result<Self, ScenarioProblem> {
        Draft::read(text, file)?.resolve(read)
    }

    /// The scenario as self-contained canonical TOML, traces included: what agents get and plan hashes cover.
    #[must_use]
    pub fn to_toml(&self) -> String {
        match toml::to_string(&self.words) {
            Ok(text) => text,
            // Words came out of TOML or out of constants, so they go back into it.
            Err(error) => unreachable!("a scenario that was read cannot be written: {error}"),
        }
    }
}
