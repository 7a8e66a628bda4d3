//! A runtime that remembers what it was given, and an admin interface over it.

use std::path::Path;
use std::sync::{Arc, Mutex};

use mcp::ToolError;
use mcp_config::{
    AdminOptions, AdminReply, AdminSession, AdminSql, Applied, Candidate, Cell, ConfigResult, ListenerState,
    Runtime, mcp_family, refused,
};

#[derive(Default)]
pub(crate) struct Memory {
    /// What was applied last, by module.
    pub(crate) seen: Mutex<Option<Candidate>>,
    /// Refuses everything while set.
    pub(crate) refuses: Mutex<Option<String>>,
    pub(crate) applied: Mutex<u32>,
}

impl Runtime for Memory {
    fn apply(&self, candidate: &Candidate) -> ConfigResult<Applied> {
        if let Some(cause) = &*self.refuses.lock().expect("holds") {
            return Err(refused("variables", None, cause.clone()));
        }
        *self.seen.lock().expect("holds") = Some(candidate.clone());
        *self.applied.lock().expect("holds") += 1;
        Ok(Applied::default())
    }

    fn listener(&self) -> ListenerState {
        ListenerState::default()
    }
}

pub(crate) struct World {
    pub(crate) admin: Arc<AdminSql>,
    pub(crate) runtime: Arc<Memory>,
    pub(crate) dir: Arc<tempfile::TempDir>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::over(Arc::new(tempfile::tempdir().expect("holds")), None)
    }

    pub(crate) fn over(dir: Arc<tempfile::TempDir>, config_file: Option<&Path>) -> Self {
        let runtime = Arc::new(Memory::default());
        let mut options = AdminOptions::new(dir.path());
        options.config_file = config_file.map(Path::to_owned);
        let family = mcp_family(dir.path(), Arc::clone(&runtime) as _);
        let admin = Arc::new(AdminSql::open(options, vec![family]).expect("holds"));
        admin.start().expect("holds");
        Self { admin, runtime, dir }
    }

    pub(crate) fn again(&self) -> Self {
        Self::over(Arc::clone(&self.dir), None)
    }

    pub(crate) fn try_run(&self, text: &str) -> Result<AdminReply, ToolError> {
        self.admin.execute(&AdminSession::local(), text, &[], 1000)
    }

    pub(crate) fn run(&self, text: &str) -> AdminReply {
        self.try_run(text).unwrap_or_else(|error| panic!("{text}: {error} {:?}", error.details))
    }

    pub(crate) fn fails(&self, text: &str) -> ToolError {
        match self.try_run(text) {
            Ok(reply) => panic!("{text} must fail, but: {:?}", reply.report),
            Err(error) => error,
        }
    }

    /// Rows as text, columns joined by `|`.
    pub(crate) fn rows(&self, text: &str) -> Vec<String> {
        let reply = self.run(text);
        reply.rows.iter().map(|row| row.iter().map(Cell::display).collect::<Vec<_>>().join("|")).collect()
    }

    pub(crate) fn one(&self, text: &str) -> String {
        self.rows(text).first().cloned().unwrap_or_default()
    }

    pub(crate) fn sum(&self, layer: &str, module: &str) -> String {
        self.one(&format!("CHECKSUM {layer} MCP {module}"))
    }
}
