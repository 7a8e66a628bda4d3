//! Discovers a database in two phases and writes a report as HTML and Markdown; the work is done by the libraries.

mod args;
mod client;
mod model;
mod phases;
mod report;
mod sample;
mod screen;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match phases::run(&args::Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            screen::say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}
