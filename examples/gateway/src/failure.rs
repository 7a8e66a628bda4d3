//! A refusal or failure with the codes of both SQL wires; it does not know how either wire frames it.

use ai_core::AiErrorCode;
use ai_core_llm::sql_error_codes;
use harvest::{HarvestCode, HarvestError};

/// One error as a SQL client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) mysql_errno: u16,
    pub(crate) mysql_state: &'static str,
    pub(crate) postgres_state: &'static str,
    pub(crate) message: String,
}

impl Failure {
    /// A typed failure; the message begins with the code, so that clients of either wire can tell.
    pub(crate) fn typed(code: HarvestCode, message: &str) -> Self {
        let codes = sql_error_codes(ai_code(code));
        let word = ai_code(code).as_str();
        let message =
            if message.starts_with(word) { message.to_owned() } else { format!("{word}: {message}") };
        Self {
            mysql_errno: codes.mysql_errno,
            mysql_state: codes.mysql_state,
            postgres_state: codes.postgres_state,
            message,
        }
    }

    /// A statement that a hook refuses. The message is the hook's own and says no more than it wants to.
    pub(crate) fn denied(message: String) -> Self {
        Self { mysql_errno: 1313, mysql_state: "HY000", postgres_state: "42501", message }
    }

    /// A name or password that does not fit.
    pub(crate) fn access(user: &str) -> Self {
        Self {
            mysql_errno: 1045,
            mysql_state: "28000",
            postgres_state: "28P01",
            message: format!("access denied for user '{}'", short(user)),
        }
    }

    /// What the proxy itself does not do.
    pub(crate) fn unsupported(what: &str) -> Self {
        Self {
            mysql_errno: 1235,
            mysql_state: "42000",
            postgres_state: "0A000",
            message: format!("this proxy does not support {what}"),
        }
    }

    /// A backend or a place that cannot be had.
    pub(crate) fn unavailable(message: String) -> Self {
        Self { mysql_errno: 2003, mysql_state: "HY000", postgres_state: "08006", message }
    }
}

impl From<&HarvestError> for Failure {
    fn from(error: &HarvestError) -> Self {
        Self::typed(error.code, &error.message)
    }
}

/// At most 64 characters of a text that a stranger sent.
pub(crate) fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

const fn ai_code(code: HarvestCode) -> AiErrorCode {
    match code {
        HarvestCode::InvalidArgument => AiErrorCode::InvalidArgument,
        HarvestCode::NotFound => AiErrorCode::NotFound,
        HarvestCode::PermissionDenied => AiErrorCode::PermissionDenied,
        HarvestCode::FailedPrecondition => AiErrorCode::FailedPrecondition,
        HarvestCode::LimitExceeded => AiErrorCode::LimitExceeded,
        HarvestCode::DeadlineExceeded => AiErrorCode::DeadlineExceeded,
        HarvestCode::Unavailable | HarvestCode::Cancelled => AiErrorCode::Unavailable,
        HarvestCode::Conflict => AiErrorCode::Conflict,
        HarvestCode::Internal => AiErrorCode::Internal,
    }
}
