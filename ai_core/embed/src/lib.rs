//! The built-in embedder: words and pieces of words hashed into a vector; it knows no files, no network and no meaning.

mod hashed;

pub use hashed::{HashedEmbedder, LEXICAL_HASH_DIM, LEXICAL_HASH_MODEL};
