//! What a variable is: type, range, default, and the normal form of its value; it does not know which variables exist.

use std::collections::BTreeMap;

/// Longest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;

/// Gives the normal form of a text, or says what is expected.
pub type TextCheck = fn(&str) -> Result<String, &'static str>;

/// Type and range of a variable.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum VariableKind {
    /// true, false, 1, 0, on, off in any case; kept as `true` or `false`.
    Bool,
    /// A whole number.
    Int {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// A number.
    Num {
        /// Smallest value.
        min: f64,
        /// Largest value.
        max: f64,
    },
    /// One of these words, in any case.
    Enum(&'static [&'static str]),
    /// Text; the function, if there is one, gives the normal form or says what is expected.
    Text(Option<TextCheck>),
    /// A secret, never shown. A hashed one is replaced by its salted hash at once.
    Secret {
        /// Whether only a hash is kept.
        hashed: bool,
    },
    /// Text that a start option decides; loads with another value are refused.
    StartOption,
}

/// One variable.
#[derive(Debug, Clone, Copy)]
// Exhaustive: tables of variables are written as literals, also by other crates.
pub struct VariableDef {
    /// Name without the prefix.
    pub name: &'static str,
    /// Type and range.
    pub kind: VariableKind,
    /// Value of a fresh installation.
    pub default: &'static str,
    /// Whether another value restarts the listener.
    pub restarts_listener: bool,
    /// One sentence.
    pub description: &'static str,
}

impl VariableDef {
    /// The type's name in answers.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self.kind {
            VariableKind::Bool => "bool",
            VariableKind::Int { .. } => "int",
            VariableKind::Num { .. } => "num",
            VariableKind::Enum(_) => "enum",
            VariableKind::Text(_) | VariableKind::Secret { .. } | VariableKind::StartOption => "str",
        }
    }

    /// Whether its value is never shown.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, VariableKind::Secret { .. })
    }

    /// What values are accepted, for people.
    #[must_use]
    pub fn expected(&self) -> String {
        match self.kind {
            VariableKind::Bool => "true or false".to_owned(),
            VariableKind::Int { min, max } => format!("a whole number from {min} to {max}"),
            VariableKind::Num { min, max } => format!("a number from {min} to {max}"),
            VariableKind::Enum(words) => format!("one of {}", words.join(", ")),
            VariableKind::Text(_) | VariableKind::Secret { .. } => {
                format!("text of at most {VALUE_BYTES_MAX} bytes")
            }
            VariableKind::StartOption => "the value of the start option".to_owned(),
        }
    }

    /// The normal form of a value.
    ///
    /// # Errors
    /// What would have been accepted.
    pub fn normalise(&self, value: &str) -> Result<String, String> {
        let expected = || self.expected();
        if value.len() > VALUE_BYTES_MAX {
            return Err(format!("text of at most {VALUE_BYTES_MAX} bytes"));
        }
        match self.kind {
            VariableKind::Bool => match value.trim().to_ascii_lowercase().as_str() {
                "true" | "1" | "on" => Ok("true".to_owned()),
                "false" | "0" | "off" => Ok("false".to_owned()),
                _ => Err(expected()),
            },
            VariableKind::Int { min, max } => {
                let number = value.trim().parse::<i64>().ok();
                let number = number.filter(|n| (min..=max).contains(n)).ok_or_else(expected)?;
                Ok(number.to_string())
            }
            VariableKind::Num { min, max } => {
                let number = value.trim().parse::<f64>().ok();
                let number = number.filter(|n| (min..=max).contains(n)).ok_or_else(expected)?;
                Ok(number.to_string())
            }
            VariableKind::Enum(words) => {
                let found = words.iter().find(|word| word.eq_ignore_ascii_case(value.trim()));
                found.map(|word| (*word).to_owned()).ok_or_else(expected)
            }
            VariableKind::Text(None) | VariableKind::Secret { .. } | VariableKind::StartOption => {
                Ok(value.to_owned())
            }
            VariableKind::Text(Some(check)) => check(value).map_err(str::to_owned),
        }
    }
}

/// The variables of one prefix with normal values, for whoever acts on them.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Variables {
    prefix: String,
    values: BTreeMap<String, String>,
}

impl Variables {
    pub(crate) fn new(prefix: &str, values: BTreeMap<String, String>) -> Self {
        Self { prefix: prefix.to_owned(), values }
    }

    /// The value of a variable, named without the prefix; empty if there is no such variable.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.values.get(&format!("{}{name}", self.prefix)).map_or("", String::as_str)
    }

    /// A switch.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        self.text(name) == "true"
    }

    /// A whole number, in the type that the caller needs; values beyond it are cut to its bounds.
    #[must_use]
    pub fn int<T: TryFrom<i64> + Default>(&self, name: &str) -> T {
        let number: i64 = self.text(name).parse().unwrap_or_default();
        T::try_from(number).unwrap_or_default()
    }

    /// A number.
    #[must_use]
    pub fn num(&self, name: &str) -> f64 {
        self.text(name).parse().unwrap_or_default()
    }

    /// The parts of a comma list, without blanks around them and without empty ones.
    #[must_use]
    pub fn list(&self, name: &str) -> Vec<String> {
        self.text(name).split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    /// Names with prefix, and values, secrets included.
    pub(crate) fn values(&self) -> &BTreeMap<String, String> {
        &self.values
    }

    pub(crate) fn values_mut(&mut self) -> &mut BTreeMap<String, String> {
        &mut self.values
    }
}

impl std::fmt::Debug for Variables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Variables").field("prefix", &self.prefix).field("count", &self.values.len()).finish()
    }
}
