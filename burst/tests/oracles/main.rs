//! Known outcomes of DNS in a burst: small worlds whose result is certain, closed forms, and a table by an independent model.
//!
//! Everything runs in virtual time from seeds, so a failure repeats.

mod known;
mod models;
mod playing;
mod published;
mod table;
