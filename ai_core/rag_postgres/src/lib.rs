//! The store of retrieval in PostgreSQL with pgvector, behind the database seam; it knows no document and opens no TLS itself.

mod database;
mod errors;
mod index;
mod pool;
mod schema;
mod session;
mod spell;
mod values;
mod vectors;

pub use database::{PgDatabase, PgOptions};
pub use pool::{PgConnect, PgPassword, connector, plain_connector};
pub use vectors::{PgVectors, PgVectorsOptions};
