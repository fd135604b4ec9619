//! The presets, each value with where it was read.

use std::time::Duration;

use super::{CacheScope, Families, PhoneKind, PhoneModel, PickOrder, Racing, TtlRule};

/// Connection Attempt Delay (RFC 8305, section 8: recommended 250 ms).
pub(super) const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Resolution Delay (RFC 8305, section 8: recommended 50 ms).
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

/// *From source.* System cache: one for all apps of a network, lifetime the smallest TTL of the answer's records, 0 not
/// stored, raw packet kept, so that the order is frozen (Android DnsResolver module, res_cache.cpp). libcore keeps every
/// result, failures too, for 2 s in the process (AddressCache.java, `TTL_NANOS`). IPv6 first by RFC 6724, IPv4 alone in the
/// order of DNS, for rule 9 is applied to IPv6 only (DnsResolver, getaddrinfo.cpp). OkHttp 5: a new attempt every 250 ms,
/// at once on failure (FastFallbackExchangeFinder), families interleaved (InetAddressOrder.kt), failed routes last
/// (RouteDatabase). The 10 s of its connect timeout are the scenario's `target.connect_timeout`.
const ANDROID_OKHTTP: PhoneModel = PhoneModel {
    scope: CacheScope::Device,
    ttl: TtlRule::Answer,
    app_cache_s: 2,
    failure_s: 2,
    order: PickOrder::AsAnswered,
    racing: Racing::Every(ATTEMPT_DELAY),
    families: Families::Ipv6First,
    resolution_delay: None,
    postpones: true,
};

/// *From source.* Like OkHttp 5, but with `fastFallback` off: the next address after a refusal or the connect timeout.
const ANDROID_OKHTTP4: PhoneModel = PhoneModel { racing: Racing::Sequential, ..ANDROID_OKHTTP };

/// *TTL from source, the rest from documentation.* TTL: capped at 3600 s, plus a quarter and 2 s, at least 15 s, one cache
/// for the device (mDNSResponder, DNSCommon.c `GetEffectiveTTL`, DNSCommon.h). URLSession is closed source: happy eyeballs
/// as RFC 8305 with historical RTT first (D. Schinazi, v6ops list, 2015-07-09); later attempts were seen at 145 to 150 ms in
/// the field (Apple developer forums, thread 105227); here the standard's 250 ms stand. An address that worked stands for
/// the historical RTT: voteburst does not model distances.
const IOS_URLSESSION: PhoneModel = PhoneModel {
    scope: CacheScope::Device,
    ttl: TtlRule::Apple,
    app_cache_s: 0,
    failure_s: 0,
    order: PickOrder::KnownFirst,
    racing: Racing::Every(ATTEMPT_DELAY),
    families: Families::Ipv6First,
    resolution_delay: Some(RESOLUTION_DELAY),
    postpones: false,
};

/// *Checked against a JVM by this repository's tests where one is installed.* `networkaddress.cache.ttl` 30 s whatever the
/// TTL, failures 10 s (`networkaddress.cache.negative.ttl` of the shipped java.security), one cache for the process
/// (InetAddressCachePolicy). `preferIPv6Addresses=false` puts IPv4 first. `new InetSocketAddress(host, port)`, as java.net.http uses it,
/// takes the first address only: refused is an error.
const JVM_DEFAULT: PhoneModel = PhoneModel {
    scope: CacheScope::Process,
    ttl: TtlRule::Fixed(30),
    app_cache_s: 0,
    failure_s: 10,
    order: PickOrder::FirstOnly,
    racing: Racing::Sequential,
    families: Families::Ipv4First,
    resolution_delay: None,
    postpones: false,
};

/// *Checked against getaddrinfo by this repository's tests.* No cache, one lookup per call; IPv4 keeps the order of DNS
/// unless source and destination share a subnet and the host has IPv6 beyond ::1 (nss/getaddrinfo.c, rules 9 and 10;
/// check_pf.c, `seen_ipv6`). The caller tries one address after the
/// other, as getaddrinfo(3) shows.
const GLIBC_NO_CACHE: PhoneModel = PhoneModel {
    scope: CacheScope::None,
    ttl: TtlRule::Answer,
    app_cache_s: 0,
    failure_s: 0,
    order: PickOrder::AsAnswered,
    racing: Racing::Sequential,
    families: Families::Ipv6First,
    resolution_delay: None,
    postpones: false,
};

/// *From source.* The built-in client keeps answers at least 60 s (`kMinimumTTLSeconds`, host_resolver_manager_job.cc;
/// answers of the system's resolver exactly 60 s), failures not at all; IPv4 alone stays in the order of DNS
/// (address_sorter.h); IPv4 is tried beside IPv6 after 300 ms; a refusal leads to the next address.
const BROWSER_CHROMIUM: PhoneModel = PhoneModel {
    scope: CacheScope::Device,
    ttl: TtlRule::AtLeast(60),
    app_cache_s: 0,
    failure_s: 0,
    order: PickOrder::AsAnswered,
    racing: Racing::Families(Duration::from_millis(300)),
    families: Families::Ipv6First,
    resolution_delay: None,
    postpones: false,
};

/// *From source.* Asks once per process, takes the first address and keeps it for ever (wrk: `wrk.addrs[1]`, resolved at
/// start; Vegeta without `-dns-ttl`).
const NAIVE_LOADTOOL: PhoneModel = PhoneModel {
    scope: CacheScope::Process,
    ttl: TtlRule::Forever,
    app_cache_s: 0,
    failure_s: 0,
    order: PickOrder::FirstOnly,
    racing: Racing::Sequential,
    families: Families::Ipv4,
    resolution_delay: None,
    postpones: false,
};

impl PhoneKind {
    /// What a preset does; `None` for [`PhoneKind::Custom`], which a scenario describes.
    #[must_use]
    pub fn model(self) -> Option<PhoneModel> {
        Some(match self {
            Self::AndroidOkhttp => ANDROID_OKHTTP,
            Self::AndroidOkhttp4 => ANDROID_OKHTTP4,
            Self::IosUrlsession => IOS_URLSESSION,
            Self::JvmDefault => JVM_DEFAULT,
            Self::GlibcNoCache => GLIBC_NO_CACHE,
            Self::BrowserChromium => BROWSER_CHROMIUM,
            Self::NaiveLoadtool => NAIVE_LOADTOOL,
            Self::Custom => return None,
        })
    }
}
