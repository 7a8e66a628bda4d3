//! The plain tools of the suite: fixed contents, logs, progress, changes; it does not know how they are served.

use std::collections::HashMap;
use std::time::Duration;

use mcp::{
    CallContext, Change, ChangeFeed, Content, ErrorCode, LogLevel, ResourceContents, ToolAnnotations,
    ToolError, ToolHandler, ToolOutput, ToolResult, ToolSpec,
};
use serde_json::{Map, Value, json};

use crate::{asking, tasks};

/// A red pixel.
pub(crate) const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
/// A WAV file without samples.
const WAV: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=";

pub(crate) type Run = fn(&CallContext, &Map<String, Value>) -> ToolResult<ToolOutput>;
pub(crate) type Entry = (ToolSpec, Run);

/// All tools of the fixture.
pub(crate) struct Tools {
    specs: Vec<ToolSpec>,
    runs: HashMap<String, Run>,
    changes: ChangeFeed,
}

impl Tools {
    pub(crate) fn new(changes: ChangeFeed) -> Self {
        let mut specs = Vec::new();
        let mut runs = HashMap::new();
        for (spec, run) in plain().into_iter().chain(asking::entries()).chain(tasks::entries()) {
            runs.insert(spec.name.clone(), run);
            specs.push(spec);
        }
        Self { specs, runs, changes }
    }
}

impl ToolHandler for Tools {
    fn specs(&self) -> &[ToolSpec] {
        &self.specs
    }

    fn call(&self, cx: &CallContext, name: &str, args: Map<String, Value>) -> ToolResult<ToolOutput> {
        match name {
            "test_trigger_tool_change" => self.changes.publish(&Change::Tools),
            "test_trigger_prompt_change" => self.changes.publish(&Change::Prompts),
            _ => {}
        }
        let run = self.runs.get(name).ok_or_else(|| ToolError::not_found("tool", name))?;
        run(cx, &args)
    }
}

/// A tool without arguments.
pub(crate) fn bare(name: &str, description: &str) -> ToolSpec {
    let schema = json!({"type": "object", "properties": {}, "additionalProperties": false});
    ToolSpec::new(name, description, schema, ToolAnnotations::READ)
}

/// A tool with text arguments, all required.
pub(crate) fn with_texts(name: &str, description: &str, arguments: &[&str]) -> ToolSpec {
    let properties: Map<String, Value> =
        arguments.iter().map(|a| ((*a).to_owned(), json!({"type": "string", "description": *a}))).collect();
    let schema = json!({"type": "object", "properties": properties, "required": arguments, "additionalProperties": false});
    ToolSpec::new(name, description, schema, ToolAnnotations::READ)
}

pub(crate) fn text(text: impl Into<String>) -> ToolResult<ToolOutput> {
    Ok(ToolOutput::content(vec![Content::text(text)]))
}

pub(crate) fn argument<'a>(args: &'a Map<String, Value>, name: &str) -> &'a str {
    args.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}

fn image() -> Content {
    Content::Image { data: PNG.to_owned(), mime_type: "image/png".to_owned() }
}

fn embedded(uri: &str, mime: &str, text: &str) -> Content {
    Content::Resource { resource: ResourceContents::text(uri, mime, text) }
}

fn plain() -> Vec<Entry> {
    vec![
        (bare("test_simple_text", "Answers a fixed text.").inline(), |_, _| {
            text("This is a simple text response for testing.")
        }),
        (bare("test_image_content", "Answers an image.").inline(), |_, _| {
            Ok(ToolOutput::content(vec![image()]))
        }),
        (bare("test_audio_content", "Answers audio.").inline(), |_, _| {
            Ok(ToolOutput::content(vec![Content::Audio {
                data: WAV.to_owned(),
                mime_type: "audio/wav".to_owned(),
            }]))
        }),
        (bare("test_embedded_resource", "Answers an embedded resource.").inline(), |_, _| {
            let uri = "test://embedded-resource";
            Ok(ToolOutput::content(vec![embedded(
                uri,
                "text/plain",
                "This is an embedded resource content.",
            )]))
        }),
        (bare("test_multiple_content_types", "Answers text, an image and a resource.").inline(), |_, _| {
            let uri = "test://mixed-content-resource";
            let json = json!({"test": "data", "value": 123}).to_string();
            let head = Content::text("Multiple content types test:");
            Ok(ToolOutput::content(vec![head, image(), embedded(uri, "application/json", &json)]))
        }),
        (bare("test_tool_with_logging", "Logs three times."), |cx, _| {
            for (step, line) in ["Tool execution started", "Tool processing data", "Tool execution completed"]
                .iter()
                .enumerate()
            {
                if step > 0 {
                    pause();
                }
                cx.progress.log(LogLevel::Info, Some("fixture"), json!(line));
            }
            text("Tool with logging executed successfully")
        }),
        (bare("test_logging_tool", "Logs where the request asks for it."), |cx, _| {
            cx.progress.log(LogLevel::Info, Some("fixture"), json!("A log line"));
            text("Logged")
        }),
        (bare("test_error_handling", "Always fails."), |_, _| {
            Err(ToolError::new(ErrorCode::Internal, "This tool intentionally returns an error for testing"))
        }),
        (bare("test_tool_with_progress", "Reports progress three times."), |cx, _| {
            for step in [0.0, 50.0, 100.0] {
                cx.progress.progress(step, Some(100.0), None);
                pause();
            }
            text("Tool with progress executed successfully")
        }),
        (bare("test_reconnection", "Closes its stream before it answers."), |cx, _| {
            cx.client.close_stream();
            std::thread::sleep(Duration::from_millis(300));
            text("Reconnection test completed successfully")
        }),
        (bare("test_trigger_tool_change", "Tells listeners that the tools changed."), |_, _| text("Changed")),
        (bare("test_trigger_prompt_change", "Tells listeners that the prompts changed."), |_, _| {
            text("Changed")
        }),
        (json_schema_tool(), |_, args| text(format!("Received {}", Value::Object(args.clone())))),
        (header_tool(), |_, args| text(format!("Region {}", argument(args, "region")))),
    ]
}

fn header_tool() -> ToolSpec {
    let region = json!({"type": "string", "description": "Where to.", "x-mcp-header": "Region"});
    let schema = json!({"type": "object", "properties": {"region": region}, "required": ["region"]});
    ToolSpec::new(
        "test_header_argument",
        "Has an argument that is mirrored into a header.",
        schema,
        ToolAnnotations::READ,
    )
}

fn json_schema_tool() -> ToolSpec {
    let text = json!({"type": "string"});
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {"address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": text, "city": text},
        }},
        "properties": {
            "name": text,
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": text,
            "email": text,
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": false,
    });
    ToolSpec::new(
        "json_schema_2020_12_tool",
        "Has an input schema with many keywords.",
        schema,
        ToolAnnotations::READ,
    )
}
