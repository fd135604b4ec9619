//! One HAProxy that speaks TLS in front of two web servers, and a name for it.

use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use voteburst_burst::zone::{Member, Zone, ZonePolicy};
use voteburst_dns::authority::Authority;

use super::Block;
use super::haproxy::{Haproxy, Limits};
use super::nginx::{Nginx, Service};

/// The name that is voted at.
const NAME: &str = "vote.small.test";

/// The servers, up. Fields are dropped in this order: whoever asks goes before who is asked.
pub(crate) struct Secure {
    proxy: Haproxy,
    web: Nginx,
    authority: Authority,
    runtime: Runtime,
    dir: TempDir,
    _block: Block,
}

impl Secure {
    pub(crate) fn start(limits: Limits, service: Service) -> Self {
        let block = Block::claim();
        let dir = tempfile::tempdir().unwrap();
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec![NAME.into()]).unwrap();
        std::fs::write(dir.path().join("ca.pem"), cert.pem()).unwrap();
        std::fs::write(dir.path().join("site.pem"), cert.pem() + &signing_key.serialize_pem()).unwrap();
        let [front, web @ ..] = block.on_one_port([11, 21, 22]);
        let nginx = Nginx::start(dir.path(), &web, service);
        let proxy = Haproxy::start_tls(dir.path(), front, "site.pem", &web, limits);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let member = Member::new("proxy".into(), IpAddr::from(*front.ip()));
        let zone = Zone::new(ZonePolicy::Multivalue, vec![member], 60, Duration::from_secs(3_600), 0).unwrap();
        let nameserver = SocketAddr::from((block.address(53), 0));
        let authority = runtime.block_on(Authority::start(nameserver, NAME, zone)).unwrap();
        Self { proxy, web: nginx, authority, runtime, dir, _block: block }
    }

    /// Where the proxy's name is served.
    pub(crate) fn authority(&self) -> SocketAddr {
        self.authority.address()
    }

    /// The certificate to trust.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Ends everything and returns the ballots that the web servers counted.
    pub(crate) fn end(self) -> Vec<String> {
        let Self { proxy, web, authority, runtime, dir, _block } = self;
        drop(proxy);
        let ballots = web.end();
        runtime.block_on(authority.shutdown());
        drop(dir);
        ballots
    }
}

impl Deref for Secure {
    type Target = Haproxy;

    fn deref(&self) -> &Haproxy {
        &self.proxy
    }
}
