//! Metrics as text: Prometheus' own format 0.0.4, or OpenMetrics 1.0 for those who ask for it.
//!
//! Sources: <https://prometheus.io/docs/instrumenting/exposition_formats/> and
//! <https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md>.

use std::fmt::Write as _;

use crate::metrics::{Buckets, Family, Kind, Sample, Value};

/// The two formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// What an `Accept` header asks for.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// Its media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// All families as text. Families without values are left out.
#[must_use]
pub fn render(families: &[Family], format: Format) -> String {
    let mut out = String::new();
    for family in families.iter().filter(|family| !family.samples.is_empty()) {
        let total = if family.kind == Kind::Counter { "_total" } else { "" };
        // OpenMetrics names a counter's family without the suffix of its samples.
        let name = if format == Format::OpenMetrics { family.name.to_owned() } else { format!("{}{total}", family.name) };
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "# HELP {name} {}\n# TYPE {name} {kind}", family.help);
        for sample in &family.samples {
            let labels = labels(sample);
            match &sample.value {
                Value::Count(count) => line(&mut out, family.name, total, &labels, *count),
                Value::Level(level) => line(&mut out, family.name, "", &labels, level),
                Value::Buckets(buckets) => histogram(&mut out, family.name, &labels, buckets),
            }
        }
    }
    if format == Format::OpenMetrics {
        out.push_str("# EOF\n");
    }
    out
}

/// The labels of all lines of a sample: a histogram has sixteen of them.
fn labels(sample: &Sample) -> String {
    let mut labels = String::new();
    for (name, value) in &sample.labels {
        let between = if labels.is_empty() { "" } else { "," };
        let _ = write!(labels, "{between}{name}=\"{}\"", escaped(value));
    }
    labels
}

fn histogram(out: &mut String, name: &str, labels: &str, buckets: &Buckets) {
    let mut bucket = |bound: std::fmt::Arguments<'_>, count| {
        let between = if labels.is_empty() { "" } else { "," };
        let _ = writeln!(out, "{name}_bucket{{{labels}{between}le=\"{bound}\"}} {count}");
    };
    for (bound, count) in &buckets.up_to {
        // OpenMetrics wants bounds written as floating-point numbers: 1.0, not 1.
        bucket(format_args!("{bound:?}"), *count);
    }
    bucket(format_args!("+Inf"), buckets.count);
    line(out, name, "_sum", labels, buckets.sum);
    line(out, name, "_count", labels, buckets.count);
}

fn line(out: &mut String, name: &str, suffix: &str, labels: &str, value: impl std::fmt::Display) {
    let _ = writeln!(out, "{name}{suffix}{{{labels}}} {value}");
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use voteburst_coordinator::live::{LatencyLive, Live, LiveAgent, LiveProxy};

    use super::*;
    use crate::metrics::families;

    fn live() -> Arc<Live> {
        let response = LatencyLive { count: 3, sum_s: 1.5, buckets: vec![(0.1, 1), (1.0, 3)], ..LatencyLive::default() };
        let proxy = LiveProxy { address: "127.0.0.1".into(), open: 7, accepted: 3, response, ..LiveProxy::default() };
        Arc::new(Live {
            run: "0123456789abcdef".into(),
            scenario: "a \"b\" \\ c\nd".into(),
            zone: Some("multivalue".into()),
            outcomes: BTreeMap::from([("accepted", 3), ("refused", 1)]),
            proxies: vec![proxy],
            agents: vec![LiveAgent { host: "here".into(), offset_ms: Some(-1.5), ..LiveAgent::default() }],
            ..Live::default()
        })
    }

    #[test]
    fn counters_histograms_and_hostile_labels_are_written_as_prometheus_reads_them() {
        let text = render(&families(&[live()]), Format::Prometheus);
        for line in [
            "# TYPE voteburst_attempts_total counter",
            "voteburst_attempts_total{zone=\"multivalue\",outcome=\"refused\"} 1",
            "voteburst_proxy_connections_open{zone=\"multivalue\",proxy=\"127.0.0.1\"} 7",
            "voteburst_response_seconds_bucket{zone=\"multivalue\",proxy=\"127.0.0.1\",le=\"1.0\"} 3",
            "voteburst_response_seconds_bucket{zone=\"multivalue\",proxy=\"127.0.0.1\",le=\"+Inf\"} 3",
            "voteburst_response_seconds_sum{zone=\"multivalue\",proxy=\"127.0.0.1\"} 1.5",
            "voteburst_run_info{zone=\"multivalue\",run=\"0123456789abcdef\",scenario=\"a \\\"b\\\" \\\\ c\\nd\"} 1",
            "voteburst_agent_clock_offset_seconds{zone=\"multivalue\",agent=\"0\",host=\"here\"} -0.0015",
            "voteburst_phase{zone=\"multivalue\",phase=\"gathering\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("since_t0"), "T0 is not known yet");
    }

    #[test]
    fn openmetrics_names_families_without_total_and_ends_with_a_mark() {
        let text = render(&families(&[live()]), Format::OpenMetrics);
        assert!(text.contains("# TYPE voteburst_attempts counter\n") && text.ends_with("# EOF\n"));
    }

    #[test]
    fn the_table_in_the_docs_has_every_name_and_no_other() {
        let table = include_str!("../../docs/metrics.md");
        let documented: Vec<_> =
            table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name.to_owned())).collect();
        let name = |family: &Family| format!("{}{}", family.name, if family.kind == Kind::Counter { "_total" } else { "" });
        assert_eq!(documented, families(&[]).iter().map(name).collect::<Vec<_>>());
    }
}
