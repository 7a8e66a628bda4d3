//! The only place where the AI side and the database side meet: tools of `/mcp/rag`, rows for ingestion, the detector as a hook; it holds no logic of either side.

mod detector;
mod errors;
mod rag;
mod rows;

pub use detector::{DETECTOR_ORDER, DetectorHook};
pub use errors::ai_tool_error;
pub use rag::{rag_scopes, rag_tools};
pub use rows::GatewayConnector;
