//! The statement pipeline of the database side: rules, hooks, gate, cache, targets, pools and digests; it knows no agent protocol.
