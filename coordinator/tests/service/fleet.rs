//! The fixture: a real coordinator on loopback, and agents that say what the test wants.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};
use voteburst_burst::clock::Offset;
use voteburst_burst::outcome::Fate;
use voteburst_burst::plan::{PROTOCOL, Plan};
use voteburst_burst::scenario::Draft;
use voteburst_burst::tally::Tally;
use voteburst_coordinator::clock::Clock;
use voteburst_coordinator::conductor::Timings;
use voteburst_coordinator::live::{Live, Watch};
use voteburst_coordinator::progress::Progress;
use voteburst_coordinator::trust::Token;
use voteburst_coordinator::{Conducted, Setup, WorldInfo, bind, conduct};
use voteburst_proto::message::{Join, Ready, Share, Snapshot, Welcome};
use voteburst_proto::wire::rehearsal_client::RehearsalClient;
use voteburst_proto::wire::{CoordinatorMessage, PingRequest};
use voteburst_proto::{FromAgent, FromCoordinator, wire};

/// The number of every run of these tests.
pub(crate) const RUN: u64 = 0x4711;
/// No test waits longer for anything: beyond it something hangs.
const LONGEST: Duration = Duration::from_secs(20);

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LONGEST, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: nothing within {LONGEST:?}"),
    }
}

pub(crate) fn plan(viewers: u32) -> Arc<Plan> {
    let draft = Draft::read(include_str!("../../../scenarios/smoke.toml"), "smoke.toml").unwrap().with_viewers(viewers);
    Arc::new(Plan::new(draft.resolve(&|_| Err(std::io::ErrorKind::NotFound.into())).unwrap()))
}

/// A coordinator that conducts one run.
pub(crate) struct Stand {
    pub(crate) plan: Arc<Plan>,
    pub(crate) address: String,
    pub(crate) clock: Clock,
    pub(crate) interrupts: mpsc::UnboundedSender<()>,
    /// What somebody who watches the run sees.
    pub(crate) live: watch::Receiver<Arc<Live>>,
    lines: mpsc::UnboundedReceiver<Progress>,
    run: JoinHandle<Conducted>,
}

impl Stand {
    pub(crate) async fn open(agents: u32, token: Option<Token>) -> Self {
        let plan = plan(30);
        let timings = Timings {
            gather: Duration::from_secs(10),
            doors_lead: Duration::from_millis(50),
            commit_lead: Duration::from_millis(100),
            rejoin: Duration::from_millis(500),
            ..Timings::of(&plan)
        };
        let (progress, lines) = mpsc::unbounded_channel();
        let (interrupts, interrupted) = mpsc::unbounded_channel();
        let world = WorldInfo { port: 8080, carriers: vec!["127.0.0.1:53".parse().unwrap()], ..WorldInfo::default() };
        let (to, live) = watch::channel(Arc::default());
        let watch = Some(Watch { to, fronts: Vec::new() });
        let setup = Setup { plan: plan.clone(), run: RUN, agents, world, token, timings, force: false, progress, live: watch };
        let bound = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let (address, clock) = (bound.address.to_string(), Clock::of_this_process());
        let run = tokio::spawn(async move { conduct(bound, setup, interrupted, clock).await.unwrap() });
        Self { plan, address, clock, interrupts, live, lines, run }
    }

    /// Waits for a line of progress that this picks out.
    pub(crate) async fn line<T>(&mut self, pick: impl Fn(&Progress) -> Option<T>) -> T {
        soon("a line of progress", async {
            loop {
                let line = self.lines.recv().await.expect("the run is over");
                if let Some(picked) = pick(&line) {
                    return picked;
                }
            }
        })
        .await
    }

    pub(crate) async fn result(self) -> Conducted {
        soon("the result", self.run).await.unwrap()
    }
}

/// An agent that does as it is told by the test, line by line.
pub(crate) struct Puppet {
    pub(crate) join: Join,
    say: mpsc::Sender<wire::AgentMessage>,
    words: Streaming<CoordinatorMessage>,
    client: RehearsalClient<Channel>,
    pub(crate) welcome: Option<Welcome>,
    pub(crate) share: Option<Share>,
}

pub(crate) fn join(incarnation: u64) -> Join {
    Join {
        protocol: PROTOCOL,
        version: "test".into(),
        host: "puppet".into(),
        pid: 42,
        incarnation,
        token: None,
        allowed: vec!["127.0.0.0/8".into()],
    }
}

impl Puppet {
    pub(crate) async fn connect(address: &str, join: Join) -> Self {
        Self::begin(address, join.clone(), FromAgent::Join(join)).await
    }

    /// Opens a session that begins with these words.
    pub(crate) async fn begin(address: &str, join: Join, first: FromAgent) -> Self {
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        let mut client = RehearsalClient::new(channel);
        let (say, said) = mpsc::channel(16);
        say.send(first.into()).await.unwrap();
        let words = client.session(ReceiverStream::new(said)).await.unwrap().into_inner();
        Self { join, say, words, client, welcome: None, share: None }
    }

    /// The next word of the coordinator; `None` when it has ended the session.
    pub(crate) async fn hear(&mut self) -> Option<FromCoordinator> {
        let message = soon("a word of the coordinator", self.words.message()).await.unwrap()?;
        let word = FromCoordinator::try_from(message).unwrap();
        match &word {
            FromCoordinator::Welcome(welcome) => self.welcome = Some(*welcome),
            FromCoordinator::Share(share) => self.share = Some(share.clone()),
            _ => {}
        }
        Some(word)
    }

    pub(crate) async fn say(&self, message: FromAgent) {
        self.say.send(message.into()).await.unwrap();
    }

    pub(crate) async fn say_raw(&self, message: wire::AgentMessage) {
        self.say.send(message).await.unwrap();
    }

    /// Hears until a word that this picks out, doing meanwhile whatever a sound agent does.
    pub(crate) async fn until<T>(&mut self, pick: impl Fn(&FromCoordinator) -> Option<T>) -> T {
        loop {
            let word = self.hear().await.expect("the coordinator ended the session");
            self.answer(&word).await;
            if let Some(picked) = pick(&word) {
                return picked;
            }
        }
    }

    async fn answer(&self, word: &FromCoordinator) {
        match word {
            FromCoordinator::Share(share) => {
                self.say(FromAgent::Planned { plan_hash: share.plan_hash.clone() }).await;
                self.say(FromAgent::Preflight { checks: Vec::new() }).await;
            }
            FromCoordinator::OpenDoors { .. } => self.say(FromAgent::Ready(Ready { connected: 10, failed: 0 })).await,
            FromCoordinator::Arm => self.say(FromAgent::Armed { offset: Offset { nanos: 1, bound_ns: 1_000 } }).await,
            _ => {}
        }
    }

    pub(crate) async fn until_commit(&mut self) {
        self.until(|word| matches!(word, FromCoordinator::Commit { .. }).then_some(())).await;
    }

    pub(crate) fn tickets(&self, plan: &Plan) -> u32 {
        let share = self.share.as_ref().unwrap();
        u32::try_from(plan.tickets_of(&share.viewers).len()).unwrap()
    }

    /// A snapshot in which all tickets of the share were accepted by one proxy, one after the other.
    pub(crate) fn snapshot(&self, plan: &Plan, seq: u64, last: bool) -> Snapshot {
        let tickets = self.tickets(plan);
        let mut tally = Tally::default();
        let index = tally.index([127, 0, 0, 9].into());
        tally.proxy(index).second(1).accepted = tickets;
        tally.proxy(index).second(1).sent = tickets;
        Snapshot {
            run: RUN,
            agent: self.welcome.unwrap().agent,
            incarnation: self.join.incarnation,
            seq,
            last,
            tally,
            ended: tickets,
            connected: 10,
            connected_at_t0: Some(10),
            first_send_lateness_ns: Some(1_000 * self.join.incarnation),
            offset: Offset { nanos: 3, bound_ns: 1_000 },
            cpu: Duration::from_millis(1),
            memory_bytes: 1 << 20,
            warnings: Vec::new(),
            watched: None,
            fates: if last { vec![Fate::Accepted; tickets as usize] } else { Vec::new() },
        }
    }

    pub(crate) async fn finish(&mut self, plan: &Plan, seq: u64) {
        let last = self.snapshot(plan, seq, true);
        self.say(FromAgent::Snapshot(Box::new(last))).await;
        self.until(|word| matches!(word, FromCoordinator::Bye).then_some(())).await;
    }

    pub(crate) async fn ping(&mut self) -> wire::PingReply {
        self.client.ping(PingRequest {}).await.unwrap().into_inner()
    }
}
