//! `cargo xtask clients`: clients that others wrote list and call tools of the serve example, over HTTPS and stdio.

mod foreign;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::args::Args;
use crate::peer_process::{Farewell, PeerProcess};
use crate::{process, say};

use foreign::{Client, Job, Place};

const SERVE: &str = "serve";
const TOKEN: &str = "clients-check-token-0123456789";
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The endpoints that are exercised, each with calls that change nothing.
fn endpoints() -> Vec<(&'static str, Value)> {
    vec![
        ("query", json!([{"name": "run_sql_readonly", "arguments": {"sql": "SELECT 1 AS one"}}])),
        ("config", json!([{"name": "get_config", "arguments": {}}])),
        ("stats", json!([{"name": "show_status", "arguments": {}}])),
    ]
}

pub(crate) fn command(words: &[String]) -> Result<(), String> {
    let mut args = Args::new(words);
    let verbose = args.switch("--verbose");
    args.finish()?;
    let place = Place::fetch()?;
    process::capture(process::cargo().args(["build", "--package", SERVE]))?;
    let folder = process::target_folder().join("clients");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;

    let mut failures = Vec::new();
    say::heading("over HTTPS with a token");
    {
        let server = Server::start(&folder)?;
        for (endpoint, calls) in endpoints() {
            let url = format!("https://{}/mcp/{endpoint}", server.address);
            let job = Job::https(&url, TOKEN, &server.certificate, &calls);
            failures.extend(exercise(&place, endpoint, &job, verbose));
        }
    }
    say::heading("over stdio");
    for (endpoint, calls) in endpoints() {
        let data = folder.join(format!("stdio-{endpoint}"));
        let job = Job::stdio(&serve_command(&data, &["--stdio", endpoint]), &calls);
        failures.extend(exercise(&place, endpoint, &job, verbose));
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

/// Runs one job through every client and era; a line each, and a reason for each failure.
fn exercise(place: &Place, endpoint: &str, job: &Job, verbose: bool) -> Vec<String> {
    let mut failures = Vec::new();
    for client in Client::ALL {
        for era in client.eras() {
            let name = format!("{} {} {} {endpoint}", client.name(), era.word(), job.transport());
            match place.run(*client, *era, job) {
                Ok(report) => {
                    say::line(&format!("ok     {name}: {report}"));
                }
                Err(error) => {
                    say::line(&format!("FAILED {name}"));
                    if verbose {
                        say::line(&error);
                    }
                    failures.push(format!("{name}: {error}"));
                }
            }
        }
    }
    failures
}

/// The serve example with TLS.
struct Server {
    _process: PeerProcess,
    address: SocketAddr,
    certificate: PathBuf,
}

impl Server {
    fn start(folder: &Path) -> Result<Self, String> {
        let address = SocketAddr::from(([127, 0, 0, 1], process::free_port()?));
        let data = folder.join("https");
        let words = serve_command(&data, &["--listen", &address.to_string(), "--token", TOKEN]);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        let log = folder.join("serve.log");
        let mut process = PeerProcess::start(SERVE, &command, &log, Farewell::Terminate)?;
        process.wait_for_port(address.port(), START_TIMEOUT)?;
        let certificate = certificate_in(&data)?;
        Ok(Self { _process: process, address, certificate })
    }
}

fn serve_command(data: &Path, more: &[&str]) -> Vec<String> {
    let program = process::target_folder().join("debug").join(SERVE);
    let mut words = vec![program.display().to_string(), "--data-dir".to_owned(), data.display().to_string()];
    words.extend(more.iter().map(|word| (*word).to_owned()));
    words
}

/// The certificate that the server made for itself in its data folder.
fn certificate_in(data: &Path) -> Result<PathBuf, String> {
    let shown = |error: std::io::Error| format!("{}: {error}", data.display());
    for entry in std::fs::read_dir(data).map_err(shown)? {
        let path = entry.map_err(shown)?.path();
        let text = std::fs::read(&path).unwrap_or_default();
        if text.starts_with(b"-----BEGIN CERTIFICATE-----") {
            return Ok(path);
        }
    }
    Err(format!("no certificate in {}", data.display()))
}
