//! What the tools of operators share: their dependencies, the form of a tool, the book of calls; it knows no single tool.

mod book;
mod identity;
pub(crate) mod metrics;

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use harvest_catalog::DataIndexes;
use harvest_gateway::StatsSource;
use mcp::{CallContext, ToolAnnotations, ToolError, ToolExample, ToolOutput, ToolResult, ToolSpec};
use mcp_config::AdminSql;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::deps::{Call, Frame, ToolDeps};
use crate::schema::{OutputSchema, input_schema};
use crate::stats::{HostStats, StatsHub};
use crate::toolbox::{QueryTool, parse};

pub use book::{CallBook, CallRow, CallerRow, ClientRow, LiveCall};
pub use identity::{Identities, Identity};
pub use metrics::{Family, MetricKind, Sample, collect, metrics_page, prometheus_text};

/// Gives the names of the callers whose entries `warm_cache` fills.
pub type CallerNames = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// What the tools of `/mcp/observe`, `/mcp/stats`, `/mcp/admin` and `/mcp/cache` need. Cheap to clone.
#[derive(Clone)]
#[non_exhaustive]
pub struct OpsDeps {
    /// What all tools share.
    pub tools: ToolDeps,
    /// The calls of this server; whoever wires the server fills it.
    pub book: Arc<CallBook>,
    /// The active tokens of `/mcp/query`.
    pub query_callers: CallerNames,
    /// The configuration in layers, where the server has one.
    pub admin: Option<Arc<AdminSql>>,
    /// Settings, events and history of statistics.
    pub stats: Arc<StatsHub>,
    /// Where statistics come from.
    pub source: Arc<dyn StatsSource>,
    /// Data indexes, for their health.
    pub data: Option<DataIndexes>,
    /// Tokens and credentials that this server knows.
    pub identities: Identities,
    /// Metrics of other parts of the host, in the Prometheus text format.
    pub more_metrics: Arc<dyn Fn() -> String + Send + Sync>,
    pub(crate) health: Arc<Mutex<HashMap<String, (String, i64)>>>,
}

impl OpsDeps {
    /// Tools over a gateway and a book of calls.
    #[must_use]
    pub fn new(tools: ToolDeps, book: Arc<CallBook>, query_callers: CallerNames) -> Self {
        let names = Arc::clone(&query_callers);
        let identities: Identities =
            Arc::new(move || names().into_iter().map(|name| Identity::token("/mcp/query", name)).collect());
        let source = HostStats::new(Arc::clone(&tools.gateway), Arc::clone(&book), Arc::clone(&identities));
        Self {
            tools,
            book,
            query_callers,
            admin: None,
            stats: StatsHub::new(),
            source: Arc::new(source),
            data: None,
            identities,
            more_metrics: Arc::new(String::new),
            health: Arc::default(),
        }
    }

    /// With statistics that something else shares.
    #[must_use]
    pub fn with_stats(mut self, stats: Arc<StatsHub>) -> Self {
        self.stats = stats;
        self
    }

    /// With a source of statistics of the host's own.
    #[must_use]
    pub fn with_source(mut self, source: Arc<dyn StatsSource>) -> Self {
        self.source = source;
        self
    }

    /// With metrics of other parts of the host, in the Prometheus text format. It must not wait for anything.
    #[must_use]
    pub fn with_more_metrics(mut self, text: Arc<dyn Fn() -> String + Send + Sync>) -> Self {
        self.more_metrics = text;
        self
    }

    /// With a store of data indexes whose health is told.
    #[must_use]
    pub fn with_data(mut self, data: DataIndexes) -> Self {
        self.data = Some(data);
        self
    }

    /// With a configuration in layers, for `admin_reload` and changes that are kept.
    #[must_use]
    pub fn with_admin(mut self, admin: Arc<AdminSql>) -> Self {
        self.identities = identity::of_admin(&admin);
        self.admin = Some(admin);
        let (gateway, book) = (Arc::clone(&self.tools.gateway), Arc::clone(&self.book));
        self.source = Arc::new(HostStats::new(gateway, book, Arc::clone(&self.identities)));
        self
    }

    /// Since when a check has had this status, Unix seconds.
    pub(crate) fn since(&self, name: &str, status: &str) -> i64 {
        let mut known = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let row = known.entry(name.to_owned()).or_insert_with(|| (status.to_owned(), now_s()));
        if row.0 != status {
            *row = (status.to_owned(), now_s());
        }
        row.1
    }
}

impl std::fmt::Debug for OpsDeps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpsDeps").field("tools", &self.tools).finish_non_exhaustive()
    }
}

/// A tool of operators: constants that describe it, and what it does.
pub(crate) trait OpsTool: Send + Sync + 'static {
    type Args: DeserializeOwned + JsonSchema;
    type Output: Serialize + JsonSchema;

    const NAME: &'static str;
    const TITLE: &'static str;
    const TEXT: &'static str;
    const TOOLSET: &'static str;
    const HINTS: ToolAnnotations = ToolAnnotations::READ;

    /// Adds what every answer carries to the schema of the result.
    fn output(schema: OutputSchema) -> OutputSchema {
        schema
    }

    /// An example: what it answers, its arguments.
    fn example() -> (&'static str, Value);

    /// Does the work.
    fn run(deps: &OpsDeps, call: &mut Call<'_>, args: Self::Args) -> ToolResult<(Self::Output, Frame)>;
}

/// A tool of operators with what it needs.
pub(crate) struct Ops<T> {
    deps: OpsDeps,
    tool: PhantomData<fn() -> T>,
}

impl<T> Ops<T> {
    pub(crate) fn new(deps: &OpsDeps) -> Self {
        Self { deps: deps.clone(), tool: PhantomData }
    }
}

impl<T: OpsTool> QueryTool for Ops<T> {
    type Args = Map<String, Value>;

    fn spec(&self) -> ToolSpec {
        let (title, arguments) = T::example();
        ToolSpec::new(T::NAME, T::TEXT, input_schema::<T::Args>(), T::HINTS)
            .with_title(T::TITLE)
            .with_toolset(T::TOOLSET)
            .with_output(T::output(OutputSchema::of::<T::Output>()).build())
            .with_example(ToolExample::new(title, arguments))
    }

    fn call(&self, cx: &CallContext, arguments: Map<String, Value>) -> ToolResult<ToolOutput> {
        let mut call = Call::begin(&self.deps.tools, cx, T::NAME);
        let args: T::Args = parse(arguments)?;
        let (body, frame) = T::run(&self.deps, &mut call, args)?;
        call.finish(&body, frame)
    }
}

/// Splits comma-separated text, for arguments that take it in place of an array.
pub(crate) fn csv(list: Vec<String>) -> Vec<String> {
    let parts = list.iter().flat_map(|text| text.split(','));
    parts.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned).collect()
}

/// Whether `text` fits a pattern of literal characters and `*`, upper and lower case alike.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_lowercase(), text.to_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Refuses a target that the caller does not see.
pub(crate) fn known_target(call: &Call<'_>, target_id: Option<&str>) -> ToolResult<()> {
    match target_id {
        Some(id) => {
            call.deps.gateway.known_target(Some(id), &call.scope).map(|_| ()).map_err(crate::tool_error)
        }
        None => Ok(()),
    }
}

/// Refuses destructive work that nobody has confirmed: by the argument, else by the client's user where it can ask.
pub(crate) fn confirmed(call: &Call<'_>, argument: bool, what: &str) -> ToolResult<()> {
    if argument || call.cx.confirm("confirm", what)? == Some(true) {
        return Ok(());
    }
    Err(ToolError::precondition(format!("{what}: pass confirm = true"))
        .with("reason", "not_confirmed")
        .with("remedy", "pass confirm = true"))
}

pub(crate) fn now_s() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_texts() {
        assert!(glob("*", "") && glob("a*c", "abbc") && glob("A*B*c", "axbxc") && glob("abc", "ABC"));
        assert!(!glob("a*c", "ab") && !glob("abc", "abcd") && !glob("a*bc*c", "abc"));
    }
}
