//! Vectors in PostgreSQL with pgvector behind the seam's `VectorStore`; it knows no document and no other store.

mod store;

pub use store::{PgConnect, PgVectors, PgVectorsOptions, plain_connector};
