//! Metrics while a run goes on, and a trace of its phases when it is over, pushed as OTLP.
//!
//! Source: <https://opentelemetry.io/docs/specs/otlp/#otlphttp>, binary protobuf over HTTP. Values are cumulative, so what one push
//! lost is in the next.

mod message;

use std::time::Duration;

use prost::Message as _;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};
use ureq::Agent;
use ureq::http::Uri;
use ureq::tls::{RootCerts, TlsConfig};

pub use message::RunTrace;

use crate::Hub;

/// How long one push may take. It holds nothing up but the next one, and at the end the command.
const PATIENCE: Duration = Duration::from_secs(3);
/// The most of an answer that is quoted.
const MOST_QUOTED: usize = 200;

/// Why nothing can be pushed there.
#[derive(Debug, thiserror::Error)]
pub enum OtlpProblem {
    /// The address is none.
    #[error("found `{0}`; needed the base URL of a receiver of OTLP over HTTP, such as http://127.0.0.1:4318")]
    Url(String),
    /// A header that is none.
    #[error("found `{0}`; needed headers as NAME=VALUE, with commas between them and the values percent-encoded")]
    Header(String),
}

/// Where to push.
#[derive(Clone, Debug)]
pub struct Receiver {
    base: String,
    headers: Vec<(String, String)>,
}

impl Receiver {
    /// A receiver below this URL, which is shown these headers: `NAME=VALUE` with commas between, values percent-encoded, as in
    /// `OTEL_EXPORTER_OTLP_HEADERS` (<https://opentelemetry.io/docs/specs/otel/protocol/exporter/>).
    ///
    /// # Errors
    /// [`OtlpProblem`] for what is no URL or no list of headers.
    pub fn new(url: &str, headers: &str) -> Result<Self, OtlpProblem> {
        let base = url.trim_end_matches('/');
        let parsed: Option<Uri> = base.parse().ok();
        let usable = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.query().is_none();
        if !parsed.is_some_and(|uri| usable(&uri)) {
            return Err(OtlpProblem::Url(url.to_owned()));
        }
        let listed = headers.split(',').map(str::trim).filter(|header| !header.is_empty());
        Ok(Self { base: base.to_owned(), headers: listed.map(header).collect::<Result<_, _>>()? })
    }

    /// Posts one message.
    fn post(&self, agent: &Agent, path: &str, body: &[u8]) -> Result<(), String> {
        let mut request = agent.post(format!("{}{path}", self.base)).content_type("application/x-protobuf");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut answer = request.send(body).map_err(|error| error.to_string())?;
        if answer.status().is_success() {
            return Ok(());
        }
        let said = answer.body_mut().with_config().limit(MOST_QUOTED as u64).read_to_string().unwrap_or_default();
        Err(format!("{} {said}", answer.status()).trim_end().to_owned())
    }
}

fn header(written: &str) -> Result<(String, String), OtlpProblem> {
    // The value may be a secret, so it is not repeated.
    let refuse = |name: &str| OtlpProblem::Header(name.trim().to_owned());
    let (name, value) = written.split_once('=').ok_or_else(|| refuse("a header without ="))?;
    let value = percent_encoding::percent_decode_str(value.trim()).decode_utf8().map_err(|_| refuse(name))?;
    let fine = ureq::http::HeaderName::try_from(name.trim()).is_ok() && ureq::http::HeaderValue::try_from(&*value).is_ok();
    fine.then(|| (name.trim().to_owned(), value.clone().into_owned())).ok_or_else(|| refuse(name))
}

/// Pushes the values of a hub, and traces, until it is closed.
#[derive(Debug)]
pub struct Otlp {
    traces: mpsc::UnboundedSender<RunTrace>,
    task: JoinHandle<()>,
}

impl Otlp {
    /// Begins to push whenever the hub has a value. `now_ns` reads the wall clock, in nanoseconds since 1970; `note` is told once
    /// when a push is not taken.
    pub fn start(receiver: Receiver, hub: Hub, now_ns: fn() -> u64, note: impl Fn(&str) + Send + 'static) -> Self {
        let (traces, mut ended) = mpsc::unbounded_channel::<RunTrace>();
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let config = Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false).tls_config(tls);
        let agent = Agent::new_with_config(config.build());
        let task = tokio::spawn(async move {
            let (mut news, began_ns, mut failed) = (hub.listen(), now_ns(), false);
            let mut open = true;
            while open {
                let trace = tokio::select! {
                    changed = news.changed() => {
                        open = changed.is_ok();
                        None
                    }
                    trace = ended.recv() => {
                        open = trace.is_some();
                        trace
                    }
                };
                let (path, body) = match trace {
                    Some(run) => ("/v1/traces", message::trace(&run).encode_to_vec()),
                    None => ("/v1/metrics", message::metrics(&hub.newest(), began_ns, now_ns()).encode_to_vec()),
                };
                let (agent, receiver) = (agent.clone(), receiver.clone());
                let posted = spawn_blocking(move || receiver.post(&agent, path, &body)).await;
                if let Err(why) = posted.unwrap_or_else(|error| Err(error.to_string()))
                    && !failed
                {
                    failed = true;
                    note(&why);
                }
            }
        });
        Self { traces, task }
    }

    /// Pushes a trace.
    pub fn trace(&self, run: RunTrace) {
        // The task ends by a panic alone, which has told itself.
        let _ = self.traces.send(run);
    }

    /// Pushes the traces that are left and the last values, and ends.
    pub async fn close(self) {
        drop(self.traces);
        // As above.
        let _ = self.task.await;
    }
}

#[cfg(test)]
mod tests;
