//! The AI-free tool handlers of the endpoints, one file a tool; it knows no driver and no transport.

mod deps;
mod errors;
mod memory;
mod paging;
mod query;
mod schema;
mod toolbox;

#[cfg(test)]
mod tests;

pub use deps::{Call, Frame, ToolDeps, argument_error, call_scope, is_not_found, too_large, wire_bytes};
pub use errors::{IntoToolResult, internal_error, tool_error};
pub use memory::{
    CatalogCompleter, CatalogDeps, CatalogPrompts, CatalogResources, CatalogSettings, ToolUsageRow,
    ToolUsageSource, add_catalog_tools, catalog_tools,
};
pub use paging::{Page, PageSigner, key_page, page};
pub use query::{add_query_tools, query_tools};
pub use schema::{OutputSchema, input_schema};
pub use toolbox::{NoArgs, QueryTool, Toolbox, parse};
