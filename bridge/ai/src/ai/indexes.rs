//! `embed_index_table` and its kin: embedding indexes as tools; the indexes themselves are elsewhere.

use std::collections::BTreeMap;

use ai_core_rag::{RagCaller, SourceProgress, SyncMode};
use harvest::Protocol;
use harvest_gateway::TargetInfo;
use mcp::{ToolError, ToolResult};
use mcp_tools::IntoToolResult;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::tool::{Ask, Paging, Reply, bad};
use crate::errors::ai_tool_error;
use crate::indexes::{
    EmbedIndexes, IndexDefinition, IndexHit, IndexInfo, IndexJob, IndexQuery, IndexStrategy,
};

/// Longest question, in bytes.
const QUERY_BYTES_MAX: usize = 8_192;

/// Comma-separated text or a list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Names {
    /// Comma-separated.
    One(String),
    /// A list.
    Many(Vec<String>),
}

impl Names {
    fn list(&self) -> Vec<String> {
        let parts: Vec<&str> = match self {
            Self::One(text) => text.split(',').collect(),
            Self::Many(list) => list.iter().map(String::as_str).collect(),
        };
        parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }
}

impl Ask<'_> {
    fn indexes(&self) -> ToolResult<&EmbedIndexes> {
        self.deps.indexes.as_deref().ok_or_else(|| {
            ToolError::precondition("this server keeps no embedding indexes")
                .with("remedy", "set genai-enabled and restart the server with a store for them")
        })
    }

    fn rag_caller(&self) -> RagCaller {
        let caller = RagCaller::named(self.caller());
        match &self.call.cx.caller.targets {
            Some(targets) => caller.with_targets(targets.clone()),
            None => caller,
        }
    }

    fn target(&self, target_id: Option<&str>) -> ToolResult<TargetInfo> {
        self.deps.tools.gateway.known_target(target_id, &self.call.scope).for_tool()
    }
}

/// What to index.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct IndexArgs {
    /// Schema of the table.
    #[schemars(length(min = 1, max = 256))]
    schema: String,
    /// The table or view.
    #[schemars(length(min = 1, max = 256))]
    table: String,
    /// Columns to embed: a list or comma-separated text.
    columns: Names,
    /// Columns of the key: a list or comma-separated text.
    primary_key: Names,
    /// Only rows that this condition holds for, in the target's dialect.
    #[schemars(length(max = 8192))]
    where_clause: Option<String>,
    /// `default` = the configured embedder; its own name means the same.
    #[schemars(length(min = 1, max = 256))]
    model: String,
    /// One vector of all columns (concat), their mean (average), or one for each column (separate).
    #[serde(default)]
    strategy: IndexStrategy,
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// Milliseconds to wait for the end.
    #[serde(default)]
    #[schemars(range(max = 30_000))]
    wait_ms: u64,
}

/// An index that is being filled.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct JobAnswer {
    /// target/schema/table.
    index: String,
    /// The job.
    job_id: String,
    /// Always true; what is refused is an error.
    accepted: bool,
    /// queued, running, succeeded, failed or cancelled.
    state: String,
    /// What each source of the index has done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    progress: Vec<SourceProgress>,
}

impl From<IndexJob> for JobAnswer {
    fn from(job: IndexJob) -> Self {
        let state = serde_json::to_value(job.state).ok();
        Self {
            index: shown(&job.index),
            job_id: job.job_id,
            accepted: true,
            state: state.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned(),
            progress: job.progress,
        }
    }
}

fn shown(index: &str) -> String {
    index.replace('\u{2215}', "/")
}

pub(super) fn index_table(ask: &Ask<'_>, args: IndexArgs) -> ToolResult<Reply<JobAnswer>> {
    let target = ask.target(args.target_id.as_deref())?;
    let choice = ask.deps.service.choice();
    if args.model != "default" && args.model != choice.embedding_model {
        let message = format!(
            "the configured embedder is {:?}; use default, or configure another one first",
            choice.embedding_model
        );
        return Err(ToolError::precondition(message).with("argument", "model"));
    }
    let backend = match target.protocol {
        Protocol::Mysql => "mysql",
        Protocol::Pgsql => "postgresql",
        Protocol::Sqlite => "sqlite",
    };
    let mut wanted = IndexDefinition::new(&target.target_id, backend, &args.schema, &args.table);
    wanted.columns = args.columns.list();
    wanted.primary_key = args.primary_key.list();
    wanted.where_clause = args.where_clause.unwrap_or_default().trim().to_owned();
    wanted.strategy = args.strategy;
    let job = ask.indexes()?.create(&ask.rag_caller(), &wanted, args.wait_ms).map_err(ai_tool_error)?;
    Ok(JobAnswer::from(job).into())
}

/// What to look for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SearchArgs {
    /// The question in plain words.
    #[schemars(length(min = 1, max = 8192))]
    query: String,
    /// Only in this schema.
    #[schemars(length(max = 256))]
    schema: Option<String>,
    /// Only in this table.
    #[schemars(length(max = 256))]
    table: Option<String>,
    /// Only on this target.
    #[schemars(length(max = 64))]
    target_id: Option<String>,
    /// Rows at most.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 1000))]
    limit: usize,
    /// Largest distance, 0 to 2; 1.0 if absent.
    #[serde(alias = "min_distance")]
    #[schemars(range(min = 0, max = 2))]
    max_distance: Option<f32>,
    /// Further conditions.
    #[serde(default)]
    filters: SearchFilters,
}

/// Conditions on what is kept of a row: the columns of its key.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct SearchFilters {
    /// Column to a value, or to an object of `eq`, `ne`, `in`, `lt`, `lte`, `gt`, `gte`, `exists`, `prefix`.
    metadata: BTreeMap<String, Value>,
}

fn ten() -> usize {
    10
}

/// A row that was found.
#[derive(Debug, Serialize, JsonSchema)]
struct HitRow {
    /// Schema.
    schema: String,
    /// Table.
    table: String,
    /// Target.
    target_id: String,
    /// The key, by column.
    pk: Value,
    /// The column whose vector was nearest, where each has its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<String>,
    /// Cosine distance; 0 is equal.
    distance: f32,
    /// Similarity, 0 to 1.
    score: f32,
    /// What is kept of the row.
    metadata: Value,
}

impl From<IndexHit> for HitRow {
    fn from(hit: IndexHit) -> Self {
        Self {
            schema: hit.schema,
            table: hit.table,
            target_id: hit.target_id,
            metadata: hit.pk.clone(),
            pk: hit.pk,
            column: hit.column,
            distance: hit.distance,
            score: hit.score,
        }
    }
}

/// Rows, nearest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SearchAnswer {
    /// The rows.
    results: Vec<HitRow>,
    /// Whether there were more within the distance.
    truncated: bool,
}

pub(super) fn search(ask: &Ask<'_>, args: SearchArgs) -> ToolResult<Reply<SearchAnswer>> {
    if args.query.trim().is_empty() || args.query.len() > QUERY_BYTES_MAX {
        return Err(bad("query", format!("query must hold 1 to {QUERY_BYTES_MAX} bytes")));
    }
    if let Some(target_id) = &args.target_id {
        ask.target(Some(target_id))?;
    }
    let mut query = IndexQuery::default();
    query.query = args.query;
    query.schema = args.schema;
    query.table = args.table;
    query.target_id = args.target_id;
    query.limit = args.limit;
    query.max_distance = args.max_distance.unwrap_or(1.0);
    query.metadata = args.filters.metadata;
    let (hits, truncated) = ask.indexes()?.search(&ask.rag_caller(), &query).map_err(ai_tool_error)?;
    Ok(SearchAnswer { results: hits.into_iter().map(HitRow::from).collect(), truncated }.into())
}

/// Which indexes.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListArgs {
    /// Only of this schema.
    #[schemars(length(max = 256))]
    schema: Option<String>,
    /// Only of this target.
    #[schemars(length(max = 64))]
    target_id: Option<String>,
    /// Entries at most; 50 if absent.
    #[serde(skip_serializing)]
    #[schemars(range(min = 1, max = 500))]
    page_size: Option<usize>,
    /// `next_page_token` of the page before.
    #[serde(skip_serializing)]
    #[schemars(length(max = 8192))]
    page_token: Option<String>,
}

/// One index.
#[derive(Debug, Serialize, JsonSchema)]
struct IndexRow {
    /// Schema.
    schema_name: String,
    /// Table.
    table_name: String,
    /// Target.
    target_id: String,
    /// Columns that are embedded.
    columns: Vec<String>,
    /// Columns of the key.
    primary_key: Vec<String>,
    /// Which rows; empty means all.
    where_clause: String,
    /// Model of its vectors; empty until there are any.
    model_name: String,
    /// Length of its vectors.
    vector_dim: usize,
    /// concat, average or separate.
    embedding_strategy: IndexStrategy,
    /// Rows in it.
    row_count: u64,
    /// When it was last complete, Unix seconds.
    indexed_at: Option<i64>,
    /// building, ready, pending or failed.
    state: &'static str,
    /// What its running job has done.
    progress: Option<SourceProgress>,
    /// Why the last run failed.
    last_error: Option<String>,
}

impl From<IndexInfo> for IndexRow {
    fn from(info: IndexInfo) -> Self {
        let d = info.definition;
        Self {
            schema_name: d.schema,
            table_name: d.table,
            target_id: d.target_id,
            columns: d.columns,
            primary_key: d.primary_key,
            where_clause: d.where_clause,
            model_name: info.model_name,
            vector_dim: info.vector_dim,
            embedding_strategy: d.strategy,
            row_count: info.row_count,
            indexed_at: info.indexed_at,
            state: info.state,
            progress: info.progress,
            last_error: info.last_error,
        }
    }
}

/// Indexes by name.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ListAnswer {
    /// The indexes.
    indexes: Vec<IndexRow>,
    /// Token of the next page; null on the last one.
    next_page_token: Option<String>,
}

pub(super) fn list(ask: &Ask<'_>, args: ListArgs) -> ToolResult<Reply<ListAnswer>> {
    let paging = Paging::new(args.page_size, args.page_token.clone());
    let after = ask.after(&args, &paging)?;
    let key = |row: &IndexRow| format!("{}/{}/{}", row.target_id, row.schema_name, row.table_name);
    let all = ask.indexes()?.list(&ask.rag_caller()).map_err(ai_tool_error)?;
    let mut rows: Vec<IndexRow> = all.into_iter().map(IndexRow::from).collect();
    rows.sort_by_key(key);
    rows.retain(|row| {
        args.schema.as_ref().is_none_or(|schema| row.schema_name == *schema)
            && args.target_id.as_ref().is_none_or(|target| row.target_id == *target)
            && after.as_ref().is_none_or(|after| key(row) > *after)
    });
    let (indexes, next_page_token) = ask.cut(&args, rows, key, &paging)?;
    Ok(ListAnswer { indexes, next_page_token }.into())
}

/// One index.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DeleteArgs {
    /// Schema of the table.
    #[schemars(length(min = 1, max = 256))]
    schema: String,
    /// The table.
    #[schemars(length(min = 1, max = 256))]
    table: String,
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
}

/// An index that is gone.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct DeleteAnswer {
    /// Always true; what is refused is an error.
    deleted: bool,
    /// Rows that were in it.
    rows: u64,
}

pub(super) fn delete(ask: &Ask<'_>, args: DeleteArgs) -> ToolResult<Reply<DeleteAnswer>> {
    let target = ask.target(args.target_id.as_deref())?;
    let gone = ask.indexes()?.delete(&ask.rag_caller(), &target.target_id, &args.schema, &args.table);
    Ok(DeleteAnswer { deleted: true, rows: gone.map_err(ai_tool_error)? }.into())
}

/// How much is read again.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum ReindexMode {
    /// What changed.
    #[default]
    Incremental,
    /// Everything, and what is gone is removed.
    Full,
}

/// Which index, and how.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReindexArgs {
    /// Schema of the table.
    #[schemars(length(min = 1, max = 256))]
    schema: String,
    /// The table.
    #[schemars(length(min = 1, max = 256))]
    table: String,
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// What is read.
    #[serde(default)]
    mode: ReindexMode,
}

pub(super) fn reindex(ask: &Ask<'_>, args: ReindexArgs) -> ToolResult<Reply<JobAnswer>> {
    let target = ask.target(args.target_id.as_deref())?;
    let mode = match args.mode {
        ReindexMode::Incremental => SyncMode::Incremental,
        ReindexMode::Full => SyncMode::Full,
    };
    let job = ask.indexes()?.reindex(&ask.rag_caller(), &target.target_id, &args.schema, &args.table, mode);
    Ok(JobAnswer::from(job.map_err(ai_tool_error)?).into())
}

/// All indexes, or those of one target.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RebuildArgs {
    /// Must be true.
    confirm: bool,
    /// Only of this target.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
}

/// Jobs that run now.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RebuildAnswer {
    /// One for each index.
    jobs: Vec<JobAnswer>,
}

pub(super) fn rebuild_all(ask: &Ask<'_>, args: RebuildArgs) -> ToolResult<Reply<RebuildAnswer>> {
    if !args.confirm {
        return Err(bad("confirm", "confirm must be true: every index is read again"));
    }
    if let Some(target_id) = &args.target_id {
        ask.target(Some(target_id))?;
    }
    let jobs = ask.indexes()?.rebuild_all(&ask.rag_caller(), args.target_id.as_deref());
    Ok(RebuildAnswer { jobs: jobs.map_err(ai_tool_error)?.into_iter().map(JobAnswer::from).collect() }.into())
}
