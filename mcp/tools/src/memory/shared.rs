//! Argument types and steps that several catalog-backed tools share; it knows no single tool.

use std::borrow::Cow;

use harvest_catalog::{AgentScope, ObjectRef, RunInfo, RunRef};
use harvest_gateway::TargetInfo;
use mcp::{ToolError, ToolResult};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::deps::CatalogDeps;
use crate::deps::{Call, Frame, wire_bytes};
use crate::errors::{IntoToolResult, internal_error};

/// A run: its id, or the schema that it holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RunArg(pub(crate) RunRef);

impl<'de> Deserialize<'de> for RunArg {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Number(n) => match n.as_i64() {
                Some(id) if id >= 1 => Ok(Self(RunRef::Id(id))),
                _ => Err(serde::de::Error::custom("run_id is an integer from 1 on, or the name of a schema")),
            },
            Value::String(text) if !text.is_empty() => Ok(Self(RunRef::parse(&text))),
            _ => Err(serde::de::Error::custom("run_id is an integer from 1 on, or the name of a schema")),
        }
    }
}

impl Serialize for RunArg {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            RunRef::Latest => serializer.serialize_none(),
            RunRef::Id(id) => serializer.serialize_i64(*id),
            RunRef::Schema(schema) => serializer.serialize_str(schema),
        }
    }
}

impl JsonSchema for RunArg {
    fn schema_name() -> Cow<'static, str> {
        "RunArg".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["integer", "string"], "minimum": 1, "minLength": 1, "maxLength": 256})
    }

    fn inline_schema() -> bool {
        true
    }
}

/// An object: its id, or its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectArg(pub(crate) ObjectRef);

impl<'de> Deserialize<'de> for ObjectArg {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Number(n) if n.is_i64() => Ok(Self(ObjectRef::id(n.as_i64().unwrap_or_default()))),
            Value::String(key) if !key.is_empty() => {
                if key.bytes().all(|b| b.is_ascii_digit()) {
                    return Ok(Self(ObjectRef::id(key.parse().unwrap_or(i64::MAX))));
                }
                Ok(Self(ObjectRef::key(key)))
            }
            _ => Err(serde::de::Error::custom("an object is an id or a key such as shop.orders")),
        }
    }
}

impl JsonSchema for ObjectArg {
    fn schema_name() -> Cow<'static, str> {
        "ObjectArg".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["integer", "string"], "minimum": 1, "minLength": 1, "maxLength": 1024})
    }

    fn inline_schema() -> bool {
        true
    }
}

/// One text or several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OneOrMany(pub(crate) Vec<String>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(one) => Ok(Self(vec![one])),
            many @ Value::Array(_) => serde_json::from_value(many)
                .map(Self)
                .map_err(|_| serde::de::Error::custom("a list of texts")),
            _ => Err(serde::de::Error::custom("a text or a list of texts")),
        }
    }
}

impl JsonSchema for OneOrMany {
    fn schema_name() -> Cow<'static, str> {
        "OneOrMany".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "array"], "minLength": 1, "maxLength": 256, "minItems": 1, "maxItems": 1000,
                      "items": {"type": "string", "minLength": 1, "maxLength": 256}})
    }

    fn inline_schema() -> bool {
        true
    }
}

pub(crate) fn object_ref(
    object_id: Option<i64>,
    object_key: Option<String>,
    object_type: Option<String>,
) -> ObjectRef {
    ObjectRef { object_id, object_key, object_type }
}

pub(crate) const fn page_size() -> usize {
    50
}

pub(crate) const fn yes() -> bool {
    true
}

/// Target and run of a call, with the frame of its answer.
pub(crate) fn target_run(
    call: &Call<'_>,
    target_id: Option<&str>,
    run: &RunArg,
) -> ToolResult<(TargetInfo, RunInfo, Frame)> {
    let (target, run) = call.run(target_id, &run.0)?;
    let frame = Frame::target(target.target_id.clone(), target.protocol).run(Some(run.run_id));
    Ok((target, run, frame))
}

/// The agent run of a call: it must belong to a visible target, and match the target and run that are named.
pub(crate) fn agent(
    deps: &CatalogDeps,
    call: &Call<'_>,
    agent_run_id: i64,
    target_id: Option<&str>,
    run: &RunArg,
) -> ToolResult<(AgentScope, Frame)> {
    let unknown = || ToolError::not_found("agent run", agent_run_id.to_string());
    let catalog = deps.catalog()?;
    let scope = catalog.agent_scope(agent_run_id).for_tool()?;
    if !call.scope.sees(&scope.target_id) {
        return Err(unknown());
    }
    let target =
        deps.tools.gateway.known_target(Some(&scope.target_id), &call.scope).map_err(|_| unknown())?;
    let mismatch = |argument: &str, expected: String| {
        ToolError::invalid(format!("{argument} does not match agent run {agent_run_id}"))
            .with("argument", argument)
            .with("expected", expected)
    };
    if target_id.is_some_and(|id| id != scope.target_id) {
        return Err(mismatch("target_id", scope.target_id.clone()));
    }
    if run.0 != RunRef::Latest {
        let named = catalog.resolve_run(&scope.target_id, &run.0).for_tool()?;
        if Some(named.run_id) != scope.run_id {
            return Err(mismatch("run_id", scope.run_id.map_or_else(String::new, |id| id.to_string())));
        }
    }
    let frame = Frame::target(target.target_id, target.protocol).run(scope.run_id);
    Ok((scope, frame))
}

/// Bytes of an answer that its own keys take.
const ENVELOPE_BYTES: usize = 4_096;

/// Cuts a page to what an answer may hold and moves the start of the next page accordingly.
pub(crate) fn fit<T: Serialize>(
    call: &Call<'_>,
    items: &mut Vec<T>,
    offset: usize,
    next_offset: Option<usize>,
) -> ToolResult<Option<usize>> {
    let limit = call.deps.gateway.settings().response_bytes_max;
    let room = limit.saturating_sub(ENVELOPE_BYTES);
    let mut bytes = 0;
    for (at, item) in items.iter().enumerate() {
        let text =
            serde_json::to_string(item).map_err(|e| internal_error(&format!("item is no JSON: {e}")))?;
        bytes += wire_bytes(&text) + 2;
        if bytes > room {
            if at == 0 {
                return Err(crate::deps::too_large(limit, bytes));
            }
            items.truncate(at);
            return Ok(Some(offset + at));
        }
    }
    Ok(next_offset)
}

/// The frame of a page.
pub(crate) fn paged(call: &Call<'_>, frame: Frame, binding: &str, next_offset: Option<usize>) -> Frame {
    let token = next_offset.map(|offset| call.deps.pages.sign(binding, &offset.to_string()));
    frame.truncated(token.is_some()).next_page(token)
}

/// Refuses a call that deletes without `confirm`.
pub(crate) fn confirmed(confirm: bool) -> ToolResult<()> {
    if confirm {
        return Ok(());
    }
    Err(ToolError::precondition("this deletes records for good: pass confirm = true")
        .with("reason", "confirm is not true")
        .with("remedy", "pass confirm = true"))
}

/// A confidence, 0 to 1.
pub(crate) fn confidence(argument: &str, value: f64) -> ToolResult<f64> {
    if (0.0..=1.0).contains(&value) {
        return Ok(value);
    }
    Err(ToolError::invalid(format!("{argument} must be between 0 and 1"))
        .with("argument", argument)
        .with("expected", "0 to 1")
        .with("got", value))
}
