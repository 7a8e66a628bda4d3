//! One endpoint made of several, with prefixed tool names and a search over them; it does not know what the parts do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};

use crate::change::ChangeFeed;
use crate::content::{ResourceContents, ToolOutput};
use crate::context::{CallContext, Caller};
use crate::endpoint::Endpoint;
use crate::error::{ErrorCode, ToolError, ToolResult};
use crate::handler::ToolSet;
use crate::prompt::{Prompt, PromptOutput, PromptProvider};
use crate::resource::{Resource, ResourcePage, ResourceProvider, ResourceTemplate};
use crate::spec::{ToolAnnotations, ToolSpec};

/// Longest search text, in characters.
const QUERY_CHARS_MAX: usize = 256;
/// Most tools that one search gives.
const FOUND_MAX: u64 = 50;

/// Joins endpoints under one path. A tool is called by the last segment of its endpoint's path, `separator` and its own name;
/// `search_tools` and `describe_tool` find it. Resources and prompts keep their names: the first endpoint that has one wins.
#[must_use]
pub fn merge_endpoints(path: &str, endpoints: Vec<Endpoint>, separator: &str) -> Endpoint {
    let changes = ChangeFeed::new();
    let instructions = endpoints.iter().map(|e| format!("{}: {}", prefix_of(&e.path), e.instructions));
    let instructions: Vec<String> = instructions.filter(|text| !text.ends_with(": ")).collect();
    let parts: Vec<Part> = endpoints
        .iter()
        .map(|endpoint| {
            let publisher = changes.clone();
            Part {
                prefix: format!("{}{separator}", prefix_of(&endpoint.path)),
                endpoint: endpoint.clone(),
                _changes: endpoint.changes.subscribe(move |change| publisher.publish(change)),
            }
        })
        .collect();
    let merged = Arc::new(Merged { parts, own: own_specs(), renamed: Mutex::default() });
    let mut joined = Endpoint::new(path, Arc::clone(&merged) as _).with_changes(changes);
    joined.instructions = instructions.join("\n\n").into();
    if endpoints.iter().any(|e| e.resources.is_some()) {
        joined.resources = Some(Arc::clone(&merged) as _);
    }
    if endpoints.iter().any(|e| e.prompts.is_some()) {
        joined.prompts = Some(merged);
    }
    joined
}

fn prefix_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

struct Part {
    prefix: String,
    endpoint: Endpoint,
    _changes: crate::change::ChangeSubscription,
}

/// Descriptors under their new names, by that name: what they were made from, and they themselves.
type Renamed = HashMap<String, (Arc<ToolSpec>, Arc<ToolSpec>)>;

struct Merged {
    parts: Vec<Part>,
    own: [Arc<ToolSpec>; 2],
    renamed: Mutex<Renamed>,
}

fn own_specs() -> [Arc<ToolSpec>; 2] {
    let search = json!({"type": "object", "additionalProperties": false, "required": ["query"], "properties": {
        "query": {"type": "string", "minLength": 1, "maxLength": QUERY_CHARS_MAX, "description": "Words to look for."},
        "limit": {"type": "integer", "minimum": 1, "maximum": FOUND_MAX, "default": 10, "description": "Most tools to give."},
    }});
    let describe = json!({"type": "object", "additionalProperties": false, "required": ["name"], "properties": {
        "name": {"type": "string", "maxLength": 256, "description": "Name of the tool, as search_tools gives it."},
    }});
    [
        ToolSpec::new("search_tools", "Finds tools by words in their names and descriptions, best first.", search, ToolAnnotations::READ)
            .with_title("Search tools")
            .with_output(json!({"type": "object", "properties": {"tools": {"type": "array"}, "total": {"type": "integer"}}}))
            .inline(),
        ToolSpec::new("describe_tool", "Gives the whole descriptor of one tool, schemas included.", describe, ToolAnnotations::READ)
            .with_title("Describe a tool")
            .with_output(json!({"type": "object", "properties": {"tool": {"type": "object"}}}))
            .inline(),
    ]
    .map(Arc::new)
}

impl Merged {
    fn rename(&self, part: &Part, spec: Arc<ToolSpec>) -> Arc<ToolSpec> {
        let name = format!("{}{}", part.prefix, spec.name);
        let mut renamed = self.renamed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((from, made)) = renamed.get(&name)
            && Arc::ptr_eq(from, &spec)
        {
            return Arc::clone(made);
        }
        let mut changed = ToolSpec::clone(&spec);
        changed.name.clone_from(&name);
        // Parts of an endpoint that is itself made of parts would only confuse.
        changed.toolset = String::new();
        let changed = Arc::new(changed);
        renamed.insert(name, (spec, Arc::clone(&changed)));
        changed
    }

    /// The endpoint of a prefixed name and the name without its prefix.
    fn locate<'a>(&self, caller: &Caller, name: &'a str) -> Option<(&Part, &'a str, Arc<ToolSpec>)> {
        self.parts.iter().find_map(|part| {
            let inner = name.strip_prefix(&part.prefix)?;
            let spec = part.endpoint.tools.find(caller, inner)?;
            Some((part, inner, spec))
        })
    }

    fn search(&self, caller: &Caller, args: &Map<String, Value>) -> Value {
        let query = args.get("query").and_then(Value::as_str).unwrap_or_default().to_lowercase();
        let limit = args.get("limit").and_then(Value::as_u64).unwrap_or(10).clamp(1, FOUND_MAX) as usize;
        let words: Vec<&str> =
            query.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect();
        let mut found: Vec<(usize, Arc<ToolSpec>)> = ToolSet::list(self, caller)
            .into_iter()
            .skip(self.own.len())
            .map(|spec| (score(&spec, &words), spec))
            .filter(|(score, _)| *score > 0)
            .collect();
        found.sort_by(|(a, x), (b, y)| b.cmp(a).then_with(|| x.name.cmp(&y.name)));
        let total = found.len();
        let tools: Vec<Value> = found
            .into_iter()
            .take(limit)
            .map(|(_, spec)| json!({"name": spec.name, "title": spec.title, "description": spec.description}))
            .collect();
        json!({"tools": tools, "total": total})
    }

    fn describe(&self, caller: &Caller, args: &Map<String, Value>) -> ToolResult<Value> {
        let name = args.get("name").and_then(Value::as_str).unwrap_or_default();
        let spec = self.find(caller, name).ok_or_else(|| ToolError::not_found("tool", name))?;
        Ok(json!({"tool": {
            "name": spec.name, "title": spec.title, "description": spec.description, "inputSchema": spec.input_schema,
            "outputSchema": spec.output_schema, "annotations": spec.annotations,
        }}))
    }
}

/// A word in the name weighs more than one in the title, and that more than one in the description.
fn score(spec: &ToolSpec, words: &[&str]) -> usize {
    let texts =
        [(spec.name.to_lowercase(), 4), (spec.title.to_lowercase(), 2), (spec.description.to_lowercase(), 1)];
    let weigh = |word: &&str| {
        texts.iter().filter(|(text, _)| text.contains(*word)).map(|(_, weight)| weight).sum::<usize>()
    };
    words.iter().map(weigh).sum()
}

impl ToolSet for Merged {
    fn list(&self, caller: &Caller) -> Vec<Arc<ToolSpec>> {
        let mut all = self.own.to_vec();
        for part in &self.parts {
            all.extend(part.endpoint.tools.list(caller).into_iter().map(|spec| self.rename(part, spec)));
        }
        all
    }

    fn find(&self, caller: &Caller, name: &str) -> Option<Arc<ToolSpec>> {
        if let Some(own) = self.own.iter().find(|spec| spec.name == name) {
            return Some(Arc::clone(own));
        }
        self.locate(caller, name).map(|(part, _, spec)| self.rename(part, spec))
    }

    fn call(&self, cx: &CallContext, name: &str, args: Map<String, Value>) -> ToolResult<ToolOutput> {
        match name {
            "search_tools" => return Ok(ToolOutput::structured(self.search(&cx.caller, &args))),
            "describe_tool" => return Ok(ToolOutput::structured(self.describe(&cx.caller, &args)?)),
            _ => {}
        }
        let (part, inner, _) =
            self.locate(&cx.caller, name).ok_or_else(|| ToolError::not_found("tool", name))?;
        let mut cx = cx.clone();
        cx.endpoint = Arc::clone(&part.endpoint.path);
        part.endpoint.tools.call(&cx, inner, args)
    }

    fn generation(&self) -> u64 {
        // Order matters, so that two changes in opposite directions do not cancel out.
        self.parts.iter().fold(17, |sum: u64, part| {
            sum.wrapping_mul(1_000_003).wrapping_add(part.endpoint.tools.generation())
        })
    }
}

impl ResourceProvider for Merged {
    /// The cursor names the endpoint that goes on: its number, a colon and its own cursor.
    fn list(&self, cx: &CallContext, cursor: Option<&str>) -> ToolResult<ResourcePage> {
        let bad = || ToolError::invalid("the cursor is not one that this list gave out");
        let (mut at, mut inner) = match cursor {
            None => (0, None),
            Some(cursor) => {
                let (at, inner) = cursor.split_once(':').ok_or_else(bad)?;
                let at: usize = at.parse().map_err(|_| bad())?;
                (at, Some(inner.to_owned()).filter(|c| !c.is_empty()))
            }
        };
        if at > self.parts.len() {
            return Err(bad());
        }
        let mut resources: Vec<Resource> = Vec::new();
        while let Some(part) = self.parts.get(at) {
            if let Some(provider) = &part.endpoint.resources {
                let page = provider.list(cx, inner.as_deref())?;
                resources.extend(page.resources);
                if let Some(next) = page.next_cursor {
                    return Ok(ResourcePage::new(resources, Some(format!("{at}:{next}"))));
                }
            }
            (at, inner) = (at + 1, None);
        }
        Ok(ResourcePage::new(resources, None))
    }

    fn templates(&self, cx: &CallContext) -> Vec<ResourceTemplate> {
        let providers = self.parts.iter().filter_map(|p| p.endpoint.resources.as_ref());
        providers.flat_map(|provider| provider.templates(cx)).collect()
    }

    fn read(&self, cx: &CallContext, uri: &str) -> ToolResult<Vec<ResourceContents>> {
        for provider in self.parts.iter().filter_map(|p| p.endpoint.resources.as_ref()) {
            match provider.read(cx, uri) {
                Err(error) if error.code == ErrorCode::NotFound => {}
                outcome => return outcome,
            }
        }
        Err(ToolError::not_found("resource", uri))
    }

    fn subscribable(&self) -> bool {
        self.parts.iter().any(|p| p.endpoint.resources.as_ref().is_some_and(|r| r.subscribable()))
    }
}

impl PromptProvider for Merged {
    fn list(&self, cx: &CallContext) -> Vec<Prompt> {
        let mut all: Vec<Prompt> = Vec::new();
        for provider in self.parts.iter().filter_map(|p| p.endpoint.prompts.as_ref()) {
            let fresh: Vec<Prompt> = provider
                .list(cx)
                .into_iter()
                .filter(|p| all.iter().all(|known| known.name != p.name))
                .collect();
            all.extend(fresh);
        }
        all
    }

    fn get(&self, cx: &CallContext, name: &str, arguments: &Map<String, Value>) -> ToolResult<PromptOutput> {
        let mut providers = self.parts.iter().filter_map(|p| p.endpoint.prompts.as_ref());
        let owner = providers.find(|provider| provider.list(cx).iter().any(|p| p.name == name));
        owner.ok_or_else(|| ToolError::not_found("prompt", name))?.get(cx, name, arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::HandlerSet;
    use crate::handler::{Handlers, Tool};
    use crate::spec::Scope;
    use crate::testing::TestClient;

    struct Where(&'static str, ToolAnnotations);

    impl Tool for Where {
        type Args = Map<String, Value>;
        type Output = Value;
        fn spec(&self) -> ToolSpec {
            ToolSpec::new(self.0, "Says where it runs.", json!({"type": "object"}), self.1)
        }
        fn call(&self, cx: &CallContext, _: Self::Args) -> ToolResult<Value> {
            Ok(json!({"endpoint": *cx.endpoint}))
        }
    }

    fn merged() -> Endpoint {
        let part = |path: &str| {
            let tools = Handlers::new()
                .with(Where("status", ToolAnnotations::READ))
                .with(Where("flush", ToolAnnotations::DESTRUCTIVE));
            Endpoint::new(path, Arc::new(HandlerSet::new(tools)))
        };
        merge_endpoints("/mcp", vec![part("/mcp/a"), part("/mcp/b")], ".")
    }

    #[test]
    fn tools_are_prefixed_and_run_on_their_own_endpoint() {
        let client = TestClient::new(merged());
        let names: Vec<Value> = client.list_tools().unwrap().iter().map(|t| t["name"].clone()).collect();
        assert_eq!(names, ["search_tools", "describe_tool", "a.status", "a.flush", "b.status", "b.flush"]);
        assert_eq!(client.structured("b.status", json!({})).unwrap(), json!({"endpoint": "/mcp/b"}));
        assert!(client.call("status", json!({})).is_err());
    }

    #[test]
    fn search_and_description_respect_the_caller() {
        let client = TestClient::new(merged()).with_caller(Caller::new("reader", Scope::Read));
        let found = client.structured("search_tools", json!({"query": "status or flush"})).unwrap();
        let names: Vec<&Value> = found["tools"].as_array().unwrap().iter().map(|t| &t["name"]).collect();
        assert_eq!(names, ["a.status", "b.status"]);
        assert_eq!(
            client.structured("describe_tool", json!({"name": "a.status"})).unwrap()["tool"]["name"],
            "a.status"
        );
        assert!(client.structured("describe_tool", json!({"name": "a.flush"})).is_err());
    }
}
