//! One endpoint: a path with tools, resources, prompts and instructions, and its parts; it does not know who serves it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::change::ChangeFeed;
use crate::content::ToolOutput;
use crate::context::{CallContext, Caller};
use crate::error::{ToolError, ToolResult};
use crate::handler::ToolSet;
use crate::prompt::{Completer, PromptProvider};
use crate::resource::ResourceProvider;
use crate::spec::{Scope, ToolSpec};

/// What is served under one path. Cheap to clone; build it with [`Endpoint::new`] and the `with_…` methods.
#[derive(Clone)]
#[non_exhaustive]
pub struct Endpoint {
    /// The path, such as `/mcp/query`.
    pub path: Arc<str>,
    /// The path whose tokens open it: its own, or that of the endpoint it is a part of.
    pub auth_path: Arc<str>,
    /// The tools.
    pub tools: Arc<dyn ToolSet>,
    /// The resources, if it has any.
    pub resources: Option<Arc<dyn ResourceProvider>>,
    /// The prompts, if it has any.
    pub prompts: Option<Arc<dyn PromptProvider>>,
    /// Completion of arguments, if offered.
    pub completer: Option<Arc<dyn Completer>>,
    /// What a model should know before it uses the endpoint.
    pub instructions: Arc<str>,
    /// Where changes are published.
    pub changes: ChangeFeed,
    /// Whether legacy clients get a session (needed for questions to them and for resuming streams).
    pub sessions: bool,
    /// Whether a legacy request must belong to a session; if not, one without an id is served by itself.
    pub session_required: bool,
    /// Whether clients may follow long calls as tasks.
    pub tasks: bool,
    /// Whether calls may send log notifications.
    pub logging: bool,
    /// How long clients may keep lists, in milliseconds.
    pub list_ttl_ms: u64,
}

impl Endpoint {
    /// An endpoint with tools only, sessions for legacy clients and tasks for those that can follow them.
    pub fn new(path: impl Into<Arc<str>>, tools: Arc<dyn ToolSet>) -> Self {
        let path = path.into();
        Self {
            auth_path: Arc::clone(&path),
            path,
            tools,
            resources: None,
            prompts: None,
            completer: None,
            instructions: "".into(),
            changes: ChangeFeed::new(),
            sessions: true,
            session_required: true,
            tasks: true,
            logging: true,
            list_ttl_ms: 60_000,
        }
    }

    /// Adds resources.
    #[must_use]
    pub fn with_resources(mut self, resources: Arc<dyn ResourceProvider>) -> Self {
        self.resources = Some(resources);
        self
    }

    /// Adds prompts.
    #[must_use]
    pub fn with_prompts(mut self, prompts: Arc<dyn PromptProvider>) -> Self {
        self.prompts = Some(prompts);
        self
    }

    /// Adds completion.
    #[must_use]
    pub fn with_completer(mut self, completer: Arc<dyn Completer>) -> Self {
        self.completer = Some(completer);
        self
    }

    /// Sets the instructions.
    #[must_use]
    pub fn with_instructions(mut self, instructions: impl Into<Arc<str>>) -> Self {
        self.instructions = instructions.into();
        self
    }

    /// Publishes changes on a feed that the host keeps.
    #[must_use]
    pub fn with_changes(mut self, changes: ChangeFeed) -> Self {
        self.changes = changes;
        self
    }

    /// Offers sessions to legacy clients and also serves requests that belong to none, as plain scripts send them.
    #[must_use]
    pub fn with_optional_sessions(mut self) -> Self {
        self.sessions = true;
        self.session_required = false;
        self
    }

    /// Turns sessions for legacy clients on or off.
    #[must_use]
    pub fn with_sessions(mut self, sessions: bool) -> Self {
        self.sessions = sessions;
        self
    }

    /// Turns tasks on or off.
    #[must_use]
    pub fn with_tasks(mut self, tasks: bool) -> Self {
        self.tasks = tasks;
        self
    }

    /// The parts this endpoint is also served in: toolset names with their number of tools, and `readonly`.
    #[must_use]
    pub fn parts(&self) -> BTreeMap<String, usize> {
        let mut parts = BTreeMap::new();
        let (mut all, mut readonly) = (0, 0);
        for spec in self.tools.list(&everything()) {
            all += 1;
            readonly += usize::from(spec.annotations.read_only_hint);
            if !spec.toolset.is_empty() {
                *parts.entry(spec.toolset.clone()).or_insert(0) += 1;
            }
        }
        if readonly > 0 && readonly < all {
            parts.insert(READONLY.to_owned(), readonly);
        }
        parts
    }

    /// One part of this endpoint under `path/part`: `readonly` or a toolset that has tools.
    #[must_use]
    pub fn part(&self, part: &str) -> Option<Self> {
        let filter = if part == READONLY {
            Filter::ReadOnly
        } else if !part.is_empty() && self.tools.list(&everything()).iter().any(|s| s.toolset == part) {
            Filter::Toolset(part.into())
        } else {
            return None;
        };
        let mut view = self.clone();
        view.path = format!("{}/{part}", self.path).into();
        view.tools = Arc::new(PartSet { inner: Arc::clone(&self.tools), filter });
        view.resources = None;
        view.prompts = None;
        view.completer = None;
        Some(view)
    }

    /// The instructions with the paths of the parts appended, so that clients find them.
    #[must_use]
    pub fn full_instructions(&self) -> String {
        let base = &self.auth_path;
        let parts: Vec<String> = if *base == self.path {
            let counted =
                |tools: usize| if tools == 1 { "1 tool".to_owned() } else { format!("{tools} tools") };
            self.parts().iter().map(|(name, tools)| format!("{base}/{name} ({})", counted(*tools))).collect()
        } else {
            vec![format!("{base} (all tools)")]
        };
        let mut text = self.instructions.to_string();
        if !parts.is_empty() {
            if !text.is_empty() {
                text.push_str("\n\n");
            }
            text.push_str("Also served, with the same token: ");
            text.push_str(&parts.join(", "));
            text.push('.');
        }
        text
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("path", &self.path).finish_non_exhaustive()
    }
}

const READONLY: &str = "readonly";

/// A caller who sees every tool; used to look at lists, never to call.
pub(crate) fn everything() -> Caller {
    Caller::new("", Scope::Full)
}

enum Filter {
    ReadOnly,
    Toolset(Box<str>),
}

impl Filter {
    fn admits(&self, spec: &ToolSpec) -> bool {
        match self {
            Self::ReadOnly => spec.annotations.read_only_hint,
            Self::Toolset(name) => spec.toolset == **name,
        }
    }
}

struct PartSet {
    inner: Arc<dyn ToolSet>,
    filter: Filter,
}

impl ToolSet for PartSet {
    fn list(&self, caller: &Caller) -> Vec<Arc<ToolSpec>> {
        let mut specs = self.inner.list(caller);
        specs.retain(|spec| self.filter.admits(spec));
        specs
    }

    fn find(&self, caller: &Caller, name: &str) -> Option<Arc<ToolSpec>> {
        self.inner.find(caller, name).filter(|spec| self.filter.admits(spec))
    }

    fn call(&self, cx: &CallContext, name: &str, args: Map<String, Value>) -> ToolResult<ToolOutput> {
        if self.find(&cx.caller, name).is_none() {
            return Err(ToolError::not_found("tool", name));
        }
        self.inner.call(cx, name, args)
    }

    fn generation(&self) -> u64 {
        self.inner.generation()
    }
}

/// A tool set of one handler, without layers, scopes or aliases beyond what [`Caller::may_call`] says: for small hosts
/// and tests.
pub struct HandlerSet<H> {
    handler: H,
    specs: Vec<Arc<ToolSpec>>,
}

impl<H: crate::handler::ToolHandler> HandlerSet<H> {
    /// Wraps a handler; tools are listed in the handler's order.
    pub fn new(handler: H) -> Self {
        let specs = handler.specs().iter().cloned().map(Arc::new).collect();
        Self { handler, specs }
    }
}

impl<H: crate::handler::ToolHandler> ToolSet for HandlerSet<H> {
    fn list(&self, caller: &Caller) -> Vec<Arc<ToolSpec>> {
        self.specs.iter().filter(|s| caller.may_call(s)).cloned().collect()
    }

    fn find(&self, caller: &Caller, name: &str) -> Option<Arc<ToolSpec>> {
        self.specs.iter().find(|s| s.name == name && caller.may_call(s)).cloned()
    }

    fn call(&self, cx: &CallContext, name: &str, args: Map<String, Value>) -> ToolResult<ToolOutput> {
        self.handler.call(cx, name, args)
    }

    fn generation(&self) -> u64 {
        0
    }
}
