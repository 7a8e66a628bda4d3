//! The tools of `/mcp/rag`: each a name, texts, a scope and one operation of the engine; the engine does the work.

use std::sync::Arc;

use ai_core::{AiError, AiErrorCode, AiResult};
use ai_core_rag::{
    ChunksResponse, DocsResponse, FetchFromSource, FetchResponse, GetChunks, GetDocs, JobInfo, JobRequest,
    JobsResponse, Rag, RagCaller, SearchFts, SearchHybrid, SearchResponse, SearchVector,
    SourceDeleteResponse, SourcePut, SourcePutResponse, SourceView, StatsResponse, SyncRequest, SyncResponse,
};
use mcp::{CallContext, Scope, ToolAnnotations, ToolExample, ToolOutput, ToolResult, ToolSpec};
use mcp_tools::{NoArgs, OutputSchema, QueryTool, Toolbox, input_schema};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::errors::ai_tool_error;

/// What a tool says of itself.
struct Facts {
    name: &'static str,
    title: &'static str,
    description: &'static str,
    annotations: ToolAnnotations,
    scope: &'static str,
    toolset: &'static str,
    example: Option<(&'static str, Value)>,
}

type Operation<Q, R> = fn(&Rag, &RagCaller, &Q) -> AiResult<R>;

struct RagTool<Q, R> {
    rag: Arc<Rag>,
    facts: Facts,
    run: Operation<Q, R>,
}

impl<Q, R> QueryTool for RagTool<Q, R>
where
    Q: DeserializeOwned + JsonSchema + Send + Sync + 'static,
    R: Serialize + JsonSchema + Send + Sync + 'static,
{
    type Args = Q;

    fn spec(&self) -> ToolSpec {
        let facts = &self.facts;
        let mut spec = ToolSpec::new(facts.name, facts.description, input_schema::<Q>(), facts.annotations)
            .with_title(facts.title)
            .with_toolset(facts.toolset)
            .with_named_scope(facts.scope)
            .with_output(OutputSchema::of::<R>().build());
        // The finer scope decides; a token of scope read holds reading and fetching, write adds syncing.
        spec.scope = if facts.scope == "rag:admin" { Scope::Full } else { Scope::Read };
        match &facts.example {
            Some((title, arguments)) => spec.with_example(ToolExample::new(*title, arguments.clone())),
            None => spec,
        }
    }

    fn call(&self, cx: &CallContext, args: Q) -> ToolResult<ToolOutput> {
        let started = std::time::Instant::now();
        if !self.rag.is_enabled() {
            return Err(ai_tool_error(AiError::new(
                AiErrorCode::FailedPrecondition,
                "retrieval is switched off (genai-rag_enabled)",
            )));
        }
        let mut caller = RagCaller::named(&cx.caller.token_name);
        if let Some(targets) = &cx.caller.targets {
            caller = caller.with_targets(targets.clone());
        }
        let response = (self.run)(&self.rag, &caller, &args).map_err(ai_tool_error)?;
        let mut value = serde_json::to_value(response).map_err(|e| {
            mcp_tools::internal_error(&format!("a result of {} is no JSON: {e}", self.facts.name))
        })?;
        let Some(map) = value.as_object_mut() else {
            return Err(mcp_tools::internal_error(&format!("a result of {} is no object", self.facts.name)));
        };
        if !map.contains_key("stats") {
            map.insert("stats".to_owned(), json!({"ms": started.elapsed().as_secs_f64() * 1e3}));
        }
        Ok(ToolOutput::structured(value))
    }
}

/// Names of sources.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SourcesArgs {
    /// Only these sources; all that the caller sees if absent.
    #[serde(default)]
    source_names: Vec<String>,
}

/// Configurations of sources.
#[derive(Debug, Serialize, JsonSchema)]
struct SourcesResponse {
    /// The sources, without secrets and user names.
    sources: Vec<SourceView>,
}

/// A job.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CancelArgs {
    /// The job, as `rag.admin.sync` named it.
    job_id: String,
}

/// A cancelled job.
#[derive(Debug, Serialize, JsonSchema)]
struct CancelResponse {
    /// The job as it stands.
    job: JobInfo,
}

/// A source to delete.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DeleteArgs {
    /// The source.
    source_name: String,
    /// The same name again: deleting takes all its documents, chunks and vectors.
    confirm: String,
}

fn sources(rag: &Rag, caller: &RagCaller, args: &SourcesArgs) -> AiResult<SourcesResponse> {
    Ok(SourcesResponse { sources: rag.sources(caller, &args.source_names)? })
}

fn cancel(rag: &Rag, caller: &RagCaller, args: &CancelArgs) -> AiResult<CancelResponse> {
    Ok(CancelResponse { job: rag.cancel(caller, &args.job_id)? })
}

fn delete(rag: &Rag, caller: &RagCaller, args: &DeleteArgs) -> AiResult<SourceDeleteResponse> {
    rag.source_delete(caller, &args.source_name, &args.confirm)
}

fn stats(rag: &Rag, caller: &RagCaller, _: &NoArgs) -> AiResult<StatsResponse> {
    rag.stats(caller)
}

/// The twelve tools over one engine.
#[must_use]
pub fn rag_tools(rag: &Arc<Rag>) -> Toolbox {
    admin_tools(read_tools(Toolbox::new(), rag), rag)
}

fn add<Q, R>(toolbox: Toolbox, rag: &Arc<Rag>, run: Operation<Q, R>, facts: Facts) -> Toolbox
where
    Q: DeserializeOwned + JsonSchema + Send + Sync + 'static,
    R: Serialize + JsonSchema + Send + Sync + 'static,
{
    toolbox.with(RagTool { rag: Arc::clone(rag), facts, run })
}

fn read(
    name: &'static str,
    title: &'static str,
    description: &'static str,
    example: Option<(&'static str, Value)>,
) -> Facts {
    Facts {
        name,
        title,
        description,
        annotations: ToolAnnotations::READ,
        scope: "rag:read",
        toolset: "search",
        example,
    }
}

fn read_tools(toolbox: Toolbox, rag: &Arc<Rag>) -> Toolbox {
    let query = || Some(("Documents about something", json!({"query": "tent for winter storms", "k": 5})));
    let toolbox = add::<SearchFts, SearchResponse>(
        toolbox,
        rag,
        Rag::search_fts,
        read(
            "rag.search_fts",
            "Search by words",
            "Finds chunks by their words (BM25), best first. Choose it for exact terms, names and numbers; rag.search_hybrid for questions in plain words.",
            query(),
        ),
    );
    let toolbox = add::<SearchVector, SearchResponse>(
        toolbox,
        rag,
        Rag::search_vector,
        read(
            "rag.search_vector",
            "Search by vectors",
            "Finds chunks whose vectors are nearest to a text or to a given vector.",
            Some(("Near a text", json!({"query_text": "keeps warm in the cold"}))),
        ),
    );
    let toolbox = add::<SearchHybrid, SearchResponse>(
        toolbox,
        rag,
        Rag::search_hybrid,
        read(
            "rag.search_hybrid",
            "Search by words and vectors",
            "Finds chunks by words and by vectors and fuses both rankings. The usual choice; read the best hits in full with rag.get_chunks.",
            query(),
        ),
    );
    let toolbox = add::<GetChunks, ChunksResponse>(
        toolbox,
        rag,
        Rag::get_chunks,
        read("rag.get_chunks", "Read chunks", "Gives chunks in full, with neighbours on request.", None),
    );
    let toolbox = add::<GetDocs, DocsResponse>(
        toolbox,
        rag,
        Rag::get_docs,
        read("rag.get_docs", "Read documents", "Gives whole documents with their metadata and keys.", None),
    );
    add::<FetchFromSource, FetchResponse>(
        toolbox,
        rag,
        Rag::fetch_from_source,
        Facts {
            scope: "rag:fetch",
            ..read(
                "rag.fetch_from_source",
                "Fetch rows from the source",
                "Reads the current rows of documents from the database they came from, by key, within the allowed columns.",
                None,
            )
        },
    )
}

fn admin_tools(toolbox: Toolbox, rag: &Arc<Rag>) -> Toolbox {
    let admin = |facts: Facts| Facts { toolset: "admin", ..facts };
    let toolbox = add::<NoArgs, StatsResponse>(
        toolbox,
        rag,
        stats,
        admin(read(
            "rag.admin.stats",
            "Statistics",
            "Counts documents, chunks and vectors of every source, with the state of its index and its last sync.",
            None,
        )),
    );
    let toolbox = add::<JobRequest, JobsResponse>(
        toolbox,
        rag,
        Rag::jobs,
        admin(read(
            "rag.admin.job",
            "Jobs",
            "Shows one job, or the latest ones, with the progress of each source.",
            None,
        )),
    );
    let toolbox = add::<SourcesArgs, SourcesResponse>(
        toolbox,
        rag,
        sources,
        admin(read(
            "rag.admin.sources",
            "Sources",
            "Shows how sources are configured, without secrets and user names.",
            None,
        )),
    );
    let toolbox = add::<SyncRequest, SyncResponse>(
        toolbox,
        rag,
        Rag::sync,
        Facts {
            annotations: ToolAnnotations::WRITE,
            scope: "rag:sync",
            ..admin(read(
                "rag.admin.sync",
                "Sync sources",
                "Starts a job that reads sources and brings documents, words and vectors up to date; also rebuilds and verifies.",
                None,
            ))
        },
    );
    let toolbox = add::<CancelArgs, CancelResponse>(
        toolbox,
        rag,
        cancel,
        Facts {
            annotations: ToolAnnotations::WRITE_IDEMPOTENT,
            scope: "rag:sync",
            ..admin(read(
                "rag.admin.cancel",
                "Cancel a job",
                "Stops a job at its next commit; what is committed stays.",
                None,
            ))
        },
    );
    let toolbox = add::<SourcePut, SourcePutResponse>(
        toolbox,
        rag,
        Rag::source_put,
        Facts {
            annotations: ToolAnnotations::DESTRUCTIVE_IDEMPOTENT,
            scope: "rag:admin",
            ..admin(read(
                "rag.admin.source_put",
                "Create or change a source",
                "Creates or changes a source after validating it, and says what the change needs (nothing, a full sync, new vectors).",
                None,
            ))
        },
    );
    add::<DeleteArgs, SourceDeleteResponse>(
        toolbox,
        rag,
        delete,
        Facts {
            annotations: ToolAnnotations::DESTRUCTIVE_IDEMPOTENT,
            scope: "rag:admin",
            ..admin(read(
                "rag.admin.source_delete",
                "Delete a source",
                "Deletes a source with its documents, chunks and vectors; the rows in the database stay.",
                None,
            ))
        },
    )
}

/// The finer scopes of `/mcp/rag` that a token's plain scope holds.
#[must_use]
pub fn rag_scopes(scope: Scope) -> Vec<String> {
    let names: &[&str] = match scope {
        Scope::Read => &["rag:read", "rag:fetch"],
        Scope::Write => &["rag:read", "rag:fetch", "rag:sync"],
        Scope::Full => &["rag:read", "rag:fetch", "rag:sync", "rag:admin"],
    };
    names.iter().map(|name| (*name).to_owned()).collect()
}
