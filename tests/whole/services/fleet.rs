//! All of them together: four proxies in front of two web servers, named by our authority through a real resolver.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::ops::Deref;
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::Runtime;
use voteburst_burst::zone::{Family, Member, Moment, Zone, ZonePolicy};
use voteburst_dns::authority::Authority;

use super::Block;
use super::haproxy::{Haproxy, Limits};
use super::nginx::{Nginx, Service};
use super::unbound::Unbound;

/// The name that is voted at.
const NAME: &str = "vote.small.test";
/// So short that a resolver asks again every second or two.
const TTL_S: u32 = 1;
/// Queries of which any three in a row name three addresses first: as many as an unbound asks in as many seconds.
const QUERIES: u64 = 14;

/// What a test wants of the servers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) policy: ZonePolicy,
    pub(crate) limits: Limits,
    pub(crate) service: Service,
}

/// The servers, up. Fields are dropped in this order: whoever asks goes before who is asked.
pub(crate) struct Fleet {
    carrier: Unbound,
    proxies: Vec<Haproxy>,
    web: Nginx,
    authority: Authority,
    runtime: Runtime,
    dir: TempDir,
    _block: Block,
}

impl Fleet {
    pub(crate) fn start(setting: Setting) -> Self {
        let block = Block::claim();
        let dir = tempfile::tempdir().unwrap();
        let (web, fronts) = (block.on_one_port([21, 22]), block.on_one_port([11, 12, 13, 14]));
        let nginx = Nginx::start(dir.path(), &web, setting.service);
        let start = |(number, front)| Haproxy::start(dir.path(), number, front, &web, setting.limits);
        let proxies: Vec<_> = fronts.into_iter().enumerate().map(start).collect();

        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let ips = fronts.map(|front| *front.ip());
        let nameserver = SocketAddr::from((block.address(53), 0));
        let authority = runtime.block_on(Authority::start(nameserver, NAME, zone(setting.policy, &ips))).unwrap();
        let [resolver] = block.on_one_port([54]);
        let expected = ips.map(IpAddr::V4);
        let carrier = Unbound::start(dir.path(), resolver, NAME, authority.address(), &expected, &runtime);
        Self { carrier, proxies, web: nginx, authority, runtime, dir, _block: block }
    }

    pub(crate) fn proxies(&self) -> &[Haproxy] {
        &self.proxies
    }

    /// Where the proxies' name is served first-hand.
    pub(crate) fn authority(&self) -> SocketAddr {
        self.authority.address()
    }

    /// The resolver that viewers ask.
    pub(crate) fn resolver(&self) -> SocketAddrV4 {
        self.carrier.address
    }

    /// The port of every proxy.
    pub(crate) fn port(&self) -> u16 {
        self.proxies[0].address().port()
    }

    /// How often the resolver asked for the name.
    pub(crate) fn queries(&self) -> u64 {
        self.authority.queries()
    }

    /// Ends everything and returns the ballots that the web servers counted.
    pub(crate) fn end(self) -> Vec<String> {
        let Self { carrier, proxies, web, authority, runtime, dir, _block } = self;
        drop((carrier, proxies));
        let ballots = web.end();
        runtime.block_on(authority.shutdown());
        drop(dir);
        ballots
    }
}

/// One proxy in front of two web servers, without a name.
pub(crate) struct Alone {
    proxy: Haproxy,
    _web: Nginx,
    _dir: TempDir,
    _block: Block,
}

impl Alone {
    pub(crate) fn start(limits: Limits, service: Service) -> Self {
        let block = Block::claim();
        let dir = tempfile::tempdir().unwrap();
        let [front, web @ ..] = block.on_one_port([11, 21, 22]);
        let nginx = Nginx::start(dir.path(), &web, service);
        let proxy = Haproxy::start(dir.path(), 0, front, &web, limits);
        Self { proxy, _web: nginx, _dir: dir, _block: block }
    }
}

impl Deref for Alone {
    type Target = Haproxy;

    fn deref(&self) -> &Haproxy {
        &self.proxy
    }
}

/// A zone whose answers to queries in a row differ, so that a resolver that asks again moves its clients on.
fn zone(policy: ZonePolicy, addresses: &[Ipv4Addr]) -> Zone {
    let member = |address: &Ipv4Addr| Member::new(address.to_string(), (*address).into());
    let zones = (0..).map(|seed| {
        let members = addresses.iter().map(member).collect();
        Zone::new(policy, members, TTL_S, Duration::from_secs(3_600), seed).unwrap()
    });
    let first = |zone: &Zone, query| zone.answer(Family::V4, query, Moment::default()).members[0];
    let moves = |zone: &Zone| {
        (2..QUERIES).all(|query| {
            let [before, last, now] = [query - 2, query - 1, query].map(|query| first(zone, query));
            before != last && last != now && now != before
        })
    };
    zones.take(1_000_000).find(moves).expect("a seed under which addresses alternate")
}
