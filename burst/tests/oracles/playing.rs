//! What the tests play: viewers with one connection each behind zipf carriers, before a zone of equal proxies.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use voteburst_burst::forecast::{Forecast, Setting, forecast};
use voteburst_burst::plan::Plan;
use voteburst_burst::scenario::Scenario;
use voteburst_burst::zone::{Member, Zone, ZonePolicy};

pub(crate) const SEED: u32 = 20_240_607;

/// A burst: what a test does not name stays as [`BURST`] has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Burst {
    pub(crate) viewers: u32,
    pub(crate) over: &'static str,
    pub(crate) phone: &'static str,
    pub(crate) carriers: u32,
    pub(crate) order: &'static str,
    pub(crate) phase: &'static str,
    pub(crate) policy: ZonePolicy,
    pub(crate) proxies: u8,
    pub(crate) ttl_s: u32,
    pub(crate) agents: u32,
    pub(crate) trials: u32,
}

/// One cold cache, a phone without memory, fifteen proxies, a minute.
pub(crate) const BURST: Burst = Burst {
    viewers: 12_000,
    over: "60s",
    phone: "glibc-no-cache",
    carriers: 1,
    order: "rotate",
    phase: "cold",
    policy: ZonePolicy::SingleAWeighted,
    proxies: 15,
    ttl_s: 60,
    agents: 1,
    trials: 20,
};

impl Burst {
    pub(crate) fn plan(&self) -> Plan {
        let Self { viewers, over, phone, carriers, order, phase, .. } = self;
        let text = format!(
            r#"name = "oracle"
seed = {SEED}
[audience]
viewers = {viewers}
doors_open = "{over}"
phones = [{{ kind = "{phone}", share = 1.0 }}]
[carriers]
count = {carriers}
order = "{order}"
phase = "{phase}"
[dns]
authoritative = ["192.0.2.53:53"]
[target]
url = "http://vote.oracle.test/vote"
body = "{{ballot}}"
[[questions]]
id = "nobody-votes"
window = "1s"
turnout = 0.0
arrivals = {{ shape = "uniform" }}
choices = {{ yes = 1.0 }}
"#
        );
        let no_files = |_: &str| Err(io::ErrorKind::NotFound.into());
        Plan::new(Scenario::parse(&text, "oracle.toml", &no_files).unwrap_or_else(|error| panic!("{error}\n{text}")))
    }

    pub(crate) fn zone(&self) -> Zone {
        let member = |n: u8| Member::new(format!("proxy-{n}"), Ipv4Addr::new(10, 0, 0, n).into());
        let members = (1..=self.proxies).map(member).collect();
        Zone::new(self.policy, members, self.ttl_s, Duration::from_secs(5), 0).expect("equal members, a TTL and a window")
    }

    pub(crate) fn play(&self) -> Forecast {
        forecast(&Setting { plan: &self.plan(), zone: &self.zone(), agents: self.agents, trials: Some(self.trials) })
    }
}
