//! The grammar layer of the read-only gate: passes exactly one allowed statement of an engine, or says why not; it opens no connection.

mod check;
mod convert;
mod explain;
mod fragment;
mod functions;
mod objects;
mod parse;
mod pragma;
mod refusal;
mod rewrite;
mod show;
mod text;
mod uses;
mod walk;

pub use check::check;
pub use explain::explain;
pub use fragment::check_fragment;
pub use functions::{is_allowed_function, refusal_of_function};
pub use objects::{check_default_schema, is_denied_object};
pub use pragma::is_allowed_pragma;
pub use text::{quote_identifier, quote_literal};
pub use uses::{ColumnUses, NameUse, OutputUse, RelationUse, column_uses, fold_identifier, identifiers};
