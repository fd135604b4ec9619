//! Which queries came, and what each was told.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How many queries the log keeps; older ones are dropped.
pub const LOG_LENGTH: usize = 100_000;

/// One query as it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryRecord {
    /// When, after the authority was opened.
    pub at: Duration,
    /// Who asked.
    pub peer: SocketAddr,
    /// Which type was asked for, such as `A` or `AAAA`.
    pub kind: &'static str,
    /// The addresses answered, in order; none unless the type was `A` or `AAAA`.
    pub addresses: Vec<IpAddr>,
    /// The set ids of the records answered, in the same order.
    pub set_ids: Vec<String>,
    /// The network on whose behalf was asked (RFC 7871), such as `192.0.2.0/24`.
    pub client_subnet: Option<String>,
}

/// The last queries.
#[derive(Debug, Default)]
pub(super) struct Log(VecDeque<QueryRecord>);

impl Log {
    pub(super) fn note(&mut self, record: QueryRecord) {
        if self.0.len() == LOG_LENGTH {
            self.0.pop_front();
        }
        self.0.push_back(record);
    }

    /// Oldest first.
    pub(super) fn all(&self) -> Vec<QueryRecord> {
        self.0.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_drops_its_oldest_queries() {
        let mut log = Log::default();
        let peer = SocketAddr::from(([127, 0, 0, 1], 53));
        for second in 0..LOG_LENGTH as u64 + 3 {
            let at = Duration::from_secs(second);
            log.note(QueryRecord { at, peer, kind: "A", addresses: vec![], set_ids: vec![], client_subnet: None });
        }
        assert_eq!((log.0.len(), log.0[0].at), (LOG_LENGTH, Duration::from_secs(3)));
    }
}
