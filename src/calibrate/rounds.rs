//! What a calibration plays: the plan's peak, and a scenario of even rounds made from the user's own.

use std::net::SocketAddr;
use std::time::Duration;

use toml::{Table, Value};
use voteburst_burst::draw::{Stream, below, draw};
use voteburst_burst::plan::{Plan, Ticket};
use voteburst_burst::scenario::Scenario;

use crate::problem::Problem;

/// What has to be carried, in per cent of the peak: a fifth is kept to spare, as one never meets exactly the forecast crowd.
pub(super) const WHOLE: u32 = 120;
/// The doors of a calibration are open no longer than this, so that all of it fits into a minute.
const LONGEST_DOORS: Duration = Duration::from_secs(25);
/// The longest that a round waits for its last votes, in milliseconds.
const SETTLE_MS: u64 = 1_500;
/// The most instants that one question's votes share. No agent holds so many viewers, so that those of one instant are spread
/// over the agents.
const MOST_INSTANTS: u32 = 20_000;

/// Some seconds of votes at one rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Round {
    /// The rate, in per cent of the plan's peak.
    pub(super) percent: u32,
    /// When it begins, in whole seconds after T0.
    pub(super) starts_s: u32,
    /// How long it lasts, in whole seconds.
    pub(super) lasts_s: u32,
}

impl Round {
    /// When its votes may at last be counted, in milliseconds after T0: those of the next round must not be among them.
    pub(super) fn counted_by_ms(self) -> u64 {
        u64::from(self.starts_s + self.lasts_s) * 1_000 + SETTLE_MS
    }

    /// When its last vote is due, in nanoseconds after T0.
    pub(super) fn ends_ns(self) -> u64 {
        u64::from(self.starts_s + self.lasts_s) * 1_000_000_000
    }

    /// Votes per second.
    pub(super) fn rate(self, peak: &Peak) -> f64 {
        f64::from(peak.per_s) * f64::from(self.percent) / 100.0
    }
}

/// The rounds, in their order: the whole rate first, for most machines carry it and are done; then down, until one is carried.
///
/// After the first there is the longest silence: a machine that was far too slow for it still has its votes to send.
pub(super) const ROUNDS: [Round; 5] = [
    Round { percent: WHOLE, starts_s: 0, lasts_s: 5 },
    Round { percent: 100, starts_s: 9, lasts_s: 2 },
    Round { percent: 80, starts_s: 13, lasts_s: 2 },
    Round { percent: 60, starts_s: 17, lasts_s: 2 },
    Round { percent: 40, starts_s: 21, lasts_s: 2 },
];

/// How dense a plan's votes are where they are densest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peak {
    /// The most votes within any second, wherever it begins.
    pub(super) per_s: u32,
    /// The most votes within any tenth of a second.
    pub(super) per_100ms: u32,
}

impl Peak {
    /// Of the whole plan.
    pub(super) fn of(plan: &Plan) -> Self {
        let tickets = plan.tickets_of(&(0..plan.scenario.audience.viewers));
        Self { per_s: most_within(&tickets, 1_000_000_000), per_100ms: most_within(&tickets, 100_000_000) }
    }
}

/// The most tickets in any window of this length, which holds its beginning and not its end. `tickets` are in plan order.
fn most_within(tickets: &[Ticket], window_ns: u64) -> u32 {
    let mut first = 0;
    let within = tickets.iter().enumerate().map(|(last, ticket)| {
        while ticket.planned_ns - tickets[first].planned_ns >= window_ns {
            first += 1;
        }
        last + 1 - first
    });
    u32::try_from(within.max().unwrap_or(0)).unwrap_or(u32::MAX)
}

/// How long the doors of the calibration are open.
pub(super) fn doors(scenario: &Scenario) -> Duration {
    scenario.audience.doors_open.min(LONGEST_DOORS)
}

/// The plan of the rounds: the scenario's audience, phones, request and choices, on a null target whose name `authority` knows.
///
/// Returns it with the number of votes planned for each round.
pub(super) fn plan(scenario: &Scenario, peak: &Peak, authority: SocketAddr) -> Result<(Plan, Vec<u32>), Problem> {
    // A sound scenario's own text; only what reads it back could refuse it.
    let refuse = |problem: &dyn std::fmt::Display| {
        Problem::usage(format!(
            "no calibration can be made from this scenario: {problem}\n  needed: a scenario whose rounds are one too\n  fix:    calibrate with a simpler one: fewer questions at the same time, or more viewers"
        ))
    };
    let mut table: Table = scenario.to_toml().parse().map_err(|error: toml::de::Error| refuse(&error))?;
    let (questions, of_round) = questions(scenario, peak);
    table.remove("stage");
    table.insert("name".into(), "calibration".into());
    table.insert("questions".into(), questions);
    edit(&mut table, "audience", |audience| {
        audience.insert("doors_open".into(), format!("{}ms", doors(scenario).as_millis()).into());
        // The null target speaks plain HTTP, where full phones have nothing to choose.
        let phones = audience.get_mut("phones").and_then(Value::as_array_mut);
        phones.into_iter().flatten().filter_map(Value::as_table_mut).for_each(|phone| drop(phone.remove("client")));
    });
    edit(&mut table, "carriers", |carriers| {
        // Real resolvers do not know the null target: caches of our own stand in their place.
        if carriers.remove("resolvers").is_some() {
            let shares = scenario.carriers.list.iter().map(|carrier| Value::from(carrier.share));
            carriers.insert("shares".into(), Value::Array(shares.collect()));
        }
    });
    edit(&mut table, "dns", |dns| {
        for other in ["recursive", "production_name", "production_servers"] {
            dns.remove(other);
        }
        dns.insert("name".into(), scenario.dns.name.clone().into());
        dns.insert("authoritative".into(), Value::Array(vec![authority.to_string().into()]));
    });
    edit(&mut table, "target", |target| {
        let url = target.get("url").and_then(Value::as_str).unwrap_or_default();
        let plain = url.replacen("https://", "http://", 1);
        target.insert("url".into(), plain.into());
        target.insert("accepted".into(), Value::Array(vec![200.into()]));
        target.remove("ca_file");
    });
    edit(&mut table, "agents", |agents| {
        agents.remove("sources");
    });
    let text = toml::to_string(&table).map_err(|error| refuse(&error))?;
    let no_files = |_: &str| Err(std::io::ErrorKind::NotFound.into());
    let plan = Plan::new(Scenario::parse(&text, "calibration.toml", &no_files).map_err(|problem| refuse(&problem))?);
    let mut votes = plan.choices.iter().map(|choices| choices.iter().sum::<u32>());
    let of_round = of_round.into_iter().map(|questions| votes.by_ref().take(questions).sum()).collect();
    Ok((plan, of_round))
}

/// Changes a table of the scenario, which is there in every canonical text or is made.
fn edit(table: &mut Table, name: &str, change: impl FnOnce(&mut Table)) {
    let inner = table.entry(name).or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(inner) = inner {
        change(inner);
    }
}

/// The questions of the rounds, and how many each round has: a viewer votes once on each, so that a small audience with a
/// high rate needs several at the same time.
fn questions(scenario: &Scenario, peak: &Peak) -> (Value, Vec<usize>) {
    let viewers = f64::from(scenario.audience.viewers.max(1));
    let choices: Table = match scenario.questions.first() {
        Some(asked) => asked.choices.iter().map(|choice| (choice.id.clone(), choice.share.into())).collect(),
        None => Table::new(),
    };
    let (mut questions, mut of_round) = (Vec::new(), Vec::new());
    for round in ROUNDS {
        let votes = round.rate(peak) * f64::from(round.lasts_s);
        let count = (votes / viewers).ceil().max(1.0);
        for number in 0..count as usize {
            let mut question = Table::new();
            question.insert("id".into(), format!("at-{}-{number}", round.percent).into());
            question.insert("opens_at".into(), format!("{}s", round.starts_s).into());
            question.insert("window".into(), format!("{}ms", round.counted_by_ms() - u64::from(round.starts_s) * 1_000).into());
            question.insert("turnout".into(), (votes / (count * viewers)).min(1.0).into());
            question.insert("arrivals".into(), Value::Table(arrivals(scenario, round, questions.len() as u64)));
            question.insert("choices".into(), Value::Table(choices.clone()));
            questions.push(Value::Table(question));
        }
        of_round.push(count as usize);
    }
    (Value::Array(questions), of_round)
}

/// Instants drawn evenly over the round, in a window that goes on after the last: no vote of a plan that is uniform to the end
/// of its window may be late at all.
fn arrivals(scenario: &Scenario, round: Round, question: u64) -> Table {
    let instants = scenario.audience.viewers.clamp(1, MOST_INSTANTS);
    let offset = |instant: u32| {
        let number = question * u64::from(MOST_INSTANTS) + u64::from(instant);
        let offset = below(draw(scenario.seed, Stream::Arrival, number), u64::from(round.lasts_s) * 1_000_000);
        Value::from(i64::try_from(offset).unwrap_or(0))
    };
    let offsets = Value::Array((0..instants).map(offset).collect());
    Table::from_iter([("shape".into(), "trace".into()), ("offsets_us".into(), offsets)])
}

#[cfg(test)]
mod tests {
    use voteburst_burst::scenario::Draft;

    use super::*;

    fn scenario(text: &str, viewers: u32) -> Scenario {
        let draft = Draft::read(text, "test.toml").unwrap().with_viewers(viewers);
        draft.resolve(&|_| Err(std::io::ErrorKind::NotFound.into())).unwrap()
    }

    fn derived(scenario: &Scenario, peak: &Peak) -> (Plan, Vec<u32>) {
        plan(scenario, peak, SocketAddr::from(([127, 0, 0, 1], 5_353))).unwrap()
    }

    const SHOW: &str = include_str!("../../scenarios/show.toml");

    fn at(planned_ms: u64) -> Ticket {
        Ticket { number: 0, viewer: 0, question: 0, choice: 0, planned_ns: planned_ms * 1_000_000 }
    }

    #[test]
    fn the_densest_window_may_begin_anywhere_and_does_not_hold_its_end() {
        let cases: [(&[u64], u32); 6] = [
            (&[], 0),
            (&[7], 1),
            (&[600, 900, 1_100, 1_500], 4),
            (&[600, 900, 1_100, 1_600], 3),
            (&[0, 1_000, 2_000], 1),
            (&[5, 5, 5], 3),
        ];
        for (planned, most) in cases {
            let tickets: Vec<_> = planned.iter().copied().map(at).collect();
            assert_eq!(most_within(&tickets, 1_000_000_000), most, "{planned:?}");
        }
    }

    #[test]
    fn rounds_do_not_overlap_and_are_counted_before_the_next_one() {
        for pair in ROUNDS.windows(2) {
            assert!(pair[0].percent > pair[1].percent);
            assert!(pair[0].counted_by_ms() < u64::from(pair[1].starts_s) * 1_000, "{pair:?}");
        }
    }

    #[test]
    fn each_round_has_its_share_of_the_peak_and_no_vote_lies_outside_of_the_rounds() {
        // 300 votes a second of 500 viewers: 1,800 in the first round, which takes four questions.
        let peak = Peak { per_s: 300, per_100ms: 40 };
        let (plan, votes) = derived(&scenario(SHOW, 500), &peak);
        assert_eq!(votes.iter().sum::<u32>(), plan.tickets);
        let mut counted = vec![0; ROUNDS.len()];
        for ticket in plan.tickets_of(&(0..500)) {
            let second = (ticket.planned_ns / 1_000_000_000) as u32;
            let inside = |round: &Round| (round.starts_s..round.starts_s + round.lasts_s).contains(&second);
            counted[ROUNDS.iter().position(inside).unwrap()] += 1;
        }
        assert_eq!(counted, votes);
        for (round, votes) in ROUNDS.iter().zip(votes) {
            let wanted = round.rate(&peak) * f64::from(round.lasts_s);
            // Five standard deviations of a Poisson count; turnout is drawn.
            assert!((f64::from(votes) - wanted).abs() < 5.0 * wanted.sqrt(), "{round:?}: {votes} for {wanted}");
        }
    }

    #[test]
    fn audience_phones_and_request_stay_and_the_target_goes() {
        let show = scenario(SHOW, 500);
        let (plan, _) = derived(&show, &Peak { per_s: 10, per_100ms: 3 });
        let made = &plan.scenario;
        assert_eq!((&made.audience.phones, made.audience.viewers), (&show.audience.phones, 500));
        assert_eq!(made.audience.doors_open, Duration::from_secs(10));
        assert_eq!((&made.target.request, &made.carriers), (&show.target.request, &show.carriers));
        assert_eq!((&made.dns.name, made.dns.authoritative.len(), &made.stage), (&show.dns.name, 1, &None));
        assert_eq!(made.questions[0].choices, show.questions[0].choices);
    }

    #[test]
    fn a_live_scenario_with_real_resolvers_tls_and_long_doors_becomes_one_for_loopback() {
        let text = r#"
name = "live"
seed = 1
[audience]
viewers = 10
doors_open = "10min"
phones = [{ kind = "ios-urlsession", share = 1.0, client = "full" }]
[carriers]
resolvers = ["192.0.2.1", "192.0.2.2"]
[dns]
production_name = "vote.example.com"
[target]
url = "https://vote.example.com:8443/vote"
body = "{ballot}"
accepted = [201]
ca_file = "ca.pem"
[[questions]]
id = "q"
window = "10s"
arrivals = { shape = "all-at-once" }
choices = { a = 1.0 }
[agents]
sources = ["192.0.2.9"]
"#;
        let live = scenario(text, 10);
        let made = derived(&live, &Peak { per_s: 10, per_100ms: 10 }).0.scenario;
        assert_eq!(made.audience.doors_open, LONGEST_DOORS);
        let shares = |of: &Scenario| of.carriers.list.iter().map(|carrier| carrier.share).collect::<Vec<_>>();
        assert_eq!(shares(&made), shares(&live));
        assert!(made.carriers.list.iter().all(|carrier| carrier.resolver.is_none()));
        assert_eq!((made.target.accepted, made.target.ca_file, made.dns.production_name), (vec![200], None, None));
        assert_eq!((made.agents.sources.len(), made.dns.name.as_str()), (0, "vote.example.com."));
        assert!(matches!(made.target.scheme, voteburst_burst::scenario::Scheme::Http));
    }
}
