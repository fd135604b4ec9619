//! The gRPC side: it listens, translates and passes on. It decides nothing.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen;
use tonic::server::NamedService;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};
use voteburst_proto::convert::Heard;
use voteburst_proto::message::Join;
use voteburst_proto::wire::rehearsal_server::{Rehearsal, RehearsalServer};
use voteburst_proto::wire::{AgentMessage, CoordinatorMessage, PingReply, PingRequest};
use voteburst_proto::{FromAgent, FromCoordinator, MOST_AGENT_BYTES, MOST_COORDINATOR_BYTES};

use crate::clock::Clock;
use crate::roster::SessionId;

/// How long somebody who opened a session has to say who they are.
const JOIN_WITHIN: Duration = Duration::from_secs(5);
/// tonic sends no HTTP/2 pings unless told to; a half-open connection would then be found after some fifteen
/// minutes of TCP retransmission (`tcp_retries2` in the kernel's ip-sysctl documentation) or never.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(1);
const KEEP_ALIVE_WITHIN: Duration = Duration::from_secs(3);
/// Words for an agent that may wait to be sent; more are not needed in a whole run.
const WAITING_WORDS: usize = 64;

/// What a connection may send before anybody reads it, in bytes: a usual snapshot. HTTP/2's window, 1 MiB in hyper unless
/// told otherwise, would be 1 GiB for a thousand agents.
const UNREAD_BYTES: u32 = 128 << 10;
/// An agent has one session and one ping at a time on a connection.
const STREAMS: u32 = 4;
/// A ping holds nothing.
const MOST_PING_BYTES: usize = 1 << 10;

/// What a fleet may ask of the coordinator's machine.
///
/// What is kept and what is on its way take as much again: with [`Limits::of`] 1,000 agents, all of them hostile, come to
/// 384 MiB kept, as much on its way and 125 MiB unread, and an honest fleet of that size to some 100 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The largest message, in bytes.
    pub(crate) message_bytes: usize,
    /// Sessions that may be open at the same time.
    pub(crate) sessions: usize,
}

impl Limits {
    /// The bounds for so many agents with at most so many tickets each.
    pub(crate) fn of(agents: u32, tickets: u32) -> Self {
        /// What all agents' snapshots may take together, fates not counted.
        const KEPT_BYTES: usize = 384 << 20;
        /// What one agent's may take in any case: six times what is usual for 15 proxies.
        const LEAST_BYTES: usize = 384 << 10;
        /// Sessions beyond one per agent: of those that come back, that came to the wrong place, or that try in vain.
        const SPARE_SESSIONS: usize = 64;
        let each = (KEPT_BYTES / agents.max(1) as usize).max(LEAST_BYTES).saturating_add(tickets as usize);
        Self { message_bytes: each.min(MOST_AGENT_BYTES), sessions: agents as usize + SPARE_SESSIONS }
    }
}

/// The coordinator's listener, bound before anything else happens.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    /// Where agents join; the port is the real one even when 0 was asked for.
    pub address: SocketAddr,
}

/// Why nobody can join.
#[derive(Debug, thiserror::Error)]
pub enum BindProblem {
    /// Somebody else listens there.
    #[error("{0} is in use, most likely by another coordinator: stop it, or give another --listen (port 0 takes a free one)")]
    InUse(SocketAddr),
    /// The system refuses.
    #[error("cannot listen on {address}: {source}; needed an address of this machine and a port this user may use")]
    Refused {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// Takes the address on which agents join.
///
/// # Errors
/// When it is in use or not to be had.
pub async fn bind(address: SocketAddr) -> Result<Bound, BindProblem> {
    let refused = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => BindProblem::InUse(address),
        _ => BindProblem::Refused { address, source },
    };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    Ok(Bound { listener, address })
}

/// What came in.
#[derive(Debug)]
pub(crate) enum Inbound {
    /// Somebody wants to take part and can be answered here.
    Joined { session: SessionId, join: Join, out: mpsc::Sender<FromCoordinator> },
    /// A session said something.
    Said { session: SessionId, message: Heard },
    /// A session ended, and why.
    Ended { session: SessionId, why: String },
    /// Somebody said what makes no sense before joining.
    Stranger { peer: String, reason: String },
}

/// Serves until `stop` resolves.
pub(crate) async fn serve(
    bound: Bound,
    clock: Clock,
    limits: Limits,
    inbound: mpsc::Sender<Inbound>,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), tonic::transport::Error> {
    let open = Arc::new(Semaphore::new(limits.sessions));
    let service = RehearsalServer::new(Service { clock, inbound, open, next: AtomicU64::new(0) })
        .max_decoding_message_size(limits.message_bytes)
        .max_encoding_message_size(MOST_COORDINATOR_BYTES);
    let service = ByPath { pings: service.clone().max_decoding_message_size(MOST_PING_BYTES), sessions: service };
    Server::builder()
        .max_concurrent_streams(Some(STREAMS))
        .initial_stream_window_size(Some(UNREAD_BYTES))
        .initial_connection_window_size(Some(UNREAD_BYTES))
        .http2_keepalive_interval(Some(KEEP_ALIVE_EVERY))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_WITHIN))
        .serve_with_incoming_shutdown(service, connections(bound.listener), stop)
        .await
}

/// Accepted connections. An error of accept() is that connection's alone (the peer gave up, or descriptors ran out
/// for a moment) and must not end the loop: a coordinator that has quietly stopped accepting looks like one that waits.
fn connections(listener: TcpListener) -> impl Stream<Item = io::Result<TcpStream>> {
    stream::unfold(listener, |listener| async move {
        loop {
            match listener.accept().await {
                Ok((connection, _)) => {
                    if let Err(error) = connection.set_nodelay(true) {
                        tracing::debug!(%error, "a connection keeps Nagle's algorithm");
                    }
                    return Some((Ok(connection), listener));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted; waiting 50 ms before the next");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    })
}

/// The service with one bound on messages for sessions and another for pings, of which there may be any number.
#[derive(Clone)]
struct ByPath {
    sessions: RehearsalServer<Service>,
    pings: RehearsalServer<Service>,
}

impl NamedService for ByPath {
    const NAME: &'static str = <RehearsalServer<Service> as NamedService>::NAME;
}

type HttpRequest = codegen::http::Request<tonic::body::Body>;
type Served = RehearsalServer<Service>;

impl codegen::Service<HttpRequest> for ByPath {
    type Response = <Served as codegen::Service<HttpRequest>>::Response;
    type Error = <Served as codegen::Service<HttpRequest>>::Error;
    type Future = <Served as codegen::Service<HttpRequest>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        codegen::Service::<HttpRequest>::poll_ready(&mut self.sessions, context)
    }

    fn call(&mut self, request: HttpRequest) -> Self::Future {
        let served = if request.uri().path().ends_with("/Ping") { &mut self.pings } else { &mut self.sessions };
        codegen::Service::call(served, request)
    }
}

struct Service {
    clock: Clock,
    /// One permit per session that may be open.
    open: Arc<Semaphore>,
    inbound: mpsc::Sender<Inbound>,
    next: AtomicU64,
}

#[tonic::async_trait]
impl Rehearsal for Service {
    type SessionStream = Pin<Box<dyn Stream<Item = Result<CoordinatorMessage, Status>> + Send>>;

    async fn session(&self, request: Request<Streaming<AgentMessage>>) -> Result<Response<Self::SessionStream>, Status> {
        let peer = request.remote_addr().map_or_else(|| "an unknown address".to_owned(), |peer| peer.to_string());
        let Ok(permit) = Arc::clone(&self.open).try_acquire_owned() else {
            let most =
                "as many sessions are open as a run of this size may have: needed fewer; start no more agents than it waits for";
            return Err(Status::resource_exhausted(most));
        };
        let session = SessionId(self.next.fetch_add(1, Ordering::Relaxed));
        let (out, words) = mpsc::channel(WAITING_WORDS);
        let inbound = self.inbound.clone();
        tokio::spawn(async move {
            listen(request.into_inner(), session, peer, out, inbound).await;
            drop(permit);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(words).map(|word: FromCoordinator| Ok(word.into())))))
    }

    async fn ping(&self, _: Request<PingRequest>) -> Result<Response<PingReply>, Status> {
        let received_ns = self.clock.now().0;
        Ok(Response::new(PingReply { received_ns, replied_ns: self.clock.now().0 }))
    }
}

/// Passes on what one session says until it ends.
async fn listen(
    mut words: Streaming<AgentMessage>,
    session: SessionId,
    peer: String,
    out: mpsc::Sender<FromCoordinator>,
    inbound: mpsc::Sender<Inbound>,
) {
    // The receiving end closes only with the run, and then nobody is left to be told.
    let pass_on = async |what| inbound.send(what).await.is_ok();
    let join = match tokio::time::timeout(JOIN_WITHIN, next(&mut words)).await {
        Ok(Ok(Heard::Word(FromAgent::Join(join)))) => join,
        Ok(Ok(_)) => return stranger(peer, "did not begin with joining".to_owned(), &out, &inbound).await,
        Ok(Err(reason)) => return stranger(peer, reason, &out, &inbound).await,
        Err(_) => return stranger(peer, format!("did not join within {} s", JOIN_WITHIN.as_secs()), &out, &inbound).await,
    };
    // From here on the session is answered by the conductor alone, and ends when that lets go of it.
    if !pass_on(Inbound::Joined { session, join, out }).await {
        return;
    }
    let why = loop {
        match next(&mut words).await {
            Ok(message) => {
                if !pass_on(Inbound::Said { session, message }).await {
                    return;
                }
            }
            Err(why) => break why,
        }
    };
    pass_on(Inbound::Ended { session, why }).await;
}

async fn next(words: &mut Streaming<AgentMessage>) -> Result<Heard, String> {
    match words.message().await {
        Ok(Some(message)) => message.try_into().map_err(|problem| format!("sent {problem}")),
        Ok(None) => Err("closed its session".to_owned()),
        Err(status) => Err(format!("its connection broke ({})", status.message())),
    }
}

async fn stranger(peer: String, reason: String, out: &mpsc::Sender<FromCoordinator>, inbound: &mpsc::Sender<Inbound>) {
    // Either may be gone by now, which leaves nobody to tell.
    let _ = out.send(FromCoordinator::Refused { reason: reason.clone(), for_now: false }).await;
    let _ = inbound.send(Inbound::Stranger { peer, reason }).await;
}
