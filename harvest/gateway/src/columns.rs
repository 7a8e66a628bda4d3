//! Column rules: who may see which column and how; it knows no statement. Reading statements is `judge`, changing values is `sink`.

mod guard;
mod judge;
mod shapes;
mod sink;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use harvest::{HarvestCode, HarvestError};

pub use guard::ColumnGuard;
pub(crate) use judge::{Doubt, judge};
pub(crate) use shapes::{ShapeCache, Shapes};
pub(crate) use sink::{ColumnSink, HashKey};

/// What happens to the values of a column. The later in this order, the stricter.
// Exhaustive: the words of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ColumnAction {
    /// The last four characters of values of eight or more stay; shorter values are masked whole.
    Partial,
    /// A keyed digest: equal values stay equal, nothing can be read back.
    Hash,
    /// Three stars, also for NULL.
    Mask,
    /// NULL.
    Null,
    /// Statements that read the column are refused.
    Deny,
}

impl FromStr for ColumnAction {
    type Err = HarvestError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Ok(match word.to_ascii_lowercase().as_str() {
            "deny" => Self::Deny,
            "mask" => Self::Mask,
            "hash" => Self::Hash,
            "partial" => Self::Partial,
            "null" => Self::Null,
            _ => {
                let message = format!("{word:?} is no action of a column rule");
                return Err(HarvestError::new(HarvestCode::InvalidArgument, message)
                    .with("remedy", "use deny, mask, hash, partial or null"));
            }
        })
    }
}

/// A rule on columns. All patterns are globs (`*` any text, `?` one character) that match in any case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
// Exhaustive: configuration sets each of them.
pub struct ColumnRule {
    /// Pattern of targets.
    pub target: String,
    /// Pattern of callers, by the name of their token.
    pub caller: String,
    /// Pattern of schemas.
    pub schema: String,
    /// Pattern of tables and views.
    pub table: String,
    /// Pattern of columns.
    pub column: String,
    /// What happens.
    pub action: ColumnAction,
}

impl ColumnRule {
    /// A rule for every target, caller and schema.
    pub fn new(table: impl Into<String>, column: impl Into<String>, action: ColumnAction) -> Self {
        let any = || "*".to_owned();
        Self {
            target: any(),
            caller: any(),
            schema: any(),
            table: table.into(),
            column: column.into(),
            action,
        }
    }

    fn on(&self, schema: &str, table: &str) -> bool {
        glob(&self.schema, schema) && glob(&self.table, table)
    }
}

/// The rules that hold for one call.
#[derive(Debug, Clone, Default)]
pub(crate) struct ColumnRules {
    pub(crate) rules: Arc<[ColumnRule]>,
    /// Differs between sets that decide differently; 0 when nothing holds.
    pub(crate) generation: u64,
}

impl ColumnRules {
    pub(crate) fn of(rules: &[ColumnRule], hash_key: &str, target_id: &str, caller: &str) -> Self {
        let holds = |rule: &&ColumnRule| glob(&rule.target, target_id) && glob(&rule.caller, caller);
        let rules: Arc<[ColumnRule]> = rules.iter().filter(holds).cloned().collect();
        if rules.is_empty() {
            return Self::default();
        }
        let mut hasher = DefaultHasher::new();
        (&rules, hash_key).hash(&mut hasher);
        Self { rules, generation: hasher.finish().max(1) }
    }

    /// The strictest action on a column.
    pub(crate) fn action(&self, schema: &str, table: &str, column: &str) -> Option<ColumnAction> {
        let matching = self.rules.iter().filter(|rule| rule.on(schema, table) && glob(&rule.column, column));
        matching.map(|rule| rule.action).max()
    }
}

/// What is done to the rows of a statement that passed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Transform {
    /// Nothing.
    #[default]
    None,
    /// These columns by position.
    ByIndex(Vec<(usize, ColumnAction)>),
    /// These columns by folded name, for a wildcard over one table.
    ByName(Vec<(String, ColumnAction)>),
}

/// Whether `text` matches a glob, in any case; time is bounded by the product of the lengths.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let fold = |s: &str| s.to_uppercase().to_lowercase().chars().collect::<Vec<_>>();
    let (pattern, text) = (fold(pattern), fold(text));
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some('?') => (p, t) = (p + 1, t + 1),
            Some(c) if *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, t) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}
