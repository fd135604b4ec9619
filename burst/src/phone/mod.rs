//! What a viewer's phone makes of DNS: whose cache it uses and for how long, which address it tries first, what it does
//! when that one does not answer, and when it asks again.
//!
//! A phone resolves only when it opens a connection; a kept-alive connection never notices that an answer has changed
//! (OkHttp's `RealRoutePlanner`, URLSession and java.net.http behave alike). The presets are data: each value names where
//! it was read. What could be checked by machine here is checked against real clients in this repository's tests
//! (glibc, curl, a JVM); Android, iOS and Chromium are *from source or documentation* alone.

mod memory;
mod preset;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use memory::{PhoneMemory, Recalled};

use crate::draw::below;

/// A kind of phone by its word in scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PhoneKind {
    /// Android with OkHttp 5: the device's cache, happy eyeballs.
    AndroidOkhttp,
    /// Android with OkHttp 4: one address after the other.
    AndroidOkhttp4,
    /// iOS with URLSession: longer TTLs than the answer's, happy eyeballs, an address that worked first.
    IosUrlsession,
    /// A Java process that plays many viewers, as JMeter and Gatling do: one cache of 30 s, the first address only.
    JvmDefault,
    /// A Linux program over glibc without a caching daemon: asks for every connection.
    GlibcNoCache,
    /// Chromium and what embeds it: at least 60 s.
    BrowserChromium,
    /// No phone at all: a load tool that asks once for all its viewers and keeps the first address for ever. For showing
    /// what such a test does not show.
    NaiveLoadtool,
    /// Described by the scenario.
    Custom,
}

impl PhoneKind {
    /// Every preset.
    pub const PRESETS: [Self; 7] = [
        Self::AndroidOkhttp,
        Self::AndroidOkhttp4,
        Self::IosUrlsession,
        Self::JvmDefault,
        Self::GlibcNoCache,
        Self::BrowserChromium,
        Self::NaiveLoadtool,
    ];

    /// The word for it in scenarios and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AndroidOkhttp => "android-okhttp",
            Self::AndroidOkhttp4 => "android-okhttp4",
            Self::IosUrlsession => "ios-urlsession",
            Self::JvmDefault => "jvm-default",
            Self::GlibcNoCache => "glibc-no-cache",
            Self::BrowserChromium => "browser-chromium",
            Self::NaiveLoadtool => "naive-loadtool",
            Self::Custom => "custom",
        }
    }
}

/// Whose cache a phone uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CacheScope {
    /// The device's or app's own: each viewer has one.
    Device,
    /// That of a process which plays many viewers: all viewers of an agent that hold this kind share one.
    Process,
    /// None.
    None,
}

/// How long an answer with some TTL is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TtlRule {
    /// For the least TTL of the answer's records; 0 is not kept.
    Answer,
    /// For the answer's TTL, at least for so many seconds.
    AtLeast(u32),
    /// For so many seconds, whatever the answer says.
    Fixed(u32),
    /// With c = min(ttl, 3600): max(15, c + c/4 + 2) seconds, in whole numbers (mDNSResponder, `GetEffectiveTTL`).
    Apple,
    /// For ever.
    Forever,
}

impl TtlRule {
    /// For how many seconds an answer with this TTL is kept; `u32::MAX` is for ever.
    #[must_use]
    pub fn lifetime_s(self, ttl_s: u32) -> u32 {
        match self {
            Self::Answer => ttl_s,
            Self::AtLeast(least) => ttl_s.max(least),
            Self::Fixed(seconds) => seconds,
            Self::Apple => {
                let capped = ttl_s.min(3_600);
                (capped + capped / 4 + 2).max(15)
            }
            Self::Forever => u32::MAX,
        }
    }
}

/// Which address of an answer is tried first, and whether others are tried at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PickOrder {
    /// As the answer has them.
    AsAnswered,
    /// The first one and no other.
    FirstOnly,
    /// One that worked before comes first, the others as the answer has them.
    KnownFirst,
    /// Shuffled for each connection.
    Shuffled,
}

/// How several addresses are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Racing {
    /// One after the other, each until it fails or its time is up.
    Sequential,
    /// The next one so long after the one before, or at once when a failure leaves none under way; the first to connect wins,
    /// the others are dropped (RFC 8305, section 5). IPv6 and IPv4 take turns.
    Every(Duration),
    /// One after the other within a family; the other family begins so long after the first one, beside it.
    Families(Duration),
}

/// Which kinds of addresses are asked for, and which of them come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Families {
    /// IPv4 alone.
    Ipv4,
    /// Both, IPv6 first (RFC 6724, section 2.1: the default policy table).
    Ipv6First,
    /// Both, IPv4 first.
    Ipv4First,
}

/// A kind of phone as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhoneModel {
    /// Whose cache it uses.
    pub scope: CacheScope,
    /// How long that keeps an answer.
    pub ttl: TtlRule,
    /// A second cache, of the app's own, keeps any answer at least this long, in seconds.
    pub app_cache_s: u32,
    /// How long it keeps in mind that a lookup failed and does not ask again, in seconds.
    pub failure_s: u32,
    /// Which address it tries first.
    pub order: PickOrder,
    /// How it tries several.
    pub racing: Racing,
    /// Which families it asks for, on a network that has both.
    pub families: Families,
    /// How long it waits for IPv6 addresses once it has IPv4 ones; `None` waits for both answers (RFC 8305, section 3:
    /// Resolution Delay).
    pub resolution_delay: Option<Duration>,
    /// Whether an address that failed is tried last from then on, until it works again.
    pub postpones: bool,
}

impl PhoneModel {
    /// For how long an answer with this TTL is kept, in seconds; `u32::MAX` is for ever, 0 not at all.
    #[must_use]
    pub fn lifetime_s(&self, ttl_s: u32) -> u32 {
        if self.scope == CacheScope::None { 0 } else { self.ttl.lifetime_s(ttl_s).max(self.app_cache_s) }
    }

    /// Puts the addresses of an answer in the order in which they are tried, by families; what is known of them
    /// comes in with [`PhoneMemory::order`]. `draw` is the chance of [`PickOrder::Shuffled`].
    #[must_use]
    pub fn arrange<A: Copy>(&self, ipv6: &[A], ipv4: &[A], draw: impl Fn(usize) -> u64) -> Vec<A> {
        let mut list = Vec::with_capacity(ipv6.len() + ipv4.len());
        self.arrange_into(ipv6, ipv4, draw, &mut list);
        list
    }

    /// The same into a list that is used again and again.
    pub fn arrange_into<A: Copy>(&self, ipv6: &[A], ipv4: &[A], draw: impl Fn(usize) -> u64, list: &mut Vec<A>) {
        list.clear();
        let (first, second) = if self.families == Families::Ipv4First { (ipv4, ipv6) } else { (ipv6, ipv4) };
        if matches!(self.racing, Racing::Every(_)) && !first.is_empty() && !second.is_empty() {
            let longest = first.len().max(second.len());
            (0..longest).for_each(|turn| list.extend([first.get(turn), second.get(turn)].into_iter().flatten()));
        } else {
            list.extend(first.iter().chain(second));
        }
        match self.order {
            PickOrder::Shuffled => {
                for end in (1..list.len()).rev() {
                    list.swap(end, below(draw(end), end as u64 + 1) as usize);
                }
            }
            PickOrder::FirstOnly => list.truncate(1),
            PickOrder::AsAnswered | PickOrder::KnownFirst => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_kept_for_as_long_as_each_rule_says() {
        let apple =
            [(0, 15), (5, 15), (10, 15), (11, 15), (12, 17), (30, 39), (60, 77), (300, 377), (3_600, 4_502), (86_400, 4_502)];
        for (ttl, kept) in apple {
            assert_eq!(TtlRule::Apple.lifetime_s(ttl), kept, "{ttl}");
        }
        let keeps = |kind: PhoneKind, ttl| kind.model().unwrap().lifetime_s(ttl);
        for (kind, ttl, kept) in [
            (PhoneKind::AndroidOkhttp, 5, 5),
            (PhoneKind::AndroidOkhttp, 0, 2),
            (PhoneKind::AndroidOkhttp4, 300, 300),
            (PhoneKind::IosUrlsession, 60, 77),
            (PhoneKind::JvmDefault, 5, 30),
            (PhoneKind::JvmDefault, 300, 30),
            (PhoneKind::GlibcNoCache, 300, 0),
            (PhoneKind::BrowserChromium, 5, 60),
            (PhoneKind::BrowserChromium, 300, 300),
            (PhoneKind::NaiveLoadtool, 0, u32::MAX),
        ] {
            assert_eq!(keeps(kind, ttl), kept, "{} {ttl}", kind.name());
        }
    }

    #[test]
    fn families_take_turns_in_a_race_and_stand_together_otherwise() {
        let arrange = |kind: PhoneKind| kind.model().unwrap().arrange(&[61, 62, 63], &[41], |_| 0);
        assert_eq!(arrange(PhoneKind::AndroidOkhttp), [61, 41, 62, 63]);
        assert_eq!(arrange(PhoneKind::GlibcNoCache), [61, 62, 63, 41]);
        assert_eq!(arrange(PhoneKind::JvmDefault), [41], "IPv4 first, and the first only");
    }

    #[test]
    fn a_shuffling_phone_tries_each_address_first_equally_often() {
        use crate::draw::{Stream, draw};
        let custom = PhoneModel { order: PickOrder::Shuffled, ..PhoneKind::GlibcNoCache.model().unwrap() };
        let mut firsts = [0; 8];
        let addresses: Vec<usize> = (0..8).collect();
        for number in 0..8_000_u64 {
            firsts[custom.arrange(&[], &addresses, |end| draw(3, Stream::PhoneOrder, number << 8 | end as u64))[0]] += 1;
        }
        assert!(firsts.iter().all(|count| (850..1_150).contains(count)), "seed 3: {firsts:?}");
    }

    #[test]
    fn every_preset_has_a_model_and_custom_has_none() {
        assert!(PhoneKind::PRESETS.iter().all(|kind| kind.model().is_some()));
        assert!(PhoneKind::Custom.model().is_none());
    }
}
