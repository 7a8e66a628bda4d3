//! The form of a catalog-backed tool and its way into a toolbox; it knows no tool in particular.

use std::marker::PhantomData;

use mcp::{CallContext, ToolAnnotations, ToolExample, ToolOutput, ToolResult, ToolSpec};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::deps::CatalogDeps;
use crate::deps::{Call, Frame};
use crate::schema::{OutputSchema, input_schema};
use crate::toolbox::{QueryTool, parse};

/// A tool: constants that describe it, and what it does.
pub(crate) trait MemoryTool: Send + Sync + 'static {
    type Args: DeserializeOwned + JsonSchema;
    type Output: Serialize + JsonSchema;

    const NAME: &'static str;
    const TITLE: &'static str;
    const TEXT: &'static str;
    const TOOLSET: &'static str;
    const HINTS: ToolAnnotations;
    /// Its calls are counted in the query digests.
    const IS_DATA_TOOL: bool = false;
    /// May run as a task.
    const IS_LONG: bool = false;
    /// Bounds its own time instead of that of other calls.
    const OWN_TIME: bool = false;

    /// Adds what every answer carries to the schema of the result.
    fn output(schema: OutputSchema) -> OutputSchema;

    /// An example: what it answers, its arguments.
    fn example() -> (&'static str, Value);

    /// Looks at the arguments before they are read.
    fn precheck(arguments: &Map<String, Value>) -> ToolResult<()> {
        let _ = arguments;
        Ok(())
    }

    /// Does the work.
    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Self::Args) -> ToolResult<(Self::Output, Frame)>;
}

/// A catalog-backed tool with what it needs.
pub(crate) struct Memory<T> {
    deps: CatalogDeps,
    tool: PhantomData<fn() -> T>,
}

impl<T> Memory<T> {
    pub(crate) fn new(deps: &CatalogDeps) -> Self {
        Self { deps: deps.clone(), tool: PhantomData }
    }
}

impl<T: MemoryTool> QueryTool for Memory<T> {
    type Args = Map<String, Value>;

    fn spec(&self) -> ToolSpec {
        let (title, arguments) = T::example();
        let spec = ToolSpec::new(T::NAME, T::TEXT, input_schema::<T::Args>(), T::HINTS)
            .with_title(T::TITLE)
            .with_toolset(T::TOOLSET)
            .with_output(T::output(OutputSchema::of::<T::Output>()).build())
            .with_example(ToolExample::new(title, arguments));
        let spec = if T::IS_LONG { spec.with_task_support() } else { spec };
        if T::OWN_TIME { spec.with_own_time() } else { spec }
    }

    fn call(&self, cx: &CallContext, arguments: Map<String, Value>) -> ToolResult<ToolOutput> {
        T::precheck(&arguments)?;
        let mut call = Call::begin(&self.deps.tools, cx, T::NAME);
        let kept = T::IS_DATA_TOOL.then(|| arguments.clone());
        let args: T::Args = parse(arguments)?;
        let result = T::run(&self.deps, &mut call, args);
        if let Some(arguments) = kept {
            record(&call, &arguments, result.is_err());
        }
        let (body, frame) = result?;
        call.finish(&body, frame)
    }
}

fn record(call: &Call<'_>, arguments: &Map<String, Value>, failed: bool) {
    let text = |name: &str| arguments.get(name).and_then(Value::as_str);
    let target = call.deps.gateway.known_target(text("target_id"), &call.scope);
    let target_id = target.as_ref().map_or("", |t| t.target_id.as_str());
    call.record(arguments, target_id, text("schema").unwrap_or_default(), 0, failed);
}
