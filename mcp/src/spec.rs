//! What a tool says of itself: name, texts, schemas, annotations; it does not know how the tool works.

use serde::Serialize;
use serde_json::{Map, Value};

/// What a token must hold to call a tool. Each scope includes the ones before it.
// Exhaustive: access decisions must cover every scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Read-only tools.
    Read,
    /// Tools that write but destroy nothing.
    Write,
    /// Everything.
    Full,
}

/// The four behaviour hints of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
// Exhaustive: these four are what the protocol defines.
pub struct ToolAnnotations {
    /// Changes nothing.
    pub read_only_hint: bool,
    /// May destroy something; meaningful only when not read-only.
    pub destructive_hint: bool,
    /// Repeating the call with the same arguments has no further effect.
    pub idempotent_hint: bool,
    /// Touches the world outside this server and its backends.
    pub open_world_hint: bool,
}

impl ToolAnnotations {
    /// Reads, repeatable.
    pub const READ: Self =
        Self { read_only_hint: true, destructive_hint: false, idempotent_hint: true, open_world_hint: false };
    /// Reads, but two calls may answer differently by nature (samples, plans, running SQL).
    pub const READ_VARYING: Self = Self { idempotent_hint: false, ..Self::READ };
    /// Writes without destroying, repeatable.
    pub const WRITE_IDEMPOTENT: Self = Self {
        read_only_hint: false,
        destructive_hint: false,
        idempotent_hint: true,
        open_world_hint: false,
    };
    /// Writes without destroying.
    pub const WRITE: Self = Self { idempotent_hint: false, ..Self::WRITE_IDEMPOTENT };
    /// May destroy.
    pub const DESTRUCTIVE: Self = Self {
        read_only_hint: false,
        destructive_hint: true,
        idempotent_hint: false,
        open_world_hint: false,
    };
    /// May destroy, repeatable.
    pub const DESTRUCTIVE_IDEMPOTENT: Self = Self { idempotent_hint: true, ..Self::DESTRUCTIVE };

    /// The scope that follows from the hints.
    #[must_use]
    pub const fn scope(self) -> Scope {
        if self.read_only_hint {
            Scope::Read
        } else if self.destructive_hint {
            Scope::Full
        } else {
            Scope::Write
        }
    }
}

/// A call that documents a tool; registration checks its arguments against the schema.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ToolExample {
    /// What the call answers.
    pub title: String,
    /// The arguments, an object.
    pub arguments: Map<String, Value>,
}

impl ToolExample {
    /// An example call; arguments that are no object count as none.
    pub fn new(title: impl Into<String>, arguments: Value) -> Self {
        let arguments = match arguments {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        Self { title: title.into(), arguments }
    }
}

/// The descriptor of one tool. Build it with [`ToolSpec::new`] and the `with_…` methods.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ToolSpec {
    /// Canonical name, unique on its endpoint: letters, digits, `_`, `.`, `-`, at most 128 characters.
    pub name: String,
    /// A short title for people.
    pub title: String,
    /// What it does, when to use it, what it answers.
    pub description: String,
    /// JSON Schema 2020-12 of the arguments; the root is a plain object.
    pub input_schema: Value,
    /// JSON Schema 2020-12 of the structured result; the root is an object.
    pub output_schema: Option<Value>,
    /// Behaviour hints.
    pub annotations: ToolAnnotations,
    /// What a token must hold; follows the annotations unless set.
    pub scope: Scope,
    /// A finer scope that a token must name (or `full`), such as `rag:search`; empty means none.
    pub named_scope: String,
    /// The toolset path it is also served under, such as `sql`; empty means none.
    pub toolset: String,
    /// Quick, in memory, never waits: may run on the door's own thread.
    pub inline: bool,
    /// Runs as a task for clients that can follow one.
    pub task_support: bool,
    /// Serves only clients that can follow a task.
    pub task_required: bool,
    /// Becomes a task when the tool says so (see `ClientLink::become_task`) and not from its start.
    pub task_late: bool,
    /// Bounds its own time: the server's limit for calls does not end it, only that for tasks.
    pub own_time: bool,
    /// Example calls.
    pub examples: Vec<ToolExample>,
    /// Extra `_meta` of the descriptor.
    pub meta: Map<String, Value>,
}

impl ToolSpec {
    /// A descriptor with an input schema; `scope` follows `annotations`.
    pub fn new(
        name: impl Into<String>,
        description: impl Into<String>,
        input_schema: Value,
        annotations: ToolAnnotations,
    ) -> Self {
        let name = name.into();
        Self {
            title: name.clone(),
            name,
            description: description.into(),
            input_schema,
            output_schema: None,
            annotations,
            scope: annotations.scope(),
            named_scope: String::new(),
            toolset: String::new(),
            inline: false,
            task_support: false,
            task_required: false,
            task_late: false,
            own_time: false,
            examples: Vec::new(),
            meta: Map::new(),
        }
    }

    /// Sets the title.
    #[must_use]
    pub fn with_title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// Sets the schema of the structured result.
    #[must_use]
    pub fn with_output(mut self, schema: Value) -> Self {
        self.output_schema = Some(schema);
        self
    }

    /// Sets the toolset path.
    #[must_use]
    pub fn with_toolset(mut self, toolset: impl Into<String>) -> Self {
        self.toolset = toolset.into();
        self
    }

    /// Sets the finer scope that a token must name.
    #[must_use]
    pub fn with_named_scope(mut self, scope: impl Into<String>) -> Self {
        self.named_scope = scope.into();
        self
    }

    /// Declares that the tool is quick and never waits.
    #[must_use]
    pub fn inline(mut self) -> Self {
        self.inline = true;
        self
    }

    /// Declares that the tool may run as a task.
    #[must_use]
    pub fn with_task_support(mut self) -> Self {
        self.task_support = true;
        self
    }

    /// Declares that the tool serves only clients that can follow a task.
    #[must_use]
    pub fn with_task_required(mut self) -> Self {
        self.task_support = true;
        self.task_required = true;
        self
    }

    /// Declares that the tool itself says when it becomes a task.
    #[must_use]
    pub fn with_late_task(mut self) -> Self {
        self.task_support = true;
        self.task_late = true;
        self
    }

    /// Declares that the tool bounds its own time, which may be longer than the server's limit for calls.
    #[must_use]
    pub fn with_own_time(mut self) -> Self {
        self.own_time = true;
        self
    }

    /// Adds an example call.
    #[must_use]
    pub fn with_example(mut self, example: ToolExample) -> Self {
        self.examples.push(example);
        self
    }
}
