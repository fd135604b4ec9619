//! The agents' side: sessions that say what agents say, when they say it.

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use rustix::time::ClockId;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};
use voteburst_burst::clock::Offset;
use voteburst_burst::outcome::Fate;
use voteburst_burst::plan::{PROTOCOL, Plan};
use voteburst_burst::scenario::Scenario;
use voteburst_burst::tally::Tally;
use voteburst_proto::message::{Join, Progress, Ready};
use voteburst_proto::wire::agent_message::Body;
use voteburst_proto::wire::rehearsal_client::RehearsalClient;
use voteburst_proto::wire::{AgentMessage, CoordinatorMessage, PingRequest};
use voteburst_proto::{FromAgent, FromCoordinator, MOST_AGENT_BYTES, MOST_COORDINATOR_BYTES, wire};

use super::counted::{Chance, entered, snapshot, vote};
use super::{Fleet, Outcome, quantile, seconds, stand};

/// Votes that an agent casts in each second.
pub(crate) const VOTES_PER_SECOND: u32 = 300;
/// Histories that the agents share, so that this process does not need what all agents together need.
const HISTORIES: usize = 4;

/// What an agent of each history has to say in each second of the burst, and at its end.
type Histories = Vec<Vec<wire::Snapshot>>;

/// What was measured in all sessions.
#[derive(Default)]
struct Measured {
    ping_s: Vec<f64>,
    bye_s: Vec<f64>,
    sent: u32,
    left_out: u32,
}

/// Which of the times measured.
type Times = fn(&mut Measured) -> &mut Vec<f64>;

/// Plays all agents and prints what was measured.
pub(crate) fn run(fleet: Fleet, port: u16) -> Outcome<()> {
    let (histories, encode_ms) = histories(fleet.seconds);
    let largest = histories.iter().flatten().map(|snapshot| snapshot.encoded_len()).max().unwrap_or(0);
    let mut chance = Chance(7);
    let mut large = entered(15_000, &mut chance);
    (0..60).for_each(|second| vote(&mut large, second, 750, &mut chance));
    let (large, large_ms) = encoded(&large);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut measured = runtime.block_on(play(fleet, port, Arc::new(histories)))?;
    let mut millis = |of: Times, at| quantile(of(&mut measured), at) * 1e3;
    let (ping, bye): (Times, Times) = (|m| &mut m.ping_s, |m| &mut m.bye_s);
    println!(
        "largest_kib={:.2} encode_ms={encode_ms:.3} large_kib={:.1} large_ms={large_ms:.3} ping_p50_ms={:.2} ping_p99_ms={:.2} bye_p50_ms={:.2} bye_p99_ms={:.2} sent={} left_out={}",
        largest as f64 / 1_024.0,
        large.encoded_len() as f64 / 1_024.0,
        millis(ping, 0.5),
        millis(ping, 0.99),
        millis(bye, 0.5),
        millis(bye, 0.99),
        measured.sent,
        measured.left_out,
    );
    Ok(())
}

/// The snapshots, and what one of the last second takes an agent to encode, in milliseconds of the processor.
fn histories(seconds: u32) -> (Histories, f64) {
    let mut encode_ms = Vec::new();
    let history = |number: usize| {
        let mut chance = Chance(number as u64 + 1);
        let mut tally = entered(stand::VIEWERS, &mut chance);
        let second = |second| {
            vote(&mut tally, second, VOTES_PER_SECOND, &mut chance);
            let (snapshot, millis) = encoded(&tally);
            encode_ms.push(millis);
            snapshot
        };
        (0..seconds).map(second).collect()
    };
    let histories = (0..HISTORIES).map(history).collect();
    (histories, quantile(&mut encode_ms, 0.5))
}

/// A snapshot as it goes out, and the processor time of making it, in milliseconds.
fn encoded(tally: &Tally) -> (wire::Snapshot, f64) {
    let said = FromAgent::Snapshot(Box::new(snapshot(tally.clone(), 0, false)));
    let began = seconds(ClockId::ThreadCPUTime);
    let message = AgentMessage::from(said);
    let bytes = message.encode_to_vec();
    let millis = (seconds(ClockId::ThreadCPUTime) - began) * 1e3;
    assert!(!bytes.is_empty());
    let Some(Body::Snapshot(snapshot)) = message.body else { unreachable!("a snapshot is one") };
    (*snapshot, millis)
}

async fn play(fleet: Fleet, port: u16, histories: Arc<Histories>) -> Outcome<Measured> {
    let mut agents = tokio::task::JoinSet::new();
    let (share, mut shares) = mpsc::channel::<(Arc<str>, tokio::sync::oneshot::Sender<Arc<Plan>>)>(64);
    // The plan is derived once for all.
    let planner = async {
        let mut plan: Option<Arc<Plan>> = None;
        while let Some((scenario, reply)) = shares.recv().await {
            let plan = plan.get_or_insert_with(|| Arc::new(derive(&scenario)));
            let _ = reply.send(Arc::clone(plan));
        }
    };
    for number in 0..fleet.agents {
        // In random phase, as agents that were started by hand are.
        let phase = Duration::from_millis(u64::from(number) * 1_000 / u64::from(fleet.agents.max(1)));
        agents.spawn(agent(port, number, phase, Arc::clone(&histories), share.clone()));
    }
    drop(share);
    let all = async {
        let mut all = Measured::default();
        while let Some(measured) = agents.join_next().await {
            let measured = measured??;
            all.ping_s.extend(measured.ping_s);
            all.bye_s.extend(measured.bye_s);
            all.sent += measured.sent;
            all.left_out += measured.left_out;
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(all)
    };
    tokio::join!(planner, all).1
}

fn derive(scenario: &str) -> Plan {
    match Scenario::parse(scenario, "share", &|_| Err(std::io::ErrorKind::NotFound.into())) {
        Ok(scenario) => Plan::new(scenario),
        Err(problem) => unreachable!("a coordinator's own scenario is refused: {problem}"),
    }
}

type Ask = mpsc::Sender<(Arc<str>, tokio::sync::oneshot::Sender<Arc<Plan>>)>;

async fn agent(port: u16, number: u32, phase: Duration, histories: Arc<Histories>, plan: Ask) -> Outcome<Measured> {
    sleep(phase).await;
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}"))?
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(1))
        .keep_alive_timeout(Duration::from_secs(3))
        .keep_alive_while_idle(true);
    let mut client = RehearsalClient::new(endpoint.connect().await?)
        .max_decoding_message_size(MOST_COORDINATOR_BYTES)
        .max_encoding_message_size(MOST_AGENT_BYTES);
    let (say, said) = mpsc::channel(4);
    let incarnation = u64::from(number) + 1;
    let join = Join {
        protocol: PROTOCOL,
        version: "bench".into(),
        host: "bench".into(),
        pid: number,
        incarnation,
        token: None,
        allowed: Vec::new(),
    };
    say.send(FromAgent::Join(join).into()).await?;
    let words = client.session(ReceiverStream::new(said)).await?.into_inner();
    let pings = RehearsalClient::new(endpoint.connect_lazy());
    let mut session = Session { say, words, pings, incarnation, number: 0, tickets: 0, measured: Measured::default() };
    session.until_commit(plan).await?;
    session.burst(&histories[number as usize % HISTORIES]).await?;
    Ok(session.measured)
}

struct Session {
    say: mpsc::Sender<AgentMessage>,
    words: Streaming<CoordinatorMessage>,
    pings: RehearsalClient<Channel>,
    incarnation: u64,
    number: u32,
    tickets: u32,
    measured: Measured,
}

impl Session {
    async fn until_commit(&mut self, plan: Ask) -> Outcome<()> {
        let mut reports = interval(Duration::from_secs(1));
        reports.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let word = tokio::select! {
                word = self.words.message() => FromCoordinator::try_from(word?.ok_or("the session was closed")?)?,
                _ = reports.tick() => {
                    let _ = self.say.try_send(FromAgent::Progress(Progress::default()).into());
                    continue;
                }
            };
            match word {
                FromCoordinator::Welcome(welcome) => self.number = welcome.agent,
                FromCoordinator::Share(share) => {
                    let (reply, derived) = tokio::sync::oneshot::channel();
                    plan.send((share.scenario.into(), reply)).await?;
                    self.tickets = u32::try_from(derived.await?.tickets_of(&share.viewers).len())?;
                    self.say.send(FromAgent::Planned { plan_hash: share.plan_hash }.into()).await?;
                    self.say.send(FromAgent::Preflight { checks: Vec::new() }.into()).await?;
                }
                FromCoordinator::OpenDoors { .. } => {
                    self.say.send(FromAgent::Ready(Ready { connected: 300, failed: 0 }).into()).await?;
                }
                FromCoordinator::Arm => {
                    let offset = Offset { nanos: 0, bound_ns: 100_000 };
                    self.say.send(FromAgent::Armed { offset }.into()).await?;
                }
                FromCoordinator::Commit { .. } => return Ok(()),
                other => return Err(format!("out of turn: {other:?}").into()),
            }
        }
    }

    /// A snapshot each second. The burst begins some seconds after the commit; the phases of agents stay apart.
    async fn burst(&mut self, history: &[wire::Snapshot]) -> Outcome<()> {
        sleep(Duration::from_secs(3)).await;
        let phase = Duration::from_millis(u64::from(self.number) % 1_000);
        let mut reports = tokio::time::interval_at(tokio::time::Instant::from_std(begin()) + phase, Duration::from_secs(1));
        for (seq, snapshot) in (1..).zip(history) {
            reports.tick().await;
            self.ping().await?;
            let message = self.message(snapshot, seq, false);
            self.measured.sent += 1;
            self.measured.left_out += u32::from(self.say.try_send(message).is_err());
        }
        reports.tick().await;
        let last = history.last().ok_or("a burst of no seconds")?;
        let began = seconds(ClockId::Monotonic);
        self.say.send(self.message(last, history.len() as u64 + 1, true)).await?;
        loop {
            let word = FromCoordinator::try_from(self.words.message().await?.ok_or("closed before the bye")?)?;
            if word == FromCoordinator::Bye {
                self.measured.bye_s.push(seconds(ClockId::Monotonic) - began);
                return Ok(());
            }
        }
    }

    async fn ping(&mut self) -> Outcome<()> {
        let began = seconds(ClockId::Monotonic);
        self.pings.ping(PingRequest {}).await?;
        self.measured.ping_s.push(seconds(ClockId::Monotonic) - began);
        Ok(())
    }

    fn message(&self, snapshot: &wire::Snapshot, seq: u64, last: bool) -> AgentMessage {
        let mut snapshot = snapshot.clone();
        (snapshot.agent, snapshot.incarnation, snapshot.seq, snapshot.last) = (self.number, self.incarnation, seq, last);
        if last {
            (snapshot.ended, snapshot.fates) = (self.tickets, vec![Fate::Accepted as u8; self.tickets as usize]);
        }
        AgentMessage { body: Some(Body::Snapshot(Box::new(snapshot))) }
    }
}

#[expect(clippy::disallowed_methods, reason = "the timer of the bench needs an instant to begin with")]
fn begin() -> std::time::Instant {
    std::time::Instant::now()
}
