//! What a vote burst is: pure rules, without I/O, async, clock reads or global randomness.

pub mod ballot;
pub mod draw;
