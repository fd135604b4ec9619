//! The DNS wire: an authority, a caching carrier and a one-query stub, over hickory.
