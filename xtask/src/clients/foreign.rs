//! The clients that others wrote: where they come from and how each is run; it knows no server.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::{process, tools};

/// npm packages, with the versions that were checked.
const NPM: &[&str] = &[
    "@modelcontextprotocol/inspector@2.12.0",
    "@modelcontextprotocol/client@2.4.0",
    "@modelcontextprotocol/sdk@1.32.2",
];
const NPM_FOLDER: &str = "clients-npm-1";
const PYPI: &[&str] = &["mcp==2.3.0"];
const PYPI_FOLDER: &str = "clients-pypi-1";
/// The program of `examples/rmcp_peer`.
const RUST: &str = "rmcp_client";

/// Which protocol a client is told to speak.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Era {
    Legacy,
    Modern,
}

impl Era {
    /// The word that scripts and the Inspector take.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Modern => "modern",
        }
    }

    /// The version that a client reports when it speaks this era with a current server.
    fn version(self) -> &'static str {
        match self {
            Self::Legacy => "2025-11-25",
            Self::Modern => "2026-07-28",
        }
    }
}

/// A client that somebody else wrote.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Client {
    Inspector,
    Python,
    TypeScriptV2,
    TypeScriptV1,
    Rust,
}

impl Client {
    pub(super) const ALL: &[Self] =
        &[Self::Inspector, Self::Python, Self::TypeScriptV2, Self::TypeScriptV1, Self::Rust];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Inspector => "inspector",
            Self::Python => "python",
            Self::TypeScriptV2 => "typescript-v2",
            Self::TypeScriptV1 => "typescript-v1",
            Self::Rust => "rust",
        }
    }

    /// The eras that the client knows.
    pub(super) fn eras(self) -> &'static [Era] {
        match self {
            Self::TypeScriptV1 => &[Era::Legacy],
            _ => &[Era::Legacy, Era::Modern],
        }
    }
}

/// What a client is to do, in the form that the scripts read.
pub(super) struct Job {
    json: Value,
}

impl Job {
    /// Over HTTPS with a token, trusting one certificate.
    pub(super) fn https(url: &str, token: &str, authority: &Path, calls: &Value) -> Self {
        Self {
            json: json!({
                "transport": "http", "url": url, "token": token,
                "authority": authority.display().to_string(), "calls": calls,
            }),
        }
    }

    /// Over the standard streams of a command.
    pub(super) fn stdio(command: &[String], calls: &Value) -> Self {
        Self { json: json!({ "transport": "stdio", "command": command, "calls": calls }) }
    }

    pub(super) fn transport(&self) -> &str {
        self.text("transport")
    }

    fn text(&self, key: &str) -> &str {
        self.json[key].as_str().unwrap_or_default()
    }

    fn calls(&self) -> &[Value] {
        self.json["calls"].as_array().map_or(&[], Vec::as_slice)
    }
}

/// What a client saw.
pub(super) struct Report {
    protocol: String,
    tools: usize,
    called: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}, {} tools listed, {} called", self.protocol, self.tools, self.called)
    }
}

/// Where the clients lie.
pub(super) struct Place {
    node: PathBuf,
    npm: PathBuf,
    python: PathBuf,
    pypi: PathBuf,
    rust: PathBuf,
    scripts: PathBuf,
}

impl Place {
    /// Fetches what is not here yet.
    pub(super) fn fetch() -> Result<Self, String> {
        process::capture(process::cargo().args(["build", "--package", "rmcp_peer", "--bin", RUST]))?;
        Ok(Self {
            node: tools::node()?,
            npm: tools::npm(NPM_FOLDER, NPM)?,
            python: tools::python()?,
            pypi: tools::pip(PYPI_FOLDER, PYPI, true)?,
            rust: process::target_folder().join("debug").join(RUST),
            scripts: process::root().join("xtask/clients"),
        })
    }

    /// Runs one client through one job.
    pub(super) fn run(&self, client: Client, era: Era, job: &Job) -> Result<Report, String> {
        match client {
            Client::Inspector => self.inspector(era, job),
            Client::Python => {
                let mut command = Command::new(&self.python);
                command.env("PYTHONPATH", &self.pypi).arg(self.scripts.join("python_client.py"));
                self.script(command, era, job)
            }
            Client::TypeScriptV2 => self.script(self.on_node("typescript_v2.mjs"), era, job),
            Client::TypeScriptV1 => self.script(self.on_node("typescript_v1.mjs"), era, job),
            Client::Rust => self.script(Command::new(&self.rust), era, job),
        }
    }

    /// Runs the walk of an agent in Python; gives the number of its steps.
    pub(super) fn walk(&self, era: Era, job: &Value) -> Result<u64, String> {
        let mut job = job.clone();
        job["era"] = era.word().into();
        let mut command = Command::new(&self.python);
        command.env("PYTHONPATH", &self.pypi).arg(self.scripts.join("python_walk.py")).arg(job.to_string());
        let report = last_json(&process::capture(&mut command)?)?;
        match (report["protocol"].as_str(), report["steps"].as_u64()) {
            (Some(protocol), Some(steps)) if protocol == era.version() && steps > 0 => Ok(steps),
            _ => Err(format!("the walk reports {report}")),
        }
    }

    fn on_node(&self, script: &str) -> Command {
        let mut command = Command::new(&self.node);
        command.env("CLIENT_PACKAGES", &self.npm).arg(self.scripts.join(script));
        command
    }

    fn script(&self, mut command: Command, era: Era, job: &Job) -> Result<Report, String> {
        let mut json = job.json.clone();
        json["era"] = era.word().into();
        command.env("NODE_EXTRA_CA_CERTS", job.text("authority")).arg(json.to_string());
        let report: Value = last_json(&process::capture(&mut command)?)?;
        let protocol = report["protocol"].as_str().unwrap_or_default().to_owned();
        if protocol != era.version() {
            return Err(format!("spoke `{protocol}`, wanted is `{}`", era.version()));
        }
        let called = report["called"].as_array().map_or(&[][..], Vec::as_slice);
        if let Some(failed) = called.iter().find(|call| call["is_error"] == true || call["blocks"] == 0) {
            return Err(format!("a call failed: {failed}"));
        }
        let tools = report["tools"].as_array().map_or(0, Vec::len);
        finish(protocol, tools, called.len(), job)
    }

    /// The Inspector makes one request a run; `--strict` fails on schemas that some client cannot read.
    fn inspector(&self, era: Era, job: &Job) -> Result<Report, String> {
        let listed = self.inspect(era, job, &["--method", "tools/list", "--strict"])?;
        let tools = listed["result"]["tools"].as_array().map_or(0, Vec::len);
        for call in job.calls() {
            let name = call["name"].as_str().unwrap_or_default();
            let arguments = call["arguments"].to_string();
            let words = ["--method", "tools/call", "--tool-name", name, "--tool-args-json", &arguments];
            let answer = self.inspect(era, job, &words)?;
            if answer["result"]["isError"] == true
                || answer["result"]["content"].as_array().is_none_or(Vec::is_empty)
            {
                return Err(format!("`{name}` failed: {answer}"));
            }
        }
        finish(era.version().to_owned(), tools, job.calls().len(), job)
    }

    fn inspect(&self, era: Era, job: &Job, words: &[&str]) -> Result<Value, String> {
        let mut command = Command::new(&self.node);
        command.arg(self.npm.join("node_modules/.bin/mcp-inspector")).arg("--cli");
        // The program starts helpers by the name `node`, and keeps settings in the home folder.
        if let Some(folder) = self.node.parent() {
            let path = std::env::var("PATH").unwrap_or_default();
            command.env("PATH", format!("{}:{path}", folder.display()));
        }
        command.env("HOME", process::target_folder().join("clients"));
        command.env("NODE_EXTRA_CA_CERTS", job.text("authority"));
        command.args(["--protocol-era", era.word(), "--format", "json"]);
        if job.transport() == "http" {
            command.args(["--transport", "http", "--server-url", job.text("url")]);
            command.args(["--header", &format!("Authorization: Bearer {}", job.text("token"))]);
            command.args(words);
        } else {
            command.args(words);
            command.arg("--");
            command.args(job.json["command"].as_array().into_iter().flatten().filter_map(Value::as_str));
        }
        command.stdin(Stdio::null());
        last_json(&process::capture(&mut command)?)
    }
}

fn finish(protocol: String, tools: usize, called: usize, job: &Job) -> Result<Report, String> {
    if tools == 0 || called != job.calls().len() {
        return Err(format!("{tools} tools listed and {called} of {} calls made", job.calls().len()));
    }
    Ok(Report { protocol, tools, called })
}

/// The last line that is JSON: programs greet before it.
fn last_json(output: &str) -> Result<Value, String> {
    output
        .lines()
        .rev()
        .find_map(|line| serde_json::from_str::<Value>(line).ok().filter(Value::is_object))
        .ok_or_else(|| format!("no JSON in the client's output:\n{}", process::tail(output)))
}
