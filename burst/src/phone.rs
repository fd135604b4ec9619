//! What a viewer's phone makes of DNS: whose cache it uses, for how long, and when it asks again.
//!
//! A viewer resolves only when it opens a connection; a kept-alive connection never notices that an answer has changed
//! (OkHttp's `RealRoutePlanner`, URLSession and java.net.http behave alike).

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A kind of phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PhoneKind {
    /// Keeps an answer for its TTL in a cache of the device, as Android's resolver module does (res_cache.cpp: lifetime is
    /// the smallest TTL of the answer, 0 is not kept).
    Caching,
    /// Asks for every new connection, as glibc's `getaddrinfo` does without a caching daemon.
    PerConnection,
    /// No phone at all: a load tool that asks once per process, takes the first address and keeps it for ever
    /// (wrk: `wrk.addrs[1]`, resolved at start; Vegeta without `-dns-ttl`). For showing what such a test does not show.
    NaiveLoadtool,
}

/// Whose cache a phone uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheScope {
    /// Its own.
    Device,
    /// One shared by all viewers of a process.
    Process,
    /// None.
    None,
}

/// How long it keeps an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TtlRule {
    /// For the answer's TTL.
    Answer,
    /// For ever.
    Forever,
}

/// A kind of phone as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhoneModel {
    /// Whose cache it uses.
    pub scope: CacheScope,
    /// How long it keeps an answer.
    pub ttl: TtlRule,
}

impl PhoneKind {
    /// Its behaviour.
    #[must_use]
    pub fn model(self) -> PhoneModel {
        match self {
            Self::Caching => PhoneModel { scope: CacheScope::Device, ttl: TtlRule::Answer },
            Self::PerConnection => PhoneModel { scope: CacheScope::None, ttl: TtlRule::Answer },
            Self::NaiveLoadtool => PhoneModel { scope: CacheScope::Process, ttl: TtlRule::Forever },
        }
    }
}

/// One remembered resolution in 8 bytes, for hundreds of thousands of viewers hold one each.
///
/// Times are whole seconds since the process began, rounded so that an answer is never kept longer than its TTL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhoneMemory {
    address: u32,
    /// 0: nothing is remembered.
    expires_s: u32,
}

impl PhoneMemory {
    /// The address that is still remembered at `now`.
    #[must_use]
    pub fn recall(&self, now: Duration) -> Option<IpAddr> {
        (now.as_secs() < u64::from(self.expires_s)).then(|| Ipv4Addr::from(self.address).into())
    }

    /// Remembers the first address of an answer as the model says. IPv6 addresses are not remembered: zones answer IPv4 for now.
    pub fn remember(&mut self, model: PhoneModel, first: IpAddr, ttl_s: u32, now: Duration) {
        let IpAddr::V4(address) = first else { return };
        let expires_s = match model.ttl {
            TtlRule::Forever => u32::MAX,
            TtlRule::Answer => u32::try_from(now.as_secs()).unwrap_or(u32::MAX).saturating_add(ttl_s),
        };
        *self = Self { address: address.into(), expires_s };
    }

    /// Forgets, as a phone does when the address it kept does not answer.
    pub fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_caching_phone_keeps_an_answer_for_its_ttl_and_never_longer() {
        let mut memory = PhoneMemory::default();
        assert_eq!(memory.recall(seconds(0.0)), None);
        memory.remember(PhoneKind::Caching.model(), ADDRESS, 5, seconds(10.2));
        assert_eq!(memory.recall(seconds(14.9)), Some(ADDRESS));
        assert_eq!(memory.recall(seconds(15.2)), None);
    }

    #[test]
    fn a_ttl_of_zero_is_not_kept() {
        let mut memory = PhoneMemory::default();
        memory.remember(PhoneKind::Caching.model(), ADDRESS, 0, seconds(10.0));
        assert_eq!(memory.recall(seconds(10.0)), None);
    }

    #[test]
    fn a_naive_load_tool_keeps_its_answer_for_ever() {
        let mut memory = PhoneMemory::default();
        memory.remember(PhoneKind::NaiveLoadtool.model(), ADDRESS, 5, seconds(1.0));
        assert_eq!(memory.recall(seconds(1e9)), Some(ADDRESS));
        memory.forget();
        assert_eq!(memory.recall(seconds(1.0)), None);
    }

    #[test]
    fn a_memory_is_small_enough_to_be_held_by_every_viewer() {
        assert_eq!(size_of::<PhoneMemory>(), 8);
    }
}
