//! The resources, prompts and completions of the suite; it does not know how they are served.

use mcp::{
    Ask, CallContext, Completer, Completion, CompletionRequest, CompletionTarget, Content, Prompt,
    PromptArgument, PromptMessage, PromptOutput, PromptProvider, Resource, ResourceContents, ResourcePage,
    ResourceProvider, ResourceTemplate, ToolError, ToolResult,
};
use serde_json::{Map, Value, json};

use crate::asking::content;
use crate::tools::PNG;

/// Fixed documents.
pub(crate) struct Documents;

impl ResourceProvider for Documents {
    fn list(&self, _: &CallContext, cursor: Option<&str>) -> ToolResult<ResourcePage> {
        if cursor.is_some() {
            return Err(ToolError::invalid("the cursor is not one that this list gave out"));
        }
        let resource = |uri: &str, name: &str, mime: &str| Resource::new(uri, name).with_mime_type(mime);
        Ok(ResourcePage::new(
            vec![
                resource("test://static-text", "Static text", "text/plain"),
                resource("test://static-binary", "Static binary", "image/png"),
                resource("test://watched-resource", "Watched", "text/plain"),
            ],
            None,
        ))
    }

    fn templates(&self, _: &CallContext) -> Vec<ResourceTemplate> {
        let template =
            ResourceTemplate::new("test://template/{id}/data", "Template").with_mime_type("application/json");
        vec![template]
    }

    fn read(&self, _: &CallContext, uri: &str) -> ToolResult<Vec<ResourceContents>> {
        let templated = uri.strip_prefix("test://template/").and_then(|rest| rest.strip_suffix("/data"));
        let contents = match (uri, templated) {
            ("test://static-text", _) => {
                ResourceContents::text(uri, "text/plain", "This is the content of the static text resource.")
            }
            ("test://static-binary", _) => ResourceContents::blob(uri, "image/png", PNG),
            ("test://watched-resource", _) => ResourceContents::text(uri, "text/plain", "Watched content"),
            (_, Some(id)) if !id.is_empty() && !id.contains('/') => {
                let data = json!({"id": id, "templateTest": true, "data": format!("Data for ID: {id}")});
                ResourceContents::text(uri, "application/json", data.to_string())
            }
            _ => return Err(ToolError::not_found("resource", uri)),
        };
        Ok(vec![contents])
    }

    fn subscribable(&self) -> bool {
        true
    }
}

impl PromptProvider for Documents {
    fn list(&self, _: &CallContext) -> Vec<Prompt> {
        let argument = |name: &str| PromptArgument::new(name, format!("Argument {name}."), true);
        vec![
            Prompt::new("test_simple_prompt", "A fixed message."),
            Prompt::new("test_prompt_with_arguments", "Repeats its arguments.")
                .with_argument(argument("arg1"))
                .with_argument(argument("arg2")),
            Prompt::new("test_prompt_with_embedded_resource", "Embeds a resource.")
                .with_argument(argument("resourceUri")),
            Prompt::new("test_prompt_with_image", "Holds an image."),
            Prompt::new("test_input_required_result_prompt", "Asks for its context first."),
        ]
    }

    fn get(&self, cx: &CallContext, name: &str, arguments: &Map<String, Value>) -> ToolResult<PromptOutput> {
        let argument = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default();
        let user = |text: &str| PromptMessage::user(Content::text(text));
        let messages = match name {
            "test_simple_prompt" => vec![user("This is a simple prompt for testing.")],
            "test_prompt_with_arguments" => {
                vec![user(&format!(
                    "Prompt with arguments: arg1='{}', arg2='{}'",
                    argument("arg1"),
                    argument("arg2")
                ))]
            }
            "test_prompt_with_embedded_resource" => {
                let uri = argument("resourceUri");
                let resource =
                    ResourceContents::text(uri, "text/plain", "Embedded resource content for testing.");
                vec![
                    PromptMessage::user(Content::Resource { resource }),
                    user("Please process the embedded resource above."),
                ]
            }
            "test_prompt_with_image" => {
                let image = Content::Image { data: PNG.to_owned(), mime_type: "image/png".to_owned() };
                vec![PromptMessage::user(image), user("Please analyze the image above.")]
            }
            "test_input_required_result_prompt" => {
                let context = json!({"type": "object", "properties": {"context": {"type": "string"}},
                                     "required": ["context"]});
                let answer =
                    cx.ask(Ask::elicit("user_context", "What context should the prompt use?", context))?;
                vec![user(&format!("Context: {}", content(&answer, "context")))]
            }
            _ => return Err(ToolError::not_found("prompt", name)),
        };
        Ok(PromptOutput::new(messages))
    }
}

impl Completer for Documents {
    fn complete(&self, _: &CallContext, request: &CompletionRequest) -> ToolResult<Completion> {
        let known = request.target == CompletionTarget::Prompt("test_prompt_with_arguments".to_owned());
        let values = ["paris", "park", "party"].into_iter().filter(|v| v.starts_with(&request.value));
        let values = if known && request.argument == "arg1" {
            values.map(str::to_owned).collect()
        } else {
            Vec::new()
        };
        Ok(Completion::new(values))
    }
}
