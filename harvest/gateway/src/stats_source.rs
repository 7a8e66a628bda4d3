//! Where statistics tools get rows that the gateway does not keep itself; it knows no tool and no engine.

use harvest::{HarvestCode, HarvestError, HarvestResult, Protocol};
use serde_json::{Map, Value};

/// A family of rows that statistics tools show; the names are those of the tools.
// Exhaustive: a source answers or refuses each family knowingly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum StatsFamily {
    Status,
    Processlist,
    Queries,
    Commands,
    Connections,
    FreeConnections,
    Errors,
    Users,
    ClientCache,
    QueryRules,
    PreparedStatements,
    Gtid,
    Cluster,
    SystemHistory,
    QueryCacheHistory,
    ConnectionHistory,
    QueryHistory,
    QueryLog,
}

/// Whose rows are asked for.
// Exhaustive: there are two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatsOrigin {
    /// The host itself.
    Host,
    /// The backends.
    Backend,
}

/// What is asked of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatsRequest {
    /// The family.
    pub family: StatsFamily,
    /// Whose rows.
    pub origin: StatsOrigin,
    /// Engine of the backends.
    pub protocol: Protocol,
    /// Only rows of this target.
    pub target_id: Option<String>,
    /// Most rows; a source with more says so by giving one more.
    pub rows_max: usize,
}

impl StatsRequest {
    /// Up to 1,000 rows of a family.
    #[must_use]
    pub fn new(family: StatsFamily, origin: StatsOrigin, protocol: Protocol) -> Self {
        Self { family, origin, protocol, target_id: None, rows_max: 1_000 }
    }
}

/// Supplies statistics. A host that keeps its own implements the families it has.
pub trait StatsSource: Send + Sync {
    /// Whether rows of the family exist for the engine.
    fn supports(&self, family: StatsFamily, origin: StatsOrigin, protocol: Protocol) -> bool;

    /// Rows of a family, each an object with the columns of its tool.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` with `reason` for a family that the source lacks; never an empty success.
    fn rows(&self, request: &StatsRequest) -> HarvestResult<Vec<Map<String, Value>>>;
}

/// A source without any family.
#[derive(Debug, Clone, Copy, Default)]
// Exhaustive: it has no state.
pub struct NoStats;

impl StatsSource for NoStats {
    fn supports(&self, _: StatsFamily, _: StatsOrigin, _: Protocol) -> bool {
        false
    }

    fn rows(&self, request: &StatsRequest) -> HarvestResult<Vec<Map<String, Value>>> {
        let message = format!("this host keeps no statistics of {}", request.protocol.as_str());
        Err(HarvestError::new(HarvestCode::FailedPrecondition, message)
            .with("reason", "no statistics source"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_family_is_a_failure_and_no_empty_list() {
        let request = StatsRequest::new(StatsFamily::Gtid, StatsOrigin::Backend, Protocol::Sqlite);
        assert!(!NoStats.supports(request.family, request.origin, request.protocol));
        assert_eq!(NoStats.rows(&request).unwrap_err().details["reason"], "no statistics source");
    }
}
