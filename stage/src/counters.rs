//! What a proxy counts, under the names of HAProxy's statistics where it has them
//! (HAProxy 2.6 management guide, section 9.1).

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The counters of one proxy.
///
/// `req_tot - (hrsp_2xx + hrsp_4xx + hrsp_5xx)` is the number of requests in flight, waiting ones included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyCounters {
    /// Where the proxy listens.
    pub address: SocketAddr,
    /// Connections accepted.
    pub conn_tot: u64,
    /// Connections open now, idle ones included: `scur` of HAProxy's FRONTEND row.
    pub conn_cur: u32,
    /// The most connections open at once (`smax`).
    pub conn_peak: u32,
    /// Requests, counted at their start.
    pub req_tot: u64,
    /// Answers 2xx, counted at their end, whether or not the client was still there. So the other two.
    pub hrsp_2xx: u64,
    /// Answers 4xx.
    pub hrsp_4xx: u64,
    /// Answers 5xx: the stage's only one is 503.
    pub hrsp_5xx: u64,
    /// Requests that wait for a web server now: `qcur` of the BACKEND row.
    pub queue_cur: u32,
    /// The most that have waited at once (`qmax`).
    pub queue_peak: u32,
    /// Requests answered 503 because no web server came free in time (the queue's part of `econ`).
    pub queue_timeouts: u64,
    /// Connections closed because they were idle for the keep-alive time.
    pub idle_closed: u64,
    /// Requests in flight at each web server (`scur` of the server rows).
    pub in_flight: Vec<u32>,
    /// The most in flight at once at each web server (`smax`).
    pub in_flight_peak: Vec<u32>,
    /// How often accepting paused because this process had no file descriptor left. Anything but 0 means that the
    /// stage, not the scenario, limited the connections.
    pub accept_pauses: u64,
}

impl ProxyCounters {
    /// Counters of a proxy that nothing has happened to yet.
    #[must_use]
    pub fn new(address: SocketAddr, web_servers: u16) -> Self {
        let idle = vec![0; usize::from(web_servers)];
        Self {
            address,
            conn_tot: 0,
            conn_cur: 0,
            conn_peak: 0,
            req_tot: 0,
            hrsp_2xx: 0,
            hrsp_4xx: 0,
            hrsp_5xx: 0,
            queue_cur: 0,
            queue_peak: 0,
            queue_timeouts: 0,
            idle_closed: 0,
            in_flight: idle.clone(),
            in_flight_peak: idle,
            accept_pauses: 0,
        }
    }

    /// Adds what another worker counted of the same proxy, of which each web server works on at most `server_limit` requests.
    ///
    /// Sums are exact, and so is the peak of connections, for workers read it from what they share. The peaks of queue and
    /// web servers are sums of the workers' peaks: at least what they were at one time, and never more than the limit.
    pub fn join(&mut self, other: &Self, server_limit: u32) {
        self.conn_tot += other.conn_tot;
        self.conn_cur += other.conn_cur;
        self.conn_peak = self.conn_peak.max(other.conn_peak);
        self.req_tot += other.req_tot;
        self.hrsp_2xx += other.hrsp_2xx;
        self.hrsp_4xx += other.hrsp_4xx;
        self.hrsp_5xx += other.hrsp_5xx;
        self.queue_cur += other.queue_cur;
        self.queue_peak += other.queue_peak;
        self.queue_timeouts += other.queue_timeouts;
        self.idle_closed += other.idle_closed;
        self.in_flight.iter_mut().zip(&other.in_flight).for_each(|(mine, its)| *mine += its);
        let peaks = self.in_flight_peak.iter_mut().zip(&other.in_flight_peak);
        peaks.for_each(|(mine, its)| *mine = (*mine + its).min(server_limit));
        self.accept_pauses += other.accept_pauses;
    }

    /// Requests without an answer yet.
    #[must_use]
    pub fn unanswered(&self) -> u64 {
        self.req_tot - self.hrsp_2xx - self.hrsp_4xx - self.hrsp_5xx
    }
}
