//! A server that takes exactly as long as it is told, and writes down how long it really took.
//!
//! One epoll thread. A timerfd wakes it a little before an answer is due and it spins through the rest, for a sleeping
//! thread is woken some 50 µs late, and a timer wheel of a millisecond, as tokio's, would be wrong by more than what is to be
//! proved. What it writes down is the truth of the run: from the moment a request was read to the moment its answer
//! goes to the kernel, on `CLOCK_MONOTONIC`, which all processes of a machine share.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::env;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime};
use voteburst_burst::ballot::BallotId;

use super::{Outcome, now_ns, timespec};

/// Which process this is: a server when it is set, to the port-independent words of [`Orders`].
const ROLE: &str = "VOTEBURST_TRUTH_SERVER";
/// Its answer to every vote.
pub(crate) const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{\"counted\":true}";
/// How long before an answer is due it stops to sleep, in nanoseconds.
const SPIN_NS: i64 = 150_000;
/// How often epoll may return before it gives up: far more than any run needs.
const MOST_TURNS: u64 = 20_000_000_000;
/// What a ballot id stands behind in a request.
const BEFORE_BALLOT: &[u8] = b"\"ballot\":\"";
/// The digits of a ballot id.
const BALLOT: usize = 33;

const STDIN: u64 = 0;
/// No descriptor has this number.
const TIMER: u64 = u64::MAX;

/// What a server has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Orders {
    /// Each address with the delays of its answers in nanoseconds, which its requests get in turn.
    pub(crate) places: Vec<(Ipv4Addr, Vec<u64>)>,
    /// Says `reached` on standard output once it has read so many requests; 0: never.
    pub(crate) tell_after: usize,
}

impl Orders {
    fn words(&self) -> String {
        let places = self.places.iter().map(|(address, delays)| {
            let delays: Vec<_> = delays.iter().map(u64::to_string).collect();
            format!("{address}={}", delays.join(","))
        });
        let places: Vec<_> = places.collect();
        format!("{} {}", self.tell_after, places.join(" "))
    }

    fn read(words: &str) -> Outcome<Self> {
        let mut words = words.split_whitespace();
        let tell_after = words.next().ok_or("no number of requests")?.parse()?;
        let place = |word: &str| {
            let (address, delays) = word.split_once('=').ok_or("no delays")?;
            let delays: Result<Vec<u64>, _> = delays.split(',').map(str::parse).collect();
            Ok((address.parse()?, delays?))
        };
        Ok(Self { tell_after, places: words.map(place).collect::<Outcome<_>>()? })
    }

    /// Makes this the order of a process that is about to be started.
    pub(crate) fn give(&self, command: &mut std::process::Command) {
        command.env(ROLE, self.words());
    }
}

/// What became of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Served {
    /// At which of the addresses.
    pub(crate) place: usize,
    /// The number of its ticket.
    pub(crate) ticket: u64,
    /// When it was read, on the kernel's monotonic clock, in nanoseconds.
    pub(crate) read_ns: i64,
    /// When its answer went to the kernel.
    pub(crate) answered_ns: i64,
}

impl Served {
    fn write(&self, to: &mut impl io::Write) -> io::Result<()> {
        writeln!(to, "{} {} {} {}", self.place, self.ticket, self.read_ns, self.answered_ns)
    }

    /// Reads a line of what a server writes at its end.
    pub(crate) fn read(line: &str) -> Outcome<Self> {
        let mut words = line.split_whitespace();
        let mut word = || words.next().ok_or_else(|| format!("`{line}` is no record of a request"));
        Ok(Self { place: word()?.parse()?, ticket: word()?.parse()?, read_ns: word()?.parse()?, answered_ns: word()?.parse()? })
    }
}

/// Serves when this process was started to do so; whether it did.
pub(crate) fn served() -> Outcome<bool> {
    let Ok(words) = env::var(ROLE) else { return Ok(false) };
    let mut server = Server::open(Orders::read(&words)?)?;
    println!("port={}", server.port);
    server.serve()?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    server.served.iter().try_for_each(|served| served.write(&mut out))?;
    Ok(true)
}

struct Client {
    stream: TcpStream,
    place: usize,
}

/// An answer that waits for its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at_ns: i64,
    /// Its position in `Server::served`.
    request: usize,
    client: usize,
}

struct Server {
    orders: Orders,
    port: u16,
    epoll: OwnedFd,
    timer: OwnedFd,
    listeners: Vec<TcpListener>,
    clients: Vec<Option<Client>>,
    due: BinaryHeap<Reverse<Due>>,
    /// How many requests each place has read.
    turns: Vec<usize>,
    served: Vec<Served>,
}

impl Server {
    fn open(orders: Orders) -> Outcome<Self> {
        let (listeners, port) = bind(&orders)?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        // A pipe's end is reported whatever was asked for.
        epoll::add(&epoll, io::stdin(), EventData::new_u64(STDIN), EventFlags::IN)?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN | EventFlags::ET)?;
        for listener in &listeners {
            epoll::add(&epoll, listener, EventData::new_u64(listener.as_raw_fd() as u64), EventFlags::IN)?;
        }
        let turns = vec![0; listeners.len()];
        let (clients, due, served) = (Vec::new(), BinaryHeap::new(), Vec::with_capacity(100_000));
        Ok(Self { orders, port, epoll, timer, listeners, clients, due, turns, served })
    }

    /// Serves until its standard input ends.
    fn serve(&mut self) -> Outcome<()> {
        let mut events: Vec<Event> = Vec::with_capacity(1_024);
        for _ in 0..MOST_TURNS {
            events.clear();
            let patience = self.patience()?;
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&patience)) {
                // A process that was stopped and goes on wakes up like this (signal(7)).
                Err(Errno::INTR) => continue,
                woken => woken?,
            };
            for event in &events {
                match event.data.u64() {
                    STDIN => return Ok(()),
                    TIMER => {}
                    fd => self.turn_to(usize::try_from(fd)?)?,
                }
                self.answer_due()?;
            }
            self.answer_due()?;
        }
        Err("it was never told to end".into())
    }

    /// How long it may sleep: not at all shortly before an answer is due, else until the timer or a request wakes it.
    fn patience(&self) -> Outcome<Timespec> {
        let minute = timespec(60_000_000_000);
        let Some(Reverse(next)) = self.due.peek() else { return Ok(minute) };
        if next.at_ns - now_ns() <= SPIN_NS {
            return Ok(timespec(0));
        }
        let when = Itimerspec { it_interval: timespec(0), it_value: timespec(next.at_ns - SPIN_NS) };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &when)?;
        Ok(minute)
    }

    fn turn_to(&mut self, fd: usize) -> Outcome<()> {
        if let Some(place) = self.listeners.iter().position(|listener| listener.as_raw_fd() as usize == fd) {
            while let Ok((stream, _)) = self.listeners[place].accept() {
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                let number = stream.as_raw_fd() as usize;
                epoll::add(&self.epoll, stream.as_fd(), EventData::new_u64(number as u64), EventFlags::IN)?;
                self.clients.resize_with(self.clients.len().max(number + 1), || None);
                self.clients[number] = Some(Client { stream, place });
            }
        } else if !self.read_request(fd)? {
            self.clients[fd] = None;
        }
        Ok(())
    }

    /// Reads a vote, which always comes in one piece over loopback. Whether the connection lasts.
    fn read_request(&mut self, fd: usize) -> Outcome<bool> {
        let Some(Some(client)) = self.clients.get_mut(fd) else { return Ok(true) };
        let mut request = [0; 2_048];
        let length = match client.stream.read(&mut request) {
            Ok(0) => return Ok(false),
            Ok(length) => length,
            Err(error) => return Ok(error.kind() == io::ErrorKind::WouldBlock),
        };
        let read_ns = now_ns();
        let ticket = ticket(&request[..length]).ok_or("a request without a ballot, or in pieces")?;
        let (place, turn) = (client.place, self.turns[client.place]);
        self.turns[place] += 1;
        let delays = &self.orders.places[place].1;
        let at_ns = read_ns + i64::try_from(delays[turn % delays.len()])?;
        self.due.push(Reverse(Due { at_ns, request: self.served.len(), client: fd }));
        self.served.push(Served { place, ticket, read_ns, answered_ns: 0 });
        if self.served.len() == self.orders.tell_after {
            println!("reached");
        }
        Ok(true)
    }

    /// Answers everybody whose time has come.
    fn answer_due(&mut self) -> Outcome<()> {
        while let Some(Reverse(due)) = self.due.peek().copied().filter(|Reverse(due)| due.at_ns <= now_ns()) {
            self.due.pop();
            if let Some(Some(client)) = self.clients.get_mut(due.client) {
                self.served[due.request].answered_ns = now_ns();
                client.stream.write_all(ANSWER)?;
            }
        }
        Ok(())
    }
}

/// The number of the ticket whose ballot a request carries.
fn ticket(request: &[u8]) -> Option<u64> {
    let at = request.windows(BEFORE_BALLOT.len()).position(|window| window == BEFORE_BALLOT)? + BEFORE_BALLOT.len();
    let id: BallotId = str::from_utf8(request.get(at..at + BALLOT)?).ok()?.parse().ok()?;
    Some(id.ticket)
}

/// All addresses on one port.
fn bind(orders: &Orders) -> Outcome<(Vec<TcpListener>, u16)> {
    for _ in 0..100 {
        let first = TcpListener::bind((orders.places[0].0, 0))?;
        let port = first.local_addr()?.port();
        let others: Result<Vec<_>, _> =
            orders.places[1..].iter().map(|(address, _)| TcpListener::bind((*address, port))).collect();
        let Ok(others) = others else { continue };
        let listeners: Vec<_> = std::iter::once(first).chain(others).collect();
        for listener in &listeners {
            listener.set_nonblocking(true)?;
            // std listens with a backlog of 128; connections come faster than one thread accepts them.
            rustix::net::listen(listener, 4_096)?;
        }
        return Ok((listeners, port));
    }
    Err("found no port that is free on all addresses".into())
}
