//! `cargo xtask bench peers`: the same SQL through our query endpoint and through foreign MCP servers, side by side; it installs nothing.

mod start;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::load;
use crate::args::Args;
use crate::peer_process::{Farewell, PeerProcess};
use crate::{process, say};
use start::{Contender, Site, TOKEN};

const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Processes of one server that are counted.
const PROCESSES_MAX: usize = 64;
/// Time between the first answer and the look at the idle memory.
const SETTLE: Duration = Duration::from_secs(3);

/// A database that all servers are asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Engine {
    Postgres,
    Mariadb,
    Sqlite,
}

impl Engine {
    fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Mariadb => "MariaDB",
            Self::Sqlite => "SQLite",
        }
    }

    /// The file of an SQLite URL.
    fn file_of(self, url: &str) -> Result<&str, String> {
        url.strip_prefix("sqlite:").ok_or_else(|| format!("{}: no file", self.name()))
    }

    /// A thousand rows of eight columns of several types, made by the server.
    fn wide(self) -> String {
        let (columns, rows) = match self {
            Self::Postgres => (
                "g AS id, g * 7 AS a, 'customer ' || g AS b, (g * 1.25)::numeric(12, 2) AS c, \
                 timestamp '2024-01-01' + g * interval '1 hour' AS d, g % 2 = 0 AS e, md5(g::text) AS f, g / 3.0::float8 AS h",
                "",
            ),
            Self::Mariadb => (
                "g AS id, g * 7 AS a, CONCAT('customer ', g) AS b, CAST(g * 1.25 AS DECIMAL(12, 2)) AS c, \
                 TIMESTAMP('2024-01-01') + INTERVAL g HOUR AS d, g % 2 = 0 AS e, MD5(g) AS f, g / 3e0 AS h",
                RECURSION,
            ),
            Self::Sqlite => (
                "g AS id, g * 7 AS a, 'customer ' || g AS b, round(g * 1.25, 2) AS c, \
                 datetime('2024-01-01', g || ' hours') AS d, g % 2 = 0 AS e, hex(g) || 'f00dcafe0123456789abcdef' AS f, g / 3.0 AS h",
                RECURSION,
            ),
        };
        let from = if rows.is_empty() { "generate_series(1, 1000) g" } else { "g" };
        format!("{rows}SELECT {columns} FROM {from}")
    }
}

const RECURSION: &str = "WITH RECURSIVE g(g) AS (SELECT 1 UNION ALL SELECT g + 1 FROM g WHERE g < 1000) ";

/// A server under measurement.
struct Peer {
    name: &'static str,
    process: PeerProcess,
    address: SocketAddr,
    path: &'static str,
    tool: &'static str,
    first_answer: Duration,
    idle_mb: f64,
}

/// What one series of one server brought.
struct Figure {
    server: &'static str,
    cpu_us: f64,
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    rss_mb: f64,
}

pub(super) fn command(mut args: Args) -> Result<(), String> {
    let requests = args.number("--requests", 4_000)?;
    let urls = [
        (Engine::Postgres, url(&mut args, "--postgres", "PENSTOCK_TEST_POSTGRES_URL")?),
        (Engine::Mariadb, url(&mut args, "--mariadb", "PENSTOCK_TEST_MARIADB_URL")?),
    ];
    let program = |args: &mut Args, option, name| {
        Ok::<_, String>(args.value(option)?.map(PathBuf::from).or_else(|| process::find(name, &[])))
    };
    let toolbox = program(&mut args, "--toolbox", "toolbox-server")?;
    let dbhub = program(&mut args, "--dbhub", "dbhub")?;
    let out = args.value("--out")?.map(PathBuf::from);
    args.finish()?;
    let mut build = process::cargo();
    process::capture(build.args(["build", "--release", "--package", "serve"]))?;
    let folder = process::target_folder().join("bench");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut contenders = vec![Contender::ours()];
    match toolbox {
        Some(program) => contenders.push(Contender::toolbox(program)),
        None => say::line("toolbox: no `toolbox-server` on PATH and no --toolbox, left out"),
    }
    match dbhub {
        Some(program) => contenders.push(Contender::dbhub(program)),
        None => say::line("dbhub: no `dbhub` on PATH and no --dbhub, left out"),
    }
    let mut report = format!("{}\n", machine());
    for (engine, url) in urls {
        match url {
            Some(url) => report.push_str(&compare(engine, &url, &contenders, requests, &folder)?),
            None => say::line(&format!("{}: no server is named, left out", engine.name())),
        }
    }
    let file = folder.join("peers.sqlite");
    std::fs::write(&file, "").map_err(|error| format!("{}: {error}", file.display()))?;
    let url = format!("sqlite:{}", file.display());
    report.push_str(&compare(Engine::Sqlite, &url, &contenders, requests, &folder)?);
    let out = out.unwrap_or_else(|| folder.join("peers.md"));
    std::fs::write(&out, &report).map_err(|error| format!("{}: {error}", out.display()))?;
    say::line(&format!("{report}\nwritten to {}", out.display()));
    Ok(())
}

/// A URL by option or variable; one without a database names the engine's own.
fn url(args: &mut Args, option: &str, variable: &str) -> Result<Option<String>, String> {
    let url = args.value(option)?.or_else(|| std::env::var(variable).ok());
    Ok(url.map(|url| if url.ends_with('/') { format!("{url}information_schema") } else { url }))
}

/// One engine: every server is started, measured in turn and stopped.
fn compare(
    engine: Engine,
    url: &str,
    contenders: &[Contender],
    requests: u32,
    folder: &Path,
) -> Result<String, String> {
    let mut peers = Vec::new();
    for contender in contenders {
        match Peer::start(contender, engine, url, folder) {
            Ok(peer) => peers.push(peer),
            Err(error) => say::line(&format!("{} on {}: left out: {error}", contender.name, engine.name())),
        }
    }
    let mut text = format!(
        "\n### {}\n\n| Statement | Clients | Server | CPU µs/request | of the best peer's | requests/s | p50 ms | p99 ms | RSS MB |\n\
         |---|---|---|---|---|---|---|---|---|\n",
        engine.name()
    );
    let wide = engine.wide();
    let series = [("SELECT 1", "SELECT 1", 1_000), ("1,000 rows × 8 columns", wide.as_str(), 100)];
    for (what, sql, per_mille) in series {
        for connections in [1, 32] {
            let count = requests.saturating_mul(per_mille) / 1_000;
            let mut figures = Vec::new();
            for peer in &peers {
                match peer.measure(sql, connections, count) {
                    Ok(figure) => figures.push(figure),
                    Err(error) => say::line(&format!("{}: {what}: {error:.300}", peer.name)),
                }
            }
            text.push_str(&rows(what, connections, &figures));
        }
    }
    text.push_str("\n| Server | RSS MB idle | start to first answer ms |\n|---|---|---|\n");
    for peer in &peers {
        let first_ms = peer.first_answer.as_secs_f64() * 1e3;
        let _ = writeln!(text, "| {} | {:.0} | {first_ms:.0} |", peer.name, peer.idle_mb);
    }
    Ok(text)
}

/// The rows of one series; ours with its share of the best peer's processor time.
fn rows(what: &str, connections: u32, figures: &[Figure]) -> String {
    let ours = Contender::ours().name;
    let best = figures.iter().filter(|figure| figure.server != ours).map(|figure| figure.cpu_us);
    let best = best.fold(f64::INFINITY, f64::min);
    let mut text = String::new();
    for figure in figures {
        let share = if figure.server == ours && best.is_finite() {
            format!("{:.2}", figure.cpu_us / best)
        } else {
            String::new()
        };
        let _ = writeln!(
            text,
            "| {what} | {connections} | {} | {:.0} | {share} | {:.0} | {:.2} | {:.2} | {:.0} |",
            figure.server, figure.cpu_us, figure.per_second, figure.p50_ms, figure.p99_ms, figure.rss_mb
        );
    }
    text
}

/// What was measured on: processor, cores, kernel, load before the run.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = read("/proc/loadavg");
    format!(
        "Machine: {} ({cores} cores), Linux {}, load {} before the run.",
        model.map_or("unknown processor", |(_, name)| name.trim()),
        read("/proc/sys/kernel/osrelease").trim(),
        load.split_whitespace().next().unwrap_or("unknown")
    )
}

impl Peer {
    fn start(contender: &Contender, engine: Engine, url: &str, folder: &Path) -> Result<Self, String> {
        let port = process::free_port()?;
        let command = contender.command(&Site { engine, url, port, folder })?;
        let log = folder.join(format!("peer-{}-{}.log", contender.name, engine.name()));
        let begin = Instant::now();
        let process = PeerProcess::start(contender.name, &command, &log, Farewell::Terminate)?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let request = load::sql_request(contender.path, contender.tool, TOKEN, "SELECT 1");
        let first_answer = load::first_answer(address, &request, begin, START_TIMEOUT)?;
        std::thread::sleep(SETTLE);
        let idle_mb = rss_mb(&tree_of(process.pid()));
        let (name, path, tool) = (contender.name, contender.path, contender.tool);
        Ok(Self { name, process, address, path, tool, first_answer, idle_mb })
    }

    /// One series, after a warm-up that is not counted.
    fn measure(&self, sql: &str, connections: u32, requests: u32) -> Result<Figure, String> {
        let requests = requests.max(connections);
        let request = load::sql_request(self.path, self.tool, TOKEN, sql);
        load::run(self.address, &request, (requests / 10).max(connections), connections)?;
        let tree = tree_of(self.process.pid());
        let before = cpu_us(&tree)?;
        let load = load::timed(self.address, &request, requests, connections)?;
        let spent = cpu_us(&tree)? - before;
        let ms = |share: f64| load.quantile(share).as_secs_f64() * 1e3;
        Ok(Figure {
            server: self.name,
            cpu_us: spent / f64::from(requests),
            per_second: f64::from(requests) / load.took.as_secs_f64(),
            p50_ms: ms(0.5),
            p99_ms: ms(0.99),
            rss_mb: rss_mb(&tree),
        })
    }
}

impl Drop for Peer {
    /// A wrapper that is told to leave may forget what it has started.
    fn drop(&mut self) {
        let started = tree_of(self.process.pid());
        for pid in started.iter().skip(1) {
            let _ = process::capture(Command::new("kill").args(["-TERM", &pid.to_string()]));
        }
    }
}

/// A process and everything that it started: some peers come in a wrapper.
fn tree_of(pid: u32) -> Vec<u32> {
    let mut tree = vec![pid];
    let mut at = 0;
    while let Some(parent) = tree.get(at).copied() {
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
        tree.extend(
            children.unwrap_or_default().split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()),
        );
        at += 1;
        if tree.len() >= PROCESSES_MAX {
            break;
        }
    }
    tree
}

fn cpu_us(tree: &[u32]) -> Result<f64, String> {
    tree.iter().map(|pid| super::cpu_us(*pid)).sum()
}

fn rss_mb(tree: &[u32]) -> f64 {
    let kb = |pid: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().to_owned();
        line.strip_suffix(" kB")?.trim().parse::<f64>().ok()
    };
    tree.iter().filter_map(kb).sum::<f64>() / 1024.0
}

#[cfg(test)]
mod tests {
    use super::{Engine, Figure, rows, tree_of};

    #[test]
    fn ours_is_compared_with_the_best_of_the_others() {
        let figure = |server, cpu_us| Figure {
            server,
            cpu_us,
            per_second: 1.0,
            p50_ms: 1.0,
            p99_ms: 1.0,
            rss_mb: 1.0,
        };
        let text =
            rows("x", 1, &[figure("penstock", 50.0), figure("toolbox", 100.0), figure("dbhub", 200.0)]);
        assert!(text.starts_with("| x | 1 | penstock | 50 | 0.50 |"), "{text}");
        assert_eq!(text.lines().count(), 3);
    }

    #[test]
    fn wide_statements_are_one_statement() {
        for engine in [Engine::Postgres, Engine::Mariadb, Engine::Sqlite] {
            let sql = engine.wide();
            assert!(sql.contains("1000") && sql.contains(" AS h") && !sql.contains(';'), "{sql}");
        }
    }

    #[test]
    fn a_tree_begins_with_its_root() {
        assert_eq!(tree_of(std::process::id()).first(), Some(&std::process::id()));
    }
}
