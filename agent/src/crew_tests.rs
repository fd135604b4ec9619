use std::time::Duration;

use tokio::time::timeout;
use voteburst_burst::scenario::Scenario;

use super::*;

fn assignment() -> Assignment {
    let text = r#"
        name = "lost"
        seed = 1
        audience = { viewers = 3 }
        carriers = { resolvers = ["127.0.0.1:9"] }
        target = { url = "http://vote.test/vote?ballot={ballot}" }
        questions = [{ id = "q", window = "1s", arrivals = { shape = "uniform" }, choices = { anna = 1.0 } }]
    "#;
    let scenario = Scenario::parse(text, "lost.toml", &|_| Err(io::ErrorKind::NotFound.into())).unwrap();
    Assignment {
        plan: Arc::new(Plan::new(scenario)),
        viewers: 0..3,
        run: 1,
        carriers: vec!["127.0.0.1:9".parse().unwrap()],
        recursion_desired: false,
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

#[test]
fn shares_and_carriers_that_do_not_fit_the_plan_are_refused() {
    let refused = |assignment: Assignment| Crew::muster(assignment, Clock::start()).unwrap_err().to_string();
    let beyond = refused(Assignment { viewers: 2..4, ..assignment() });
    assert!(beyond.contains("viewers 2..4") && beyond.contains("audience of 3"), "{beyond}");
    let short = refused(Assignment { carriers: Vec::new(), ..assignment() });
    assert!(short.contains("found addresses of 0 carriers, the plan needs 1"), "{short}");
}
