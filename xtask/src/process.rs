//! Starts other programs and finds files and programs on this machine; it knows no program's purpose.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::say;

/// The folder of the root manifest.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Cargo's build folder, as Cargo itself resolves it.
pub(crate) fn target_folder() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// True where a check that did not run is a failure.
pub(crate) fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}

/// `cargo` as the one that started us, so that a toolchain override holds for what we start.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    // `cargo run` describes xtask in variables; build scripts that watch them would run again in every inner build.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let describes_us =
            ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|start| name.starts_with(start));
        if describes_us || matches!(name.as_str(), "CARGO_CRATE_NAME" | "CARGO_PRIMARY_PACKAGE" | "OUT_DIR") {
            command.env_remove(&name);
        }
    }
    command
}

/// Finds a program on PATH, then in folders that distributions keep off PATH.
pub(crate) fn find(program: &str, usual_folders: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join(program));
    let usual = usual_folders.iter().map(|folder| Path::new(folder).join(program));
    on_path.chain(usual).find(|candidate| candidate.is_file())
}

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}

/// Runs to the end without input and hands back standard output; a failure carries both outputs' ends.
pub(crate) fn capture(command: &mut Command) -> Result<String, String> {
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| format!("{}: {error}", shown(command)))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(format!("{} ended with {}\n{}{}", shown(command), output.status, tail(&stdout), tail(&stderr)))
}

/// The last lines of an output.
pub(crate) fn tail(text: &str) -> String {
    const LINES_MAX: usize = 25;
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(LINES_MAX);
    lines[from..].iter().map(|line| format!("  {line}\n")).collect()
}

/// Notices that a person or a supervisor wants us gone, so that servers are stopped before we leave.
#[derive(Clone)]
pub(crate) struct Interrupted(Arc<AtomicBool>);

impl Interrupted {
    /// Watches SIGINT, SIGTERM and SIGHUP from here on.
    pub(crate) fn watch() -> Result<Self, String> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP]
        {
            signal_hook::flag::register(signal, Arc::clone(&flag))
                .map_err(|error| format!("signals: {error}"))?;
        }
        Ok(Self(flag))
    }

    /// True once a signal came.
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Runs with our terminal's output and no input, and ends it when we are interrupted.
pub(crate) fn run(command: &mut Command, interrupted: &Interrupted) -> Result<(), String> {
    say::line(&format!("$ {}", shown(command)));
    let mut child =
        command.stdin(Stdio::null()).spawn().map_err(|error| format!("{}: {error}", shown(command)))?;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("{} ended with {status}", shown(command))),
            Ok(None) => {}
            Err(error) => return Err(format!("{}: {error}", shown(command))),
        }
        if interrupted.is_set() {
            let _ = child.kill();
            let _ = child.wait();
            return Err("interrupted".to_owned());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Asks the system for a loopback port that nobody uses, preferring odd ones.
pub(crate) fn free_port() -> Result<u16, String> {
    let mut last = 0;
    for _ in 0..16 {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))
            .map_err(|error| format!("no loopback port: {error}"))?;
        last = listener.local_addr().map_err(|error| format!("no loopback port: {error}"))?.port();
        if last % 2 == 1 {
            return Ok(last);
        }
    }
    Ok(last)
}
