//! The line to the coordinator: opened, spoken over, heard from, and opened again when it broke during a burst.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};
use voteburst_proto::message::{Join, Welcome};
use voteburst_proto::wire::rehearsal_client::RehearsalClient;
use voteburst_proto::wire::{AgentMessage, CoordinatorMessage};
use voteburst_proto::{FromAgent, FromCoordinator, MOST_AGENT_BYTES, MOST_COORDINATOR_BYTES};

use super::problem::SessionError;
use crate::clock::Clock;

const CONNECT_WITHIN: Duration = Duration::from_secs(2);
const WELCOME_WITHIN: Duration = Duration::from_secs(5);
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(250);
/// tonic sends no HTTP/2 pings unless told to, and without them a peer that vanished is noticed after some
/// fifteen minutes of retransmission.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(1);
const KEEP_ALIVE_WITHIN: Duration = Duration::from_secs(3);
/// Words that may wait to be sent. More would only be older: snapshots are cumulative.
const WAITING_WORDS: usize = 4;

/// Where the coordinator is and what to say first.
#[derive(Clone, Debug)]
pub(super) struct Place {
    endpoint: Endpoint,
    shown: String,
    join: Join,
}

impl Place {
    pub(super) fn new(endpoint: &str, join: Join) -> Result<Self, SessionError> {
        let refuse = || SessionError::Endpoint(endpoint.to_owned());
        // Host and port and nothing else: a path or a second colon would be taken for something it is not.
        let (host, port) = endpoint.rsplit_once(':').ok_or_else(refuse)?;
        if host.is_empty() || host.contains('/') || port.parse::<u16>().is_err() {
            return Err(refuse());
        }
        let built = Endpoint::from_shared(format!("http://{endpoint}")).map_err(|_| refuse())?;
        let built = built
            .connect_timeout(CONNECT_WITHIN)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE_EVERY)
            .keep_alive_timeout(KEEP_ALIVE_WITHIN)
            .keep_alive_while_idle(true);
        Ok(Self { endpoint: built, shown: endpoint.to_owned(), join })
    }

    /// Joins, waiting so long for a coordinator that is not there yet.
    pub(super) async fn join(&self, clock: Clock, within: Duration) -> Result<(Line, Welcome), SessionError> {
        let until = clock.now().after(within);
        loop {
            let why = match self.endpoint.connect().await {
                Ok(channel) => {
                    let (open, welcome) = self.open(channel).await?;
                    return Ok((Line { place: self.clone(), state: State::Open(Box::new(open)) }, welcome));
                }
                Err(error) => in_words(&error),
            };
            if clock.now() > until {
                return Err(SessionError::NoCoordinator { endpoint: self.shown.clone(), within, why });
            }
            tokio::time::sleep(BETWEEN_ATTEMPTS).await;
        }
    }

    /// A second channel, which carries nothing but pings. It connects when it is first used.
    pub(super) fn second_channel(&self) -> Channel {
        self.endpoint.connect_lazy()
    }

    async fn open(&self, channel: Channel) -> Result<(Open, Welcome), SessionError> {
        let mut client = RehearsalClient::new(channel)
            .max_decoding_message_size(MOST_COORDINATOR_BYTES)
            .max_encoding_message_size(MOST_AGENT_BYTES);
        let (say, said) = mpsc::channel(WAITING_WORDS);
        let mut open = Open { say, words: None };
        open.say(FromAgent::Join(self.join.clone())).await;
        let opened = async {
            let words = client.session(ReceiverStream::new(said)).await;
            open.words = Some(words.map_err(|status| SessionError::Lost(status.message().to_owned()))?.into_inner());
            open.hear().await
        };
        match tokio::time::timeout(WELCOME_WITHIN, opened).await {
            Ok(Ok(FromCoordinator::Welcome(welcome))) => Ok((open, welcome)),
            Ok(Ok(FromCoordinator::Refused { reason, for_now })) => Err(SessionError::Refused { reason, for_now }),
            Ok(Ok(other)) => Err(SessionError::OutOfTurn { found: format!("{other:?}"), needed: "a welcome" }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(SessionError::Lost(format!("no welcome within {} s", WELCOME_WITHIN.as_secs()))),
        }
    }
}

#[derive(Debug)]
struct Open {
    say: mpsc::Sender<AgentMessage>,
    words: Option<Streaming<CoordinatorMessage>>,
}

impl Open {
    async fn say(&self, message: FromAgent) {
        // A line that is closed is noticed by hearing, which tells why.
        let _ = self.say.send(message.into()).await;
    }

    async fn hear(&mut self) -> Result<FromCoordinator, SessionError> {
        let Some(words) = &mut self.words else { return Err(SessionError::Lost("it never answered".to_owned())) };
        match words.message().await {
            Ok(Some(message)) => Ok(message.try_into()?),
            Ok(None) => Err(SessionError::Lost("it closed the session".to_owned())),
            Err(status) => Err(SessionError::Lost(format!("the connection broke ({})", status.message()))),
        }
    }
}

#[derive(Debug)]
enum State {
    Open(Box<Open>),
    /// Somebody is at work on opening it again.
    Broken {
        why: String,
        reopened: JoinHandle<Result<Open, SessionError>>,
    },
    /// The coordinator that is there now does not want this agent back.
    Shut {
        why: String,
    },
}

/// A line that was opened once.
#[derive(Debug)]
pub(super) struct Line {
    place: Place,
    state: State,
}

/// What came over a line that is kept open.
#[derive(Debug)]
pub(super) enum Heard {
    /// A word.
    Word(FromCoordinator),
    /// It broke, and is being opened again.
    Broke,
    /// It is open again.
    Back,
}

impl Line {
    /// Says something; when the line is broken, nobody hears it.
    pub(super) async fn say(&self, message: FromAgent) {
        if let State::Open(open) = &self.state {
            open.say(message).await;
        }
    }

    /// Says something that will be said again, newer: when the line is busy or broken, it is left out.
    /// Tells whether it was taken.
    pub(super) fn say_if_free(&self, message: impl FnOnce() -> FromAgent) -> bool {
        let State::Open(open) = &self.state else { return false };
        open.say.try_reserve().is_ok_and(|place| {
            place.send(message().into());
            true
        })
    }

    /// Whether there is room to say something at once.
    pub(super) fn is_free(&self) -> bool {
        matches!(&self.state, State::Open(open) if open.say.capacity() > 0)
    }

    /// The next word. A line that breaks stays broken.
    pub(super) async fn hear(&mut self) -> Result<FromCoordinator, SessionError> {
        match &mut self.state {
            State::Open(open) => open.hear().await,
            State::Broken { why, .. } | State::Shut { why } => Err(SessionError::Lost(why.clone())),
        }
    }

    /// The next thing that happens to a line that is opened again whenever it breaks, for as long as anyone asks.
    /// May be dropped and asked for again at any time without losing anything.
    ///
    /// # Errors
    /// When the coordinator that is there now does not want this agent back.
    pub(super) async fn hear_or_reopen(&mut self) -> Result<Heard, SessionError> {
        match &mut self.state {
            State::Open(open) => match open.hear().await {
                Ok(word) => Ok(Heard::Word(word)),
                Err(error) => {
                    tracing::warn!(%error, "the line to the coordinator broke; the burst goes on, and the line is tried again");
                    let reopened = tokio::spawn(reopen(self.place.clone()));
                    self.state = State::Broken { why: error.to_string(), reopened };
                    Ok(Heard::Broke)
                }
            },
            State::Broken { reopened, .. } => {
                let reopened = reopened.await.unwrap_or_else(|error| Err(SessionError::Panicked(error.to_string())));
                let why = reopened.as_ref().err().map(ToString::to_string).unwrap_or_default();
                let (state, heard) = match reopened {
                    Ok(open) => (State::Open(Box::new(open)), Ok(Heard::Back)),
                    Err(error) => (State::Shut { why }, Err(error)),
                };
                self.state = state;
                heard
            }
            State::Shut { why } => Err(SessionError::Lost(why.clone())),
        }
    }

    /// Why the line is broken; `None` while it is not.
    pub(super) fn broken(&self) -> Option<&str> {
        match &self.state {
            State::Open(_) => None,
            State::Broken { why, .. } | State::Shut { why } => Some(why),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let State::Broken { reopened, .. } = &self.state {
            reopened.abort();
        }
    }
}

/// Tries until it succeeds, for whoever waits for it knows how long.
async fn reopen(place: Place) -> Result<Open, SessionError> {
    loop {
        tokio::time::sleep(BETWEEN_ATTEMPTS).await;
        let Ok(channel) = place.endpoint.connect().await else { continue };
        match place.open(channel).await {
            Ok((open, _)) => return Ok(open),
            // For now: the old session has not been noticed as broken yet.
            Err(SessionError::Lost(_) | SessionError::Refused { for_now: true, .. }) => {}
            Err(error) => return Err(error),
        }
    }
}

/// An error with what is behind it: "transport error" alone helps nobody.
fn in_words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut behind = error.source();
    while let Some(error) = behind {
        words = format!("{words}: {error}");
        behind = error.source();
    }
    words
}
