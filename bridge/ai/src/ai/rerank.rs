//! `ai.rerank`: texts or the rows of one read-only statement, ordered by the service; rows come through the pipeline.

use ai_core_llm::normalise_scores;
use harvest_gateway::StatementRequest;
use mcp::{ToolError, ToolResult};
use mcp_tools::IntoToolResult;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::tool::{Ask, Reply, bad};
use crate::errors::ai_tool_error;

/// Texts of one call.
const DOCUMENTS_MAX: usize = 10_000;
/// Bytes that a statement may bring.
const SQL_BYTES_MAX: usize = 4 * 1_048_576;

/// A statement that brings the texts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FromSql {
    /// One SELECT in the target's dialect.
    #[schemars(length(min = 1))]
    query: String,
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// Schema; the target's default if absent.
    #[schemars(length(min = 1, max = 256))]
    schema: Option<String>,
    /// Column that holds the text; the only column, or all as `name: value` lines, if absent.
    column: Option<String>,
    /// Rows at most; as configured if absent.
    #[schemars(range(min = 1, max = 10_000))]
    max_rows: Option<usize>,
}

/// What to order. Give exactly one of `documents` and `document_from_sql`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RerankArgs {
    /// What the texts should answer.
    #[schemars(length(min = 1))]
    query: String,
    /// The texts; or give `document_from_sql`.
    #[schemars(length(min = 1, max = 10_000))]
    documents: Option<Vec<String>>,
    /// A statement that brings the texts; or give `documents`.
    document_from_sql: Option<FromSql>,
    /// Results at most; 0 = all.
    #[serde(default)]
    #[schemars(range(max = 10_000))]
    top_n: usize,
    /// Model; the configured one if absent.
    model: Option<String>,
}

/// One text in its place.
#[derive(Debug, Serialize, JsonSchema)]
struct Ranked {
    /// Position in the input.
    index: usize,
    /// The model's own score.
    score: f32,
    /// The score in 0 to 1.
    score_rerank: f32,
    /// The text, where a statement brought it.
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<String>,
}

/// Texts, best first.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RerankAnswer {
    /// Best first.
    results: Vec<Ranked>,
    /// Whether a limit left rows of the statement out.
    truncated: bool,
}

pub(super) fn rerank(ask: &Ask<'_>, args: RerankArgs) -> ToolResult<Reply<RerankAnswer>> {
    if args.query.trim().is_empty() {
        return Err(bad("query", "query holds no text"));
    }
    let (documents, truncated, show) = match (args.documents, args.document_from_sql) {
        (Some(documents), None) => (documents, false, false),
        (None, Some(source)) => {
            let (documents, truncated) = from_sql(ask, source)?;
            (documents, truncated, true)
        }
        _ => return Err(bad("documents", "give exactly one of documents and document_from_sql")),
    };
    if documents.len() > DOCUMENTS_MAX {
        return Err(ToolError::limit(format!("more than {DOCUMENTS_MAX} texts")).with("limit", DOCUMENTS_MAX));
    }
    if documents.is_empty() {
        return Ok(RerankAnswer { results: Vec::new(), truncated }.into());
    }
    let (call, _joined) = ask.ai_call();
    let model = args.model.unwrap_or_default();
    let scores =
        ask.deps.service.rerank(&model, &args.query, documents.clone(), &call).map_err(ai_tool_error)?;
    let mut results: Vec<Ranked> = scores
        .iter()
        .zip(normalise_scores(&scores))
        .enumerate()
        .map(|(index, (&score, score_rerank))| Ranked { index, score, score_rerank, document: None })
        .collect();
    results.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.index.cmp(&b.index)));
    if args.top_n > 0 {
        results.truncate(args.top_n);
    }
    if show {
        results.iter_mut().for_each(|ranked| ranked.document = documents.get(ranked.index).cloned());
    }
    Ok(RerankAnswer { results, truncated }.into())
}

/// The texts of a statement's rows, run with the caller's rights within rows, bytes and time.
fn from_sql(ask: &Ask<'_>, source: FromSql) -> ToolResult<(Vec<String>, bool)> {
    let most = ask.deps.service.bridge().config().rerank_sql_max_rows;
    let wanted = source.max_rows.unwrap_or(most);
    if wanted == 0 || wanted > most {
        return Err(ToolError::limit(format!("document_from_sql.max_rows must be 1 to {most}"))
            .with("limit", most)
            .with("variable", "genai-rerank_sql_max_rows"));
    }
    let mut request = StatementRequest::new(source.query).on(source.target_id, source.schema);
    request.rows_max = Some(wanted);
    request.bytes_max = Some(SQL_BYTES_MAX);
    request.text_copy = false;
    let outcome = ask.deps.tools.gateway.run(&request, &ask.call.scope).for_tool()?;
    let names: Vec<&str> = outcome.result.columns.iter().map(|column| column.name.as_str()).collect();
    let at = match &source.column {
        Some(name) => Some(names.iter().position(|have| have == name).ok_or_else(|| {
            bad(
                "document_from_sql.column",
                format!("the result has no column {name:?}; it has {}", names.join(", ")),
            )
        })?),
        None => (names.len() == 1).then_some(0),
    };
    let rows = outcome.result.rows().for_tool()?;
    let documents = rows.iter().filter_map(|row| document(&names, row, at)).collect();
    Ok((documents, outcome.result.truncated_by.is_some()))
}

/// The text of one row; `None` for NULL.
fn document(names: &[&str], row: &[Value], at: Option<usize>) -> Option<String> {
    let plain = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    if let Some(at) = at {
        return row.get(at).and_then(plain);
    }
    let lines: Vec<String> = names
        .iter()
        .zip(row)
        .filter_map(|(name, value)| Some(format!("{name}: {}", plain(value)?)))
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}
