//! Gets programs of the package registries into `target/tools`, once; it knows no program's purpose.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{process, say};

/// The folder where fetched programs live.
pub(crate) fn folder() -> PathBuf {
    process::target_folder().join("tools")
}

/// True when this process may install system packages.
pub(crate) fn is_root() -> bool {
    process::capture(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

/// Installs Debian packages.
pub(crate) fn apt_install(packages: &[&str]) -> Result<(), String> {
    let list = packages.join(" ");
    let apt = process::find("apt-get", &["/usr/bin"])
        .ok_or_else(|| format!("no apt-get here to install {list}"))?;
    if !is_root() {
        return Err(format!("not root; install it with `apt-get install --no-install-recommends {list}`"));
    }
    say::line(&format!("installing {list}"));
    let install = || {
        let mut command = Command::new(&apt);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command.args(["install", "--yes", "--no-install-recommends"]).args(packages);
        process::capture(&mut command)
    };
    if install().is_ok() {
        return Ok(());
    }
    // The package lists of a fresh machine are empty or old.
    process::capture(Command::new(&apt).arg("update"))?;
    install().map(drop)
}

/// Unpacks Debian packages into a folder of their own: what a person without root can do.
pub(crate) fn unpack_debian(name: &str, packages: &[&str]) -> Result<PathBuf, String> {
    once(name, |partial| {
        let apt = process::find("apt-get", &["/usr/bin"])
            .ok_or_else(|| format!("not root and no apt-get here to fetch {}", packages.join(" ")))?;
        let mut download = Command::new(apt);
        process::capture(download.current_dir(partial).arg("download").args(packages))?;
        for entry in std::fs::read_dir(partial).map_err(|error| format!("{}: {error}", partial.display()))? {
            let path = entry.map_err(|error| format!("{}: {error}", partial.display()))?.path();
            if path.extension().is_some_and(|ending| ending == "deb") {
                process::capture(Command::new("dpkg").arg("-x").arg(&path).arg(partial))?;
            }
        }
        Ok(())
    })
}

/// Unpacks PyPI packages with their dependencies into a folder of their own: no virtual environment is needed.
pub(crate) fn pip(name: &str, packages: &[&str], with_dependencies: bool) -> Result<PathBuf, String> {
    once(name, |partial| {
        let mut command = Command::new(python()?);
        command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]);
        command.args(["--only-binary", ":all:"]);
        if !with_dependencies {
            command.arg("--no-deps");
        }
        command.arg("--target").arg(partial).args(packages);
        process::capture(&mut command).map(drop)
    })
}

/// Python 3 with pip.
pub(crate) fn python() -> Result<PathBuf, String> {
    let find = || {
        let python = process::find("python3", &["/usr/bin"])?;
        process::capture(Command::new(&python).args(["-m", "pip", "--version"])).ok().map(|_| python)
    };
    if let Some(python) = find() {
        return Ok(python);
    }
    apt_install(&["python3", "python3-pip"])
        .map_err(|error| format!("python3 with pip is needed: {error}"))?;
    find().ok_or_else(|| "python3 with pip is needed".to_owned())
}

/// Installs npm packages into a folder of their own and hands back that folder.
pub(crate) fn npm(name: &str, packages: &[&str]) -> Result<PathBuf, String> {
    once(name, |partial| {
        let npm = match process::find("npm", &[]) {
            Some(npm) => npm,
            None => {
                apt_install(&["npm"]).map_err(|error| format!("npm is needed: {error}"))?;
                process::find("npm", &["/usr/bin"]).ok_or("npm is needed")?
            }
        };
        write(&partial.join("package.json"), "{\"private\": true, \"type\": \"module\"}\n")?;
        let mut command = Command::new(npm);
        command.current_dir(partial).args(["install", "--no-audit", "--no-fund", "--loglevel", "error"]);
        process::capture(command.args(packages)).map(drop)
    })
}

/// A Node.js that the test tools can use: the one on PATH if it is new enough, else the npm package `node`.
pub(crate) fn node() -> Result<PathBuf, String> {
    const MAJOR_MIN: u32 = 22;
    if let Some(node) = process::find("node", &[])
        && let Ok(version) = process::capture(Command::new(&node).arg("--version"))
        && version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok())
            >= Some(MAJOR_MIN)
    {
        return Ok(node);
    }
    let folder = npm("node", &["node@22"])?;
    let node = folder.join("node_modules/.bin/node");
    process::capture(Command::new(&node).arg("--version"))?;
    Ok(node)
}

/// Runs an installation into a partial folder and renames it when whole, so that a broken one is never found.
fn once(name: &str, install: impl FnOnce(&Path) -> Result<(), String>) -> Result<PathBuf, String> {
    let done = folder().join(name);
    if done.is_dir() {
        return Ok(done);
    }
    let partial = folder().join(format!("{name}.partial-{}", std::process::id()));
    std::fs::create_dir_all(&partial).map_err(|error| format!("{}: {error}", partial.display()))?;
    say::line(&format!("fetching {name}"));
    let outcome = install(&partial).and_then(|()| match std::fs::rename(&partial, &done) {
        // Another run may have been faster; its copy is as good.
        Err(error) if !done.is_dir() => Err(format!("{}: {error}", done.display())),
        _ => Ok(()),
    });
    let _ = std::fs::remove_dir_all(&partial);
    outcome.map(|()| done)
}

/// Writes a file with an error that names it.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
