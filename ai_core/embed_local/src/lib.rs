//! Embedders over model files in a folder; it downloads nothing and knows no store.

mod bert;
mod files;
mod gelu;
mod local;
mod table;

pub use local::{LocalEmbedder, LocalOptions, Pooling};
