//! A private MariaDB server with TLS; it knows no test.

use std::process::Command;

use super::{Place, Running, START_TIMEOUT, Service};
use crate::peer_process::{Farewell, PeerProcess};
use crate::{process, tools};

pub(super) const SERVICE: Service =
    Service { name: "MariaDB", variable: "PENSTOCK_TEST_MARIADB_URL", optional: None, start };

/// Debian keeps servers off a user's PATH.
const USUAL_FOLDERS: &[&str] = &["/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/opt/homebrew/bin"];

fn start(place: &Place) -> Result<Running, String> {
    if process::find("mariadbd", USUAL_FOLDERS).is_none() {
        place.install(&["mariadb-server-core", "mariadb-client-core"])?;
    }
    let server = process::find("mariadbd", USUAL_FOLDERS).ok_or("no mariadbd")?;
    let installer = process::find("mariadb-install-db", USUAL_FOLDERS).ok_or("no mariadb-install-db")?;
    let folder = place.subfolder("mariadb")?;
    let data = format!("--datadir={}", folder.join("data").display());
    let mut create = Command::new(installer);
    create.arg("--no-defaults").args(as_root()).arg(&data);
    create.args(["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]);
    process::capture(&mut create)?;

    let port = process::free_port()?;
    let mut serve = Command::new(server);
    serve.arg("--no-defaults").args(as_root()).arg(&data);
    serve.arg(format!("--socket={}", folder.join("s.sock").display()));
    serve.arg(format!("--pid-file={}", folder.join("pid").display()));
    serve.arg(format!("--port={port}"));
    serve.args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--local-infile=0"]);
    // Tests need no durability, and two cores no large buffers.
    serve.args([
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-buffer-pool-size=32M",
        "--innodb-log-file-size=4M",
    ]);
    serve.arg(format!("--ssl-ca={}", place.certificates.authority.display()));
    serve.arg(format!("--ssl-cert={}", place.certificates.certificate.display()));
    serve.arg(format!("--ssl-key={}", place.certificates.key.display()));
    let mut process = PeerProcess::start("mariadbd", &serve, &folder.join("log"), Farewell::Terminate)?;
    process.wait_for_log("ready for connections", START_TIMEOUT)?;
    process.wait_for_port(port, START_TIMEOUT)?;
    Ok(Running { url: format!("mysql://root@127.0.0.1:{port}/"), process })
}

/// mariadbd refuses to run as root unless told so.
fn as_root() -> Option<&'static str> {
    tools::is_root().then_some("--user=root")
}
