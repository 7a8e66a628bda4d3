//! The registry: which handlers serve which endpoint, at run time; it does not know what the tools do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use mcp::{CallContext, Caller, ToolError, ToolHandler, ToolOutput, ToolResult, ToolSet, ToolSpec};
use serde_json::{Map, Value};

use crate::layer::{Next, ScopeLayer, ToolLayer};
use crate::names::{NameStyle, NameTable};
use crate::validate::{self, RegistryError};

/// Names one registration, for [`ToolHandlerRegistry::unregister`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RegistrationId(u64);

#[derive(Clone)]
struct Entry {
    spec: Arc<ToolSpec>,
    shown: Arc<ToolSpec>,
    handler: Arc<dyn ToolHandler>,
    registration: u64,
}

/// The tools of one endpoint as they stand; replaced as a whole, so that a call sees one state.
#[derive(Default)]
struct Endpoint {
    tools: BTreeMap<String, Entry>,
    names: NameTable,
}

impl Endpoint {
    fn new(mut tools: BTreeMap<String, Entry>, style: NameStyle) -> Self {
        let names = NameTable::new(tools.keys().map(String::as_str));
        for entry in tools.values_mut() {
            let shown = names.shown(&entry.spec.name, style);
            entry.shown = if shown == entry.spec.name {
                Arc::clone(&entry.spec)
            } else {
                let mut spec = (*entry.spec).clone();
                spec.name = shown.to_owned();
                Arc::new(spec)
            };
        }
        Self { tools, names }
    }
}

/// Composes handlers into endpoints. Registering and removing take effect at once, also while a server is running.
///
/// A tool is found by its canonical name, and for a dotted name also by the forms with `_` and `__` for each dot; an
/// exact canonical name always wins.
pub struct ToolHandlerRegistry {
    endpoints: RwLock<BTreeMap<String, Arc<Endpoint>>>,
    layers: Vec<Arc<dyn ToolLayer>>,
    style: RwLock<NameStyle>,
    /// Tools by endpoint and name that lists leave out.
    unlisted: RwLock<BTreeSet<(String, String)>>,
    generation: AtomicU64,
    next_registration: AtomicU64,
}

impl Default for ToolHandlerRegistry {
    fn default() -> Self {
        Self::new()
    }
}

impl ToolHandlerRegistry {
    /// An empty registry with the scope layer alone.
    #[must_use]
    pub fn new() -> Self {
        Self::with_layers(NameStyle::Dotted, Vec::new())
    }

    /// An empty registry with layers around each call, outermost first; the scope layer is added innermost.
    #[must_use]
    pub fn with_layers(style: NameStyle, mut layers: Vec<Arc<dyn ToolLayer>>) -> Self {
        layers.push(Arc::new(ScopeLayer));
        Self {
            endpoints: RwLock::default(),
            layers,
            style: RwLock::new(style),
            unlisted: RwLock::default(),
            generation: AtomicU64::new(1),
            next_registration: AtomicU64::new(1),
        }
    }

    /// Adds every tool of `handler` to `endpoint`, or none of them.
    ///
    /// # Errors
    /// The first fault found: a bad endpoint path, a bad descriptor, a name that is taken.
    pub fn register(
        &self,
        endpoint: &str,
        handler: Arc<dyn ToolHandler>,
    ) -> Result<RegistrationId, RegistryError> {
        validate::endpoint(endpoint)?;
        let registration = self.next_registration.fetch_add(1, Ordering::Relaxed);
        let mut endpoints = self.endpoints.write().unwrap_or_else(PoisonError::into_inner);
        let mut tools = endpoints.get(endpoint).map(|e| e.tools.clone()).unwrap_or_default();
        for spec in handler.specs() {
            validate::spec(spec)?;
            let spec = Arc::new(spec.clone());
            let entry = Entry {
                shown: Arc::clone(&spec),
                spec: Arc::clone(&spec),
                handler: Arc::clone(&handler),
                registration,
            };
            if tools.insert(spec.name.clone(), entry).is_some() {
                return Err(RegistryError::Duplicate {
                    endpoint: endpoint.to_owned(),
                    tool: spec.name.clone(),
                });
            }
        }
        endpoints.insert(endpoint.to_owned(), Arc::new(Endpoint::new(tools, self.style())));
        self.generation.fetch_add(1, Ordering::Release);
        Ok(RegistrationId(registration))
    }

    /// Removes what one registration added; running calls finish. Returns whether anything was there.
    pub fn unregister(&self, id: RegistrationId) -> bool {
        let mut endpoints = self.endpoints.write().unwrap_or_else(PoisonError::into_inner);
        let mut found = false;
        for endpoint in endpoints.values_mut() {
            if endpoint.tools.values().any(|e| e.registration == id.0) {
                found = true;
                let kept = endpoint.tools.iter().filter(|(_, e)| e.registration != id.0);
                let kept = kept.map(|(name, entry)| (name.clone(), entry.clone())).collect();
                *endpoint = Arc::new(Endpoint::new(kept, self.style()));
            }
        }
        endpoints.retain(|_, endpoint| !endpoint.tools.is_empty());
        if found {
            self.generation.fetch_add(1, Ordering::Release);
        }
        found
    }

    /// Lists advertise names in another form from now on; calls accept every form as before.
    pub fn set_style(&self, style: NameStyle) {
        let mut endpoints = self.endpoints.write().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *self.style.write().unwrap_or_else(PoisonError::into_inner), style) == style
        {
            return;
        }
        for endpoint in endpoints.values_mut() {
            *endpoint = Arc::new(Endpoint::new(endpoint.tools.clone(), style));
        }
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Whether lists show a tool. One that they leave out can be called all the same, and says itself why it does nothing.
    pub fn set_listed(&self, endpoint: &str, tool: &str, listed: bool) {
        let key = (endpoint.to_owned(), tool.to_owned());
        let mut unlisted = self.unlisted.write().unwrap_or_else(PoisonError::into_inner);
        let changed = if listed { unlisted.remove(&key) } else { unlisted.insert(key) };
        if changed {
            self.generation.fetch_add(1, Ordering::Release);
        }
    }

    fn style(&self) -> NameStyle {
        *self.style.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The endpoints that have tools, sorted.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.endpoints.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Number of tools on an endpoint, whoever may see them.
    #[must_use]
    pub fn tool_count(&self, endpoint: &str) -> usize {
        self.endpoint(endpoint).map_or(0, |e| e.tools.len())
    }

    /// Dotted names whose single-underscore alias belongs to another tool, as (name, alias).
    #[must_use]
    pub fn alias_collisions(&self, endpoint: &str) -> Vec<(String, String)> {
        self.endpoint(endpoint).map(|e| e.names.collisions()).unwrap_or_default()
    }

    /// All tools of an endpoint, as a server sees them. It stays live: later registrations show up in it.
    #[must_use]
    pub fn tool_set(self: &Arc<Self>, endpoint: &str) -> Arc<EndpointTools> {
        Arc::new(EndpointTools { registry: Arc::clone(self), endpoint: endpoint.to_owned() })
    }

    fn endpoint(&self, path: &str) -> Option<Arc<Endpoint>> {
        self.endpoints.read().unwrap_or_else(PoisonError::into_inner).get(path).map(Arc::clone)
    }
}

impl std::fmt::Debug for ToolHandlerRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ToolHandlerRegistry").field("endpoints", &self.endpoints()).finish_non_exhaustive()
    }
}

/// A live view of one endpoint's tools.
#[derive(Debug)]
pub struct EndpointTools {
    registry: Arc<ToolHandlerRegistry>,
    endpoint: String,
}

impl EndpointTools {
    fn entry(&self, name: &str) -> Option<Entry> {
        let endpoint = self.registry.endpoint(&self.endpoint)?;
        let entry = endpoint.tools.get(endpoint.names.canonical(name)?)?;
        Some(entry.clone())
    }
}

impl ToolSet for EndpointTools {
    fn list(&self, caller: &Caller) -> Vec<Arc<ToolSpec>> {
        let Some(endpoint) = self.registry.endpoint(&self.endpoint) else {
            return Vec::new();
        };
        let unlisted = self.registry.unlisted.read().unwrap_or_else(PoisonError::into_inner);
        let listed =
            |name: &str| unlisted.is_empty() || !unlisted.contains(&(self.endpoint.clone(), name.to_owned()));
        let visible = endpoint.tools.values().filter(|e| caller.may_call(&e.spec) && listed(&e.spec.name));
        visible.map(|e| Arc::clone(&e.shown)).collect()
    }

    fn find(&self, caller: &Caller, name: &str) -> Option<Arc<ToolSpec>> {
        let entry = self.entry(name)?;
        caller.may_call(&entry.spec).then_some(entry.spec)
    }

    fn call(&self, cx: &CallContext, name: &str, args: Map<String, Value>) -> ToolResult<ToolOutput> {
        let entry = self.entry(name).ok_or_else(|| ToolError::not_found("tool", name))?;
        let run = |cx: &CallContext, args| entry.handler.call(cx, &entry.spec.name, args);
        Next::new(&self.registry.layers, &run).run(cx, &entry.spec, args)
    }

    fn generation(&self) -> u64 {
        self.registry.generation.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests;
