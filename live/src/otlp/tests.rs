use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver as Inbox, channel};
use std::thread;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use voteburst_coordinator::live::{LatencyLive, Live};

use super::*;

fn live(accepted: u64) -> Arc<Live> {
    let lateness = LatencyLive { count: 6, sum_s: 0.5, buckets: vec![(0.001, 2), (0.01, 5)], ..LatencyLive::default() };
    Arc::new(Live { run: "a".into(), outcomes: BTreeMap::from([("accepted", accepted)]), lateness, ..Live::default() })
}

#[test]
fn seconds_are_a_unit_counts_are_cumulative_and_each_bucket_stands_alone() {
    let request = message::metrics(&[live(5)], 7, 9);
    let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
    let named = |name: &str| metrics.iter().find(|metric| metric.name == name).unwrap();
    let Some(Data::Histogram(lateness)) = &named("voteburst.lateness").data else { panic!("{metrics:#?}") };
    let point = &lateness.data_points[0];
    assert_eq!((named("voteburst.lateness").unit.as_str(), point.count, point.sum), ("s", 6, Some(0.5)));
    assert_eq!((&point.bucket_counts, &point.explicit_bounds), (&vec![2, 3, 1], &vec![0.001, 0.01]));
    let Some(Data::Sum(attempts)) = &named("voteburst.attempts").data else { panic!("{metrics:#?}") };
    assert_eq!((attempts.is_monotonic, attempts.aggregation_temporality), (true, 2));
    let point = &attempts.data_points[0];
    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (7, 9));
}

#[test]
fn what_is_no_url_and_what_is_no_header_is_refused_without_its_secret() {
    for url in ["127.0.0.1:4318", "", "ftp://here", "http://here/?a=b", "nonsense"] {
        assert!(Receiver::new(url, "").unwrap_err().to_string().contains(url), "{url}");
    }
    let fine = Receiver::new("http://here:4318/", " a=b%20c, Authorization = Bearer%20x=y ,").unwrap();
    assert_eq!(fine.base, "http://here:4318");
    assert_eq!(fine.headers, [("a".into(), "b c".into()), ("Authorization".into(), "Bearer x=y".into())]);
    for headers in ["nothing", "a b=secret", "a=secret%0a", "=secret"] {
        let refused = Receiver::new("http://here", headers).unwrap_err().to_string();
        assert!(!refused.contains("secret") && refused.contains("NAME=VALUE"), "{refused}");
    }
}

/// The first line of a request, all its lines, and its body.
type Request = (String, Vec<String>, Vec<u8>);

/// Answers every request with this status line, and passes it on.
fn receiver(status: &'static str) -> (String, Inbox<Request>) {
    let (listener, (to, from)) = (TcpListener::bind("127.0.0.1:0").unwrap(), channel());
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let lines: Vec<String> = reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            let length = lines.iter().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body).unwrap();
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 5\r\nConnection: close\r\n\r\nfull!").unwrap();
            if to.send((lines[0].clone(), lines, body)).is_err() {
                return;
            }
        }
    });
    (url, from)
}

#[tokio::test]
async fn the_last_values_and_every_trace_are_pushed_with_the_headers_asked_for() {
    let (url, inbox) = receiver("200 OK");
    let hub = Hub::default();
    let otlp = Otlp::start(Receiver::new(&url, "x-token=a%20b").unwrap(), hub.clone(), || 3, |why| panic!("{why}"));
    hub.take(live(5));
    let phases = vec![("doors".into(), 1, 2), ("burst".into(), 2, 9)];
    otlp.trace(RunTrace { id: [1; 16], name: "show".into(), phases, ..RunTrace::default() });
    hub.take(live(8));
    otlp.close().await;
    let pushed: Vec<_> = inbox.try_iter().collect();
    assert!(pushed.iter().all(|(_, lines, _)| lines.iter().any(|line| line == "x-token: a b")), "{pushed:?}");
    let paths: Vec<_> = pushed.iter().map(|(path, ..)| path.as_str()).collect();
    assert_eq!(paths.iter().filter(|path| path.contains("/v1/traces")).count(), 1, "{paths:?}");
    let (last, _, body) = pushed.last().unwrap();
    assert_eq!(last, "POST /v1/metrics HTTP/1.1");
    let told = ExportMetricsServiceRequest::decode(&body[..]).unwrap();
    assert_eq!(told, message::metrics(&[live(8)], 3, 3));
}

#[tokio::test]
async fn a_receiver_that_refuses_is_told_of_once() {
    let (url, _inbox) = receiver("429 Too Many Requests");
    let (hub, (to, told)) = (Hub::default(), channel());
    let note = move |why: &str| to.send(why.to_owned()).unwrap();
    let otlp = Otlp::start(Receiver::new(&url, "").unwrap(), hub.clone(), || 3, note);
    hub.take(live(5));
    otlp.trace(RunTrace::default());
    otlp.close().await;
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["429 Too Many Requests full!"]);
}
