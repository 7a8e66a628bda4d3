//! Harvests of real servers, compared with each other, with an independent reader, and after sudden ends.

#![expect(clippy::print_stderr, reason = "a skipped suite says so, and a run says what it counted")]

mod engines;
mod killed;
mod lines;
mod mariadb_features;
mod postgres_features;
mod same_schema;
mod search_words;
