//! Answers votes and DNS queries from one epoll thread, as cheaply as possible, and never sleeps.
//!
//! Waking a server is paid for by whoever sends, and a slower sender finds it asleep more often: asleep it would charge a client
//! for its own slowness once more, by an amount that is the machine's. So it asks for events without waiting for them.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd as _};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::time::Timespec;

use super::Outcome;

/// The addresses it listens on, like a fleet of proxies.
pub(crate) const ADDRESSES: [Ipv4Addr; 8] = {
    let mut addresses = [Ipv4Addr::LOCALHOST; 8];
    let mut host = 0;
    while host < 8 {
        addresses[host] = Ipv4Addr::new(127, 0, 0, 11 + host as u8);
        host += 1;
    }
    addresses
};
/// Its answer to every vote.
pub(crate) const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{\"counted\":true}";
/// How often it may ask before it gives up: minutes, far more than any bench needs.
const MOST_TURNS: u32 = 2_000_000_000;

const NO_PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

const STDIN: u64 = 0;

/// Serves until its standard input ends.
pub(crate) fn run() -> Outcome<()> {
    let (listeners, names) = bind()?;
    println!("port={}", names.local_addr()?.port());
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let watch = |fd: &dyn AsFd, data: u64| epoll::add(&epoll, fd.as_fd(), EventData::new_u64(data), EventFlags::IN);
    // A pipe's end is reported whatever was asked for.
    watch(&io::stdin(), STDIN)?;
    watch(&names, names.as_raw_fd() as u64)?;
    for listener in &listeners {
        watch(listener, listener.as_raw_fd() as u64)?;
    }
    let mut clients: Vec<Option<TcpStream>> = Vec::new();
    let mut events: Vec<Event> = Vec::with_capacity(1_024);
    let mut queries = 0;
    for _ in 0..MOST_TURNS {
        events.clear();
        epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), Some(&NO_PATIENCE))?;
        for event in &events {
            let fd = event.data.u64();
            if fd == STDIN {
                return Ok(());
            } else if fd == names.as_raw_fd() as u64 {
                answer_query(&names, &mut queries)?;
            } else if let Some(listener) = listeners.iter().find(|listener| listener.as_raw_fd() as u64 == fd) {
                while let Ok((client, _)) = listener.accept() {
                    client.set_nonblocking(true)?;
                    client.set_nodelay(true)?;
                    let place = client.as_raw_fd() as usize;
                    watch(&client, place as u64)?;
                    clients.resize_with(clients.len().max(place + 1), || None);
                    clients[place] = Some(client);
                }
            } else if let Some(place) = clients.get_mut(fd as usize)
                && !place.as_ref().is_some_and(answer_vote)
            {
                *place = None;
            }
        }
    }
    Ok(())
}

/// All addresses on one port, TCP for votes and UDP on the first one for DNS.
fn bind() -> Outcome<(Vec<TcpListener>, UdpSocket)> {
    for _ in 0..100 {
        let names = UdpSocket::bind((ADDRESSES[0], 0))?;
        let port = names.local_addr()?.port();
        let listeners: Result<Vec<_>, _> = ADDRESSES.iter().map(|address| TcpListener::bind((*address, port))).collect();
        if let Ok(listeners) = listeners {
            names.set_nonblocking(true)?;
            for listener in &listeners {
                listener.set_nonblocking(true)?;
                // std listens with a backlog of 128; connections come faster than one thread accepts them.
                rustix::net::listen(listener, 4_096)?;
            }
            return Ok((listeners, names));
        }
    }
    Err("found no port that is free on all addresses".into())
}

/// Answers a vote, which always comes in one piece over loopback. Whether the connection lasts.
fn answer_vote(mut client: &TcpStream) -> bool {
    let mut request = [0; 2_048];
    match client.read(&mut request) {
        Ok(0) => false,
        Ok(_) => client.write_all(ANSWER).is_ok(),
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

/// Answers each query with the next address and a TTL of a minute (RFC 1035, section 4.1).
fn answer_query(names: &UdpSocket, queries: &mut usize) -> io::Result<()> {
    let mut packet = [0; 512];
    while let Ok((length, peer)) = names.recv_from(&mut packet) {
        let Some(name) = packet[..length].get(12..).and_then(|rest| rest.iter().position(|byte| *byte == 0)) else { continue };
        let mut reply = packet[..12 + name + 5].to_vec();
        (reply[2], reply[3]) = (0x84, 0);
        reply[4..12].copy_from_slice(&[0, 1, 0, 1, 0, 0, 0, 0]);
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        reply.extend(ADDRESSES[*queries % ADDRESSES.len()].octets());
        *queries += 1;
        names.send_to(&reply, peer)?;
    }
    Ok(())
}

/// Where the DNS queries go.
pub(crate) fn names(port: u16) -> SocketAddr {
    (ADDRESSES[0], port).into()
}
