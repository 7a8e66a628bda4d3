//! `invalidate_cache`: drops entries by the text of their statement or by a table that they read.

use harvest_gateway::CacheEntryInfo;
use mcp::{ToolAnnotations, ToolError, ToolResult};
use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::views::Readers;
use super::{enabled, sees};
use crate::deps::{Call, Frame};
use crate::ops::{OpsDeps, OpsTool, glob, known_target};

pub(super) struct InvalidateCache;

/// How a pattern is read.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum PatternKind {
    /// `*` stands for any text; the whole statement must fit.
    #[default]
    Glob,
    /// A regular expression that is found somewhere in the statement.
    Regex,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {
    /// Pattern over the statement without comments and with single blanks. Exactly one of pattern and table.
    #[schemars(length(min = 1, max = 1024))]
    pattern: Option<String>,
    /// `schema.table` or `table`. Exactly one of pattern and table.
    #[schemars(length(min = 1, max = 512))]
    table: Option<String>,
    /// How the pattern is read.
    #[serde(default)]
    pattern_kind: PatternKind,
    /// Only this target.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// Only statements of this schema.
    #[schemars(length(min = 1, max = 256))]
    schema: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// The pattern, if one was given.
    pattern: Option<String>,
    /// The table, if one was given.
    table: Option<String>,
    /// Entries that were dropped.
    invalidated: usize,
    /// Entries that stay.
    remaining: usize,
}

impl OpsTool for InvalidateCache {
    type Args = Args;
    type Output = Output;
    const NAME: &'static str = "invalidate_cache";
    const TITLE: &'static str = "Drop cached results";
    const TEXT: &'static str = "Drops the cached results whose statement fits a pattern or reads a table, itself or through views, after the data has changed for \
        instance. Give exactly one of pattern and table.";
    const TOOLSET: &'static str = "cache";
    const HINTS: ToolAnnotations = ToolAnnotations::DESTRUCTIVE_IDEMPOTENT;

    fn example() -> (&'static str, Value) {
        ("The table orders has new rows", json!({"table": "orders"}))
    }

    fn run(deps: &OpsDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(Output, Frame)> {
        known_target(call, args.target_id.as_deref())?;
        let fits = matcher(&args)?;
        enabled(call)?;
        let cache = deps.tools.gateway.cache();
        let wanted = |entry: &CacheEntryInfo| {
            sees(call, &entry.target_id)
                && args.target_id.as_deref().is_none_or(|t| t == entry.target_id)
                && args.schema.as_deref().is_none_or(|s| s == entry.schema)
        };
        let entries: Vec<_> = cache.entries().into_iter().filter(|entry| wanted(entry)).collect();
        let readers = args.table.as_deref().map(|table| Readers::find(call, table, &entries));
        let (invalidated, _) = cache.invalidate(|entry| {
            wanted(entry)
                && (fits(&entry.sql, &entry.schema, &entry.tables)
                    || readers.as_ref().is_some_and(|readers| readers.hold(entry)))
        });
        let remaining = cache.stats().entries;
        Ok((Output { pattern: args.pattern, table: args.table, invalidated, remaining }, Frame::new()))
    }
}

type Matcher = Box<dyn Fn(&str, &str, &[String]) -> bool>;

fn matcher(args: &Args) -> ToolResult<Matcher> {
    match (&args.pattern, &args.table) {
        (Some(pattern), None) => match args.pattern_kind {
            PatternKind::Glob => {
                let pattern = pattern.clone();
                Ok(Box::new(move |sql, _, _| glob(&pattern, sql)))
            }
            PatternKind::Regex => {
                let regex = Regex::new(pattern).map_err(|e| {
                    ToolError::invalid(format!("pattern is no regular expression: {e}"))
                        .with("argument", "pattern")
                })?;
                Ok(Box::new(move |sql, _, _| regex.is_match(sql)))
            }
        },
        (None, Some(table)) => {
            let wanted = table.clone();
            Ok(Box::new(move |_, schema, tables| tables.iter().any(|name| reads(&wanted, name, schema))))
        }
        _ => Err(ToolError::invalid("give exactly one of pattern and table").with("argument", "pattern")),
    }
}

/// Whether a table of an entry is the wanted one; a schema that is not known fits any.
pub(super) fn reads(wanted: &str, name: &str, schema: &str) -> bool {
    let split = |text: &str| match text.rsplit_once('.') {
        Some((schema, table)) => (schema.to_owned(), table.to_owned()),
        None => (String::new(), text.to_owned()),
    };
    let ((wanted_schema, wanted_table), (mut its_schema, its_table)) = (split(wanted), split(name));
    if its_schema.is_empty() {
        schema.clone_into(&mut its_schema);
    }
    let same =
        wanted_schema.is_empty() || its_schema.is_empty() || wanted_schema.eq_ignore_ascii_case(&its_schema);
    same && wanted_table.eq_ignore_ascii_case(&its_table)
}
