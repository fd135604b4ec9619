use std::time::Duration;

use tokio::time::timeout;
use voteburst_burst::generator::Stall;
use voteburst_burst::scenario::Scenario;

use super::*;

fn assignment() -> Assignment {
    assignment_within("1s")
}

/// Three viewers without a carrier that answers, whose votes are spread over a window.
fn assignment_within(window: &str) -> Assignment {
    let text = r#"
        name = "lost"
        seed = 1
        audience = { viewers = 3 }
        carriers = { resolvers = ["127.0.0.1:9"] }
        target = { url = "http://vote.test/vote?ballot={ballot}" }
        questions = [{ id = "q", window = "1s", arrivals = { shape = "uniform" }, choices = { anna = 1.0 } }]
    "#;
    let text = &text.replace("1s", window);
    let scenario = Scenario::parse(text, "lost.toml", &|_| Err(io::ErrorKind::NotFound.into())).unwrap();
    Assignment {
        plan: Arc::new(Plan::new(scenario)),
        viewers: 0..3,
        run: 1,
        carriers: vec!["127.0.0.1:9".parse().unwrap()],
        recursion_desired: false,
        authority: Vec::new(),
        port: 9,
        sources: Vec::new(),
        allowed: AllowList::default(),
    }
}

/// What those are told who wait for a crew whose worker is meddled with.
async fn told(meddle: fn(&Worker)) -> [CrewLost; 3] {
    let crew = Crew::muster(assignment(), Clock::start()).unwrap();
    crew.command(Command::Meddle(meddle));
    let all = async {
        let [entered, done] = [crew.entered().await, crew.done().await].map(Result::unwrap_err);
        [entered, done, crew.snapshot().await.unwrap_err()]
    };
    timeout(Duration::from_secs(30), all).await.unwrap()
}

#[tokio::test]
async fn a_worker_that_panics_is_reported_to_whoever_waits() {
    for lost in told(|_| panic!("on purpose")).await {
        assert!(lost.to_string().contains("its thread panicked"), "{lost}");
    }
}

#[tokio::test]
async fn a_viewer_that_panics_takes_the_worker_down_with_its_reason() {
    for lost in told(|worker| worker.break_down("viewer 2 panicked: on purpose".into())).await {
        assert!(lost.to_string().contains("viewer 2 panicked"), "{lost}");
    }
}

/// How long a worker is kept from coming round.
const KEPT: Duration = Duration::from_millis(80);

/// The stall that this makes of it, in a burst that began 7.2 s after the doors opened, and the instants between which it
/// was made.
async fn stalled(meddle: fn(&Worker)) -> (Stall, [u64; 2]) {
    let clock = Clock::start();
    let crew = Crew::muster(assignment_within("60s"), clock).unwrap();
    let begun = clock.now();
    let doors = LocalTime(begun.0 - 7_200_000_000);
    let since_doors_us = || clock.now().since(doors).as_micros() as u64;
    crew.open_doors(doors);
    crew.fire(begun);
    let played = async {
        while crew.snapshot().await.unwrap().connected_at_t0.is_none() {}
        let before = since_doors_us();
        crew.command(Command::Meddle(meddle));
        loop {
            let stalls = crew.snapshot().await.unwrap().stalls;
            let after = since_doors_us();
            // A busy machine may make others, which are shorter or lie elsewhere.
            let shortest_us = (KEPT - HEARTBEAT).as_micros() as u64;
            let ours = |stall: &&Stall| stall.length_us >= shortest_us && stall.at_us + stall.length_us >= before;
            if let Some(stall) = stalls.first.iter().find(ours) {
                assert!(stalls.by_second[&stall.second()].longest_us >= stall.length_us, "{stalls:?}");
                break (*stall, [before, after]);
            }
        }
    };
    let stall = timeout(Duration::from_secs(30), played).await.unwrap();
    crew.drain();
    stall
}

#[tokio::test]
async fn a_worker_that_was_kept_from_coming_round_says_when_and_for_how_long() {
    let (stall, [before, after]) = stalled(|_| thread::sleep(KEPT)).await;
    // The last turn before it may have been a heartbeat earlier.
    let heartbeat = HEARTBEAT.as_micros() as u64;
    assert!(stall.at_us + heartbeat >= before && stall.at_us + stall.length_us <= after, "{stall:?} {before} {after}");
    assert!(stall.second() >= 7 && !stall.is_own_work(), "{stall:?}");
}

#[tokio::test]
async fn a_worker_that_had_too_much_to_do_says_that_it_was_at_work() {
    let (stall, _) = stalled(|_| {
        let until = thread_cpu_ns() + KEPT.as_nanos() as u64;
        while thread_cpu_ns() < until {}
    })
    .await;
    // What was taken away in the meantime only makes it longer.
    assert!(stall.on_cpu_us >= 75_000, "{stall:?}");
}

#[test]
fn shares_and_carriers_that_do_not_fit_the_plan_are_refused() {
    let refused = |assignment: Assignment| Crew::muster(assignment, Clock::start()).unwrap_err().to_string();
    let beyond = refused(Assignment { viewers: 2..4, ..assignment() });
    assert!(beyond.contains("viewers 2..4") && beyond.contains("audience of 3"), "{beyond}");
    let short = refused(Assignment { carriers: Vec::new(), ..assignment() });
    assert!(short.contains("found addresses of 0 carriers, the plan needs 1"), "{short}");
}
