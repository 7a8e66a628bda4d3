//! Budgets of answers: what a caller's `max_bytes` or `max_tokens` leaves of a result, and how the rest is had; it knows no tool.

mod document;
mod store;

use std::sync::Arc;

use mcp::{CallContext, Content, ToolAnnotations, ToolError, ToolOutput, ToolResult, ToolSpec};
use serde_json::{Map, Value, json};

use crate::deps::{ToolDeps, call_scope};
#[cfg(test)]
pub(crate) use document::tests::join;
use document::{Document, Slice};

pub use store::ResultStore;
use store::{Owner, Stored};

/// Bytes that count as one token. Tokenizers need about one for three bytes of JSON, fewer for plain prose.
pub(crate) const TOKEN_BYTES: usize = 3;
/// Smallest budget, in bytes: room for what every answer carries.
const BUDGET_BYTES_MIN: usize = 1_024;
/// Largest budget, in bytes: that of the largest answer.
const BUDGET_BYTES_MAX: usize = 67_108_864;
/// Smallest budget, in tokens.
const BUDGET_TOKENS_MIN: usize = BUDGET_BYTES_MIN.div_ceil(TOKEN_BYTES);
/// Room of a page for the keys that paging adds, in bytes.
const PAGE_KEYS_BYTES: usize = 512;

const MAX_BYTES: &str = "max_bytes";
const MAX_TOKENS: &str = "max_tokens";
const PAGE_TOKEN: &str = "page_token";
const JSON: &str = "application/json";

/// Beginning of the URIs of kept results.
pub(crate) const SCHEME: &str = "result://";

/// Adds the budget to what a tool says of itself.
pub(crate) fn describe(spec: &mut ToolSpec) {
    let pages = spec.annotations.read_only_hint;
    let Some(Value::Object(arguments)) = spec.input_schema.get_mut("properties") else { return };
    let mut add = |name: &str, schema: Value| {
        if !arguments.contains_key(name) {
            arguments.insert(name.to_owned(), schema);
        }
    };
    add(
        MAX_BYTES,
        json!({"type": "integer", "minimum": BUDGET_BYTES_MIN, "maximum": BUDGET_BYTES_MAX,
        "description": "Most bytes of the answer; the rest is kept for a while and had by page_token or the resource link."}),
    );
    add(
        MAX_TOKENS,
        json!({"type": "integer", "minimum": BUDGET_TOKENS_MIN, "maximum": BUDGET_BYTES_MAX / TOKEN_BYTES,
        "description": "Most tokens of the answer, estimated; as max_bytes."}),
    );
    if pages {
        add(PAGE_TOKEN, json!({"type": "string", "description": "Token of the previous answer."}));
    }
    let Some(Value::Object(results)) = spec.output_schema.as_mut().and_then(|s| s.get_mut("properties"))
    else {
        return;
    };
    let mut add = |name: &str, schema: Value| {
        if !results.contains_key(name) {
            results.insert(name.to_owned(), schema);
        }
    };
    add("truncated", json!({"type": "boolean", "description": "Whether a limit left something out."}));
    if pages {
        add(
            "next_page_token",
            json!({"type": ["string", "null"], "description": "Token of the next page; null on the last one."}),
        );
    }
    add(
        "resource",
        json!({"type": "object", "description": "The whole result, for the caller alone, where a budget cut it.",
            "properties": {
                "uri": {"type": "string", "description": "To read with resources/read."},
                "bytes": {"type": "integer", "description": "Its size."},
                "expires_at": {"type": "integer", "description": "When it goes, Unix seconds."}},
            "required": ["uri", "bytes", "expires_at"]}),
    );
}

/// One call with a budget or a page of an earlier one.
pub(crate) struct Budget<'a> {
    deps: &'a ToolDeps,
    cx: &'a CallContext,
    binding: String,
    /// Bytes of the answer.
    bytes_max: usize,
    pages: bool,
}

impl<'a> Budget<'a> {
    /// Takes the budget out of the arguments; `None` when there is none.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for one that is out of range.
    pub(crate) fn take(
        deps: &'a ToolDeps,
        cx: &'a CallContext,
        (tool, hints): (&str, ToolAnnotations),
        arguments: &mut Map<String, Value>,
    ) -> ToolResult<Option<Self>> {
        let bytes = number(arguments.remove(MAX_BYTES), MAX_BYTES, BUDGET_BYTES_MIN, BUDGET_BYTES_MAX)?;
        let tokens_max = BUDGET_BYTES_MAX / TOKEN_BYTES;
        let tokens = number(arguments.remove(MAX_TOKENS), MAX_TOKENS, BUDGET_TOKENS_MIN, tokens_max)?;
        let token_bytes = tokens.map(|tokens| tokens.saturating_mul(TOKEN_BYTES));
        let bytes_max = [bytes, token_bytes].into_iter().flatten().min();
        let has_token = arguments.get(PAGE_TOKEN).is_some_and(|token| !token.is_null());
        if bytes_max.is_none() && !has_token {
            return Ok(None);
        }
        let filters: Map<_, _> =
            arguments.iter().filter(|(name, value)| *name != PAGE_TOKEN && !value.is_null()).collect_owned();
        let caller = &cx.caller.token_name;
        let binding = format!("budget\u{0}{tool}\u{0}{caller}\u{0}{}", Value::Object(filters));
        let bytes_max = bytes_max.unwrap_or(BUDGET_BYTES_MAX);
        Ok(Some(Self { deps, cx, binding, bytes_max, pages: hints.read_only_hint }))
    }

    /// The page that the arguments' token names, if it is a token of a kept result.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` when the result is gone.
    pub(crate) fn resume(&self, arguments: &Map<String, Value>) -> ToolResult<Option<ToolOutput>> {
        let Some(token) = arguments.get(PAGE_TOKEN).and_then(Value::as_str).filter(|_| self.pages) else {
            return Ok(None);
        };
        // A token that is not of a kept result is the tool's own, which judges it.
        let Ok(position) = self.deps.pages.position(&self.binding, token) else { return Ok(None) };
        let found = position.split_once(' ').and_then(|(id, at)| Some((id, at.parse::<usize>().ok()?)));
        let kept = found.and_then(|(id, at)| Some((self.find(id)?, at)));
        let (stored, at) = kept.ok_or_else(|| {
            ToolError::precondition("the rest of this result is gone: repeat the call without page_token")
                .with("reason", "result expired")
                .with("remedy", "repeat the call without page_token")
        })?;
        self.page(&stored, at).map(Some)
    }

    /// What the budget leaves of an answer; the whole answer when it fits.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED` when a result can neither be cut nor kept.
    pub(crate) fn fit(&self, output: ToolOutput) -> ToolResult<ToolOutput> {
        if output.is_error || !output.content.is_empty() {
            return Ok(output);
        }
        let text = match (output.structured_json.clone(), &output.structured) {
            (Some(text), _) => text,
            (None, Some(value)) => value.to_string(),
            (None, None) => return Ok(output),
        };
        if text.len() <= self.bytes_max {
            let mut whole = ToolOutput::structured_json(text);
            whole.meta = output.meta;
            return Ok(whole);
        }
        let bytes = text.len();
        let document = Arc::new(Document::new(text));
        let target_id = document.text_of("target_id");
        let owner = Owner { caller: self.cx.caller.token_name.clone(), target_id };
        let stamp = self.deps.gateway.policy_stamp();
        match self.deps.results.put(owner, stamp, document) {
            Some(stored) => self.page(&stored, 0),
            None => Err(self.too_small(bytes)),
        }
    }

    fn find(&self, id: &str) -> Option<Stored> {
        let scope = call_scope(self.cx, "resources/read");
        self.deps.results.get(id, &scope, self.deps.gateway.policy_stamp())
    }

    fn page(&self, stored: &Stored, from: usize) -> ToolResult<ToolOutput> {
        let document = &stored.document;
        let room = self.bytes_max.saturating_sub(PAGE_KEYS_BYTES);
        let to = document.end_of(from, room);
        let link = Content::ResourceLink {
            uri: stored.uri(),
            name: "the whole result".to_owned(),
            description: Some(format!("{} bytes, until {}", document.bytes(), stored.expires_at_s)),
            mime_type: Some(JSON.to_owned()),
        };
        if to == from {
            let error = self.too_small(document.least_bytes(from) + PAGE_KEYS_BYTES);
            let error = error.with("resource", stored.reference());
            let mut output = ToolOutput::error(&error);
            output.content = vec![Content::text(error.to_value().to_string()), link];
            return Ok(output);
        }
        let is_last = to == document.items();
        let token = (!is_last).then(|| self.deps.pages.sign(&self.binding, &format!("{} {to}", stored.id)));
        let slice = Slice {
            from,
            to,
            next_page_token: token.filter(|_| self.pages),
            resource: (!is_last).then(|| stored.reference()),
        };
        let text = document.page(&slice);
        let mut output = ToolOutput::structured_json(text.clone());
        if !is_last {
            output.content = vec![Content::text(text), link];
        }
        Ok(output)
    }

    fn too_small(&self, needed: usize) -> ToolError {
        ToolError::limit(format!(
            "the next part of the answer needs {needed} bytes; the budget is {}: raise max_bytes or read the resource",
            self.bytes_max
        ))
        .with("limit", self.bytes_max)
        .with("value", needed)
        .with("variable", MAX_BYTES)
    }
}

/// The kept result of a URI, as its caller reads it.
pub(crate) fn read(deps: &ToolDeps, cx: &CallContext, uri: &str) -> Option<String> {
    let id = uri.strip_prefix(SCHEME)?;
    let scope = call_scope(cx, "resources/read");
    let stored = deps.results.get(id, &scope, deps.gateway.policy_stamp())?;
    Some(stored.document.text().to_owned())
}

/// A whole number within its bounds, in any of the forms that arguments may have.
fn number(value: Option<Value>, name: &str, least: usize, most: usize) -> ToolResult<Option<usize>> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(None) };
    let parsed = match &value {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_u64().and_then(|n| usize::try_from(n).ok()),
    };
    parsed.filter(|n| (least..=most).contains(n)).map(Some).ok_or_else(|| {
        ToolError::invalid(format!("{name} is a whole number from {least} to {most}"))
            .with("argument", name)
            .with("expected", format!("{least} to {most}"))
            .with("got", value)
    })
}

/// Owned pairs of a map.
trait CollectOwned {
    fn collect_owned(self) -> Map<String, Value>;
}

impl<'a, I: Iterator<Item = (&'a String, &'a Value)>> CollectOwned for I {
    fn collect_owned(self) -> Map<String, Value> {
        self.map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}
