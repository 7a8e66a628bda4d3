//! The private databases of a soak: a PostgreSQL primary, its streaming replica and a MariaDB; it knows no client.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::clients::ITEMS;
use crate::peer_process::{Farewell, PeerProcess};
use crate::services::{self, Place};
use crate::{process, tools};

const START_TIMEOUT: Duration = Duration::from_secs(60);
/// The account of the program under test: it reads, nothing else.
const ACCOUNT: &str = "soak";
const PASSWORD: &str = "soak-password";

/// One server that can be stopped and started again.
pub(super) struct Server {
    pub(super) name: &'static str,
    pub(super) port: u16,
    command: Command,
    ready: &'static str,
    farewell: Farewell,
    log: PathBuf,
    process: Option<PeerProcess>,
}

impl Server {
    pub(super) fn start(&mut self) -> Result<(), String> {
        if self.process.is_some() {
            return Ok(());
        }
        let mut process = PeerProcess::start(self.name, &self.command, &self.log, self.farewell)?;
        process.wait_for_log(self.ready, START_TIMEOUT)?;
        process.wait_for_port(self.port, START_TIMEOUT)?;
        self.process = Some(process);
        Ok(())
    }

    pub(super) fn stop(&mut self) {
        self.process = None;
    }

    /// Stops its work without a word to anybody, or lets it go on.
    pub(super) fn freeze(&self, frozen: bool) -> Result<(), String> {
        let Some(process) = &self.process else { return Ok(()) };
        let signal = if frozen { "STOP" } else { "CONT" };
        // Its own processes one by one: of PostgreSQL each session is one.
        let script = format!(
            "kill -{signal} {0}; for p in $(pgrep -P {0}); do kill -{signal} $p; done; true",
            process.pid()
        );
        process::capture(Command::new("sh").args(["-c", &script])).map(drop)
    }
}

/// The servers of a run.
pub(super) struct Databases {
    pub(super) primary: Server,
    pub(super) replica: Server,
    pub(super) mariadb: Server,
    psql: PathBuf,
    mysql: PathBuf,
}

impl Databases {
    pub(super) fn start(place: &Place) -> Result<Self, String> {
        let programs = services::postgres_programs().ok_or("no initdb and postgres found")?;
        let mysql = process::find("mariadb", &["/usr/bin"]).ok_or("no `mariadb` client found")?;
        let psql = programs.join("psql");
        let primary = primary(place, &programs)?;
        let mariadb = mariadb(place)?;
        let replica = Server { name: "replica", ..postgres(&programs, &place.subfolder("replica")?)? };
        let mut databases = Self { primary, replica, mariadb, psql, mysql };
        databases.primary.start()?;
        databases.mariadb.start()?;
        databases.fill()?;
        databases.copy(place, &programs)?;
        databases.replica.start()?;
        Ok(databases)
    }

    fn fill(&self) -> Result<(), String> {
        self.psql(&format!(
            "CREATE ROLE {ACCOUNT} LOGIN PASSWORD '{PASSWORD}'; CREATE TABLE item (id int PRIMARY KEY, name text NOT NULL);
             INSERT INTO item SELECT g, 'item number ' || g * 7 FROM generate_series(1, {ITEMS}) g;
             GRANT SELECT ON item TO {ACCOUNT}; ANALYZE"
        ))?;
        self.mariadb(&format!(
            "CREATE DATABASE soak; CREATE TABLE soak.item (id int PRIMARY KEY, name varchar(40) NOT NULL);
             INSERT INTO soak.item SELECT seq, CONCAT('item number ', seq * 7) FROM mysql.seq_1_to_{ITEMS};
             CREATE USER {ACCOUNT}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'; GRANT SELECT ON soak.* TO {ACCOUNT}@'127.0.0.1'"
        ))
        .map(drop)
    }

    /// Makes the replica from the running primary.
    fn copy(&self, place: &Place, programs: &Path) -> Result<(), String> {
        let data = place.folder.join("replica/data");
        let mut copy = as_account(&programs.join("pg_basebackup"));
        copy.args(["-h", "127.0.0.1", "-p", &self.primary.port.to_string(), "-U", "postgres", "-R", "-D"]);
        process::capture(copy.arg(&data)).map(drop)
    }

    pub(super) fn targets(&self) -> Vec<(&'static str, String)> {
        let url = |scheme: &str, port: u16, name: &str| {
            format!("{scheme}://{ACCOUNT}:{PASSWORD}@127.0.0.1:{port}/{name}")
        };
        vec![
            ("primary", url("postgres", self.primary.port, "postgres")),
            ("replica", url("postgres", self.replica.port, "postgres")),
            ("mariadb", url("mysql", self.mariadb.port, "soak")),
        ]
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.targets().into_iter().map(|(name, _)| name.to_owned()).collect()
    }

    /// Runs statements on the primary as its owner.
    pub(super) fn psql(&self, sql: &str) -> Result<String, String> {
        self.psql_at(self.primary.port, sql)
    }

    pub(super) fn psql_at(&self, port: u16, sql: &str) -> Result<String, String> {
        let mut command = Command::new(&self.psql);
        command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-U", "postgres", "-d", "postgres"]);
        process::capture(command.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql]))
    }

    /// Runs statements on MariaDB as its owner.
    pub(super) fn mariadb(&self, sql: &str) -> Result<String, String> {
        let mut command = Command::new(&self.mysql);
        command.args([
            "--no-defaults",
            "-h",
            "127.0.0.1",
            "-P",
            &self.mariadb.port.to_string(),
            "-u",
            "root",
        ]);
        process::capture(command.args(["-N", "-B", "-e", sql]))
    }

    /// Ends the sessions of the program under test; only those that run a statement if `busy`.
    pub(super) fn kill_sessions(&self, busy: bool) -> Result<usize, String> {
        let state = if busy { "AND state = 'active'" } else { "" };
        let sql = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '{ACCOUNT}' {state}"
        );
        let mut killed: usize = self.psql(&sql)?.trim().parse().unwrap_or(0);
        let state = if busy { "AND COMMAND <> 'Sleep'" } else { "" };
        let sql = format!("SELECT ID FROM information_schema.PROCESSLIST WHERE USER = '{ACCOUNT}' {state}");
        for id in self.mariadb(&sql)?.lines() {
            // It may be gone by now.
            killed += usize::from(self.mariadb(&format!("KILL {id}")).is_ok());
        }
        Ok(killed)
    }

    /// Everything runs and goes on.
    pub(super) fn restore(&mut self) -> Result<(), String> {
        for server in [&mut self.primary, &mut self.replica, &mut self.mariadb] {
            server.freeze(false)?;
            server.start()?;
        }
        Ok(())
    }

    /// Sessions of the program under test per server, and how many of them run a statement.
    pub(super) fn sessions(&self) -> Result<Vec<(String, usize, usize)>, String> {
        let sql = format!(
            "SELECT count(*) || ' ' || count(*) FILTER (WHERE state <> 'idle') FROM pg_stat_activity WHERE usename = '{ACCOUNT}'"
        );
        let mut out = Vec::new();
        for server in [&self.primary, &self.replica] {
            out.push(counted(server.name, &self.psql_at(server.port, &sql)?));
        }
        let sql = format!(
            "SELECT CONCAT(COUNT(*), ' ', COALESCE(SUM(COMMAND <> 'Sleep'), 0)) FROM information_schema.PROCESSLIST
             WHERE USER = '{ACCOUNT}'"
        );
        out.push(counted("mariadb", &self.mariadb(&sql)?));
        Ok(out)
    }
}

fn counted(name: &str, answer: &str) -> (String, usize, usize) {
    let mut numbers = answer.split_whitespace().map(|n| n.parse().unwrap_or(usize::MAX));
    (name.to_owned(), numbers.next().unwrap_or(usize::MAX), numbers.next().unwrap_or(usize::MAX))
}

fn primary(place: &Place, programs: &Path) -> Result<Server, String> {
    let folder = place.subfolder("primary")?;
    let server = postgres(programs, &folder)?;
    let mut create = as_account(&programs.join("initdb"));
    create.args([
        "--username=postgres",
        "--auth=trust",
        "--encoding=UTF8",
        "--no-locale",
        "--no-sync",
        "--pgdata",
    ]);
    process::capture(create.arg(folder.join("data")))?;
    Ok(server)
}

fn postgres(programs: &Path, folder: &Path) -> Result<Server, String> {
    if tools::is_root() {
        process::capture(Command::new("chown").arg("-R").arg("nobody:nogroup").arg(folder))?;
    }
    let port = process::free_port()?;
    let mut command = as_account(&programs.join("postgres"));
    command.current_dir(folder).arg("-D").arg(folder.join("data"));
    command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-k"]).arg(folder);
    for setting in ["fsync=off", "shared_buffers=32MB", "max_connections=50", "hot_standby=on"] {
        command.args(["-c", setting]);
    }
    Ok(Server {
        name: "primary",
        port,
        command,
        ready: "ready to accept",
        farewell: Farewell::Interrupt,
        log: folder.with_extension("log"),
        process: None,
    })
}

fn mariadb(place: &Place) -> Result<Server, String> {
    let folder = place.subfolder("mariadb")?;
    let server = process::find("mariadbd", &["/usr/sbin"]).ok_or("no mariadbd found")?;
    let installer = process::find("mariadb-install-db", &[]).ok_or("no mariadb-install-db found")?;
    let user = tools::is_root().then_some("--user=root");
    let data = format!("--datadir={}", folder.join("data").display());
    let mut create = Command::new(installer);
    create.arg("--no-defaults").args(user).arg(&data);
    create.args(["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]);
    process::capture(&mut create)?;
    let port = process::free_port()?;
    let mut command = Command::new(server);
    command.arg("--no-defaults").args(user).arg(&data);
    command.arg(format!("--socket={}", folder.join("s.sock").display()));
    command.arg(format!("--pid-file={}", folder.join("pid").display()));
    command.args([&format!("--port={port}"), "--bind-address=127.0.0.1", "--skip-name-resolve"]);
    command.args(["--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M"]);
    Ok(Server {
        name: "mariadb",
        port,
        command,
        ready: "ready for connections",
        farewell: Farewell::Terminate,
        log: folder.join("log"),
        process: None,
    })
}

fn as_account(program: &Path) -> Command {
    services::postgres_command(program)
}
