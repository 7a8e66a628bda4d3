//! One tool of `/mcp/ai` as facts and a function, and the frame around its call; it knows no tool in particular.

use ai_core::{CallContext as AiCall, CancelToken, Deadline};
use mcp::{CallContext, Scope, ToolAnnotations, ToolError, ToolExample, ToolOutput, ToolResult, ToolSpec};
use mcp_tools::{
    Call, Frame, OutputSchema, QueryTool, Toolbox, input_schema, internal_error, too_large, wire_bytes,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::deps::AiDeps;

/// Entries of a page unless asked otherwise.
const PAGE_ENTRIES: usize = 50;
/// Entries of a page at most.
const PAGE_ENTRIES_MAX: usize = 500;
/// Room of an answer for everything but the page, in bytes.
const ENVELOPE_BYTES: usize = 4_096;

/// What a tool says of itself.
pub(super) struct Facts {
    pub(super) name: &'static str,
    title: &'static str,
    description: &'static str,
    annotations: ToolAnnotations,
    scope: &'static str,
    example: Option<(&'static str, Value)>,
    of_target: bool,
}

impl Facts {
    pub(super) fn new(
        name: &'static str,
        title: &'static str,
        scope: &'static str,
        annotations: ToolAnnotations,
    ) -> Self {
        Self { name, title, description: "", annotations, scope, example: None, of_target: false }
    }

    pub(super) fn says(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    /// Answers carry the target and the run that they are about.
    pub(super) fn answers_of_a_target(mut self) -> Self {
        self.of_target = true;
        self
    }

    pub(super) fn example(mut self, title: &'static str, arguments: Value) -> Self {
        self.example = Some((title, arguments));
        self
    }
}

/// One call on its way.
pub(crate) struct Ask<'a> {
    pub(crate) deps: &'a AiDeps,
    pub(crate) call: Call<'a>,
}

impl Ask<'_> {
    /// Who asks.
    pub(crate) fn caller(&self) -> &str {
        &self.call.cx.caller.token_name
    }

    /// Whether the caller holds a finer scope.
    pub(super) fn holds(&self, scope: &str) -> bool {
        let caller = &self.call.cx.caller;
        caller.scope == Scope::Full || caller.named_scopes.iter().any(|held| held == scope)
    }

    /// The call in the words of the AI side; the guard keeps the cancellation joined.
    pub(crate) fn ai_call(&self) -> (AiCall, impl Sized + use<>) {
        let token = CancelToken::new();
        let mine = token.clone();
        let guard = self.call.cx.cancel.on_cancel(move || mine.cancel());
        let mut call = AiCall::new(self.caller()).with_cancel(token);
        if let Some(at) = self.call.cx.deadline {
            call = call.with_deadline(Deadline::at(at));
        }
        (call, guard)
    }

    /// The position behind which a page begins, if the call has a token of an earlier page.
    pub(super) fn after(&self, binding: &impl Serialize, paging: &Paging) -> ToolResult<Option<String>> {
        let binding = self.call.page_binding(binding);
        let pages = &self.deps.tools.pages;
        paging.page_token.as_deref().map(|token| pages.position(&binding, token)).transpose()
    }

    /// Cuts items that begin behind the token's to one page; `key` names the last one for the next page.
    pub(super) fn cut<T: Serialize>(
        &self,
        binding: &impl Serialize,
        items: Vec<T>,
        key: impl Fn(&T) -> String,
        paging: &Paging,
    ) -> ToolResult<(Vec<T>, Option<String>)> {
        let limit = self.deps.tools.gateway.settings().response_bytes_max;
        let room = limit.saturating_sub(ENVELOPE_BYTES);
        let (mut page, mut bytes, mut more) = (Vec::new(), 0, false);
        for item in items {
            let text = serde_json::to_string(&item)
                .map_err(|e| internal_error(&format!("an entry is no JSON: {e}")))?;
            bytes += wire_bytes(&text) + 2;
            if page.is_empty() && bytes > room {
                return Err(too_large(limit, bytes));
            }
            more = page.len() >= paging.size || bytes > room;
            if more {
                break;
            }
            page.push(item);
        }
        let binding = self.call.page_binding(binding);
        let next = page.last().filter(|_| more).map(|last| self.deps.tools.pages.sign(&binding, &key(last)));
        Ok((page, next))
    }
}

/// Which page of a list.
#[derive(Debug, Clone)]
pub(super) struct Paging {
    size: usize,
    page_token: Option<String>,
}

impl Paging {
    pub(super) fn new(page_size: Option<usize>, page_token: Option<String>) -> Self {
        Self { size: page_size.unwrap_or(PAGE_ENTRIES).clamp(1, PAGE_ENTRIES_MAX), page_token }
    }

    /// Entries that tell a full page from the last one.
    pub(super) fn look_ahead(&self) -> usize {
        self.size + 1
    }
}

/// An argument that does not fit.
pub(crate) fn bad(argument: &str, message: impl Into<String>) -> ToolError {
    ToolError::invalid(message).with("argument", argument)
}

/// What an answer is: its keys, and what goes around them.
pub(crate) struct Reply<R> {
    pub(crate) body: R,
    pub(crate) frame: Frame,
}

impl<R> Reply<R> {
    pub(super) fn new(body: R) -> Self {
        Self { body, frame: Frame::new() }
    }
}

impl<R> From<R> for Reply<R> {
    fn from(body: R) -> Self {
        Self::new(body)
    }
}

type Operation<Q, R> = fn(&Ask<'_>, Q) -> ToolResult<Reply<R>>;

struct AiTool<Q, R> {
    deps: AiDeps,
    facts: Facts,
    run: Operation<Q, R>,
}

impl<Q, R> QueryTool for AiTool<Q, R>
where
    Q: DeserializeOwned + JsonSchema + Send + Sync + 'static,
    R: Serialize + JsonSchema + Send + Sync + 'static,
{
    type Args = Q;

    fn spec(&self) -> ToolSpec {
        let facts = &self.facts;
        let output = OutputSchema::of::<R>();
        let output = if facts.of_target { output.target().run() } else { output };
        let mut spec = ToolSpec::new(facts.name, facts.description, input_schema::<Q>(), facts.annotations)
            .with_title(facts.title)
            .with_toolset("ai")
            .with_named_scope(facts.scope)
            .with_output(output.build());
        // The finer scope decides, except that nothing destructive follows from it alone.
        spec.scope = if facts.annotations.destructive_hint { Scope::Full } else { Scope::Read };
        match &facts.example {
            Some((title, arguments)) => spec.with_example(ToolExample::new(*title, arguments.clone())),
            None => spec,
        }
    }

    fn call(&self, cx: &CallContext, args: Q) -> ToolResult<ToolOutput> {
        let ask = Ask { deps: &self.deps, call: Call::begin(&self.deps.tools, cx, self.facts.name) };
        let reply = (self.run)(&ask, args)?;
        ask.call.finish(&reply.body, reply.frame)
    }
}

/// Adds a tool.
pub(super) fn add<Q, R>(toolbox: Toolbox, deps: &AiDeps, run: Operation<Q, R>, facts: Facts) -> Toolbox
where
    Q: DeserializeOwned + JsonSchema + Send + Sync + 'static,
    R: Serialize + JsonSchema + Send + Sync + 'static,
{
    toolbox.with(AiTool { deps: deps.clone(), facts, run })
}
