//! Serves MCP endpoints over the embedded sample shop or over databases of your own; the work is done by the libraries.

mod admin;
mod args;
mod banner;
mod sample;
mod sample_source;
mod serve;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match serve::run(&args::Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            banner::say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}
