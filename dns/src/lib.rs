//! The DNS wire: [`authority`] answers by a zone's policy, [`carrier`] caches as an ISP's resolver does, [`stub`] asks one
//! question and keeps the answer as it came, [`find`] finds out whom to ask.
//!
//! Deliberately absent: the behaviour of clients (phones are in `voteburst_burst::phone`), and hickory's own resolver, which
//! shares queries in flight, never rotates cached answers and owns its clock.

pub mod authority;
pub mod carrier;
mod clock;
pub mod find;
mod name;
mod server;
pub mod stub;
