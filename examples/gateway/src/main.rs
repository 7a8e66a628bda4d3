//! A SQL proxy with hooks on the data path, an admin console and MCP beside it: what embedding the libraries means.

mod args;
mod backends;
mod engine;
mod failure;
mod guard;
mod metrics;
mod mysql;
mod pg;
mod ports;
mod serve;
mod sqlite;
mod stream;
mod users;
mod values;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match serve::run(&args::Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// One line on standard error; a closed terminal is no reason to stop.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
