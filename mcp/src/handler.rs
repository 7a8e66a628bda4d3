//! How tools plug in: one typed tool, a handler of several, and the set that a server sees; it knows no registry policy.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::content::ToolOutput;
use crate::context::{CallContext, Caller};
use crate::error::{ToolError, ToolResult};
use crate::spec::ToolSpec;

/// A group of tools. A handler is ready when it exists, and its list of tools is fixed at construction.
///
/// Calls block; the server runs them on its own bounded threads, several at a time.
pub trait ToolHandler: Send + Sync {
    /// The tools, in any order.
    fn specs(&self) -> &[ToolSpec];

    /// Runs the tool `name`, one of [`specs`](Self::specs), with arguments that fit its schema.
    ///
    /// # Errors
    /// Any [`ToolError`]; the server turns it into a result with `isError: true`.
    fn call(&self, cx: &CallContext, name: &str, args: Map<String, Value>) -> ToolResult<ToolOutput>;
}

/// One tool with typed arguments and result; collect several in [`Handlers`].
pub trait Tool: Send + Sync + 'static {
    /// The arguments object.
    type Args: DeserializeOwned;
    /// The structured result object.
    type Output: Serialize;

    /// The descriptor.
    fn spec(&self) -> ToolSpec;

    /// Does the work.
    ///
    /// # Errors
    /// Any [`ToolError`].
    fn call(&self, cx: &CallContext, args: Self::Args) -> ToolResult<Self::Output>;
}

trait DynTool: Send + Sync {
    fn call(&self, cx: &CallContext, args: Map<String, Value>) -> ToolResult<ToolOutput>;
}

impl<T: Tool> DynTool for T {
    fn call(&self, cx: &CallContext, args: Map<String, Value>) -> ToolResult<ToolOutput> {
        let args = serde_json::from_value(Value::Object(args))
            .map_err(|e| ToolError::invalid(format!("arguments do not fit the tool: {e}")))?;
        let output = Tool::call(self, cx, args)?;
        let value = serde_json::to_value(output)
            .map_err(|e| ToolError::internal(format!("result cannot be written as JSON: {e}")))?;
        Ok(ToolOutput::structured(value))
    }
}

/// A handler made of typed tools.
///
/// ```
/// use mcp::{CallContext, Handlers, Tool, ToolAnnotations, ToolResult, ToolSpec};
/// # use serde_json::json;
/// struct Add;
/// #[derive(serde::Deserialize)]
/// struct AddArgs { a: i64, b: i64 }
/// #[derive(serde::Serialize)]
/// struct Sum { sum: i64 }
/// impl Tool for Add {
///     type Args = AddArgs;
///     type Output = Sum;
///     fn spec(&self) -> ToolSpec {
///         let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
///                             "required": ["a", "b"], "additionalProperties": false});
///         ToolSpec::new("add", "Adds two integers.", schema, ToolAnnotations::READ)
///     }
///     fn call(&self, _: &CallContext, args: AddArgs) -> ToolResult<Sum> {
///         Ok(Sum { sum: args.a + args.b })
///     }
/// }
/// let handler = Handlers::new().with(Add);
/// # assert_eq!(mcp::ToolHandler::specs(&handler).len(), 1);
/// ```
#[derive(Default)]
pub struct Handlers {
    specs: Vec<ToolSpec>,
    tools: BTreeMap<String, Arc<dyn DynTool>>,
}

impl Handlers {
    /// An empty handler.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tool; a second one of the same name is kept in `specs` and refused at registration.
    #[must_use]
    pub fn with<T: Tool>(mut self, tool: T) -> Self {
        let spec = tool.spec();
        self.tools.insert(spec.name.clone(), Arc::new(tool));
        self.specs.push(spec);
        self
    }
}

impl ToolHandler for Handlers {
    fn specs(&self) -> &[ToolSpec] {
        &self.specs
    }

    fn call(&self, cx: &CallContext, name: &str, args: Map<String, Value>) -> ToolResult<ToolOutput> {
        let tool = self.tools.get(name).ok_or_else(|| ToolError::not_found("tool", name))?;
        tool.call(cx, args)
    }
}

/// What a server sees of the tools of one endpoint; the registry implements it.
pub trait ToolSet: Send + Sync {
    /// The tools that `caller` may call, in a fixed order.
    fn list(&self, caller: &Caller) -> Vec<Arc<ToolSpec>>;

    /// The descriptor of a canonical name or an alias that `caller` may see.
    fn find(&self, caller: &Caller, name: &str) -> Option<Arc<ToolSpec>>;

    /// Runs a tool by canonical name or alias.
    ///
    /// # Errors
    /// `NOT_FOUND` for a tool that is not there, else what the tool fails with.
    fn call(&self, cx: &CallContext, name: &str, args: Map<String, Value>) -> ToolResult<ToolOutput>;

    /// A number that changes whenever the list of tools changes.
    fn generation(&self) -> u64;
}
