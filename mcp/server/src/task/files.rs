//! Tasks on disk, one file each, so that a caller finds the end of its task after a restart; it runs and judges nothing.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use mcp::RpcError;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Ending;

const ENDING: &str = "json";
const PARTIAL: &str = "part";

/// A task as it is kept.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) task_id: String,
    pub(super) token_name: String,
    pub(super) endpoint: String,
    pub(super) created_ms: u64,
    pub(super) updated_ms: u64,
    pub(super) ttl_ms: u64,
    pub(super) poll_interval_ms: u64,
    pub(super) message: Option<String>,
    pub(super) ended: Option<Ended>,
}

/// How it ended; the members are those of the wire, which never change.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ended {
    Completed(Value),
    Failed { code: i64, message: String, data: Option<Value> },
    Cancelled,
}

impl From<&Ending> for Ended {
    fn from(ending: &Ending) -> Self {
        match ending {
            Ending::Completed(result) => Self::Completed(result.clone()),
            Ending::Failed(error) => {
                Self::Failed { code: error.code, message: error.message.clone(), data: error.data.clone() }
            }
            Ending::Cancelled => Self::Cancelled,
        }
    }
}

impl From<Ended> for Ending {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Completed(result) => Self::Completed(result),
            Ended::Failed { code, message, data } => {
                let error = RpcError::new(code, message);
                Self::Failed(match data {
                    Some(data) => error.with_data(data),
                    None => error,
                })
            }
            Ended::Cancelled => Self::Cancelled,
        }
    }
}

/// A folder of tasks, which belongs to one process at a time.
#[derive(Debug)]
pub(super) struct TaskFiles {
    folder: PathBuf,
    /// Holds the lock of the operating system as long as it is open.
    _lock: File,
}

impl TaskFiles {
    /// Opens or makes the folder, which only its owner may read, and gives what it holds; `None` while another process has it.
    /// Files that cannot be read are named in the log and left alone.
    pub(super) fn open(folder: &Path) -> io::Result<Option<(Self, Vec<Record>)>> {
        let mut make = std::fs::DirBuilder::new();
        make.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut make, 0o700);
        make.create(folder)?;
        let lock = File::create(folder.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let mut records = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            match path.extension().and_then(|ending| ending.to_str()) {
                Some(PARTIAL) => std::fs::remove_file(&path)?,
                Some(ENDING) => match serde_json::from_slice(&std::fs::read(&path)?) {
                    Ok(record) => records.push(record),
                    Err(error) => tracing::warn!(file = %path.display(), %error, "not a task"),
                },
                _ => {}
            }
        }
        Ok(Some((Self { folder: folder.to_owned(), _lock: lock }, records)))
    }

    /// Keeps a task: when this has returned, a restart finds it. The old state or the new one, never a mixture.
    pub(super) fn write(&self, record: &Record) -> io::Result<()> {
        let text = serde_json::to_vec(record)?;
        let path = self.path(&record.task_id);
        let partial = path.with_extension(PARTIAL);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&partial)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&partial, &path)?;
        File::open(&self.folder)?.sync_all()
    }

    /// Forgets a task; one that is not there is forgotten already.
    pub(super) fn remove(&self, task_id: &str) {
        if let Err(error) = std::fs::remove_file(self.path(task_id))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(task_id, %error, "an expired task cannot be removed");
        }
    }

    /// Identifiers are hexadecimal digits of our own making.
    fn path(&self, task_id: &str) -> PathBuf {
        self.folder.join(task_id).with_extension(ENDING)
    }
}
