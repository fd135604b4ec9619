//! Where a rehearsal needs no installed software: HAProxy-like proxies, ballot box and zone on loopback.
//!
//! In reading order: `http` reads one request, [`ballot`] the vote in it; `queue` decides which web server may work on
//! it and who waits; `proxy` accepts connections up to its limit and `connection` serves each; [`worker`] is the process
//! that holds several proxies or a part of one (then [`protocol::Share`] and `tokens` keep the limits one), led over [`protocol`]; [`world`] is the parent's side: it picks a `place`, works out how
//! many workers the file limit demands (`limits`), starts them (`child`) and merges what they counted. Where the target
//! is https, `certificate` makes an authority for the one run, `tls` stands in front of `connection`, and `http2` beside it.
//!
//! Deliberately absent: the stage's name, which the command has `dns::authority` answer with the world's addresses;
//! health checks, real web servers. The stage is a model of HAProxy's limits, checked against the behaviour
//! measured on HAProxy 2.6, and no substitute for a rehearsal on the real thing.

pub mod ballot;
pub mod ballots_file;
mod certificate;
mod child;
mod clock;
mod connection;
pub mod counters;
pub mod error;
mod http;
mod http2;
mod limits;
mod place;
pub mod protocol;
mod proxy;
mod queue;
mod tls;
mod tokens;
pub mod worker;
pub mod world;
