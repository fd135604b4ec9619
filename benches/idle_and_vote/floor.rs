//! The least a client can do: preformatted bytes out, answers counted by their length in.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::time::Timespec;
use voteburst_agent::clock::Clock;
use voteburst_burst::ballot::BallotId;
use voteburst_burst::scenario::template::Fill;

use super::{Outcome, agent, bursts, per_vote, processor_us, server};

/// After how many writes it looks for answers, as often as the agent's runtime does.
const WRITES: usize = 61;

/// Plays the bursts and prints its figures.
pub(crate) fn run(viewers: u32, port: u16) -> Outcome<()> {
    let mut request = Vec::new();
    let fill = Fill { question: "q0", choice: "anna", viewer: 0, ballot: BallotId { run: 1, ticket: 0 }, attempt: 1 };
    agent::plan(1, port)?.scenario.target.request.render(&mut request, &fill);
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let mut connections = Vec::with_capacity(viewers as usize);
    for viewer in 0..viewers as usize {
        let connection = TcpStream::connect((server::ADDRESSES[viewer % server::ADDRESSES.len()], port))?;
        connection.set_nodelay(true)?;
        connection.set_nonblocking(true)?;
        epoll::add(&epoll, &connection, EventData::new_u64(viewer as u64), EventFlags::IN | EventFlags::ET)?;
        connections.push(connection);
    }
    let (clock, mut events) = (Clock::start(), Vec::<Event>::with_capacity(1_024));
    let t0 = clock.now().after(Duration::from_millis(50));
    let before = processor_us()?;
    let (bursts, apart) = bursts(viewers);
    for burst in 0..bursts {
        std::thread::sleep(t0.after(apart * burst).since(clock.now()));
        let mut answered = 0;
        for some in connections.chunks(WRITES) {
            for mut connection in some {
                connection.write_all(&request)?;
            }
            answered += answers(&epoll, &connections, &mut events, 0)?;
        }
        while answered < viewers {
            answered += answers(&epoll, &connections, &mut events, 10)?;
        }
    }
    println!("{}", per_vote(before, viewers * bursts)?);
    Ok(())
}

/// Reads the answers that have come; waits for some at most `patience_s` seconds.
fn answers(epoll: &OwnedFd, connections: &[TcpStream], events: &mut Vec<Event>, patience_s: i64) -> Outcome<u32> {
    events.clear();
    let patience = Timespec { tv_sec: patience_s, tv_nsec: 0 };
    epoll::wait(epoll, rustix::buffer::spare_capacity(events), Some(&patience))?;
    if events.is_empty() && patience_s > 0 {
        return Err(format!("no answer within {patience_s} s").into());
    }
    let mut answer = [0; 512];
    for event in &*events {
        let length = (&connections[event.data.u64() as usize]).read(&mut answer)?;
        if length != server::ANSWER.len() {
            return Err(format!("an answer of {length} bytes").into());
        }
    }
    Ok(u32::try_from(events.len())?)
}
