//! The full-text index of large stores, on tantivy; it follows a store's changes and knows nothing else about it.

mod index;
mod query;

pub use index::{TantivyIndex, opener};
