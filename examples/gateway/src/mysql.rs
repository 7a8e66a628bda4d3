//! The MySQL wire: clients in front, a server behind, and packets between them.

pub(crate) mod backend;
pub(crate) mod client;
pub(crate) mod local;
pub(crate) mod packet;
pub(crate) mod relay;
pub(crate) mod rows;
