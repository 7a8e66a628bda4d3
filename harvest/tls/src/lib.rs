//! TLS of connections to databases, in every verify mode; it opens no connection.

mod settings;

pub use settings::config;
