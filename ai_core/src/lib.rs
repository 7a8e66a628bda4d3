//! Seam of the AI side: the traits and plain types that handlers, stores and models share; it knows no HTTP, no database and no protocol.

mod error;

pub use error::{AiError, AiErrorCode, AiResult};
