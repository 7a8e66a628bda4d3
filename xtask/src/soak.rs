//! `cargo xtask soak`: many clients on the serve example while its databases restart, vanish and lose connections; tells
//! numbers and fails on a wrong answer, a stuck call, a leak or a slow recovery.

mod clients;
mod faults;
mod servers;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::args::Args;
use crate::peer_process::{Farewell, PeerProcess};
use crate::services::Place;
use crate::{process, say};

use clients::{Fleet, Outcome, TOKEN};
use faults::Faults;
use servers::Databases;

const START_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest time from the end of a fault until every target answers again.
const RECOVERY_MAX: Duration = Duration::from_secs(12);
/// What is left to settle before connections are counted.
const QUIET: Duration = Duration::from_secs(20);
/// Sessions that one target may keep: the size of its pool.
const SESSIONS_MAX: usize = 10;

pub(crate) fn command(words: &[String]) -> Result<(), String> {
    let mut args = Args::new(words);
    let minutes = args.number("--minutes", 15)?;
    let clients = args.number("--clients", 1_000)?;
    let think_ms = args.number("--think-ms", 4_000)?;
    let seed = args.number("--seed", 1)?;
    args.finish()?;
    let mut build = process::cargo();
    process::capture(build.args(["build", "--release", "--package", "serve"]))?;
    let place = Place::new(true)?;
    let mut databases = Databases::start(&place)?;
    let serve = Serve::start(&place.folder, &databases)?;
    say::line(&format!(
        "serve on {} (pid {}), {clients} clients, {minutes} minutes, seed {seed}",
        serve.address,
        serve.process.pid()
    ));
    wait_until_served(&serve, &databases)?;
    let before = Usage::of(serve.process.pid());
    let fleet =
        Fleet::start(serve.address, databases.names(), clients, Duration::from_millis(think_ms.into()))?;
    let interrupted = process::Interrupted::watch()?;
    let mut faults = Faults::new(u64::from(seed), serve.address);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(u64::from(minutes) * 60) && !interrupted.is_set() {
        faults.pause();
        faults.one(&mut databases, &fleet)?;
        say::line(&format!("{:>5} s  {}", begin.elapsed().as_secs(), faults.last()));
    }
    databases.restore()?;
    wait_until_served(&serve, &databases)?;
    let took = begin.elapsed();
    let counts = fleet.stop();
    std::thread::sleep(QUIET);
    let after = Usage::of(serve.process.pid());
    let leaked = databases.sessions()?;
    report(&counts, &faults, took, (&before, &after), &leaked)
}

/// The program under test.
struct Serve {
    process: PeerProcess,
    address: SocketAddr,
}

impl Serve {
    fn start(folder: &Path, databases: &Databases) -> Result<Self, String> {
        let port = process::free_port()?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut command = Command::new(process::target_folder().join("release/serve"));
        command.arg("--data-dir").arg(folder.join("serve")).args(["--no-tls", "--token", TOKEN]);
        command.args(["--refresh-s", "60", "--listen", &address.to_string()]);
        for (name, url) in databases.targets() {
            command.args(["--target", &format!("{name}={url}")]);
        }
        let mut process =
            PeerProcess::start("serve", &command, &folder.join("serve.log"), Farewell::Terminate)?;
        process.wait_for_port(port, START_TIMEOUT)?;
        Ok(Self { process, address })
    }
}

fn wait_until_served(serve: &Serve, databases: &Databases) -> Result<(), String> {
    let deadline = Instant::now() + START_TIMEOUT;
    for name in databases.names() {
        while clients::probe(serve.address, &name) != Outcome::Right {
            if Instant::now() > deadline {
                return Err(format!("target {name} does not answer"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    Ok(())
}

/// What the program holds.
struct Usage {
    resident_mb: u64,
    threads: u64,
    files: usize,
}

impl Usage {
    fn of(pid: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let number = |field: &str| {
            let line = status.lines().find_map(|l| l.strip_prefix(field));
            line.and_then(|l| l.split_whitespace().next()).and_then(|n| n.parse().ok()).unwrap_or(0)
        };
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
        Self { resident_mb: number("VmRSS:") / 1024, threads: number("Threads:"), files }
    }
}

fn report(
    counts: &clients::Counts,
    faults: &Faults,
    took: Duration,
    (before, after): (&Usage, &Usage),
    leaked: &[(String, usize, usize)],
) -> Result<(), String> {
    let mut failures = Vec::new();
    say::heading("soak");
    say::line(&format!(
        "{} s, {} calls: {} right, {} refused with a code, {} without an answer, {} wrong, {} stuck; slowest {:.1} s",
        took.as_secs(),
        counts.total(),
        counts.right,
        counts.refused,
        counts.cut,
        counts.wrong.len(),
        counts.stuck,
        counts.slowest.as_secs_f64()
    ));
    for (code, number) in &counts.codes {
        say::line(&format!("  {code}: {number}"));
    }
    for (kind, seen) in faults.summary() {
        say::line(&format!(
            "  {kind:<28} {:>3} times, every target answers after {:.1} s (median), {:.1} s (longest)",
            seen.times,
            seen.median.as_secs_f64(),
            seen.longest.as_secs_f64()
        ));
        if seen.longest > RECOVERY_MAX {
            failures.push(format!("{kind}: recovery took {:.1} s", seen.longest.as_secs_f64()));
        }
    }
    say::line(&format!(
        "memory {} to {} MB, threads {} to {}, open files {} to {}",
        before.resident_mb, after.resident_mb, before.threads, after.threads, before.files, after.files
    ));
    for (server, sessions, busy) in leaked {
        say::line(&format!("{server}: {sessions} sessions at the end, {busy} of them busy"));
        if *sessions > SESSIONS_MAX || *busy > 0 {
            failures.push(format!("{server}: {sessions} sessions, {busy} busy"));
        }
    }
    for text in counts.wrong.iter().take(5) {
        failures.push(format!("wrong answer: {text}"));
    }
    if counts.stuck > 0 {
        failures.push(format!("{} calls without an answer in time", counts.stuck));
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

/// A small generator of numbers that are random enough for a load.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end.max(1)
    }
}

type Shared<T> = Arc<std::sync::Mutex<T>>;
