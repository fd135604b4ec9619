//! The least that a client on this machine sees of the same server: epoll, a timerfd, preformatted bytes, nothing else.
//!
//! Between a server's own record and anybody who waits for its answer stand two passages through the kernel's loopback and
//! two wake-ups of a sleeping thread. What this client measures above the server's record is theirs, not the agent's.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};
use voteburst_burst::ballot::BallotId;
use voteburst_burst::plan::Ticket;

use super::{Outcome, now_ns, server, timespec};

/// From now to the first vote.
const LEAD_NS: i64 = 100_000_000;
/// The longest wait for anything, in nanoseconds.
const PATIENCE_NS: i64 = 10_000_000_000;
/// No connection has this number.
const TIMER: u64 = u64::MAX;

/// What it saw of one vote, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// At which of the places.
    pub(crate) place: usize,
    /// From before the request was written to after the answer was read.
    pub(crate) service_ns: i64,
    /// From the planned instant to after the answer was read.
    pub(crate) response_ns: i64,
    /// From the planned instant to before the request was written.
    pub(crate) lateness_ns: i64,
}

/// Casts these votes at their instants, each over a connection of its own, which go to the places in turn. In the order of
/// the answers, with the T0 of its own, on the kernel's clock.
pub(crate) fn measure(tickets: &[Ticket], places: &[Ipv4Addr], port: u16) -> Outcome<(i64, Vec<Seen>)> {
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let mut connections = Vec::with_capacity(tickets.len());
    for (number, ticket) in tickets.iter().enumerate() {
        let connection = TcpStream::connect((places[number % places.len()], port))?;
        connection.set_nodelay(true)?;
        connection.set_nonblocking(true)?;
        epoll::add(&epoll, &connection, EventData::new_u64(number as u64), EventFlags::IN | EventFlags::ET)?;
        let ballot = BallotId { run: 0, ticket: ticket.number.into() };
        let body = format!("{{\"ballot\":\"{ballot}\",\"question\":\"winner\",\"choice\":\"anna\"}}");
        let request = format!("POST /vote HTTP/1.1\r\nhost: floor\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        connections.push((connection, request, 0_i64));
    }
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
    epoll::add(&epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN | EventFlags::ET)?;
    let t0_ns = now_ns() + LEAD_NS;
    let planned_ns = |number: usize| t0_ns + tickets[number].planned_ns as i64;
    let (mut next, mut seen) = (0, Vec::with_capacity(tickets.len()));
    let mut events = Vec::<Event>::with_capacity(256);
    while seen.len() < tickets.len() {
        while next < tickets.len() && planned_ns(next) <= now_ns() {
            let (connection, request, sent_ns) = &mut connections[next];
            *sent_ns = now_ns();
            connection.write_all(request.as_bytes())?;
            next += 1;
        }
        if next < tickets.len() {
            let when = Itimerspec { it_interval: timespec(0), it_value: timespec(planned_ns(next)) };
            timerfd_settime(&timer, TimerfdTimerFlags::ABSTIME, &when)?;
        }
        events.clear();
        epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), Some(&timespec(PATIENCE_NS)))?;
        if events.is_empty() {
            return Err(format!("the floor client got {} of {} answers", seen.len(), tickets.len()).into());
        }
        for number in events.iter().map(|event| event.data.u64()).filter(|number| *number != TIMER) {
            let number = usize::try_from(number)?;
            let (connection, _, sent_ns) = &mut connections[number];
            let mut answer = [0; 512];
            match connection.read(&mut answer) {
                Ok(length) if length == server::ANSWER.len() => {
                    let (now, planned) = (now_ns(), planned_ns(number));
                    seen.push(Seen {
                        place: number % places.len(),
                        service_ns: now - *sent_ns,
                        response_ns: now - planned,
                        lateness_ns: *sent_ns - planned,
                    });
                }
                Ok(length) => return Err(format!("an answer of {length} bytes").into()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok((t0_ns, seen))
}
