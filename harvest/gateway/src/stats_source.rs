//! Where statistics tools get their rows: one row family a request, from the host or from its backends; it knows no tool and no engine.

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
}

impl StatsFamily {
    /// As people say it.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Status => "status variables",
            Self::Processlist => "sessions",
            Self::Queries => "statement digests",
            Self::Commands => "kinds of statements",
            Self::Connections => "pools",
            Self::FreeConnections => "idle connections",
            Self::Errors => "errors",
            Self::Users => "connections by user",
            Self::ClientCache => "errors by client address",
            Self::QueryRules => "query rules",
            Self::PreparedStatements => "prepared statements",
            Self::Gtid => "replication positions",
            Self::Cluster => "replication",
        }
    }
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

impl StatsOrigin {
    /// The word in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Backend => "backend",
        }
    }
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
    /// Only rows of these targets.
    pub target_ids: Vec<String>,
    /// Most rows; a source with more says so by giving one more.
    pub rows_max: usize,
}

impl StatsRequest {
    /// Up to 10,000 rows of a family of these targets.
    #[must_use]
    pub fn new(
        family: StatsFamily,
        origin: StatsOrigin,
        protocol: Protocol,
        target_ids: Vec<String>,
    ) -> Self {
        Self { family, origin, protocol, target_ids, rows_max: 10_000 }
    }
}

/// Rows, each an object with the columns of its tool.
pub type StatsRows = Vec<Map<String, Value>>;

/// Supplies statistics. A host that keeps its own implements the families that it has.
pub trait StatsSource: Send + Sync {
    /// Whether rows of the family exist for the engine.
    fn supports(&self, family: StatsFamily, origin: StatsOrigin, protocol: Protocol) -> bool;

    /// Rows of a family.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` with `reason` for a family that the source lacks, never an empty success; what reaching a
    /// backend fails with.
    fn rows(&self, request: &StatsRequest) -> HarvestResult<StatsRows>;
}

/// A source without any family.
#[derive(Debug, Clone, Copy, Default)]
// Exhaustive: it has no state.
pub struct NoStats;

impl StatsSource for NoStats {
    fn supports(&self, _: StatsFamily, _: StatsOrigin, _: Protocol) -> bool {
        false
    }

    fn rows(&self, request: &StatsRequest) -> HarvestResult<StatsRows> {
        let (family, engine) = (request.family.words(), request.protocol.as_str());
        let message = format!("this host keeps no statistics of {family} for {engine}");
        Err(HarvestError::new(HarvestCode::FailedPrecondition, message)
            .with("reason", "no_statistics_source"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_family_is_a_failure_and_no_empty_list() {
        let request =
            StatsRequest::new(StatsFamily::Gtid, StatsOrigin::Backend, Protocol::Sqlite, Vec::new());
        assert!(!NoStats.supports(request.family, request.origin, request.protocol));
        assert_eq!(NoStats.rows(&request).unwrap_err().details["reason"], "no_statistics_source");
    }
}
