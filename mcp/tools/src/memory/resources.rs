//! Resources `schema://…`: targets, schemas and object documents, from the latest run or live; it writes nothing.

use harvest_catalog::{
    DocumentParts, DomainListRequest, ListObjectsRequest, MetricListRequest, ObjectRef, RelationshipFilter,
    RunRef, object_key,
};
use harvest_gateway::TargetInfo;
use mcp::{
    CallContext, Resource, ResourceContents, ResourcePage, ResourceProvider, ResourceTemplate, ToolError,
    ToolHandler, ToolResult,
};
use serde_json::{Map, Value, json};

use super::deps::CatalogDeps;
use super::shared::fit;
use crate::budget;
use crate::deps::Call;
use crate::errors::IntoToolResult;
use crate::guard;
use crate::query::query_tools;

/// Offers targets and schemas as resources, and objects by template.
#[derive(Debug, Clone)]
pub struct CatalogResources {
    deps: CatalogDeps,
}

const SCHEME: &str = "schema://";
const JSON: &str = "application/json";
const PAGE: usize = 100;
/// Items of one kind in a schema's document.
const ITEMS_MAX: usize = 5_000;

/// Percent-encodes one segment.
pub(super) fn encode(segment: &str) -> String {
    segment.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

fn decode(segment: &str) -> Option<String> {
    let bytes = segment.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            let pair = std::str::from_utf8(bytes.get(at + 1..at + 3)?).ok()?;
            out.push(u8::from_str_radix(pair, 16).ok()?);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(out).ok()
}

/// Target, schema, object, type of a URI.
fn parse(uri: &str) -> Option<(Vec<String>, Option<String>)> {
    let rest = uri.strip_prefix(SCHEME)?;
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    let segments: Vec<String> = path.split('/').map(decode).collect::<Option<_>>()?;
    let object_type = match query {
        Some(query) => Some(decode(query.strip_prefix("type=")?)?),
        None => None,
    };
    let is_known = (1..=3).contains(&segments.len()) && segments.iter().all(|s| !s.is_empty());
    (is_known && (object_type.is_none() || segments.len() == 3)).then_some((segments, object_type))
}

impl CatalogResources {
    /// Resources over these parts.
    #[must_use]
    pub fn new(deps: &CatalogDeps) -> Self {
        Self { deps: deps.clone() }
    }

    fn latest(&self, target_id: &str) -> ToolResult<Option<i64>> {
        match &self.deps.tools.catalog {
            Some(catalog) => catalog.latest_run_id(target_id).for_tool(),
            None => Ok(None),
        }
    }

    /// The answer of a query tool, for what a target without a run shows.
    fn live(&self, cx: &CallContext, tool: &str, arguments: Value) -> ToolResult<Value> {
        let arguments = match arguments {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        let output = query_tools(&self.deps.tools).call(cx, tool, arguments)?;
        Ok(output.structured_value().unwrap_or_default())
    }

    fn target(&self, cx: &CallContext, target: &TargetInfo) -> ToolResult<Value> {
        let listed = self.live(cx, "list_targets", json!({}))?;
        let own = listed["targets"].as_array().and_then(|list| {
            list.iter().find(|t| t["target_id"].as_str() == Some(target.target_id.as_str())).cloned()
        });
        let run = self.latest(&target.target_id)?;
        let schemas = match (run, &self.deps.tools.catalog) {
            (Some(run), Some(catalog)) => json!(catalog.list_schemas(run).for_tool()?),
            _ => self.live(cx, "list_schemas", json!({"target_id": target.target_id}))?["schemas"].clone(),
        };
        Ok(json!({"target": own, "schemas": schemas, "latest_run_id": run}))
    }

    fn schema(&self, cx: &CallContext, call: &Call<'_>, target: &str, schema: &str) -> ToolResult<Value> {
        let (Some(run), Some(catalog)) = (self.latest(target)?, &self.deps.tools.catalog) else {
            let tables = self.live(
                cx,
                "list_tables",
                json!({"target_id": target, "schema": schema, "page_size": 500}),
            )?;
            return Ok(json!({"schema": schema, "run_id": null, "objects": tables["tables"],
                             "truncated": tables["truncated"]}));
        };
        let known = catalog.list_schemas(run).for_tool()?;
        let Some(row) = known.into_iter().find(|row| row.schema_name == schema) else {
            return Err(ToolError::not_found("schema", schema));
        };
        let mut request = ListObjectsRequest::new(run, target);
        request.schema_name = Some(schema.to_owned());
        request.limit = ITEMS_MAX;
        let mut objects = catalog.list_objects(&request).for_tool()?;
        let cut = fit(call, &mut objects.results, 0, objects.next_offset)?.is_some();
        let mut domains = DomainListRequest::new(target, run);
        domains.limit = PAGE;
        let mut metrics = MetricListRequest::new(target, run);
        metrics.limit = PAGE;
        Ok(json!({
            "schema": row, "run_id": run, "objects": objects.results, "truncated": cut,
            "domains": catalog.domain_list(&domains).for_tool()?.domains,
            "metrics": catalog.metric_list(&metrics).for_tool()?.metrics,
        }))
    }

    fn object(
        &self,
        call: &Call<'_>,
        target: &str,
        (schema, name): (&str, &str),
        object_type: Option<String>,
    ) -> ToolResult<Value> {
        let (Some(run), Some(catalog)) = (self.latest(target)?, &self.deps.tools.catalog) else {
            return self.live(
                call.cx,
                "describe_table",
                json!({"target_id": target, "schema": schema, "table": name}),
            );
        };
        let mut wanted = ObjectRef::key(object_key(schema, name));
        wanted.object_type = object_type;
        let parts = DocumentParts { definition: true, profiles: true, relationships: true, llm: true };
        let mut document = catalog.get_object(target, run, &wanted, parts).for_tool()?;
        let guard = guard::of(call, Some(target))?;
        let mut links = catalog
            .get_relationships(
                target,
                run,
                &ObjectRef::id(document.object.object_id),
                &RelationshipFilter::default(),
            )
            .for_tool()?;
        guard::object(&guard, &mut document);
        guard::relationships(&guard, (schema, name), &mut links);
        let mut out = json!(document);
        out["relationships"] = json!(links);
        out["run_id"] = json!(run);
        Ok(out)
    }
}

impl ResourceProvider for CatalogResources {
    fn list(&self, cx: &CallContext, cursor: Option<&str>) -> ToolResult<ResourcePage> {
        let call = Call::begin(&self.deps.tools, cx, "resources/list");
        let offset: usize = match cursor {
            Some(text) => {
                text.parse().map_err(|_| ToolError::invalid("the cursor is not one of this list"))?
            }
            None => 0,
        };
        let mut all = Vec::new();
        for target in self.deps.tools.gateway.targets(&call.scope) {
            let base = format!("{SCHEME}{}", encode(&target.target_id));
            let text = if target.description.is_empty() { "A database target" } else { &target.description };
            all.push(Resource::new(&base, &target.target_id).with_description(text).with_mime_type(JSON));
            if let (Some(run), Some(catalog)) = (self.latest(&target.target_id)?, &self.deps.tools.catalog) {
                for row in catalog.list_schemas(run).for_tool()? {
                    let name = format!("{}.{}", target.target_id, row.schema_name);
                    let text = format!("Schema with {} objects", row.objects);
                    let uri = format!("{base}/{}", encode(&row.schema_name));
                    all.push(Resource::new(uri, name).with_description(text).with_mime_type(JSON));
                }
            }
        }
        let end = offset.saturating_add(PAGE);
        let next = (end < all.len()).then(|| end.to_string());
        Ok(ResourcePage::new(all.into_iter().skip(offset).take(PAGE).collect(), next))
    }

    fn templates(&self, _: &CallContext) -> Vec<ResourceTemplate> {
        let template = |uri: &str, name: &str, text: &str| {
            ResourceTemplate::new(uri, name).with_description(text).with_mime_type(JSON)
        };
        vec![
            template("schema://{target_id}", "target", "A target with its schemas and latest run."),
            template(
                "schema://{target_id}/{schema}",
                "schema",
                "A schema with its objects, domains and metrics.",
            ),
            template(
                "schema://{target_id}/{schema}/{object}{?type}",
                "object",
                "An object with columns, keys, relationships, profiles and summary.",
            ),
            template(
                "result://{id}",
                "result",
                "The whole result of a call whose budget cut it; for its caller, for ten minutes.",
            ),
        ]
    }

    fn read(&self, cx: &CallContext, uri: &str) -> ToolResult<Vec<ResourceContents>> {
        let unknown = || ToolError::not_found("resource", uri);
        if uri.starts_with(budget::SCHEME) {
            let text = budget::read(&self.deps.tools, cx, uri).ok_or_else(unknown)?;
            return Ok(vec![ResourceContents::text(uri, JSON, text)]);
        }
        let (segments, object_type) = parse(uri).ok_or_else(unknown)?;
        let call = Call::begin(&self.deps.tools, cx, "resources/read");
        let target =
            self.deps.tools.gateway.known_target(Some(&segments[0]), &call.scope).map_err(|_| unknown())?;
        let id = target.target_id.as_str();
        let document = match segments.as_slice() {
            [_] => self.target(cx, &target)?,
            [_, schema] => self.schema(cx, &call, id, schema)?,
            [_, schema, name] => self.object(&call, id, (schema, name), object_type)?,
            _ => return Err(unknown()),
        };
        Ok(vec![ResourceContents::text(uri, JSON, document.to_string())])
    }

    fn generation(&self) -> u64 {
        // A new run is told through the change feed.
        0
    }
}

/// Whether a run reference means the latest run; prompts word it differently.
pub(super) fn run_words(run: &RunRef) -> String {
    match run {
        RunRef::Latest => "the latest run".to_owned(),
        RunRef::Id(id) => format!("run {id}"),
        RunRef::Schema(schema) => format!("the latest run that holds schema {schema}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_round_trip_any_name() {
        for name in ["a", "a b/c?d", "ä.\"'%", "x#y"] {
            let uri = format!("schema://{}/{}/{}?type=view", encode(name), encode(name), encode(name));
            assert!(mcp::is_safe_uri(&uri), "{uri}");
            let (segments, kind) = parse(&uri).unwrap();
            assert_eq!((segments, kind), (vec![name.to_owned(); 3], Some("view".to_owned())));
        }
        for bad in [
            "schema://",
            "schema://a//b",
            "schema://a/b/c/d",
            "file://a",
            "schema://a?type=x",
            "schema://%zz",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }
}
