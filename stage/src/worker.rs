//! A worker: several proxies and their ballot box in one process, led by its parent over standard input and output.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::timeout;

use crate::ballots_file;
use crate::counters::ProxyCounters;
use crate::protocol::{Command, Report, Share, WorkerSpec};
use crate::proxy::{House, Proxy};
use crate::tls::{self, TlsError};

/// Length of the listen backlog asked for; the kernel's `net.core.somaxconn` caps it (listen(2)).
const BACKLOG: i32 = 4096;

/// Why a worker ended otherwise than by command.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Standard input or output broke.
    #[error(
        "the stage worker lost its parent: {0}; start stages with `voteburst run`, `compare` or `stage`, not the worker itself"
    )]
    Parent(#[from] io::Error),
    /// The parent said something that is no command, or at the wrong time.
    #[error("the stage worker was told `{found}`: {problem}; needed a command of the same version of voteburst")]
    Command {
        /// The beginning of what was said.
        found: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A specification that cannot be followed.
    #[error("the stage worker cannot open: {what} is 0; needed at least 1: correct the scenario's [stage]")]
    Zero {
        /// What.
        what: &'static str,
    },
    /// A proxy's address could not be listened on.
    #[error(
        "the stage worker cannot listen on {address}: {source}; needed a free port on a loopback address and a file descriptor: end what uses it or raise `ulimit -n`"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The limits that workers share could not be reached.
    #[error(
        "the stage worker cannot open what it shares with others: {0}; needed the directory its parent made, and a file descriptor"
    )]
    Share(io::Error),
    /// TLS cannot be spoken with what the parent sent.
    #[error(
        "the stage worker cannot speak TLS with the certificate it was sent: {0}; needed one of the same version of voteburst"
    )]
    Identity(#[from] TlsError),
    /// The ballots could not be written.
    #[error(transparent)]
    Ballots(#[from] ballots_file::BallotsFileError),
}

/// Is a stage worker with this process's standard input and output, until told to close or the parent is gone.
///
/// A panic ends the process: the parent must see it, and counters that miss a connection must not be believed.
///
/// # Errors
/// As [`run`]; also if the runtime cannot be made.
pub fn main() -> Result<(), WorkerError> {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::exit(101);
    }));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(run(tokio::io::stdin(), tokio::io::stdout()));
    // A read of standard input may still be under way on another thread; nobody waits for its end.
    runtime.shutdown_background();
    outcome
}

/// Follows the commands that come over `input` and reports over `output`; see [`crate::protocol`].
///
/// Needs a current-thread runtime. Returns once told to close, or at once at the end of `input`, whereupon all
/// connections are cut and nothing is written.
///
/// # Errors
/// Every error is reported as [`Report::Failed`] as well, if the parent still listens.
pub async fn run(input: impl AsyncRead + Unpin, output: impl AsyncWrite + Unpin) -> Result<(), WorkerError> {
    LocalSet::new().run_until(converse(input, output)).await
}

async fn converse(input: impl AsyncRead + Unpin, mut output: impl AsyncWrite + Unpin) -> Result<(), WorkerError> {
    let mut commands = BufReader::new(input).lines();
    let outcome = obey(&mut commands, &mut output).await;
    if let Err(error) = &outcome {
        let address_in_use = matches!(error, WorkerError::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse);
        // Best effort: the error may be that nobody reads any more.
        let _ = tell(&mut output, &Report::Failed { address_in_use, problem: error.to_string() }).await;
    }
    outcome
}

async fn obey(
    commands: &mut Lines<BufReader<impl AsyncRead + Unpin>>,
    output: &mut (impl AsyncWrite + Unpin),
) -> Result<(), WorkerError> {
    let mut open: Option<Opened> = None;
    while let Some(line) = commands.next_line().await? {
        let refuse = |problem: String| WorkerError::Command { found: line.chars().take(80).collect(), problem };
        let command = serde_json::from_str(&line).map_err(|error| refuse(error.to_string()))?;
        match (command, open.take()) {
            (Command::Open(spec), None) => {
                let opened = Opened::new(spec)?;
                let listening = opened.proxies.iter().map(|proxy| proxy.counters().address).collect();
                tell(output, &Report::Ready { listening }).await?;
                open = Some(opened);
            }
            (Command::Counters {}, Some(opened)) => {
                tell(output, &Report::Counters { proxies: opened.counters() }).await?;
                open = Some(opened);
            }
            (Command::Close { ballots, drain }, Some(opened)) => {
                let report = tokio::select! {
                    report = opened.close(&ballots, drain) => report?,
                    () = end_of(commands) => return Ok(()),
                };
                return Ok(tell(output, &report).await?);
            }
            (Command::Open(_), Some(_)) => return Err(refuse("the proxies are open already".to_owned())),
            (_, None) => return Err(refuse("no proxies are open yet".to_owned())),
        }
    }
    Ok(())
}

async fn end_of(commands: &mut Lines<BufReader<impl AsyncRead + Unpin>>) {
    while let Ok(Some(_)) = commands.next_line().await {}
}

async fn tell(output: &mut (impl AsyncWrite + Unpin), report: &Report) -> io::Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    output.write_all(&line).await?;
    output.flush().await
}

/// Proxies that accept.
struct Opened {
    house: Rc<House>,
    proxies: Vec<Rc<Proxy>>,
    acceptors: Vec<JoinHandle<()>>,
}

impl Opened {
    fn new(spec: WorkerSpec) -> Result<Self, WorkerError> {
        for (value, what) in [
            (spec.connection_limit, "the connection limit"),
            (u32::from(spec.web_servers), "the number of web servers"),
            (spec.server_limit, "the limit per web server"),
            (u32::from(!spec.keep_alive_timeout.is_zero()), "the keep-alive timeout"),
        ] {
            if value == 0 {
                return Err(WorkerError::Zero { what });
            }
        }
        let house = Rc::new(House::new(spec));
        // All listen before any accepts: a worker that cannot open has served nobody.
        let listeners = house.spec.proxies.iter().map(|proxy| {
            let address = SocketAddr::new(proxy.address, house.spec.port);
            let opened = listen(address, house.spec.share.as_ref()).and_then(|listener| Ok((listener.local_addr()?, listener)));
            opened.map(|opened| (proxy.number, opened)).map_err(|source| WorkerError::Listen { address, source })
        });
        let listeners = listeners.collect::<Result<Vec<_>, _>>()?;
        let (mut proxies, mut acceptors) = (Vec::new(), Vec::new());
        for (number, (address, listener)) in listeners {
            let tls = house.spec.identity.as_ref().map(tls::config).transpose()?;
            let proxy = Rc::new(Proxy::new(Rc::clone(&house), number, address, tls).map_err(WorkerError::Share)?);
            acceptors.push(spawn_local(Rc::clone(&proxy).accept(listener)));
            proxies.push(proxy);
        }
        Ok(Self { house, proxies, acceptors })
    }

    fn counters(&self) -> Vec<ProxyCounters> {
        self.proxies.iter().map(|proxy| proxy.counters()).collect()
    }

    fn unfinished(&self) -> u64 {
        self.proxies.iter().map(|proxy| proxy.unfinished()).sum()
    }

    async fn close(mut self, ballots: &Path, drain: Duration) -> Result<Report, WorkerError> {
        for acceptor in &self.acceptors {
            acceptor.abort();
        }
        // Once they have ended, their listeners are closed: without descriptors, one of those becomes the ballots file's.
        for acceptor in &mut self.acceptors {
            // An acceptor ends by being aborted alone.
            let _ = acceptor.await;
        }
        let _ = timeout(drain, async {
            while self.unfinished() > 0 {
                self.house.request_ended.notified().await;
            }
        })
        .await;
        let (abandoned, records) = (self.unfinished(), self.house.ballots.borrow().records());
        ballots_file::write(ballots, self.house.spec.run, &records)?;
        Ok(Report::Closed { proxies: self.counters(), ballots: records.len() as u64, abandoned })
    }
}

fn listen(address: SocketAddr, share: Option<&Share>) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of an earlier stage in TIME_WAIT are no reason to refuse the port; another listener is.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    if share.is_some() {
        // The kernel spreads connections over all workers that listen so (socket(7)), and each has its part of the backlog.
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG / share.map_or(1, |share| i32::from(share.parts.max(1))))?;
    TcpListener::from_std(socket.into())
}
