//! Tests of the tools over real SQLite files and over the scripted engine, through the handler as a server calls it.

mod budgets;
mod fixture;
mod inventory;
mod ops;
mod rules;
mod samples;
mod sql;
mod stats;
mod structure;
