//! PRAGMA of SQLite: the few that read a schema; everything else is refused.

use harvest::{CheckedStatement, HarvestError, HarvestResult, StatementKind, TokenKind};

use crate::check::Source;
use crate::refusal::refuse;
use crate::text::unquoted;

/// Pragmas that read and may be given an object's name.
const WITH_ARGUMENT: &[&str] = &[
    "table_info",
    "table_xinfo",
    "table_list",
    "index_list",
    "index_info",
    "index_xinfo",
    "foreign_key_list",
];

/// Pragmas that only tell a value or a list when they are given none.
const WITHOUT_ARGUMENT: &[&str] = &[
    "application_id",
    "collation_list",
    "compile_options",
    "data_version",
    "encoding",
    "foreign_keys",
    "freelist_count",
    "function_list",
    "module_list",
    "page_count",
    "page_size",
    "pragma_list",
    "schema_version",
    "user_version",
];

/// Whether a pragma may run, with or without an argument.
#[must_use]
pub fn is_allowed_pragma(name: &str, argument: bool) -> bool {
    let name = name.to_ascii_lowercase();
    let name = name.as_str();
    WITH_ARGUMENT.contains(&name) || (!argument && WITHOUT_ARGUMENT.contains(&name))
}

/// `PRAGMA [schema.]name [(argument)]`, rebuilt.
pub(crate) fn statement(source: &Source<'_>) -> HarvestResult<CheckedStatement> {
    let words = &source.words[1..];
    let is_name =
        |at: usize| words.get(at).is_some_and(|t| matches!(t.kind, TokenKind::Word | TokenKind::QuotedIdent));
    let qualified = words.get(1).is_some_and(|t| t.kind == TokenKind::Dot);
    let at = if qualified { 2 } else { 0 };
    if !is_name(0) || !is_name(at) {
        return Err(HarvestError::syntax("PRAGMA needs a name", words.first().map(|t| t.start)));
    }
    let name = unquoted(&words[at]).to_ascii_lowercase();
    if qualified && !matches!(unquoted(&words[0]).to_ascii_lowercase().as_str(), "main" | "temp") {
        return refuse("PRAGMA of another database", "only main exists");
    }
    let rest = &words[at + 1..];
    let argument = match rest {
        [] => None,
        [open, value, close] if open.is_op("(") && close.is_op(")") => match value.kind {
            TokenKind::Word | TokenKind::QuotedIdent | TokenKind::String => {
                Some(unquoted(value).into_owned())
            }
            _ => return refuse(&format!("PRAGMA {name} with a value"), "name a table or an index"),
        },
        _ => return refuse(&format!("PRAGMA {name} with a value"), "pragmas may be read, not set"),
    };
    if !is_allowed_pragma(&name, argument.is_some()) {
        return refuse(
            &format!("PRAGMA {name}"),
            "use table_info, table_xinfo, table_list, index_list, index_info, index_xinfo or foreign_key_list",
        );
    }
    let schema =
        if qualified { format!("{}.", unquoted(&words[0]).to_ascii_lowercase()) } else { String::new() };
    let argument = argument.map(|a| format!("('{}')", a.replace('\'', "''"))).unwrap_or_default();
    Ok(CheckedStatement::vouched(format!("PRAGMA {schema}{name}{argument}"), StatementKind::Pragma))
}
