//! A real dnsmasq as a carrier: a forwarder with a cache, as it runs in millions of home routers.

use std::net::{SocketAddr, SocketAddrV4};
use std::path::Path;
use std::process::Command;

use tokio::runtime::Runtime;

use super::{Server, answers, program};

pub(crate) struct Dnsmasq {
    _server: Server,
    pub(crate) address: SocketAddrV4,
}

impl Dnsmasq {
    /// Starts it at `address` in front of `authority`. It is ready when it answers at all, for which it is asked for another
    /// name: its cache stays cold.
    pub(crate) fn start(dir: &Path, address: SocketAddrV4, authority: SocketAddr, runtime: &Runtime) -> Self {
        let (ip, port) = (address.ip(), address.port());
        // What would otherwise go wrong (dnsmasq(8)): it reads the machine's own configuration, hosts and resolvers; it listens
        // everywhere; it goes into the background; as root it becomes another user, who must exist.
        let words = [
            "--keep-in-foreground".to_owned(),
            "--conf-file=/dev/null".to_owned(),
            "--no-resolv".to_owned(),
            "--no-hosts".to_owned(),
            "--bind-interfaces".to_owned(),
            "--user=root".to_owned(),
            "--pid-file=".to_owned(),
            format!("--listen-address={ip}"),
            format!("--port={port}"),
            format!("--server={}#{}", authority.ip(), authority.port()),
        ];
        let mut server = Server::start(dir, "dnsmasq", Command::new(program("dnsmasq")).args(words));
        server.until("an answer", || answers(runtime, address.into(), "ready.probe.test"));
        Self { _server: server, address }
    }
}
