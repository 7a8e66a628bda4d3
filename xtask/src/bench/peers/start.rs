//! How each of the compared servers is started on each engine; it measures nothing.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Engine;
use crate::process;

/// The token that our server takes; the others ignore it.
pub(super) const TOKEN: &str = "bench-peers-token";

/// A program that can be started on an engine.
pub(super) struct Contender {
    pub(super) name: &'static str,
    pub(super) path: &'static str,
    pub(super) tool: &'static str,
    command: fn(&Path, &Site<'_>) -> Result<Command, String>,
    program: PathBuf,
}

/// Where a program is started.
pub(super) struct Site<'a> {
    pub(super) engine: Engine,
    pub(super) url: &'a str,
    pub(super) port: u16,
    pub(super) folder: &'a Path,
}

impl Contender {
    pub(super) fn ours() -> Self {
        let program = process::target_folder().join("release/serve");
        Self { name: "penstock", path: "/mcp/query", tool: "run_sql_readonly", command: ours, program }
    }

    pub(super) fn toolbox(program: PathBuf) -> Self {
        Self { name: "toolbox", path: "/mcp", tool: "execute_sql", command: toolbox, program }
    }

    pub(super) fn dbhub(program: PathBuf) -> Self {
        Self { name: "dbhub", path: "/mcp", tool: "execute_sql", command: dbhub, program }
    }

    pub(super) fn command(&self, site: &Site<'_>) -> Result<Command, String> {
        (self.command)(&self.program, site)
    }
}

fn ours(program: &Path, site: &Site<'_>) -> Result<Command, String> {
    let data = site.folder.join(format!("peers-data-{}", site.engine.name()));
    // Every run starts as the first one does.
    let _ = std::fs::remove_dir_all(&data);
    let mut command = Command::new(program);
    command.arg("--data-dir").arg(data).args(["--no-tls", "--token", TOKEN]);
    command.args(["--target", &format!("bench={}", site.url), "--refresh-s", "0", "--max-rows", "1000"]);
    // The peers use whatever account the URL names; so do we here.
    command.arg("--allow-privileged-backend");
    command.args(["--listen", &format!("127.0.0.1:{}", site.port)]);
    Ok(command)
}

fn toolbox(program: &Path, site: &Site<'_>) -> Result<Command, String> {
    let config = site.folder.join(format!("toolbox-{}.yaml", site.engine.name()));
    let kind = match site.engine {
        Engine::Postgres => "postgres",
        Engine::Mariadb => "mysql",
        Engine::Sqlite => "sqlite",
    };
    let mut text = format!("sources:\n  db:\n    kind: {kind}\n");
    if site.engine == Engine::Sqlite {
        let _ = writeln!(text, "    database: {}", site.engine.file_of(site.url)?);
    } else {
        let to = Parts::of(site.url)?;
        let _ = write!(
            text,
            "    host: {}\n    port: {}\n    database: {}\n    user: {}\n    password: {:?}\n",
            to.host,
            to.port,
            to.database,
            to.user,
            to.password_or_any(site.engine)
        );
    }
    let _ = write!(
        text,
        "tools:\n  execute_sql:\n    kind: {kind}-execute-sql\n    source: db\n    description: runs a statement\n"
    );
    std::fs::write(&config, text).map_err(|error| format!("{}: {error}", config.display()))?;
    let mut command = Command::new(program);
    command.arg("--config").arg(&config).args(["--port", &site.port.to_string(), "--log-level", "ERROR"]);
    Ok(command)
}

fn dbhub(program: &Path, site: &Site<'_>) -> Result<Command, String> {
    let dsn = if site.engine == Engine::Sqlite {
        format!("sqlite://{}", site.engine.file_of(site.url)?)
    } else {
        let to = Parts::of(site.url)?;
        let scheme = if site.engine == Engine::Postgres { "postgres" } else { "mysql" };
        format!(
            "{scheme}://{}:{}@{}:{}/{}?sslmode=disable",
            to.user,
            to.password_or_any(site.engine),
            to.host,
            to.port,
            to.database
        )
    };
    let mut command = Command::new(program);
    let port = site.port.to_string();
    command.args(["--transport", "http", "--host", "127.0.0.1", "--port", &port, "--dsn", &dsn]);
    Ok(command)
}

/// The parts of `SCHEME://USER[:PASSWORD]@HOST:PORT/DATABASE`.
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
        split().ok_or_else(|| "write SCHEME://USER[:PASSWORD]@HOST:PORT/DATABASE".to_owned())
    }

    /// Where the server asks for no password, some peers insist on one all the same; MariaDB would refuse it.
    fn password_or_any(&self, engine: Engine) -> &str {
        if self.password.is_empty() && engine == Engine::Postgres { "none" } else { self.password }
    }
}

#[cfg(test)]
mod tests {
    use super::{Engine, Parts};

    #[test]
    fn reads_the_parts_of_a_url() {
        let parts = Parts::of("postgres://me:pw@127.0.0.1:55/db").unwrap();
        assert_eq!((parts.user, parts.password, parts.host), ("me", "pw", "127.0.0.1"));
        assert_eq!((parts.port, parts.database), ("55", "db"));
        let plain = Parts::of("postgres://me@h:1/d").unwrap();
        assert_eq!(
            (plain.password_or_any(Engine::Postgres), plain.password_or_any(Engine::Mariadb)),
            ("none", "")
        );
        assert!(Parts::of("postgres://nothing").is_err());
    }
}
