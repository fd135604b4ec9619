//! What each kind of phone makes of a name.

use std::time::Duration;

use serde::Serialize;
use voteburst_burst::observe::Picture;
use voteburst_burst::phone::{CacheScope, PhoneKind, PhoneModel, PickOrder, Racing, TtlRule};

/// A kind of phone before one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct PhoneView {
    /// The kind, as scenarios name it.
    pub(crate) phone: &'static str,
    /// For how long it keeps an answer at most, in seconds; nothing for ever.
    pub(crate) keeps_s: Option<u32>,
    /// How many addresses of an answer it would try.
    pub(crate) tries: usize,
    /// How it goes through them.
    pub(crate) how: String,
    /// When it asks again.
    pub(crate) asks_again: &'static str,
}

/// Every preset before this name.
pub(crate) fn views(picture: &Picture) -> Vec<PhoneView> {
    let view = |kind: &PhoneKind| Some(view(kind.name(), &kind.model()?, picture));
    PhoneKind::PRESETS.iter().filter_map(view).collect()
}

fn view(phone: &'static str, model: &PhoneModel, picture: &Picture) -> PhoneView {
    let lifetime_s = model.lifetime_s(picture.ttl_s.1);
    let all = picture.per_answer.1;
    let tries = if model.order == PickOrder::FirstOnly { 1 } else { all };
    let asks_again = match (model.scope, model.ttl) {
        (CacheScope::None, _) => "for every new connection",
        (_, TtlRule::Forever) => "never",
        (CacheScope::Device, _) => "for a new connection, once that is over",
        (CacheScope::Process, _) => "the same, once for all users of its process",
    };
    PhoneView {
        phone,
        keeps_s: Some(lifetime_s).filter(|seconds| *seconds < u32::MAX),
        tries,
        how: how(model, tries, all),
        asks_again,
    }
}

fn how(model: &PhoneModel, tries: usize, all: usize) -> String {
    if all == 1 {
        return "the one there is".into();
    }
    if tries == 1 {
        return format!("the first of {all} only");
    }
    let millis = |time: Duration| time.as_millis();
    let turns = match model.racing {
        Racing::Every(delay) => format!("the next one every {} ms", millis(delay)),
        // The other family begins beside it; within one family they come one after the other.
        Racing::Sequential | Racing::Families(_) => "one after the other".into(),
    };
    let first = match model.order {
        PickOrder::KnownFirst => ", one that worked first",
        PickOrder::Shuffled => ", shuffled",
        PickOrder::AsAnswered | PickOrder::FirstOnly => "",
    };
    format!("all {tries}, {turns}{first}")
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use voteburst_burst::observe::Observation;

    use super::*;

    fn seen(addresses: u8, ttl_s: u32) -> Vec<PhoneView> {
        let addresses = (1..=addresses).map(|number| IpAddr::V4(Ipv4Addr::new(10, 0, 0, number))).collect();
        let once = Observation { server: 0, authoritative: true, at: Duration::ZERO, addresses, ttl_s };
        views(&Picture::of(&[once]).unwrap())
    }

    #[test]
    fn each_phone_is_told_with_what_it_keeps_and_tries() {
        let several = seen(8, 5);
        let expected = [
            ("android-okhttp", Some(5), 8, "all 8, the next one every 250 ms"),
            ("android-okhttp4", Some(5), 8, "all 8, one after the other"),
            ("ios-urlsession", Some(15), 8, "all 8, the next one every 250 ms, one that worked first"),
            ("jvm-default", Some(30), 1, "the first of 8 only"),
            ("glibc-no-cache", Some(0), 8, "all 8, one after the other"),
            ("browser-chromium", Some(60), 8, "all 8, one after the other"),
            ("naive-loadtool", None, 1, "the first of 8 only"),
        ];
        let found: Vec<_> = several.iter().map(|view| (view.phone, view.keeps_s, view.tries, view.how.as_str())).collect();
        assert_eq!(found, expected);
        assert!(seen(1, 60).iter().all(|view| view.tries == 1 && view.how == "the one there is"), "{:?}", seen(1, 60));
    }
}
