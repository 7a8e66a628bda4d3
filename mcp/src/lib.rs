//! Model Context Protocol without I/O: what a tool, a resource, a prompt, a caller and a result are; it knows no socket, no runtime and no database.

mod cancel;
mod content;
mod context;
mod error;
mod handler;
mod spec;

pub use cancel::{CancelHook, CancelToken};
pub use content::{Content, ResourceContents, ToolOutput};
pub use context::{CallContext, Caller, LogLevel, ProgressSink};
pub use error::{ErrorCode, ToolError, ToolResult};
pub use handler::{Handlers, Tool, ToolHandler, ToolSet};
pub use spec::{Scope, ToolAnnotations, ToolExample, ToolSpec};
