//! The stores that variables name: another file is opened and checked before the old one is left; it reads nothing in them.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use harvest_catalog::{Catalog, DataIndexes, StoreOptions};
use mcp_config::{Candidate, ConfigResult, VARIABLES, refused};

use crate::runtime::ConfigConsumer;

/// Catalog and data indexes under the control of their variables.
pub(crate) struct Stores {
    catalog: Catalog,
    data: DataIndexes,
    /// What a load has opened and not yet put into use.
    next: Mutex<(Option<Catalog>, Option<DataIndexes>)>,
}

impl Stores {
    pub(crate) fn new(catalog: Catalog, data: DataIndexes) -> Self {
        Self { catalog, data, next: Mutex::default() }
    }

    fn next(&self) -> MutexGuard<'_, (Option<Catalog>, Option<DataIndexes>)> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The path of a variable, if it is another one than that in use.
fn other(candidate: &Candidate, variable: &str, now: PathBuf) -> Option<PathBuf> {
    let path = candidate.data_dir.join(candidate.variables().text(variable));
    (path != now).then_some(path)
}

impl ConfigConsumer for Stores {
    fn check(&self, candidate: &Candidate) -> ConfigResult<()> {
        let fail = |variable: &'static str| {
            move |error: harvest::HarvestError| refused(VARIABLES, Some(variable), error.message)
        };
        let mut next = self.next();
        *next = (None, None);
        if let Some(path) = other(candidate, "catalog_path", self.catalog.path()) {
            next.0 = Some(Catalog::open(StoreOptions::new(path)).map_err(fail("mcp-catalog_path"))?);
        }
        if let Some(path) = other(candidate, "fts_path", self.data.path()) {
            next.1 = Some(DataIndexes::open(StoreOptions::new(path)).map_err(fail("mcp-fts_path"))?);
        }
        Ok(())
    }

    fn apply(&self, _: &Candidate) {
        let (catalog, data) = std::mem::take(&mut *self.next());
        let done = [
            catalog.map(|fresh| self.catalog.take_over(fresh)),
            data.map(|fresh| self.data.take_over(fresh)),
        ];
        for error in done.into_iter().flatten().filter_map(Result::err) {
            tracing::error!(%error, "a store could not be changed for another one");
        }
    }
}
