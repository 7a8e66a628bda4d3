//! The state at rest: one JSON file, replaced atomically; it does not know when to write it.

use crate::clock::Clock;
use crate::config::DetectorConfig;
use crate::detector::Detector;
use crate::profile::ProfileDump;
use crate::threat::{AllowEntry, ThreatPattern};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

/// Largest snapshot that is read.
pub const SNAPSHOT_BYTES_MAX: u64 = 1 << 30;
const VERSION: u32 = 1;

/// Why a snapshot could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The file could not be read or written.
    #[error("snapshot {path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is no snapshot.
    #[error("snapshot {path} cannot be parsed: {reason}; move it away to start empty")]
    Format {
        /// The file.
        path: String,
        /// The cause.
        reason: String,
    },
    /// The settings are invalid.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SnapshotFile {
    version: u32,
    /// The key of the structure ids; with another one the profiles would mean nothing.
    pub(crate) seed: u64,
    pub(crate) profiles: Vec<ProfileDump>,
    pub(crate) patterns: Vec<ThreatPattern>,
    pub(crate) allow: Vec<AllowEntry>,
}

impl SnapshotFile {
    pub(crate) fn new(
        seed: u64,
        profiles: Vec<ProfileDump>,
        patterns: Vec<ThreatPattern>,
        allow: Vec<AllowEntry>,
    ) -> Self {
        Self { version: VERSION, seed, profiles, patterns, allow }
    }
}

impl Detector {
    /// Writes the state beside `path` and puts it in its place.
    ///
    /// # Errors
    /// The file cannot be written; an older snapshot stays as it was.
    pub fn save(&self, path: &Path) -> Result<(), SnapshotError> {
        let io = |source| SnapshotError::Io { path: path.display().to_string(), source };
        let file = self.snapshot();
        let bytes = serde_json::to_vec(&file)
            .map_err(|e| SnapshotError::Format { path: path.display().to_string(), reason: e.to_string() })?;
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        let temp = Path::new(&name);
        let mut out = std::fs::File::create(temp).map_err(io)?;
        out.write_all(&bytes).and_then(|()| out.sync_all()).map_err(io)?;
        std::fs::rename(temp, path).map_err(io)
    }

    /// A detector with the state of `path`, or an empty one if there is no such file. Profiles that do
    /// not fit the settings (another `profile_digests_max`) start anew.
    ///
    /// # Errors
    /// Invalid settings; a file that cannot be read or is no snapshot.
    pub fn open(config: DetectorConfig, clock: Arc<dyn Clock>, path: &Path) -> Result<Self, SnapshotError> {
        let io = |source| SnapshotError::Io { path: path.display().to_string(), source };
        let format = |reason: String| SnapshotError::Format { path: path.display().to_string(), reason };
        let file = match std::fs::File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::with_clock(config, clock)?);
            }
            Err(e) => return Err(io(e)),
        };
        let mut bytes = Vec::new();
        file.take(SNAPSHOT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(io)?;
        if bytes.len() as u64 > SNAPSHOT_BYTES_MAX {
            return Err(format(format!("larger than {SNAPSHOT_BYTES_MAX} bytes")));
        }
        let snapshot: SnapshotFile = serde_json::from_slice(&bytes).map_err(|e| format(e.to_string()))?;
        if snapshot.version != VERSION {
            return Err(format(format!("version {} is not {VERSION}", snapshot.version)));
        }
        let detector = Self::build(config, clock, snapshot.seed)?;
        detector.restore(snapshot);
        Ok(detector)
    }
}
