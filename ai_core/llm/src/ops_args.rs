//! Reading the members of an operation, each fault with its own message; it does not know what they mean.

use ai_core::{AiError, AiResult};
use serde_json::{Map, Value};

/// The members of one JSON object.
pub(crate) struct Members<'a> {
    object: &'a Map<String, Value>,
    path: &'static str,
}

impl<'a> Members<'a> {
    pub(crate) fn new(object: &'a Map<String, Value>) -> Self {
        Self { object, path: "" }
    }

    /// Members of an inner object; `path` ends in a dot.
    pub(crate) fn within(object: &'a Map<String, Value>, path: &'static str) -> Self {
        Self { object, path }
    }

    /// Refuses members that nobody reads: a misspelt option must not be ignored.
    pub(crate) fn only(&self, known: &[&str]) -> AiResult<()> {
        let unknown = self.object.keys().find(|k| *k != "type" && !known.contains(&k.as_str()));
        match unknown {
            Some(name) => {
                let all = known.join(", ");
                Err(AiError::invalid(format!("unknown member '{}{name}'; known are {all}", self.path)))
            }
            None => Ok(()),
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.object.get(name).is_some_and(|v| !v.is_null())
    }

    fn typed<T>(
        &self,
        name: &str,
        wanted: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> AiResult<Option<T>> {
        match self.object.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match read(value) {
                Some(found) => Ok(Some(found)),
                None => Err(AiError::invalid(format!("member '{}{name}' must be {wanted}", self.path))),
            },
        }
    }

    pub(crate) fn text(&self, name: &str) -> AiResult<Option<&'a str>> {
        self.typed(name, "a text", Value::as_str)
    }

    pub(crate) fn required_text(&self, name: &str) -> AiResult<&'a str> {
        let text = self.text(name)?.ok_or_else(|| self.missing(name))?;
        if text.trim().is_empty() {
            return Err(AiError::invalid(format!("member '{}{name}' is empty", self.path)));
        }
        Ok(text)
    }

    pub(crate) fn whole(&self, name: &str) -> AiResult<Option<u64>> {
        self.typed(name, "a whole number from 0", Value::as_u64)
    }

    pub(crate) fn number(&self, name: &str) -> AiResult<Option<f64>> {
        self.typed(name, "a number", Value::as_f64)
    }

    pub(crate) fn boolean(&self, name: &str) -> AiResult<Option<bool>> {
        self.typed(name, "true or false", Value::as_bool)
    }

    pub(crate) fn object(&self, name: &str) -> AiResult<Option<&'a Map<String, Value>>> {
        self.typed(name, "an object", Value::as_object)
    }

    /// `documents`: at least one; what is not a text is written as JSON.
    pub(crate) fn documents(&self, documents_max: usize) -> AiResult<Vec<String>> {
        let list = self.typed("documents", "an array", Value::as_array)?;
        let list = list.ok_or_else(|| self.missing("documents"))?;
        if list.is_empty() {
            return Err(AiError::invalid("member 'documents' is empty"));
        }
        if list.len() > documents_max {
            return Err(AiError::limit(format!("{} documents, allowed are {documents_max}", list.len())));
        }
        Ok(list.iter().map(|d| d.as_str().map_or_else(|| d.to_string(), str::to_owned)).collect())
    }

    fn missing(&self, name: &str) -> AiError {
        AiError::invalid(format!("member '{}{name}' is missing", self.path))
    }
}
