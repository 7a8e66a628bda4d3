//! A private MariaDB server with TLS; it knows no test.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Place, Running, START_TIMEOUT, Service};
use crate::peer_process::{Farewell, PeerProcess};
use crate::{process, tools};

pub(super) const SERVICE: Service =
    Service { name: "MariaDB", variable: "PENSTOCK_TEST_MARIADB_URL", optional: None, start };

const PACKAGES: &[&str] = &["mariadb-server-core", "mariadb-client-core"];
/// What the server needs that a bare system may lack.
const LIBRARIES: &[&str] = &["liburing2", "libaio1", "libnuma1", "libsnappy1v5"];

/// Debian keeps servers off a user's PATH.
const USUAL_FOLDERS: &[&str] = &["/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/opt/homebrew/bin"];

fn start(place: &Place) -> Result<Running, String> {
    let programs = programs(place)?;
    let folder = place.subfolder("mariadb")?;
    let data = format!("--datadir={}", folder.join("data").display());
    let mut create = programs.command(&programs.installer);
    create.arg(&data);
    create.args(["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]);
    process::capture(&mut create)?;

    let port = process::free_port()?;
    let mut serve = programs.command(&programs.server);
    serve.arg(&data);
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

/// Where MariaDB lies.
struct Programs {
    server: PathBuf,
    installer: PathBuf,
    /// Set when the packages were unpacked beside the system instead of installed.
    unpacked: Option<PathBuf>,
}

impl Programs {
    fn installed() -> Option<Self> {
        let server = process::find("mariadbd", USUAL_FOLDERS)?;
        let installer = process::find("mariadb-install-db", USUAL_FOLDERS)?;
        Some(Self { server, installer, unpacked: None })
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg("--no-defaults");
        // mariadbd refuses to run as root unless told so.
        command.args(tools::is_root().then_some("--user=root"));
        if let Some(root) = &self.unpacked {
            command.arg(format!("--basedir={}", root.join("usr").display()));
            let libraries = format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH);
            command.env("LD_LIBRARY_PATH", root.join(libraries));
        }
        command
    }
}

/// Installed, else installed now, else unpacked where we may not install.
fn programs(place: &Place) -> Result<Programs, String> {
    if let Some(programs) = Programs::installed() {
        return Ok(programs);
    }
    if tools::is_root() || place.offline {
        place.install(PACKAGES)?;
        return Programs::installed().ok_or_else(|| "no mariadbd after its installation".to_owned());
    }
    let packages: Vec<&str> = PACKAGES.iter().chain(LIBRARIES).copied().collect();
    let root = tools::unpack_debian("mariadb", &packages)?;
    Ok(Programs {
        server: root.join("usr/sbin/mariadbd"),
        installer: root.join("usr/bin/mariadb-install-db"),
        unpacked: Some(root),
    })
}
