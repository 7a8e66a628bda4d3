//! Prompts and completion: what providers offer and how they are asked; it does not know what the texts say.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::content::Content;
use crate::context::CallContext;
use crate::error::ToolResult;

/// An argument of a prompt; its value is a string.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PromptArgument {
    /// Its name.
    pub name: String,
    /// What it means.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Whether it must be given.
    pub required: bool,
}

impl PromptArgument {
    /// An argument.
    pub fn new(name: impl Into<String>, description: impl Into<String>, required: bool) -> Self {
        Self { name: name.into(), description: description.into(), required }
    }
}

/// A prompt in `prompts/list`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Prompt {
    /// Its name.
    pub name: String,
    /// A title for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it is for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Its arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<PromptArgument>,
}

impl Prompt {
    /// A prompt without arguments.
    pub fn new(name: impl Into<String>, description: impl Into<String>) -> Self {
        Self { name: name.into(), title: None, description: description.into(), arguments: Vec::new() }
    }

    /// Sets the title.
    #[must_use]
    pub fn with_title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn with_argument(mut self, argument: PromptArgument) -> Self {
        self.arguments.push(argument);
        self
    }
}

/// Who speaks in a prompt message.
// Exhaustive: the protocol has these two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The user.
    User,
    /// The model.
    Assistant,
}

/// One message of a prompt.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PromptMessage {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: Content,
}

impl PromptMessage {
    /// A message of the user.
    #[must_use]
    pub fn user(content: Content) -> Self {
        Self { role: Role::User, content }
    }

    /// A message of the model.
    #[must_use]
    pub fn assistant(content: Content) -> Self {
        Self { role: Role::Assistant, content }
    }
}

/// What `prompts/get` gives back.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct PromptOutput {
    /// What the prompt is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The messages.
    pub messages: Vec<PromptMessage>,
}

impl PromptOutput {
    /// Messages without a description.
    #[must_use]
    pub fn new(messages: Vec<PromptMessage>) -> Self {
        Self { description: None, messages }
    }

    /// Sets the description.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }
}

/// Offers prompts. Calls may block.
pub trait PromptProvider: Send + Sync {
    /// The prompts that the caller may use, in a fixed order.
    fn list(&self, cx: &CallContext) -> Vec<Prompt>;

    /// The messages of a listed prompt; required arguments are there, all values are strings.
    ///
    /// # Errors
    /// Any failure; it becomes a JSON-RPC error.
    fn get(&self, cx: &CallContext, name: &str, arguments: &Map<String, Value>) -> ToolResult<PromptOutput>;

    /// A number that changes whenever the list changes.
    fn generation(&self) -> u64 {
        0
    }
}

/// What a completion is for.
// Exhaustive: the protocol has these two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompletionTarget {
    /// An argument of the prompt of this name.
    Prompt(String),
    /// A variable of this resource template.
    Resource(String),
}

/// What a client asks to complete.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CompletionRequest {
    /// Whose argument.
    pub target: CompletionTarget,
    /// Its name.
    pub argument: String,
    /// What has been typed.
    pub value: String,
    /// Other arguments that are known already.
    pub known: Map<String, Value>,
}

impl CompletionRequest {
    /// A request without known arguments.
    pub fn new(target: CompletionTarget, argument: impl Into<String>, value: impl Into<String>) -> Self {
        Self { target, argument: argument.into(), value: value.into(), known: Map::new() }
    }
}

/// Most values of one completion.
pub const COMPLETION_VALUES_MAX: usize = 100;

/// Values that complete an argument.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Completion {
    /// The values, best first; the server sends the first 100.
    pub values: Vec<String>,
    /// How many there are in all, if known.
    pub total: Option<usize>,
}

impl Completion {
    /// A complete list of values.
    #[must_use]
    pub fn new(values: Vec<String>) -> Self {
        Self { total: Some(values.len()), values }
    }
}

/// Completes arguments of prompts and templates. Calls may block.
pub trait Completer: Send + Sync {
    /// The values for a request; none for an argument that it does not know.
    ///
    /// # Errors
    /// Any failure; it becomes a JSON-RPC error.
    fn complete(&self, cx: &CallContext, request: &CompletionRequest) -> ToolResult<Completion>;
}
