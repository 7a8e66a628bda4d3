//! `cargo xtask ci`: every check in one run with a table at the end; the checks themselves live elsewhere.

use std::process::Command;
use std::time::Instant;

use crate::args::Args;
use crate::process::{self, Interrupted};
use crate::{deny, layering, say, suite, tidy};

/// One line of the table.
struct Step {
    name: &'static str,
    seconds: u64,
    outcome: Result<(), String>,
}

pub(crate) fn command(words: &[String]) -> Result<(), String> {
    let mut args = Args::new(words);
    let without_tests = args.switch("--no-tests");
    args.finish()?;
    let interrupted = Interrupted::watch()?;
    let mut steps = Vec::new();
    let mut step = |name: &'static str, work: &dyn Fn() -> Result<(), String>| {
        if interrupted.is_set() {
            return;
        }
        say::heading(name);
        let begin = Instant::now();
        let outcome = work();
        if let Err(error) = &outcome {
            say::line(error);
        }
        steps.push(Step { name, seconds: begin.elapsed().as_secs(), outcome });
    };
    // The tests come first: they tell most, and a failure there is worth knowing even if a lint fails too.
    if !without_tests {
        step("test", &|| suite::run(&suite::Options::default(), &interrupted));
    }
    step("format", &|| process::run(process::cargo().args(["fmt", "--all", "--check"]), &interrupted));
    step("clippy", &|| process::run(&mut clippy(), &interrupted));
    step("alone", &|| process::run(&mut alone(), &interrupted));
    step("layering", &|| layering::command(&[]));
    step("tidy", &|| tidy::command(&[]));
    step("deny", &deny::run);
    finish(&steps, interrupted.is_set())
}

fn clippy() -> Command {
    let mut command = process::cargo();
    command.args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    command
}

/// The libraries that hosts take without the rest, with the features that they alone ask for: what another member turns on
/// in a build of the whole workspace must not be needed by them.
fn alone() -> Command {
    let mut command = process::cargo();
    command.args(["check", "--package", "mcp", "--package", "mcp_server", "--package", "bridge"]);
    command
}

fn finish(steps: &[Step], interrupted: bool) -> Result<(), String> {
    say::heading("summary");
    for step in steps {
        let word = if step.outcome.is_ok() { "ok" } else { "FAILED" };
        say::line(&format!("{:<10} {word:<7} {:>5} s", step.name, step.seconds));
    }
    let failed: Vec<&str> = steps.iter().filter(|step| step.outcome.is_err()).map(|step| step.name).collect();
    if interrupted {
        return Err("interrupted".to_owned());
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}
