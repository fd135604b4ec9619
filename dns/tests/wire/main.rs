//! The DNS wire on loopback: what a phone, a carrier and an authority say to one another, byte for byte.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod aliases;
mod authority;
mod carrier;
mod find;
mod fixture;
mod hostile;
mod stub;
