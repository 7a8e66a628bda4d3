//! A private PostgreSQL server of the system's packages with TLS; how to start one is shared with `pgvector`.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Place, Running, START_TIMEOUT, Service};
use crate::peer_process::{Farewell, PeerProcess};
use crate::{process, tools};

pub(super) const SERVICE: Service =
    Service { name: "PostgreSQL with TLS", variable: "PENSTOCK_TEST_POSTGRES_URL", optional: None, start };

/// Who runs the server when we are root: initdb and postgres refuse root.
const ACCOUNT: &str = "nobody";
const ACCOUNT_GROUP: &str = "nogroup";

fn start(place: &Place) -> Result<Running, String> {
    let programs = match programs() {
        Some(programs) => programs,
        None => {
            keep_debian_from_starting_one();
            place.install(&["postgresql"])?;
            programs().ok_or("no initdb and postgres found")?
        }
    };
    let folder = place.subfolder("postgres")?;
    // PostgreSQL wants to own its key; the folder's owner is the account it runs under.
    let key = folder.join("server.key");
    std::fs::copy(&place.certificates.key, &key).map_err(|error| format!("{}: {error}", key.display()))?;
    let tls = [
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", place.certificates.certificate.display()),
        format!("ssl_key_file={}", key.display()),
    ];
    run(&programs, &folder, &tls, &[])
}

/// The folder that holds initdb and postgres: on PATH, or the newest version that Debian keeps off it.
pub(super) fn programs() -> Option<PathBuf> {
    let has_both = |folder: &Path| folder.join("initdb").is_file() && folder.join("postgres").is_file();
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, folder)| has_both(folder))
        .collect();
    versions.sort();
    if let Some((_, newest)) = versions.pop() {
        return Some(newest);
    }
    let initdb = process::find("initdb", &["/opt/homebrew/bin", "/usr/local/pgsql/bin"])?;
    initdb.parent().filter(|folder| has_both(folder)).map(Path::to_path_buf)
}

/// Debian's package makes and starts a cluster of its own unless told otherwise.
fn keep_debian_from_starting_one() {
    if tools::is_root() {
        let folder = Path::new("/etc/postgresql-common/createcluster.d");
        let _ = std::fs::create_dir_all(folder);
        let _ = std::fs::write(folder.join("penstock-test.conf"), "create_main_cluster = false\n");
    }
}

/// Creates a cluster in a folder and starts it with settings and variables.
pub(super) fn run(
    programs: &Path,
    folder: &Path,
    settings: &[String],
    variables: &[(&str, String)],
) -> Result<Running, String> {
    let data = folder.join("data");
    let port = process::free_port()?;
    if tools::is_root() {
        let owner = format!("{ACCOUNT}:{ACCOUNT_GROUP}");
        process::capture(Command::new("chown").args(["-R", &owner]).arg(folder))?;
    }
    let mut create = as_account(&programs.join("initdb"));
    create.envs(variables.iter().map(|(name, value)| (name, value))).current_dir(folder);
    create.args([
        "--username=postgres",
        "--auth=trust",
        "--encoding=UTF8",
        "--no-locale",
        "--no-sync",
        "--pgdata",
    ]);
    process::capture(create.arg(&data))?;

    let mut serve = as_account(&programs.join("postgres"));
    serve.envs(variables.iter().map(|(name, value)| (name, value))).current_dir(folder);
    serve.arg("-D").arg(&data).args(["-h", "127.0.0.1", "-p", &port.to_string()]);
    serve.arg("-k").arg(folder);
    for setting in settings.iter().map(String::as_str).chain(["fsync=off", "shared_buffers=32MB"]) {
        serve.args(["-c", setting]);
    }
    let mut process =
        PeerProcess::start("postgres", &serve, &folder.with_extension("log"), Farewell::Interrupt)?;
    process.wait_for_log("ready to accept connections", START_TIMEOUT)?;
    Ok(Running { url: format!("postgres://postgres@127.0.0.1:{port}/postgres"), process })
}

pub(super) fn as_account(program: &Path) -> Command {
    if !tools::is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args([
        &format!("--reuid={ACCOUNT}"),
        &format!("--regid={ACCOUNT_GROUP}"),
        "--clear-groups",
        "--",
    ]);
    command.arg(program);
    command
}
