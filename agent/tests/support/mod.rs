//! A small world for one crew: a name server that answers as told, and scripted vote servers on loopback.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(unreachable_pub, reason = "shared by test binaries")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Notify;
use tokio::time::timeout;
use voteburst_agent::AllowList;
use voteburst_agent::clock::Clock;
use voteburst_agent::crew::{Assignment, Crew, CrewSnapshot};
use voteburst_burst::outcome::{Failure, Fate};
use voteburst_burst::plan::Plan;
use voteburst_burst::scenario::Scenario;
use voteburst_burst::tally::Second;

/// How long any wait of a test may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A name server on loopback that gives every query the same answer.
pub struct Names {
    pub address: SocketAddr,
    pub queries: Arc<AtomicU32>,
}

impl Names {
    /// Answers with this address and TTL, or with NXDOMAIN.
    pub async fn answering(answer: Option<Ipv4Addr>, ttl_s: u32) -> Self {
        Self::telling(answer.map(|address| vec![address.into()]), ttl_s).await
    }

    /// Answers one query with this address and TTL each time that `leave` is given, none before.
    pub async fn answering_on(leave: Arc<Notify>, answer: Ipv4Addr, ttl_s: u32) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let queries = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&queries);
        tokio::spawn(async move {
            let mut packet = [0_u8; 512];
            while let Ok((length, peer)) = socket.recv_from(&mut packet).await {
                counter.fetch_add(1, Ordering::SeqCst);
                leave.notified().await;
                let _ = socket.send_to(&reply(&packet[..length], Some(&[answer.into()]), ttl_s), peer).await;
            }
        });
        Self { address, queries }
    }

    /// Answers with those of these addresses that are of the kind asked for, or with NXDOMAIN.
    pub async fn telling(answer: Option<Vec<IpAddr>>, ttl_s: u32) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let queries = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&queries);
        tokio::spawn(async move {
            let mut packet = [0_u8; 512];
            while let Ok((length, peer)) = socket.recv_from(&mut packet).await {
                counter.fetch_add(1, Ordering::SeqCst);
                let _ = socket.send_to(&reply(&packet[..length], answer.as_deref(), ttl_s), peer).await;
            }
        });
        Self { address, queries }
    }
}

/// A reply with the query's id and question (RFC 1035, section 4.1).
fn reply(query: &[u8], answer: Option<&[IpAddr]>, ttl_s: u32) -> Vec<u8> {
    let question_end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
    let kind = query[question_end - 3];
    let asked_for = |address: &&IpAddr| address.is_ipv4() == (kind == 1);
    let addresses: Vec<_> = answer.unwrap_or_default().iter().filter(asked_for).collect();
    let mut reply = query[..question_end].to_vec();
    reply[2] = 0x84;
    reply[3] = if answer.is_some() { 0 } else { 3 };
    reply[4..12].copy_from_slice(&[0, 1, 0, u8::try_from(addresses.len()).unwrap(), 0, 0, 0, 0]);
    for address in addresses {
        let octets = match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        reply.extend([0xc0, 12, 0, kind, 0, 1]);
        reply.extend(ttl_s.to_be_bytes());
        reply.extend([0, u8::try_from(octets.len()).unwrap()]);
        reply.extend(octets);
    }
    reply
}

/// What a vote server saw.
#[derive(Default)]
pub struct Seen {
    /// Connections accepted.
    pub connections: AtomicU32,
    /// How often each ballot came, by its id.
    pub ballots: Mutex<HashMap<String, u32>>,
    /// Told of each ballot.
    pub came: Notify,
}

impl Seen {
    /// Counts a request and says how often its ballot has come, this time included.
    pub fn ballot(&self, request: &str) -> u32 {
        let id = request.rsplit_once("\"ballot\":\"").unwrap().1[..33].to_owned();
        let mut ballots = self.ballots.lock().unwrap();
        let count = ballots.entry(id).or_default();
        *count += 1;
        self.came.notify_one();
        *count
    }

    /// How often each ballot came.
    pub fn counts(&self) -> Vec<u32> {
        self.ballots.lock().unwrap().values().copied().collect()
    }
}

/// A connection as a vote server sees it.
pub struct Client<S = TcpStream> {
    pub stream: S,
    /// The how-manieth connection this is, from 0.
    pub number: u32,
    pub seen: Arc<Seen>,
    unread: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub fn new(stream: S, number: u32, seen: Arc<Seen>) -> Self {
        Self { stream, number, seen, unread: Vec::new() }
    }

    /// The next whole request; `None` when the client has closed.
    pub async fn request(&mut self) -> Option<String> {
        loop {
            if let Some(length) = whole(&self.unread) {
                let request: Vec<u8> = self.unread.drain(..length).collect();
                return Some(String::from_utf8(request).unwrap());
            }
            let mut piece = [0; 4_096];
            let length = self.stream.read(&mut piece).await.ok().filter(|length| *length > 0)?;
            self.unread.extend_from_slice(&piece[..length]);
        }
    }

    /// Sends bytes as they are.
    pub async fn answer(&mut self, bytes: &str) -> io::Result<()> {
        self.stream.write_all(bytes.as_bytes()).await?;
        self.stream.flush().await
    }

    /// Counts every vote and keeps the connection.
    pub async fn serve(mut self) {
        while let Some(request) = self.request().await {
            self.seen.ballot(&request);
            if self.answer(OK).await.is_err() {
                break;
            }
        }
    }
}

fn whole(bytes: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(bytes).ok()?;
    let head = text.find("\r\n\r\n")? + 4;
    let length: usize = text.split_once("content-length: ")?.1.split_once('\r')?.0.parse().ok()?;
    (bytes.len() >= head + length).then_some(head + length)
}

/// An answer that means "counted".
pub const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{\"counted\":true}";

/// A vote server on 127.0.0.1 that treats each connection by a script.
pub struct Server {
    pub port: u16,
    pub seen: Arc<Seen>,
}

impl Server {
    /// Runs the script once per connection, beside the others.
    pub async fn playing<F, Done>(script: F) -> Self
    where
        F: Fn(Client) -> Done + Send + Sync + 'static,
        Done: Future<Output = ()> + Send + 'static,
    {
        Self::listening(&["127.0.0.1"], script).await
    }

    /// The same at several addresses of one port.
    pub async fn listening<F, Done>(addresses: &[&str], script: F) -> Self
    where
        F: Fn(Client) -> Done + Send + Sync + 'static,
        Done: Future<Output = ()> + Send + 'static,
    {
        let first = TcpListener::bind((addresses[0], 0)).await.unwrap();
        let (port, seen) = (first.local_addr().unwrap().port(), Arc::new(Seen::default()));
        let mut listeners = vec![first];
        for address in &addresses[1..] {
            listeners.push(TcpListener::bind((*address, port)).await.unwrap());
        }
        let script = Arc::new(script);
        for listener in listeners {
            tokio::spawn(Self::accept(listener, Arc::clone(&script), Arc::clone(&seen)));
        }
        Self { port, seen }
    }

    async fn accept<F, Done>(listener: TcpListener, script: Arc<F>, theirs: Arc<Seen>)
    where
        F: Fn(Client) -> Done + Send + Sync + 'static,
        Done: Future<Output = ()> + Send + 'static,
    {
        while let Ok((stream, _)) = listener.accept().await {
            let number = theirs.connections.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(script(Client::new(stream, number, Arc::clone(&theirs))));
        }
    }

    /// Counts every vote and keeps connections.
    pub async fn counting() -> Self {
        Self::playing(Client::serve).await
    }

    /// Gives every request the same answer and keeps connections.
    pub async fn answering(answer: &'static str) -> Self {
        Self::playing(move |mut client| async move {
            while client.request().await.is_some() {
                if client.answer(answer).await.is_err() {
                    break;
                }
            }
        })
        .await
    }
}

/// A scenario of `viewers` who all vote at once on one question, changed by replacing texts.
pub fn scenario(viewers: u32, names: SocketAddr, changes: &[(&str, &str)]) -> String {
    let mut text = format!(
        r#"
name = "crew"
seed = 7
[audience]
viewers = {viewers}
doors_open = "100ms"
[carriers]
resolvers = ["{names}"]
[dns]
timeout = "500ms"
[target]
url = "http://vote.test/vote"
headers = {{ content-type = "application/json" }}
body = '{{"question":"{{question}}","choice":"{{choice}}","viewer":{{viewer}},"ballot":"{{ballot}}"}}'
connect_timeout = "1s"
response_timeout = "1s"
retry = {{ attempts = 1, backoff = "20ms", on = [] }}
[[questions]]
id = "q1"
window = "10s"
arrivals = {{ shape = "all-at-once" }}
choices = {{ anna = 0.5, ben = 0.5 }}
"#
    );
    for (old, new) in changes {
        assert!(text.contains(old), "the scenario holds no `{old}`");
        text = text.replace(old, new);
    }
    text
}

/// A crew and the plan it plays.
pub struct Play {
    pub crew: Crew,
    pub plan: Arc<Plan>,
    pub clock: Clock,
}

impl Play {
    /// Musters a crew for all viewers of a scenario.
    pub fn muster(text: &str, port: u16) -> Self {
        Self::muster_trusting(text, port, &[])
    }

    /// The same, where certificates of an authority are trusted that the coordinator sent.
    pub fn muster_trusting(text: &str, port: u16, authority: &[u8]) -> Self {
        let none = |_: &str| Err(io::ErrorKind::NotFound.into());
        let scenario = Scenario::parse(text, "crew.toml", &none).unwrap_or_else(|problem| panic!("{problem}"));
        let carriers = scenario.carriers.list.iter().map(|carrier| carrier.resolver.unwrap()).collect();
        let plan = Arc::new(Plan::new(scenario));
        let assignment = Assignment {
            viewers: 0..plan.scenario.audience.viewers,
            plan: Arc::clone(&plan),
            run: 42,
            carriers,
            recursion_desired: false,
            authority: authority.to_vec(),
            port,
            sources: Vec::new(),
            allowed: AllowList::default(),
        };
        let clock = Clock::start();
        Self { crew: Crew::muster(assignment, clock).unwrap(), plan, clock }
    }

    /// Opens the doors and waits until every viewer has tried to connect.
    pub async fn enter(self) -> Self {
        self.crew.open_doors(self.clock.now());
        timeout(PATIENCE, self.crew.entered()).await.unwrap().unwrap();
        self
    }

    /// Waits until this many connections are open.
    pub async fn connected(&self, connections: u32) {
        until(|| self.crew.status().connected == connections).await;
    }

    /// T0 is 5 ms ahead.
    pub fn fire(&self) {
        self.crew.fire(self.clock.now().after(Duration::from_millis(5)));
    }

    /// Waits for the end and returns what was counted.
    pub async fn result(&self) -> Result {
        timeout(PATIENCE, self.crew.done()).await.unwrap().unwrap();
        Result::of(self.crew.snapshot().await.unwrap(), &self.plan)
    }

    /// From the doors to the end.
    pub async fn whole(text: &str, port: u16) -> Result {
        Self::whole_trusting(text, port, &[]).await
    }

    /// The same, where certificates of an authority are trusted that the coordinator sent.
    pub async fn whole_trusting(text: &str, port: u16, authority: &[u8]) -> Result {
        let play = Self::muster_trusting(text, port, authority).enter().await;
        play.fire();
        play.result().await
    }
}

/// Waits for something that only a counter tells.
pub async fn until(reached: impl Fn() -> bool) {
    let wait = async {
        while !reached() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap();
}

/// What a crew counted, in numbers that tests compare.
pub struct Result {
    pub snapshot: CrewSnapshot,
    /// Everything at all proxies and before one was known.
    pub total: Second,
    pub unplaced: Second,
    /// How many values the histograms hold: response, service, lateness.
    pub histograms: [u64; 3],
    /// Tickets by fate: never sent, refused, unknown, accepted.
    pub fates: [u32; 4],
}

impl Result {
    fn of(snapshot: CrewSnapshot, plan: &Plan) -> Self {
        let all = snapshot.tally.total();
        let mut fates = [0; 4];
        for fate in &snapshot.fates {
            fates[Fate::from_number(*fate).unwrap() as usize] += 1;
        }
        // Every planned ticket has one fate; this holds in whatever way a burst ends.
        assert_eq!(fates.iter().sum::<u32>(), plan.tickets, "planned = accepted + refused + unknown + never sent");
        let total = all.total();
        assert_eq!(total.sent, total.ended, "every attempt that was sent has ended");
        assert_eq!(u64::from(total.accepted), all.response.len(), "every accepted vote has a response time");
        let histograms = [all.response.len(), all.service.len(), all.lateness.len()];
        Self { unplaced: snapshot.tally.unplaced.total(), total, histograms, fates, snapshot }
    }

    /// Attempts that failed, all of which must be of this class.
    pub fn failed_only(&self, class: Failure) -> u32 {
        let count = self.total.failed[class as usize];
        assert_eq!(u64::from(count), self.total.failed_total(), "{:?}", self.total.failed);
        count
    }
}
