//! Accounts of targets: what they may do beyond reading, asked at every connect, and whether that is served; it changes no account.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use harvest::{AccountFinding, Backend, Connection, Dialect, HarvestCode, HarvestError, HarvestResult};

/// A refused account is looked at again after this time, in milliseconds: somebody may have taken privileges away.
const REFUSED_AGAIN_MS: u64 = 5_000;
/// Connections that are opened within this time of each other share one examination, in milliseconds.
const FRESH_MS: u64 = 30_000;

#[derive(Default)]
struct Known {
    /// Findings by server.
    servers: BTreeMap<String, (Instant, Vec<AccountFinding>)>,
}

/// What is known of the account that a target uses.
#[derive(Default)]
pub(crate) struct Account {
    known: Mutex<Known>,
}

impl Account {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the server of a connection and keeps its answer.
    pub(crate) fn examine(
        &self,
        target_id: &str,
        server: &str,
        connection: &mut dyn Connection,
    ) -> HarvestResult<()> {
        let findings = connection.examine_account()?;
        let mut known = self.known();
        let before = known.servers.get(server).map(|(_, before)| before);
        if before != Some(&findings) {
            for finding in &findings {
                tracing::warn!(
                    target_id,
                    code = finding.code,
                    dangerous = finding.dangerous,
                    "the target's {}",
                    finding.text.trim_start_matches("the ")
                );
            }
        }
        known.servers.insert(server.to_owned(), (Instant::now(), findings));
        Ok(())
    }

    fn is_fresh(&self, server: &str) -> bool {
        let fresh = Duration::from_millis(FRESH_MS);
        self.known().servers.get(server).is_some_and(|(at, _)| at.elapsed() < fresh)
    }

    /// Everything that was found, `None` until a server was reached.
    pub(crate) fn findings(&self) -> Option<Vec<AccountFinding>> {
        let known = self.known();
        if known.servers.is_empty() {
            return None;
        }
        let mut all: Vec<AccountFinding> = Vec::new();
        for finding in known.servers.values().flat_map(|(_, findings)| findings) {
            if !all.contains(finding) {
                all.push(finding.clone());
            }
        }
        Some(all)
    }

    /// Why the account is not served, and whether it is time to look again.
    pub(crate) fn refusal(&self, target_id: &str, allowed: bool) -> Option<(HarvestError, bool)> {
        if allowed {
            return None;
        }
        let known = self.known();
        let all = known.servers.values().flat_map(|(_, findings)| findings);
        let dangerous: Vec<&AccountFinding> = all.filter(|finding| finding.dangerous).collect();
        let first = dangerous.first()?;
        let mut codes: Vec<&str> = dangerous.iter().map(|finding| finding.code.as_str()).collect();
        codes.dedup();
        let message = format!(
            "the account of target {target_id:?} may do more than read ({}): give the target an account that may only read, \
             or set mcp-allow_privileged_backend",
            first.text
        );
        let error = HarvestError::new(HarvestCode::FailedPrecondition, message)
            .with("reason", "privileged_account")
            .with("findings", codes)
            .with("remedy", "use an account that may only read, or set mcp-allow_privileged_backend");
        let again = Duration::from_millis(REFUSED_AGAIN_MS);
        let oldest = known.servers.values().map(|(at, _)| *at).min();
        Some((error, oldest.is_none_or(|at| at.elapsed() >= again)))
    }
}

/// A server whose every new connection tells what its account may do, before anything else runs on it.
pub(crate) struct ExaminedBackend {
    pub(crate) inner: Arc<dyn Backend>,
    pub(crate) target_id: String,
    pub(crate) server: String,
    pub(crate) account: Arc<Account>,
}

impl Backend for ExaminedBackend {
    fn dialect(&self) -> &'static dyn Dialect {
        self.inner.dialect()
    }

    fn connect(&self) -> HarvestResult<Box<dyn Connection>> {
        let mut connection = self.inner.connect()?;
        if !self.account.is_fresh(&self.server) {
            self.account.examine(&self.target_id, &self.server, connection.as_mut())?;
        }
        Ok(connection)
    }
}
