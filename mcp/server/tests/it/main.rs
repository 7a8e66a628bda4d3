//! The server from outside, over real sockets and streams; each module is one concern of the contract.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, also in its helpers")]

mod auth;
mod calls;
mod client;
mod hostile;
mod limits;
mod rmcp_client;
mod sessions;
mod stdio;
mod tls;
mod transcripts;
mod transport;
mod world;
