//! Each test is a script: what happens when, and what the conductor does about it.

use voteburst_burst::expect::Stopped;
use voteburst_burst::verdict::Effect;

use super::*;

const HASH: &str = "abcdef0123456789";

fn timings() -> Timings {
    let seconds = Duration::from_secs;
    Timings {
        gather: seconds(30),
        plan: seconds(20),
        doors_lead: Duration::from_millis(500),
        doors: seconds(40),
        arm: seconds(5),
        commit_lead: seconds(2),
        burst: seconds(60),
        drain: seconds(10),
        silence: seconds(3),
        rejoin: seconds(3),
        report_every: seconds(1),
    }
}

/// Three agents, a clock that the test moves, and everything that was commanded so far.
struct Script {
    conductor: Conductor,
    now: FleetTime,
    said: Vec<Command>,
}

const A: AgentId = AgentId(0);
const B: AgentId = AgentId(1);
const C: AgentId = AgentId(2);
const ALL: [AgentId; 3] = [A, B, C];
const SOUND: Offset = Offset { nanos: 5, bound_ns: 100 };

impl Script {
    fn new() -> Self {
        Self::with_force(false)
    }

    fn with_force(force: bool) -> Self {
        let now = FleetTime(7_300_000_000);
        Self { conductor: Conductor::new(3, HASH.to_owned(), timings(), force, now), now, said: Vec::new() }
    }

    fn event(&mut self, event: Event) -> &mut Self {
        self.said.extend(self.conductor.handle(self.now, event));
        self
    }

    fn all(&mut self, event: impl Fn(AgentId) -> Event) -> &mut Self {
        ALL.into_iter().for_each(|agent| {
            self.event(event(agent));
        });
        self
    }

    /// Time goes by in steps of the driver, while these agents keep reporting.
    fn wait(&mut self, seconds: f64, alive: &[AgentId]) -> &mut Self {
        for step in 0..(seconds * 10.0).round() as u32 {
            self.now = self.now.after(Duration::from_millis(100));
            if step % 10 == 9 {
                for agent in alive {
                    let t0_known = self.conductor.t0().is_some();
                    self.event(if t0_known { Event::Snapshot(*agent, false) } else { Event::Progress(*agent, 10) });
                }
            }
            self.event(Event::Tick);
        }
        self
    }

    fn until_doors(&mut self) -> &mut Self {
        self.all(Event::Joined)
            .all(|agent| Event::Planned(agent, HASH.to_owned()))
            .all(|agent| Event::Preflight(agent, Vec::new()))
    }

    fn until_commit(&mut self) -> &mut Self {
        self.until_doors().wait(1.7, &ALL).all(|agent| Event::Ready(agent, 10)).all(|agent| Event::Armed(agent, SOUND))
    }

    fn until_burst(&mut self) -> &mut Self {
        self.until_commit().wait(3.0, &ALL);
        assert_eq!(self.conductor.phase(), Phase::Burst);
        self
    }

    fn orders(&self) -> Vec<(AgentId, Order)> {
        let order = |command: &Command| match command {
            Command::Tell(agent, order) => Some((*agent, order.clone())),
            _ => None,
        };
        self.said.iter().filter_map(order).collect()
    }

    fn was_told(&self, agent: AgentId, wanted: impl Fn(&Order) -> bool) -> usize {
        self.orders().iter().filter(|(to, order)| *to == agent && wanted(order)).count()
    }

    fn commits(&self) -> usize {
        self.orders().iter().filter(|(_, order)| matches!(order, Order::Commit(_))).count()
    }

    fn ended(&self) -> Option<&Ended> {
        self.said.iter().find_map(|command| match command {
            Command::Finish(ended) => Some(ended),
            _ => None,
        })
    }

    /// The run was aborted for a reason that names this, and nobody was told to fire.
    fn assert_aborted(&self, why: &str) {
        let Some(Ended::Aborted { reason }) = self.ended() else { panic!("not aborted: {:?}", self.ended()) };
        assert!(reason.contains(why), "{reason}");
        assert_eq!(self.commits(), 0);
        assert_eq!(self.conductor.phase(), Phase::Aborted);
    }
}

#[test]
fn a_run_without_trouble_goes_through_all_phases_in_order() {
    let mut script = Script::new();
    script.until_burst().all(|agent| Event::Snapshot(agent, true));
    assert_eq!(script.ended(), Some(&Ended::Complete));
    let phases: Vec<_> = script.conductor.phases().iter().map(|(phase, _)| *phase).collect();
    use Phase::{Arming, Burst, Committed, Done, Doors, Gathering, Planning};
    assert_eq!(phases, [Gathering, Planning, Doors, Arming, Committed, Burst, Done]);
    for (part, agent) in (0..).zip(ALL) {
        assert_eq!(script.was_told(agent, |order| *order == Order::Share(part)), 1);
        assert_eq!(script.was_told(agent, |order| matches!(order, Order::Commit(_))), 1);
        assert_eq!(script.was_told(agent, |order| *order == Order::Bye), 1);
        assert_eq!(script.was_told(agent, |order| matches!(order, Order::Abort(_) | Order::Drain)), 0);
    }
}

#[test]
fn t0_is_the_same_for_all_and_a_whole_number_of_seconds_after_the_doors_and_far_enough_ahead() {
    let mut script = Script::new();
    script.until_commit();
    let (t0, doors) = (script.conductor.t0().unwrap(), script.conductor.doors_at().unwrap());
    assert_eq!((t0.0 - doors.0) % SECOND_NS, 0);
    let ahead = t0.0 - script.now.0;
    assert!((2_000_000_000..3_000_000_000).contains(&ahead), "{ahead}");
    assert!(ALL.iter().all(|agent| script.was_told(*agent, |order| *order == Order::Commit(t0)) == 1));
}

#[test]
fn whole_seconds_never_fall_short_of_the_earliest_instant() {
    for (from, earliest, expected) in [
        (0, 0, 0),
        (0, 1, SECOND_NS),
        (5, SECOND_NS + 5, SECOND_NS + 5),
        (5, SECOND_NS + 6, 2 * SECOND_NS + 5),
        (SECOND_NS, 0, SECOND_NS),
    ] {
        assert_eq!(whole_seconds_after(FleetTime(from), FleetTime(earliest)), FleetTime(expected), "{from} {earliest}");
    }
}

#[test]
fn agents_that_never_join_end_the_run_after_the_gather_bound() {
    let mut script = Script::new();
    script.event(Event::Joined(A)).event(Event::Joined(B)).wait(29.9, &[A, B]);
    assert_eq!(script.conductor.phase(), Phase::Gathering);
    script.wait(0.3, &[A, B]).assert_aborted("2 of 3 agents joined within 30 s");
    assert_eq!(script.was_told(A, |order| matches!(order, Order::Abort(_))), 1);
}

#[test]
fn an_agent_that_leaves_while_gathering_makes_room_for_another() {
    let mut script = Script::new();
    script.event(Event::Joined(A)).event(Event::Joined(B)).event(Event::Lost(A, "gone".into()));
    script.event(Event::Joined(C));
    assert_eq!(script.conductor.phase(), Phase::Gathering);
    script.event(Event::Joined(AgentId(3)));
    assert_eq!(script.conductor.phase(), Phase::Planning);
    assert_eq!(script.was_told(AgentId(3), |order| *order == Order::Share(2)), 1);
    assert_eq!(script.was_told(A, |order| matches!(order, Order::Share(_))), 0);
}

#[test]
fn another_plan_hash_ends_the_run_naming_the_agent() {
    let mut script = Script::new();
    script.all(Event::Joined).event(Event::Planned(B, "ffff".into()));
    script.assert_aborted("agent 1 came to plan ffff");
}

#[test]
fn a_machine_that_cannot_hold_its_share_ends_the_run_unless_forced() {
    let bad = || Event::Preflight(B, vec!["open files: found 1024".into()]);
    let mut script = Script::new();
    script.all(Event::Joined).all(|agent| Event::Planned(agent, HASH.to_owned())).event(bad());
    script.assert_aborted("agent 1 cannot hold its share: open files: found 1024");

    let mut forced = Script::with_force(true);
    forced.all(Event::Joined).all(|agent| Event::Planned(agent, HASH.to_owned())).event(bad());
    forced.event(Event::Preflight(A, Vec::new())).event(Event::Preflight(C, Vec::new()));
    assert_eq!(forced.conductor.phase(), Phase::Doors);
    assert!(forced.said.iter().any(|command| matches!(command, Command::Note(Note::Forced(B, _)))));
}

#[test]
fn planning_that_takes_too_long_ends_the_run_naming_who_did() {
    let mut script = Script::new();
    script.all(Event::Joined).event(Event::Planned(A, HASH.to_owned())).event(Event::Preflight(A, Vec::new()));
    script.wait(20.2, &ALL).assert_aborted("agent 1, agent 2 did not get ready for its share within 20 s");
}

#[test]
fn an_agent_lost_before_the_commit_ends_the_run_with_nothing_fired() {
    type Before = fn(&mut Script) -> &mut Script;
    let befores: [(&str, Before); 3] = [
        ("planning", |script| script.all(Event::Joined)),
        ("doors", Script::until_doors),
        ("arming", |script| script.until_doors().all(|agent| Event::Ready(agent, 10)).event(Event::Armed(A, SOUND))),
    ];
    for (phase, before) in befores {
        let mut script = Script::new();
        before(&mut script);
        assert_eq!(script.conductor.phase().to_string(), phase);
        script.event(Event::Lost(C, "its connection broke".into()));
        script.assert_aborted("agent 2 was lost before the burst: its connection broke");
        assert_eq!(script.was_told(A, |order| matches!(order, Order::Abort(_))), 1, "{phase}");
    }
}

#[test]
fn an_agent_that_arms_too_late_ends_the_run_with_nothing_fired() {
    let mut script = Script::new();
    script.until_doors().all(|agent| Event::Ready(agent, 10)).event(Event::Armed(A, SOUND)).event(Event::Armed(B, SOUND));
    script.wait(4.9, &ALL);
    assert_eq!(script.conductor.phase(), Phase::Arming);
    script.wait(0.3, &ALL).assert_aborted("agent 2 did not arm within 5 s");
    // Too late is too late.
    script.event(Event::Armed(C, SOUND)).assert_aborted("agent 2 did not arm");
}

#[test]
fn arming_unasked_or_twice_brings_no_commit_and_no_second_one() {
    let mut script = Script::new();
    script.until_doors().all(|agent| Event::Armed(agent, SOUND));
    assert_eq!(script.conductor.phase(), Phase::Doors);
    script.all(|agent| Event::Ready(agent, 10));
    assert_eq!((script.conductor.phase(), script.commits()), (Phase::Arming, 0));
    script.all(|agent| Event::Armed(agent, SOUND));
    let t0 = script.conductor.t0();
    script.all(|agent| Event::Armed(agent, SOUND)).wait(5.0, &ALL).all(|agent| Event::Armed(agent, SOUND));
    assert_eq!((script.commits(), script.conductor.t0()), (3, t0));
}

#[test]
fn doors_that_stay_busy_too_long_do_not_stop_the_run() {
    let mut script = Script::new();
    script.until_doors().event(Event::Ready(A, 10)).event(Event::Ready(B, 10)).wait(40.4, &ALL);
    assert_eq!(script.conductor.phase(), Phase::Doors);
    script.wait(0.3, &ALL).all(|agent| Event::Armed(agent, SOUND));
    assert_eq!(script.conductor.phase(), Phase::Committed);
    assert!(script.said.contains(&Command::Note(Note::DoorsOverdue(vec![C]))));
}

#[test]
fn an_agent_that_dies_in_the_burst_is_named_and_the_run_goes_on_without_it() {
    let mut script = Script::new();
    script.until_burst().event(Event::Lost(B, "its connection broke".into()));
    assert!(script.said.contains(&Command::Note(Note::AgentLost(B, "its connection broke".into()))));
    script.wait(10.0, &[A, C]);
    assert_eq!(script.conductor.phase(), Phase::Burst);
    script.event(Event::Snapshot(A, true)).event(Event::Snapshot(C, true));
    assert_eq!(script.ended(), Some(&Ended::Complete));
    assert_eq!((script.conductor.lost(A), script.conductor.lost(B)), (None, Some("its connection broke")));
}

#[test]
fn a_silent_agent_is_named_within_five_seconds_and_is_there_again_when_it_speaks() {
    let mut script = Script::new();
    script.until_burst().wait(3.5, &[A, C]);
    assert_eq!(script.conductor.lost(B), Some("nothing heard for 3 s"));
    script.event(Event::Snapshot(B, false));
    assert_eq!(script.conductor.lost(B), None);
    script.all(|agent| Event::Snapshot(agent, true));
    assert_eq!(script.ended(), Some(&Ended::Complete));
}

#[test]
fn a_silent_agent_before_the_commit_ends_the_run() {
    let mut script = Script::new();
    script.until_doors().wait(3.5, &[A, C]).assert_aborted("agent 1 was lost before the burst: nothing heard for 3 s");
}

#[test]
fn the_run_waits_for_a_lost_agent_to_come_back_but_not_for_long() {
    let mut script = Script::new();
    script.until_burst().event(Event::Snapshot(A, true)).event(Event::Snapshot(C, true)).event(Event::Lost(B, "broke".into()));
    script.wait(2.0, &[]);
    assert_eq!(script.ended(), None);
    let mut never = Script { conductor: script.conductor.clone(), now: script.now, said: script.said.clone() };
    never.wait(1.2, &[]);
    assert_eq!((never.ended(), never.conductor.lost(B)), (Some(&Ended::Complete), Some("broke")));

    script.event(Event::Rejoined(B)).event(Event::Snapshot(B, true));
    assert_eq!((script.ended(), script.conductor.lost(B)), (Some(&Ended::Complete), None));
}

#[test]
fn an_agent_that_gave_up_is_not_waited_for() {
    let mut script = Script::new();
    script.until_burst().event(Event::Failed(B, "its worker died".into()));
    script.event(Event::Snapshot(A, true)).event(Event::Snapshot(C, true));
    assert_eq!((script.ended(), script.conductor.lost(B)), (Some(&Ended::Complete), Some("its worker died")));
}

#[test]
fn a_burst_that_does_not_end_is_drained_and_then_given_up() {
    let mut script = Script::new();
    script.until_burst().event(Event::Snapshot(A, true)).event(Event::Snapshot(B, true)).wait(60.0, &[C]);
    assert_eq!((script.conductor.phase(), script.was_told(C, |order| *order == Order::Drain)), (Phase::Draining, 1));
    script.wait(10.2, &[C]);
    let Some(Ended::Partial { reason }) = script.ended() else { panic!("{:?}", script.ended()) };
    assert!(reason.starts_with("agent 2 still voting 60 s after T0"), "{reason}");
    assert_eq!(script.conductor.lost(C), Some("no last snapshot within 10 s of draining"));
}

#[test]
fn an_agent_that_dies_in_drain_is_named_and_the_others_results_stand() {
    let mut script = Script::new();
    script.until_burst().event(Event::Interrupt).event(Event::Snapshot(A, true)).event(Event::Lost(B, "broke".into()));
    script.event(Event::Snapshot(C, true)).wait(3.2, &[]);
    assert_eq!(script.ended(), Some(&Ended::Partial { reason: "interrupted while the burst was on".into() }));
    assert_eq!(script.conductor.lost(B), Some("broke"));
}

#[test]
fn an_agent_that_comes_back_while_draining_is_told_again() {
    let mut script = Script::new();
    script.until_burst().event(Event::Lost(B, "broke".into())).event(Event::Interrupt);
    let before = script.was_told(B, |order| *order == Order::Drain);
    script.event(Event::Rejoined(B));
    assert_eq!(script.was_told(B, |order| *order == Order::Drain), before + 1);
}

#[test]
fn an_interrupt_before_the_commit_aborts_in_every_phase() {
    type Before = fn(&mut Script) -> &mut Script;
    let befores: [(Phase, Before); 4] = [
        (Phase::Gathering, |script| script.event(Event::Joined(A))),
        (Phase::Planning, |script| script.all(Event::Joined)),
        (Phase::Doors, Script::until_doors),
        (Phase::Arming, |script| script.until_doors().all(|agent| Event::Ready(agent, 10))),
    ];
    for (phase, before) in befores {
        let mut script = Script::new();
        before(&mut script).event(Event::Interrupt).assert_aborted(&format!("interrupted while {}", phase.doing()));
        assert_eq!(script.was_told(A, |order| matches!(order, Order::Abort(_))), 1);
    }
}

#[test]
fn an_interrupt_after_the_commit_drains_and_keeps_what_there_is() {
    type Before = fn(&mut Script) -> &mut Script;
    let befores: [(Phase, Before); 2] = [(Phase::Committed, Script::until_commit), (Phase::Burst, Script::until_burst)];
    for (phase, before) in befores {
        let mut script = Script::new();
        before(&mut script).event(Event::Interrupt);
        assert_eq!(script.conductor.phase(), Phase::Draining);
        assert!(ALL.iter().all(|agent| script.was_told(*agent, |order| *order == Order::Drain) == 1));
        script.all(|agent| Event::Snapshot(agent, true));
        assert_eq!(script.ended(), Some(&Ended::Partial { reason: format!("interrupted while {}", phase.doing()) }));
    }
}

#[test]
fn a_second_interrupt_ends_at_once() {
    let mut script = Script::new();
    script.until_burst().event(Event::Interrupt).event(Event::Interrupt);
    assert_eq!(script.ended(), Some(&Ended::Partial { reason: "interrupted while the burst was on".into() }));
    assert_eq!(script.was_told(A, |order| matches!(order, Order::Abort(_))), 1);
    let said = script.said.len();
    script.event(Event::Snapshot(A, true)).event(Event::Interrupt).wait(1.0, &ALL);
    assert_eq!(script.said.len(), said, "a run that is over says nothing more");
}

#[test]
fn last_snapshots_before_the_commit_mean_nothing() {
    let mut script = Script::new();
    script.until_doors().all(|agent| Event::Snapshot(agent, true));
    assert_eq!((script.conductor.phase(), script.was_told(A, |order| *order == Order::Bye)), (Phase::Doors, 0));
}

fn broken() -> Stopped {
    Stopped { limit: "failures < 5 %".into(), effect: Effect::Fail, t_s: 2.0, measured: "12.000 %".into() }
}

#[test]
fn a_broken_limit_drains_the_burst_and_keeps_what_is_there() {
    let mut script = Script::new();
    script.until_burst().event(Event::Broken(broken()));
    assert_eq!(script.conductor.phase(), Phase::Draining);
    assert_eq!(ALL.map(|agent| script.was_told(agent, |order| *order == Order::Drain)), [1; 3]);
    // A second look, or a hand at the keyboard, does not take the reason away.
    script.event(Event::Broken(Stopped { limit: "other".into(), ..broken() }));
    script.all(|agent| Event::Snapshot(agent, true));
    assert_eq!(script.ended(), Some(&Ended::Stopped(broken())));
}

#[test]
fn an_interrupt_while_a_stopped_burst_drains_ends_it_at_once_with_the_first_reason() {
    let mut script = Script::new();
    script.until_burst().event(Event::Broken(broken())).event(Event::Interrupt);
    assert_eq!(script.ended(), Some(&Ended::Stopped(broken())));
}

#[test]
fn a_limit_that_breaks_outside_of_the_burst_stops_nothing() {
    let mut script = Script::new();
    script.until_commit().event(Event::Broken(broken()));
    assert_eq!((script.conductor.phase(), script.ended()), (Phase::Committed, None));
    let mut script = Script::new();
    script.until_burst().event(Event::Interrupt).event(Event::Broken(broken()));
    script.all(|agent| Event::Snapshot(agent, true));
    assert!(matches!(script.ended(), Some(Ended::Partial { .. })), "{:?}", script.ended());
}

#[test]
fn connections_beyond_counting_that_agents_claim_are_as_many_as_can_be_counted() {
    let mut script = Script::new();
    script.until_doors().all(|agent| Event::Progress(agent, u32::MAX));
    assert_eq!(script.conductor.connected(), u32::MAX);
}
