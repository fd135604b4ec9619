//! A real unbound as a carrier: a recursive resolver with a cache, in front of one authority on loopback.

use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tokio::runtime::Runtime;
use voteburst_dns::stub::{Kind, Query, Question, ask};

use super::{Server, program};

pub(crate) struct Unbound {
    _server: Server,
    pub(crate) address: SocketAddrV4,
}

impl Unbound {
    /// The same with a cold cache: it is asked for another name to see whether it is ready.
    pub(crate) fn cold(dir: &Path, address: SocketAddrV4, name: &str, authority: SocketAddr, runtime: &Runtime) -> Self {
        let mut server = Self::launch(dir, address, name, authority);
        server.until("an answer", || super::answers(runtime, address.into(), "ready.probe.test"));
        Self { _server: server, address }
    }

    fn launch(dir: &Path, address: SocketAddrV4, name: &str, authority: SocketAddr) -> Server {
        std::fs::write(dir.join("unbound.conf"), configuration(dir, address, name, authority)).unwrap();
        // Debian's AppArmor profile holds for the program at its own path, and would keep it out of our directory.
        let copy = dir.join("unbound");
        // By another process: a file that this one has open for writing is inherited by whatever another test starts at that
        // moment, and a program that anybody has open for writing cannot be started (execve(2), ETXTBSY).
        let copied = Command::new("cp").arg(program("unbound")).arg(&copy).status().unwrap();
        assert!(copied.success(), "cp: {copied}");
        Server::start(dir, "unbound", Command::new(&copy).args(["-d", "-p", "-c", "unbound.conf"]))
    }

    /// Starts it at `address` in front of `authority`, which must be up: an unbound that once met silence backs off.
    /// It is ready when it answers `name` with one of the addresses in `expected`.
    pub(crate) fn start(
        dir: &Path,
        address: SocketAddrV4,
        name: &str,
        authority: SocketAddr,
        expected: &[IpAddr],
        runtime: &Runtime,
    ) -> Self {
        let mut server = Self::launch(dir, address, name, authority);
        let question = Question::new(name, Kind::A).unwrap();
        let query = Query { id: 1, each: Duration::from_millis(500), attempts: 1, recursion_desired: true, client_subnet: None };
        server.until("an address of ours", || {
            let reply = runtime.block_on(ask(address.into(), &question, &query)).ok()?;
            reply.addresses.iter().all(|found| expected.contains(found)).then_some(())
        });
        Self { _server: server, address }
    }
}

fn configuration(dir: &Path, address: SocketAddrV4, name: &str, authority: SocketAddr) -> String {
    let (ip, port, dir) = (address.ip(), address.port(), dir.display());
    // What would otherwise go wrong (unbound.conf(5)): it asks no server on localhost; it answers names below `test.`
    // itself with NXDOMAIN (RFC 6761); it validates, for which it needs a root key; it changes its user and root, for which it
    // needs to be root; and its queries leave from 0.0.0.0.
    format!(
        "server:
  interface: {ip}@{port}
  outgoing-interface: 127.0.0.1
  access-control: 127.0.0.0/8 allow
  do-daemonize: no
  username: \"\"
  chroot: \"\"
  directory: \"{dir}\"
  pidfile: \"\"
  use-syslog: no
  num-threads: 1
  do-ip6: no
  do-not-query-localhost: no
  module-config: \"iterator\"
  qname-minimisation: no
  local-zone: \"test.\" nodefault
  rrset-roundrobin: yes
  outgoing-range: 64
  num-queries-per-thread: 512
stub-zone:
  name: \"{name}\"
  stub-addr: {}@{}
  stub-prime: no
remote-control:
  control-enable: no
",
        authority.ip(),
        authority.port()
    )
}
