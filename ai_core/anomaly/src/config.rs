//! The detector's settings with bounds and defaults; it does not know where a host stores them.

use std::net::IpAddr;

/// What the detector may do with what it finds.
// Exhaustive on purpose: it mirrors the values of one setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// `log` if `log_only`, else `enforce`.
    #[default]
    Auto,
    /// Profiles learn, injection and threat rules are recorded, nothing is denied.
    Learn,
    /// Everything is recorded, nothing is denied.
    Log,
    /// Everything is recorded and denied as configured.
    Enforce,
}

/// What happens to statements above the rate limit.
// Exhaustive on purpose: it mirrors the values of one setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateAction {
    /// Record an incident.
    #[default]
    Flag,
    /// Deny the excess.
    Deny,
}

/// How much of a statement's text incidents keep.
// Exhaustive on purpose: it mirrors the values of one setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogSql {
    /// Nothing.
    None,
    /// The digest number only.
    Digest,
    /// The normalised text without literals.
    #[default]
    Redacted,
    /// The text as sent, cut at 4096 bytes.
    Full,
}

/// A user that the detector skips, optionally only from one network.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
// Exhaustive on purpose: hosts parse `user@address/prefix` into it.
pub struct ExemptUser {
    /// User name, compared exactly.
    pub user: String,
    /// Network that the exemption is bound to: address and prefix length in bits.
    #[serde(default)]
    pub network: Option<(IpAddr, u8)>,
}

impl ExemptUser {
    pub(crate) fn covers(&self, user: &str, addr: Option<IpAddr>) -> bool {
        if self.user != user {
            return false;
        }
        match (self.network, addr) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some((net, bits)), Some(a)) => same_network(net, a, bits),
        }
    }
}

fn same_network(net: IpAddr, addr: IpAddr, bits: u8) -> bool {
    let (a, b, width) = match (net, addr) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(u32::from(a)), u128::from(u32::from(b)), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (u128::from(a), u128::from(b), 128),
        _ => return false,
    };
    let drop = width - u32::from(bits).min(width);
    a.checked_shr(drop).unwrap_or(0) == b.checked_shr(drop).unwrap_or(0)
}

/// All settings; one value of this type is live at any time and swaps as a whole.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DetectorConfig {
    /// Off: every statement is allowed after one atomic load.
    pub enabled: bool,
    /// Mode of the rules.
    pub mode: Mode,
    /// Deny at risk ≥ value / 100.
    pub risk_threshold: u8,
    /// Similarity × 100 for a threat match.
    pub similarity_threshold: u8,
    /// Statements per second and profile, averaged over the window.
    pub rate_limit_per_s: u32,
    /// Length of the sliding window.
    pub rate_window_s: u32,
    /// What happens above the limit.
    pub rate_action: RateAction,
    /// False: neither risk nor rate denies; threat patterns with action `deny` still do.
    pub auto_block: bool,
    /// True: nothing is ever denied, whatever else is set.
    pub log_only: bool,
    /// Statements before a profile is mature.
    pub learning_min_queries: u64,
    /// Time before a profile is mature.
    pub learning_period_s: u64,
    /// Profiles kept; the least recently used goes first.
    pub profile_keys_max: usize,
    /// Digests that one profile remembers.
    pub profile_digests_max: usize,
    /// Floor of the slow-statement rule.
    pub slow_ms: u64,
    /// Floor of the row-count rule.
    pub rows_limit: u64,
    /// Users that are skipped and only counted.
    pub exempt_users: Vec<ExemptUser>,
    /// The threat library takes part.
    pub threats_enabled: bool,
    /// What a host answers when the detector itself fails.
    pub fail_closed: bool,
    /// Text kept in incidents.
    pub log_sql: LogSql,
    /// Incidents kept.
    pub incident_rows_max: usize,
    /// Age at which incidents are dropped.
    pub incident_ttl_s: u64,
}

impl Default for DetectorConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            mode: Mode::Auto,
            risk_threshold: 70,
            similarity_threshold: 80,
            rate_limit_per_s: 100,
            rate_window_s: 10,
            rate_action: RateAction::Flag,
            auto_block: true,
            log_only: false,
            learning_min_queries: 1000,
            learning_period_s: 86_400,
            profile_keys_max: 10_000,
            profile_digests_max: 2_000,
            slow_ms: 5_000,
            rows_limit: 10_000,
            exempt_users: Vec::new(),
            threats_enabled: true,
            fail_closed: false,
            log_sql: LogSql::Redacted,
            incident_rows_max: 10_000,
            incident_ttl_s: 2_592_000,
        }
    }
}

/// Settings that were refused, all of them, each with its bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid detector settings: {}", .0.join("; "))]
// Exhaustive on purpose: it is a list of sentences.
pub struct ConfigError(pub Vec<String>);

impl DetectorConfig {
    /// Checks every bound.
    ///
    /// # Errors
    /// Names every setting that is out of its range; nothing is corrected silently.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut bad = Vec::new();
        let mut check = |name: &str, value: u64, low: u64, high: u64| {
            if value < low || value > high {
                bad.push(format!("{name} = {value} is outside {low} to {high}"));
            }
        };
        check("risk_threshold", u64::from(self.risk_threshold), 0, 100);
        check("similarity_threshold", u64::from(self.similarity_threshold), 0, 100);
        check("rate_limit_per_s", u64::from(self.rate_limit_per_s), 1, 10_000);
        check("rate_window_s", u64::from(self.rate_window_s), 1, 3_600);
        check("learning_min_queries", self.learning_min_queries, 0, 1_000_000_000);
        check("learning_period_s", self.learning_period_s, 0, 31_536_000);
        check("profile_keys_max", self.profile_keys_max as u64, 1, 1_000_000);
        check("profile_digests_max", self.profile_digests_max as u64, 16, 100_000);
        check("slow_ms", self.slow_ms, 1, 1_000_000_000);
        check("rows_limit", self.rows_limit, 1, 1_000_000_000);
        check("incident_rows_max", self.incident_rows_max as u64, 0, 10_000_000);
        check("incident_ttl_s", self.incident_ttl_s, 60, 31_536_000);
        if bad.is_empty() { Ok(()) } else { Err(ConfigError(bad)) }
    }

    /// `auto` resolved; `log_only` wins over every other mode but `learn`.
    #[must_use]
    pub fn effective_mode(&self) -> Mode {
        match self.mode {
            Mode::Learn => Mode::Learn,
            Mode::Log => Mode::Log,
            Mode::Auto | Mode::Enforce if self.log_only => Mode::Log,
            Mode::Auto | Mode::Enforce => Mode::Enforce,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_bounds_are_named() {
        DetectorConfig::default().validate().unwrap();
        let c = DetectorConfig { risk_threshold: 101, rate_window_s: 0, ..DetectorConfig::default() };
        let e = c.validate().unwrap_err();
        assert_eq!(e.0.len(), 2);
        assert!(e.to_string().contains("rate_window_s = 0 is outside 1 to 3600"));
    }

    #[test]
    fn log_only_wins() {
        let mut c = DetectorConfig::default();
        assert_eq!(c.effective_mode(), Mode::Enforce);
        c.log_only = true;
        c.mode = Mode::Enforce;
        assert_eq!(c.effective_mode(), Mode::Log);
    }

    #[test]
    fn exemptions_match_networks() {
        let e = ExemptUser { user: "etl".into(), network: Some(("10.1.0.0".parse().unwrap(), 16)) };
        assert!(e.covers("etl", Some("10.1.2.3".parse().unwrap())));
        assert!(!e.covers("etl", Some("10.2.2.3".parse().unwrap())));
        assert!(!e.covers("etl", None));
        assert!(!e.covers("app", Some("10.1.2.3".parse().unwrap())));
    }
}
