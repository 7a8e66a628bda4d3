//! Provider rows out of the columns of a table, as texts, numbers or JSON; it does not know where the table is.

use serde_json::{Map, Value};

use super::{Capabilities, Locality, ProviderKind, ProviderOptions, ProviderRow};
use crate::secret::{SecretResolver, resolve_secret};

impl ProviderRow {
    /// A row out of the columns of the provider table: `name`, `provider`, `url`, `model`, `auth_ref`, `locality`,
    /// `price_input`, `price_output`, `priority`, `max_concurrency`, `context_tokens`, `capabilities`,
    /// `options_json`, `active`, `comment`. NULL and missing columns take their default; numbers and booleans may
    /// be texts.
    ///
    /// # Errors
    /// Every fault, each with the row's name; a key that cannot be resolved is one.
    pub fn from_columns(
        columns: &Map<String, Value>,
        profiles: Option<&dyn SecretResolver>,
    ) -> Result<Self, Vec<String>> {
        let mut read = Columns { columns, faults: Vec::new() };
        let name = read.text("name");
        let kind = read.text("provider");
        let mut row = Self::new(&name, ProviderKind::Openai, read.text("url"), read.text("model"));
        match ProviderKind::parse(&kind) {
            Some(kind) => row.kind = kind,
            None => read.fault(format!("provider '{kind}' is none of openai, anthropic, generic, llama_cpp")),
        }
        let locality = read.text("locality");
        match Locality::parse(&locality) {
            Some(locality) => row.locality = locality,
            None => read.fault(format!("locality '{locality}' is none of auto, local, cloud")),
        }
        match resolve_secret(&read.text("auth_ref"), false, profiles) {
            Ok(key) => row.key = key,
            Err(error) => read.fault(format!("auth_ref: {}", error.message)),
        }
        // A negative price means "unknown", as in the variables.
        row.price_input = read.number("price_input").filter(|p| *p >= 0.0);
        row.price_output = read.number("price_output").filter(|p| *p >= 0.0);
        row.priority = read.number("priority").unwrap_or(0.0) as i64;
        row.max_concurrency = read.number("max_concurrency").unwrap_or(0.0) as u32;
        row.context_tokens = read.number("context_tokens").unwrap_or(0.0) as u64;
        row.active = read.number("active").unwrap_or(1.0) != 0.0;
        match Capabilities::parse(&read.text("capabilities")) {
            Ok(found) => row.capabilities = found,
            Err(why) => read.fault(why),
        }
        match ProviderOptions::parse(&read.text("options_json")) {
            Ok(found) => row.options = found,
            Err(why) => read.fault(why),
        }
        for column in columns.keys().filter(|c| !COLUMNS.contains(&c.as_str())) {
            read.faults.push(format!("unknown column '{column}'"));
        }
        let prefix = |why| format!("provider '{name}': {why}");
        let mut faults: Vec<String> = read.faults.into_iter().map(prefix).collect();
        faults.extend(row.faults());
        if faults.is_empty() { Ok(row) } else { Err(faults) }
    }
}

/// Columns of the provider table.
const COLUMNS: &[&str] = &[
    "name",
    "provider",
    "url",
    "model",
    "auth_ref",
    "locality",
    "price_input",
    "price_output",
    "priority",
    "max_concurrency",
    "context_tokens",
    "capabilities",
    "options_json",
    "active",
    "comment",
];

struct Columns<'a> {
    columns: &'a Map<String, Value>,
    faults: Vec<String>,
}

impl Columns<'_> {
    fn fault(&mut self, why: String) {
        self.faults.push(why);
    }

    fn text(&mut self, name: &str) -> String {
        match self.columns.get(name) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            // options_json and the like may come as JSON already.
            Some(other) => other.to_string(),
        }
    }

    fn number(&mut self, name: &str) -> Option<f64> {
        let found = match self.columns.get(name)? {
            Value::Null => return None,
            Value::Number(number) => number.as_f64(),
            Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
            Value::String(text) if text.trim().is_empty() => return None,
            Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "on" => Some(1.0),
                "false" | "off" => Some(0.0),
                digits => digits.parse().ok(),
            },
            _ => None,
        };
        if found.is_none_or(|n| !n.is_finite()) {
            self.faults.push(format!("{name} is not a number"));
            return None;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_out_of_columns() {
        let columns = |json: serde_json::Value| json.as_object().unwrap().clone();
        let row = ProviderRow::from_columns(
            &columns(serde_json::json!({
                "name": "a", "provider": "anthropic", "url": "https://api.example.com/v1/messages", "model": "m",
                "auth_ref": "env:PATH", "locality": null, "price_input": "3", "price_output": -1, "priority": 2,
                "max_concurrency": 4, "context_tokens": 8000, "capabilities": "system,tools", "active": "true",
                "options_json": "{\"omit\":[\"temperature\"]}", "comment": "x",
            })),
            None,
        )
        .unwrap();
        assert_eq!((row.kind, row.price_input, row.price_output), (ProviderKind::Anthropic, Some(3.0), None));
        assert_eq!((row.max_concurrency, row.context_tokens, row.active), (4, 8_000, true));
        assert!(!row.key.is_empty() && !row.capabilities.stream && row.options.omit == ["temperature"]);
        let faults = ProviderRow::from_columns(
            &columns(serde_json::json!({
                "name": "b", "provider": "nobody", "url": "x", "auth_ref": "sk-literal", "locality": "moon",
                "price_input": "much", "capabilities": "fly", "options_json": "[]", "colour": 1,
            })),
            None,
        )
        .unwrap_err();
        assert_eq!(faults.len(), 8, "{faults:?}");
        assert!(faults.iter().all(|f| f.starts_with("provider 'b': ")));
        assert!(!faults.join(" ").contains("sk-literal"));
    }
}
