//! EXPLAIN: read by options, rebuilt from the checked inner statement; it never passes a caller's text on.

use harvest::{
    CheckedStatement, DialectName, ExplainOptions, GatePolicy, HarvestCode, HarvestError, HarvestResult,
    StatementKind, Token, TokenKind,
};

use crate::check::{Source, begins_query, checked_query};
use crate::refusal::refuse;
use crate::show;

/// EXPLAIN, DESCRIBE or DESC as the first word.
pub(crate) fn statement(
    source: &Source<'_>,
    dialect: DialectName,
    policy: &GatePolicy,
) -> HarvestResult<CheckedStatement> {
    let words = &source.words;
    let (prefix, from) = match dialect {
        DialectName::Postgresql => postgres_prefix(words)?,
        DialectName::Sqlite => sqlite_prefix(words)?,
        DialectName::Mysql | DialectName::Mariadb => match mysql_prefix(words)? {
            Some(found) => found,
            None => return show::describe(source),
        },
    };
    if !policy.allow_explain {
        return Err(HarvestError::new(
            HarvestCode::PermissionDenied,
            "EXPLAIN is switched off for this target; run the query itself",
        )
        .with("by", "policy")
        .with("construct", "EXPLAIN"));
    }
    if !words.get(from).is_some_and(begins_query) {
        let what = words.get(from).map_or("nothing", |t| t.text).to_ascii_uppercase();
        let what: String = what.chars().take(40).collect();
        return refuse(&format!("EXPLAIN of {what}"), "only SELECT, WITH, VALUES and TABLE can be explained");
    }
    let mut inner = checked_query(source, from, dialect, policy)?;
    inner.sql.insert_str(0, &prefix);
    inner.kind = StatementKind::Explain;
    Ok(inner)
}

fn sqlite_prefix(words: &[Token<'_>]) -> HarvestResult<(String, usize)> {
    let plan =
        words.get(1).is_some_and(|t| t.is_word("query")) && words.get(2).is_some_and(|t| t.is_word("plan"));
    Ok(if plan { ("EXPLAIN QUERY PLAN ".into(), 3) } else { ("EXPLAIN ".into(), 1) })
}

/// `EXPLAIN [ANALYZE] [VERBOSE]` or `EXPLAIN (option [value], …)`, rebuilt with the same options.
fn postgres_prefix(words: &[Token<'_>]) -> HarvestResult<(String, usize)> {
    let bracketed = words.get(1).is_some_and(|t| t.is_op("("))
        && words.get(2).is_some_and(|t| POSTGRES_OPTIONS.iter().any(|o| t.is_word(o)));
    if !bracketed {
        let mut at = 1;
        let mut prefix = String::from("EXPLAIN ");
        for word in ["analyze", "verbose"] {
            let alias = word == "analyze" && words.get(at).is_some_and(|t| t.is_word("analyse"));
            if alias || words.get(at).is_some_and(|t| t.is_word(word)) {
                prefix.push_str(&word.to_ascii_uppercase());
                prefix.push(' ');
                at += 1;
            }
        }
        return Ok((prefix, at));
    }
    let mut prefix = String::from("EXPLAIN (");
    let mut at = 2;
    loop {
        let Some(name) = words.get(at).filter(|t| POSTGRES_OPTIONS.iter().any(|o| t.is_word(o))) else {
            return refuse(
                "an EXPLAIN option",
                "use ANALYZE, VERBOSE, COSTS, BUFFERS, TIMING, SUMMARY or FORMAT",
            );
        };
        prefix.push_str(&name.text.to_ascii_uppercase());
        at += 1;
        if let Some(value) = words.get(at).filter(|t| matches!(t.kind, TokenKind::Word | TokenKind::Number)) {
            if !POSTGRES_VALUES.iter().any(|v| value.text.eq_ignore_ascii_case(v)) {
                return refuse("an EXPLAIN option", "use ON, OFF, or FORMAT TEXT, JSON, YAML or XML");
            }
            prefix.push(' ');
            prefix.push_str(&value.text.to_ascii_uppercase());
            at += 1;
        }
        match words.get(at) {
            Some(t) if t.is_op(",") => prefix.push_str(", "),
            Some(t) if t.is_op(")") => break,
            other => {
                let start = other.map(|t| t.start);
                return Err(HarvestError::syntax("EXPLAIN options are not closed", start));
            }
        }
        at += 1;
    }
    prefix.push_str(") ");
    Ok((prefix, at + 1))
}

const POSTGRES_OPTIONS: &[&str] = &[
    "analyze",
    "analyse",
    "verbose",
    "costs",
    "buffers",
    "timing",
    "summary",
    "format",
    "wal",
    "settings",
    "memory",
    "generic_plan",
    "serialize",
];
const POSTGRES_VALUES: &[&str] =
    &["true", "false", "on", "off", "1", "0", "text", "json", "yaml", "xml", "none", "binary"];

/// `None` means that it describes a table.
fn mysql_prefix(words: &[Token<'_>]) -> HarvestResult<Option<(String, usize)>> {
    let mut prefix = String::from("EXPLAIN ");
    let mut at = 1;
    loop {
        let Some(word) = words.get(at) else {
            return Err(HarvestError::syntax("EXPLAIN of nothing", None));
        };
        if begins_query(word) {
            return Ok(Some((prefix, at)));
        }
        let next_op = words.get(at + 1).is_some_and(|t| t.is_op("="));
        if word.is_word("format") && next_op {
            let known = ["json", "traditional", "tree"];
            let Some(format) = words.get(at + 2).filter(|t| known.iter().any(|k| t.is_word(k))) else {
                return refuse("an EXPLAIN format", "use FORMAT=JSON, TRADITIONAL or TREE");
            };
            prefix.push_str("FORMAT=");
            prefix.push_str(&format.text.to_ascii_uppercase());
            prefix.push(' ');
            at += 3;
        } else if at == 1
            && ["extended", "partitions", "analyze"].iter().any(|w| word.is_word(w))
            && words.len() > 2
        {
            prefix.push_str(&word.text.to_ascii_uppercase());
            prefix.push(' ');
            at += 1;
        } else if at == 1 && matches!(word.kind, TokenKind::Word | TokenKind::QuotedIdent) {
            return Ok(None);
        } else {
            return refuse("this form of EXPLAIN", "only SELECT, WITH, VALUES and TABLE can be explained");
        }
    }
}

/// Builds EXPLAIN with fixed options from a passed query; of a passed EXPLAIN the inner query is taken.
///
/// # Errors
/// `FAILED_PRECONDITION` for statements that are no queries and for measuring on SQLite.
pub fn explain(
    dialect: DialectName,
    statement: &CheckedStatement,
    options: ExplainOptions,
) -> HarvestResult<CheckedStatement> {
    let inner = match statement.kind {
        StatementKind::Select => statement.sql.as_str(),
        StatementKind::Explain => inner_of(dialect, &statement.sql)?,
        StatementKind::Show | StatementKind::Describe | StatementKind::Pragma => {
            let text = "only queries have a plan; explain a SELECT";
            return Err(
                HarvestError::new(HarvestCode::FailedPrecondition, text).with("reason", "not_a_query")
            );
        }
    };
    let prefix = match (dialect, options.analyze, options.json) {
        (DialectName::Postgresql, false, false) => "EXPLAIN ",
        (DialectName::Postgresql, false, true) => "EXPLAIN (FORMAT JSON) ",
        (DialectName::Postgresql, true, false) => "EXPLAIN (ANALYZE, BUFFERS) ",
        (DialectName::Postgresql, true, true) => "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ",
        (DialectName::Mysql, true, _) => "EXPLAIN ANALYZE ",
        (DialectName::Mariadb, true, true) => "ANALYZE FORMAT=JSON ",
        (DialectName::Mariadb, true, false) => "ANALYZE ",
        (DialectName::Mysql | DialectName::Mariadb, false, true) => "EXPLAIN FORMAT=JSON ",
        (DialectName::Mysql | DialectName::Mariadb, false, false) => "EXPLAIN ",
        (DialectName::Sqlite, false, _) => "EXPLAIN QUERY PLAN ",
        (DialectName::Sqlite, true, _) => {
            let text = "SQLite cannot measure a plan; ask for the plan without analyze";
            return Err(
                HarvestError::new(HarvestCode::FailedPrecondition, text).with("reason", "engine_lacks_it")
            );
        }
    };
    let mut out = statement.clone();
    out.sql = format!("{prefix}{inner}");
    out.kind = StatementKind::Explain;
    Ok(out)
}

/// The query behind the prefix that [`statement`] or [`explain`] has built.
fn inner_of(dialect: DialectName, sql: &str) -> HarvestResult<&str> {
    let mut policy = GatePolicy::default();
    policy.sql_bytes_max = usize::MAX;
    let source = Source::read(dialect, sql, &policy)?;
    let from = match dialect {
        DialectName::Postgresql => postgres_prefix(&source.words)?.1,
        DialectName::Sqlite => sqlite_prefix(&source.words)?.1,
        DialectName::Mysql | DialectName::Mariadb => mysql_prefix(&source.words)?.map_or(0, |found| found.1),
    };
    let start = source.words.get(from).map_or(0, |t| t.start);
    sql.get(start..).ok_or_else(|| HarvestError::syntax("EXPLAIN of nothing", None))
}
