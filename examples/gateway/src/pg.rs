//! The PostgreSQL wire: clients in front, a server behind, and messages between them.

pub(crate) mod backend;
pub(crate) mod client;
pub(crate) mod local;
pub(crate) mod relay;
pub(crate) mod wire;
