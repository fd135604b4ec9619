//! `--web`: the rehearsals of one command, live over HTTP.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use voteburst_coordinator::live::Watch;
use voteburst_coordinator::trust::{Exposed, Token};
use voteburst_live::{Access, Hub, Served};

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
}

/// The page of one command; nothing when nobody asked for it.
#[derive(Debug, Default)]
pub(crate) struct Web(Option<(Hub, Served)>);

impl Web {
    /// Begins to listen, and says where.
    ///
    /// # Errors
    /// A usage problem when the address cannot be listened on, or would be open to others.
    pub(crate) fn open(args: &WebArgs) -> Result<Self, Problem> {
        let Some(address) = args.web else { return Ok(Self::default()) };
        let mut access = Access::default();
        if let Some(file) = &args.web_token_file {
            let (token, Exposed(exposed)) = Token::read(file).map_err(Problem::usage)?;
            if exposed {
                say::note(&format!("warning: {} can be read by others; `chmod 600` keeps the token secret", file.display()));
            }
            access.token = Some(token);
        }
        let secret = args.web_token_file.as_ref().map(|file| format!("#SECRET, with the secret of {}", file.display()));
        let hub = Hub::default();
        let served = Served::start(address, access, hub.clone()).map_err(Problem::usage)?;
        say::note(&format!("watch it on http://{}/{}", served.address, secret.unwrap_or_default()));
        Ok(Self(Some((hub, served))))
    }

    /// Where the next run, whose proxies these are, puts its values; and the task that passes them on to the page, which ends
    /// with the run.
    pub(crate) fn follow(&self, fronts: Vec<IpAddr>) -> (Watch, Option<JoinHandle<()>>) {
        let (to, from) = watch::channel(Arc::default());
        let followed = self.0.as_ref().map(|(hub, _)| {
            let hub = hub.clone();
            tokio::spawn(async move { hub.follow(from).await })
        });
        (Watch { to, fronts }, followed)
    }

    /// Lets readers have the last values, and ends.
    pub(crate) async fn close(self) {
        if let Some((_, served)) = self.0 {
            served.close().await;
        }
    }
}
