//! A proxy that imitates HAProxy in `mode http` where a vote burst meets it: the connection limit with the kernel's
//! backlog behind it, a limit per web server, one queue with its timeout, keep-alive.
//!
//! It is a model: no health checks, and the web servers behind it are the time they take. As HAProxy without
//! `option abortonclose`, it executes the requests of clients that have left.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt::set_tcp_quickack;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::time::{sleep, timeout};
use voteburst_burst::draw::{Stream, draw};

use crate::ballot::{BallotBox, Vote};
use crate::clock;
use crate::connection;
use crate::counters::ProxyCounters;
use crate::http::{Answer, Answers};
use crate::protocol::{Share, WorkerSpec};
use crate::queue::{Admission, Balancer};
use crate::tls;
use crate::tokens::Tokens;

/// How long accepting pauses for want of file descriptors if no connection of the worker closes meanwhile.
const PAUSE_LIMIT: Duration = Duration::from_millis(100);

/// What all proxies of a worker share: the process, and the ballot box.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) spec: WorkerSpec,
    pub(crate) answers: Answers,
    pub(crate) ballots: RefCell<BallotBox>,
    /// Wakes acceptors that wait for a file descriptor: a connection of any proxy has closed.
    descriptor_freed: Notify,
    /// Wakes who waits for the last request to end: some request has ended.
    pub(crate) request_ended: Notify,
}

impl House {
    pub(crate) fn new(spec: WorkerSpec) -> Self {
        let ballots = BallotBox::new(spec.ballot_rule, spec.run, spec.questions.clone());
        Self {
            spec,
            answers: Answers::render(),
            ballots: RefCell::new(ballots),
            descriptor_freed: Notify::new(),
            request_ended: Notify::new(),
        }
    }
}

/// What a web server has to do for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Count this vote.
    Count(Vote),
    /// Answer this: the request holds no vote that could be counted.
    Reply(Answer),
}

/// What the workers of one proxy share. Each keeps a queue of its own, and hands a slot that comes free to its own waiting
/// requests first: no slot is idle while anybody waits, but the order of arrival holds within a worker only.
#[derive(Debug)]
struct Shared {
    connections: Tokens,
    servers: Tokens,
    /// Whether somebody looks out for slots that other workers put back.
    ushered: Cell<bool>,
}

impl Shared {
    fn join(spec: &WorkerSpec, share: &Share, number: u16) -> io::Result<Self> {
        Ok(Self {
            connections: Tokens::join(&Share::connections(&share.dir, number), spec.connection_limit)?,
            servers: Tokens::join(&Share::servers(&share.dir, number), u32::from(spec.web_servers) * spec.server_limit)?,
            ushered: Cell::new(false),
        })
    }
}

/// One proxy, or one worker's part of it. Shares neither limits nor queue with any other proxy.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) house: Rc<House>,
    number: u16,
    tls: Option<Arc<ServerConfig>>,
    shared: Option<Shared>,
    balancer: RefCell<Balancer<oneshot::Sender<usize>>>,
    /// Kept up to date but for what the balancer knows.
    counts: RefCell<ProxyCounters>,
    executed: Cell<u64>,
    connection_freed: Notify,
}

impl Proxy {
    /// A proxy that nothing has happened to yet; `tls`: it speaks TLS. Fails only where workers share it and their pipes
    /// cannot be opened.
    pub(crate) fn new(house: Rc<House>, number: u16, address: SocketAddr, tls: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        let WorkerSpec { web_servers, server_limit, .. } = house.spec;
        let shared = house.spec.share.as_ref().map(|share| Shared::join(&house.spec, share, number)).transpose()?;
        Ok(Self {
            house,
            number,
            tls,
            shared,
            balancer: RefCell::new(Balancer::new(web_servers, server_limit)),
            counts: RefCell::new(ProxyCounters::new(address, web_servers)),
            executed: Cell::new(0),
            connection_freed: Notify::new(),
        })
    }

    /// The counters now.
    pub(crate) fn counters(&self) -> ProxyCounters {
        let balancer = self.balancer.borrow();
        ProxyCounters {
            queue_cur: balancer.waiting(),
            queue_peak: balancer.waiting_peak(),
            in_flight: balancer.in_flight().to_vec(),
            in_flight_peak: balancer.in_flight_peak().to_vec(),
            ..self.counts.borrow().clone()
        }
    }

    /// Requests that wait or that a web server works on.
    pub(crate) fn unfinished(&self) -> u64 {
        let balancer = self.balancer.borrow();
        balancer.in_flight().iter().map(|&requests| u64::from(requests)).sum::<u64>() + u64::from(balancer.waiting())
    }

    /// Accepts up to the connection limit and serves each connection in a task of its own, until dropped.
    ///
    /// At the limit it accepts nothing: clients then wait in the kernel's backlog, connected, unanswered and uncounted.
    pub(crate) async fn accept(self: Rc<Self>, listener: TcpListener) {
        let mut paused = false;
        loop {
            while self.shared.is_none() && self.counts.borrow().conn_cur >= self.house.spec.connection_limit {
                self.connection_freed.notified().await;
            }
            match self.next_client(&listener).await {
                Ok(stream) => {
                    paused = false;
                    self.admit(stream);
                }
                // The client left while it waited in the backlog (accept(2)): nothing to serve.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    if !paused {
                        tracing::warn!(%error, address = %self.counts.borrow().address, "accepting pauses until a connection closes");
                        self.counts.borrow_mut().accept_pauses += 1;
                        paused = true;
                    }
                    // The kernel keeps the client in the backlog. The bound is for descriptors that others hold.
                    let _ = timeout(PAUSE_LIMIT, self.house.descriptor_freed.notified()).await;
                }
            }
        }
    }

    /// A client whose connection the limit allows. Where workers share it, one client of each may be accepted and yet wait, as
    /// if it still stood in the backlog: neither read nor counted.
    async fn next_client(&self, listener: &TcpListener) -> io::Result<TcpStream> {
        let (stream, _) = listener.accept().await?;
        if let Some(shared) = &self.shared {
            shared.connections.take().await?;
        }
        Ok(stream)
    }

    fn admit(self: &Rc<Self>, stream: TcpStream) {
        {
            let mut counts = self.counts.borrow_mut();
            counts.conn_tot += 1;
            counts.conn_cur += 1;
            let open = self.shared.as_ref().map_or(counts.conn_cur, |shared| shared.connections.taken());
            counts.conn_peak = counts.conn_peak.max(open);
        }
        // Fails only on a connection that is already broken, which its first read tells.
        let _ = stream.set_nodelay(true);
        // The answer carries the acknowledgement of the request, as HAProxy has it in `mode http` (configuration manual, `option
        // tcp-smart-accept`): three packets per vote instead of four. Where it fails there are four.
        let _ = set_tcp_quickack(&stream, false);
        let proxy = Rc::clone(self);
        // Two kinds of task, so that a plain connection does not carry what TLS needs.
        if self.tls.is_some() {
            tokio::task::spawn_local(async move {
                if let Some(config) = &proxy.tls {
                    tls::serve(config, stream, &proxy).await;
                }
                proxy.closed();
            });
        } else {
            tokio::task::spawn_local(async move {
                let mut stream = stream;
                connection::serve(&mut stream, &proxy).await;
                drop(stream);
                proxy.closed();
            });
        }
    }

    /// Counts a connection that is gone, and lets in who waits for it.
    fn closed(&self) {
        self.counts.borrow_mut().conn_cur -= 1;
        match &self.shared {
            Some(shared) => shared.connections.put(0),
            None => self.connection_freed.notify_one(),
        }
        self.house.descriptor_freed.notify_waiters();
    }

    /// Brings a request to a web server, through the queue if need be, and says what to answer.
    pub(crate) async fn execute(self: &Rc<Self>, work: Work) -> Answer {
        self.counts.borrow_mut().req_tot += 1;
        let answer = match self.server().await {
            Some(server) => {
                self.serve_for(self.service_time()).await;
                let answer = match work {
                    Work::Count(vote) => {
                        self.house.ballots.borrow_mut().count(vote, clock::monotonic_ns());
                        Answer::Counted
                    }
                    Work::Reply(answer) => answer,
                };
                self.release(server);
                answer
            }
            None => {
                self.counts.borrow_mut().queue_timeouts += 1;
                Answer::QueueTimeout
            }
        };
        self.answered(answer);
        self.house.request_ended.notify_waiters();
        answer
    }

    /// Counts a request that the proxy itself refuses.
    pub(crate) fn refused(&self, answer: Answer) {
        self.counts.borrow_mut().req_tot += 1;
        self.answered(answer);
    }

    /// Counts a connection that is closed for being idle.
    pub(crate) fn idle(&self) {
        self.counts.borrow_mut().idle_closed += 1;
    }

    fn answered(&self, answer: Answer) {
        let mut counts = self.counts.borrow_mut();
        match answer.class() {
            2 => counts.hrsp_2xx += 1,
            4 => counts.hrsp_4xx += 1,
            _ => counts.hrsp_5xx += 1,
        }
    }

    /// The server that may work on a request, at once or after the queue; `None` after the queue timeout.
    async fn server(self: &Rc<Self>) -> Option<usize> {
        let mut turn = None;
        let waiter = || {
            let (grant, granted) = oneshot::channel();
            turn = Some(granted);
            grant
        };
        let admission = match &self.shared {
            None => self.balancer.borrow_mut().admit(waiter),
            Some(shared) => {
                let mut balancer = self.balancer.borrow_mut();
                let slot = if balancer.waiting() == 0 { shared.servers.try_take().map(usize::from) } else { None };
                balancer.admit_to(slot, waiter)
            }
        };
        if turn.is_some() && self.shared.as_ref().is_some_and(|shared| !shared.ushered.replace(true)) {
            tokio::task::spawn_local(Rc::clone(self).usher());
        }
        match (admission, turn) {
            (Admission::Serve(server), _) => Some(server),
            (Admission::Wait(number), Some(turn)) => {
                // `timeout` looks at the turn before it looks at the clock, so a grant is never lost to it.
                let granted = timeout(self.house.spec.queue_timeout, turn).await;
                let server = granted.ok().and_then(Result::ok);
                if server.is_none() {
                    self.balancer.borrow_mut().give_up(number);
                }
                server
            }
            (Admission::Wait(_), None) => None,
        }
    }

    fn release(&self, server: usize) {
        let mut balancer = self.balancer.borrow_mut();
        // A grant fails only if the waiting task is gone: then the slot is the next one's.
        while let Some(heir) = balancer.finish(server) {
            if heir.send(server).is_ok() {
                return;
            }
        }
        if let Some(shared) = &self.shared {
            // Below the number of web servers, which is a u16.
            shared.servers.put(server as u16);
        }
    }

    /// Brings slots that other workers put back to the requests that wait here, until none does.
    async fn usher(self: Rc<Self>) {
        let Some(shared) = &self.shared else { return };
        while self.balancer.borrow().waiting() > 0 {
            let slot = match shared.servers.take().await {
                Ok(slot) => slot,
                Err(error) => {
                    // Requests that end here still serve those that wait.
                    tracing::warn!(%error, "slots of other workers are out of reach for a moment");
                    break;
                }
            };
            let server = usize::from(slot);
            let heir = self.balancer.borrow_mut().grant(server);
            match heir.map(|heir| heir.send(server)) {
                Some(Ok(())) => {}
                // It has just given up.
                Some(Err(server)) => self.release(server),
                None => shared.servers.put(slot),
            }
        }
        shared.ushered.set(false);
    }

    async fn serve_for(&self, time: Duration) {
        if !time.is_zero() {
            sleep(time).await;
        }
    }

    /// The time of this proxy's next request: drawn by its number, so that the same seed gives the same times
    /// wherever the proxy listens.
    fn service_time(&self) -> Duration {
        let request = self.executed.replace(self.executed.get() + 1);
        let (part, parts) =
            self.house.spec.share.as_ref().map_or((0, 1), |share| (u64::from(share.part), u64::from(share.parts)));
        let number = u64::from(self.number) << 48 | (request * parts + part);
        self.house.spec.service_time.sample(draw(self.house.spec.seed, Stream::ServiceTime, number))
    }
}
