//! The detector's crate: judges SQL by structure, history, rate and threat library; it knows no MCP, no driver, no network.

mod cache;
mod clock;
mod config;
mod context;
mod counters;
mod detector;
mod digest;
mod incident;
mod keywords;
mod lexer;
mod machine;
mod maintenance;
mod profile;
mod rate;
mod rules;
mod similarity;
mod snapshot;
mod stats;
mod store;
mod text;
mod threat;
mod token;
mod value;
mod verdict;

pub use clock::{Clock, ManualClock, SystemClock};
pub use config::{ConfigError, DetectorConfig, ExemptUser, LogSql, Mode, RateAction};
pub use context::{BackendErrorClass, Phase, PostQueryFeedback, StatementContext};
pub use counters::{Decisions, DetectorStats, Latency};
pub use detector::{Detector, NewThreat, ProfileInfo};
pub use digest::{Fingerprint, fingerprint};
pub use incident::Incident;
pub use lexer::SqlMode;
pub use machine::StatementClass;
pub use maintenance::Maintenance;
pub use rules::AnomalyType;
pub use similarity::{LexicalEmbedder, ThreatEmbedder};
pub use snapshot::{SNAPSHOT_BYTES_MAX, SnapshotError};
pub use text::{NORMALIZED_BYTES_MAX, normalize};
pub use threat::{
    ALLOW_ENTRIES_MAX, AllowEntry, EXAMPLE_BYTES_MAX, Origin, PATTERNS_MAX, ThreatError, ThreatPattern,
    ThreatType,
};
pub use token::Dialect;
pub use verdict::{Action, DenyCode, IncidentId, Verdict};
