//! The fixture: a coordinator that says what the test wants, and a real agent with a small world around it.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::codegen::BoxStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};
use voteburst_agent::clock::Clock;
use voteburst_agent::session::{JoinOptions, SessionError, join};
use voteburst_burst::clock::FleetTime;
use voteburst_burst::plan::Plan;
use voteburst_burst::scenario::Scenario;
use voteburst_proto::message::{Join, Share, Snapshot, Welcome};
use voteburst_proto::wire::rehearsal_server::{Rehearsal, RehearsalServer};
use voteburst_proto::wire::{AgentMessage, CoordinatorMessage, PingReply, PingRequest};
use voteburst_proto::{FromAgent, FromCoordinator};

use crate::support::{self, Names, PATIENCE, scenario};

pub const RUN: u64 = 0xabc;
pub const VIEWERS: u32 = 20;
/// How far the coordinator's clock is ahead of the agent's.
pub const AHEAD_NS: i64 = 5_000_000_000_000;

pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: nothing within {PATIENCE:?}"),
    }
}

/// One session as the coordinator sees it. Dropping it breaks the session.
pub struct Seat {
    words: Streaming<AgentMessage>,
    out: mpsc::Sender<Result<CoordinatorMessage, Status>>,
}

impl Seat {
    pub async fn say(&self, word: FromCoordinator) {
        self.out.send(Ok(word.into())).await.unwrap();
    }

    /// The last word to an agent that has ended, and the end of the session.
    pub async fn let_go(self) {
        self.say(FromCoordinator::Bye).await;
    }

    /// The next thing the agent says; `None` when it has hung up.
    async fn next(&mut self) -> Option<FromAgent> {
        let word = soon("a word of the agent", self.words.message()).await.ok().flatten()?;
        Some(FromAgent::try_from(word).unwrap())
    }

    /// The next word that this picks out.
    pub async fn hear<T>(&mut self, pick: impl Fn(FromAgent) -> Option<T>) -> T {
        loop {
            let word = self.next().await.expect("the agent hung up");
            if let Some(picked) = pick(word) {
                return picked;
            }
        }
    }

    /// Everything the agent still says.
    pub async fn rest(mut self) -> Vec<FromAgent> {
        let mut rest = Vec::new();
        while let Some(word) = self.next().await {
            rest.push(word);
        }
        rest
    }

    pub async fn welcome(&mut self) -> Join {
        let join = self.hear(|word| match word {
            FromAgent::Join(join) => Some(join),
            other => panic!("began with {other:?}"),
        });
        let join = join.await;
        let report_every = Duration::from_millis(100);
        self.say(FromCoordinator::Welcome(Welcome { agent: 3, run: RUN, report_every })).await;
        join
    }

    pub async fn last_snapshot(&mut self) -> Snapshot {
        self.hear(|word| match word {
            FromAgent::Snapshot(snapshot) if snapshot.last => Some(*snapshot),
            _ => None,
        })
        .await
    }
}

/// A coordinator, a name server and a vote server, and an agent that joins them.
pub struct Podium {
    pub plan: Plan,
    pub servers: support::Server,
    pub names: Names,
    pub pings: Arc<AtomicU32>,
    /// The agent's own clock, which the coordinator's is ahead of.
    pub clock: Clock,
    seats: mpsc::Receiver<Seat>,
    agent: JoinHandle<Result<(), SessionError>>,
}

impl Podium {
    pub async fn set(changes: &[(&str, &str)], options: JoinOptions) -> Self {
        Self::set_up(Server::builder(), changes, options).await
    }

    /// One whose coordinator lets an agent send so many bytes before it reads.
    pub async fn reading_at_most(bytes: u32, changes: &[(&str, &str)], options: JoinOptions) -> Self {
        let server = Server::builder().initial_stream_window_size(bytes).initial_connection_window_size(bytes);
        Self::set_up(server, changes, options).await
    }

    async fn set_up(server: Server, changes: &[(&str, &str)], options: JoinOptions) -> Self {
        let names = Names::answering(Some([127, 0, 0, 1].into()), 60).await;
        let text = scenario(VIEWERS, names.address, changes);
        let parsed = Scenario::parse(&text, "session.toml", &|_| Err(std::io::ErrorKind::NotFound.into()));
        let plan = Plan::new(parsed.unwrap_or_else(|problem| panic!("{problem}")));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = listener.local_addr().unwrap().to_string();
        let (clock, pings) = (Clock::start(), Arc::new(AtomicU32::new(0)));
        let (taken, seats) = mpsc::channel(4);
        let service = RehearsalServer::new(Service { clock, pings: Arc::clone(&pings), taken });
        tokio::spawn(server.serve_with_incoming(service, TcpListenerStream::new(listener)));
        let agent = tokio::spawn(async move { join(&endpoint, options, clock).await });
        Self { plan, servers: support::Server::counting().await, names, pings, clock, seats, agent }
    }

    /// The next session the agent opens.
    pub async fn seat(&mut self) -> Seat {
        soon("a session", self.seats.recv()).await.unwrap()
    }

    pub fn share(&self, viewers: Range<u32>) -> Share {
        Share {
            scenario: self.plan.scenario.to_toml(),
            plan_hash: self.plan.hash.to_string(),
            viewers,
            carriers: vec![self.names.address],
            recursion_desired: false,
            authority: Vec::new(),
            port: self.servers.port,
            sources: Vec::new(),
            slot: 0,
        }
    }

    /// This long from now on the coordinator's clock.
    pub fn ahead(&self, by: Duration) -> FleetTime {
        FleetTime(self.clock.now().0 + AHEAD_NS).after(by)
    }

    /// From the first word until the agent is armed, with all of the plan as its share.
    pub async fn armed(&mut self) -> Seat {
        let mut seat = self.ready().await;
        seat.say(FromCoordinator::Arm).await;
        seat.hear(|word| matches!(word, FromAgent::Armed { .. }).then_some(())).await;
        seat
    }

    /// From the first word until all viewers are in.
    pub async fn ready(&mut self) -> Seat {
        let mut seat = self.seat().await;
        seat.welcome().await;
        seat.say(FromCoordinator::Share(self.share(0..VIEWERS))).await;
        seat.hear(|word| matches!(word, FromAgent::Preflight { .. }).then_some(())).await;
        seat.say(FromCoordinator::OpenDoors { at: self.ahead(Duration::from_millis(50)) }).await;
        seat.hear(|word| matches!(word, FromAgent::Ready(_)).then_some(())).await;
        seat
    }

    pub async fn commit(&self, seat: &Seat) -> FleetTime {
        let t0 = self.ahead(Duration::from_millis(100));
        seat.say(FromCoordinator::Commit { t0 }).await;
        t0
    }

    pub fn votes(&self) -> u32 {
        self.servers.seen.counts().iter().sum()
    }

    pub async fn end(self) -> Result<(), SessionError> {
        soon("the agent's end", self.agent).await.unwrap()
    }
}

struct Service {
    clock: Clock,
    pings: Arc<AtomicU32>,
    taken: mpsc::Sender<Seat>,
}

#[tonic::async_trait]
impl Rehearsal for Service {
    type SessionStream = BoxStream<CoordinatorMessage>;

    async fn session(&self, request: Request<Streaming<AgentMessage>>) -> Result<Response<Self::SessionStream>, Status> {
        let (out, words) = mpsc::channel(16);
        self.taken.send(Seat { words: request.into_inner(), out }).await.unwrap();
        Ok(Response::new(ReceiverStream::new(words).boxed()))
    }

    async fn ping(&self, _: Request<PingRequest>) -> Result<Response<PingReply>, Status> {
        self.pings.fetch_add(1, Ordering::SeqCst);
        let now = self.clock.now().0 + AHEAD_NS;
        Ok(Response::new(PingReply { received_ns: now, replied_ns: now }))
    }
}
