//! What a stage and its workers say to each other: one JSON object per line, commands on the worker's standard input,
//! reports on its standard output. The end of the input ends the worker: then its parent has died.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use voteburst_burst::scenario::stage::{BallotRule, ServiceTime};

use crate::ballot::Question;
use crate::counters::ProxyCounters;

/// What the parent tells a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// Open these proxies. Answered by [`Report::Ready`] or [`Report::Failed`].
    Open(WorkerSpec),
    /// Answered by [`Report::Counters`].
    Counters {},
    /// Stop accepting, let requests in flight end, write the ballots, end. Answered by [`Report::Closed`].
    Close {
        /// Where the ballots go; see [`crate::ballots_file`].
        ballots: PathBuf,
        /// How long requests in flight and in the queue may take to end.
        drain: Duration,
    },
}

/// What a worker says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Report {
    /// All proxies listen.
    Ready {
        /// Where, in the order of the specification.
        listening: Vec<SocketAddr>,
    },
    /// The worker cannot do what it was told, and ends.
    Failed {
        /// Whether other addresses or another port may help.
        address_in_use: bool,
        /// What was found, what is needed, how to mend it.
        problem: String,
    },
    /// The counters now.
    Counters {
        /// One entry per proxy, in the order of the specification.
        proxies: Vec<ProxyCounters>,
    },
    /// The ballots are written; the worker ends.
    Closed {
        /// The last counters, one entry per proxy.
        proxies: Vec<ProxyCounters>,
        /// Number of ballots in the file.
        ballots: u64,
        /// Requests that were still waiting or in flight when the time to drain was over: their votes are not in the file.
        abandoned: u64,
    },
}

/// The proxies of one worker, and what they all have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerSpec {
    /// The proxies.
    pub proxies: Vec<ProxySpec>,
    /// The port of all proxies; 0: any free one for each.
    pub port: u16,
    /// Connections that one proxy accepts, at least 1; the next ones wait in the kernel's backlog.
    pub connection_limit: u32,
    /// Web servers behind each proxy, at least 1.
    pub web_servers: u16,
    /// Requests that one proxy has in flight at one web server at most, at least 1.
    pub server_limit: u32,
    /// How long a request waits for a web server before it is answered 503.
    pub queue_timeout: Duration,
    /// How long a connection may be idle before it is closed; above 0.
    pub keep_alive_timeout: Duration,
    /// How long a web server works on a request.
    pub service_time: ServiceTime,
    /// How ballots are counted.
    pub ballot_rule: BallotRule,
    /// The questions that may be voted on.
    pub questions: Vec<Question>,
    /// Seed of the service times.
    pub seed: u64,
    /// The run whose ballots are counted; 0: those of any run.
    pub run: u64,
    /// How these proxies are shared with other workers; `None`: they are this worker's alone.
    pub share: Option<Share>,
    /// With what proxies speak TLS; `None`: they speak plain HTTP.
    pub identity: Option<Identity>,
}

/// What a proxy proves itself by. It is handed over on standard input, so that no key is ever written to a file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The certificate, in PEM.
    pub certificate: String,
    /// Its private key, in PEM (PKCS #8).
    pub key: String,
}

impl fmt::Debug for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys have no place in a log.
        out.debug_struct("Identity").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// One worker's part of proxies that several workers share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Where the pipes with the proxies' tokens are; see [`Share::connections`] and [`Share::servers`].
    pub dir: PathBuf,
    /// Which of the workers this is, from 0.
    pub part: u16,
    /// How many workers share, at least 1.
    pub parts: u16,
}

impl Share {
    /// The pipe with a token for each connection that the proxy may accept.
    #[must_use]
    pub fn connections(dir: &Path, proxy: u16) -> PathBuf {
        dir.join(format!("connections-{proxy}"))
    }

    /// The pipe with a token for each request that the proxy may have at a web server: the server's index.
    #[must_use]
    pub fn servers(dir: &Path, proxy: u16) -> PathBuf {
        dir.join(format!("servers-{proxy}"))
    }
}

/// One proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxySpec {
    /// Its number within the stage, from 0: what its service times are drawn by, wherever it listens.
    pub number: u16,
    /// The address it listens on.
    pub address: IpAddr,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_reports_read_as_the_documentation_says() {
        for text in [r#"{"counters":{}}"#, r#"{"close":{"ballots":"/x/y","drain":{"secs":1,"nanos":0}}}"#] {
            let command: Command = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&command).unwrap(), text);
        }
        let ready = Report::Ready { listening: vec!["127.0.0.1:80".parse().unwrap()] };
        assert_eq!(serde_json::to_string(&ready).unwrap(), r#"{"ready":{"listening":["127.0.0.1:80"]}}"#);
    }
}
