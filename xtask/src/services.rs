//! The servers that live tests need: one file a service, started in a private folder, handed to tests as variables.

mod mariadb;
mod models;
mod pgvector;
mod postgres;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::certificates::Certificates;
use crate::peer_process::{ENDED_EARLY, PeerProcess};
use crate::{say, tools};

/// How long a server may take until it answers.
pub(crate) const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The variable that names the authority which signed the private servers' certificates.
const TLS_CA: &str = "PENSTOCK_TEST_TLS_CA";

/// Followed by the process id.
const FOLDER_PREFIX: &str = "penstock-";

/// One server that tests may need.
pub(crate) struct Service {
    /// What a person calls it.
    pub(crate) name: &'static str,
    /// The variable that tests read; a person who sets it beforehand points the tests at a server of their own.
    pub(crate) variable: &'static str,
    /// Where it may be missing without failing CI, with the reason.
    pub(crate) optional: Option<&'static str>,
    /// Finds or installs the server and starts it.
    pub(crate) start: fn(&Place) -> Result<Running, String>,
}

/// A server that answers.
pub(crate) struct Running {
    /// The value of the service's variable.
    pub(crate) url: String,
    /// Stopped when dropped.
    pub(crate) process: PeerProcess,
}

/// Every service, in the order of starting.
pub(crate) const ALL: &[Service] = &[mariadb::SERVICE, postgres::SERVICE, pgvector::SERVICE];

/// Stand-ins for model servers; started like the rest once tests read their variables.
pub(crate) const MODELS: &[Service] = models::SERVICES;

/// The folder of PostgreSQL's programs, where it is installed.
pub(crate) fn postgres_programs() -> Option<PathBuf> {
    postgres::programs()
}

/// A program of PostgreSQL under an account that it accepts.
pub(crate) fn postgres_command(program: &Path) -> std::process::Command {
    postgres::as_account(program)
}

/// The private folder of one run and what services share.
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    pub(crate) certificates: Certificates,
    pub(crate) offline: bool,
}

impl Place {
    /// Makes a folder whose path is short enough for a socket (108 bytes) and open to the account
    /// that PostgreSQL runs under.
    pub(crate) fn new(offline: bool) -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("{FOLDER_PREFIX}{}", std::process::id()));
        remove_leftovers();
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        open_to_all(&folder)?;
        let certificates = Certificates::write(&folder)?;
        Ok(Self { folder, certificates, offline })
    }

    /// A new, empty folder for one service.
    pub(crate) fn subfolder(&self, name: &str) -> Result<PathBuf, String> {
        let folder = self.folder.join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(folder)
    }

    /// Installs system packages unless the person asked for no fetching.
    pub(crate) fn install(&self, packages: &[&str]) -> Result<(), String> {
        if self.offline {
            return Err(format!("not installed ({}), and --offline fetches nothing", packages.join(" ")));
        }
        tools::apt_install(packages)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// All services of one run.
pub(crate) struct Started {
    /// Variables for the tests.
    pub(crate) variables: Vec<(String, String)>,
    /// What could not be started, as `name: reason`.
    pub(crate) missing: Vec<String>,
    // Servers before the folder: fields drop in order, and a server must be gone before its files are.
    _running: Vec<Running>,
    _place: Place,
}

/// Tries again when a server ended while it was starting: somebody else may have taken the port that was free before.
fn start_one(service: &Service, place: &Place) -> Result<Running, String> {
    (service.start)(place).or_else(|error| {
        if !error.contains(ENDED_EARLY) {
            return Err(error);
        }
        say::line(&format!("{}: once more after: {error}", service.name));
        (service.start)(place)
    })
}

/// Starts what is not already pointed at by the environment.
pub(crate) fn start(offline: bool) -> Result<Started, String> {
    let place = Place::new(offline)?;
    let mut variables = Vec::new();
    let mut missing = Vec::new();
    let mut running = Vec::new();
    if std::env::var_os(TLS_CA).is_none() {
        variables.push((TLS_CA.to_owned(), place.certificates.authority.display().to_string()));
    }
    for service in ALL.iter().chain(MODELS) {
        if std::env::var_os(service.variable).is_some_and(|value| !value.is_empty()) {
            say::line(&format!("{}: {} is set, nothing to start", service.name, service.variable));
            continue;
        }
        match start_one(service, &place) {
            Ok(server) => {
                say::line(&format!("{}: {} (pid {})", service.name, server.url, server.process.pid()));
                variables.push((service.variable.to_owned(), server.url.clone()));
                running.push(server);
            }
            Err(reason) => match service.optional {
                Some(why) => say::line(&format!("NOT RUN (optional: {why}): {}: {reason}", service.name)),
                None => missing.push(format!("{} ({}): {reason}", service.name, service.variable)),
            },
        }
    }
    Ok(Started { variables, missing, _running: running, _place: place })
}

/// Removes folders of runs that were killed: nobody of their name is alive.
fn remove_leftovers() {
    for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(FOLDER_PREFIX).and_then(|pid| pid.parse::<u32>().ok());
        if pid.is_some_and(|pid| {
            Path::new("/proc/self").exists() && !Path::new(&format!("/proc/{pid}")).exists()
        }) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(unix)]
pub(crate) fn open_to_all(folder: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder, open).map_err(|error| format!("{}: {error}", folder.display()))
}

#[cfg(not(unix))]
pub(crate) fn open_to_all(_folder: &Path) -> Result<(), String> {
    Ok(())
}
