//! Tool calls that a model asks for: three read-only look-ups with checked arguments, anything else is refused; it asks no model.

use ai_core::{LlmTool, LlmToolCall};
use serde_json::{Map, Value, json};

use super::hands::Hands;

/// Characters of an answer that go back to the model.
const ANSWER_CHARS_MAX: usize = 12_000;
const QUERY_CHARS_MAX: usize = 256;
const KEY_CHARS_MAX: usize = 512;

/// One look-up: its name for the model, the tool, its only argument.
struct Lookup {
    name: &'static str,
    tool: &'static str,
    argument: &'static str,
    chars_max: usize,
    text: &'static str,
}

const LOOKUPS: &[Lookup] = &[
    Lookup {
        name: "search_objects",
        tool: "catalog.search",
        argument: "query",
        chars_max: QUERY_CHARS_MAX,
        text: "Finds tables and views by words.",
    },
    Lookup {
        name: "get_object",
        tool: "catalog.get_object",
        argument: "object_key",
        chars_max: KEY_CHARS_MAX,
        text: "Reads columns, keys and constraints of one table or view.",
    },
    Lookup {
        name: "get_relationships",
        tool: "catalog.get_relationships",
        argument: "object_key",
        chars_max: KEY_CHARS_MAX,
        text: "Reads what one table or view is linked with.",
    },
];

/// The look-ups as a provider wants them.
pub(crate) fn offered() -> Vec<LlmTool> {
    let schema = |l: &Lookup| {
        json!({"type": "object", "properties": {l.argument: {"type": "string", "maxLength": l.chars_max}},
               "required": [l.argument], "additionalProperties": false})
    };
    LOOKUPS.iter().map(|l| LlmTool::new(l.name, l.text, schema(l))).collect()
}

/// Why a call is refused, or what it answers. Target and run are those of the discovery, never the model's.
pub(crate) fn run(hands: &Hands<'_>, call: &LlmToolCall, allowed: bool) -> Result<String, String> {
    let (lookup, argument) = check(call, allowed)?;
    let mut args = Map::new();
    args.insert(lookup.argument.to_owned(), json!(argument));
    if lookup.tool == "catalog.search" {
        args.insert("limit".to_owned(), json!(10));
    }
    let answer = match hands.call(lookup.tool, Value::Object(args)) {
        Ok(mut answer) => {
            // How long the look-up took says nothing of the object, and would make the same question another one.
            if let Some(map) = answer.as_object_mut() {
                map.remove("stats");
            }
            answer.to_string()
        }
        Err(error) => json!({"error": error.code.as_str(), "message": error.message}).to_string(),
    };
    Ok(answer.chars().take(ANSWER_CHARS_MAX).collect())
}

fn check(call: &LlmToolCall, allowed: bool) -> Result<(&'static Lookup, String), String> {
    if !allowed {
        return Err("no tools are on offer".to_owned());
    }
    let lookup = LOOKUPS.iter().find(|l| l.name == call.name).ok_or("the tool is not on the list")?;
    let Some(args) = call.arguments.as_object() else { return Err("arguments are no object".to_owned()) };
    if args.len() != 1 {
        return Err(format!("the only argument is {}", lookup.argument));
    }
    match args.get(lookup.argument).and_then(Value::as_str) {
        Some(text) if !text.is_empty() && text.chars().count() <= lookup.chars_max => {
            Ok((lookup, text.to_owned()))
        }
        _ => Err(format!("{} is a text of 1 to {} characters", lookup.argument, lookup.chars_max)),
    }
}
