//! Protocol revisions and the two eras they belong to; it does not know messages.

/// A protocol revision that this crate speaks.
// Exhaustive: every rule that differs by revision must decide for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProtocolVersion {
    /// 2025-03-26: the first with Streamable HTTP; no structured results.
    V2025_03_26,
    /// 2025-06-18: structured results, elicitation, the version header.
    V2025_06_18,
    /// 2025-11-25: the newest of the legacy era.
    V2025_11_25,
    /// 2026-07-28: stateless, the modern era.
    V2026_07_28,
}

impl ProtocolVersion {
    /// What `server/discover` lists.
    pub const MODERN_LIST: [&'static str; 1] = ["2026-07-28"];

    /// The date that names the revision.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// The revision named by a date.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::V2025_03_26, Self::V2025_06_18, Self::V2025_11_25, Self::V2026_07_28]
            .into_iter()
            .find(|v| v.as_str() == text)
    }

    /// What `initialize` answers to a client that asks for `requested`: the same legacy revision, else the newest one.
    #[must_use]
    pub fn negotiate_legacy(requested: &str) -> Self {
        match Self::parse(requested) {
            Some(Self::V2026_07_28) | None => Self::V2025_11_25,
            Some(legacy) => legacy,
        }
    }
}

/// How a request is to be served.
// Exhaustive: every rule decides for both eras.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Era {
    /// 2026-07-28: stateless, `_meta` in every request.
    Modern,
    /// Opened by `initialize`, with the negotiated revision.
    Legacy(ProtocolVersion),
}

impl Era {
    /// The newest legacy revision, for requests that name none.
    pub const LEGACY: Self = Self::Legacy(ProtocolVersion::V2025_11_25);

    /// Whether this is the modern era.
    #[must_use]
    pub const fn is_modern(self) -> bool {
        matches!(self, Self::Modern)
    }

    /// The revision.
    #[must_use]
    pub const fn version(self) -> ProtocolVersion {
        match self {
            Self::Modern => ProtocolVersion::V2026_07_28,
            Self::Legacy(version) => version,
        }
    }

    /// Whether results carry `structuredContent` and tools `outputSchema`.
    #[must_use]
    pub fn has_structured_results(self) -> bool {
        self.version() >= ProtocolVersion::V2025_06_18
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_negotiation_never_refuses_and_never_answers_modern() {
        let answers: Vec<_> = ["2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28", "1.0", ""]
            .into_iter()
            .map(|asked| ProtocolVersion::negotiate_legacy(asked).as_str())
            .collect();
        assert_eq!(
            answers,
            ["2025-03-26", "2025-06-18", "2025-11-25", "2025-11-25", "2025-11-25", "2025-11-25"]
        );
    }
}
