//! A real HAProxy: one process, one frontend, one backend, its own stats socket.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{PATIENCE, Server, poll, program};

/// What one proxy allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections of clients at once: `maxconn` of the frontend.
    pub(crate) connections: u32,
    /// Requests at one web server at once: `maxconn` of the server.
    pub(crate) per_server: u32,
    /// How long a request may wait for a server.
    pub(crate) queue: Duration,
    /// How long an answered connection may be idle.
    pub(crate) keep_alive: Duration,
}

impl Default for Limits {
    /// Limits that nobody meets.
    fn default() -> Self {
        let (queue, keep_alive) = (Duration::from_secs(10), Duration::from_secs(60));
        Self { connections: 2_000, per_server: 100, queue, keep_alive }
    }
}

/// What a proxy counted since it began, out of its FRONTEND and BACKEND rows (HAProxy Management Guide, section 9.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Connections accepted.
    pub(crate) conn_tot: u64,
    /// Connections open now.
    pub(crate) conn_cur: u64,
    /// Requests, counted at their start.
    pub(crate) req_tot: u64,
    /// Answers by the first digit of their status, HAProxy's own included.
    pub(crate) hrsp: [u64; 6],
    /// Requests that wait for a server now.
    pub(crate) queue_cur: u64,
    /// The most that waited at once.
    pub(crate) queue_peak: u64,
    /// Requests that no server took: here, for the queue timeout.
    pub(crate) econ: u64,
    /// Requests at each server now.
    pub(crate) in_flight: Vec<u64>,
}

impl Counters {
    /// Requests under way.
    pub(crate) fn unanswered(&self) -> u64 {
        self.req_tot - self.hrsp.iter().sum::<u64>()
    }
}

pub(crate) struct Haproxy {
    server: Server,
    socket: PathBuf,
    address: SocketAddrV4,
}

impl Haproxy {
    /// Starts proxy number `number` in front of these web servers.
    pub(crate) fn start(dir: &Path, number: usize, address: SocketAddrV4, web: &[SocketAddrV4], limits: Limits) -> Self {
        Self::start_bound(dir, number, address, "", web, limits)
    }

    /// The same over TLS, with certificate and key in this file of the directory; it offers both protocols.
    pub(crate) fn start_tls(dir: &Path, address: SocketAddrV4, pem: &str, web: &[SocketAddrV4], limits: Limits) -> Self {
        Self::start_bound(dir, 0, address, &format!(" ssl crt {pem} alpn h2,http/1.1"), web, limits)
    }

    fn start_bound(dir: &Path, number: usize, address: SocketAddrV4, bind: &str, web: &[SocketAddrV4], limits: Limits) -> Self {
        let name = format!("haproxy-{number}");
        let socket = dir.join(format!("{name}.sock"));
        std::fs::write(dir.join(format!("{name}.cfg")), configuration(&name, &format!("{address}{bind}"), web, limits)).unwrap();
        let mut command = Command::new(program("haproxy"));
        let server = Server::start(dir, &name, command.arg("-db").arg("-f").arg(format!("{name}.cfg")));
        let mut haproxy = Self { server, socket, address };
        haproxy.await_readiness();
        haproxy
    }

    pub(crate) fn address(&self) -> SocketAddrV4 {
        self.address
    }

    pub(crate) fn ip(&self) -> Ipv4Addr {
        *self.address.ip()
    }

    /// Its command line answers, and it is this very process: with `noreuseport` no other can hold the address beside
    /// it. A request through it would show in the counters that tests want untouched.
    fn await_readiness(&mut self) {
        let pid = format!("Pid: {}", self.server.pid());
        let socket = self.socket.clone();
        self.server.until("the answer to `show info`", || {
            let info = cli(&socket, "show info").ok()?;
            info.lines().any(|line| line == pid).then_some(())
        });
    }

    /// A figure of its frontend by the name it has in `show stat`, such as `h2_total_connections`.
    pub(crate) fn figure(&self, name: &str) -> u64 {
        let stat = cli(&self.socket, "show stat").unwrap();
        let mut lines = stat.lines().map(|line| line.split(','));
        let names = lines.next().into_iter().flatten();
        let front = lines.find(|fields| fields.clone().take(2).eq(["fe_vote", "FRONTEND"])).into_iter().flatten();
        let found = names.zip(front).find(|(found, _)| *found == name).and_then(|(_, figure)| figure.parse().ok());
        found.unwrap_or_else(|| panic!("no {name} in:\n{stat}"))
    }

    /// How many requests it logged that ended with these words, such as `HTTP/2.0`.
    pub(crate) fn logged(&self, version: &str) -> usize {
        let log = std::fs::read_to_string(&self.server.log).unwrap();
        log.lines().filter(|line| line.ends_with(&format!("{version}\""))).count()
    }

    /// What it counted so far.
    pub(crate) fn counters(&self) -> Counters {
        let stat = cli(&self.socket, "show stat").unwrap();
        read(&stat).unwrap_or_else(|| panic!("{}: no counters in:\n{stat}", self.address))
    }

    /// What it counted as soon as these counters are as wished.
    #[track_caller]
    pub(crate) fn counters_when(&self, wished: impl Fn(&Counters) -> bool) -> Counters {
        let mut last = None;
        let found = poll(|| {
            last = Some(self.counters());
            last.clone().filter(&wished)
        });
        found.unwrap_or_else(|| panic!("not within {PATIENCE:?}: {last:?}"))
    }

    /// What it counted in the end: nobody is connected, and two looks found the same.
    #[track_caller]
    pub(crate) fn settled(&self) -> Counters {
        let mut before = None;
        let found = poll(|| {
            let now = self.counters();
            let same = now.conn_cur == 0 && before.as_ref() == Some(&now);
            before = Some(now.clone());
            same.then_some(now)
        });
        found.unwrap_or_else(|| panic!("{} does not come to rest: {before:?}", self.address))
    }
}

fn configuration(name: &str, bind: &str, web: &[SocketAddrV4], limits: Limits) -> String {
    let Limits { connections, per_server, queue, keep_alive } = limits;
    let (queue, keep_alive, global) = (queue.as_millis(), keep_alive.as_millis(), connections + 100);
    let servers = web.iter().enumerate().map(|(number, web)| format!("  server web{number} {web} maxconn {per_server}\n"));
    let servers: String = servers.collect();
    // One thread: with more, counters lag behind the answers. `noreuseport`: a second process on the same address would
    // silently take a part of the connections. No `check`: probes would show up among the web servers' requests.
    // `http-request` bounds the wait for a first byte, and doors are open for seconds before anybody votes: shorter, it
    // would end these connections with an unasked 408.
    format!(
        "global
  maxconn {global}
  nbthread 1
  noreuseport
  node {name}
  log stdout format raw local0
  stats socket unix@./{name}.sock mode 600 level admin
defaults
  mode http
  log global
  option httplog
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout queue {queue}ms
  timeout http-request 60s
  timeout http-keep-alive {keep_alive}ms
frontend fe_vote
  bind {bind}
  maxconn {connections}
  default_backend be_web
backend be_web
  balance roundrobin
  http-reuse always
{servers}"
    )
}

/// One command on the stats socket: HAProxy answers and closes.
fn cli(socket: &Path, command: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    writeln!(stream, "{command}")?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Counters out of `show stat`, looked up by the names in its first line: columns differ from version to version.
fn read(stat: &str) -> Option<Counters> {
    let mut lines = stat.lines();
    let names: Vec<_> = lines.next()?.strip_prefix("# ")?.split(',').collect();
    let rows: Vec<HashMap<_, _>> = lines.map(|line| names.iter().copied().zip(line.split(',')).collect()).collect();
    let row = |proxy: &str, server: &str| rows.iter().find(|row| row["pxname"] == proxy && row["svname"] == server);
    let count = |row: &HashMap<&str, &str>, name: &str| row.get(name)?.parse().ok();
    let (front, back) = (row("fe_vote", "FRONTEND")?, row("be_web", "BACKEND")?);
    let mut hrsp = [0; 6];
    for (digit, found) in ["1xx", "2xx", "3xx", "4xx", "5xx", "other"].iter().zip(&mut hrsp) {
        *found = count(front, &format!("hrsp_{digit}"))?;
    }
    let servers = rows.iter().filter(|row| row["pxname"] == "be_web" && row["svname"] != "BACKEND");
    Some(Counters {
        conn_tot: count(front, "conn_tot")?,
        conn_cur: count(front, "scur")?,
        req_tot: count(front, "req_tot")?,
        hrsp,
        queue_cur: count(back, "qcur")?,
        queue_peak: count(back, "qmax")?,
        econ: count(back, "econ")?,
        in_flight: servers.map(|row| count(row, "scur")).collect::<Option<_>>()?,
    })
}
