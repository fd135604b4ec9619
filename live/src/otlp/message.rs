//! What is pushed, in OpenTelemetry's own messages.
//!
//! Source: <https://opentelemetry.io/docs/specs/otel/metrics/data-model/>. Names are those of [`crate::metrics`] with a dot behind
//! `voteburst` and the unit beside the name instead of in it, so that what reads OTLP for Prometheus makes the names of `/metrics`
//! out of them again.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
    metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use voteburst_coordinator::live::Live;

use crate::metrics::{Buckets, Family, Kind, Sample, Value, families};

/// The end of names whose values are seconds, which OpenTelemetry tells as a unit (UCUM's `s`).
const SECONDS: &str = "_seconds";

/// A rehearsal and its phases, as one trace. Times are nanoseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunTrace {
    /// Distinguishes it from all other traces; not all zero.
    pub id: [u8; 16],
    /// The scenario's name.
    pub name: String,
    /// What else there is to know of the run, as attributes.
    pub facts: Vec<(&'static str, String)>,
    /// The phases in their order, each with its beginning and its end.
    pub phases: Vec<(String, u64, u64)>,
    /// Why it is no pass; empty for a pass. Codes and sentences.
    pub reasons: Vec<(String, String)>,
}

fn attribute(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

fn resource() -> Option<Resource> {
    let attributes = vec![attribute("service.name", "voteburst"), attribute("service.version", env!("CARGO_PKG_VERSION"))];
    Some(Resource { attributes, ..Resource::default() })
}

fn scope() -> Option<InstrumentationScope> {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Some(InstrumentationScope { name: "voteburst".into(), version, ..InstrumentationScope::default() })
}

/// All values of the runs. Counts are cumulative since `began_ns`.
pub(super) fn metrics(runs: &[Arc<Live>], began_ns: u64, now_ns: u64) -> ExportMetricsServiceRequest {
    let metrics = families(runs).into_iter().map(|family| metric(family, began_ns, now_ns)).collect();
    let scope_metrics = vec![ScopeMetrics { scope: scope(), metrics, ..ScopeMetrics::default() }];
    let resource_metrics = vec![ResourceMetrics { resource: resource(), scope_metrics, ..ResourceMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics }
}

fn metric(family: Family, began_ns: u64, now_ns: u64) -> Metric {
    let own = family.name.strip_prefix("voteburst_").unwrap_or(family.name);
    let (own, unit) = own.strip_suffix(SECONDS).map_or((own, ""), |own| (own, "s"));
    let cumulative = AggregationTemporality::Cumulative as i32;
    let numbers = || family.samples.iter().filter_map(|sample| number(sample, began_ns, now_ns)).collect();
    let data = match family.kind {
        Kind::Gauge => metric::Data::Gauge(Gauge { data_points: numbers() }),
        Kind::Counter => {
            metric::Data::Sum(Sum { data_points: numbers(), aggregation_temporality: cumulative, is_monotonic: true })
        }
        Kind::Histogram => {
            let points = family.samples.iter().filter_map(|sample| histogram(sample, began_ns, now_ns));
            metric::Data::Histogram(Histogram { data_points: points.collect(), aggregation_temporality: cumulative })
        }
    };
    let (name, description) = (format!("voteburst.{own}"), family.help.to_owned());
    Metric { name, description, unit: unit.to_owned(), data: Some(data), ..Metric::default() }
}

fn attributes(sample: &Sample) -> Vec<KeyValue> {
    sample.labels.iter().map(|(label, value)| attribute(label, value)).collect()
}

fn number(sample: &Sample, began_ns: u64, now_ns: u64) -> Option<NumberDataPoint> {
    // A level has no beginning.
    let (value, start_time_unix_nano) = match &sample.value {
        // 2^63 votes are not cast.
        Value::Count(count) => (number_data_point::Value::AsInt(i64::try_from(*count).unwrap_or(i64::MAX)), began_ns),
        Value::Level(level) => (number_data_point::Value::AsDouble(*level), 0),
        Value::Buckets(_) => return None,
    };
    let attributes = attributes(sample);
    Some(NumberDataPoint {
        attributes,
        start_time_unix_nano,
        time_unix_nano: now_ns,
        value: Some(value),
        ..NumberDataPoint::default()
    })
}

fn histogram(sample: &Sample, began_ns: u64, now_ns: u64) -> Option<HistogramDataPoint> {
    let Value::Buckets(Buckets { up_to, count, sum }) = &sample.value else { return None };
    let below = [0].into_iter().chain(up_to.iter().map(|(_, count)| *count));
    let with = up_to.iter().map(|(_, count)| *count).chain([*count]);
    Some(HistogramDataPoint {
        attributes: attributes(sample),
        start_time_unix_nano: began_ns,
        time_unix_nano: now_ns,
        count: *count,
        sum: Some(*sum),
        // Each bucket alone, and one more for what lies above the last bound.
        bucket_counts: with.zip(below).map(|(with, below)| with.saturating_sub(below)).collect(),
        explicit_bounds: up_to.iter().map(|(bound, _)| *bound).collect(),
        ..HistogramDataPoint::default()
    })
}

/// A span for the run, and below it one for each phase.
pub(super) fn trace(run: &RunTrace) -> ExportTraceServiceRequest {
    let span = |number: u64, name: &str, from: u64, to: u64| Span {
        trace_id: run.id.to_vec(),
        span_id: number.to_be_bytes().to_vec(),
        name: name.to_owned(),
        kind: SpanKind::Internal as i32,
        start_time_unix_nano: from,
        end_time_unix_nano: to,
        ..Span::default()
    };
    let began = run.phases.first().map_or(0, |(_, from, _)| *from);
    let ended = run.phases.last().map_or(0, |(_, _, to)| *to);
    let event = |(code, text): &(String, String)| Event {
        time_unix_nano: ended,
        name: code.clone(),
        attributes: vec![attribute("text", text)],
        ..Event::default()
    };
    let status = run.reasons.first().map_or_else(
        || Status { code: StatusCode::Ok as i32, message: String::new() },
        |(_, text)| Status { code: StatusCode::Error as i32, message: text.clone() },
    );
    let whole = Span {
        attributes: run.facts.iter().map(|(key, value)| attribute(&format!("voteburst.{key}"), value)).collect(),
        events: run.reasons.iter().map(event).collect(),
        status: Some(status),
        ..span(1, &run.name, began, ended)
    };
    let phases = (2..)
        .zip(&run.phases)
        .map(|(number, (phase, from, to))| Span { parent_span_id: whole.span_id.clone(), ..span(number, phase, *from, *to) });
    let spans = [whole.clone()].into_iter().chain(phases).collect();
    let scope_spans = vec![ScopeSpans { scope: scope(), spans, ..ScopeSpans::default() }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { resource: resource(), scope_spans, ..ResourceSpans::default() }],
    }
}
