//! Argument validation: JSON Schema with the lossless coercions of the tool contract; it does not know what tools do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind;
use mcp::testing::SchemaCheck;
use mcp::{ArgumentCheck, ParamHeader, ToolError, ToolResult, ToolSpec};
use serde_json::{Map, Value};

use crate::coerce;

/// Names of tools whose compiled schemas are kept.
const NAMES_MAX: usize = 2048;
/// Schemas kept per name: endpoints may have tools of the same name.
const SAME_NAME_MAX: usize = 16;

/// A tool's schema, ready to use.
pub(crate) struct Compiled {
    spec: Arc<ToolSpec>,
    /// `None` for a schema that does not compile: calls are refused.
    input: Option<Validator>,
    /// Arguments that modern clients mirror into headers.
    pub(crate) param_headers: Vec<ParamHeader>,
}

/// Checks arguments and results against JSON Schema 2020-12.
#[derive(Default)]
pub struct JsonSchemaCheck {
    compiled: Mutex<HashMap<String, Vec<Arc<Compiled>>>>,
}

impl JsonSchemaCheck {
    /// A check that compiles each schema at its first use.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn compiled(&self, spec: &Arc<ToolSpec>) -> Arc<Compiled> {
        let mut map = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = map.get(&spec.name) {
            let same = known.iter().find(|c| Arc::ptr_eq(&c.spec, spec));
            if let Some(found) =
                same.or_else(|| known.iter().find(|c| c.spec.input_schema == spec.input_schema))
            {
                return Arc::clone(found);
            }
        }
        if map.len() >= NAMES_MAX {
            map.clear();
        }
        let compiled = Arc::new(Compiled {
            spec: Arc::clone(spec),
            input: compile(&spec.input_schema),
            param_headers: ParamHeader::of_schema(&spec.input_schema),
        });
        let known = map.entry(spec.name.clone()).or_default();
        if known.len() >= SAME_NAME_MAX {
            known.remove(0);
        }
        known.push(Arc::clone(&compiled));
        compiled
    }
}

fn compile(schema: &Value) -> Option<Validator> {
    // No retriever: a schema that refers to another document does not compile.
    jsonschema::draft202012::options().should_validate_formats(false).build(schema).ok()
}

impl ArgumentCheck for JsonSchemaCheck {
    fn check(&self, spec: &Arc<ToolSpec>, arguments: &mut Map<String, Value>) -> ToolResult<()> {
        let compiled = self.compiled(spec);
        let validator = compiled.input.as_ref().ok_or_else(|| {
            ToolError::internal(format!("the input schema of {} does not compile", spec.name))
        })?;
        coerce::arguments(&spec.input_schema, arguments);
        let value = Value::Object(std::mem::take(arguments));
        let verdict = if validator.is_valid(&value) { Ok(()) } else { Err(first_error(validator, &value)) };
        if let Value::Object(map) = value {
            *arguments = map;
        }
        verdict
    }
}

impl SchemaCheck for JsonSchemaCheck {
    fn check(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let validator = compile(schema).ok_or_else(|| "the schema does not compile".to_owned())?;
        validator.validate(value).map_err(|error| format!("{}: {error}", error.instance_path()))
    }
}

fn first_error(validator: &Validator, value: &Value) -> ToolError {
    let Some(error) = validator.iter_errors(value).next() else {
        return ToolError::invalid("the arguments do not fit the schema");
    };
    let path = error.instance_path().to_string();
    let mut argument = path.trim_start_matches('/').replace('/', ".");
    let mut got = short(error.instance());
    let expected = match error.kind() {
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            argument = if argument.is_empty() { name.to_owned() } else { format!("{argument}.{name}") };
            got = "nothing".to_owned();
            "a value".to_owned()
        }
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            argument = unexpected.first().cloned().unwrap_or_default();
            got = "an unknown argument".to_owned();
            "only the arguments that the schema names".to_owned()
        }
        ValidationErrorKind::Type { kind } => match kind {
            jsonschema::error::TypeKind::Single(kind) => kind.to_string(),
            jsonschema::error::TypeKind::Multiple(kinds) => {
                kinds.into_iter().map(|k| k.to_string()).collect::<Vec<_>>().join(" or ")
            }
        },
        ValidationErrorKind::Enum { options } => format!("one of {}", short(options)),
        ValidationErrorKind::Constant { expected_value } => short(expected_value),
        ValidationErrorKind::Minimum { limit } => format!("at least {limit}"),
        ValidationErrorKind::Maximum { limit } => format!("at most {limit}"),
        ValidationErrorKind::MinLength { limit } => format!("at least {limit} characters"),
        ValidationErrorKind::MaxLength { limit } => format!("at most {limit} characters"),
        ValidationErrorKind::MinItems { limit } => format!("at least {limit} items"),
        ValidationErrorKind::MaxItems { limit } => format!("at most {limit} items"),
        ValidationErrorKind::Pattern { pattern } => format!("text that matches {pattern}"),
        _ => clip(&error.to_string()),
    };
    ToolError::invalid(format!("argument {argument:?}: expected {expected}, got {got}"))
        .with("argument", argument)
        .with("expected", expected)
        .with("got", got)
}

fn short(value: &Value) -> String {
    clip(&value.to_string())
}

fn clip(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use mcp::ToolAnnotations;
    use serde_json::json;

    use super::*;

    fn check(arguments: Value) -> Result<Value, Value> {
        let schema = json!({"type": "object", "additionalProperties": false, "required": ["sql"], "properties": {
            "sql": {"type": "string", "maxLength": 5},
            "limit": {"type": "integer", "minimum": 1, "maximum": 9},
            "mode": {"type": "string", "enum": ["a", "b"]},
        }});
        let spec = Arc::new(ToolSpec::new("t", "T.", schema, ToolAnnotations::READ));
        let Value::Object(mut map) = arguments else { panic!("an object") };
        match ArgumentCheck::check(&JsonSchemaCheck::new(), &spec, &mut map) {
            Ok(()) => Ok(Value::Object(map)),
            Err(error) => Err(error.to_value()["error"]["details"].clone()),
        }
    }

    #[test]
    fn failures_name_argument_expected_and_got() {
        let failures: Vec<_> = [
            json!({}),
            json!({"sql": 1}),
            json!({"sql": "123456"}),
            json!({"sql": "a", "limit": 10}),
            json!({"sql": "a", "limit": "x"}),
            json!({"sql": "a", "mode": "c"}),
            json!({"sql": "a", "nope": 1}),
        ]
        .into_iter()
        .map(|arguments| check(arguments).unwrap_err())
        .collect();
        insta::assert_json_snapshot!(failures);
    }

    #[test]
    fn lossless_coercions_are_made() {
        assert_eq!(
            check(json!({"sql": "a", "limit": "7", "mode": null})),
            Ok(json!({"sql": "a", "limit": 7}))
        );
    }
}
