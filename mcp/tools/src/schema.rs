//! JSON Schemas of arguments and results from Rust types; it knows the house's conventions and no tool.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// The schema of an arguments type: one plain object, everything inlined, unknown arguments refused.
///
/// Optional arguments lose their `null` branch: a server treats `null` as absence before it validates.
#[must_use]
pub fn input_schema<T: JsonSchema>() -> Value {
    let mut schema = generate::<T>();
    tidy(&mut schema);
    strip_nulls(&mut schema);
    if let Value::Object(root) = &mut schema {
        root.entry("properties").or_insert_with(|| json!({}));
        root.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    schema
}

/// Collects the schema of a structured result: success keys, the keys that every answer implies, the failure branches.
#[derive(Debug)]
pub struct OutputSchema {
    properties: Map<String, Value>,
    required: Vec<Value>,
    ok_message: bool,
}

impl OutputSchema {
    /// Starts from the success type; `stats` is always there.
    #[must_use]
    pub fn of<T: JsonSchema>() -> Self {
        let mut schema = generate::<T>();
        tidy(&mut schema);
        let mut properties = Map::new();
        let mut required = Vec::new();
        if let Value::Object(root) = &mut schema {
            if let Some(Value::Object(map)) = root.remove("properties") {
                properties = map;
            }
            if let Some(Value::Array(list)) = root.remove("required") {
                required = list;
            }
        }
        let me = Self { properties, required, ok_message: false };
        me.key(
            "stats",
            json!({"type": "object", "description": "Cost of the call.", "properties": {
                "ms": {"type": "number", "description": "Milliseconds that the server spent."}}, "required": ["ms"]}),
            true,
        )
    }

    /// Adds one key unless the type has it already.
    #[must_use]
    pub fn key(mut self, name: &str, schema: Value, required: bool) -> Self {
        if !self.properties.contains_key(name) {
            self.properties.insert(name.to_owned(), schema);
            if required {
                self.required.push(Value::String(name.to_owned()));
            }
        }
        self
    }

    /// A target was resolved: `target_id` and `protocol`.
    #[must_use]
    pub fn target(self) -> Self {
        self.key("target_id", json!({"type": "string", "description": "Target that answered."}), true).key(
            "protocol",
            json!({"type": "string", "enum": ["mysql", "pgsql", "sqlite"], "description": "Protocol of the target."}),
            true,
        )
    }

    /// A run was resolved: `run_id`, absent for live answers.
    #[must_use]
    pub fn run(self) -> Self {
        self.key(
            "run_id",
            json!({"type": "integer", "description": "Run that answered, for source catalog."}),
            false,
        )
    }

    /// A limit can shorten an array: `truncated`.
    #[must_use]
    pub fn truncated(self) -> Self {
        self.key(
            "truncated",
            json!({"type": "boolean", "description": "Whether a limit left something out."}),
            true,
        )
    }

    /// The answer is paged: `next_page_token`.
    #[must_use]
    pub fn paged(self) -> Self {
        self.key(
            "next_page_token",
            json!({"type": ["string", "null"], "description": "Token of the next page; null on the last one."}),
            true,
        )
    }

    /// Query rules act on the call: `rules_matched`, and the `ok_message` branch.
    #[must_use]
    pub fn rules(mut self) -> Self {
        self.ok_message = true;
        self.key(
            "rules_matched",
            json!({"type": "array", "items": {"type": "integer"}, "description": "Query rules that matched."}),
            false,
        )
        .key(
            "ok_message",
            json!({"type": "string", "description": "Answer of a query rule; nothing was executed."}),
            false,
        )
    }

    /// The finished schema: an object with the success keys and `anyOf` success, failure, answer of a rule.
    #[must_use]
    pub fn build(mut self) -> Value {
        self.properties.insert("error".to_owned(), error_schema());
        let mut branches = vec![json!({"required": self.required}), json!({"required": ["error"]})];
        if self.ok_message {
            branches.push(json!({"required": ["ok_message"]}));
        }
        json!({"type": "object", "properties": self.properties, "anyOf": branches})
    }
}

/// The schema of `error` in failed results.
fn error_schema() -> Value {
    json!({
        "type": "object",
        "description": "Why the call failed.",
        "properties": {
            "code": {"type": "string", "description": "Class of the failure."},
            "message": {"type": "string", "description": "Cause and remedy in one sentence."},
            "retryable": {"type": "boolean", "description": "Whether the same call may succeed later."},
            "details": {"type": "object", "description": "Machine-readable details."}
        },
        "required": ["code", "message", "retryable", "details"]
    })
}

fn generate<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|s| {
        s.inline_subschemas = true;
        s.meta_schema = None;
    });
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// Removes what only Rust readers want: titles of types and integer formats.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.get("title").is_some_and(Value::is_string) {
                map.remove("title");
            }
            as_enum(map);
            let number = map.get("type").is_some_and(is_number_type);
            if number {
                map.remove("format");
            }
            for (keyword, value) in map.iter_mut() {
                name_any(keyword, value);
                tidy(value);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// Spells the schema of any value as an object: some clients refuse a whole tool over a bare `true`.
fn name_any(keyword: &str, value: &mut Value) {
    let spell = |schema: &mut Value| {
        if *schema == Value::Bool(true) {
            *schema = json!({});
        }
    };
    match (keyword, value) {
        ("properties" | "patternProperties" | "$defs", Value::Object(map)) => {
            map.values_mut().for_each(spell)
        }
        ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(items)) => {
            items.iter_mut().for_each(spell)
        }
        ("items" | "contains", schema) => spell(schema),
        _ => {}
    }
}

/// Words that carry descriptions of their own become one plain `enum`, which every client reads.
fn as_enum(map: &mut Map<String, Value>) {
    let Some(Value::Array(branches)) = map.get("oneOf") else { return };
    let word = |branch: &Value| branch.get("const").filter(|v| v.is_string()).cloned();
    let Some(words) = branches.iter().map(word).collect::<Option<Vec<_>>>() else { return };
    map.remove("oneOf");
    map.insert("type".to_owned(), Value::String("string".to_owned()));
    map.insert("enum".to_owned(), Value::Array(words));
}

fn is_number_type(kind: &Value) -> bool {
    let is_number = |v: &Value| matches!(v.as_str(), Some("integer" | "number"));
    is_number(kind) || kind.as_array().is_some_and(|kinds| kinds.iter().any(is_number))
}

/// Turns `["string", "null"]` into `"string"` and drops `null` branches and defaults.
fn strip_nulls(schema: &mut Value) {
    let Value::Object(map) = schema else {
        if let Value::Array(items) = schema {
            items.iter_mut().for_each(strip_nulls);
        }
        return;
    };
    if map.get("default").is_some_and(Value::is_null) {
        map.remove("default");
    }
    if let Some(Value::Array(kinds)) = map.get_mut("type") {
        if kinds.len() == 2 {
            kinds.retain(|kind| kind != "null");
        }
        if let [only] = kinds.as_slice() {
            let only = only.clone();
            map.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(labels)) = map.get_mut("enum") {
        labels.retain(|label| !label.is_null());
    }
    if let Some(Value::Array(branches)) = map.get_mut("anyOf") {
        if branches.len() == 2 {
            branches.retain(|branch| branch.get("type").is_none_or(|kind| kind != "null"));
        }
        if branches.len() == 1
            && let Some(Value::Array(mut one)) = map.remove("anyOf")
            && let Some(Value::Object(inner)) = one.pop()
        {
            for (key, value) in inner {
                map.entry(key).or_insert(value);
            }
        }
    }
    for value in map.values_mut() {
        strip_nulls(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Quick,
        Full,
    }

    #[derive(serde::Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema is used")]
    struct Args {
        /// A name.
        #[schemars(length(min = 1, max = 64))]
        name: String,
        /// A kind.
        kind: Option<Kind>,
        /// A count.
        #[schemars(range(min = 1, max = 9))]
        count: Option<u32>,
    }

    #[derive(serde::Serialize, JsonSchema)]
    struct Out {
        /// Names.
        names: Vec<String>,
        /// Optional.
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    }

    #[test]
    fn arguments_are_one_plain_object() {
        insta::assert_json_snapshot!(input_schema::<Args>());
    }

    #[test]
    fn results_have_success_error_and_rule_branches() {
        let schema = OutputSchema::of::<Out>().target().truncated().paged().rules().build();
        insta::assert_json_snapshot!(schema);
    }
}
