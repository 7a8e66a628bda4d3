//! Serves MCP endpoints over Streamable HTTP and stdio: transports, TLS, tokens, sessions, tasks and the door to blocking tools; it knows no database and no tool.

mod auth;
mod background;
mod call;
mod clock;
mod coerce;
mod config;
mod core;
mod event;
mod exchange;
pub mod gate;
mod hooks;
mod http;
mod link;
mod listener;
mod listeners;
mod methods;
mod page;
mod patience;
mod permits;
mod routes;
mod rpc;
mod schema;
mod seal;
mod server;
mod session;
mod stdio;
mod stream;
mod subscribe;
mod task;
mod tls;

pub use auth::{
    Anonymous, AuthError, AuthRequest, Authenticator, Identity, ResourceServer, ResourceServerConfig,
    TokenRecord, TokenTable, hash_token,
};
pub use background::{BackgroundServer, serve_stdio_blocking};
pub use config::ServerConfig;
pub use hooks::{Hooks, RequestReport};
pub use listeners::Listeners;
pub use page::Page;
pub use schema::JsonSchemaCheck;
pub use server::{Server, ServerBuilder, ServerError};
pub use tls::{Tls, TlsConfig};
