//! Where a rehearsal needs no installed software: HAProxy-like proxies, ballot box and zone on loopback.
