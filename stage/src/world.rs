//! The stage as a whole, seen by the process that rehearses on it: worker processes with their proxies.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use voteburst_burst::scenario::Question as Asked;
use voteburst_burst::scenario::stage::{BallotRule, Stage};

use crate::ballot::{self, BallotRecord, Question};
use crate::ballots_file;
use crate::certificate::Certificates;
use crate::child::Worker;
use crate::counters::ProxyCounters;
use crate::error::StageError;
use crate::limits::{self, Crewing};
use crate::place::Place;
use crate::protocol::{Command, Identity, ProxySpec, Report, Share, WorkerSpec};
use crate::tokens;

/// How many places on loopback are tried.
const ATTEMPTS: u64 = 16;
/// How long a worker may take to open, and to say its counters.
const REPORT_BOUND: Duration = Duration::from_secs(15);
/// How long requests may take to end on closing, beyond the queue timeout.
const DRAIN_SLACK: Duration = Duration::from_secs(5);
/// How long writing the ballots may take.
const WRITE_BOUND: Duration = Duration::from_secs(30);

/// What to build.
#[derive(Clone, Copy, Debug)]
pub struct WorldSpec<'a> {
    /// The stage of the scenario.
    pub stage: &'a Stage,
    /// What may be voted on.
    pub questions: &'a [Asked],
    /// How many viewers may come, all of them to one proxy if the zone sends them there.
    pub viewers: u32,
    /// Seed of the service times.
    pub seed: u64,
    /// The run whose ballots are counted; 0: those of any run, none of which can then be told apart by ticket.
    pub run: u64,
    /// The host that the proxies prove to be, by TLS with certificates made for this world alone; `None`: plain HTTP.
    pub tls_host: Option<&'a str>,
    /// The voteburst executable, whose hidden subcommand `stage-worker` calls [`crate::worker::main`].
    pub exe: &'a Path,
}

/// A small world on loopback. Its processes end when this is dropped.
#[derive(Debug)]
pub struct World {
    workers: Vec<Worker>,
    place: Place,
    rule: BallotRule,
    run: u64,
    queue_timeout: Duration,
    server_limit: u32,
    certificates: Option<Certificates>,
    _shared: Option<Pipes>,
}

/// The limits of proxies that workers share; they last as long as this.
#[derive(Debug)]
struct Pipes {
    dir: tempfile::TempDir,
    /// How many workers share.
    parts: u16,
    _open: Vec<OwnedFd>,
}

impl Pipes {
    fn make(stage: &Stage, viewers: u32, parts: u16) -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix("voteburst-stage-").tempdir()?;
        let (connections, servers) = (shared_connections(stage, viewers), stage.web_servers);
        let each = shared_server_limit(stage);
        let mut open = Vec::new();
        for proxy in 0..stage.fronts() {
            let slots: Vec<_> = (0..each).flat_map(|_| 0..servers).collect();
            open.push(tokens::make(&Share::connections(dir.path(), proxy), vec![0; connections as usize].into_iter())?);
            open.push(tokens::make(&Share::servers(dir.path(), proxy), slots.into_iter())?);
        }
        Ok(Self { dir, parts, _open: open })
    }
}

/// The connection limit of a proxy, or as many as can come where that is less: so many tokens are needed.
fn shared_connections(stage: &Stage, viewers: u32) -> u32 {
    u32::try_from(limits::come(viewers)).unwrap_or(u32::MAX).min(stage.connection_limit_per_front()).max(1)
}

/// The limit of a web server, or what a pipe holds: then there are more slots at all servers together than connections.
fn shared_server_limit(stage: &Stage) -> u32 {
    stage.server_limit().min((tokens::MOST / u32::from(stage.web_servers.max(1))).max(1))
}

/// What a stage saw of a rehearsal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageResult {
    /// The last counters of every proxy, in the order of [`World::addresses`].
    pub proxies: Vec<ProxyCounters>,
    /// Every ballot received, by ticket, as one ballot box behind all proxies would have held them.
    pub ballots: Vec<BallotRecord>,
    /// Requests that had not ended when closing would wait no longer; their votes are not among the ballots.
    pub abandoned: u64,
}

impl World {
    /// Starts the worker processes and waits until every proxy listens.
    ///
    /// Raises this process's soft limit of open files to the hard one, which the workers inherit.
    ///
    /// # Errors
    /// [`StageError::OpenFiles`] if the file limit does not allow for the viewers, [`StageError::NoRoom`] if no port is
    /// free on all addresses, others if a worker cannot be started or refuses.
    pub async fn open(spec: WorldSpec<'_>) -> Result<Self, StageError> {
        let (stage, fronts) = (spec.stage, spec.stage.fronts());
        let limit = stage.connection_limit_per_front();
        let crewing = limits::crewing(fronts, limit, spec.viewers, limits::raise_open_files())?;
        let (each, shared) = match crewing {
            Crewing::Apart(each) => (each, None),
            Crewing::Shared(parts) => (fronts, Some(Pipes::make(stage, spec.viewers, parts).map_err(StageError::Share)?)),
        };
        // The process is part of it: the same run may be staged twice at once, by tests or by mistake.
        let seed = spec.run ^ u64::from(std::process::id()) << 32;
        let certificates = spec.tls_host.map(Certificates::make).transpose().map_err(StageError::Certificate)?;
        let identity = certificates.as_ref().map(|made| &made.identity);
        let mut last = String::new();
        for attempt in 0..ATTEMPTS {
            let place = Place::draw(seed, attempt, fronts)?;
            if let Err(error) = place.probe() {
                last = format!("{}:{}: {error}", place.fronts[0], place.port);
                continue;
            }
            match start_workers(spec, &place, each, shared.as_ref(), identity).await {
                Ok(workers) => {
                    return Ok(Self {
                        workers,
                        place,
                        rule: stage.ballot_box,
                        run: spec.run,
                        queue_timeout: stage.queue_timeout,
                        server_limit: stage.server_limit(),
                        certificates,
                        _shared: shared,
                    });
                }
                Err(StageError::Refused { problem, address_in_use: true }) => last = problem,
                Err(error) => return Err(error),
            }
        }
        Err(StageError::NoRoom { attempts: ATTEMPTS, last })
    }

    /// The addresses of the proxies, or of the load balancer's nodes.
    #[must_use]
    pub fn addresses(&self) -> &[Ipv4Addr] {
        &self.place.fronts
    }

    /// The port of all of them.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.place.port
    }

    /// Whose certificates the proxies show, in DER; `None`: they speak plain HTTP.
    #[must_use]
    pub fn authority(&self) -> Option<&[u8]> {
        self.certificates.as_ref().map(|made| &*made.authority)
    }

    /// The same in PEM, for clients that read it from a file.
    #[must_use]
    pub fn authority_pem(&self) -> Option<&str> {
        self.certificates.as_ref().map(|made| &*made.authority_pem)
    }

    /// How many processes hold the proxies.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// The counters of every proxy now, in the order of [`Self::addresses`]. May be abandoned at any time.
    ///
    /// # Errors
    /// If a worker is gone, does not report in time or reports something else.
    pub async fn counters(&mut self) -> Result<Vec<ProxyCounters>, StageError> {
        for worker in &mut self.workers {
            worker.tell(&Command::Counters {}).await?;
        }
        let mut all = Vec::with_capacity(self.place.fronts.len());
        for worker in &mut self.workers {
            match worker.hear(REPORT_BOUND).await? {
                Report::Counters { proxies } => all.extend(proxies),
                other => return Err(worker.unexpected(&other)),
            }
        }
        Ok(self.per_proxy(all))
    }

    /// Joins what workers counted, each of some proxies or all of all: in the order of the proxies either way.
    fn per_proxy(&self, counted: Vec<ProxyCounters>) -> Vec<ProxyCounters> {
        let mut counted = counted.into_iter();
        let mut proxies: Vec<ProxyCounters> = counted.by_ref().take(self.place.fronts.len()).collect();
        for (number, counters) in counted.enumerate() {
            proxies[number % self.place.fronts.len()].join(&counters, self.server_limit);
        }
        proxies
    }

    /// Stops accepting, lets requests under way end for at most the queue timeout and five seconds, and gathers
    /// counters and ballots. The workers leave their ballots in `dir` as `stage-ballots-N.bin`.
    ///
    /// # Errors
    /// If a worker is gone, cannot write to `dir`, or does not end in time. Workers not closed yet are then killed.
    pub async fn close(mut self, dir: &Path) -> Result<StageResult, StageError> {
        let drain = self.queue_timeout + DRAIN_SLACK;
        let path = |number: usize| dir.join(format!("stage-ballots-{number}.bin"));
        for (number, worker) in self.workers.iter_mut().enumerate() {
            worker.tell(&Command::Close { ballots: path(number), drain }).await?;
        }
        let mut result = StageResult { proxies: Vec::new(), ballots: Vec::new(), abandoned: 0 };
        for (number, mut worker) in std::mem::take(&mut self.workers).into_iter().enumerate() {
            match worker.hear(drain + WRITE_BOUND).await? {
                Report::Closed { proxies, abandoned, .. } => {
                    result.proxies.extend(proxies);
                    result.abandoned += abandoned;
                }
                other => return Err(worker.unexpected(&other)),
            }
            worker.ended().await?;
            result.ballots.extend(ballots_file::read(&path(number), self.run)?);
        }
        result.ballots = ballot::merge(self.rule, result.ballots);
        result.proxies = self.per_proxy(result.proxies);
        Ok(result)
    }
}

async fn start_workers(
    spec: WorldSpec<'_>,
    place: &Place,
    each: u16,
    shared: Option<&Pipes>,
    identity: Option<&Identity>,
) -> Result<Vec<Worker>, StageError> {
    let stage = spec.stage;
    let question = |asked: &Asked| Question {
        id: asked.id.clone(),
        choices: asked.choices.iter().map(|choice| choice.id.clone()).collect(),
    };
    let proxies: Vec<_> =
        (0..).zip(&place.fronts).map(|(number, &address)| ProxySpec { number, address: IpAddr::V4(address) }).collect();
    let mut workers = Vec::new();
    let parts = |proxies| (0..shared.map_or(1, |pipes| pipes.parts)).map(move |part| (proxies, part));
    for (number, (proxies, part)) in proxies.chunks(usize::from(each)).flat_map(parts).enumerate() {
        let share = shared.map(|pipes| Share { dir: pipes.dir.path().to_owned(), part, parts: pipes.parts });
        let worker_spec = WorkerSpec {
            proxies: proxies.to_vec(),
            port: place.port,
            connection_limit: if share.is_some() {
                shared_connections(stage, spec.viewers)
            } else {
                stage.connection_limit_per_front()
            },
            web_servers: stage.web_servers,
            server_limit: if share.is_some() { shared_server_limit(stage) } else { stage.server_limit() },
            queue_timeout: stage.queue_timeout,
            keep_alive_timeout: stage.keep_alive_timeout,
            service_time: stage.service_time,
            ballot_rule: stage.ballot_box,
            questions: spec.questions.iter().map(question).collect(),
            seed: spec.seed,
            run: spec.run,
            share,
            identity: identity.cloned(),
        };
        let mut worker = Worker::start(spec.exe, number)?;
        worker.tell(&Command::Open(worker_spec)).await?;
        workers.push((worker, proxies));
    }
    let mut ready = Vec::with_capacity(workers.len());
    for (mut worker, proxies) in workers {
        let wanted = proxies.iter().map(|proxy| SocketAddr::new(proxy.address, place.port));
        match worker.hear(REPORT_BOUND).await? {
            Report::Ready { listening } if wanted.eq(listening.iter().copied()) => ready.push(worker),
            other => return Err(worker.unexpected(&other)),
        }
    }
    Ok(ready)
}
