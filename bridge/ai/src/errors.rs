//! Failures of either side in the words of the other, code by code; it adds no detail of its own.

use ai_core::{AiError, AiErrorCode};
use harvest::{HarvestCode, HarvestError};
use mcp::{ErrorCode, ToolError};

/// The tool failure that says what an AI failure says; an internal cause goes to the log only.
#[must_use]
pub fn ai_tool_error(error: AiError) -> ToolError {
    let code = match error.code {
        AiErrorCode::InvalidArgument => ErrorCode::InvalidArgument,
        AiErrorCode::NotFound => ErrorCode::NotFound,
        AiErrorCode::PermissionDenied => ErrorCode::PermissionDenied,
        AiErrorCode::FailedPrecondition => ErrorCode::FailedPrecondition,
        AiErrorCode::LimitExceeded => ErrorCode::LimitExceeded,
        AiErrorCode::DeadlineExceeded => ErrorCode::DeadlineExceeded,
        AiErrorCode::Unavailable => ErrorCode::Unavailable,
        AiErrorCode::Conflict => ErrorCode::Conflict,
        AiErrorCode::Internal => return mcp_tools::internal_error(&error.message),
    };
    let mut mapped = ToolError::new(code, error.message).retryable(error.retryable);
    mapped.details = error.details;
    mapped
}

/// The AI failure that says what a failure of the database side says.
pub(crate) fn harvest_ai_error(error: HarvestError) -> AiError {
    let code = match error.code {
        HarvestCode::InvalidArgument => AiErrorCode::InvalidArgument,
        HarvestCode::NotFound => AiErrorCode::NotFound,
        HarvestCode::PermissionDenied => AiErrorCode::PermissionDenied,
        HarvestCode::FailedPrecondition => AiErrorCode::FailedPrecondition,
        HarvestCode::LimitExceeded => AiErrorCode::LimitExceeded,
        HarvestCode::DeadlineExceeded => AiErrorCode::DeadlineExceeded,
        HarvestCode::Unavailable | HarvestCode::Cancelled => AiErrorCode::Unavailable,
        HarvestCode::Conflict => AiErrorCode::Conflict,
        HarvestCode::Internal => AiErrorCode::Internal,
    };
    let mut mapped = AiError::new(code, error.message);
    mapped.retryable = error.retryable;
    mapped.details = error.details;
    mapped
}
