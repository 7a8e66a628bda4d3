//! A program that runs beside a test and is stopped by its pid whatever happens; it knows no program's purpose.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::process;

/// The words of an error that mean: it started, and ended before it was ready.
pub(crate) const ENDED_EARLY: &str = "ended early";

/// How a program likes to be asked to leave.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Farewell {
    Terminate,
    Interrupt,
}

impl Farewell {
    fn signal(self) -> &'static str {
        match self {
            Self::Terminate => "TERM",
            Self::Interrupt => "INT",
        }
    }
}

/// A running program; dropping it stops it.
pub(crate) struct PeerProcess {
    name: String,
    child: Child,
    log: PathBuf,
    farewell: Farewell,
}

impl PeerProcess {
    /// Starts a program with its output in a log file. On Linux the kernel ends it when we die without a word.
    pub(crate) fn start(
        name: &str,
        command: &Command,
        log: &Path,
        farewell: Farewell,
    ) -> Result<Self, String> {
        let mut command = bound_to_us(command, farewell);
        let file = File::create(log).map_err(|error| format!("{}: {error}", log.display()))?;
        let copy = file.try_clone().map_err(|error| format!("{}: {error}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(copy)
            .spawn()
            .map_err(|error| format!("{name}: {}: {error}", process::shown(&command)))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_path_buf(), farewell })
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it said so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Waits until the log holds a phrase; fails when the program ends before, or too much time passes.
    pub(crate) fn wait_for_log(&mut self, phrase: &str, timeout: Duration) -> Result<(), String> {
        self.wait_until(timeout, &format!("saying `{phrase}`"), |log| log.contains(phrase))
    }

    /// Waits until something accepts connections on a loopback port.
    pub(crate) fn wait_for_port(&mut self, port: u16, timeout: Duration) -> Result<(), String> {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        self.wait_until(timeout, &format!("listening on {address}"), |_| {
            std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
        })
    }

    fn wait_until(
        &mut self,
        timeout: Duration,
        what: &str,
        done: impl Fn(&str) -> bool,
    ) -> Result<(), String> {
        let deadline = Instant::now() + timeout;
        loop {
            let log = self.log();
            if done(&log) {
                return Ok(());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                let log = process::tail(&log);
                return Err(format!("{} {ENDED_EARLY} with {status} before {what}\n{log}", self.name));
            }
            if Instant::now() > deadline {
                let log = process::tail(&log);
                return Err(format!("{} is not {what} after {} s\n{log}", self.name, timeout.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Asks it to leave, waits a while, then ends it.
    pub(crate) fn stop(&mut self) {
        const PATIENCE: Duration = Duration::from_secs(10);
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let ask = format!("kill -{} {}", self.farewell.signal(), self.child.id());
        let _ = process::capture(Command::new("sh").args(["-c", &ask]));
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for PeerProcess {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Wraps a command in `setpriv --pdeathsig`, where that exists, so that a kill of xtask leaves no server behind.
fn bound_to_us(command: &Command, farewell: Farewell) -> Command {
    let mut bound = match process::find("setpriv", &["/usr/bin"]) {
        Some(setpriv) if cfg!(target_os = "linux") => {
            let mut bound = Command::new(setpriv);
            bound.args(["--pdeathsig", farewell.signal()]);
            if command.get_program() != "setpriv" {
                bound.arg("--").arg(command.get_program());
            }
            bound
        }
        _ => Command::new(command.get_program()),
    };
    bound.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => bound.env(name, value),
            None => bound.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        bound.current_dir(folder);
    }
    bound
}

#[cfg(all(test, unix))]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::{Farewell, PeerProcess};

    #[test]
    fn stops_what_it_started_and_keeps_its_words() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo ready; exec sleep 600"]);
        let log = folder.path().join("log");
        let mut peer = PeerProcess::start("sleeper", &command, &log, Farewell::Terminate).unwrap();
        peer.wait_for_log("ready", Duration::from_secs(20)).unwrap();
        let pid = peer.pid();
        drop(peer);
        let alive = Command::new("sh").args(["-c", &format!("kill -0 {pid} 2>/dev/null")]).status().unwrap();
        assert!(!alive.success());
    }

    #[test]
    fn reports_an_early_end_with_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no space left; exit 3"]);
        let log = folder.path().join("log");
        let mut peer = PeerProcess::start("failing", &command, &log, Farewell::Terminate).unwrap();
        let error = peer.wait_for_log("ready", Duration::from_secs(20)).unwrap_err();
        assert!(error.contains("no space left") && error.contains("failing ended early"), "{error}");
    }
}
