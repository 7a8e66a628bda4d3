//! Which names in cached statements are views over a table, asked of the engine as it is now; it drops nothing.

use std::collections::{BTreeMap, BTreeSet};

use harvest::{MetadataDepth, MetadataRequest};
use harvest_gateway::{CacheEntryInfo, MetadataLimit};

use super::invalidate_cache::reads;
use crate::deps::Call;

/// Views behind views that are followed.
const DEPTH_MAX: usize = 16;
/// Names that are asked about in one call; entries with further names count as readers.
const NAMES_MAX: usize = 500;

/// A name of one target: target, schema, name as the statement has it.
type Name = (String, String, String);

/// What an engine says of a name: what it reads if it is a view; `None` if the engine could not tell.
type Known = BTreeMap<Name, Option<Vec<(String, String)>>>;

/// Names that read a table through views. What cannot be told apart counts as a reader: a result too few in the cache
/// costs a statement, one too many is wrong.
pub(super) struct Readers(BTreeSet<Name>);

impl Readers {
    /// Looks behind every name in these entries.
    pub(super) fn find(call: &Call<'_>, table: &str, entries: &[CacheEntryInfo]) -> Self {
        let mut known = Known::new();
        let names: BTreeSet<Name> = entries.iter().flat_map(names_of).collect();
        let reading = names.into_iter().filter(|name| leads_to(call, &mut known, name, table, 0));
        Self(reading.collect())
    }

    /// Whether a statement reads the table through one of its names.
    pub(super) fn hold(&self, entry: &CacheEntryInfo) -> bool {
        names_of(entry).iter().any(|name| self.0.contains(name))
    }
}

fn names_of(entry: &CacheEntryInfo) -> Vec<Name> {
    let name = |table: &String| {
        let (schema, name) = table.rsplit_once('.').unwrap_or((entry.schema.as_str(), table));
        (entry.target_id.clone(), schema.to_owned(), name.to_owned())
    };
    entry.tables.iter().map(name).collect()
}

fn leads_to(call: &Call<'_>, known: &mut Known, name: &Name, table: &str, depth: usize) -> bool {
    if depth >= DEPTH_MAX {
        return true;
    }
    if !known.contains_key(name) {
        let fresh = if known.len() < NAMES_MAX { ask(call, name) } else { None };
        known.insert(name.clone(), fresh);
    }
    let Some(Some(sources)) = known.get(name).cloned() else { return true };
    sources.into_iter().any(|(schema, source)| {
        reads(table, &format!("{schema}.{source}"), &schema)
            || leads_to(call, known, &(name.0.clone(), schema, source), table, depth + 1)
    })
}

/// What a view reads; nothing for a table; `None` if the engine cannot be asked or knows no such name.
fn ask(call: &Call<'_>, (target_id, schema, name): &Name) -> Option<Vec<(String, String)>> {
    let mut request = MetadataRequest::all(NAMES_MAX);
    request.schemas = (!schema.is_empty()).then(|| vec![schema.clone()]);
    request.include_system = true;
    request.depth = MetadataDepth::Full;
    request.object = Some(name.clone());
    let target = Some(target_id.as_str());
    let gateway = &call.deps.gateway;
    let limit = MetadataLimit::Target;
    let read = gateway.metadata(target, Some(schema), &request, limit, &call.scope, &mut ()).ok()?;
    if read.ok_message.is_some() {
        return None;
    }
    let same = |object: &harvest::ObjectMeta| object.name.eq_ignore_ascii_case(name);
    let found: Vec<_> = read.snapshot.objects.into_iter().filter(same).collect();
    if found.is_empty() {
        return None;
    }
    let mut sources = Vec::new();
    for object in found {
        let own = object.schema.clone();
        sources.extend(object.depends_on.into_iter().map(|dependency| {
            let schema = if dependency.schema.is_empty() { own.clone() } else { dependency.schema };
            (schema, dependency.name)
        }));
    }
    Some(sources)
}
