//! The fixture of the stage's tests: a worker on a thread of its own, and clients on plain sockets.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "only tests use it, each test binary its part")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use voteburst_burst::ballot::BallotId;
use voteburst_burst::scenario::stage::{BallotRule, ServiceTime};
use voteburst_stage::ballot::{BallotRecord, Question};
use voteburst_stage::ballots_file;
use voteburst_stage::counters::ProxyCounters;
use voteburst_stage::protocol::{Command, ProxySpec, Report, WorkerSpec};
use voteburst_stage::worker::{self, WorkerError};

pub const RUN: u64 = 7;
/// Far beyond any wait of these tests: only a fault lasts so long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// One proxy on 127.0.0.1, two web servers of which each takes 50 requests for 300 ms.
pub fn spec() -> WorkerSpec {
    WorkerSpec {
        proxies: vec![ProxySpec { number: 0, address: IpAddr::V4(Ipv4Addr::LOCALHOST) }],
        port: 0,
        connection_limit: 4000,
        web_servers: 2,
        server_limit: 50,
        queue_timeout: Duration::from_secs(2),
        keep_alive_timeout: Duration::from_secs(10),
        service_time: ServiceTime::Constant { mean: Duration::from_millis(300) },
        ballot_rule: BallotRule::OncePerBallot,
        questions: vec![Question { id: "final".to_owned(), choices: vec!["anna".to_owned(), "ben".to_owned()] }],
        seed: 1,
        run: RUN,
        share: None,
        identity: None,
    }
}

pub fn service(mean: Duration) -> ServiceTime {
    ServiceTime::Constant { mean }
}

/// A worker that was told to open.
pub struct Worker {
    commands: DuplexStream,
    reports: Lines<BufReader<DuplexStream>>,
    thread: std::thread::JoinHandle<Result<(), WorkerError>>,
    pub listening: Vec<SocketAddr>,
    steps: Steps,
}

/// Steps of a worker's clock, each answered when it was taken.
type Taken = mpsc::UnboundedReceiver<(Duration, oneshot::Sender<()>)>;
type Steps = mpsc::UnboundedSender<(Duration, oneshot::Sender<()>)>;

impl Worker {
    /// Starts a worker that has not been told anything.
    pub fn start() -> Self {
        Self::start_with(async |input, output, _| worker::run(input, output).await)
    }

    /// The same with a clock that stands still but for [`Self::advance`]: however slow the machine is, no time is over
    /// before the test says so.
    fn start_standing_still() -> Self {
        Self::start_with(async |input, output, mut steps| {
            tokio::time::pause();
            // While such a task is under way the runtime does not move its clock by itself; it ends when `release` is dropped.
            let (release, released) = std::sync::mpsc::channel::<()>();
            let held = tokio::task::spawn_blocking(move || released.recv());
            let step = async {
                while let Some((by, taken)) = steps.recv().await {
                    tokio::time::advance(by).await;
                    // Whoever was woken acts before the test goes on.
                    for _ in 0..100 {
                        tokio::task::yield_now().await;
                    }
                    let _ = taken.send(());
                }
                std::future::pending().await
            };
            let ended = tokio::select! {
                ended = worker::run(input, output) => ended,
                ended = step => ended,
            };
            drop(release);
            held.await.unwrap().unwrap_err();
            ended
        })
    }

    fn start_with<Run>(run: Run) -> Self
    where
        Run: AsyncFnOnce(DuplexStream, DuplexStream, Taken) -> Result<(), WorkerError> + Send + 'static,
    {
        let (commands, input) = tokio::io::duplex(1 << 16);
        let (output, reports) = tokio::io::duplex(1 << 16);
        let (steps, taken) = mpsc::unbounded_channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(run(input, output, taken))
        });
        Self { commands, reports: BufReader::new(reports).lines(), thread, listening: Vec::new(), steps }
    }

    pub async fn open(spec: WorkerSpec) -> Self {
        Self::start().opened(spec).await
    }

    /// Opens one whose clock moves by [`Self::advance`] alone.
    pub async fn open_standing_still(spec: WorkerSpec) -> Self {
        Self::start_standing_still().opened(spec).await
    }

    /// Moves the clock of a worker that stands still. Timers have steps of a millisecond: two more make sure that one which ends
    /// with this time has rung.
    pub async fn advance(&self, by: Duration) {
        self.step(by + Duration::from_millis(2)).await;
    }

    /// The same by exactly so much.
    pub async fn step(&self, by: Duration) {
        let (taken, took) = oneshot::channel();
        self.steps.send((by, taken)).unwrap();
        tokio::time::timeout(PATIENCE, took).await.expect("a step in time").unwrap();
    }

    async fn opened(self, spec: WorkerSpec) -> Self {
        let mut worker = self;
        match worker.ask(&Command::Open(spec)).await {
            Report::Ready { listening } => worker.listening = listening,
            other => panic!("{other:?}"),
        }
        worker
    }

    pub async fn ask(&mut self, command: &Command) -> Report {
        self.ask_line(&serde_json::to_string(command).unwrap()).await
    }

    pub async fn ask_line(&mut self, line: &str) -> Report {
        self.commands.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        let report = tokio::time::timeout(PATIENCE, self.reports.next_line()).await.expect("a report in time");
        serde_json::from_str(&report.unwrap().expect("a report before the end")).unwrap()
    }

    pub async fn counters(&mut self) -> Vec<ProxyCounters> {
        match self.ask(&Command::Counters {}).await {
            Report::Counters { proxies } => proxies,
            other => panic!("{other:?}"),
        }
    }

    /// The counters of the first proxy, as soon as they are as wanted.
    pub async fn counters_when(&mut self, wanted: impl Fn(&ProxyCounters) -> bool) -> ProxyCounters {
        self.counters_of_when(0, wanted).await
    }

    /// The same of any proxy, by its position.
    pub async fn counters_of_when(&mut self, proxy: usize, wanted: impl Fn(&ProxyCounters) -> bool) -> ProxyCounters {
        let mut last = None;
        for _ in 0..PATIENCE.as_millis() / 2 {
            let counters = self.counters().await.swap_remove(proxy);
            if wanted(&counters) {
                return counters;
            }
            last = Some(counters);
            // Counters announce nothing: looking again is the only way to wait for them.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("never as wanted: {last:?}");
    }

    /// Closes; returns the ballots and the rest of the report.
    pub async fn close(mut self, dir: &Path, drain: Duration) -> (Vec<BallotRecord>, Report) {
        let path = dir.join("ballots");
        let report = self.ask(&Command::Close { ballots: path.clone(), drain }).await;
        self.thread.join().unwrap().unwrap();
        (ballots_file::read(&path, RUN).unwrap(), report)
    }

    /// Tells the worker to close and, while it waits for the vote of `client` in flight, ends its input.
    pub async fn orphan_while_closing(mut self, ballots: &Path, client: &mut Client) -> Result<(), WorkerError> {
        self.counters_when(|counters| counters.unanswered() == 1).await;
        let close = Command::Close { ballots: ballots.to_owned(), drain: Duration::from_secs(3600) };
        self.commands.write_all(format!("{}\n", serde_json::to_string(&close).unwrap()).as_bytes()).await.unwrap();
        drop(self.commands);
        assert_eq!(client.rest().await, "", "closed without an answer");
        self.thread.join().unwrap()
    }

    /// Ends the worker's input, as the death of its parent does, and returns how it ended.
    pub fn orphan(self) -> Result<(), WorkerError> {
        drop(self.commands);
        self.thread.join().unwrap()
    }
}

/// A client on one connection.
pub struct Client(BufReader<TcpStream>);

/// An answer: status, head, body.
pub type Answer = (u16, String, String);

impl Client {
    #[expect(clippy::disallowed_methods, reason = "a test's client is no target of the agent")]
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await.expect("connected in time");
        Self(BufReader::new(stream.unwrap()))
    }

    pub async fn connect_all(address: SocketAddr, count: usize) -> Vec<Self> {
        let mut clients = Vec::with_capacity(count);
        for _ in 0..count {
            clients.push(Self::connect(address).await);
        }
        clients
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).await.unwrap();
    }

    pub async fn cast(&mut self, ticket: u64) {
        self.send(vote(ticket, "")).await;
    }

    /// The next answer; panics at the end of the connection.
    pub async fn answer(&mut self) -> Answer {
        tokio::time::timeout(PATIENCE, self.read_answer()).await.expect("an answer in time")
    }

    async fn read_answer(&mut self) -> Answer {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.0.read_line(&mut head).await.unwrap(), 0, "closed after `{head}`");
        }
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then(|| value.parse().unwrap())
        });
        let mut body = vec![0; length.unwrap_or(0)];
        self.0.read_exact(&mut body).await.unwrap();
        (head[9..12].parse().unwrap(), head.clone(), String::from_utf8(body).unwrap())
    }

    /// Waits for the other end to close; returns what came before that.
    pub async fn rest(&mut self) -> String {
        let mut rest = String::new();
        let end = tokio::time::timeout(PATIENCE, self.0.read_to_string(&mut rest)).await.expect("closed in time");
        // A reset would be an error here.
        end.unwrap();
        rest
    }

    pub fn silent(&mut self) -> bool {
        let mut byte = [0];
        let read = self.0.get_ref().try_read(&mut byte);
        read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }
}

/// Every client casts a vote; tickets are numbered from `first`.
pub async fn cast_all(clients: &mut [Client], first: u64) {
    for (client, ticket) in clients.iter_mut().zip(first..) {
        client.cast(ticket).await;
    }
}

/// The number of answers 200 and of answers 503 to the clients.
pub async fn statuses(clients: &mut [Client]) -> (usize, usize) {
    let (mut counted, mut refused) = (0, 0);
    for client in clients {
        match client.answer().await {
            (200, _, body) if body == r#"{"counted":true}"# => counted += 1,
            (503, head, body) => {
                refused += 1;
                assert_eq!((head.len() + body.len(), body.len()), (214, 107), "{head}{body}");
                assert!(head.contains("\r\ncache-control: no-cache\r\n"), "{head}");
            }
            other => panic!("{other:?}"),
        }
    }
    (counted, refused)
}

pub fn vote(ticket: u64, header: &str) -> String {
    let body = format!(r#"{{"ballot":"{}","question":"final","choice":"ben"}}"#, BallotId { run: RUN, ticket });
    format!("POST /vote HTTP/1.1\r\nhost: stage\r\n{header}content-length: {}\r\n\r\n{body}", body.len())
}
