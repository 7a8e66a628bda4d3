//! Tests of the catalog over fake metadata; one file a subject.

mod agents;
mod documents;
mod harvest_runs;
mod search;
mod sharing;
pub(crate) mod support;
