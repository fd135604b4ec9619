//! `--web`, `--statsd` and `--otlp`: the rehearsals of one command while they go on, for those who look and for those who are told.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use voteburst_coordinator::live::Watch;
use voteburst_coordinator::record::RunRecord;
use voteburst_coordinator::report::Report;
use voteburst_coordinator::trust::{Exposed, Token};
use voteburst_live::{Access, Hub, Otlp, Served, Statsd, Tags};

use crate::problem::Problem;
use crate::say;

/// Where a rehearsal can be watched.
#[derive(Debug, Args)]
pub(crate) struct WebArgs {
    /// Show the rehearsal live on a page here, and to Prometheus under /metrics; ends with the command
    ///
    /// 127.0.0.1:0 takes a free port; the page's address is told on standard error. Addresses other than loopback need
    /// --web-token-file.
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) web: Option<SocketAddr>,
    /// A file with the secret that readers must show, at least 16 bytes: open the page as http://ADDR:PORT/#SECRET; programs
    /// send `Authorization: Bearer SECRET`
    #[arg(long, value_name = "FILE", requires = "web")]
    pub(crate) web_token_file: Option<PathBuf>,
    /// Push the same metrics to this StatsD over UDP once a second, and once more at the end
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) statsd: Option<String>,
    /// How StatsD is told whose a value is: in Datadog's tags, or in the name for those who read no tags
    #[arg(long, value_name = "KIND", value_enum, default_value = "datadog", requires = "statsd")]
    pub(crate) statsd_tags: StatsdTags,
    /// Push the same metrics as OTLP over HTTP once a second and once more at the end, and a trace of each run's phases
    ///
    /// The base URL of a receiver such as the OpenTelemetry Collector; /v1/metrics and /v1/traces are added to it.
    #[arg(long, value_name = "URL")]
    pub(crate) otlp: Option<String>,
    /// Headers for the receiver of --otlp: NAME=VALUE with commas between, values percent-encoded
    #[arg(long, value_name = "HEADERS", env = "OTEL_EXPORTER_OTLP_HEADERS", hide_env_values = true)]
    pub(crate) otlp_headers: Option<String>,
}

/// How labels are told to StatsD.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatsdTags {
    /// name:1|c|#zone:multivalue
    Datadog,
    /// voteburst.multivalue.name:1|c
    None,
}

/// What shows the runs of one command while they go on; nothing when nobody asked for it.
#[derive(Debug, Default)]
pub(crate) struct Web {
    hub: Option<Hub>,
    served: Option<Served>,
    statsd: Option<Statsd>,
    otlp: Option<Otlp>,
}

impl Web {
    /// Begins to listen, and says where; begins to push.
    ///
    /// # Errors
    /// A usage problem when the address cannot be listened on, or would be open to others, or cannot be pushed to.
    pub(crate) fn open(args: &WebArgs) -> Result<Self, Problem> {
        if args.web.is_none() && args.statsd.is_none() && args.otlp.is_none() {
            return Ok(Self::default());
        }
        let hub = Hub::default();
        let statsd = args.statsd.as_deref().map(|to| push(to, args.statsd_tags, &hub)).transpose()?;
        let otlp = args.otlp.as_deref().map(|to| crate::otlp::push(to, args.otlp_headers.as_deref(), &hub)).transpose()?;
        let served = args.web.map(|address| serve(address, args, &hub)).transpose()?;
        Ok(Self { hub: Some(hub), served, statsd, otlp })
    }

    /// Where the next run, whose proxies these are, puts its values; and the task that passes them on, which ends with the run.
    pub(crate) fn follow(&self, fronts: Vec<IpAddr>) -> (Watch, Option<JoinHandle<()>>) {
        let (to, from) = watch::channel(Arc::default());
        let followed = self.hub.clone().map(|hub| tokio::spawn(async move { hub.follow(from).await }));
        (Watch { to, fronts }, followed)
    }

    /// Passes on what a run was and what it came to.
    pub(crate) fn judged(&self, record: &RunRecord, report: &Report) {
        if let Some(otlp) = &self.otlp {
            otlp.trace(crate::otlp::trace(record, report));
        }
    }

    /// Lets readers have the last values, and ends.
    pub(crate) async fn close(self) {
        if let Some(statsd) = self.statsd {
            statsd.close().await;
        }
        if let Some(otlp) = self.otlp {
            otlp.close().await;
        }
        if let Some(served) = self.served {
            served.close().await;
        }
    }
}

fn serve(address: SocketAddr, args: &WebArgs, hub: &Hub) -> Result<Served, Problem> {
    let mut access = Access::default();
    if let Some(file) = &args.web_token_file {
        let (token, Exposed(exposed)) = Token::read(file).map_err(Problem::usage)?;
        if exposed {
            say::note(&format!("warning: {} can be read by others; `chmod 600` keeps the token secret", file.display()));
        }
        access.token = Some(token);
    }
    let secret = args.web_token_file.as_ref().map(|file| format!("#SECRET, with the secret of {}", file.display()));
    let served = Served::start(address, access, hub.clone()).map_err(Problem::usage)?;
    say::note(&format!("watch it on http://{}/{}", served.address, secret.unwrap_or_default()));
    Ok(served)
}

fn push(to: &str, tags: StatsdTags, hub: &Hub) -> Result<Statsd, Problem> {
    let refused = |found: &str| {
        Problem::usage(format!(
            "--statsd: found {to}, {found}\n  needed: the host and the UDP port of a StatsD\n  fix:    --statsd 127.0.0.1:8125"
        ))
    };
    // Names are asked for once, before anything has started.
    let mut addresses = to.to_socket_addrs().map_err(|error| refused(&error.to_string()))?;
    let address = addresses.next().ok_or_else(|| refused("a name without an address"))?;
    let tags = match tags {
        StatsdTags::Datadog => Tags::Datadog,
        StatsdTags::None => Tags::None,
    };
    let place = to.to_owned();
    let note = move |error: &std::io::Error| {
        say::note(&format!("warning: StatsD at {place} does not take metrics ({error}); the rehearsal goes on without it"));
    };
    Statsd::start(address, tags, hub.clone(), note).map_err(|error| refused(&error.to_string()))
}
