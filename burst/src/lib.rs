//! What a vote burst is: pure rules, without I/O, async, clock reads or global randomness.

pub mod ballot;
pub mod clock;
pub mod draw;
pub mod outcome;
pub mod tally;
