//! What Cargo really compiles for one package, read from `cargo tree`; it knows no rule about it.

use std::path::Path;

use crate::metadata::Package;
use crate::process;

/// The crates behind one package, each with a path that leads to it.
#[derive(Debug)]
pub(crate) struct Tree {
    /// Name, version, path from the root; a crate in two versions is there twice.
    entries: Vec<(String, String)>,
}

/// Which part of the tree is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scope {
    /// Normal and build dependencies for this machine, default features: what a user compiles.
    Compiled,
    /// All kinds, all platforms, all of the package's own features: what an example could ever reach.
    Everything,
}

impl Tree {
    /// Asks Cargo with the features of this package alone, not those of the whole workspace together.
    pub(crate) fn load(workspace: &Path, package: &Package, scope: Scope) -> Result<Self, String> {
        let mut command = process::cargo();
        command.current_dir(workspace);
        command.args(["tree", "--locked", "--prefix", "depth", "--format", "|{p}"]);
        command.arg("--manifest-path").arg(&package.manifest);
        match scope {
            Scope::Compiled => command.args(["--edges", "normal,build"]),
            Scope::Everything => {
                command.args(["--edges", "normal,build,dev", "--target", "all", "--all-features"])
            }
        };
        Ok(Self::parse(&process::capture(&mut command)?))
    }

    fn parse(text: &str) -> Self {
        let mut path: Vec<String> = Vec::new();
        let mut entries: Vec<(String, String)> = Vec::new();
        for line in text.lines() {
            let Some((depth, package)) = line.split_once('|') else { continue };
            let Ok(depth) = depth.parse::<usize>() else { continue };
            let mut words = package.split(' ');
            let (Some(name), Some(version)) = (words.next(), words.next()) else { continue };
            path.truncate(depth);
            path.push(name.to_owned());
            let key = format!("{name} {version}");
            if depth > 0 && !entries.iter().any(|(known, _)| *known == key) {
                entries.push((key, path.join(" -> ")));
            }
        }
        Self { entries }
    }

    /// How many crates, the package itself not counted.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The path to a crate that a pattern names: a plain name, or a prefix that ends in `*`.
    pub(crate) fn path_to(&self, pattern: &str) -> Option<&str> {
        self.entries
            .iter()
            .find(|(key, _)| matches(pattern, key.split(' ').next().unwrap_or(key)))
            .map(|(_, path)| path.as_str())
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::Tree;

    #[test]
    fn reads_depths_paths_and_repeats() {
        let text = "0|serve v0.1.0 (/x)\n1|mcp v0.1.0 (/x/mcp)\n2|serde v1.0.0\n1|syn v2.0.0 (proc-macro)\n2|serde v1.0.0 (*)\n";
        let tree = Tree::parse(text);
        assert_eq!(tree.len(), 3);
        assert_eq!(tree.path_to("serde"), Some("serve -> mcp -> serde"));
        assert_eq!(tree.path_to("sy*"), Some("serve -> syn"));
        assert_eq!(tree.path_to("ser"), None);
        assert_eq!(tree.path_to("serve"), None);
    }
}
