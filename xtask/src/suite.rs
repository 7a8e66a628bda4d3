//! `cargo xtask test`: live servers around the test runner; the servers belong to `services`.

use std::process::Command;

use crate::args::Args;
use crate::process::{self, Interrupted};
use crate::{say, services};

/// What the person asked for.
#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) offline: bool,
    pub(crate) only_live: bool,
    pub(crate) runner_args: Vec<String>,
}

pub(crate) fn command(words: &[String]) -> Result<(), String> {
    let mut args = Args::new(words);
    let offline = args.switch("--offline");
    let only_live = match args.value("--only")?.as_deref() {
        None => false,
        Some("live") => true,
        Some(other) => return Err(format!("`--only {other}` is unknown; `--only live` is the one")),
    };
    let options = Options { offline, only_live, runner_args: args.finish()? };
    run(&options, &Interrupted::watch()?)
}

/// Starts servers, runs all tests against them, stops the servers; says loudly what did not run.
pub(crate) fn run(options: &Options, interrupted: &Interrupted) -> Result<(), String> {
    say::heading("servers for live tests");
    let started = services::start(options.offline)?;
    for missing in &started.missing {
        say::line(&format!("NOT RUN: tests against {missing}"));
    }
    let mut failures = Vec::new();
    for mut command in runners(options) {
        command.envs(started.variables.iter().map(|(name, value)| (name, value)));
        if interrupted.is_set() {
            return Err("interrupted".to_owned());
        }
        say::heading(&process::shown(&command));
        failures.extend(process::run(&mut command, interrupted).err());
    }
    for missing in &started.missing {
        say::line(&format!("NOT RUN: tests against {missing}"));
    }
    if process::is_ci() && !started.missing.is_empty() {
        failures.push(format!("{} server(s) could not be started, and CI=true", started.missing.len()));
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

fn runners(options: &Options) -> Vec<Command> {
    let has_nextest = process::capture(process::cargo().args(["nextest", "--version"])).is_ok();
    let names_a_package = options.runner_args.iter().any(|arg| arg == "-p" || arg.starts_with("--package"));
    let workspace = if names_a_package { None } else { Some("--workspace") };
    let mut tests = process::cargo();
    if has_nextest {
        tests.args(["nextest", "run", "--no-fail-fast"]).args(workspace);
        if options.only_live {
            tests.args(["-E", "binary(/live/) | test(/live/)"]);
        }
    } else {
        tests.args(["test", "--no-fail-fast"]).args(workspace);
        if options.only_live {
            tests.arg("live");
        }
    }
    tests.args(&options.runner_args);
    let mut runners = vec![tests];
    // nextest runs no documentation tests; `cargo test` without it runs them by itself.
    if has_nextest && !options.only_live && options.runner_args.is_empty() {
        let mut documentation = process::cargo();
        documentation.args(["test", "--doc", "--workspace"]);
        runners.push(documentation);
    }
    runners
}
