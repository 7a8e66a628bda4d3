//! The verbs of the admin interface with all their spellings; it reads words and does nothing.

use std::collections::BTreeMap;

use mcp::ToolError;

use crate::error::ConfigResult;
use crate::family::{Family, VARIABLES};

/// Where rows go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
// Exhaustive: three layers and a file.
pub enum Move {
    /// memory → runtime.
    MemoryToRuntime,
    /// disk → memory.
    DiskToMemory,
    /// configuration file → memory → runtime.
    FileToRuntime,
    /// runtime → memory.
    RuntimeToMemory,
    /// memory → disk.
    MemoryToDisk,
}

/// A layer that can be summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
// Exhaustive: the three layers.
pub enum Layer {
    /// The file.
    Disk,
    /// The database `main`.
    Memory,
    /// What runs.
    Runtime,
}

impl Layer {
    /// The word in verbs and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Memory => "memory",
            Self::Runtime => "runtime",
        }
    }
}

/// One statement of the admin interface that is no SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verb {
    /// LOAD and SAVE.
    Move {
        /// The family's word.
        family: &'static str,
        /// The module's key.
        module: &'static str,
        /// From where to where.
        direction: Move,
        /// The canonical spelling.
        canonical: String,
    },
    /// CHECKSUM.
    Checksum {
        /// The layer.
        layer: Layer,
        /// The family's word.
        family: &'static str,
        /// The module's key.
        module: &'static str,
        /// The canonical spelling.
        canonical: String,
    },
    /// SHOW … STATUS.
    ShowStatus {
        /// The family's word.
        family: &'static str,
    },
    /// SHOW … of a module with one table: what runs, with its state.
    ShowModule {
        /// The `runtime_` table.
        table: &'static str,
    },
    /// SHOW VARIABLES, of one family or of all.
    ShowVariables {
        /// The family's word, if one was named.
        family: Option<&'static str>,
        /// The LIKE pattern.
        like: Option<String>,
    },
    /// SELECT @@name.
    SelectVariable {
        /// The name.
        name: String,
    },
    /// SET name = value.
    Set {
        /// The name.
        name: String,
        /// The value.
        value: String,
    },
    /// SHOW DATABASES.
    ShowDatabases,
    /// SHOW PROCESSLIST: the calls that run.
    ShowProcesslist,
    /// SHOW TABLES.
    ShowTables {
        /// The database, if one was named.
        database: Option<String>,
        /// The LIKE pattern.
        like: Option<String>,
    },
    /// SHOW CREATE TABLE.
    ShowCreateTable {
        /// The table, with its database or without.
        table: String,
    },
}

/// All spellings of the verbs that consist of words alone.
#[derive(Debug)]
pub(crate) struct Verbs {
    spellings: BTreeMap<String, Verb>,
    families: Vec<&'static str>,
}

const DIRECTIONS: &[(&str, Move, &str, &[&str])] = &[
    ("LOAD", Move::MemoryToRuntime, "TO RUNTIME", &["TO RUN", "FROM MEMORY", "FROM MEM"]),
    ("LOAD", Move::DiskToMemory, "TO MEMORY", &["TO MEM", "FROM DISK"]),
    ("LOAD", Move::FileToRuntime, "FROM CONFIG", &[]),
    ("SAVE", Move::RuntimeToMemory, "TO MEMORY", &["TO MEM", "FROM RUNTIME", "FROM RUN"]),
    ("SAVE", Move::MemoryToDisk, "TO DISK", &["FROM MEMORY", "FROM MEM"]),
];

const LAYERS: &[(Layer, &[&str])] =
    &[(Layer::Disk, &["DISK"]), (Layer::Memory, &["MEMORY", "MEM"]), (Layer::Runtime, &["RUNTIME"])];

impl Verbs {
    pub(crate) fn new(families: &[Family]) -> Self {
        let mut spellings = BTreeMap::new();
        for family in families {
            let modules = family.modules.iter().map(|m| (m.key, m.words)).chain([(VARIABLES, "VARIABLES")]);
            for (module, words) in modules {
                for (verb, direction, canonical, aliases) in DIRECTIONS {
                    let head = format!("{verb} {} {words}", family.name);
                    let canonical = format!("{head} {canonical}");
                    let meaning = Verb::Move {
                        family: family.name,
                        module,
                        direction: *direction,
                        canonical: canonical.clone(),
                    };
                    for alias in *aliases {
                        spellings.insert(format!("{head} {alias}"), meaning.clone());
                    }
                    spellings.insert(canonical, meaning);
                }
                for (layer, names) in LAYERS {
                    let tail = format!("{} {words}", family.name);
                    let canonical = format!("CHECKSUM {} {tail}", layer.as_str().to_uppercase());
                    for name in *names {
                        let meaning = Verb::Checksum {
                            layer: *layer,
                            family: family.name,
                            module,
                            canonical: canonical.clone(),
                        };
                        spellings.insert(format!("CHECKSUM {name} {tail}"), meaning);
                    }
                }
            }
            spellings
                .insert(format!("SHOW {} STATUS", family.name), Verb::ShowStatus { family: family.name });
            for module in family.modules {
                if let [table] = module.tables {
                    let meaning = Verb::ShowModule { table: table.name };
                    spellings.insert(format!("SHOW {} {}", family.name, module.words), meaning);
                }
            }
        }
        Self { spellings, families: families.iter().map(|f| f.name).collect() }
    }

    /// Every spelling, sorted.
    pub(crate) fn list(&self) -> Vec<String> {
        self.spellings.keys().cloned().collect()
    }

    /// Reads a statement. `None` means that it is SQL.
    pub(crate) fn parse(&self, text: &str) -> ConfigResult<Option<Verb>> {
        let text = trimmed(text);
        let first = text.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        match first.to_ascii_uppercase().as_str() {
            "SET" => self.set(text).map(Some),
            "SELECT" => Ok(select_variable(text)),
            "SHOW" => self.show(text).map(Some),
            "LOAD" | "SAVE" | "CHECKSUM" => self.words(text).map(Some),
            _ => Ok(None),
        }
    }

    fn words(&self, text: &str) -> ConfigResult<Verb> {
        let plain = text.split_whitespace().collect::<Vec<_>>().join(" ").to_ascii_uppercase();
        self.spellings.get(&plain).cloned().ok_or_else(|| self.unknown(&plain))
    }

    fn show(&self, text: &str) -> ConfigResult<Verb> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let upper: Vec<String> = words.iter().map(|word| word.to_ascii_uppercase()).collect();
        let upper: Vec<&str> = upper.iter().map(String::as_str).collect();
        let family = |word: &str| self.families.iter().find(|name| **name == word).copied();
        match upper.as_slice() {
            ["SHOW", "DATABASES" | "SCHEMAS"] => return Ok(Verb::ShowDatabases),
            ["SHOW", "PROCESSLIST"] | ["SHOW", "FULL", "PROCESSLIST"] => return Ok(Verb::ShowProcesslist),
            ["SHOW", "VARIABLES"] | ["SHOW", "GLOBAL" | "ALL", "VARIABLES"] => {
                return Ok(Verb::ShowVariables { family: None, like: None });
            }
            ["SHOW", "VARIABLES", "LIKE", ..] | ["SHOW", "GLOBAL" | "ALL", "VARIABLES", "LIKE", ..] => {
                return Ok(Verb::ShowVariables { family: None, like: Some(pattern(text)?) });
            }
            ["SHOW", name, "VARIABLES"] if family(name).is_some() => {
                return Ok(Verb::ShowVariables { family: family(name), like: None });
            }
            ["SHOW", name, "VARIABLES", "LIKE", ..] if family(name).is_some() => {
                return Ok(Verb::ShowVariables { family: family(name), like: Some(pattern(text)?) });
            }
            ["SHOW", "TABLES"] => return Ok(Verb::ShowTables { database: None, like: None }),
            ["SHOW", "TABLES", "LIKE", _] => {
                return Ok(Verb::ShowTables { database: None, like: Some(pattern(text)?) });
            }
            ["SHOW", "TABLES", "FROM" | "IN", _] => {
                return Ok(Verb::ShowTables { database: words.last().map(|word| bare(word)), like: None });
            }
            ["SHOW", "TABLES", "FROM" | "IN", _, "LIKE", _] => {
                let database = words.get(3).map(|word| bare(word));
                return Ok(Verb::ShowTables { database, like: Some(pattern(text)?) });
            }
            ["SHOW", "CREATE", "TABLE", _] => {
                return Ok(Verb::ShowCreateTable {
                    table: words.last().map(|w| bare(w)).unwrap_or_default(),
                });
            }
            _ => {}
        }
        self.words(text)
    }

    fn set(&self, text: &str) -> ConfigResult<Verb> {
        let rest = text.get(3..).unwrap_or_default().trim_start();
        let (name, value) = rest.split_once('=').ok_or_else(|| {
            ToolError::invalid("write SET name = value").with("expected", "SET name = value")
        })?;
        let name = bare(name.trim());
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(ToolError::invalid("write SET name = value: the name is one word"));
        }
        Ok(Verb::Set { name, value: unquoted(value.trim())? })
    }

    fn unknown(&self, text: &str) -> ToolError {
        // Whole words count first: a forgotten word is likelier than five wrong letters.
        let mut near: Vec<(usize, usize, &String)> = self
            .spellings
            .keys()
            .map(|known| (differing_words(text, known), distance(text, known), known))
            .collect();
        near.sort();
        let near: Vec<String> = near.into_iter().take(3).map(|(_, _, known)| known.clone()).collect();
        let shown: String = text.chars().take(80).collect();
        ToolError::invalid(format!("{shown:?} is no verb; the nearest are {}", near.join("; ")))
            .with("similar", near)
    }
}

/// Without blanks around it and without one semicolon at the end.
pub(crate) fn trimmed(text: &str) -> &str {
    let text = text.trim();
    text.strip_suffix(';').unwrap_or(text).trim_end()
}

fn select_variable(text: &str) -> Option<Verb> {
    let rest = text.get(6..)?.trim_start().strip_prefix("@@")?;
    let name = rest.trim().to_owned();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (!name.is_empty() && name.chars().all(plain)).then_some(Verb::SelectVariable { name })
}

fn pattern(text: &str) -> ConfigResult<String> {
    let at = text.to_ascii_uppercase().find("LIKE").map_or(text.len(), |at| at + 4);
    unquoted(text.get(at..).unwrap_or_default().trim())
}

/// A name without the quotes around it.
fn bare(text: &str) -> String {
    text.trim_matches(|c| matches!(c, '`' | '"' | '\'')).to_owned()
}

/// A value: quoted, with the quote doubled inside, or as it stands.
fn unquoted(text: &str) -> ConfigResult<String> {
    let Some(quote) = text.chars().next().filter(|c| matches!(c, '\'' | '"')) else {
        return Ok(text.to_owned());
    };
    let inner = text.get(1..).and_then(|rest| rest.strip_suffix(quote));
    let unclosed = || ToolError::invalid("the quotes around the value are not closed");
    let inner = inner.ok_or_else(unclosed)?;
    let doubled = format!("{quote}{quote}");
    let plain = inner.replace(&doubled, "");
    if plain.contains(quote) {
        return Err(ToolError::invalid("a quote inside a quoted value is written twice"));
    }
    Ok(inner.replace(&doubled, &quote.to_string()))
}

/// Words that only one of two texts holds.
fn differing_words(a: &str, b: &str) -> usize {
    let (a, b): (Vec<&str>, Vec<&str>) = (a.split(' ').collect(), b.split(' ').collect());
    let missing = |of: &[&str], from: &[&str]| of.iter().filter(|word| !from.contains(word)).count();
    missing(&a, &b) + missing(&b, &a)
}

/// Edit distance by characters, for suggestions; long texts count by their first 100 characters.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(100).collect(), b.chars().take(100).collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = if x == y { corner } else { corner + 1 };
            corner = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests;
