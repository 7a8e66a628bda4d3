//! Paths to endpoints, changed at run time, with their parts and cached tool lists; it does not know HTTP.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use mcp::{Caller, Change, Dispatcher, Endpoint, Era, RpcError};
use serde_json::{Map, Value};

/// Lists kept per endpoint.
const LISTS_MAX: usize = 64;
/// Parts kept per endpoint.
const PARTS_MAX: usize = 64;

type ListKey = (Era, String, mcp::Scope, Vec<String>);

#[derive(Default)]
struct Seen {
    tools: u64,
    prompts: u64,
    resources: u64,
}

/// One served path.
pub(crate) struct Route {
    pub(crate) endpoint: Endpoint,
    parts: Mutex<HashMap<String, (u64, Arc<Route>)>>,
    lists: Mutex<(u64, HashMap<ListKey, Arc<str>>)>,
    seen: Mutex<Seen>,
}

impl Route {
    fn new(endpoint: Endpoint) -> Self {
        let seen = generations(&endpoint);
        Self { endpoint, parts: Mutex::default(), lists: Mutex::default(), seen: Mutex::new(seen) }
    }

    fn part(&self, name: &str) -> Option<Arc<Self>> {
        let generation = self.endpoint.tools.generation();
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made, route)) = parts.get(name)
            && *made == generation
        {
            return Some(Arc::clone(route));
        }
        let route = Arc::new(Self::new(self.endpoint.part(name)?));
        if parts.len() >= PARTS_MAX {
            parts.clear();
        }
        parts.insert(name.to_owned(), (generation, Arc::clone(&route)));
        Some(route)
    }

    /// `tools/list`, from the cache where the first page is wanted.
    pub(crate) fn list_tools(
        &self,
        dispatcher: &Dispatcher,
        era: Era,
        caller: &Caller,
        params: &Map<String, Value>,
    ) -> Result<Arc<str>, RpcError> {
        if !params.is_empty() {
            return dispatcher.list_tools(&self.endpoint, era, caller, params).map(Into::into);
        }
        let generation = self.endpoint.tools.generation();
        let key = (era, caller.token_name.clone(), caller.scope, caller.named_scopes.clone());
        {
            let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
            if lists.0 != generation {
                *lists = (generation, HashMap::new());
            }
            if let Some(list) = lists.1.get(&key) {
                return Ok(Arc::clone(list));
            }
        }
        let list: Arc<str> = dispatcher.list_tools(&self.endpoint, era, caller, params)?.into();
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if lists.0 == generation {
            if lists.1.len() >= LISTS_MAX {
                lists.1.clear();
            }
            lists.1.insert(key, Arc::clone(&list));
        }
        Ok(list)
    }

    /// Publishes what has changed since the last look.
    fn publish_changes(&self) {
        let now = generations(&self.endpoint);
        let mut changes = Vec::new();
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.tools != now.tools {
                changes.push(Change::Tools);
            }
            if seen.prompts != now.prompts {
                changes.push(Change::Prompts);
            }
            if seen.resources != now.resources {
                changes.push(Change::Resources);
            }
            *seen = now;
        }
        changes.iter().for_each(|change| self.endpoint.changes.publish(change));
    }
}

fn generations(endpoint: &Endpoint) -> Seen {
    Seen {
        tools: endpoint.tools.generation(),
        prompts: endpoint.prompts.as_ref().map_or(0, |p| p.generation()),
        resources: endpoint.resources.as_ref().map_or(0, |r| r.generation()),
    }
}

/// All served paths.
#[derive(Default)]
pub(crate) struct Routes {
    by_path: RwLock<BTreeMap<String, Arc<Route>>>,
}

impl Routes {
    /// Serves an endpoint under its path, in place of one that was there.
    pub(crate) fn insert(&self, endpoint: Endpoint) {
        let path = endpoint.path.to_string();
        self.by_path
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(path, Arc::new(Route::new(endpoint)));
    }

    pub(crate) fn remove(&self, path: &str) -> bool {
        self.by_path.write().unwrap_or_else(PoisonError::into_inner).remove(path).is_some()
    }

    /// The endpoint of a path, or the part of one that the last segment names.
    pub(crate) fn find(&self, path: &str) -> Option<Arc<Route>> {
        let map = self.by_path.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(route) = map.get(path) {
            return Some(Arc::clone(route));
        }
        let (parent, part) = path.rsplit_once('/')?;
        let parent = map.get(parent).cloned()?;
        drop(map);
        parent.part(part)
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.by_path.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// All endpoints, in the order of their paths.
    pub(crate) fn endpoints(&self) -> Vec<Endpoint> {
        let map = self.by_path.read().unwrap_or_else(PoisonError::into_inner);
        map.values().map(|route| route.endpoint.clone()).collect()
    }

    /// Publishes what has changed on any endpoint.
    pub(crate) fn publish_changes(&self) {
        let routes: Vec<Arc<Route>> =
            self.by_path.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        routes.iter().for_each(|route| route.publish_changes());
    }
}
