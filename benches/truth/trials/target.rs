//! The target of a run: the server in a process of its own, and the name that leads to it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use tokio::runtime::Runtime;
use voteburst_burst::zone::{Member, Zone, ZonePolicy};
use voteburst_dns::authority::Authority;

use super::server::{Orders, Served};
use super::{Outcome, now_ns};

/// The name that is voted at.
pub(crate) const NAME: &str = "vote.truth.test";

/// The server and its name, up.
pub(crate) struct Target {
    server: Child,
    said: BufReader<ChildStdout>,
    pub(crate) port: u16,
    authority: Authority,
    runtime: Runtime,
}

impl Target {
    pub(crate) fn start(orders: &Orders) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        orders.give(&mut command);
        let mut server = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut said = BufReader::new(server.stdout.take().ok_or("no output of the server")?);
        let port = line(&mut said, "port=")?.parse()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let addresses: Vec<Ipv4Addr> = orders.places.iter().map(|(address, _)| *address).collect();
        let members = addresses.iter().map(|address| Member::new(address.to_string(), (*address).into())).collect();
        // An answer for each viewer by itself: no cache keeps it, and its order is drawn.
        let zone = Zone::new(ZonePolicy::Simple, members, 0, Duration::from_secs(5), 7)?;
        let authority = runtime.block_on(Authority::start("127.0.0.1:0".parse()?, NAME, zone))?;
        Ok(Self { server, said, port, authority, runtime })
    }

    /// Where its name is asked for.
    pub(crate) fn names(&self) -> SocketAddr {
        self.authority.address()
    }

    /// Waits until it has read as many requests as it was told to tell after.
    pub(crate) fn reached(&mut self) -> Outcome<()> {
        line(&mut self.said, "reached").map(|_| ())
    }

    /// Stops the server process for so long and returns how long it truly stood still, in nanoseconds: from the moment the
    /// kernel says that it has stopped to the moment it is told to go on.
    pub(crate) fn stop_for(&self, time: Duration) -> Outcome<i64> {
        stop_for(Pid::from_child(&self.server), time, true)
    }

    /// Ends it and returns what it wrote down, in the order of reading.
    pub(crate) fn end(mut self) -> Outcome<Vec<Served>> {
        // The server ends when its standard input does.
        drop(self.server.stdin.take());
        let mut served = Vec::new();
        for line in self.said.by_ref().lines() {
            let line = line?;
            if line != "reached" {
                served.push(Served::read(&line)?);
            }
        }
        let status = self.server.wait()?;
        if !status.success() {
            return Err(format!("the server ended with {status}").into());
        }
        let Self { authority, runtime, .. } = self;
        runtime.block_on(authority.shutdown());
        Ok(served)
    }
}

/// Stops a process for so long and returns how long it truly stood still, in nanoseconds. Only of a child it is known when it stopped;
/// of others the moment of the signal counts.
pub(crate) fn stop_for(process: Pid, time: Duration, is_child: bool) -> Outcome<i64> {
    kill_process(process, Signal::STOP)?;
    if is_child {
        waitpid(Some(process), WaitOptions::UNTRACED)?;
    }
    let stopped_ns = now_ns();
    sleep(time);
    let goes_on_ns = now_ns();
    kill_process(process, Signal::CONT)?;
    Ok(goes_on_ns - stopped_ns)
}

/// The rest of the next line that begins so.
fn line(from: &mut BufReader<ChildStdout>, beginning: &str) -> Outcome<String> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    let rest = line.trim_end().strip_prefix(beginning).ok_or_else(|| format!("`{line}` in place of `{beginning}`"))?;
    Ok(rest.to_owned())
}
