//! Who is who: which sessions belong to which agents, and who may not take part.

use std::collections::BTreeMap;

use voteburst_burst::plan::PROTOCOL;
use voteburst_proto::message::Join;

use crate::conductor::AgentId;
use crate::trust::Token;

/// A session as the service numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// What is known of an agent since it joined.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it said when it first joined, without the token.
    pub join: Join,
    session: Option<SessionId>,
}

impl Entry {
    /// How a person would call it: machine and process.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} (process {})", self.join.host, self.join.pid)
    }
}

/// Whether an agent is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// It joined for the first time.
    New(AgentId),
    /// Its session had broken, and it is there again.
    Again(AgentId),
}

/// Why somebody does not take part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another protocol.
    #[error("speaks protocol {found} (version {version}): needed {PROTOCOL}; start the agent from the coordinator's version")]
    Protocol {
        /// What it speaks.
        found: u32,
        /// Its program's version.
        version: String,
    },
    /// A token is needed and none was shown.
    #[error("showed no join token: needed the coordinator's; start the agent with --token-file")]
    NoToken,
    /// The token is another one.
    #[error("showed another join token than the coordinator's: start the agent with the same --token-file")]
    WrongToken,
    /// The same process is there already.
    #[error("has joined already as {0}, whose session is still open")]
    Duplicate(AgentId),
    /// Too late.
    #[error("came after the run had begun with its {0} agents: wait for the next run")]
    Begun(u32),
}

/// The agents of one run.
#[derive(Debug)]
pub struct Roster {
    token: Option<Token>,
    entries: BTreeMap<AgentId, Entry>,
    /// Whose each open session is.
    sessions: BTreeMap<SessionId, AgentId>,
    next: u32,
}

impl Roster {
    /// An empty roster; with a token, only who shows it is admitted.
    #[must_use]
    pub fn new(token: Option<Token>) -> Self {
        Self { token, entries: BTreeMap::new(), sessions: BTreeMap::new(), next: 0 }
    }

    /// Judges who wants to take part. `gathering` tells whether the run still waits for agents.
    ///
    /// # Errors
    /// The refusal, in words for whoever started the agent.
    pub fn admit(&mut self, mut join: Join, session: SessionId, gathering: bool) -> Result<Admitted, Refusal> {
        if let Some(token) = &self.token {
            let shown = join.token.take().ok_or(Refusal::NoToken)?;
            if !token.matches(&shown) {
                return Err(Refusal::WrongToken);
            }
        }
        if join.protocol != PROTOCOL {
            return Err(Refusal::Protocol { found: join.protocol, version: join.version });
        }
        join.token = None;
        let known = self.entries.iter_mut().find(|(_, entry)| entry.join.incarnation == join.incarnation);
        if let Some((agent, entry)) = known {
            if entry.session.is_some() {
                return Err(Refusal::Duplicate(*agent));
            }
            entry.session = Some(session);
            self.sessions.insert(session, *agent);
            return Ok(Admitted::Again(*agent));
        }
        if !gathering {
            return Err(Refusal::Begun(u32::try_from(self.entries.len()).unwrap_or(u32::MAX)));
        }
        let agent = AgentId(self.next);
        self.next += 1;
        self.entries.insert(agent, Entry { join, session: Some(session) });
        self.sessions.insert(session, agent);
        Ok(Admitted::New(agent))
    }

    /// The agent of an open session.
    #[must_use]
    pub fn of_session(&self, session: SessionId) -> Option<AgentId> {
        self.sessions.get(&session).copied()
    }

    /// The open session of an agent.
    #[must_use]
    pub fn session_of(&self, agent: AgentId) -> Option<SessionId> {
        self.entries.get(&agent).and_then(|entry| entry.session)
    }

    /// Takes note that a session has ended; tells whose it was.
    pub fn leave(&mut self, session: SessionId) -> Option<AgentId> {
        let agent = self.sessions.remove(&session)?;
        self.entries.get_mut(&agent)?.session = None;
        Some(agent)
    }

    /// Forgets an agent that left before the run began, so that it may join anew.
    pub fn forget(&mut self, agent: AgentId) {
        let session = self.entries.remove(&agent).and_then(|entry| entry.session);
        session.map(|session| self.sessions.remove(&session));
    }

    /// What is known of an agent.
    #[must_use]
    pub fn entry(&self, agent: AgentId) -> Option<&Entry> {
        self.entries.get(&agent)
    }

    /// All agents by number.
    pub fn entries(&self) -> impl Iterator<Item = (AgentId, &Entry)> {
        self.entries.iter().map(|(agent, entry)| (*agent, entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(incarnation: u64) -> Join {
        Join {
            protocol: PROTOCOL,
            version: "9.9.9".into(),
            host: "host".into(),
            pid: 1,
            incarnation,
            token: None,
            allowed: Vec::new(),
        }
    }

    #[test]
    fn agents_are_numbered_in_the_order_of_joining() {
        let mut roster = Roster::new(None);
        for number in 0..3 {
            let admitted = roster.admit(join(u64::from(number) + 100), SessionId(number.into()), true);
            assert_eq!(admitted, Ok(Admitted::New(AgentId(number))));
        }
        assert_eq!(roster.of_session(SessionId(2)), Some(AgentId(2)));
    }

    #[test]
    fn each_refusal_has_its_class() {
        let mut roster = Roster::new(Some(Token::new("0123456789abcdef").unwrap()));
        let with_token = |token: Option<&str>| Join { token: token.map(Into::into), ..join(1) };
        assert_eq!(roster.admit(with_token(None), SessionId(0), true), Err(Refusal::NoToken));
        assert_eq!(roster.admit(with_token(Some("0123456789abcdeF")), SessionId(0), true), Err(Refusal::WrongToken));
        let foreign = Join { protocol: PROTOCOL + 1, ..with_token(Some("0123456789abcdef")) };
        assert_eq!(
            roster.admit(foreign, SessionId(0), true),
            Err(Refusal::Protocol { found: PROTOCOL + 1, version: "9.9.9".into() })
        );
        let sound = with_token(Some("0123456789abcdef"));
        assert_eq!(roster.admit(sound.clone(), SessionId(1), true), Ok(Admitted::New(AgentId(0))));
        assert_eq!(roster.admit(sound.clone(), SessionId(2), true), Err(Refusal::Duplicate(AgentId(0))));
        assert_eq!(roster.admit(Join { incarnation: 2, ..sound }, SessionId(3), false), Err(Refusal::Begun(1)));
    }

    #[test]
    fn the_same_incarnation_comes_back_as_the_same_agent_once_its_session_has_ended() {
        let mut roster = Roster::new(None);
        roster.admit(join(7), SessionId(0), true).unwrap();
        assert_eq!(roster.leave(SessionId(0)), Some(AgentId(0)));
        assert_eq!(roster.admit(join(7), SessionId(1), false), Ok(Admitted::Again(AgentId(0))));
        // What the old session still says belongs to nobody.
        assert_eq!(roster.of_session(SessionId(0)), None);
        assert_eq!(roster.leave(SessionId(0)), None);
    }

    #[test]
    fn the_token_is_not_kept() {
        let mut roster = Roster::new(Some(Token::new("0123456789abcdef").unwrap()));
        roster.admit(Join { token: Some("0123456789abcdef".into()), ..join(1) }, SessionId(0), true).unwrap();
        assert_eq!(roster.entry(AgentId(0)).unwrap().join.token, None);
    }
}
