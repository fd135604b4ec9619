//! What a phone keeps in mind: the last answer, that a lookup failed, which address worked and which did not.

use std::time::Duration;

use super::{PhoneModel, PickOrder};

/// For ever, as an end in milliseconds.
const NEVER_MS: u32 = u32::MAX;

/// One phone's memory of one name. `A` stands for an address; hundreds of thousands of viewers hold one each, so callers
/// choose a small one.
///
/// Times count from whatever instant the caller counts `now` from, in whole milliseconds; an answer is never kept longer than
/// it may be. After 49 days nothing more is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhoneMemory<A> {
    addresses: Box<[A]>,
    /// Exclusive; 0 when nothing is remembered.
    expires_ms: u32,
    known: Option<A>,
    postponed: Box<[A]>,
}

/// What a phone finds in its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recalled<'a, A> {
    /// An answer that is still valid, in the order it was arranged in; see [`PhoneMemory::order`].
    Answer(&'a [A]),
    /// The last lookup failed so recently that the phone does not ask again.
    Failure,
    /// Nothing: it has to ask.
    Nothing,
}

impl<A> Default for PhoneMemory<A> {
    fn default() -> Self {
        Self { addresses: Box::default(), expires_ms: 0, known: None, postponed: Box::default() }
    }
}

impl<A: Copy + Eq> PhoneMemory<A> {
    /// What is in mind at `now`.
    #[must_use]
    pub fn recall(&self, now: Duration) -> Recalled<'_, A> {
        if millis(now) >= u128::from(self.expires_ms) && self.expires_ms != NEVER_MS {
            return Recalled::Nothing;
        }
        if self.addresses.is_empty() { Recalled::Failure } else { Recalled::Answer(&self.addresses) }
    }

    /// Remembers an answer, arranged by [`PhoneModel::arrange`], that came at `now`, as the model says. No addresses are
    /// remembered as a failure.
    pub fn remember(&mut self, model: &PhoneModel, addresses: &[A], ttl_s: u32, now: Duration) {
        if addresses.is_empty() {
            return self.remember_failure(model, now);
        }
        self.keep(addresses, model.lifetime_s(ttl_s), now);
    }

    /// Remembers that a lookup failed at `now`.
    pub fn remember_failure(&mut self, model: &PhoneModel, now: Duration) {
        self.keep(&[], model.failure_s, now);
    }

    fn keep(&mut self, addresses: &[A], seconds: u32, now: Duration) {
        if seconds == 0 {
            (self.addresses, self.expires_ms) = (Box::default(), 0);
            return;
        }
        let end = millis(now) + u128::from(seconds) * 1_000;
        self.expires_ms = if seconds == u32::MAX { NEVER_MS } else { u32::try_from(end).unwrap_or(NEVER_MS - 1) };
        if self.addresses.len() == addresses.len() {
            self.addresses.copy_from_slice(addresses);
        } else {
            self.addresses = addresses.into();
        }
    }

    /// The order in which this phone tries `addresses`: one that worked comes first where the model says so, those that
    /// failed come last.
    #[must_use]
    pub fn order(&self, model: &PhoneModel, addresses: &[A]) -> Vec<A> {
        let mut list = addresses.to_vec();
        // Stable: within each group the answer's order stays.
        list.sort_by_key(|address| self.group(model, *address));
        list
    }

    /// The address that this phone tries first: the first of [`PhoneMemory::order`], without the others.
    #[must_use]
    pub fn first(&self, model: &PhoneModel, addresses: &[A]) -> Option<A> {
        if self.postponed.is_empty() && model.order != PickOrder::KnownFirst {
            return addresses.first().copied();
        }
        addresses.iter().copied().min_by_key(|address| self.group(model, *address))
    }

    /// Addresses of a lower group are tried before those of a higher one.
    fn group(&self, model: &PhoneModel, address: A) -> u8 {
        match address {
            address if model.order == PickOrder::KnownFirst && self.known == Some(address) => 0,
            address if self.postponed.contains(&address) => 2,
            _ => 1,
        }
    }

    /// A connection to this address came about.
    pub fn worked(&mut self, address: A) {
        self.known = Some(address);
        if self.postponed.contains(&address) {
            self.postponed = self.postponed.iter().copied().filter(|other| *other != address).collect();
        }
    }

    /// A connection to this address did not come about.
    pub fn failed(&mut self, model: &PhoneModel, address: A) {
        if self.known == Some(address) {
            self.known = None;
        }
        if model.postpones && !self.postponed.contains(&address) {
            self.postponed = self.postponed.iter().copied().chain([address]).collect();
        }
    }
}

fn millis(now: Duration) -> u128 {
    now.as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phone::PhoneKind;

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn model(kind: PhoneKind) -> PhoneModel {
        kind.model().unwrap()
    }

    #[test]
    fn an_answer_is_kept_for_its_lifetime_and_not_longer() {
        let android = model(PhoneKind::AndroidOkhttp);
        let mut memory = PhoneMemory::default();
        assert_eq!(memory.recall(at(0.0)), Recalled::Nothing);
        memory.remember(&android, &[7_u16, 8], 5, at(10.25));
        assert_eq!(memory.recall(at(15.249)), Recalled::Answer(&[7, 8]));
        assert_eq!(memory.recall(at(15.25)), Recalled::Nothing);
    }

    #[test]
    fn what_is_not_kept_is_asked_for_again() {
        let mut memory = PhoneMemory::default();
        memory.remember(&model(PhoneKind::IosUrlsession), &[1_u16], 0, at(1.0));
        assert_eq!(memory.recall(at(15.9)), Recalled::Answer(&[1]), "Apple holds a TTL of 0 for 15 s");
        memory.remember(&model(PhoneKind::GlibcNoCache), &[1_u16], 300, at(1.0));
        assert_eq!(memory.recall(at(1.0)), Recalled::Nothing);
    }

    #[test]
    fn a_load_tool_keeps_its_answer_for_ever_even_beyond_what_milliseconds_hold() {
        let mut memory = PhoneMemory::default();
        memory.remember(&model(PhoneKind::NaiveLoadtool), &[1_u16], 0, at(1.0));
        assert_eq!(memory.recall(at(1e9)), Recalled::Answer(&[1]));
        memory.remember(&model(PhoneKind::AndroidOkhttp), &[1_u16], i32::MAX as u32, at(1.0));
        assert_eq!(memory.recall(at(4_294_967.0)), Recalled::Answer(&[1]));
        assert_eq!(memory.recall(at(4_294_968.0)), Recalled::Nothing);
    }

    #[test]
    fn a_failure_is_kept_in_mind_where_the_model_says_so() {
        let (jvm, glibc) = (model(PhoneKind::JvmDefault), model(PhoneKind::GlibcNoCache));
        let mut memory = PhoneMemory::<u16>::default();
        memory.remember_failure(&jvm, at(5.0));
        assert_eq!((memory.recall(at(14.9)), memory.recall(at(15.0))), (Recalled::Failure, Recalled::Nothing));
        memory.remember(&jvm, &[], 60, at(20.0));
        assert_eq!(memory.recall(at(29.0)), Recalled::Failure, "an answer without addresses is a failure");
        memory.remember_failure(&glibc, at(30.0));
        assert_eq!(memory.recall(at(30.0)), Recalled::Nothing);
    }

    #[test]
    fn failed_addresses_come_last_and_known_ones_first_where_the_model_says_so() {
        let (android, ios) = (model(PhoneKind::AndroidOkhttp), model(PhoneKind::IosUrlsession));
        let mut memory = PhoneMemory::default();
        memory.failed(&android, 1_u16);
        memory.worked(3);
        assert_eq!(memory.order(&android, &[1, 2, 3]), [2, 3, 1]);
        assert_eq!(memory.order(&ios, &[1, 2, 3]), [3, 2, 1]);
        let firsts = [&[1, 2, 3][..], &[2, 3], &[1], &[1, 1, 2], &[]];
        for (model, addresses) in [android, ios].into_iter().flat_map(|model| firsts.map(|addresses| (model, addresses))) {
            assert_eq!(memory.first(&model, addresses), memory.order(&model, addresses).first().copied(), "{addresses:?}");
        }
        memory.worked(1);
        assert_eq!(memory.order(&android, &[1, 2, 3]), [1, 2, 3], "it works again");
        memory.failed(&ios, 1);
        assert_eq!(memory.order(&ios, &[1, 2, 3]), [1, 2, 3], "no longer known, and URLSession postpones nothing");
    }

    #[test]
    fn a_memory_of_small_addresses_is_small() {
        assert!(size_of::<PhoneMemory<u16>>() <= 40);
    }
}
