//! Text to SQL: a question becomes one verified statement, from a template or a model; the statement is never run here.

mod args;
mod literals;
mod prompt;
mod retrieve;
mod seam;
mod verify;

use std::time::{Duration, Instant};

use ai_core::{AiError, LlmErrorCode, LlmMessage, LlmOutput, LlmRequest, LlmResponse, LlmRole};
use harvest_catalog::{LlmSearchHit, RunInfo, RunRef, SchemaRow, parse_object_key, question_norm};
use harvest_gateway::TargetInfo;
use mcp::{ErrorCode, ToolError, ToolResult};
use mcp_tools::{Frame, IntoToolResult};
use serde_json::{Map, Value, json};

use crate::ai::{Ask, HistoryRow, Reply, Usage, bad, cached_word, usage_of};
use crate::errors::ai_tool_error;

pub use seam::Nl2SqlAnswers;

pub(crate) use args::{ConvertAnswer, ConvertArgs};
use args::{Debug, Gate, Parts, RunArg};
use literals::literals;
use prompt::Draft;
use retrieve::{Found, Name, Question, Relations};
use verify::{Passed, Refusal, Verifier};

/// Longest question, in bytes.
const QUESTION_BYTES_MAX: usize = 8_192;

/// Settings of `ai.nl2sql_convert`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Nl2SqlConfig {
    /// Whether it answers at all.
    pub enabled: bool,
    /// Time of one conversion, in milliseconds.
    pub timeout_ms: u64,
    /// Objects shown to the model.
    pub tables_max: usize,
    /// Examples shown to the model.
    pub examples_max: usize,
    /// Repairs of a refused statement.
    pub repairs_max: usize,
}

impl Default for Nl2SqlConfig {
    fn default() -> Self {
        Self { enabled: true, timeout_ms: 30_000, tables_max: 20, examples_max: 5, repairs_max: 2 }
    }
}

/// One conversion on its way.
struct Work<'a> {
    ask: &'a Ask<'a>,
    args: &'a ConvertArgs,
    config: &'a Nl2SqlConfig,
    run: &'a RunInfo,
    target: &'a TargetInfo,
    verifier: Verifier<'a>,
    found: Found,
    until: Instant,
}

fn failed(code: ErrorCode, name: &str, message: impl std::fmt::Display) -> ToolError {
    ToolError::new(code, format!("{name}: {message}")).with("error_code", name)
}

/// Converts a question.
pub(crate) fn convert(ask: &Ask<'_>, args: ConvertArgs) -> ToolResult<Reply<ConvertAnswer>> {
    let started = Instant::now();
    let result = scoped(ask, &args, started);
    let answer = match &result {
        Ok(reply) => Ok(reply.body.sql.as_str()),
        Err(error) => {
            Err(error.details.get("error_code").and_then(Value::as_str).unwrap_or(error.code.as_str()))
        }
    };
    let mut row = HistoryRow::new("nl2sql", ask.caller(), &args.natural_language, answer);
    row.execution_time_ms = started.elapsed().as_secs_f64() * 1e3;
    row.schema_name = args.schema.clone().unwrap_or_default();
    if let Ok(reply) = &result {
        row.provider.clone_from(&reply.body.provider);
        row.model.clone_from(&reply.body.model);
        row.cache = reply.body.cached.to_owned();
    }
    ask.deps.history.push(row);
    result
}

/// Target, run, schema and tables of the question, then the conversion.
fn scoped(ask: &Ask<'_>, args: &ConvertArgs, started: Instant) -> ToolResult<Reply<ConvertAnswer>> {
    let config = ask.deps.nl2sql.load_full();
    if !config.enabled {
        let why = "text to SQL is switched off; set genai-nl2sql_enabled";
        return Err(failed(ErrorCode::FailedPrecondition, "ER_NL2SQL_DISABLED", why));
    }
    let text = args.natural_language.trim();
    if text.is_empty() || text.len() > QUESTION_BYTES_MAX {
        let why = format!("natural_language must hold 1 to {QUESTION_BYTES_MAX} bytes");
        return Err(bad("natural_language", why));
    }
    let run = match &args.run_id {
        None => RunRef::Latest,
        Some(RunArg::Id(id)) => RunRef::Id(*id),
        Some(RunArg::Schema(text)) => RunRef::parse(text),
    };
    let catalog = ask.deps.tools.catalog()?;
    let (target, run) = ask.call.run(args.target_id.as_deref(), &run)?;
    if !target.allow_explain {
        return Err(ToolError::denied(
            "policy",
            "this target does not allow EXPLAIN, so nothing can be verified",
        ));
    }
    let schemas = catalog.list_schemas(run.run_id).for_tool()?;
    if let Some(schema) = &args.schema
        && !schemas.iter().any(|have| have.schema_name == *schema)
    {
        return Err(ToolError::not_found("schema", schema));
    }
    let default = default_schema(args, &target, &schemas);
    let everything = Relations::load(catalog, &run, None).for_tool()?;
    if everything.is_empty() {
        return Err(ToolError::precondition("the catalog holds no tables of this target")
            .with("remedy", "run discovery.run_static"));
    }
    let pinned = pinned(args, &everything, &default)?;
    let relations = match &pinned {
        Some(names) => Relations::load(catalog, &run, Some(names)).for_tool()?,
        None => everything,
    };
    let ms = if args.max_latency_ms == 0 { config.timeout_ms } else { args.max_latency_ms };
    let own = started + Duration::from_millis(ms);
    let until = ask.call.cx.deadline.map_or(own, |other| own.min(other));
    let embedder = ask.deps.service.embedder();
    let found = Question {
        catalog,
        linker: &ask.deps.linker,
        embedder: Some(embedder.as_ref()),
        run: &run,
        relations: &relations,
        text,
        schema: args.schema.as_deref(),
        pinned: pinned.as_deref(),
        tables_max: config.tables_max,
        examples_max: config.examples_max,
    }
    .search()
    .for_tool()?;
    let verifier = Verifier {
        gateway: &ask.deps.tools.gateway,
        catalog,
        run_id: run.run_id,
        target: &target,
        schema: &default,
        relations: &relations,
        scope: &ask.call.scope,
        until,
    };
    let work = Work { ask, args, config: &config, run: &run, target: &target, verifier, found, until };
    work.go()
}

/// The schema of names without one: the call's, the target's, or the only one there is.
fn default_schema(args: &ConvertArgs, target: &TargetInfo, schemas: &[SchemaRow]) -> String {
    let of_target = Some(&target.default_schema).filter(|schema| !schema.is_empty());
    let only = schemas.first().filter(|_| schemas.len() == 1).map(|one| &one.schema_name);
    args.schema.as_ref().or(of_target).or(only).cloned().unwrap_or_default()
}

/// The tables that the caller names; each must exist.
fn pinned(args: &ConvertArgs, relations: &Relations, schema: &str) -> ToolResult<Option<Vec<Name>>> {
    let Some(list) = args.context_tables.as_ref().map(args::OneOrMany::list).filter(|list| !list.is_empty())
    else {
        return Ok(None);
    };
    let mut names = Vec::new();
    for key in list {
        let (of, name) = parse_object_key(&key).for_tool()?;
        let found = relations.find(of.as_deref().unwrap_or(schema), &name);
        let found = found.ok_or_else(|| ToolError::not_found("object", &key))?.clone();
        if !names.contains(&found) {
            names.push(found);
        }
    }
    Ok(Some(names))
}

/// What a model contributed.
struct Answered {
    draft: Draft,
    repairs: usize,
    cost_usd: f64,
    usage: Usage,
    last: LlmResponse,
}

impl Work<'_> {
    fn go(self) -> ToolResult<Reply<ConvertAnswer>> {
        if let Some(reply) = self.template()? {
            return Ok(reply);
        }
        let (passed, answered) = self.generate()?;
        let examples: Vec<String> = self.examples().iter().map(|hit| hit.title.clone()).collect();
        let best = self.found.examples.first().map_or(0.0, |hit| hit.score);
        let mut answer = self.answer(passed, answered.draft.confidence, best, answered.repairs);
        answer.explanation = format!("{} ({})", answered.draft.explanation, answered.last.explanation);
        answer.examples_used = examples;
        answer.cached = cached_word(&answered.last);
        answer.cache_id = answered.last.cache_id;
        answer.provider = answered.last.provider_used;
        answer.model = answered.last.model_used;
        answer.usage = answered.usage;
        answer.cost_usd = answered.cost_usd;
        Ok(self.reply(answer))
    }

    fn examples(&self) -> &[LlmSearchHit] {
        let count = self.config.examples_max.min(self.found.examples.len());
        &self.found.examples[..count]
    }

    /// A template that may be reused, asks with the same literals, and still passes.
    fn template(&self) -> ToolResult<Option<Reply<ConvertAnswer>>> {
        let wanted = literals(&self.args.natural_language);
        for hit in self.found.examples.iter().filter(|hit| hit.reuse) {
            let asked = hit.body.lines().next().unwrap_or_default();
            let Some(sql) = hit.example_sql.as_deref() else { continue };
            // Words decide the score in any order; only the same words in the same order ask the same.
            let same = question_norm(asked) == question_norm(&self.args.natural_language);
            if !same || literals(asked) != wanted {
                continue;
            }
            match self.verifier.check(sql) {
                Ok(passed) => {
                    let mut answer = self.answer(passed, hit.confidence, hit.score, 0);
                    answer.explanation = format!("the stored question {:?}; no model was asked", hit.title);
                    answer.template_id = Some(hit.id);
                    return Ok(Some(self.reply(answer)));
                }
                Err(Refusal::Statement(_)) => {}
                Err(Refusal::Final(error)) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Asks until a statement passes or no round is left.
    fn generate(&self) -> ToolResult<(Passed, Answered)> {
        let data = prompt::data(&self.args.natural_language, &self.found.objects, self.examples());
        let mut messages = vec![LlmMessage::new(LlmRole::User, data)];
        let mut reasons: Vec<String> = Vec::new();
        let mut usage = Usage { input_tokens: 0, output_tokens: 0, estimated: false };
        let mut cost_usd = 0.0;
        for round in 0..=self.config.repairs_max {
            let response = self.ask_model(messages.clone(), round)?;
            let part = usage_of(&response);
            usage.input_tokens += part.input_tokens;
            usage.output_tokens += part.output_tokens;
            usage.estimated |= part.estimated;
            cost_usd += response.cost_usd;
            let reason = match prompt::read(&response.text_response) {
                None => "the answer was no JSON object with a text sql.".to_owned(),
                Some(draft) => match self.verifier.check(&draft.sql) {
                    Ok(passed) => {
                        let answered = Answered { draft, repairs: round, cost_usd, usage, last: response };
                        return Ok((passed, answered));
                    }
                    Err(Refusal::Final(error)) => return Err(error),
                    Err(Refusal::Statement(reason)) => reason,
                },
            };
            messages.push(LlmMessage::new(LlmRole::Assistant, response.text_response));
            messages.push(LlmMessage::new(LlmRole::User, prompt::repair(&reason)));
            reasons.push(reason);
        }
        let why =
            "no statement for this question passed verification; ask more precisely or name context_tables";
        Err(failed(ErrorCode::FailedPrecondition, "ER_NL2SQL_INVALID_QUERY", why)
            .with("reasons", json!(reasons)))
    }

    fn ask_model(&self, messages: Vec<LlmMessage>, round: usize) -> ToolResult<LlmResponse> {
        let left = self.until.saturating_duration_since(Instant::now());
        let ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        if ms == 0 {
            return Err(self.timeout());
        }
        let mut request = LlmRequest::from_messages(messages);
        request.system_message = Some(prompt::system(&self.target.dialect, self.args.max_rows_hint));
        request.schema_name = self.verifier.schema.to_owned();
        request.scope = format!("nl2sql\u{1}{}\u{1}{}", self.run.target_id, self.run.run_id);
        request.max_latency_ms = ms;
        // A repair answers one refusal; it is no answer to the question.
        request.allow_cache = self.args.allow_cache && round == 0;
        request.temperature = Some(0.0);
        request.response_schema = Some(prompt::response_schema());
        request.output = LlmOutput::Json;
        let (call, _joined) = self.ask.ai_call();
        self.ask.deps.model.complete(&request, &call).map_err(|error| match error.code {
            LlmErrorCode::UnknownProvider | LlmErrorCode::ApiKeyMissing => {
                let why =
                    "no stored question matches, and no model can be asked; configure one or add templates";
                failed(ErrorCode::FailedPrecondition, "ER_NL2SQL_NO_MODEL", why)
                    .with("cause", error.error_details)
            }
            LlmErrorCode::Timeout => self.timeout(),
            _ => {
                let mut typed = ai_tool_error(AiError::from(error));
                typed.message = format!("ER_NL2SQL_API_ERROR: {}", typed.message);
                typed
            }
        })
    }

    fn timeout(&self) -> ToolError {
        let why = "the time of the conversion is over; see genai-nl2sql_timeout_ms and max_latency_ms";
        failed(ErrorCode::DeadlineExceeded, "ER_NL2SQL_TIMEOUT", why)
    }

    fn answer(&self, passed: Passed, model: f64, example: f64, repairs: usize) -> ConvertAnswer {
        let names: Vec<Name> =
            passed.used.iter().map(|used| (used.schema.clone(), used.object.clone())).collect();
        let parts = Parts {
            model,
            schema_link: self.found.linked(&names),
            example,
            plan: if passed.plan.full_scans.is_empty() { 1.0 } else { 0.8 },
        };
        let mut warnings = Vec::new();
        if self.found.objects.len() >= self.config.tables_max {
            warnings.push("more objects may fit the question than were shown to the model".to_owned());
        }
        let debug = self.args.debug.then(|| Debug {
            prompt_objects: self
                .found
                .objects
                .iter()
                .map(|object| harvest_catalog::object_key(&object.schema, &object.name))
                .collect(),
        });
        ConvertAnswer {
            template_draft: self.draft(&passed, parts.confidence(repairs)),
            sql: passed.sql,
            dialect: self.target.dialect.clone(),
            confidence: parts.confidence(repairs),
            confidence_parts: parts,
            explanation: String::new(),
            objects_used: passed.used,
            template_id: None,
            examples_used: Vec::new(),
            gate: Gate { passed: true },
            explain: self.args.explain.then_some(passed.plan),
            repairs,
            cached: "miss",
            cache_id: String::new(),
            provider: String::new(),
            model: String::new(),
            usage: Usage { input_tokens: 0, output_tokens: 0, estimated: false },
            cost_usd: 0.0,
            warnings,
            debug,
        }
    }

    /// Arguments of `llm.question_template_add` for this answer.
    fn draft(&self, passed: &Passed, confidence: f64) -> Map<String, Value> {
        let question: String = self.args.natural_language.chars().take(2_048).collect();
        let title: String = question.chars().take(120).collect();
        let keys: Vec<String> =
            passed.used.iter().map(|used| harvest_catalog::object_key(&used.schema, &used.object)).collect();
        let draft = json!({
            "title": title, "question_nl": question, "template": {"sql": passed.sql},
            "example_sql": passed.sql, "related_objects": keys, "confidence": confidence,
            "target_id": self.run.target_id, "run_id": self.run.run_id,
        });
        match draft {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }

    fn reply(&self, answer: ConvertAnswer) -> Reply<ConvertAnswer> {
        let frame = Frame::target(&self.target.target_id, self.target.protocol).run(Some(self.run.run_id));
        Reply { body: answer, frame }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confidence_falls_with_repairs() {
        let parts = Parts { model: 1.0, schema_link: 1.0, example: 1.0, plan: 1.0 };
        assert_eq!((parts.confidence(0), parts.confidence(2)), (1.0, 0.7225));
        assert_eq!(Parts::default().confidence(0), 0.0);
    }
}
