//! The coordinator over real loopback gRPC, with agents that the tests play.

#![expect(clippy::unwrap_used, reason = "helpers of tests stand outside of test functions")]

mod fleet;

use std::sync::Arc;
use std::time::Duration;

use fleet::{Puppet, Stand, join, soon};
use voteburst_burst::plan::PROTOCOL;
use voteburst_coordinator::conductor::{Ended, Phase};
use voteburst_coordinator::live::Live;
use voteburst_coordinator::progress::Progress;
use voteburst_coordinator::record::StartSpread;
use voteburst_coordinator::trust::Token;
use voteburst_coordinator::{BindProblem, bind};
use voteburst_proto::message::{Join, Progress as Doing, Snapshot};
use voteburst_proto::{FromAgent, FromCoordinator, wire};

async fn fleet(stand: &Stand, size: u64) -> Vec<Puppet> {
    let mut puppets = Vec::new();
    for incarnation in 1..=size {
        let mut puppet = Puppet::connect(&stand.address, join(incarnation)).await;
        // Welcomed one by one, so that agents are numbered in this order.
        assert!(matches!(puppet.hear().await, Some(FromCoordinator::Welcome(_))));
        puppets.push(puppet);
    }
    puppets
}

async fn commit(puppets: &mut [Puppet]) {
    futures_util::future::join_all(puppets.iter_mut().map(Puppet::until_commit)).await;
}

async fn refusal(puppet: &mut Puppet) -> String {
    let reason = puppet.until(|word| match word {
        FromCoordinator::Refused { reason, .. } => Some(reason.clone()),
        other => panic!("not refused: {other:?}"),
    });
    let reason = reason.await;
    assert_eq!(puppet.hear().await, None, "the session ends with the refusal");
    reason
}

#[tokio::test]
async fn three_agents_go_from_join_to_bye_and_their_tallies_add_up() {
    let stand = Stand::open(3, None).await;
    let mut puppets = fleet(&stand, 3).await;
    commit(&mut puppets).await;
    for puppet in &mut puppets {
        puppet.finish(&stand.plan, 2).await;
    }
    let plan = stand.plan.clone();
    let result = stand.result().await;
    assert_eq!(result.ended, Ended::Complete);
    // Every viewer is played by exactly one agent.
    let ranges: Vec<_> = result.agents.iter().map(|agent| agent.viewers.clone()).collect();
    assert_eq!(ranges, [0..10, 10..20, 20..30]);
    assert!(result.agents.iter().all(|agent| agent.last && agent.lost.is_none()));
    assert_eq!(result.tally().total().total().accepted, plan.tickets);
    let fates: usize = result.shares().iter().map(|share| share.fates.as_ref().unwrap().len()).sum();
    assert_eq!(fates, plan.tickets as usize);
    assert_eq!(result.start, StartSpread { spread_ns: 2_000, bound_ns: 2_000, agents: 3 });
    assert!(result.t0_second.unwrap() >= 1);
    // The offset moved from 1 while arming to 3 in the last snapshot.
    assert!(result.agents.iter().all(|agent| agent.offset_moved_ns == Some(2)));
}

#[tokio::test]
async fn pings_are_answered_with_the_fleets_clock() {
    let stand = Stand::open(1, None).await;
    let mut puppet = Puppet::connect(&stand.address, join(1)).await;
    let before = stand.clock.now().0;
    let reply = puppet.ping().await;
    let after = stand.clock.now().0;
    assert!(before <= reply.received_ns && reply.received_ns <= reply.replied_ns && reply.replied_ns <= after);
}

#[tokio::test]
async fn an_agent_that_falls_silent_in_the_burst_is_named_within_five_seconds_with_its_share() {
    let mut stand = Stand::open(2, None).await;
    let mut puppets = fleet(&stand, 2).await;
    commit(&mut puppets).await;
    let silent_since = stand.clock.now();
    let (speaking, plan) = (&puppets[0], stand.plan.clone());
    let mut seq = 0;
    let mut every_half_second = tokio::time::interval(Duration::from_millis(500));
    let (name, share) = loop {
        tokio::select! {
            lost = stand.line(|line| match line {
                Progress::AgentLost { agent, share, .. } => Some((agent.to_string(), *share)),
                _ => None,
            }) => break lost,
            _ = every_half_second.tick() => {
                seq += 1;
                let part = Snapshot { fates: Vec::new(), ..speaking.snapshot(&plan, seq, false) };
                speaking.say(FromAgent::Snapshot(Box::new(part))).await;
            }
        }
    };
    let named_after = Duration::from_nanos(u64::try_from(stand.clock.now().0 - silent_since.0).unwrap());
    assert_eq!((name.as_str(), share), ("agent 1", 0.5));
    assert!(named_after < Duration::from_secs(5), "{named_after:?}");
    puppets[0].finish(&plan, seq + 1).await;
    let result = stand.result().await;
    assert_eq!(result.ended, Ended::Complete);
    assert_eq!(result.agents[1].lost.as_deref(), Some("nothing heard for 3 s"));
    assert!(!result.agents[1].last && result.agents[0].last);
}

#[tokio::test]
async fn what_agents_count_before_the_commit_is_shown_and_is_no_part_of_the_result() {
    let mut stand = Stand::open(2, None).await;
    let mut puppets = fleet(&stand, 2).await;
    puppets[1].until(|word| matches!(word, FromCoordinator::Share(_)).then_some(())).await;
    puppets[0].until(|word| matches!(word, FromCoordinator::OpenDoors { .. }).then_some(())).await;
    // The other one is not ready, so the doors stay open.
    let plan = stand.plan.clone();
    puppets[0].say(FromAgent::Snapshot(Box::new(puppets[0].snapshot(&plan, 1, false)))).await;
    let shown = |live: &Arc<Live>| live.proxies.first().map(|proxy| (live.phase, proxy.accepted));
    let seen = stand.live.wait_for(|live| shown(live).is_some()).await.as_deref().map(shown).unwrap();
    assert_eq!(seen, Some((Phase::Doors, puppets[0].tickets(&plan).into())));
    commit(&mut puppets).await;
    stand.line(|line| matches!(line, Progress::Burst { .. }).then_some(())).await;
    // It dies without another snapshot: nobody knows what became of its share.
    drop(puppets.remove(0));
    stand.line(|line| matches!(line, Progress::AgentLost { .. }).then_some(())).await;
    let counted = puppets[0].tickets(&plan);
    puppets[0].finish(&plan, 1).await;
    let result = stand.result().await;
    assert_eq!((result.agents[0].ended, result.agents[0].connected_at_t0), (0, None));
    assert_eq!(result.snapshots.iter().map(|snapshot| snapshot.agent).collect::<Vec<_>>(), [1]);
    assert_eq!(result.tally().total().total().accepted, counted);
}

#[tokio::test]
async fn an_agent_that_dies_in_the_burst_keeps_what_it_had_reported() {
    let mut stand = Stand::open(2, None).await;
    let mut puppets = fleet(&stand, 2).await;
    commit(&mut puppets).await;
    let dying = puppets.pop().unwrap();
    let (plan, tickets) = (stand.plan.clone(), dying.tickets(&stand.plan));
    dying.say(FromAgent::Snapshot(Box::new(dying.snapshot(&plan, 1, false)))).await;
    // Seen in a line of progress before the death, so that nothing is left to chance.
    stand.line(|line| matches!(line, Progress::Burst { accepted, .. } if *accepted == u64::from(tickets)).then_some(())).await;
    drop(dying);
    stand.line(|line| matches!(line, Progress::AgentLost { .. }).then_some(())).await;
    puppets[0].finish(&plan, 1).await;
    let result = stand.result().await;
    assert!(result.agents[1].lost.is_some());
    assert_eq!(result.tally().total().total().accepted, plan.tickets);
    let shares = result.shares();
    assert_eq!((shares[1].fates.clone(), shares[1].accepted_seen), (None, u64::from(tickets)));
}

#[tokio::test]
async fn an_agent_whose_connection_broke_comes_back_with_its_last_snapshot() {
    let mut stand = Stand::open(1, None).await;
    let mut puppets = fleet(&stand, 1).await;
    commit(&mut puppets).await;
    let broken = puppets.pop().unwrap();
    let last = broken.snapshot(&stand.plan, 9, true);
    drop(broken);
    stand.line(|line| matches!(line, Progress::AgentLost { .. }).then_some(())).await;
    let mut again = Puppet::connect(&stand.address, join(1)).await;
    again.say(FromAgent::Snapshot(Box::new(last))).await;
    again.until(|word| matches!(word, FromCoordinator::Bye).then_some(())).await;
    let result = stand.result().await;
    assert_eq!((result.agents.len(), result.agents[0].last, result.agents[0].lost.clone()), (1, true, None));
}

#[tokio::test]
async fn an_agent_that_dies_before_arming_ends_the_run_for_all_with_nothing_fired() {
    let stand = Stand::open(2, None).await;
    let mut puppets = fleet(&stand, 2).await;
    let mut dying = puppets.pop().unwrap();
    let survivor = tokio::spawn(async move {
        puppets[0]
            .until(|word| match word {
                FromCoordinator::Abort { reason } => Some(reason.clone()),
                FromCoordinator::Commit { .. } => panic!("committed without agent 1"),
                _ => None,
            })
            .await
    });
    dying.until(|word| matches!(word, FromCoordinator::OpenDoors { .. }).then_some(())).await;
    drop(dying);
    let reason = soon("the abort", survivor).await.unwrap();
    assert!(reason.starts_with("agent 1 was lost before the burst"), "{reason}");
    let result = stand.result().await;
    assert!(matches!(result.ended, Ended::Aborted { .. }));
    assert_eq!((result.t0, result.snapshots.len()), (None, 0));
}

#[tokio::test]
async fn strangers_are_refused_in_words_and_the_run_waits_on() {
    let token = "0123456789abcdef-test";
    let mut stand = Stand::open(1, Some(Token::new(token).unwrap())).await;
    let with = |token: Option<&str>| Join { token: token.map(Into::into), ..join(7) };
    let strangers = [
        (with(None), "showed no join token"),
        (with(Some("0123456789abcdef-tesT")), "showed another join token"),
        (Join { protocol: PROTOCOL + 1, version: "99.0.0".into(), ..with(Some(token)) }, "speaks protocol 3 (version 99.0.0)"),
    ];
    for (join, why) in strangers {
        let reason = refusal(&mut Puppet::connect(&stand.address, join).await).await;
        assert!(reason.starts_with(why), "{reason}");
        let line = stand.line(|line| matches!(line, Progress::AgentRefused { .. }).then(|| line.to_string())).await;
        assert!(line.contains(why), "{line}");
    }
    let mut sound = Puppet::connect(&stand.address, with(Some(token))).await;
    sound.until_commit().await;
    // The same process once more, while its first session is open.
    let reason = refusal(&mut Puppet::connect(&stand.address, with(Some(token))).await).await;
    assert!(reason.starts_with("has joined already as agent 0"), "{reason}");
    let reason = refusal(&mut Puppet::connect(&stand.address, Join { incarnation: 8, ..with(Some(token)) }).await).await;
    assert!(reason.starts_with("came after the run had begun"), "{reason}");
    sound.finish(&stand.plan, 1).await;
    assert_eq!(stand.result().await.ended, Ended::Complete);
}

#[tokio::test]
async fn who_does_not_begin_with_joining_is_refused() {
    let stand = Stand::open(1, None).await;
    let first = FromAgent::Progress(Doing::default());
    let reason = refusal(&mut Puppet::begin(&stand.address, join(1), first).await).await;
    assert_eq!(reason, "did not begin with joining");
}

#[tokio::test]
async fn a_word_that_makes_no_sense_ends_the_session_and_names_it() {
    let mut stand = Stand::open(1, None).await;
    let mut puppet = Puppet::connect(&stand.address, join(1)).await;
    puppet.until(|word| matches!(word, FromCoordinator::Welcome(_)).then_some(())).await;
    puppet.say_raw(wire::AgentMessage { body: None }).await;
    let why = stand.line(|line| match line {
        Progress::AgentLost { why, .. } => Some(why.clone()),
        _ => None,
    });
    // With a single agent the run has begun by now, so that its loss ends it.
    assert!(why.await.starts_with("sent a message without its body"));
    let result = stand.result().await;
    assert!(matches!(result.ended, Ended::Aborted { .. }));
}

#[tokio::test]
async fn a_snapshot_of_another_run_is_the_senders_end() {
    let stand = Stand::open(1, None).await;
    let mut puppets = fleet(&stand, 1).await;
    commit(&mut puppets).await;
    let foreign = Snapshot { run: fleet::RUN + 1, ..puppets[0].snapshot(&stand.plan, 1, true) };
    puppets[0].say(FromAgent::Snapshot(Box::new(foreign))).await;
    let result = stand.result().await;
    let why = result.agents[0].lost.as_deref().unwrap();
    assert!(why.starts_with("sent a snapshot of run"), "{why}");
    assert_eq!(result.snapshots.len(), 0);
}

#[tokio::test]
async fn an_agent_is_let_go_only_when_its_last_snapshot_is_kept() {
    let stand = Stand::open(1, None).await;
    let mut puppets = fleet(&stand, 1).await;
    commit(&mut puppets).await;
    // The second one claims to be the last, but is older than the first: it is left out.
    for (seq, last) in [(5, false), (3, true)] {
        let snapshot = puppets[0].snapshot(&stand.plan, seq, last);
        puppets[0].say(FromAgent::Snapshot(Box::new(snapshot))).await;
    }
    puppets[0].finish(&stand.plan, 6).await;
    let result = stand.result().await;
    assert!(result.agents[0].last && result.shares()[0].fates.is_some());
}

#[tokio::test]
async fn an_interrupt_while_gathering_aborts_and_one_in_the_burst_drains() {
    let stand = Stand::open(2, None).await;
    let mut puppets = fleet(&stand, 1).await;
    stand.interrupts.send(()).unwrap();
    let reason = puppets[0].until(|word| match word {
        FromCoordinator::Abort { reason } => Some(reason.clone()),
        _ => None,
    });
    assert_eq!(reason.await, "interrupted while gathering agents");
    assert!(matches!(stand.result().await.ended, Ended::Aborted { .. }));

    let mut stand = Stand::open(1, None).await;
    let mut puppets = fleet(&stand, 1).await;
    commit(&mut puppets).await;
    puppets[0].say(FromAgent::Progress(Doing { connected: 10, tried: 10 })).await;
    stand.line(|line| matches!(line, Progress::Burst { .. }).then_some(())).await;
    stand.interrupts.send(()).unwrap();
    puppets[0].until(|word| matches!(word, FromCoordinator::Drain).then_some(())).await;
    puppets[0].finish(&stand.plan, 1).await;
    let result = stand.result().await;
    assert_eq!(result.ended, Ended::Partial { reason: "interrupted while the burst was on".into() });
    assert!(result.agents[0].last);
}

#[tokio::test]
async fn a_second_coordinator_on_the_port_is_told_what_to_do() {
    let first = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let problem = bind(first.address).await.unwrap_err();
    assert!(matches!(problem, BindProblem::InUse(address) if address == first.address));
    assert!(problem.to_string().contains("another coordinator: stop it, or give another --listen"), "{problem}");
}
