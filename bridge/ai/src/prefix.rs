//! Prefix queries (`GENAI:`, `LLM:`, `NL2SQL:` and their comment forms) as a hook of the statement pipeline, and rows for
//! `document_from_sql` through the gateway; it runs no operation itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ai_core::{AiError, AiErrorCode, AiResult, CallContext};
use ai_core_llm::{JsonOps, LlmService, OpRows, ReadOnlySql, SelectRequest, SelectRows, parse_prefix};
use harvest::{ColType, Column, HarvestCode, HarvestError, HarvestResult, Protocol, Value, ValueCollector};
use harvest_gateway::{CallScope, Gateway, PreQueryContext, PrefixHook, Reply, RowSet, StatementRequest};

use crate::errors::harvest_ai_error;

/// The tool's name of `document_from_sql` in rules, statistics and logs.
const TOOL: &str = "genai.document_from_sql";

/// Prefix queries in work at a time; one more is UNAVAILABLE.
const RUNNING_MAX: usize = 64;

/// Every spelling that is looked for at the beginning of a statement.
const PREFIXES: &[&str] = &[
    "GENAI:",
    "GENAI :",
    "/* GENAI: */",
    "/*GENAI:*/",
    "/* GENAI:*/",
    "/*GENAI: */",
    "LLM:",
    "LLM :",
    "/* LLM: */",
    "/*LLM:*/",
    "/* LLM:*/",
    "/*LLM: */",
    "NL2SQL:",
    "NL2SQL :",
    "/* NL2SQL: */",
    "/*NL2SQL:*/",
    "/* NL2SQL:*/",
    "/*NL2SQL: */",
];

/// Answers prefix queries with the rows of JSON operations, on threads of its own: no session thread waits for a model.
#[derive(Clone)]
pub struct PrefixAnswers {
    service: LlmService,
    ops: JsonOps,
    select: Option<GatewaySelect>,
    targets: Vec<(Protocol, String)>,
    running: Arc<AtomicUsize>,
}

impl PrefixAnswers {
    /// A hook over `ops`; `service` is asked for who may use prefixes.
    #[must_use]
    pub fn new(service: LlmService, ops: JsonOps) -> Self {
        Self { service, ops, select: None, targets: Vec::new(), running: Arc::new(AtomicUsize::new(0)) }
    }

    /// `document_from_sql` runs through `select`, on the session's target and schema unless the operation names others.
    #[must_use]
    pub fn with_select(mut self, select: GatewaySelect) -> Self {
        self.select = Some(select);
        self
    }

    /// Sessions of `protocol` are in front of this target: `NL2SQL:` and `document_from_sql` mean it.
    #[must_use]
    pub fn with_target(mut self, protocol: Protocol, target_id: impl Into<String>) -> Self {
        self.targets.push((protocol, target_id.into()));
        self
    }

    fn target_of(&self, protocol: Protocol) -> &str {
        self.targets.iter().find(|(of, _)| *of == protocol).map_or("", |(_, target_id)| target_id)
    }

    /// The operations as this session may run them.
    fn ops_for(&self, context: &PreQueryContext<'_>, target_id: &str) -> JsonOps {
        match &self.select {
            Some(select) => {
                self.ops.clone().with_sql(Arc::new(select.for_session(target_id, context.schema())))
            }
            None => self.ops.clone(),
        }
    }

    fn check(&self, user: &str) -> HarvestResult<()> {
        let config = self.service.bridge().config();
        if !config.enabled || !config.query_prefix_enabled {
            let message = "LLM is not configured: prefix queries need enabled and query_prefix_enabled";
            return Err(HarvestError::new(HarvestCode::FailedPrecondition, message));
        }
        let listed = |list: &str| list.split(',').map(str::trim).any(|name| name == "*" || name == user);
        if !listed(&config.query_prefix_users) {
            let message = "this user may not use prefix queries; see query_prefix_users";
            return Err(HarvestError::new(HarvestCode::PermissionDenied, message));
        }
        Ok(())
    }
}

impl std::fmt::Debug for PrefixAnswers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrefixAnswers").finish_non_exhaustive()
    }
}

/// Gives its place back, also when the operation panics.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl PrefixHook for PrefixAnswers {
    fn prefixes(&self) -> &[&str] {
        PREFIXES
    }

    fn answer(&self, context: &PreQueryContext<'_>, _body: &str, reply: Reply) {
        if let Err(error) = self.check(context.user()) {
            return reply.fail(error);
        }
        let parsed = std::str::from_utf8(context.sql()).ok().and_then(parse_prefix);
        let Some(query) = parsed else {
            let message = "the prefix query cannot be read";
            return reply.fail(HarvestError::new(HarvestCode::InvalidArgument, message));
        };
        let target_id = self.target_of(context.protocol());
        let operation = query.operation(context.schema(), target_id);
        let place = Place(Arc::clone(&self.running));
        if place.0.fetch_add(1, Ordering::AcqRel) >= RUNNING_MAX {
            let message = format!("{RUNNING_MAX} prefix queries are in work: try again later");
            return reply.fail(HarvestError::new(HarvestCode::Unavailable, message));
        }
        let (ops, call) = (self.ops_for(context, target_id), CallContext::new(context.user()));
        // A thread that cannot start drops the reply, which the waiting side sees as UNAVAILABLE.
        drop(std::thread::Builder::new().name("prefix query".to_owned()).spawn(move || {
            let _place = place;
            match ops.run(&operation, &call) {
                Ok(rows) => reply.rows(row_set(rows)),
                Err(error) => reply.fail(ai_harvest_error(error)),
            }
        }));
    }
}

fn row_set(rows: OpRows) -> RowSet {
    let columns = rows.columns.iter().map(|name| Column::new(*name, ColType::String, "text")).collect();
    let rows = rows.rows.into_iter().map(|row| row.into_iter().map(value).collect()).collect();
    RowSet { columns, rows }
}

fn value(json: serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::String(text) => Value::Text(text),
        other => Value::Text(other.to_string()),
    }
}

/// The failure of the database side that says what an AI failure says.
fn ai_harvest_error(error: AiError) -> HarvestError {
    let code = match error.code {
        AiErrorCode::InvalidArgument => HarvestCode::InvalidArgument,
        AiErrorCode::NotFound => HarvestCode::NotFound,
        AiErrorCode::PermissionDenied => HarvestCode::PermissionDenied,
        AiErrorCode::FailedPrecondition => HarvestCode::FailedPrecondition,
        AiErrorCode::LimitExceeded => HarvestCode::LimitExceeded,
        AiErrorCode::DeadlineExceeded => HarvestCode::DeadlineExceeded,
        AiErrorCode::Unavailable => HarvestCode::Unavailable,
        AiErrorCode::Conflict => HarvestCode::Conflict,
        AiErrorCode::Internal => HarvestCode::Internal,
    };
    let mut mapped = HarvestError::new(code, error.message);
    mapped.retryable = error.retryable;
    mapped
}

/// Runs the SELECT of `document_from_sql` through rules, hooks, gate and limits, as the caller.
#[derive(Clone)]
pub struct GatewaySelect {
    gateway: Arc<Gateway>,
    target_id: String,
    schema: String,
}

impl GatewaySelect {
    /// A reader over the targets of `gateway`.
    #[must_use]
    pub fn new(gateway: Arc<Gateway>) -> Self {
        Self { gateway, target_id: String::new(), schema: String::new() }
    }

    /// The same reader for a session: what a request leaves open is this target and, on it, this schema.
    #[must_use]
    pub fn for_session(&self, target_id: &str, schema: &str) -> Self {
        Self {
            gateway: Arc::clone(&self.gateway),
            target_id: target_id.to_owned(),
            schema: schema.to_owned(),
        }
    }
}

impl std::fmt::Debug for GatewaySelect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GatewaySelect").finish_non_exhaustive()
    }
}

impl ReadOnlySql for GatewaySelect {
    fn select(&self, request: &SelectRequest, call: &CallContext) -> AiResult<SelectRows> {
        let named = |text: &String| (!text.is_empty()).then(|| text.clone());
        let own_target = request.target_id.is_empty() || request.target_id == self.target_id;
        let target_id = if own_target { &self.target_id } else { &request.target_id };
        // A session's schema says nothing about another target.
        let schema = if request.schema.is_empty() && own_target { &self.schema } else { &request.schema };
        let mut scope = CallScope::new(TOOL, &call.caller);
        scope.deadline = call.deadline.map(|deadline| deadline.instant());
        let mut statement = StatementRequest::new(request.sql.clone()).on(named(target_id), named(schema));
        statement.rows_max = Some(request.rows_max);
        let mut sink = ValueCollector::new(request.rows_max, request.bytes_max);
        self.gateway.run_into(&statement, &scope, &mut sink).map_err(harvest_ai_error)?;
        let (columns, rows, truncated) = sink.finish();
        let columns = columns.into_iter().map(|column| column.name).collect();
        let rows = rows.into_iter().map(|row| row.into_iter().map(text).collect()).collect();
        let mut answer = SelectRows::new(columns, rows);
        answer.truncated = truncated;
        Ok(answer)
    }
}

fn text(value: Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(flag) => flag.to_string(),
        Value::Int(number) => number.to_string(),
        Value::UInt(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Value::Decimal(text)
        | Value::Text(text)
        | Value::Date(text)
        | Value::Time(text)
        | Value::DateTime(text)
        | Value::TimestampTz(text)
        | Value::Interval(text)
        | Value::Uuid(text) => text,
        Value::Json(json) => json.to_string(),
        Value::Array(items) => {
            let items: Vec<String> = items.into_iter().map(|item| text(item).unwrap_or_default()).collect();
            items.join(", ")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ai_core_llm::{HostModels, LlmConfig, LlmDeps};
    use harvest_gateway::HookRegistry;
    use std::time::{Duration, Instant};

    fn ask(settings: &[(&str, &str)], sql: &str) -> Option<HarvestResult<RowSet>> {
        let mut config = LlmConfig::default();
        for (name, value) in settings {
            config.set_variable(name, value).expect("a variable");
        }
        let service =
            LlmService::start(config, LlmDeps::default(), HostModels::default()).expect("the service starts");
        let ops = JsonOps::new(service.clone());
        let registry = HookRegistry::new();
        let _hook = registry.prefix(0, Arc::new(PrefixAnswers::new(service.clone(), ops)));
        let context = PreQueryContext::builder(sql.as_bytes(), "ann", "shop", Protocol::Mysql).build();
        let answer = registry
            .answer_prefix(&context)
            .map(|pending| pending.wait_until(Instant::now() + Duration::from_secs(20)));
        service.stop(Duration::from_secs(1));
        answer
    }

    const RERANK: &str =
        r#"{"type":"rerank","query":"red apple","documents":["blue sky","a red apple"],"top_n":1}"#;

    #[test]
    fn operations_answer_rows_in_every_spelling() {
        let on: &[_] = &[("enabled", "true"), ("rerank_provider", "builtin")];
        for form in ["GENAI: ", "  genai:", "/* GENAI: */ ", "/*genai:*/"] {
            let rows = ask(on, &format!("{form}{RERANK}")).expect("a prefix").expect("rows");
            assert_eq!(
                rows.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(),
                ["index", "score", "document"]
            );
            assert_eq!(rows.rows.len(), 1);
            assert_eq!(rows.rows[0][0], Value::Text("1".to_owned()));
        }
        assert!(ask(on, "SELECT 1").is_none());
    }

    #[test]
    fn what_is_missing_is_said_with_a_code() {
        let code = |settings: &[(&str, &str)], sql: &str| {
            ask(settings, sql).expect("a prefix").expect_err("a failure").code
        };
        assert_eq!(code(&[], "LLM: hello"), HarvestCode::FailedPrecondition);
        let others: &[_] = &[("enabled", "true"), ("query_prefix_users", "bob")];
        assert_eq!(code(others, "LLM: hello"), HarvestCode::PermissionDenied);
        let on: &[_] = &[("enabled", "true")];
        assert_eq!(code(on, "GENAI: {not json"), HarvestCode::InvalidArgument);
        assert_eq!(code(on, "LLM: hello"), HarvestCode::FailedPrecondition);
    }
}
