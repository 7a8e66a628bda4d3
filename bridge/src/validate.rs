//! What a descriptor must satisfy before its tool is served; it checks structure, not the values of calls.

use mcp::{ToolExample, ToolSpec};
use serde_json::{Map, Value};

/// Longest tool name in characters.
const NAME_CHARS_MAX: usize = 128;
/// Longest description in bytes; longer ones drown a model's context.
const DESCRIPTION_BYTES_MAX: usize = 4096;

/// Why a handler is not registered. Nothing of it is served then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The endpoint path is not of the form `/mcp` or `/mcp/name`.
    #[error("endpoint {0:?} is not a path like /mcp/name (letters, digits, `_`, `-`)")]
    Endpoint(String),
    /// A tool of this name is already there.
    #[error("tool {tool:?} is already registered on {endpoint}")]
    Duplicate {
        /// The endpoint.
        endpoint: String,
        /// The tool.
        tool: String,
    },
    /// A descriptor is wrong.
    #[error("tool {tool:?}: {problem}")]
    Spec {
        /// The tool.
        tool: String,
        /// What is wrong and what would be right.
        problem: String,
    },
}

pub(crate) fn endpoint(path: &str) -> Result<(), RegistryError> {
    let ok = path == "/mcp"
        || path.strip_prefix("/mcp/").is_some_and(|name| {
            !name.is_empty()
                && name.len() <= 64
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        });
    if ok { Ok(()) } else { Err(RegistryError::Endpoint(path.to_owned())) }
}

pub(crate) fn spec(spec: &ToolSpec) -> Result<(), RegistryError> {
    let fail = |problem: String| Err(RegistryError::Spec { tool: spec.name.clone(), problem });
    let name_ok = !spec.name.is_empty()
        && spec.name.chars().count() <= NAME_CHARS_MAX
        && spec.name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    if !name_ok {
        return fail(format!("a name has 1 to {NAME_CHARS_MAX} of the characters A-Z a-z 0-9 _ . -"));
    }
    if spec.title.trim().is_empty() {
        return fail("the title is empty".to_owned());
    }
    if spec.description.trim().is_empty() || spec.description.len() > DESCRIPTION_BYTES_MAX {
        return fail(format!("a description has 1 to {DESCRIPTION_BYTES_MAX} bytes"));
    }
    if spec.annotations.read_only_hint && spec.annotations.destructive_hint {
        return fail("a tool cannot be both read-only and destructive".to_owned());
    }
    if let Err(problem) = input_schema(&spec.input_schema) {
        return fail(format!("input schema: {problem}"));
    }
    if spec
        .output_schema
        .as_ref()
        .is_some_and(|output| output.get("type").and_then(Value::as_str) != Some("object"))
    {
        return fail("output schema: the root must have type object".to_owned());
    }
    for example in &spec.examples {
        if let Err(problem) = example_fits(example, &spec.input_schema) {
            return fail(format!("example {:?}: {problem}", example.title));
        }
    }
    Ok(())
}

fn input_schema(schema: &Value) -> Result<(), String> {
    let root = schema.as_object().ok_or("the root must be an object")?;
    if root.get("type").and_then(Value::as_str) != Some("object") {
        return Err("the root must have type object".to_owned());
    }
    let empty = Map::new();
    let properties = match root.get("properties") {
        None => &empty,
        Some(Value::Object(map)) => map,
        Some(_) => return Err("properties must be an object".to_owned()),
    };
    if let Some((name, _)) = properties.iter().find(|(_, value)| !value.is_object() && !value.is_boolean()) {
        return Err(format!("property {name:?} has no schema"));
    }
    let required = root.get("required").map_or(Ok(&[] as &[Value]), |list| {
        list.as_array().map(Vec::as_slice).ok_or("required must be a list")
    })?;
    for name in required {
        let name = name.as_str().ok_or("required must list names")?;
        if !properties.contains_key(name) {
            return Err(format!("required property {name:?} is not among the properties"));
        }
    }
    Ok(())
}

fn example_fits(example: &ToolExample, schema: &Value) -> Result<(), String> {
    let empty = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    for name in
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    {
        if !example.arguments.contains_key(name) {
            return Err(format!("argument {name:?} is missing"));
        }
    }
    for (name, value) in &example.arguments {
        let Some(property) = properties.get(name) else {
            return Err(format!("argument {name:?} is unknown"));
        };
        if !type_fits(value, property) {
            return Err(format!("argument {name:?} has the wrong type"));
        }
    }
    Ok(())
}

fn type_fits(value: &Value, property: &Value) -> bool {
    let fits = |name: &str| match name {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => false,
    };
    match property.get("type") {
        Some(Value::String(name)) => fits(name),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).any(fits),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcp::ToolAnnotations;
    use serde_json::json;

    fn with_schema(schema: Value) -> ToolSpec {
        ToolSpec::new("t", "Does something.", schema, ToolAnnotations::READ)
    }

    fn problem(spec_under_test: &ToolSpec) -> String {
        spec(spec_under_test).expect_err("must be refused").to_string()
    }

    #[test]
    fn a_good_descriptor_passes_with_its_example() {
        let schema =
            json!({"type": "object", "properties": {"a": {"type": ["integer", "null"]}}, "required": ["a"]});
        let good = with_schema(schema).with_example(ToolExample::new("one", json!({"a": 1})));
        assert_eq!(spec(&good), Ok(()));
    }

    #[test]
    fn each_fault_is_named() {
        assert!(problem(&with_schema(json!([]))).contains("the root must be an object"));
        assert!(problem(&with_schema(json!({"type": "string"}))).contains("type object"));
        assert!(problem(&with_schema(json!({"type": "object", "required": ["x"]}))).contains("\"x\""));
        let base = json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]});
        let missing = with_schema(base.clone()).with_example(ToolExample::new("e", json!({})));
        assert!(problem(&missing).contains("missing"));
        let wrong = with_schema(base.clone()).with_example(ToolExample::new("e", json!({"a": "1"})));
        assert!(problem(&wrong).contains("wrong type"));
        let unknown = with_schema(base.clone()).with_example(ToolExample::new("e", json!({"a": 1, "b": 2})));
        assert!(problem(&unknown).contains("unknown"));
        let output = with_schema(base.clone()).with_output(json!({"type": "array"}));
        assert!(problem(&output).contains("output schema"));
        let name = ToolSpec::new("bad name", "x", base, ToolAnnotations::READ);
        assert!(problem(&name).contains("characters"));
    }

    #[test]
    fn endpoints_are_paths_below_mcp() {
        assert!(endpoint("/mcp").is_ok() && endpoint("/mcp/query").is_ok());
        for bad in ["", "/", "/mcp/", "/mcp/a/b", "query", "/mcp/a b"] {
            assert_eq!(endpoint(bad), Err(RegistryError::Endpoint(bad.to_owned())), "{bad}");
        }
    }
}
