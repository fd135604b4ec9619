//! What phones made of DNS, by carrier and by kind of phone: counters that merge without loss, like all of a tally.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use super::Latency;

/// Why a lookup failed. The number of a variant travels over the wire: append, never reorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum LookupFailure {
    /// Nobody answered in time, or nobody was there.
    NoAnswer,
    /// There is no such name (NXDOMAIN).
    NoSuchName,
    /// The name exists, without an address that was asked for.
    NoAddress,
    /// An error code, such as SERVFAIL or REFUSED.
    ErrorCode,
    /// An answer that makes no sense, or aliases that never end.
    Malformed,
    /// This machine had no descriptor or port left.
    LocalLimit,
    /// The phone kept in mind that it failed a moment ago, and did not ask.
    Remembered,
}

impl LookupFailure {
    /// How many there are.
    pub const COUNT: usize = 7;
    /// Every one, in order of number.
    pub const ALL: [Self; Self::COUNT] =
        [Self::NoAnswer, Self::NoSuchName, Self::NoAddress, Self::ErrorCode, Self::Malformed, Self::LocalLimit, Self::Remembered];

    /// The word for it in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoAnswer => "no-answer",
            Self::NoSuchName => "no-such-name",
            Self::NoAddress => "no-address",
            Self::ErrorCode => "error-code",
            Self::Malformed => "malformed",
            Self::LocalLimit => "local-limit",
            Self::Remembered => "remembered",
        }
    }
}

impl fmt::Display for LookupFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What the phones of one kind, or behind one carrier, did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Lookups that went over the wire.
    pub asked: u64,
    /// Lookups that the phone's own memory answered.
    pub remembered: u64,
    /// Lookups that failed, remembered failures too.
    pub failed: u64,
    /// How often each address came first in an answer over the wire.
    pub answers: BTreeMap<IpAddr, u64>,
    /// Connections opened to each address.
    pub led_to: BTreeMap<IpAddr, u64>,
}

impl Group {
    /// Sums saturate: counts of a hostile agent, of which the wire allows any, must not wrap the fleet's around.
    fn merge(&mut self, other: &Self) {
        for (mine, theirs) in
            [(&mut self.asked, other.asked), (&mut self.remembered, other.remembered), (&mut self.failed, other.failed)]
        {
            *mine = mine.saturating_add(theirs);
        }
        for (mine, theirs) in [(&mut self.answers, &other.answers), (&mut self.led_to, &other.led_to)] {
            for (address, count) in theirs {
                let sum = mine.entry(*address).or_default();
                *sum = sum.saturating_add(*count);
            }
        }
    }
}

/// A kind of phone, and the connections it opened at each address in each second since the doors opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PhoneGroup {
    /// What it did.
    pub group: Group,
    /// Connections opened, by address and second.
    pub opened: BTreeMap<IpAddr, Vec<u32>>,
}

/// What all phones made of DNS.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lookups {
    /// By carrier, by its position in the scenario; those that saw nothing are not here.
    pub carriers: BTreeMap<u16, Group>,
    /// By kind of phone, by its position in the scenario.
    pub phones: BTreeMap<u8, PhoneGroup>,
    /// From the first query of a lookup to its answer, repeated queries included; of answered lookups.
    pub latency: Latency,
    /// Failed lookups by [`LookupFailure`] number.
    pub failures: [u64; LookupFailure::COUNT],
}

/// Whose lookup it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The carrier, by position in the scenario.
    pub carrier: u16,
    /// The kind of phone, by position in the scenario.
    pub phone: u8,
}

impl Lookups {
    fn both(&mut self, asker: Asker, count: impl Fn(&mut Group)) {
        count(self.carriers.entry(asker.carrier).or_default());
        count(&mut self.phones.entry(asker.phone).or_default().group);
    }

    /// A lookup was answered over the wire, with this address first, after this time.
    pub fn answered(&mut self, asker: Asker, first: IpAddr, nanos: u64) {
        self.latency.record_ns(nanos);
        self.both(asker, |group| {
            group.asked += 1;
            *group.answers.entry(first).or_default() += 1;
        });
    }

    /// The phone's own memory answered.
    pub fn remembered(&mut self, asker: Asker) {
        self.both(asker, |group| group.remembered += 1);
    }

    /// A lookup failed.
    pub fn failed(&mut self, asker: Asker, failure: LookupFailure) {
        self.failures[failure as usize] += 1;
        self.both(asker, |group| {
            group.asked += u64::from(failure != LookupFailure::Remembered);
            group.failed += 1;
        });
    }

    /// A connection was opened, in this second since the doors opened.
    pub fn led_to(&mut self, asker: Asker, address: IpAddr, second: u32) {
        self.both(asker, |group| *group.led_to.entry(address).or_default() += 1);
        let seconds = self.phones.entry(asker.phone).or_default().opened.entry(address).or_default();
        let index = second.min(super::MOST_SECONDS - 1) as usize;
        if seconds.len() <= index {
            seconds.resize(index + 1, 0);
        }
        seconds[index] += 1;
    }

    /// Adds all counts of another one.
    pub fn merge(&mut self, other: &Self) {
        for (carrier, theirs) in &other.carriers {
            self.carriers.entry(*carrier).or_default().merge(theirs);
        }
        for (phone, theirs) in &other.phones {
            let mine = self.phones.entry(*phone).or_default();
            mine.group.merge(&theirs.group);
            for (address, seconds) in &theirs.opened {
                let sum = mine.opened.entry(*address).or_default();
                if sum.len() < seconds.len() {
                    sum.resize(seconds.len(), 0);
                }
                sum.iter_mut().zip(seconds).for_each(|(sum, count)| *sum = sum.saturating_add(*count));
            }
        }
        self.latency.merge(&other.latency);
        self.failures.iter_mut().zip(other.failures).for_each(|(sum, count)| *sum = sum.saturating_add(count));
    }

    /// All carriers together: each lookup is counted once.
    #[must_use]
    pub fn total(&self) -> Group {
        let mut total = Group::default();
        self.carriers.values().for_each(|group| total.merge(group));
        total
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(last: u8) -> IpAddr {
        [127, 0, 0, last].into()
    }

    fn play(events: &[(u8, u8, u8, u8)]) -> Lookups {
        let mut lookups = Lookups::default();
        for (what, carrier, phone, last) in events {
            let asker = Asker { carrier: (*carrier).into(), phone: *phone };
            match what {
                0 => lookups.answered(asker, address(*last), u64::from(*last) * 1_000_000),
                1 => lookups.remembered(asker),
                2 => lookups.failed(asker, LookupFailure::ALL[usize::from(*last) % LookupFailure::COUNT]),
                _ => lookups.led_to(asker, address(*last), (*last).into()),
            }
        }
        lookups
    }

    proptest! {
        #[test]
        fn merged_parts_equal_the_whole_in_any_order(
            events in proptest::collection::vec((0_u8..4, 0_u8..3, 0_u8..3, 0_u8..9), 0..80),
            cut in 0_usize..80,
        ) {
            let cut = cut.min(events.len());
            let (whole, first, second) = (play(&events), play(&events[..cut]), play(&events[cut..]));
            for (mut a, b) in [(first.clone(), &second), (second.clone(), &first)] {
                a.merge(b);
                prop_assert_eq!(&a, &whole);
            }
        }

        #[test]
        fn carriers_and_phones_count_the_same_lookups(
            events in proptest::collection::vec((0_u8..4, 0_u8..3, 0_u8..3, 0_u8..9), 0..80),
        ) {
            let lookups = play(&events);
            let mut by_phone = Group::default();
            lookups.phones.values().for_each(|phone| by_phone.merge(&phone.group));
            prop_assert_eq!(by_phone, lookups.total());
        }
    }

    #[test]
    fn a_remembered_failure_was_not_asked() {
        let mut lookups = Lookups::default();
        let asker = Asker { carrier: 1, phone: 0 };
        lookups.failed(asker, LookupFailure::Remembered);
        lookups.failed(asker, LookupFailure::NoAnswer);
        assert_eq!((lookups.total().asked, lookups.total().failed), (1, 2));
    }

    #[test]
    fn counts_of_which_a_hostile_agent_claims_too_many_stay_at_the_most_there_can_be() {
        let mut fleet = play(&[(0, 1, 0, 7)]);
        let mut hostile = fleet.clone();
        let group = hostile.carriers.get_mut(&1).unwrap();
        group.asked = u64::MAX;
        group.answers.insert(address(7), u64::MAX);
        hostile.failures[0] = u64::MAX;
        fleet.failures[0] = 1;
        fleet.merge(&hostile);
        let total = fleet.total();
        assert_eq!((total.asked, total.answers[&address(7)], fleet.failures[0]), (u64::MAX, u64::MAX, u64::MAX));
    }
}
