//! Answers that are renewed before their end, handed out after it, or that say that there is nothing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_proto::rr::Record;
use voteburst_burst::cache::STALE_TTL_S;

use super::*;
use crate::fixture::soa;

/// How a server answers after its first answer.
#[derive(Clone, Copy, Debug)]
enum Later {
    Code(ResponseCode),
    Silence,
}

/// A server that knows an answer once.
async fn once(ttl_s: u32, later: Later) -> Fake {
    let asked = AtomicUsize::new(0);
    Fake::start(move |query| {
        let mut message = answering(query, vec![a(NAME, ttl_s, 1)]);
        match (asked.fetch_add(1, Ordering::Relaxed), later) {
            (0, _) => {}
            (_, Later::Silence) => return vec![],
            (_, Later::Code(code)) => {
                message = answering(query, vec![]);
                message.metadata.response_code = code;
            }
        }
        vec![message.to_vec().unwrap()]
    })
    .await
}

/// A server that denies, with these records as its authority.
async fn denying(code: ResponseCode, authority: Option<Record>) -> Fake {
    Fake::start(move |query| {
        let mut message = answering(query, vec![]);
        message.metadata.response_code = code;
        message.add_authorities(authority.clone());
        vec![message.to_vec().unwrap()]
    })
    .await
}

/// What an answer without addresses says, and for how long it may be kept.
async fn denied(carrier: &Carrier) -> (ResponseCode, u32) {
    match ask(carrier.address(), Kind::A, 1).await {
        Ok(reply) if reply.addresses.is_empty() => (ResponseCode::NoError, reply.ttl_s),
        Err(AskError::NoSuchName { ttl_s }) => (ResponseCode::NXDomain, ttl_s),
        other => panic!("{other:?}"),
    }
}

/// Asks until the carrier counted so much.
async fn ask_until(carrier: &Carrier, enough: impl Fn(CarrierCounters) -> bool) {
    let asking = async {
        while !enough(carrier.counters()) {
            // An answer or an error: which it is, is not asked here.
            let _ = ask(carrier.address(), Kind::A, 1).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{:?}", carrier.counters()));
}

#[tokio::test]
async fn an_answer_is_renewed_before_its_end_and_nobody_ever_waits() {
    let asked = AtomicUsize::new(0);
    let server = Fake::start(move |query| {
        let number = asked.fetch_add(1, Ordering::Relaxed) as u8;
        vec![answering(query, vec![a(NAME, 30, number)]).to_vec().unwrap()]
    });
    let server = server.await;
    // Due after 0.3 s.
    let carrier = carrier(&[server.address], CacheModel { prefetch_pct: 99, ..model() }).await;
    let mut seen = Vec::new();
    let asking = async {
        while seen.last() != Some(&proxy(2).into()) {
            seen.extend(ask(carrier.address(), Kind::A, 1).await.unwrap().addresses);
            seen.dedup();
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("the third answer");
    assert_eq!(seen, v4(&[proxy(0), proxy(1), proxy(2)]));
    let counters = carrier.counters();
    assert_eq!((counters.misses, counters.asked, counters.prefetched), (1, 3, 2));
}

#[tokio::test]
async fn a_silent_upstream_keeps_no_phone_waiting_while_an_answer_is_renewed() {
    let server = once(30, Later::Silence).await;
    let carrier = carrier(&[server.address], CacheModel { prefetch_pct: 99, ..model() }).await;
    ask_until(&carrier, |counters| counters.prefetched == 1).await;
    for id in 0..100 {
        // The carrier itself waits for longer than this.
        let asked = tokio::time::timeout(PATIENCE / 2, ask(carrier.address(), Kind::A, id)).await.unwrap();
        assert_eq!(asked.unwrap().addresses, v4(&[proxy(1)]));
    }
    let counters = carrier.counters();
    assert_eq!((counters.misses, counters.asked, counters.prefetched), (1, 2, 1), "one question is enough");
    assert_eq!(server.queries().len(), 2);
}

#[tokio::test]
async fn what_is_over_is_handed_out_when_nobody_upstream_gives_an_answer() {
    let mut cases = JoinSet::new();
    for later in [Later::Code(ResponseCode::ServFail), Later::Code(ResponseCode::Refused), Later::Silence] {
        for stale_s in [0, 3_600] {
            // Side by side, for a TTL has to pass.
            cases.spawn(async move {
                let server = once(1, later).await;
                let cache = CacheModel { stale_s, ..model() };
                let carrier =
                    start(CarrierSpec { each: Duration::from_millis(500), attempts: 1, ..spec(&[server.address], cache) }).await;
                ask_until(&carrier, |counters| counters.stale + counters.failures == 1).await;
                let again = ask(carrier.address(), Kind::A, 1).await;
                if stale_s == 0 {
                    assert!(matches!(again, Err(AskError::Code(ResponseCode::ServFail))), "{later:?} {again:?}");
                    return;
                }
                let reply = again.unwrap();
                assert_eq!((reply.addresses, reply.ttl_s), (v4(&[proxy(1)]), STALE_TTL_S), "{later:?}");
                let counters = carrier.counters();
                assert_eq!((counters.stale, counters.failures, counters.asked), (2, 0, 2), "{later:?}");
            });
        }
    }
    cases.join_all().await;
}

#[tokio::test]
async fn that_there_is_nothing_is_kept_for_as_long_as_the_zone_says_and_not_for_longer_than_the_model() {
    for code in [ResponseCode::NXDomain, ResponseCode::NoError] {
        // Own TTL and last field of the SOA, the model's most, what phones are told.
        for (own, minimum, most, told) in [(900, 700, 3_600, 700), (700, 900, 3_600, 700), (900, 900, 300, 300)] {
            let server = denying(code, Some(soa(own, minimum))).await;
            let carrier = carrier(&[server.address], CacheModel { negative_ttl_max_s: most, ..model() }).await;
            assert_eq!(denied(&carrier).await, (code, told));
            let (same, left) = denied(&carrier).await;
            assert!(same == code && (told - 100..=told).contains(&left), "{same} {left}");
            let expected =
                CarrierCounters { queries: 2, hits: 1, misses: 1, asked: 1, negative: 2, ..CarrierCounters::default() };
            assert_eq!((carrier.counters(), server.queries().len()), (expected, 1));
        }
    }
}

#[tokio::test]
async fn that_there_is_nothing_is_not_kept_when_the_zone_does_not_say_for_how_long() {
    for code in [ResponseCode::NXDomain, ResponseCode::NoError] {
        let server = denying(code, None).await;
        let carrier = carrier(&[server.address], model()).await;
        for _ in 0..2 {
            assert_eq!(denied(&carrier).await, (code, 0));
        }
        let expected = CarrierCounters { queries: 2, misses: 2, asked: 2, negative: 2, ..CarrierCounters::default() };
        assert_eq!(carrier.counters(), expected);
    }
}
