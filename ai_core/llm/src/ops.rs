//! The JSON operations: one object in, columns and rows or an error object out; it does not know how they came here.

use std::sync::Arc;

use ai_core::{AiError, AiErrorCode, AiResult, CallContext, EmbedKind, LlmClient, LlmOutput, LlmRequest};
use base64::Engine;
use serde_json::{Map, Value, json};

use crate::bridge::cached_word;
use crate::host::{Nl2Sql, ReadOnlySql, SelectRequest, SelectRows};
use crate::ops_args::Members;
use crate::service::LlmService;

/// Documents of one operation.
const DOCUMENTS_MAX: usize = 10_000;
/// Bytes of one operation's text.
const OPERATION_BYTES_MAX: usize = 16 * 1_048_576;
/// Bytes that `document_from_sql` may bring.
const SQL_BYTES_MAX: usize = 4 * 1_048_576;
/// Bytes of a question for `nl2sql`.
const QUESTION_BYTES_MAX: usize = 8_192;

/// Columns and rows.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct OpRows {
    /// Column names.
    pub columns: Vec<&'static str>,
    /// Values: texts, numbers or booleans.
    pub rows: Vec<Vec<Value>>,
}

impl OpRows {
    /// `{"columns":[…],"rows":[[…]]}`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({"columns": self.columns, "rows": self.rows})
    }
}

/// Runs JSON operations.
#[derive(Clone)]
pub struct JsonOps {
    service: LlmService,
    sql: Option<Arc<dyn ReadOnlySql>>,
    nl2sql: Option<Arc<dyn Nl2Sql>>,
}

impl JsonOps {
    /// Operations over `service`; those that need the host are FAILED_PRECONDITION until it is given.
    #[must_use]
    pub fn new(service: LlmService) -> Self {
        Self { service, sql: None, nl2sql: None }
    }

    /// Lets `document_from_sql` run.
    #[must_use]
    pub fn with_sql(mut self, sql: Arc<dyn ReadOnlySql>) -> Self {
        self.sql = Some(sql);
        self
    }

    /// Lets `nl2sql` run.
    #[must_use]
    pub fn with_nl2sql(mut self, nl2sql: Arc<dyn Nl2Sql>) -> Self {
        self.nl2sql = Some(nl2sql);
        self
    }

    /// Runs the operation in `text`.
    ///
    /// # Errors
    /// Each fault with a message of its own.
    pub fn run(&self, text: &str, call: &CallContext) -> AiResult<OpRows> {
        if text.len() > OPERATION_BYTES_MAX {
            let why = format!("the operation has {} bytes, allowed are {OPERATION_BYTES_MAX}", text.len());
            return Err(AiError::limit(why));
        }
        let json: Value = serde_json::from_str(text)
            .map_err(|e| AiError::invalid(format!("the operation is not valid JSON: {e}")))?;
        let Value::Object(object) = json else {
            return Err(AiError::invalid("the operation must be a JSON object"));
        };
        let members = Members::new(&object);
        let kind = match object.get("type") {
            None => {
                return Err(AiError::invalid(
                    "the operation has no member 'type'; use embed, rerank, llm or nl2sql",
                ));
            }
            Some(Value::String(kind)) => kind.as_str(),
            Some(_) => return Err(AiError::invalid("member 'type' must be a text")),
        };
        match kind {
            "embed" => self.embed(&members, call),
            "rerank" => self.rerank(&members, call),
            "llm" => self.llm(&members, call),
            "nl2sql" => self.nl2sql(&members, &object, call),
            other => Err(AiError::invalid(format!(
                "unknown operation type '{other}'; use embed, rerank, llm or nl2sql"
            ))),
        }
    }

    /// Runs the operation; rows or `{"error", "code", "retryable"}`.
    #[must_use]
    pub fn run_json(&self, text: &str, call: &CallContext) -> Value {
        match self.run(text, call) {
            Ok(rows) => rows.to_json(),
            Err(e) => json!({"error": e.message, "code": e.code.as_str(), "retryable": e.retryable}),
        }
    }

    fn embed(&self, members: &Members<'_>, call: &CallContext) -> AiResult<OpRows> {
        members.only(&["documents", "model", "format"])?;
        let documents = members.documents(DOCUMENTS_MAX)?;
        let base64 = match members.text("format")?.unwrap_or("csv") {
            "csv" => false,
            "base64" => true,
            other => return Err(AiError::invalid(format!("unknown format '{other}'; use csv or base64"))),
        };
        let model = members.text("model")?.unwrap_or("");
        let vectors = self.service.embed(model, documents, EmbedKind::Document, call)?;
        let show = |vector: &Vec<f32>| if base64 { base64_of(vector) } else { csv_of(vector) };
        let rows = vectors.iter().map(|v| vec![Value::String(show(v))]).collect();
        Ok(OpRows { columns: vec!["embedding"], rows })
    }

    fn rerank(&self, members: &Members<'_>, call: &CallContext) -> AiResult<OpRows> {
        members.only(&["query", "documents", "document_from_sql", "top_n", "columns", "model"])?;
        let query = members.required_text("query")?;
        let columns = members.whole("columns")?.unwrap_or(3);
        if !(2..=3).contains(&columns) {
            return Err(AiError::invalid("member 'columns' must be 2 or 3"));
        }
        let top_n = usize::try_from(members.whole("top_n")?.unwrap_or(0)).unwrap_or(usize::MAX);
        let documents = match (members.has("documents"), members.object("document_from_sql")?) {
            (true, Some(_)) => {
                return Err(AiError::invalid("give either 'documents' or 'document_from_sql', not both"));
            }
            (true, None) => members.documents(DOCUMENTS_MAX)?,
            (false, Some(source)) => self.documents_from_sql(source, call)?,
            (false, None) => {
                return Err(AiError::invalid("the operation needs 'documents' or 'document_from_sql'"));
            }
        };
        if documents.is_empty() {
            return Ok(OpRows { columns: rerank_columns(columns), rows: Vec::new() });
        }
        let model = members.text("model")?.unwrap_or("");
        let scores = self.service.rerank(model, query, documents.clone(), call)?;
        let mut order: Vec<(usize, f32)> = scores.into_iter().enumerate().collect();
        order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        if top_n > 0 {
            order.truncate(top_n);
        }
        let row = |(index, score): (usize, f32)| {
            let mut row = vec![json!(index), json!(format!("{score:.6}"))];
            if columns == 3 {
                row.push(json!(documents.get(index)));
            }
            row
        };
        Ok(OpRows { columns: rerank_columns(columns), rows: order.into_iter().map(row).collect() })
    }

    fn documents_from_sql(&self, source: &Map<String, Value>, call: &CallContext) -> AiResult<Vec<String>> {
        let members = Members::within(source, "document_from_sql.");
        members.only(&["query", "target_id", "schema", "column", "max_rows"])?;
        let sql = members.required_text("query")?;
        let most = self.service.bridge().snapshot().config.rerank_sql_max_rows;
        let wanted = members.whole("max_rows")?.map_or(most, |n| usize::try_from(n).unwrap_or(most));
        if wanted == 0 || wanted > most {
            return Err(AiError::limit(format!(
                "document_from_sql.max_rows must be 1–{most}; see rerank_sql_max_rows"
            )));
        }
        let host = self.sql.as_ref().ok_or_else(|| missing("ReadOnlySql", "document_from_sql"))?;
        let request = SelectRequest {
            sql: sql.to_owned(),
            target_id: members.text("target_id")?.unwrap_or("").to_owned(),
            schema: members.text("schema")?.unwrap_or("").to_owned(),
            rows_max: wanted,
            bytes_max: SQL_BYTES_MAX,
        };
        let rows = host.select(&request, call)?;
        documents_of(rows, members.text("column")?, wanted)
    }

    fn llm(&self, members: &Members<'_>, call: &CallContext) -> AiResult<OpRows> {
        members.only(&[
            "prompt",
            "system_message",
            "allow_cache",
            "max_latency_ms",
            "max_output_tokens",
            "temperature",
            "output",
            "provider",
            "model",
        ])?;
        let mut request = LlmRequest::new(members.required_text("prompt")?);
        request.system_message = members.text("system_message")?.map(str::to_owned);
        request.allow_cache = members.boolean("allow_cache")?.unwrap_or(true);
        request.max_latency_ms = members.whole("max_latency_ms")?.unwrap_or(0);
        request.temperature = members.number("temperature")?;
        request.provider = members.text("provider")?.map(str::to_owned);
        request.model = members.text("model")?.map(str::to_owned);
        if let Some(tokens) = members.whole("max_output_tokens")? {
            let tokens = u32::try_from(tokens);
            request.max_output_tokens =
                Some(tokens.map_err(|_| AiError::invalid("member 'max_output_tokens' is too large"))?);
        }
        request.output = match members.text("output")?.unwrap_or("text") {
            "text" => LlmOutput::Text,
            "sql" => LlmOutput::Sql,
            "json" => LlmOutput::Json,
            other => {
                return Err(AiError::invalid(format!("unknown output '{other}'; use text, sql or json")));
            }
        };
        let response = self.service.complete(&request, call).map_err(AiError::from)?;
        let cached = cached_word(response.cached) != "miss";
        let row = vec![
            json!(response.text_response),
            json!(response.explanation),
            json!(cached.to_string()),
            json!(response.provider_used),
        ];
        Ok(OpRows { columns: vec!["text_response", "explanation", "cached", "provider"], rows: vec![row] })
    }

    fn nl2sql(
        &self,
        members: &Members<'_>,
        object: &Map<String, Value>,
        call: &CallContext,
    ) -> AiResult<OpRows> {
        let question = members.required_text("natural_language")?;
        if question.len() > QUESTION_BYTES_MAX {
            let why = format!(
                "member 'natural_language' has {} bytes, allowed are {QUESTION_BYTES_MAX}",
                question.len()
            );
            return Err(AiError::limit(why));
        }
        let host = self.nl2sql.as_ref().ok_or_else(|| missing("Nl2Sql", "nl2sql"))?;
        let answer = host.convert(object, call)?;
        let row = vec![
            json!(answer.sql_query),
            json!(answer.confidence),
            json!(answer.explanation),
            json!(answer.objects_used.join(",")),
            json!(answer.cached.to_string()),
            json!(answer.cache_id),
            json!(answer.provider_used),
        ];
        let columns = vec![
            "sql_query",
            "confidence",
            "explanation",
            "objects_used",
            "cached",
            "cache_id",
            "provider_used",
        ];
        Ok(OpRows { columns, rows: vec![row] })
    }
}

fn rerank_columns(count: u64) -> Vec<&'static str> {
    if count == 2 { vec!["index", "score"] } else { vec!["index", "score", "document"] }
}

fn missing(part: &str, operation: &str) -> AiError {
    let why = format!("{operation} needs {part}, which this host does not provide");
    AiError::new(AiErrorCode::FailedPrecondition, why)
}

/// One text for each row that is not wholly NULL.
fn documents_of(rows: SelectRows, column: Option<&str>, rows_max: usize) -> AiResult<Vec<String>> {
    let at = match column {
        Some(name) => {
            let found = rows.columns.iter().position(|c| c == name);
            let have = rows.columns.join(", ");
            Some(found.ok_or_else(|| {
                AiError::invalid(format!(
                    "document_from_sql.column '{name}' is not in the result; it has {have}"
                ))
            })?)
        }
        None if rows.columns.len() == 1 => Some(0),
        None => None,
    };
    let text = |row: &Vec<Option<String>>| match at {
        Some(at) => row.get(at).cloned().flatten(),
        None => {
            let named =
                rows.columns.iter().zip(row).filter_map(|(c, v)| v.as_ref().map(|v| format!("{c}: {v}")));
            let lines: Vec<String> = named.collect();
            (!lines.is_empty()).then(|| lines.join("\n"))
        }
    };
    // The host keeps the caps; a host that does not must not make the work larger.
    let mut bytes = 0;
    let within = |text: &String| {
        bytes += text.len();
        bytes <= SQL_BYTES_MAX
    };
    Ok(rows.rows.iter().take(rows_max).filter_map(text).take_while(within).collect())
}

/// Numbers without spaces, each the shortest text that reads back to the same `f32`.
pub(crate) fn csv_of(vector: &[f32]) -> String {
    let mut text = String::with_capacity(vector.len() * 12);
    for number in vector {
        if !text.is_empty() {
            text.push(',');
        }
        let (plain, exponent) = (number.to_string(), format!("{number:e}"));
        text.push_str(if exponent.len() < plain.len() { &exponent } else { &plain });
    }
    text
}

/// Little-endian `f32` bytes in base64.
pub(crate) fn base64_of(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back() {
        let vector = [0.1, -1.0, 1e-10, 3.402_823_5e38, f32::MIN_POSITIVE, 123_456.79, 0.0];
        let text = csv_of(&vector);
        let back: Vec<f32> = text.split(',').map(|t| t.parse().unwrap()).collect();
        assert_eq!(back, vector);
        assert!(text.starts_with("0.1,-1,1e-10,3.4028235e38,") && !text.contains(' '), "{text}");
        assert_eq!(base64_of(&[1.0]), "AACAPw==");
    }

    #[test]
    fn rows_become_documents() {
        let some = |t: &str| Some(t.to_owned());
        let columns = vec!["id".to_owned(), "body".to_owned()];
        let rows = vec![vec![some("1"), some("a")], vec![None, None], vec![some("2"), None]];
        let result = SelectRows::new(columns, rows);
        assert_eq!(documents_of(result.clone(), None, 9).unwrap(), ["id: 1\nbody: a", "id: 2"]);
        assert_eq!(documents_of(result.clone(), Some("body"), 9).unwrap(), ["a"]);
        assert_eq!(documents_of(result.clone(), None, 1).unwrap().len(), 1);
        assert!(documents_of(result, Some("x"), 9).unwrap_err().message.contains("id, body"));
    }
}
