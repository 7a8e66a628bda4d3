//! The sub-command `admin` and the socket it talks to: one statement, one answer as JSON; it knows no verb.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bridge_host::{Host, HostConfig};
use mcp_config::{AdminReply, AdminSession, AdminSql, Cell};
use mcp_tools::AuditLog;
use serde_json::{Value, json};

use crate::banner::say;

type Failure = Box<dyn std::error::Error>;

/// Rows of one answer.
const ROWS_MAX: usize = 10_000;
/// Longest statement over the socket, in bytes, as JSON.
#[cfg(unix)]
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Longest wait for the other side of the socket.
#[cfg(unix)]
const TIMEOUT: std::time::Duration = std::time::Duration::from_millis(60_000);

/// Runs a statement in the server that holds the folder, or over the folder itself when none runs.
pub(crate) fn run(folder: &Path, config_file: Option<&Path>, statement: &str) -> Result<(), Failure> {
    let answer = match ask_server(folder, statement)? {
        Some(answer) => answer,
        None => {
            say("no server runs here: memory is restored from disk for this one statement");
            let mut config = HostConfig::new(folder);
            config.config_file = config_file.map(Path::to_owned);
            let host = Host::open(config)?;
            let answer = answer(host.admin(), statement);
            host.close();
            answer
        }
    };
    print(&answer)
}

/// Verifies the audit log: that of the configuration, or a given file.
pub(crate) fn audit(folder: &Path, file: Option<&Path>) -> Result<(), Failure> {
    let named = || -> Option<String> {
        let answer = ask_server(folder, "SELECT @@mcp-audit_path").ok()??;
        answer["rows"][0][0].as_str().map(str::to_owned)
    };
    let usual = || folder.join(named().unwrap_or_else(|| "mcp_audit.db".to_owned()));
    let file = file.map_or_else(usual, Path::to_owned);
    let report = AuditLog::open_to_read(&file)?.verify()?;
    if let Some((id, why)) = &report.fault {
        return Err(format!("{}: the chain is broken at row {id}: {why}", file.display()).into());
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}: {} rows, {} to {}", file.display(), report.rows, report.first_id, report.last_id)?;
    writeln!(out, "the chain holds; its last hash is {}", report.head_hash)?;
    Ok(())
}

fn answer(admin: &AdminSql, statement: &str) -> Value {
    match admin.execute(&AdminSession::local(), statement, &[], ROWS_MAX) {
        Ok(reply) => reply_json(&reply),
        Err(error) => json!({"error": error.message, "code": error.code.as_str()}),
    }
}

fn reply_json(reply: &AdminReply) -> Value {
    let columns: Vec<&str> = reply.columns.iter().map(|(name, _)| name.as_str()).collect();
    let rows: Vec<Vec<String>> =
        reply.rows.iter().map(|row| row.iter().map(Cell::display).collect()).collect();
    json!({"columns": columns, "rows": rows, "rows_affected": reply.rows_affected, "report": reply.report})
}

/// A table, or what was done.
fn print(answer: &Value) -> Result<(), Failure> {
    if let Some(error) = answer["error"].as_str() {
        return Err(format!("{}: {error}", answer["code"].as_str().unwrap_or_default()).into());
    }
    let mut out = std::io::stdout().lock();
    let texts = |value: &Value| -> Vec<String> {
        let cells = value.as_array().into_iter().flatten();
        cells.map(|cell| cell.as_str().unwrap_or_default().to_owned()).collect()
    };
    let columns = texts(&answer["columns"]);
    if columns.is_empty() {
        let affected = answer["rows_affected"].as_u64().unwrap_or_default();
        let report = answer["report"].as_str().map(|report| format!(": {report}")).unwrap_or_default();
        writeln!(out, "OK, {affected} rows{report}")?;
        return Ok(());
    }
    writeln!(out, "{}", columns.join("\t"))?;
    for row in answer["rows"].as_array().into_iter().flatten() {
        writeln!(out, "{}", texts(row).join("\t"))?;
    }
    Ok(())
}

/// Where a server listens for its own operator.
fn socket_path(folder: &Path) -> PathBuf {
    folder.join("admin.sock")
}

/// The socket of a running server, open to the owner of the data folder only.
pub(crate) struct Socket {
    path: PathBuf,
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(unix)]
impl Socket {
    /// Answers until the program ends. A path that is too long for a socket is said and is no failure.
    pub(crate) fn open(folder: &Path, host: &Arc<Host>) -> Result<Option<Self>, Failure> {
        use std::os::unix::fs::PermissionsExt as _;
        use std::os::unix::net::{UnixListener, UnixStream};
        let path = socket_path(folder);
        if UnixStream::connect(&path).is_ok() {
            return Err(format!("another server uses the data folder {}", folder.display()).into());
        }
        let _ = std::fs::remove_file(&path);
        let listener = match UnixListener::bind(&path) {
            Ok(listener) => listener,
            Err(error) => {
                say(&format!("no admin socket at {}: {error}", path.display()));
                return Ok(None);
            }
        };
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        let admin = Arc::clone(host.admin());
        // One at a time: the admin interface runs one statement at a time anyway.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let _ = serve_one(&admin, stream);
            }
        });
        Ok(Some(Self { path }))
    }
}

#[cfg(unix)]
fn serve_one(admin: &AdminSql, stream: std::os::unix::net::UnixStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(std::time::Duration::from_millis(5_000)))?;
    stream.set_write_timeout(Some(std::time::Duration::from_millis(5_000)))?;
    let mut line = String::new();
    BufReader::new((&stream).take(LINE_BYTES_MAX)).read_line(&mut line)?;
    let Ok(Value::String(statement)) = serde_json::from_str(&line) else { return Ok(()) };
    let answer = answer(admin, &statement).to_string();
    (&stream).write_all(answer.as_bytes())
}

/// The running server's answer; `None` if no server runs.
#[cfg(unix)]
fn ask_server(folder: &Path, statement: &str) -> Result<Option<Value>, Failure> {
    let Ok(mut stream) = std::os::unix::net::UnixStream::connect(socket_path(folder)) else {
        return Ok(None);
    };
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(format!("{}\n", Value::from(statement)).as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(Some(serde_json::from_str(&text)?))
}

#[cfg(not(unix))]
impl Socket {
    /// There is no socket on this system: a running server is reached over `/mcp/config` only.
    pub(crate) fn open(_: &Path, _: &Arc<Host>) -> Result<Option<Self>, Failure> {
        Ok(None)
    }
}

#[cfg(not(unix))]
fn ask_server(_: &Path, _: &str) -> Result<Option<Value>, Failure> {
    Ok(None)
}
