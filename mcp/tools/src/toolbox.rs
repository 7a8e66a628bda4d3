//! A handler made of tools that answer in their own way, one file a tool; it knows no tool in particular.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

use mcp::{CallContext, ToolAnnotations, ToolError, ToolHandler, ToolOutput, ToolResult, ToolSpec};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::budget::{self, Budget};
use crate::deps::ToolDeps;

/// One tool of this package: typed arguments, any form of output.
pub trait QueryTool: Send + Sync + 'static {
    /// The arguments object.
    type Args: DeserializeOwned;

    /// The descriptor.
    fn spec(&self) -> ToolSpec;

    /// Does the work.
    ///
    /// # Errors
    /// Any [`ToolError`].
    fn call(&self, cx: &CallContext, args: Self::Args) -> ToolResult<ToolOutput>;
}

type Run = Box<dyn Fn(&CallContext, Map<String, Value>) -> ToolResult<ToolOutput> + Send + Sync>;

struct Entry {
    run: Run,
    hints: ToolAnnotations,
    /// Where cut answers are kept, for tools with a budget.
    budget: Option<ToolDeps>,
}

/// Tools under one roof; build it once, give it to the registry.
#[derive(Default)]
pub struct Toolbox {
    specs: Vec<ToolSpec>,
    tools: BTreeMap<String, Entry>,
    budget: Option<ToolDeps>,
}

impl Toolbox {
    /// An empty box.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Tools that are added from now on take `max_bytes` and `max_tokens` and answer in pages.
    #[must_use]
    pub fn with_budgets(mut self, deps: &ToolDeps) -> Self {
        self.budget = Some(deps.clone());
        self
    }

    /// Adds a tool; a second one of the same name is kept in the list and refused at registration.
    #[must_use]
    pub fn with<T: QueryTool>(mut self, tool: T) -> Self {
        let mut spec = tool.spec();
        if self.budget.is_some() {
            budget::describe(&mut spec);
        }
        let tool = Arc::new(tool);
        let run: Run = Box::new(move |cx, args| tool.call(cx, parse(args)?));
        let entry = Entry { run, hints: spec.annotations, budget: self.budget.clone() };
        self.tools.insert(spec.name.clone(), entry);
        self.specs.push(spec);
        self
    }
}

impl ToolHandler for Toolbox {
    fn specs(&self) -> &[ToolSpec] {
        &self.specs
    }

    fn call(&self, cx: &CallContext, name: &str, mut args: Map<String, Value>) -> ToolResult<ToolOutput> {
        let tool = self.tools.get(name).ok_or_else(|| ToolError::not_found("tool", name))?;
        let Some(deps) = &tool.budget else { return (tool.run)(cx, args) };
        let Some(budget) = Budget::take(deps, cx, (name, tool.hints), &mut args)? else {
            return (tool.run)(cx, args);
        };
        if let Some(page) = budget.resume(&args)? {
            return Ok(page);
        }
        budget.fit((tool.run)(cx, args)?)
    }
}

impl std::fmt::Debug for Toolbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.specs.iter().map(|spec| &spec.name)).finish()
    }
}

/// Reads typed arguments; `null` counts as absence.
///
/// # Errors
/// `INVALID_ARGUMENT` naming what does not fit.
pub fn parse<T: DeserializeOwned>(mut args: Map<String, Value>) -> ToolResult<T> {
    args.retain(|_, value| !value.is_null());
    serde_json::from_value(Value::Object(args))
        .map_err(|e| ToolError::invalid(format!("arguments do not fit the tool: {e}")))
}

/// Marks a tool whose arguments are none.
#[derive(Debug, Clone, Copy, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
// Exhaustive: no arguments are no arguments.
pub struct NoArgs {
    #[serde(skip)]
    _none: PhantomData<()>,
}
