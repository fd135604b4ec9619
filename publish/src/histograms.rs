//! HdrHistogram's own formats: an interval log tagged by proxy, and the percentile distribution of the whole run.
//!
//! Both hold *response* latencies, from a vote's planned instant to its accepted answer, as they were counted: microseconds in
//! buckets of three significant digits. The log is version 1.3 of what `HistogramLogWriter` writes, with histograms in the V2
//! encoding, deflated and in base 64; the distribution is laid out as `outputPercentileDistribution` does it (both of
//! <https://github.com/HdrHistogram/HdrHistogram>). A tally holds one histogram per proxy and run, so the log has one line per
//! proxy, and each covers the whole burst.

use std::fmt::{Debug, Write as _};
use std::time::{Duration, SystemTime};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use jiff::{SignedDuration, Timestamp};
use voteburst_burst::tally::{Latency, Tally};
use voteburst_coordinator::record::RunRecord;

const US_PER_MS: f64 = 1_000.0;
/// Steps of the distribution per halving of the distance to 100 %, as HdrHistogram's own tools print it.
const TICKS_PER_HALF_DISTANCE: u32 = 5;
/// The line that names the columns: `HistogramLogWriter` writes it, readers step over it, and the crate leaves it out.
const LEGEND: &str = "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n";

/// When a burst was, as far as the files of HdrHistogram tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// T0 on the wall clock, good to a second or two; `None` when nothing was fired.
    pub t0: Option<SystemTime>,
    /// T0 as the second of a tally that begins there.
    pub t0_second: u32,
}

impl Span {
    /// The wall clock of the run's beginning plus what the fleet's clock counted from there to T0: wall clocks step, so that
    /// one is looked at once only.
    #[must_use]
    pub fn of(record: &RunRecord) -> Self {
        let began: Option<Timestamp> = record.started.parse().ok();
        let since = record.t0_ns.zip(record.phases.first()).map(|(t0, first)| t0.saturating_sub(first.began_ns));
        let t0 = began.zip(since).and_then(|(began, since)| began.checked_add(SignedDuration::from_nanos(since)).ok());
        Self { t0: t0.map(SystemTime::from), t0_second: record.t0_second.unwrap_or(0) }
    }
}

/// `latency.hlog`: a line per proxy, tagged with its address. There is none for all together, for readers add lines up.
///
/// Times are seconds after T0, values are microseconds, the column of the maximum too.
#[must_use]
pub fn interval_log(tally: &Tally, span: Span) -> Vec<u8> {
    let proxies = tally.proxies();
    let seconds = proxies.iter().map(|(_, proxy)| proxy.seconds.len() as u64).max().unwrap_or(0);
    let length = Duration::from_secs(seconds.saturating_sub(span.t0_second.into()));
    let mut header = IntervalLogWriterBuilder::new();
    header
        .add_comment("[Logged with voteburst: response latency by proxy, planned instant to accepted answer]")
        .add_comment("[Histogram log format version 1.3]")
        .add_comment("[Values are microseconds]");
    if let Some(t0) = span.t0 {
        header.with_start_time(t0).with_base_time(t0);
    }
    let (mut out, mut serializer) = (Vec::new(), V2DeflateSerializer::new());
    in_memory(header.begin_log_with(&mut out, &mut serializer).map(drop));
    out.extend_from_slice(LEGEND.as_bytes());
    let mut lines = in_memory(IntervalLogWriterBuilder::new().begin_log_with(&mut out, &mut serializer));
    for (address, proxy) in proxies {
        let tag = address.to_string();
        in_memory(lines.write_histogram(proxy.response.counts(), Duration::ZERO, length, Tag::new(&tag)));
    }
    out
}

/// `latency.hgrm`: the percentile distribution of all accepted votes, in milliseconds, for HdrHistogram's plotter and its like.
#[must_use]
pub fn distribution(response: &Latency) -> String {
    let counts = response.counts();
    let ms = |micros: f64| micros / US_PER_MS;
    let mut out = format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let mut total = 0;
    for step in counts.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        total += step.count_since_last_iteration();
        let (value, quantile) = (ms(step.value_iterated_to() as f64), step.quantile_iterated_to());
        in_memory(write!(out, "{value:12.3} {quantile:14.12} {total:10}"));
        if quantile < 1.0 {
            in_memory(write!(out, " {:14.2}", 1.0 / (1.0 - quantile)));
        }
        out.push('\n');
    }
    // There is one bucket more than whole ones in the array, each of half the sub-buckets.
    let (buckets, sub_buckets) = (counts.buckets(), counts.distinct_values() / (usize::from(counts.buckets()) + 1) * 2);
    let (mean, deviation, max) = (ms(counts.mean()), ms(counts.stdev()), ms(counts.max() as f64));
    let foot = write!(
        out,
        "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]\n\
         #[Max     = {max:12.3}, Total count    = {:12}]\n\
         #[Buckets = {buckets:12}, SubBuckets     = {sub_buckets:12}]\n",
        counts.len(),
    );
    in_memory(foot);
    out
}

/// What was written into memory, which takes every byte.
fn in_memory<T, E: Debug>(written: Result<T, E>) -> T {
    written.unwrap_or_else(|error| unreachable!("memory refuses a histogram: {error:?}"))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use std::net::{IpAddr, Ipv4Addr};

    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;

    fn tally() -> Tally {
        let mut tally = Tally::default();
        for (last, votes) in [(1, 1_000_u64), (2, 10), (3, 0)] {
            let index = tally.index(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)));
            let proxy = tally.proxy(index);
            proxy.second(9).sent = votes as u32;
            (1..=votes).for_each(|vote| proxy.response.record_ns(vote * 1_234_567));
        }
        tally.index("2001:db8::1".parse().unwrap());
        tally
    }

    fn span() -> Span {
        Span { t0: Some(SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_250)), t0_second: 4 }
    }

    #[test]
    fn the_log_begins_as_the_format_wants_and_has_a_line_per_proxy() {
        let log = String::from_utf8(interval_log(&tally(), span())).unwrap();
        // The payload is deflated, whose bytes may differ by version: its content is read back below.
        let lines: Vec<_> = log.lines().map(|line| line.split(",HISTFAAA").next().unwrap()).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn every_histogram_is_read_back_count_by_count() {
        let (log, tally) = (interval_log(&tally(), span()), tally());
        let read: Vec<_> = IntervalLogIterator::new(&log)
            .filter_map(|entry| match entry.unwrap() {
                LogEntry::Interval(interval) => {
                    let bytes = BASE64_STANDARD.decode(interval.encoded_histogram()).unwrap();
                    let counts = Deserializer::new().deserialize::<u32, _>(&mut bytes.as_slice()).unwrap();
                    Some((interval.tag().unwrap().as_str().to_owned(), Latency::from_counts(counts, 0).unwrap()))
                }
                _ => None,
            })
            .collect();
        let kept: Vec<_> =
            tally.proxies().into_iter().map(|(address, proxy)| (address.to_string(), proxy.response.clone())).collect();
        assert_eq!(read, kept);
    }

    #[test]
    fn the_distribution_ends_at_all_votes() {
        insta::assert_snapshot!(distribution(&tally().total().response));
    }

    #[test]
    fn nothing_counted_is_a_log_and_a_distribution_of_nothing() {
        let nothing = interval_log(&Tally::default(), Span { t0: None, t0_second: 0 });
        assert_eq!(IntervalLogIterator::new(&nothing).count(), 0);
        insta::assert_snapshot!(distribution(&Latency::new()));
    }
}
