//! `cargo xtask conformance`: the protocol's official suite against the fixture example; it knows no server internals.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::args::Args;
use crate::certificates::Certificates;
use crate::peer_process::{Farewell, PeerProcess};
use crate::shim::Shim;
use crate::{process, say, tools};

/// The suite changes its checks between releases, so the counts below hold for this one.
const SUITE: &str = "@modelcontextprotocol/conformance@0.2.0-alpha.12";
const UNPACKED: &str = "conformance-0.2.0-alpha.12";
const FIXTURE: &str = "conformance_fixture";
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// The suite sends no token; the second run's shim adds this one.
const TOKEN: &str = "conformance-token-0123456789";

/// One part of the suite and how many checks must pass in it.
struct Part {
    name: &'static str,
    args: &'static [&'static str],
    /// Only scenarios whose name starts so are counted.
    counted: &'static str,
    passed_min: u32,
}

const PARTS: &[Part] = &[
    Part {
        name: "2025-11-25",
        args: &["--suite", "all", "--spec-version", "2025-11-25"],
        counted: "",
        passed_min: 83,
    },
    Part {
        name: "2026-07-28",
        args: &["--suite", "all", "--spec-version", "2026-07-28"],
        counted: "",
        passed_min: 153,
    },
    Part {
        name: "tasks extension",
        args: &["--requirements", "2026-07-28"],
        counted: "tasks-",
        passed_min: 44,
    },
];

pub(crate) fn command(words: &[String]) -> Result<(), String> {
    let mut args = Args::new(words);
    let verbose = args.switch("--verbose");
    let url = args.value("--url")?;
    args.finish()?;
    let node = tools::node()?;
    let suite = tools::npm(UNPACKED, &[SUITE])?.join("node_modules/.bin/conformance");
    let folder = process::target_folder().join("conformance");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let suite = Suite { node, program: suite, folder: folder.clone(), verbose };
    let failures = match url {
        Some(url) => suite.run(&url, "given")?,
        None => with_fixture(&suite, &folder)?,
    };
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

/// Plain as the suite speaks, then once more as a server is really deployed.
fn with_fixture(suite: &Suite, folder: &Path) -> Result<Vec<String>, String> {
    process::capture(process::cargo().args(["build", "--package", FIXTURE]))?;
    let mut failures = Vec::new();
    say::heading("plain, as the suite speaks");
    {
        let fixture = start_fixture(&folder.join("plain.log"), &["--no-tls".to_owned()])?;
        failures.extend(suite.run(&fixture.url, "plain")?);
    }
    say::heading("through a shim that adds TLS and a token");
    {
        let files = Certificates::write(folder)?;
        let fixture = start_fixture(
            &folder.join("tls.log"),
            &[
                "--token".to_owned(),
                TOKEN.to_owned(),
                "--tls-cert".to_owned(),
                files.certificate.display().to_string(),
                "--tls-key".to_owned(),
                files.key.display().to_string(),
            ],
        )?;
        let shim = Shim::start(fixture.address, &files.authority, TOKEN)?;
        let url = format!("http://{}{}", shim.address(), fixture.path);
        failures.extend(suite.run(&url, "tls")?);
    }
    Ok(failures)
}

/// The fixture server, running.
struct Fixture {
    _process: PeerProcess,
    address: SocketAddr,
    url: String,
    path: String,
}

fn start_fixture(log: &Path, args: &[String]) -> Result<Fixture, String> {
    let port = process::free_port()?;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut command = Command::new(process::target_folder().join("debug").join(FIXTURE));
    command.args(["--listen", &address.to_string()]).args(args);
    let mut process = PeerProcess::start(FIXTURE, &command, log, Farewell::Terminate)?;
    process.wait_for_port(port, START_TIMEOUT)?;
    process.wait_for_log("://", START_TIMEOUT)?;
    let path =
        path_of(&process.log(), address).ok_or_else(|| format!("{FIXTURE} named no URL at {address}"))?;
    Ok(Fixture { _process: process, address, url: format!("http://{address}{path}"), path })
}

/// The path of the URL that a server printed for its address.
pub(crate) fn path_of(log: &str, address: SocketAddr) -> Option<String> {
    let marker = format!("://{address}");
    let at = log.find(&marker)? + marker.len();
    let rest = &log[at..];
    let end = rest.find(|character: char| character.is_whitespace() || "\"'`,;)".contains(character));
    Some(rest[..end.unwrap_or(rest.len())].to_owned())
}

/// The official suite, unpacked.
struct Suite {
    node: PathBuf,
    program: PathBuf,
    folder: PathBuf,
    verbose: bool,
}

impl Suite {
    /// Runs every part against a URL and hands back what fell short.
    fn run(&self, url: &str, name: &str) -> Result<Vec<String>, String> {
        let mut failures = Vec::new();
        for part in PARTS {
            let folder = self.folder.join(format!("{name}-{}", part.name.replace(' ', "-")));
            let mut command = Command::new(&self.node);
            command.arg(&self.program).args(["server", "--url", url]).args(part.args).arg("-o").arg(&folder);
            // The suite's exit code speaks of its own expectations; ours are the counts.
            let output = command
                .stdin(std::process::Stdio::null())
                .output()
                .map_err(|error| format!("{}: {error}", process::shown(&command)))?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let log = folder.with_extension("txt");
            tools::write(&log, &text)?;
            let scenarios = scenarios(&text);
            let counted: Vec<_> =
                scenarios.iter().filter(|(scenario, _)| scenario.starts_with(part.counted)).collect();
            let passed: u32 = counted.iter().map(|(_, counts)| counts.passed).sum();
            let failed: u32 = counted.iter().map(|(_, counts)| counts.failed).sum();
            say::line(&format!("{name} {}: {passed} of {} passed", part.name, passed + failed));
            for (scenario, counts) in &counted {
                if counts.failed > 0 || self.verbose {
                    say::line(&format!("  {scenario}: {} passed, {} failed", counts.passed, counts.failed));
                }
            }
            if failed > 0 || passed < part.passed_min {
                failures.push(format!(
                    "{name} {}: {passed} passed and {failed} failed, wanted are {} and 0; see {}",
                    part.name,
                    part.passed_min,
                    log.display()
                ));
            }
        }
        Ok(failures)
    }
}

/// Checks of one scenario.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Counts {
    passed: u32,
    failed: u32,
}

/// Reads the summary lines: `✓ NAME: 3 passed, 0 failed`.
fn scenarios(text: &str) -> BTreeMap<String, Counts> {
    text.lines()
        .filter_map(|line| {
            let line = line.trim().strip_prefix('✓').or_else(|| line.trim().strip_prefix('✗'))?;
            let (name, counts) = line.split_once(": ")?;
            let mut counts = counts.split(", ");
            let number = |text: &str, word: &str| text.strip_suffix(word)?.trim().parse::<u32>().ok();
            let passed = number(counts.next()?, "passed")?;
            let failed = number(
                counts.next()?.split_whitespace().take(2).collect::<Vec<_>>().join(" ").as_str(),
                "failed",
            )?;
            Some((name.trim().to_owned(), Counts { passed, failed }))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Counts, path_of, scenarios};

    #[test]
    fn reads_the_summary_and_nothing_else() {
        let text = "✓ looks: fine\n=== SUMMARY ===\n✓ ping: 1 passed, 0 failed\n✗ tasks-lifecycle: 2 passed, 8 failed, 1 warnings\n\n\
                    Total: 3 passed, 8 failed\n  ✗ tasks-lifecycle (extension)\n";
        let found = scenarios(text);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found["ping"], Counts { passed: 1, failed: 0 });
        assert_eq!(found["tasks-lifecycle"], Counts { passed: 2, failed: 8 });
    }

    #[test]
    fn finds_the_path_that_a_server_printed() {
        let address = "127.0.0.1:4001".parse().unwrap();
        assert_eq!(
            path_of("listening on http://127.0.0.1:4001/mcp/x (plain)", address).as_deref(),
            Some("/mcp/x")
        );
        assert_eq!(path_of("at \"https://127.0.0.1:4001/mcp\"", address).as_deref(), Some("/mcp"));
        assert_eq!(path_of("http://127.0.0.1:5001/mcp", address), None);
    }
}
