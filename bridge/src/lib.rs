//! Composition of tool handlers into endpoints; it knows the protocol's tool seam and nothing of transports, databases or models.
//!
//! ```
//! use std::sync::Arc;
//! use bridge::ToolHandlerRegistry;
//! # use mcp::{CallContext, Caller, Handlers, Scope, Tool, ToolAnnotations, ToolResult, ToolSet as _, ToolSpec};
//! # use serde_json::{Map, Value, json};
//! # struct Echo;
//! # impl Tool for Echo {
//! #     type Args = Value;
//! #     type Output = Value;
//! #     fn spec(&self) -> ToolSpec {
//! #         ToolSpec::new("echo", "Gives back its arguments.", json!({"type": "object"}), ToolAnnotations::READ)
//! #     }
//! #     fn call(&self, _: &CallContext, args: Value) -> ToolResult<Value> { Ok(args) }
//! # }
//! let registry = Arc::new(ToolHandlerRegistry::new());
//! registry.register("/mcp/mine", Arc::new(Handlers::new().with(Echo)))?;
//! let tools = registry.tool_set("/mcp/mine");
//! let cx = CallContext::new(Caller::new("me", Scope::Read), "/mcp/mine");
//! assert!(tools.call(&cx, "echo", Map::new()).is_ok());
//! # Ok::<(), bridge::RegistryError>(())
//! ```

mod layer;
mod names;
mod registry;
mod validate;

pub use layer::{CallObserver, CallRecord, Next, ObserverLayer, ScopeLayer, ToolLayer};
pub use names::NameStyle;
pub use registry::{EndpointTools, RegistrationId, ToolHandlerRegistry};
pub use validate::RegistryError;
