//! `cargo xtask fuzz`: runs the libFuzzer targets of `fuzz/` one after the other; what each asserts stands in the target.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::args::Args;
use crate::process::{self, Interrupted};
use crate::{say, tools};

/// Long enough to see whether a target works at all; a campaign asks for more.
const SECONDS: u32 = 60;

/// No target's input is useful beyond this.
const INPUT_BYTES_MAX: u32 = 8192;

/// A single input that takes longer is a finding.
const INPUT_SECONDS_MAX: u32 = 5;

/// Memory of one target, above which libFuzzer reports a finding.
const MEMORY_MIB_MAX: u32 = 2048;

pub(crate) fn command(words: &[String]) -> Result<(), String> {
    let mut args = Args::new(words);
    let seconds = args.number("--seconds", SECONDS)?;
    let mut wanted = Vec::new();
    while let Some(word) = args.word() {
        wanted.push(word);
    }
    args.finish()?;
    let folder = process::root().join("fuzz");
    let known = targets(&folder)?;
    if let Some(unknown) = wanted.iter().find(|name| !known.contains(name)) {
        return Err(format!("no fuzz target `{unknown}`; there are {}", known.join(", ")));
    }
    let program = find()?;
    let interrupted = Interrupted::watch()?;
    let mut found = Vec::new();
    for target in known.iter().filter(|name| wanted.is_empty() || wanted.contains(name)) {
        say::heading(target);
        match process::run(&mut run(&folder, &program, target, seconds)?, &interrupted) {
            Ok(()) => say::line(&format!("{target}: {seconds} s without a finding")),
            Err(error) if interrupted.is_set() => return Err(error),
            Err(_) => found.push(target.as_str()),
        }
    }
    if found.is_empty() { Ok(()) } else { Err(format!("findings: {}", found.join(", "))) }
}

/// The names of the files in `fuzz_targets`, sorted.
fn targets(folder: &Path) -> Result<Vec<String>, String> {
    let folder = folder.join("fuzz_targets");
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.path().file_stem()?.to_str().map(str::to_owned)).collect();
    names.sort();
    Ok(names)
}

/// What was found before (`corpus`) and what the repository gives (`seeds`) are both starting points.
fn run(folder: &Path, program: &Path, target: &str, seconds: u32) -> Result<Command, String> {
    let corpus = folder.join("corpus").join(target);
    std::fs::create_dir_all(&corpus).map_err(|error| format!("{}: {error}", corpus.display()))?;
    let mut command = Command::new("rustup");
    command.current_dir(process::root()).args(["run", "nightly"]).arg(program);
    command.args(["run", "--fuzz-dir"]).arg(folder).arg(target).arg(corpus);
    let language = target.split('_').next().unwrap_or_default();
    let seeds = folder.join("seeds").join(language);
    if seeds.is_dir() {
        command.arg(&seeds);
    }
    command.arg("--").arg(format!("-max_total_time={seconds}"));
    command.args([
        format!("-max_len={INPUT_BYTES_MAX}"),
        format!("-timeout={INPUT_SECONDS_MAX}"),
        format!("-rss_limit_mb={MEMORY_MIB_MAX}"),
        "-print_final_stats=1".to_owned(),
    ]);
    let words = folder.join("seeds").join(format!("{language}.dict"));
    if words.is_file() {
        command.arg(format!("-dict={}", words.display()));
    }
    Ok(command)
}

/// cargo-fuzz of this machine, or one that is built once.
fn find() -> Result<PathBuf, String> {
    if let Some(program) = process::find("cargo-fuzz", &[]) {
        return Ok(program);
    }
    let folder = tools::folder().join("cargo-fuzz");
    let program = folder.join("bin/cargo-fuzz");
    if !program.is_file() {
        say::line("installing cargo-fuzz");
        let mut install = process::cargo();
        process::capture(install.args(["install", "--locked", "cargo-fuzz", "--root"]).arg(&folder))?;
    }
    Ok(program)
}
