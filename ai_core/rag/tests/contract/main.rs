//! Contract of the engine over its public interface, with sources and models in memory.

mod admin;
mod ingest;
mod reads;
mod search;
mod support;
