//! Completes targets, schemas, objects and runs in prompts and resource templates.

use harvest_catalog::{Catalog, ListObjectsRequest, parse_object_key};
use mcp::{COMPLETION_VALUES_MAX, CallContext, Completer, Completion, CompletionRequest, ToolResult};
use serde_json::Value;

use super::deps::CatalogDeps;
use crate::deps::Call;
use crate::errors::IntoToolResult;

/// Completes arguments from the catalog.
#[derive(Debug, Clone)]
pub struct CatalogCompleter {
    deps: CatalogDeps,
}

/// Objects that one completion looks at.
const OBJECTS_MAX: usize = 10_000;

impl CatalogCompleter {
    /// Completion over these parts.
    #[must_use]
    pub fn new(deps: &CatalogDeps) -> Self {
        Self { deps: deps.clone() }
    }

    fn values_of_run(
        &self,
        call: &Call<'_>,
        request: &CompletionRequest,
        read: impl Fn(&Catalog, &str, i64) -> ToolResult<Vec<String>>,
    ) -> ToolResult<Vec<String>> {
        let known = |name: &str| request.known.get(name).and_then(Value::as_str).filter(|v| !v.is_empty());
        let Some(catalog) = &self.deps.tools.catalog else { return Ok(Vec::new()) };
        // A target that is not known yet, or has no run, completes nothing.
        let Ok(target) = self.deps.tools.gateway.known_target(known("target_id"), &call.scope) else {
            return Ok(Vec::new());
        };
        match catalog.latest_run_id(&target.target_id).for_tool()? {
            Some(run) => read(catalog, &target.target_id, run),
            None => Ok(Vec::new()),
        }
    }
}

impl Completer for CatalogCompleter {
    fn complete(&self, cx: &CallContext, request: &CompletionRequest) -> ToolResult<Completion> {
        let call = Call::begin(&self.deps.tools, cx, "completion/complete");
        let schema = request.known.get("schema").and_then(Value::as_str);
        let values = match request.argument.as_str() {
            "target_id" => {
                self.deps.tools.gateway.targets(&call.scope).into_iter().map(|t| t.target_id).collect()
            }
            "schema" => self.values_of_run(&call, request, |catalog, _, run| {
                Ok(catalog.list_schemas(run).for_tool()?.into_iter().map(|row| row.schema_name).collect())
            })?,
            "run_id" => self.values_of_run(&call, request, |catalog, target, _| {
                let runs = catalog.list_runs(target, None, false, COMPLETION_VALUES_MAX, 0).for_tool()?.runs;
                Ok(runs.into_iter().map(|run| run.run_id.to_string()).collect())
            })?,
            "object" => self.values_of_run(&call, request, |catalog, target, run| {
                let mut list = ListObjectsRequest::new(run, target);
                list.schema_name = schema.map(str::to_owned);
                list.limit = OBJECTS_MAX;
                let items = catalog.list_objects(&list).for_tool()?.results;
                Ok(items
                    .into_iter()
                    .filter_map(|i| parse_object_key(&i.object_key).ok())
                    .map(|k| k.1)
                    .collect())
            })?,
            _ => Vec::new(),
        };
        let typed = request.value.to_lowercase();
        let mut fitting: Vec<String> =
            values.into_iter().filter(|value| value.to_lowercase().starts_with(&typed)).collect();
        fitting.dedup();
        let total = fitting.len();
        fitting.truncate(COMPLETION_VALUES_MAX);
        let mut completion = Completion::new(fitting);
        completion.total = Some(total);
        Ok(completion)
    }
}
