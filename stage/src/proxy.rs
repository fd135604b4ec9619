//! A proxy that imitates HAProxy in `mode http` where a vote burst meets it: the connection limit with the kernel's
//! backlog behind it, a limit per web server, one queue with its timeout, keep-alive.
//!
//! It is a model: no TLS, no HTTP/2, no health checks, and the web servers behind it are the time they take.
//! As HAProxy without `option abortonclose`, it executes the requests of clients that have left.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::time::{sleep, timeout};
use voteburst_burst::draw::{Stream, draw};

use crate::ballot::{BallotBox, Vote};
use crate::clock;
use crate::connection;
use crate::counters::ProxyCounters;
use crate::http::{Answer, Answers};
use crate::protocol::WorkerSpec;
use crate::queue::{Admission, Balancer};

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

/// One proxy. Shares neither limits nor queue with any other.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) house: Rc<House>,
    number: u16,
    balancer: RefCell<Balancer<oneshot::Sender<usize>>>,
    /// Kept up to date but for what the balancer knows.
    counts: RefCell<ProxyCounters>,
    executed: Cell<u64>,
    connection_freed: Notify,
}

impl Proxy {
    pub(crate) fn new(house: Rc<House>, number: u16, address: SocketAddr) -> Self {
        let WorkerSpec { web_servers, server_limit, .. } = house.spec;
        Self {
            house,
            number,
            balancer: RefCell::new(Balancer::new(web_servers, server_limit)),
            counts: RefCell::new(ProxyCounters::new(address, web_servers)),
            executed: Cell::new(0),
            connection_freed: Notify::new(),
        }
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
            while self.counts.borrow().conn_cur >= self.house.spec.connection_limit {
                self.connection_freed.notified().await;
            }
            match listener.accept().await {
                Ok((stream, _)) => {
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

    fn admit(self: &Rc<Self>, stream: TcpStream) {
        {
            let mut counts = self.counts.borrow_mut();
            counts.conn_tot += 1;
            counts.conn_cur += 1;
            counts.conn_peak = counts.conn_peak.max(counts.conn_cur);
        }
        // Fails only on a connection that is already broken, which its first read tells.
        let _ = stream.set_nodelay(true);
        let proxy = Rc::clone(self);
        tokio::task::spawn_local(async move {
            connection::serve(stream, &proxy).await;
            proxy.counts.borrow_mut().conn_cur -= 1;
            proxy.connection_freed.notify_one();
            proxy.house.descriptor_freed.notify_waiters();
        });
    }

    /// Brings a request to a web server, through the queue if need be, and says what to answer.
    pub(crate) async fn execute(&self, work: Work) -> Answer {
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
    async fn server(&self) -> Option<usize> {
        let mut turn = None;
        let admission = self.balancer.borrow_mut().admit(|| {
            let (grant, granted) = oneshot::channel();
            turn = Some(granted);
            grant
        });
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
        while balancer.finish(server).is_some_and(|heir| heir.send(server).is_err()) {}
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
        let number = u64::from(self.number) << 48 | request;
        self.house.spec.service_time.sample(draw(self.house.spec.seed, Stream::ServiceTime, number))
    }
}
