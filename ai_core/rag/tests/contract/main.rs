//! Contract of the engine over its public interface, with sources and models in memory.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod admin;
mod ingest;
mod reads;
mod search;
mod support;
