//! Targets as people write them, `NAME=URL`, and what they become; it connects to nothing.

use harvest::{ConnectParams, Protocol};

use crate::drivers;
use crate::error::HostError;

/// Longest target name in characters.
const NAME_CHARS_MAX: usize = 64;

/// One database: a name for agents and where it is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TargetSpec {
    /// Name used by clients.
    pub target_id: String,
    /// Protocol, from the URL's scheme.
    pub protocol: Protocol,
    /// Where and how to connect.
    pub connect: ConnectParams,
    /// One sentence for agents.
    pub description: String,
    /// Most rows of a statement.
    pub rows_max: usize,
    /// Longest statement, in milliseconds.
    pub timeout_ms: u64,
}

impl TargetSpec {
    /// Reads `NAME=URL`, such as `shop=postgres://reader:secret@db.example/shop`; for a file `shop=sqlite:shop.db`.
    ///
    /// # Errors
    /// A sentence that names the wrong part and never repeats the URL, which may hold a password.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let (name, url) =
            text.split_once('=').ok_or_else(|| HostError::Target("write NAME=URL".to_owned()))?;
        let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || !name.chars().all(valid) {
            let message = format!("a name has 1 to {NAME_CHARS_MAX} of the characters A-Z a-z 0-9 _ - .");
            return Err(HostError::Target(message));
        }
        let (scheme, connect) = ConnectParams::from_url(url)?;
        let driver = drivers::by_scheme(&scheme).ok_or_else(|| {
            HostError::Target(format!(
                "{name}: the scheme {scheme:?} is unknown; known are {}",
                drivers::schemes()
            ))
        })?;
        Ok(Self {
            target_id: name.to_owned(),
            protocol: driver.protocol(),
            connect,
            description: String::new(),
            rows_max: 200,
            timeout_ms: 10_000,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_and_faults_named() {
        let target = TargetSpec::parse("shop=sqlite:/data/shop.db").expect("reads");
        assert_eq!((target.target_id.as_str(), target.protocol), ("shop", Protocol::Sqlite));
        for bad in [
            "shop",
            "=sqlite:x",
            "a b=sqlite:x",
            "shop=oracle://u:hunter2@h/x",
            "shop=postgres://u:hunter2@h:x/y",
        ] {
            let error = TargetSpec::parse(bad).expect_err(bad).to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
