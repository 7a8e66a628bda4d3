//! Model Context Protocol without I/O: what a tool, a resource, a prompt, a caller and a result are, and the rules of both protocol eras; it knows no socket, no runtime and no database.

mod ask;
mod base64;
mod cancel;
mod change;
mod content;
mod context;
mod dispatch;
mod endpoint;
mod envelope;
mod error;
mod handler;
mod header;
mod json;
mod merge;
mod meta;
mod page;
mod prompt;
mod resource;
mod rounds;
mod rpc;
mod spec;
pub mod testing;
mod version;

pub use ask::{Ask, AskFailure, AskKind, ClientLink, Elicited, Judgement, Signal};
pub use cancel::{CancelHook, CancelToken};
pub use change::{Change, ChangeFeed, ChangeSubscription};
pub use content::{Content, ResourceContents, ToolOutput};
pub use context::{CallContext, Caller, LogLevel, ProgressSink};
pub use dispatch::{ArgumentCheck, Dispatcher, Incoming, PreparedTool, ServerInfo};
pub use endpoint::{Endpoint, HandlerSet};
pub use envelope::{EnvelopeError, METHOD_BYTES_MAX, Message, REQUEST_ID_BYTES_MAX, RequestId, read_message};
pub use error::{ErrorCode, ToolError, ToolResult};
pub use handler::{Handlers, Tool, ToolHandler, ToolSet};
pub use header::{HeaderSource, ParamHeader, check_standard_headers, decode_header_value};
pub use merge::merge_endpoints;
pub use meta::{
    ClientCapabilities, META_CLIENT_CAPABILITIES, META_CLIENT_INFO, META_LOG_LEVEL, META_PROTOCOL_VERSION,
    META_SERVER_INFO, META_SUBSCRIPTION_ID, RequestMeta, TASKS_EXTENSION,
};
pub use page::{LIST_PAGE_ITEMS, decode_cursor, encode_cursor};
pub use prompt::{
    COMPLETION_VALUES_MAX, Completer, Completion, CompletionRequest, CompletionTarget, Prompt,
    PromptArgument, PromptMessage, PromptOutput, PromptProvider, Role,
};
pub use resource::{Resource, ResourcePage, ResourceProvider, ResourceTemplate, URI_BYTES_MAX, is_safe_uri};
pub use rounds::{Rounds, STATE_BYTES_MAX, STATE_LIFETIME_S, StateSeal, input_requests};
pub use rpc::RpcError;
pub use spec::{Scope, ToolAnnotations, ToolExample, ToolSpec};
pub use version::{Era, ProtocolVersion};
