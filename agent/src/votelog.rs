//! The agent's own record of its votes: one byte per ticket, in plan order.
//!
//! The intent is noted before the first byte of a vote leaves, so that whatever interrupts the agent afterwards,
//! a ticket without intent was never sent, and one with intent but without an end is unknown.

use voteburst_burst::outcome::Fate;

const FATE: u8 = 0b0000_0011;
const INTENT: u8 = 0b0100_0000;
const ENDED: u8 = 0b1000_0000;

/// The log of one share.
#[derive(Debug, Default)]
pub(crate) struct VoteLog {
    bytes: Vec<u8>,
    ended: u32,
}

impl VoteLog {
    /// A log for this many tickets, none of which was touched.
    pub(crate) fn new(tickets: usize) -> Self {
        Self { bytes: vec![0; tickets], ended: 0 }
    }

    /// The next thing to happen is that bytes of this ticket's vote leave.
    pub(crate) fn intend(&mut self, ticket: usize) {
        self.bytes[ticket] |= INTENT;
    }

    /// Nothing more happens for this ticket. Only the first end of a ticket counts.
    pub(crate) fn end(&mut self, ticket: usize, fate: Fate) {
        if self.bytes[ticket] & ENDED == 0 {
            self.bytes[ticket] = self.bytes[ticket] & INTENT | ENDED | fate as u8;
            self.ended += 1;
        }
    }

    /// How many tickets have ended.
    pub(crate) fn ended(&self) -> u32 {
        self.ended
    }

    /// The fate of each ticket, by number, as far as it is known now.
    pub(crate) fn fates(&self) -> Vec<u8> {
        self.bytes
            .iter()
            .map(|byte| match (byte & ENDED != 0, byte & INTENT != 0) {
                (true, _) => byte & FATE,
                (false, true) => Fate::Unknown as u8,
                (false, false) => Fate::NeverSent as u8,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_with_intent_and_without_an_end_is_unknown() {
        let mut log = VoteLog::new(4);
        for ticket in 1..4 {
            log.intend(ticket);
        }
        log.end(2, Fate::Accepted);
        log.end(3, Fate::Refused);
        let known = [Fate::NeverSent, Fate::Unknown, Fate::Accepted, Fate::Refused].map(|fate| fate as u8);
        assert_eq!((log.fates(), log.ended()), (known.to_vec(), 2));
    }

    #[test]
    fn a_ticket_that_was_never_sent_stays_so_when_it_ends() {
        let mut log = VoteLog::new(1);
        log.end(0, Fate::NeverSent);
        assert_eq!((log.fates(), log.ended()), (vec![Fate::NeverSent as u8], 1));
    }

    #[test]
    fn only_the_first_end_of_a_ticket_counts() {
        let mut log = VoteLog::new(1);
        log.end(0, Fate::Accepted);
        log.end(0, Fate::Refused);
        assert_eq!((log.fates(), log.ended()), (vec![Fate::Accepted as u8], 1));
    }
}
