//! `--otlp`: the rehearsal's metrics and its phases for OpenTelemetry.

use voteburst_coordinator::clock::Clock;
use voteburst_coordinator::conductor::Phase;
use voteburst_coordinator::record::RunRecord;
use voteburst_coordinator::report::Report;
use voteburst_live::{Hub, Otlp, Receiver, RunTrace};

use crate::problem::Problem;
use crate::say;

/// Begins to push there.
pub(crate) fn push(url: &str, headers: Option<&str>, hub: &Hub) -> Result<Otlp, Problem> {
    let refused = |error| {
        Problem::usage(format!(
            "--otlp: {error}\n  fix:    --otlp http://127.0.0.1:4318 --otlp-headers 'Authorization=Bearer%20SECRET'"
        ))
    };
    let receiver = Receiver::new(url, headers.unwrap_or_default()).map_err(refused)?;
    let place = url.to_owned();
    let note = move |why: &str| {
        say::note(&format!("warning: {place} does not take OTLP ({why}); the rehearsal goes on without it"));
    };
    Ok(Otlp::start(receiver, hub.clone(), crate::clock::unix_ns, note))
}

/// The phases of a run that is over, what it was, and what it came to.
pub(crate) fn trace(record: &RunRecord, report: &Report) -> RunTrace {
    let (now, unix_now) = (Clock::of_this_process().now().0, crate::clock::unix_ns());
    let unix = |at: i64| unix_now.saturating_add_signed(at.saturating_sub(now));
    let ends = record.phases.iter().skip(1).map(|next| next.began_ns).chain([now]);
    let phases = record.phases.iter().zip(ends).filter(|(phase, _)| phase.phase != Phase::Done);
    let hexadecimal = |text: &str| u64::from_str_radix(text.get(..16).unwrap_or(text), 16).unwrap_or_default().to_be_bytes();
    let mut id = [0; 16];
    id[..8].copy_from_slice(&hexadecimal(&record.plan_hash));
    id[8..].copy_from_slice(&hexadecimal(&record.run));
    RunTrace {
        id,
        name: "rehearsal".into(),
        facts: vec![
            ("run", record.run.clone()),
            ("scenario", record.name.clone()),
            ("zone", record.zone.clone().unwrap_or_else(|| "live".into())),
            ("plan_hash", record.plan_hash.clone()),
            ("seed", record.seed.to_string()),
            ("viewers", record.viewers.to_string()),
            ("agents", record.agents.len().to_string()),
            ("verdict", report.verdict.outcome.to_string()),
        ],
        phases: phases.map(|(phase, end)| (phase.phase.to_string(), unix(phase.began_ns), unix(end))).collect(),
        reasons: report.verdict.reasons.iter().map(|reason| (reason.code.clone(), reason.text.clone())).collect(),
    }
}
