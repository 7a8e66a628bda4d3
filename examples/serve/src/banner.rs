//! What a person reads: endpoints, tokens, lines to copy, progress; standard output stays free for stdio clients.

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;

/// One line on standard error; a closed terminal is no reason to stop.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// What is served, for the banner.
pub(crate) struct Served<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) certificate: Option<&'a Path>,
    pub(crate) data_dir: &'a Path,
    /// Path, number of tools, and the token where it may be shown.
    pub(crate) endpoints: &'a [(String, usize, Option<String>)],
}

/// Endpoints, tokens, and one line each for clients.
pub(crate) fn show(served: &Served<'_>) {
    let scheme = if served.certificate.is_some() { "https" } else { "http" };
    let base = format!("{scheme}://{}", served.address);
    say(&format!("penstock {} serves {base}", env!("CARGO_PKG_VERSION")));
    for (path, tools, token) in served.endpoints {
        let token = token.as_deref().map_or(
            "token: the one shown at the first start (--new-tokens makes new ones)".to_owned(),
            |t| format!("token: {t}"),
        );
        say(&format!("  {base}{path:<14} {tools:>3} tools   {token}"));
    }
    let Some((path, _, token)) =
        served.endpoints.iter().find(|e| e.0 == "/mcp/query").or(served.endpoints.first())
    else {
        return;
    };
    let token = token.as_deref().unwrap_or("TOKEN");
    let url = format!("{base}{path}");
    let (trust, cacert) = served.certificate.map_or((String::new(), String::new()), |file| {
        (format!("NODE_EXTRA_CA_CERTS={} ", quoted(file)), format!("--cacert {} ", quoted(file)))
    });
    say("Copy and paste:");
    say(&format!(
        "  Inspector CLI   {trust}npx -y @modelcontextprotocol/inspector --cli {url} --transport http --header 'Authorization: Bearer {token}' --method tools/list"
    ));
    say(&format!(
        "  curl            curl {cacert}-H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' -d '{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}}' {url}"
    ));
    let program = std::env::current_exe().map_or_else(|_| "serve".to_owned(), |p| p.display().to_string());
    let stdio = path.trim_start_matches("/mcp/");
    say(&format!(
        "  desktop client  {{\"mcpServers\": {{\"penstock\": {{\"command\": {program:?}, \"args\": [\"--data-dir\", {:?}, \"--stdio\", {stdio:?}]}}}}}}",
        served.data_dir.display().to_string()
    ));
}

fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-'));
    if plain { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// Progress of harvests: rewritten in place on a terminal, silent elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    width: Mutex<usize>,
}

impl Progress {
    /// Shows where one target is.
    pub(crate) fn step(&self, target: &str, stage: &str, progress: f64, total: Option<f64>) {
        if !std::io::stderr().is_terminal() {
            return;
        }
        let share = total
            .filter(|t| *t > 0.0)
            .map(|t| format!(" {:>3.0} %", progress / t * 100.0))
            .unwrap_or_default();
        self.write(&format!("harvesting {target}: {stage}{share}"), false);
    }

    /// Ends the line with what was found.
    pub(crate) fn done(&self, line: &str) {
        self.write(line, true);
    }

    fn write(&self, text: &str, end: bool) {
        let mut width = self.width.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut out = std::io::stderr().lock();
        let _ =
            if *width > 0 { write!(out, "\r{text:<width$}", width = *width) } else { write!(out, "{text}") };
        *width = if end { 0 } else { text.len() };
        if end {
            let _ = writeln!(out);
        }
        let _ = out.flush();
    }
}
