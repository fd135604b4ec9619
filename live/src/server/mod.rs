//! The HTTP server: a page, its events, and metrics.

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use voteburst_coordinator::trust::Token;
use voteburst_publish::assets;

use crate::hub::{Hub, Seen};
use crate::metrics::families;
use crate::text::{Format, render};

const PAGE: &str = include_str!("../../assets/live.html");
const STYLE: &str = include_str!("../../assets/live.css");
const SCRIPT: &str = include_str!("../../assets/live.js");

/// Nothing but what this server serves, and no frame around it. ECharts writes styles into its SVG.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; \
                      img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Holds the token, for a browser's events cannot send a header of their own.
const COOKIE: &str = "voteburst";
/// What a reader may not have taken before it waits for the newest value instead.
const MOST_UNREAD: usize = 2;
/// How long the last values may take to leave.
const LEAVING: Duration = Duration::from_secs(1);

/// Who may read.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// What readers must show; `None` lets everybody read who reaches the address.
    pub token: Option<Token>,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum WebProblem {
    /// Others than this machine could watch.
    #[error(
        "--web: found {0}, which others reach\n  needed: a secret that they show\n  fix:    --web-token-file FILE, or --web 127.0.0.1:{port}",
        port = .0.port()
    )]
    Open(SocketAddr),
    /// The address cannot be listened on.
    #[error(
        "--web: found {address}, where nobody can listen: {source}\n  needed: a free port of an address of this machine\n  fix:    --web 127.0.0.1:0"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A server at work.
#[derive(Debug)]
pub struct Served {
    /// Where it listens.
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
}

#[derive(Clone)]
struct Shared {
    hub: Hub,
    access: Access,
    stop: watch::Receiver<bool>,
    /// Whether names are refused in `Host`, against pages elsewhere that give their name this machine's address.
    own_names_only: bool,
}

impl Served {
    /// Begins to serve what the hub keeps. Needs a tokio runtime.
    ///
    /// # Errors
    /// When others reach the address and no token guards it, or it cannot be listened on.
    pub fn start(address: SocketAddr, access: Access, hub: Hub) -> Result<Self, WebProblem> {
        if access.token.is_none() && !address.ip().is_loopback() {
            return Err(WebProblem::Open(address));
        }
        let bind = |source| WebProblem::Bind { address, source };
        let listener = TcpListener::bind(address).map_err(bind)?;
        listener.set_nonblocking(true).map_err(bind)?;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let (stop, stopping) = watch::channel(false);
        let own_names_only = access.token.is_none();
        let app = router(Shared { hub, access, stop: stopping.clone(), own_names_only });
        let server = tokio::spawn(async move {
            let stopped = async move {
                let mut stopping = stopping;
                // A sender that is gone stops as well.
                let _ = stopping.wait_for(|stop| *stop).await;
            };
            // A listener that fails takes the page away, never the rehearsal.
            let _ = axum::serve(listener, app).with_graceful_shutdown(stopped).await;
        });
        Ok(Self { address, stop, server })
    }

    /// Lets readers have the last values, for a second at most, and ends.
    pub async fn close(mut self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(LEAVING, &mut self.server).await.is_err() {
            self.server.abort();
        }
    }
}

fn router(shared: Shared) -> Router {
    let guarded = Router::new()
        .route("/events", get(events))
        .route("/metrics", get(metrics))
        .route_layer(middleware::from_fn_with_state(shared.clone(), guard));
    let file = |media_type: &'static str, content: &'static str| {
        get(move || async move { ([(header::CONTENT_TYPE, media_type)], content) })
    };
    let script = "text/javascript; charset=utf-8";
    Router::new()
        .route("/", file("text/html; charset=utf-8", PAGE))
        .route("/live.css", file("text/css; charset=utf-8", STYLE))
        .route("/live.js", file(script, SCRIPT))
        .route("/charts.js", file(script, assets::CHARTS))
        .route("/palette.js", file(script, assets::PALETTE))
        .route("/session", post(session))
        .merge(guarded)
        .layer(middleware::from_fn_with_state(shared.clone(), own_name))
        .with_state(shared)
}

/// Refuses names that are not ours, and tells the browser what our pages may do.
async fn own_name(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if shared.own_names_only && !is_own(host) {
        let why = "this address is served under its number or as localhost only\n";
        return (StatusCode::MISDIRECTED_REQUEST, why).into_response();
    }
    let mut response = next.run(request).await;
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn is_own(host: &str) -> bool {
    let address = |text: &str| text.parse::<SocketAddr>().is_ok() || text.parse::<IpAddr>().is_ok();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    address(host) || name == "localhost" || host == "[::1]"
}

async fn guard(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let shown = bearer(request.headers()).or_else(|| cookie(request.headers()));
    match &shared.access.token {
        Some(token) if !shown.is_some_and(|shown| token.matches(shown)) => refused(),
        _ => next.run(request).await,
    }
}

fn refused() -> Response {
    let why = "needed: `Authorization: Bearer TOKEN`, or the page opened as /#TOKEN\n";
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], why).into_response()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let mut all =
        headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split("; "));
    all.find_map(|pair| pair.strip_prefix(COOKIE)?.strip_prefix('='))
}

/// Puts a token that was shown into a cookie that no script reads and no other site sends.
async fn session(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let Some(shown) = bearer(&headers) else { return refused() };
    if !shared.access.token.as_ref().is_some_and(|token| token.matches(shown)) {
        return refused();
    }
    let cookie = format!("{COOKIE}={}; HttpOnly; SameSite=Strict; Path=/", shown.trim());
    match HeaderValue::from_str(&cookie) {
        Ok(cookie) => (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response(),
        Err(_) => refused(),
    }
}

async fn metrics(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let format = Format::accepted(headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default());
    ([(header::CONTENT_TYPE, format.media_type())], render(&families(&shared.hub.newest()), format)).into_response()
}

async fn events(State(shared): State<Shared>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let (to, from) = mpsc::channel(MOST_UNREAD);
    tokio::spawn(feed(shared.hub, shared.stop, to));
    Sse::new(ReceiverStream::new(from)).keep_alive(KeepAlive::default())
}

/// Sends one reader what it has not seen, until it is gone or the server stops. While it is slow, only this waits.
async fn feed(hub: Hub, mut stop: watch::Receiver<bool>, to: mpsc::Sender<Result<Event, Infallible>>) {
    let (mut seen, mut values) = (Seen::default(), hub.listen());
    loop {
        values.mark_unchanged();
        let stopping = *stop.borrow();
        let news = hub.news(&mut seen);
        if !news.is_empty() {
            let Ok(text) = serde_json::to_string(&news) else { return };
            if to.send(Ok(Event::default().event("news").data(text))).await.is_err() {
                return;
            }
        }
        if stopping {
            // A browser would come again for ever; the page closes its end at this.
            let _ = to.send(Ok(Event::default().event("over").data("{}"))).await;
            return;
        }
        tokio::select! {
            changed = values.changed() => if changed.is_err() { return },
            _ = stop.wait_for(|stop| *stop) => {}
            () = to.closed() => return,
        }
    }
}
