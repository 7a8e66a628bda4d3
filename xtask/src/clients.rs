//! `cargo xtask clients`: clients that others wrote list and call tools of our servers, over HTTPS and stdio, and one walks
//! discovery and questions to SQL.

mod foreign;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::args::Args;
use crate::certificates::Certificates;
use crate::peer_process::{Farewell, PeerProcess};
use crate::{process, say};

use foreign::{Client, Era, Job, Place};

const SERVE: &str = "serve";
const FIXTURE: &str = "conformance_fixture";
/// An agent's way through discovery and the questions to SQL, in Python, on `serve`.
const WALK: &str = "walk";
const TOKEN: &str = "clients-check-token-0123456789";
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// What is called on an endpoint, if the server has it: nothing that changes anything. Others are only listed.
const CALLS: &[(&str, &str, &str)] = &[
    ("query", "list_targets", "{}"),
    ("query", "run_sql_readonly", "{\"sql\": \"SELECT 1 AS one\"}"),
    ("config", "list_variables", "{}"),
    ("observe", "get_health", "{}"),
    ("stats", "show_status", "{}"),
    ("cache", "get_cache_stats", "{}"),
];

fn calls_on(endpoint: &str) -> Value {
    let calls = CALLS.iter().filter(|(on, _, _)| *on == endpoint).map(|(_, name, arguments)| {
        let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
        json!({"name": name, "arguments": arguments})
    });
    Value::Array(calls.collect())
}

/// The endpoints that a server named in its banner.
fn endpoints_in(log: &str, address: SocketAddr) -> Vec<String> {
    let marker = format!("https://{address}/mcp/");
    let mut found: Vec<String> = log
        .split(marker.as_str())
        .skip(1)
        .map(|rest| {
            rest.chars().take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect()
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

pub(crate) fn command(words: &[String]) -> Result<(), String> {
    let mut args = Args::new(words);
    let only = args.value("--only")?;
    args.finish()?;
    if let Some(other) = only.as_deref().filter(|only| ![SERVE, FIXTURE, WALK].contains(only)) {
        return Err(format!("`--only {other}` is unknown; there are `{SERVE}`, `{FIXTURE}` and `{WALK}`"));
    }
    let wanted = |package: &str| only.as_deref().is_none_or(|only| only == package);
    let place = Place::fetch()?;
    let folder = process::target_folder().join("clients");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut failures = Vec::new();
    if wanted(FIXTURE) {
        failures.extend(fixture(&place, &folder)?);
    }
    if wanted(SERVE) {
        failures.extend(serve(&place, &folder)?);
    }
    if wanted(WALK) {
        failures.extend(walk(&place, &folder)?);
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

/// The suite's fixture: the protocol alone, with a certificate of our making.
fn fixture(place: &Place, folder: &Path) -> Result<Vec<String>, String> {
    process::capture(process::cargo().args(["build", "--package", FIXTURE]))?;
    let calls = json!([{"name": "test_simple_text", "arguments": {}}]);
    let files = Certificates::write(folder)?;
    let mut failures = Vec::new();
    say::heading("the fixture over HTTPS with a token");
    {
        let (certificate, key) = (files.certificate.display().to_string(), files.key.display().to_string());
        let words = ["--token", TOKEN, "--tls-cert", &certificate, "--tls-key", &key].map(str::to_owned);
        let server = Server::start(FIXTURE, &words, folder)?;
        let url = format!("https://{}/mcp", server.address);
        failures.extend(exercise(place, "fixture", &Job::https(&url, TOKEN, &files.authority, &calls)));
    }
    say::heading("the fixture over stdio");
    let command = [program(FIXTURE), "--stdio".to_owned()];
    failures.extend(exercise(place, "fixture", &Job::stdio(&command, &calls)));
    Ok(failures)
}

/// The example that a newcomer starts, with the certificate that it made for itself.
fn serve(place: &Place, folder: &Path) -> Result<Vec<String>, String> {
    process::capture(process::cargo().args(["build", "--package", SERVE]))?;
    let mut failures = Vec::new();
    let endpoints;
    say::heading("serve over HTTPS with a token");
    {
        let data = folder.join("https");
        let words = ["--data-dir", &data.display().to_string(), "--token", TOKEN].map(str::to_owned);
        let server = Server::start(SERVE, &words, folder)?;
        let certificate = certificate_in(&data)?;
        endpoints = endpoints_in(&server.process.log(), server.address);
        if !endpoints.iter().any(|endpoint| endpoint == "query") {
            return Err(format!("serve named no /mcp/query\n{}", process::tail(&server.process.log())));
        }
        for endpoint in &endpoints {
            let url = format!("https://{}/mcp/{endpoint}", server.address);
            let job = Job::https(&url, TOKEN, &certificate, &calls_on(endpoint));
            failures.extend(exercise(place, endpoint, &job));
        }
    }
    say::heading("serve over stdio");
    for endpoint in &endpoints {
        let data = folder.join(format!("stdio-{endpoint}")).display().to_string();
        let command = [program(SERVE).as_str(), "--data-dir", &data, "--stdio", endpoint].map(str::to_owned);
        failures.extend(exercise(place, endpoint, &Job::stdio(&command, &calls_on(endpoint))));
    }
    Ok(failures)
}

/// An agent discovers the sample and asks it questions with tools and prompts alone; each era begins with an empty catalog.
fn walk(place: &Place, folder: &Path) -> Result<Vec<String>, String> {
    process::capture(process::cargo().args(["build", "--package", SERVE]))?;
    say::heading("an agent in Python walks discovery and questions to SQL");
    let mut failures = Vec::new();
    for era in [Era::Legacy, Era::Modern] {
        let data = folder.join(format!("walk-{}", era.word()));
        let words = ["--data-dir", &data.display().to_string(), "--token", TOKEN].map(str::to_owned);
        let server = Server::start(SERVE, &words, folder)?;
        let job = json!({
            "url": format!("https://{}/mcp/query", server.address), "ai": format!("https://{}/mcp/ai", server.address),
            "token": TOKEN, "authority": certificate_in(&data)?.display().to_string(),
        });
        match place.walk(era, &job) {
            Ok(steps) => say::line(&format!("ok     {}: {steps} steps", era.word())),
            Err(error) => {
                say::line(&format!("FAILED {}", era.word()));
                failures.push(format!("walk {}: {error}", era.word()));
            }
        }
    }
    Ok(failures)
}

/// Runs one job through every client and era; a line each, and a reason for each failure.
fn exercise(place: &Place, what: &str, job: &Job) -> Vec<String> {
    let mut failures = Vec::new();
    for client in Client::ALL {
        for era in client.eras() {
            let name = format!("{} {} {} {what}", client.name(), era.word(), job.transport());
            match place.run(*client, *era, job) {
                Ok(report) => say::line(&format!("ok     {name}: {report}")),
                Err(error) => {
                    say::line(&format!("FAILED {name}"));
                    failures.push(format!("{name}: {error}"));
                }
            }
        }
    }
    failures
}

/// A server over HTTPS.
struct Server {
    process: PeerProcess,
    address: SocketAddr,
}

impl Server {
    fn start(package: &str, words: &[String], folder: &Path) -> Result<Self, String> {
        let address = SocketAddr::from(([127, 0, 0, 1], process::free_port()?));
        let mut command = Command::new(program(package));
        command.args(["--listen", &address.to_string()]).args(words);
        let log = folder.join(format!("{package}.log"));
        let mut process = PeerProcess::start(package, &command, &log, Farewell::Terminate)?;
        process.wait_for_port(address.port(), START_TIMEOUT)?;
        Ok(Self { process, address })
    }
}

fn program(package: &str) -> String {
    process::target_folder().join("debug").join(package).display().to_string()
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

#[cfg(test)]
mod tests {
    use super::{calls_on, endpoints_in};

    #[test]
    fn reads_endpoints_of_one_address() {
        let log = "serves https://127.0.0.1:7\n  https://127.0.0.1:7/mcp/query  48 tools\n  https://127.0.0.1:7/mcp/config\n\
                   curl https://127.0.0.1:7/mcp/query https://127.0.0.1:9/mcp/other";
        assert_eq!(endpoints_in(log, "127.0.0.1:7".parse().unwrap()), ["config", "query"]);
    }

    #[test]
    fn every_call_has_arguments() {
        for (endpoint, _, _) in super::CALLS {
            assert!(calls_on(endpoint).as_array().unwrap().iter().all(|call| call["arguments"].is_object()));
        }
        assert_eq!(calls_on("unknown"), serde_json::json!([]));
    }
}
