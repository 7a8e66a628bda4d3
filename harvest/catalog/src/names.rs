//! What the names of columns tell, remembered for the length of one harvest; it knows no table.

use std::collections::HashMap;

use crate::tokens::{is_id_like, searchable_name};

/// Names that are remembered at most; schemas repeat their names, generated ones may not.
const NAMES_MAX: usize = 50_000;

struct Known {
    is_id_like: bool,
    searchable: String,
}

/// Facts of names that were asked for before.
#[derive(Default)]
pub(crate) struct Names(HashMap<String, Known>);

impl Names {
    fn known(&mut self, name: &str) -> &Known {
        if !self.0.contains_key(name) {
            if self.0.len() >= NAMES_MAX {
                self.0.clear();
            }
            let known = Known { is_id_like: is_id_like(name), searchable: searchable_name(name) };
            self.0.insert(name.to_owned(), known);
        }
        &self.0[name]
    }

    pub(crate) fn is_id_like(&mut self, name: &str) -> bool {
        self.known(name).is_id_like
    }

    /// The words by which a search finds the name.
    pub(crate) fn searchable(&mut self, name: &str) -> &str {
        &self.known(name).searchable
    }
}
