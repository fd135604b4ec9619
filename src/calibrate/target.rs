//! The null target: answers every vote at once and does nothing else, so that what a round shows is the generator.
//!
//! One thread and one epoll in a process of its own, which keeps its descriptors and its processor time apart from the agent's.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, accept_with, bind, listen, socket_with, sockopt};
use voteburst_agent::preflight::raise_file_limit;

use super::child::{Order, Report, processor_us, tell};
use super::requests::{NotHttp, Requests};

/// Its answer to every vote.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{\"counted\":true}";
/// Length of the listen backlog asked for, as the stage does; the kernel's `net.core.somaxconn` caps it (listen(2)).
const BACKLOG: i32 = 4_096;
/// How often a port is looked for that is free on every address.
const PORTS_TRIED: u32 = 50;
/// More than any vote needs; what is longer is read in parts.
const READ_BYTES: usize = 16 << 10;

/// Serves until its parent is gone. Its one order is [`Order::Open`]; every further line asks for its processor time.
pub(super) fn serve() -> io::Result<()> {
    raise_file_limit();
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    let Order::Open { addresses } = serde_json::from_str(&line)? else {
        return Err(io::Error::other("a null target was given an order for an agent"));
    };
    let (listeners, port) = open(&addresses)?;
    tell(&Report::Open { port });
    Target::new(listeners)?.run()
}

/// All addresses on one port.
fn open(addresses: &[Ipv4Addr]) -> io::Result<(Vec<OwnedFd>, u16)> {
    let mut taken = io::Error::other("no address to listen on");
    for _ in 0..PORTS_TRIED {
        let mut port = 0;
        let listener = |address: &Ipv4Addr| -> io::Result<OwnedFd> {
            let socket =
                socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?;
            bind(&socket, &SocketAddrV4::new(*address, port))?;
            listen(&socket, BACKLOG)?;
            let listener = TcpListener::from(socket);
            // The first address takes any free port, the others the same one.
            port = listener.local_addr()?.port();
            Ok(listener.into())
        };
        match addresses.iter().map(listener).collect() {
            Ok(listeners) => return Ok((listeners, port)),
            Err(error) => taken = error,
        }
    }
    Err(taken)
}

/// A viewer's connection.
struct Client {
    stream: TcpStream,
    requests: Requests,
}

struct Target {
    epoll: OwnedFd,
    listeners: Vec<OwnedFd>,
    /// By descriptor.
    clients: Vec<Option<Client>>,
}

impl Target {
    fn new(listeners: Vec<OwnedFd>) -> io::Result<Self> {
        let target = Self { epoll: epoll::create(CreateFlags::CLOEXEC)?, listeners, clients: Vec::new() };
        // The end of a pipe is reported whatever was asked for.
        target.watch(&io::stdin())?;
        target.listeners.iter().try_for_each(|listener| target.watch(listener))?;
        Ok(target)
    }

    fn watch(&self, what: &impl AsFd) -> io::Result<()> {
        let fd = what.as_fd();
        epoll::add(&self.epoll, fd, EventData::new_u64(fd.as_raw_fd() as u64), EventFlags::IN)?;
        Ok(())
    }

    fn run(mut self) -> io::Result<()> {
        let stdin = io::stdin().as_raw_fd() as u64;
        let mut events: Vec<Event> = Vec::with_capacity(1_024);
        let mut buffer = vec![0; READ_BYTES];
        // Ends with standard input, which ends with the parent, however that ends.
        loop {
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                let fd = event.data.u64();
                if fd == stdin {
                    let length = rustix::io::read(io::stdin(), &mut buffer[..])?;
                    if length == 0 {
                        return Ok(());
                    }
                    for _ in buffer[..length].iter().filter(|byte| **byte == b'\n') {
                        tell(&Report::Spent { cpu_us: processor_us() });
                    }
                } else if let Some(at) = self.listeners.iter().position(|listener| listener.as_raw_fd() as u64 == fd) {
                    self.accept(at)?;
                } else if let Some(place) = self.clients.get_mut(fd as usize)
                    && !place.as_mut().is_some_and(|client| client.answer(&mut buffer))
                {
                    *place = None;
                }
            }
        }
    }

    fn accept(&mut self, at: usize) -> io::Result<()> {
        loop {
            let accepted = match accept_with(&self.listeners[at], SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok(accepted) => accepted,
                Err(Errno::AGAIN) => return Ok(()),
                // Whoever knocked is gone again.
                Err(Errno::CONNABORTED | Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            // Ended with a reset: hundreds of thousands of connections in TIME_WAIT would be in the way of the rehearsal itself.
            sockopt::set_socket_linger(&accepted, Some(std::time::Duration::ZERO))?;
            self.watch(&accepted)?;
            let place = accepted.as_raw_fd() as usize;
            self.clients.resize_with(self.clients.len().max(place + 1), || None);
            self.clients[place] = Some(Client { stream: accepted.into(), requests: Requests::default() });
        }
    }
}

impl Client {
    /// Answers what has come; false when the connection is over.
    fn answer(&mut self, buffer: &mut [u8]) -> bool {
        let length = match self.stream.read(buffer) {
            Ok(0) => return false,
            Ok(length) => length,
            Err(error) => return matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
        };
        match self.requests.take(&buffer[..length]) {
            Ok(ended) => (0..ended).all(|_| self.stream.write_all(ANSWER).is_ok()),
            Err(NotHttp) => false,
        }
    }
}
