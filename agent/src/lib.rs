//! Who votes: an agent holds its viewers' connections and fires their tickets.
