//! `cargo xtask bench peers`: the same SQL through our query endpoint and through foreign MCP servers, side by side; it installs nothing.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::load;
use crate::args::Args;
use crate::peer_process::{Farewell, PeerProcess};
use crate::{process, say};

const START_TIMEOUT: Duration = Duration::from_secs(30);
const TOKEN: &str = "bench-peers-token";
/// Processes of one server that are counted.
const PROCESSES_MAX: usize = 64;

/// What is measured: a name, the statement, connections, requests per thousand asked for.
const SERIES: &[(&str, &str, u32, u32)] = &[
    ("SELECT 1, 1 connection", "SELECT 1", 1, 1_000),
    ("SELECT 1, 32 connections", "SELECT 1", 32, 1_000),
    ("200 rows x 8 columns, 1 connection", WIDE, 1, 250),
    ("200 rows x 8 columns, 32 connections", WIDE, 32, 250),
];

/// As many rows as our server gives without further settings.
const WIDE: &str = "SELECT g AS id, g * 7 AS a, 'customer ' || g AS b, (g * 1.25)::numeric(12, 2) AS c, \
timestamp '2024-01-01' + g * interval '1 hour' AS d, g % 2 = 0 AS e, md5(g::text) AS f, g / 3.0::float8 AS h \
FROM generate_series(1, 200) g";

/// A server under measurement.
struct Peer {
    name: &'static str,
    process: PeerProcess,
    address: SocketAddr,
    path: &'static str,
    tool: &'static str,
}

pub(super) fn command(mut args: Args) -> Result<(), String> {
    let requests = args.number("--requests", 5_000)?;
    let url = args.value("--postgres")?.or_else(|| std::env::var("PENSTOCK_TEST_POSTGRES_URL").ok());
    let toolbox =
        args.value("--toolbox")?.map(PathBuf::from).or_else(|| process::find("toolbox-server", &[]));
    let dbhub = args.value("--dbhub")?.map(PathBuf::from).or_else(|| process::find("dbhub", &[]));
    args.finish()?;
    let url =
        url.ok_or("`--postgres URL` or PENSTOCK_TEST_POSTGRES_URL names the server that all peers ask")?;
    let mut build = process::cargo();
    process::capture(build.args(["build", "--release", "--package", "serve"]))?;
    let folder = process::target_folder().join("bench");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut peers = vec![ours(&url, &folder)?];
    match toolbox {
        Some(program) => peers.push(start_toolbox(&program, &url, &folder)?),
        None => say::line("toolbox: no `toolbox-server` on PATH and no --toolbox, left out"),
    }
    match dbhub {
        Some(program) => peers.push(start_dbhub(&program, &url, &folder)?),
        None => say::line("dbhub: no `dbhub` on PATH and no --dbhub, left out"),
    }
    say::line("| Statement | Server | CPU µs/request | requests/s | p50 ms | p99 ms | RSS MB |");
    say::line("|---|---|---|---|---|---|---|");
    for (what, sql, connections, per_mille) in SERIES {
        for peer in &peers {
            say::line(&peer.measure(what, sql, *connections, requests.saturating_mul(*per_mille) / 1_000)?);
        }
    }
    Ok(())
}

fn ours(url: &str, folder: &Path) -> Result<Peer, String> {
    let port = process::free_port()?;
    let mut command = Command::new(process::target_folder().join("release/serve"));
    command.arg("--data-dir").arg(folder.join("peers-data")).args(["--no-tls", "--token", TOKEN]);
    command.args(["--target", &format!("bench={url}"), "--refresh-s", "0"]);
    // The peers use whatever account the URL names; so do we here.
    command.arg("--allow-privileged-backend");
    command.args(["--listen", &format!("127.0.0.1:{port}")]);
    Peer::start("penstock", &command, port, "/mcp/query", "run_sql_readonly", folder)
}

fn start_toolbox(program: &Path, url: &str, folder: &Path) -> Result<Peer, String> {
    let port = process::free_port()?;
    let to = Parts::of(url)?;
    let config = folder.join("toolbox.yaml");
    let text = format!(
        "sources:\n  pg:\n    kind: postgres\n    host: {}\n    port: {}\n    database: {}\n    user: {}\n    password: {}\n\
         tools:\n  execute_sql:\n    kind: postgres-execute-sql\n    source: pg\n    description: runs a statement\n",
        to.host,
        to.port,
        to.database,
        to.user,
        to.password_or_any()
    );
    std::fs::write(&config, text).map_err(|error| format!("{}: {error}", config.display()))?;
    let mut command = Command::new(program);
    command.arg("--config").arg(&config).args(["--port", &port.to_string(), "--log-level", "ERROR"]);
    Peer::start("toolbox", &command, port, "/mcp", "execute_sql", folder)
}

fn start_dbhub(program: &Path, url: &str, folder: &Path) -> Result<Peer, String> {
    let port = process::free_port()?;
    let to = Parts::of(url)?;
    let dsn = format!(
        "postgres://{}:{}@{}:{}/{}?sslmode=disable",
        to.user,
        to.password_or_any(),
        to.host,
        to.port,
        to.database
    );
    let mut command = Command::new(program);
    command.args(["--transport", "http", "--host", "127.0.0.1", "--port", &port.to_string(), "--dsn", &dsn]);
    Peer::start("dbhub", &command, port, "/mcp", "execute_sql", folder)
}

/// The parts of `postgres://USER[:PASSWORD]@HOST:PORT/DATABASE`.
#[derive(Debug, PartialEq)]
struct Parts<'a> {
    user: &'a str,
    password: &'a str,
    host: &'a str,
    port: &'a str,
    database: &'a str,
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Result<Self, String> {
        let split = || {
            let (account, rest) = url.split_once("://")?.1.rsplit_once('@')?;
            let (user, password) = account.split_once(':').unwrap_or((account, ""));
            let (server, database) = rest.split_once('/')?;
            let (host, port) = server.rsplit_once(':')?;
            Some(Self { user, password, host, port, database })
        };
        split().ok_or_else(|| "--postgres: write postgres://USER[:PASSWORD]@HOST:PORT/DATABASE".to_owned())
    }

    /// The peers insist on a password even where the server asks for none.
    fn password_or_any(&self) -> &str {
        if self.password.is_empty() { "none" } else { self.password }
    }
}

impl Peer {
    fn start(
        name: &'static str,
        command: &Command,
        port: u16,
        path: &'static str,
        tool: &'static str,
        folder: &Path,
    ) -> Result<Self, String> {
        let log = folder.join(format!("peer-{name}.log"));
        let mut process = PeerProcess::start(name, command, &log, Farewell::Terminate)?;
        process.wait_for_port(port, START_TIMEOUT)?;
        Ok(Self { name, process, address: SocketAddr::from(([127, 0, 0, 1], port)), path, tool })
    }

    /// One row of the table, after a warm-up that is not counted.
    fn measure(&self, what: &str, sql: &str, connections: u32, requests: u32) -> Result<String, String> {
        let requests = requests.max(connections);
        let request = load::sql_request(self.path, self.tool, TOKEN, sql);
        let failed = |error: String| format!("{}: {what}: {error}", self.name);
        load::run(self.address, &request, (requests / 10).max(connections), connections).map_err(failed)?;
        let tree = tree_of(self.process.pid());
        let before = cpu_us(&tree)?;
        let load = load::timed(self.address, &request, requests, connections).map_err(failed)?;
        let spent = cpu_us(&tree)? - before;
        let ms = |share: f64| load.quantile(share).as_secs_f64() * 1e3;
        Ok(format!(
            "| {what} | {} | {:.0} | {:.0} | {:.2} | {:.2} | {:.0} |",
            self.name,
            spent / f64::from(requests),
            f64::from(requests) / load.took.as_secs_f64(),
            ms(0.5),
            ms(0.99),
            rss_mb(&tree)
        ))
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
    use super::{Parts, tree_of};

    #[test]
    fn reads_the_parts_of_a_url() {
        let parts = Parts::of("postgres://me:pw@127.0.0.1:55/db").unwrap();
        assert_eq!((parts.user, parts.password, parts.host), ("me", "pw", "127.0.0.1"));
        assert_eq!((parts.port, parts.database), ("55", "db"));
        assert_eq!(Parts::of("postgres://me@h:1/d").unwrap().password_or_any(), "none");
        assert!(Parts::of("postgres://nothing").is_err());
    }

    #[test]
    fn a_tree_begins_with_its_root() {
        assert_eq!(tree_of(std::process::id()).first(), Some(&std::process::id()));
    }
}
