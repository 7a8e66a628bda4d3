//! The AI-free tool handlers of the endpoints, one file a tool; it knows no driver and no transport.

mod errors;
mod paging;
mod schema;
mod toolbox;

pub use errors::{IntoToolResult, internal_error, tool_error};
pub use paging::{PageSigner, page};
pub use schema::{OutputSchema, input_schema};
pub use toolbox::{NoArgs, QueryTool, Toolbox, parse};
