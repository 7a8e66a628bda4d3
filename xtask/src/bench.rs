//! `cargo xtask bench`: CPU that a server spends on one trivial `tools/call`, ours beside the official SDK's; quality of discovery.

mod load;
mod peers;

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use crate::args::Args;
use crate::peer_process::{Farewell, PeerProcess};
use crate::{process, say};

const START_TIMEOUT: Duration = Duration::from_secs(30);
/// The tool that both servers have.
const TOOL: &str = "test_simple_text";

/// One of the servers that are compared.
struct Contender {
    name: &'static str,
    package: &'static str,
    args: &'static [&'static str],
}

const OURS: Contender = Contender { name: "mcp_server", package: "conformance_fixture", args: &["--no-tls"] };
const THEIRS: Contender = Contender { name: "rmcp", package: "rmcp_peer", args: &[] };

const BENCHES: &str = "there are `http`, `peers`, `harvest`, `discovery` and `nl2sql`";

pub(crate) fn command(words: &[String]) -> Result<(), String> {
    let mut args = Args::new(words);
    match args.word().as_deref() {
        Some("http") => {}
        Some("peers") => return peers::command(args),
        Some("harvest") => {
            let rest = args.finish()?;
            let mut run = process::cargo();
            run.args([
                "run",
                "--release",
                "--quiet",
                "--package",
                "bridge_host",
                "--example",
                "harvest_bench",
                "--",
            ]);
            return process::run(run.args(rest), &process::Interrupted::watch()?);
        }
        Some(which @ ("discovery" | "nl2sql")) => {
            return evaluate(which, &args.finish()?);
        }
        Some(other) => return Err(format!("no bench named `{other}`; {BENCHES}")),
        None => return Err(format!("which bench? {BENCHES}")),
    }
    let requests = args.number("--requests", 60_000)?;
    let connections = args.number("--connections", 8)?;
    let rounds = args.number("--rounds", 5)?;
    args.finish()?;
    http(requests, connections, rounds)
}

/// Quality of discovery without a model: references and schema linking, or schema linking alone; a missed goal fails. With
/// `-- --llm URL --model NAME` also what that model makes of questions.
fn evaluate(which: &str, rest: &[String]) -> Result<(), String> {
    let mut run = process::cargo();
    run.args(["run", "--quiet", "--package", "discover", "--bin", "evaluate", "--", which]).args(rest);
    process::run(&mut run, &process::Interrupted::watch()?)
}

/// Runs rounds in turn, so that a noisy minute of the machine hits both, and compares medians.
fn http(requests: u32, connections: u32, rounds: u32) -> Result<(), String> {
    let mut build = process::cargo();
    build.args(["build", "--release", "--package", OURS.package, "--package", THEIRS.package]);
    process::capture(&mut build)?;
    let folder = process::target_folder().join("bench");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let ours = Started::new(&OURS, &folder)?;
    let theirs = Started::new(&THEIRS, &folder)?;
    for server in [&ours, &theirs] {
        server.measure(requests.min(2_000), connections)?;
    }
    let mut measured = [Vec::new(), Vec::new()];
    for round in 1..=rounds {
        for (server, figures) in [&ours, &theirs].into_iter().zip(&mut measured) {
            let figure = server.measure(requests, connections)?;
            say::line(&format!(
                "round {round} {:<12} {:>7.1} µs CPU a request, {:>8.0} requests/s; alone p50 {:>6.1} µs",
                server.name, figure.cpu_us, figure.per_second, figure.alone_us
            ));
            figures.push(figure);
        }
    }
    let compare = |what: &str, of: fn(&Figure) -> f64| {
        let [ours, theirs] = measured.each_ref().map(|figures| median(figures.iter().map(of).collect()));
        let ratio = ours / theirs;
        say::line(&format!(
            "median {what}: {} {ours:.1} µs, {} {theirs:.1} µs; ratio {ratio:.2}",
            OURS.name, THEIRS.name
        ));
    };
    compare("of CPU a request", |figure| figure.cpu_us);
    compare("latency of one client (p50)", |figure| figure.alone_us);
    Ok(())
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A server under measurement.
struct Started {
    name: &'static str,
    process: PeerProcess,
    address: SocketAddr,
    path: String,
}

/// What one round brought.
struct Figure {
    cpu_us: f64,
    per_second: f64,
    /// Median latency of a client that nobody else disturbs.
    alone_us: f64,
}

impl Started {
    fn new(contender: &Contender, folder: &std::path::Path) -> Result<Self, String> {
        let address = SocketAddr::from(([127, 0, 0, 1], process::free_port()?));
        let mut command = Command::new(process::target_folder().join("release").join(contender.package));
        command.args(["--listen", &address.to_string()]).args(contender.args);
        let log = folder.join(format!("{}.log", contender.package));
        let mut process = PeerProcess::start(contender.name, &command, &log, Farewell::Terminate)?;
        process.wait_for_port(address.port(), START_TIMEOUT)?;
        process.wait_for_log("://", START_TIMEOUT)?;
        let path = crate::conformance::path_of(&process.log(), address)
            .ok_or_else(|| format!("{} named no URL", contender.name))?;
        Ok(Self { name: contender.name, process, address, path })
    }

    fn measure(&self, requests: u32, connections: u32) -> Result<Figure, String> {
        let before = cpu_us(self.process.pid())?;
        let took = load::run(self.address, &load::request(&self.path, TOOL), requests, connections)
            .map_err(|error| format!("{}: {error}", self.name))?;
        let spent = cpu_us(self.process.pid())? - before;
        let alone = load::timed(self.address, &load::request(&self.path, TOOL), requests.div_ceil(10), 1)
            .map_err(|error| format!("{}: {error}", self.name))?;
        Ok(Figure {
            cpu_us: spent / f64::from(requests),
            per_second: f64::from(requests) / took.as_secs_f64(),
            alone_us: alone.quantile(0.5).as_secs_f64() * 1e6,
        })
    }
}

/// User and system time of a process so far, in microseconds.
fn cpu_us(pid: u32) -> Result<f64, String> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let ticks = ticks_of(&text).ok_or_else(|| format!("{path}: not understood"))?;
    let per_second = process::capture(Command::new("getconf").arg("CLK_TCK"))?;
    let per_second: f64 = per_second.trim().parse().map_err(|error| format!("getconf CLK_TCK: {error}"))?;
    Ok(ticks * 1e6 / per_second)
}

/// Fields 14 and 15; the name in field 2 may hold blanks, so counting starts behind its bracket.
fn ticks_of(stat: &str) -> Option<f64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let user: f64 = fields.get(11)?.parse().ok()?;
    let system: f64 = fields.get(12)?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::{median, ticks_of};

    #[test]
    fn reads_user_and_system_time() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 1 0 0 0 25 17 0 0 20 0 1 0 100 0 0";
        assert_eq!(ticks_of(stat), Some(42.0));
        assert_eq!(ticks_of("7 (a) S 1"), None);
    }

    #[test]
    fn the_median_ignores_outliers() {
        assert!((median(vec![90.0, 10.0, 11.0]) - 11.0).abs() < f64::EPSILON);
    }
}
