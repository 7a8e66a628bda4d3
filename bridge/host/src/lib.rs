//! A whole host in three phases: configure, open, serve; it puts the parts together and does no work of theirs.
//!
//! ```no_run
//! use bridge_host::{Host, HostConfig, TargetSpec};
//!
//! let mut config = HostConfig::new("/var/lib/agents");
//! config.targets.push(TargetSpec::parse("shop=sqlite:/data/shop.db")?);
//! let host = Host::open(config)?;
//! let token = host.issue_token("/mcp/query", "analyst", mcp::Scope::Read)?;
//! host.harvest("shop", |_: &bridge_host::HarvestProgress| {})?;
//! let server = host.server_builder().build()?;
//! # let _ = (token, server);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ai;
mod ai_stats;
mod auditing;
mod call_log;
mod config;
mod configuration;
mod drivers;
mod error;
mod harvesting;
mod host;
mod listener;
mod ops;
mod rag;
mod rows;
mod runtime;
mod statistics;
mod stores;
mod targets;
mod tokens;

pub use config::{HostConfig, HostDirectory};
pub use error::HostError;
pub use harvesting::{HarvestProgress, HarvestReport};
pub use host::Host;
pub use listener::{ListenerControl, ListenerOverrides, ListenerSettings, ServerListener};
pub use runtime::ConfigConsumer;
pub use targets::TargetSpec;
