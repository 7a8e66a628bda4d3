//! Text to SQL for the JSON operations and prefix queries: the same conversion as the tool's, asked without MCP.

use ai_core::{AiError, AiErrorCode, AiResult, CallContext as AiCall};
use ai_core_llm::{Nl2Sql, Nl2SqlAnswer};
use mcp::{CallContext, Caller, ErrorCode, Scope, ToolError};
use mcp_tools::Call;
use serde_json::{Map, Value};

use super::{ConvertArgs, convert};
use crate::ai::{AiDeps, Ask};

/// The tool's name in rules, statistics and logs.
const TOOL: &str = "ai.nl2sql_convert";

/// Members that say which operation it is, and are no argument.
const FRAME: &[&str] = &["type"];

/// Converts questions of JSON operations (`"type": "nl2sql"`) and of `NL2SQL:`.
#[derive(Clone)]
pub struct Nl2SqlAnswers {
    deps: AiDeps,
}

impl Nl2SqlAnswers {
    /// Conversions over the host's catalog, gateway and model.
    #[must_use]
    pub fn new(deps: AiDeps) -> Self {
        Self { deps }
    }
}

impl std::fmt::Debug for Nl2SqlAnswers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nl2SqlAnswers").finish_non_exhaustive()
    }
}

impl Nl2Sql for Nl2SqlAnswers {
    fn convert(&self, members: &Map<String, Value>, call: &AiCall) -> AiResult<Nl2SqlAnswer> {
        let arguments = members.iter().filter(|(name, _)| !FRAME.contains(&name.as_str()));
        let arguments: Map<String, Value> = arguments.map(|(k, v)| (k.clone(), v.clone())).collect();
        let args: ConvertArgs = serde_json::from_value(Value::Object(arguments))
            .map_err(|e| AiError::invalid(format!("nl2sql: {e}")))?;
        let mut cx = CallContext::new(Caller::new(&call.caller, Scope::Read), "/mcp/ai");
        cx.deadline = call.deadline.map(|deadline| deadline.instant());
        let cancel = cx.cancel.clone();
        let _joined = call.cancel.on_cancel(move || cancel.cancel());
        let ask = Ask { deps: &self.deps, call: Call::begin(&self.deps.tools, &cx, TOOL) };
        let reply = convert(&ask, args).map_err(ai_error)?;
        let body = reply.body;
        let mut answer = Nl2SqlAnswer::default();
        answer.sql_query = body.sql;
        answer.confidence = body.confidence;
        answer.explanation = body.explanation;
        answer.objects_used = body
            .objects_used
            .iter()
            .map(|used| harvest_catalog::object_key(&used.schema, &used.object))
            .collect();
        answer.cached = body.cached != "miss";
        answer.cache_id = body.cache_id;
        answer.provider_used = body.provider;
        Ok(answer)
    }
}

/// A tool's failure in the words of the AI side, with its remedy and the reasons behind it in the text.
fn ai_error(error: ToolError) -> AiError {
    let code = match error.code {
        ErrorCode::InvalidArgument => AiErrorCode::InvalidArgument,
        ErrorCode::NotFound => AiErrorCode::NotFound,
        ErrorCode::PermissionDenied => AiErrorCode::PermissionDenied,
        ErrorCode::FailedPrecondition => AiErrorCode::FailedPrecondition,
        ErrorCode::LimitExceeded => AiErrorCode::LimitExceeded,
        ErrorCode::DeadlineExceeded => AiErrorCode::DeadlineExceeded,
        ErrorCode::Unavailable => AiErrorCode::Unavailable,
        ErrorCode::Conflict => AiErrorCode::Conflict,
        ErrorCode::Internal => AiErrorCode::Internal,
    };
    let mut message = error.message;
    for name in ["remedy", "reasons"] {
        match error.details.get(name) {
            Some(Value::String(text)) => message = format!("{message}; {text}"),
            Some(Value::Array(list)) => {
                let list: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
                message = format!("{message} ({})", list.join("; "));
            }
            _ => {}
        }
    }
    let mut mapped = AiError::new(code, message);
    mapped.retryable = error.retryable;
    mapped
}
