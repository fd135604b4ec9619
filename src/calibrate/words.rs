//! A calibration in words.

use super::figures::{Calibrated, MOST_LOAD, Played};
use super::rounds::{ROUNDS, WHOLE};
use crate::text::{line, table};

/// Everything that was measured and the verdict.
pub(super) fn of(found: &Calibrated) -> String {
    let mut out = String::new();
    line(&mut out, "");
    doors(&mut out, found);
    line(
        &mut out,
        &format!(
            "peak       {} votes in the plan's busiest second; its densest 100 ms hold {}",
            found.peak.per_s, found.peak.per_100ms
        ),
    );
    line(&mut out, "");
    let head = ["of peak", "votes/s", "sent/s", "answered", "late p50", "p99", "p99.9", "max", "agents", "null target"];
    let rows: Vec<_> = found.rounds.iter().map(|played| row(found, played)).collect();
    table(&mut out, &head, &rows);
    line(&mut out, "(late: ms from the planned instant; agents and null target: µs of processor for each vote)");
    for played in &found.rounds {
        if let Some(problem) = played.problem(&found.thresholds) {
            line(&mut out, &format!("✗ {} %: {problem}", played.round.percent));
        }
    }
    line(&mut out, "");
    left_out(&mut out, found);
    line(&mut out, &verdict(found));
    out
}

fn doors(out: &mut String, found: &Calibrated) {
    let entered = &found.entered;
    let seconds = (entered.took_us as f64 / 1e6).max(1e-6);
    let each = |total: f64| total / f64::from(entered.connected.max(1));
    line(
        out,
        &format!(
            "doors      {} of {} viewers connected by {} agent{} in {seconds:.1} s: {:.0} connections/s (asked for: {:.0}), {:.0} µs of agent CPU each",
            entered.connected,
            found.viewers,
            found.agents,
            if found.agents == 1 { "" } else { "s" },
            f64::from(entered.connected) / seconds,
            f64::from(found.viewers) / found.doors.as_secs_f64().max(1e-3),
            each(entered.cpu_us as f64)
        ),
    );
    line(
        out,
        &format!(
            "memory     {:.2} KiB of the agents for each viewer, {:.0} MiB in all; the kernel's sockets come on top",
            each(entered.memory_bytes as f64 / 1_024.0),
            entered.memory_bytes as f64 / 1_048_576.0
        ),
    );
}

fn row(found: &Calibrated, played: &Played) -> Vec<String> {
    let late = |quantile| played.counted.lateness.quantile_ms(quantile).map_or_else(|| "-".into(), |ms| format!("{ms:.3}"));
    vec![
        format!("{} %", played.round.percent),
        format!("{:.0}", played.round.rate(&found.peak)),
        format!("{:.0}", played.sent_per_s()),
        format!("{} of {}", played.counted.accepted, played.planned),
        late(0.5),
        late(0.99),
        late(0.999),
        late(1.0),
        format!("{:.1}", played.agent_us()),
        format!("{:.1}", played.target_us()),
    ]
}

/// What the rounds do not show, and what of it was reckoned with.
fn left_out(out: &mut String, found: &Calibrated) {
    if found.peak.per_100ms > found.peak.per_s.saturating_mul(3) / 20 {
        // Half as dense again as an even second: the rounds are easier than these instants.
        let text = format!(
            "Note: rounds are even, the plan is not: its densest 100 ms are as {} votes/s. How late those are only a run shows.",
            u64::from(found.peak.per_100ms) * 10
        );
        line(out, &text);
    }
    if found.tls {
        line(out, "Note: the null target speaks plain HTTP. What TLS and HTTP/2 take on this machine is not in these figures.");
    }
    if let Some(cores) = found.cores_with_stage() {
        line(
            out,
            &format!(
                "Note: a stage on this machine takes about as much again as the agents. Both at {WHOLE} %: {cores:.2} of {} processors, at most {:.2} in time.",
                found.cores,
                f64::from(found.cores) * MOST_LOAD
            ),
        );
    }
}

fn verdict(found: &Calibrated) -> String {
    let carries = found.carries();
    let viewers = found.viewers;
    if carries.all {
        return format!("This machine carries this plan: {viewers} viewers, at {WHOLE} % of its peak.");
    }
    let largest = match carries.percent {
        Some(percent) => {
            let rate = ROUNDS.iter().find(|round| round.percent == percent).map_or(0.0, |round| round.rate(&found.peak));
            format!("The largest rate in time was {percent} % of the peak, {rate:.0} votes/s")
        }
        None => format!("Not even {} % of the peak was in time", ROUNDS[ROUNDS.len() - 1].percent),
    };
    let connected =
        if found.connected() { String::new() } else { format!("; only {} viewers connected", found.entered.connected) };
    let about = if carries.percent.is_some() { "about" } else { "fewer than" };
    format!(
        "This machine does not carry this plan: {about} {} of its {viewers} viewers.\n  found:  {largest}{connected}\n  needed: {WHOLE} % in time, to have a fifth to spare\n  fix:    more machines (--wait-for and `voteburst agent`), fewer viewers (--viewers), or a larger machine",
        carries.viewers
    )
}

#[cfg(test)]
mod tests {
    use super::super::figures::tests::calibrated;
    use super::*;

    #[track_caller]
    fn says(text: &str, parts: &[&str]) {
        for part in parts {
            assert!(text.contains(part), "`{part}` is missing in:\n{text}");
        }
    }

    #[test]
    fn a_machine_that_carries_the_plan_says_so_last() {
        let text = of(&calibrated(0, false));
        says(
            &text,
            &["1000 of 1000 viewers connected by 1 agent in 2.0 s: 500 connections/s (asked for: 500), 30 µs", "2.05 KiB"],
        );
        says(&text, &["120 %", "120      120", "600 of 600", "100.000", "10.0", "5.0"]);
        assert!(text.ends_with("This machine carries this plan: 1000 viewers, at 120 % of its peak.\n"), "{text}");
        assert!(!text.contains("stage") && !text.contains("Note"), "{text}");
    }

    #[test]
    fn one_that_does_not_names_the_largest_rate_and_what_to_do() {
        let text = of(&calibrated(2, false));
        says(&text, &["✗ 120 %: lateness p99 is 100.001 ms, at most 100ms allowed", "✗ 100 %"]);
        says(&text, &["does not carry this plan: about 666 of its 1000 viewers", "80 % of the peak, 80 votes/s", "--viewers"]);
        says(&of(&calibrated(5, false)), &["fewer than 333 of its 1000 viewers", "Not even 40 % of the peak"]);
    }

    #[test]
    fn what_the_rounds_do_not_show_is_said() {
        let mut found = calibrated(0, true);
        (found.tls, found.peak.per_100ms) = (true, 16);
        says(&of(&found), &["as much again", "0.00 of 2 processors, at most 1.60", "speaks plain HTTP", "as 160 votes/s"]);
    }
}
