//! Turns failures of the database side into tool failures, in this one place; it adds no detail of its own but the incident number.

use std::time::{SystemTime, UNIX_EPOCH};

use harvest::{HarvestCode, HarvestError};
use mcp::{ErrorCode, ToolError, ToolResult};

/// The tool failure that says what `error` says.
#[must_use]
pub fn tool_error(error: HarvestError) -> ToolError {
    let code = match error.code {
        HarvestCode::InvalidArgument => ErrorCode::InvalidArgument,
        HarvestCode::NotFound => ErrorCode::NotFound,
        HarvestCode::PermissionDenied => ErrorCode::PermissionDenied,
        HarvestCode::FailedPrecondition => ErrorCode::FailedPrecondition,
        HarvestCode::LimitExceeded => ErrorCode::LimitExceeded,
        HarvestCode::DeadlineExceeded => ErrorCode::DeadlineExceeded,
        // The caller is gone or has asked for the end, so nobody acts on the code; the reason is for logs.
        HarvestCode::Unavailable | HarvestCode::Cancelled => ErrorCode::Unavailable,
        HarvestCode::Conflict => ErrorCode::Conflict,
        HarvestCode::Internal => return internal_error(&error.message),
    };
    let retryable = error.retryable && error.code != HarvestCode::Cancelled;
    let mut mapped = ToolError::new(code, error.message).retryable(retryable);
    mapped.details = error.details;
    if error.code == HarvestCode::Cancelled {
        mapped = mapped.with("reason", "cancelled");
    }
    mapped
}

/// An `INTERNAL` failure: the cause goes to the log with an incident number, the caller sees the number only.
#[must_use]
pub fn internal_error(cause: &str) -> ToolError {
    let incident = incident_id();
    tracing::error!(incident_id = %incident, cause, "internal failure of a tool");
    ToolError::internal(format!("internal failure; the server log has it as incident {incident}"))
        .with("incident_id", incident)
}

/// A number that is unlikely to occur twice, for logs.
fn incident_id() -> String {
    let mut bytes = [0_u8; 8];
    // Without random numbers the time still tells incidents apart.
    if getrandom::fill(&mut bytes).is_err() {
        let micros = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros());
        bytes = u64::try_from(micros).unwrap_or(u64::MAX).to_be_bytes();
    }
    format!("{:016x}", u64::from_be_bytes(bytes))
}

/// Maps the error of a result.
pub trait IntoToolResult<T> {
    /// The same result with a tool failure.
    ///
    /// # Errors
    /// The mapped failure.
    fn for_tool(self) -> ToolResult<T>;
}

impl<T> IntoToolResult<T> for Result<T, HarvestError> {
    fn for_tool(self) -> ToolResult<T> {
        self.map_err(tool_error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_refusal_keeps_its_details() {
        let error = tool_error(HarvestError::gate("DELETE", "only read-only statements run"));
        assert_eq!(error.code, ErrorCode::PermissionDenied);
        assert_eq!(error.details["by"], "gate");
        assert_eq!(error.details["construct"], "DELETE");
        assert!(!error.retryable);
    }

    #[test]
    fn an_internal_cause_stays_in_the_log() {
        let error = tool_error(HarvestError::new(HarvestCode::Internal, "password=hunter2 at 10.0.0.1"));
        assert_eq!(error.code, ErrorCode::Internal);
        assert!(!error.message.contains("hunter2"));
        assert!(error.details["incident_id"].as_str().is_some_and(|id| id.len() == 16));
    }

    #[test]
    fn a_cancelled_call_is_not_offered_for_repetition() {
        let error = tool_error(HarvestError::new(HarvestCode::Cancelled, "cancelled"));
        assert!(!error.retryable);
        assert_eq!(error.details["reason"], "cancelled");
    }
}
