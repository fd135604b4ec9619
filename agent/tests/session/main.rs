//! An agent's session against a coordinator that the tests play, with real viewers behind it.

#![allow(clippy::unwrap_used, reason = "helpers of tests stand outside of test functions")]
#![allow(unreachable_pub, reason = "the fixture is shared by the tests of this binary")]

mod podium;
#[path = "../support/mod.rs"]
mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use podium::{AHEAD_NS, Podium, RUN, VIEWERS, soon};
use voteburst_agent::clock::Clock;
use voteburst_agent::session::{JoinOptions, SessionError, join};
use voteburst_burst::outcome::Fate;
use voteburst_proto::message::{CheckStatus, Progress, Share};
use voteburst_proto::{FromAgent, FromCoordinator};

/// Votes that fall due well after T0, so that something can happen before them.
const SPREAD: (&str, &str) = (r#"{ shape = "all-at-once" }"#, r#"{ shape = "uniform" }"#);
const SHORT: (&str, &str) = (r#"window = "10s""#, r#"window = "2s""#);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_goes_from_join_to_bye_and_reports_every_vote() {
    let options = JoinOptions { token: Some("secret".into()), ..JoinOptions::default() };
    let mut podium = Podium::set(&[], options).await;
    let mut seat = podium.seat().await;
    let join = seat.welcome().await;
    assert_eq!((join.token.as_deref(), join.pid), (Some("secret"), std::process::id()));
    assert_eq!(join.allowed, ["127.0.0.0/8", "::1/128"]);

    seat.say(FromCoordinator::Share(podium.share(0..VIEWERS))).await;
    let hash = seat.hear(|word| match word {
        FromAgent::Planned { plan_hash } => Some(plan_hash),
        _ => None,
    });
    assert_eq!(hash.await, podium.plan.hash.to_string());
    let checks = seat.hear(|word| match word {
        FromAgent::Preflight { checks } => Some(checks),
        _ => None,
    });
    assert!(checks.await.iter().all(|check| check.status != CheckStatus::Bad));

    seat.say(FromCoordinator::OpenDoors { at: podium.ahead(Duration::from_millis(50)) }).await;
    let ready = seat.hear(|word| match word {
        FromAgent::Ready(ready) => Some(ready),
        _ => None,
    });
    assert_eq!((ready.await.connected, podium.votes()), (VIEWERS, 0));

    seat.say(FromCoordinator::Arm).await;
    let offset = seat.hear(|word| match word {
        FromAgent::Armed { offset } => Some(offset),
        _ => None,
    });
    let offset = offset.await;
    // The clocks are AHEAD_NS apart by construction, and the interval that is claimed must hold that.
    assert!((offset.nanos - AHEAD_NS).abs() <= offset.bound_ns, "{offset:?}");
    assert!(podium.pings.load(Ordering::SeqCst) >= 64, "a measurement before the doors and one to arm");
    assert_eq!(podium.votes(), 0);

    let t0 = podium.commit(&seat).await;
    let last = seat.last_snapshot().await;
    assert!(podium.ahead(Duration::ZERO) > t0);
    assert_eq!((last.run, last.agent, last.incarnation), (RUN, 3, join.incarnation));
    assert_eq!(last.fates, vec![Fate::Accepted; VIEWERS as usize]);
    assert_eq!(last.tally.total().total().accepted, VIEWERS);
    assert_eq!((last.ended, last.connected_at_t0), (VIEWERS, Some(VIEWERS)));
    assert!(last.first_send_lateness_ns.is_some() && last.memory_bytes > 0 && last.cpu > Duration::ZERO);
    seat.say(FromCoordinator::Bye).await;
    assert_eq!(podium.votes(), VIEWERS);
    let end = podium.end();
    tokio::pin!(end);
    // A span to look at, not an event to wait for.
    assert!(
        tokio::time::timeout(Duration::from_millis(300), &mut end).await.is_err(),
        "its viewers stay until all agents have ended"
    );
    drop(seat);
    end.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_reports_while_it_waits_so_that_its_silence_means_something() {
    let mut podium = Podium::set(&[], JoinOptions::default()).await;
    let mut seat = podium.seat().await;
    seat.welcome().await;
    for _ in 0..3 {
        seat.hear(|word| (word == FromAgent::Progress(Progress::default())).then_some(())).await;
    }
    drop(seat);
    assert!(matches!(podium.end().await, Err(SessionError::Lost(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_plan_hash_is_said_and_refused() {
    let mut podium = Podium::set(&[], JoinOptions::default()).await;
    let mut seat = podium.seat().await;
    seat.welcome().await;
    let share = Share { plan_hash: "f".repeat(64), ..podium.share(0..VIEWERS) };
    seat.say(FromCoordinator::Share(share)).await;
    let ours = podium.plan.hash.to_string();
    seat.hear(|word| (word == FromAgent::Planned { plan_hash: ours.clone() }).then_some(())).await;
    drop(seat);
    let error = podium.end().await.unwrap_err();
    assert!(matches!(&error, SessionError::OtherPlan { found, .. } if *found == ours), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_that_does_not_fit_the_plan_is_told_to_the_coordinator() {
    let mut podium = Podium::set(&[], JoinOptions::default()).await;
    let mut seat = podium.seat().await;
    seat.welcome().await;
    seat.say(FromCoordinator::Share(podium.share(0..VIEWERS + 1))).await;
    let reason = seat.hear(|word| match word {
        FromAgent::Failed { reason } => Some(reason),
        _ => None,
    });
    let reason = reason.await;
    assert!(reason.contains("viewers 0..21 are not part of an audience of 20"), "{reason}");
    drop(seat);
    assert!(matches!(podium.end().await, Err(SessionError::Muster(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_commit_nothing_is_fired_whether_the_run_is_aborted_or_the_coordinator_lost() {
    let mut podium = Podium::set(&[], JoinOptions::default()).await;
    let seat = podium.armed().await;
    seat.say(FromCoordinator::Abort { reason: "agent 7 did not arm".into() }).await;
    let servers = std::sync::Arc::clone(&podium.servers.seen);
    let error = podium.end().await.unwrap_err();
    assert_eq!(error.to_string(), "the coordinator ended the run: agent 7 did not arm");
    assert_eq!(servers.counts().len(), 0);

    let mut podium = Podium::set(&[], JoinOptions::default()).await;
    drop(podium.armed().await);
    let servers = std::sync::Arc::clone(&podium.servers.seen);
    let error = podium.end().await.unwrap_err();
    assert!(matches!(error, SessionError::Lost(_)), "{error}");
    assert_eq!(servers.counts().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_agent_ends_with_the_coordinators_words() {
    let mut podium = Podium::set(&[], JoinOptions::default()).await;
    let seat = podium.seat().await;
    seat.say(FromCoordinator::Refused { reason: "showed no join token".into(), for_now: false }).await;
    let error = podium.end().await.unwrap_err();
    assert_eq!(error.to_string(), "the coordinator refused this agent: it showed no join token");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_burst_goes_on_without_the_coordinator_and_its_result_is_delivered_when_that_is_back() {
    let mut podium = Podium::set(&[SPREAD, SHORT], JoinOptions::default()).await;
    let seat = podium.armed().await;
    podium.commit(&seat).await;
    drop(seat);
    let mut again = podium.seat().await;
    // Still taken for present, as a coordinator does that has not noticed the break: it comes once more.
    again.hear(|word| matches!(word, FromAgent::Join(_)).then_some(())).await;
    again.say(FromCoordinator::Refused { reason: "has joined already".into(), for_now: true }).await;
    drop(again);
    let mut again = podium.seat().await;
    let join = again.welcome().await;
    let last = again.last_snapshot().await;
    assert_eq!((last.incarnation, last.fates), (join.incarnation, vec![Fate::Accepted; VIEWERS as usize]));
    again.let_go().await;
    assert_eq!(podium.votes(), VIEWERS);
    podium.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_lost_for_good_in_the_burst_changes_no_vote_and_the_agent_says_what_is_missing() {
    let options = JoinOptions { patience: Duration::from_millis(500), ..JoinOptions::default() };
    let mut podium = Podium::set(&[SPREAD, SHORT], options).await;
    let seat = podium.armed().await;
    podium.commit(&seat).await;
    drop(seat);
    // It comes back to somebody who does not know it.
    let again = podium.seat().await;
    again.say(FromCoordinator::Refused { reason: "came after the run had begun".into(), for_now: false }).await;
    let servers = std::sync::Arc::clone(&podium.servers.seen);
    let error = podium.end().await.unwrap_err();
    assert!(matches!(error, SessionError::Undelivered { .. }), "{error}");
    assert_eq!(servers.counts(), vec![1; VIEWERS as usize]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_stops_reading_holds_up_no_vote_and_gets_few_old_snapshots_and_the_last() {
    let mut podium = Podium::reading_at_most(1_024, &[SPREAD, SHORT], JoinOptions::default()).await;
    let mut seat = podium.armed().await;
    podium.commit(&seat).await;
    let servers = std::sync::Arc::clone(&podium.servers.seen);
    soon("every vote, though nobody reads", async {
        while servers.counts().len() < VIEWERS as usize {
            servers.came.notified().await;
        }
    })
    .await;
    // Twenty reports were due by now. What waited is what fits on its way, however long nobody reads.
    let (mut read, mut last) = (0, None);
    while last.is_none() {
        let snapshot = seat.hear(|word| if let FromAgent::Snapshot(snapshot) = word { Some(*snapshot) } else { None }).await;
        read += 1;
        last = Some(snapshot).filter(|snapshot| snapshot.last);
    }
    let last = last.unwrap();
    assert_eq!(last.fates, vec![Fate::Accepted; VIEWERS as usize]);
    assert!(read <= 10, "{read} snapshots waited");
    seat.let_go().await;
    podium.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_watches_sees_proxies_before_t0_and_later_snapshots_have_higher_numbers() {
    let mut podium = Podium::set(&[], JoinOptions::default()).await;
    let mut seat = podium.ready().await;
    let early = seat.hear(|word| if let FromAgent::Snapshot(snapshot) = word { Some(*snapshot) } else { None }).await;
    assert_eq!((early.connected, early.ended, early.connected_at_t0), (VIEWERS, 0, None));
    assert_eq!(early.tally.total().total().opened, VIEWERS);
    seat.say(FromCoordinator::Arm).await;
    seat.hear(|word| matches!(word, FromAgent::Armed { .. }).then_some(())).await;
    podium.commit(&seat).await;
    let last = seat.last_snapshot().await;
    assert!(last.seq > early.seq, "{} after {}", last.seq, early.seq);
    seat.let_go().await;
    podium.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_commit_with_another_instant_moves_nothing() {
    let mut podium = Podium::set(&[], JoinOptions::default()).await;
    let mut seat = podium.armed().await;
    podium.commit(&seat).await;
    let another = podium.ahead(Duration::from_secs(3_600));
    seat.say(FromCoordinator::Commit { t0: another }).await;
    // With the second instant this would come an hour later.
    let last = seat.last_snapshot().await;
    assert_eq!(last.fates, vec![Fate::Accepted; VIEWERS as usize]);
    seat.let_go().await;
    podium.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_agent_casts_no_further_vote_and_tells_the_fate_of_every_ticket() {
    let mut podium = Podium::set(&[SPREAD], JoinOptions::default()).await;
    let mut seat = podium.armed().await;
    podium.commit(&seat).await;
    seat.hear(|word| matches!(word, FromAgent::Snapshot(snapshot) if snapshot.ended > 0).then_some(())).await;
    seat.say(FromCoordinator::Drain).await;
    let last = seat.last_snapshot().await;
    let cast = last.fates.iter().filter(|fate| **fate == Fate::Accepted).count();
    let not_cast = last.fates.iter().filter(|fate| **fate == Fate::NeverSent).count();
    assert_eq!((cast + not_cast, u32::try_from(cast)), (VIEWERS as usize, Ok(podium.votes())));
    assert!(cast > 0 && not_cast > 0, "{cast} cast, {not_cast} not");
    seat.let_go().await;
    podium.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_in_the_burst_ends_it_and_hands_in_nothing() {
    let mut podium = Podium::set(&[SPREAD], JoinOptions::default()).await;
    let mut seat = podium.armed().await;
    podium.commit(&seat).await;
    seat.hear(|word| matches!(word, FromAgent::Snapshot(snapshot) if snapshot.ended > 0).then_some(())).await;
    seat.say(FromCoordinator::Abort { reason: "the run is over".into() }).await;
    assert!(matches!(podium.end().await, Err(SessionError::Aborted(_))));
    assert!(seat.rest().await.iter().all(|word| !matches!(word, FromAgent::Snapshot(snapshot) if snapshot.last)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_who_cannot_get_in_do_not_keep_the_agent_from_arming() {
    // Nobody answers names for as long as the test needs.
    let slow = (r#"timeout = "500ms""#, r#"timeout = "5s""#);
    let mut podium = Podium::set(&[slow], JoinOptions::default()).await;
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut seat = podium.seat().await;
    seat.welcome().await;
    let share = Share { carriers: vec![silent.local_addr().unwrap()], ..podium.share(0..VIEWERS) };
    seat.say(FromCoordinator::Share(share)).await;
    seat.hear(|word| matches!(word, FromAgent::Preflight { .. }).then_some(())).await;
    seat.say(FromCoordinator::OpenDoors { at: podium.ahead(Duration::ZERO) }).await;
    seat.say(FromCoordinator::Arm).await;
    seat.hear(|word| match word {
        FromAgent::Ready(_) => panic!("nobody can be in"),
        FromAgent::Armed { .. } => Some(()),
        _ => None,
    })
    .await;
}

#[tokio::test]
async fn an_agent_without_a_coordinator_says_where_it_looked() {
    let options = || JoinOptions { patience: Duration::from_millis(300), ..JoinOptions::default() };
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let error = join(&closed, options(), Clock::start()).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("no coordinator at {closed}")), "{error}");
    assert!(error.to_string().contains("Connection refused"), "{error}");
    for endpoint in ["", "localhost", ":7400", "host:port", "host:70000", "http://host:1/x"] {
        let error = join(endpoint, options(), Clock::start()).await.unwrap_err();
        assert!(matches!(error, SessionError::Endpoint(_)), "{endpoint}: {error}");
    }
}
