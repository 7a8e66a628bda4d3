//! SHOW and DESCRIBE: short grammars of their own, because each must be known to reveal nothing it should not.

use harvest::{
    CheckedStatement, DialectName, FragmentKind, GatePolicy, HarvestError, HarvestResult, StatementKind,
    TableRef, Token, TokenKind,
};

use crate::check::Source;
use crate::fragment::check_fragment;
use crate::refusal::refuse;
use crate::text::unquoted;

const REMEDY: &str = "use SHOW DATABASES, TABLES, TABLE STATUS, COLUMNS, INDEX, CREATE …, COLLATION, CHARACTER SET, \
                      ENGINES or WARNINGS";

/// SHOW of PostgreSQL, MySQL or MariaDB.
pub(crate) fn statement(
    source: &Source<'_>,
    dialect: DialectName,
    policy: &GatePolicy,
) -> HarvestResult<CheckedStatement> {
    if dialect == DialectName::Postgresql { postgres(source) } else { mysql(source, dialect, policy) }
}

/// Settings of PostgreSQL that hold no path, host or secret.
const POSTGRES_SETTINGS: &[&str] = &[
    "application_name",
    "bytea_output",
    "client_encoding",
    "datestyle",
    "default_text_search_config",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "extra_float_digits",
    "in_hot_standby",
    "integer_datetimes",
    "intervalstyle",
    "is_superuser",
    "jit",
    "lc_collate",
    "lc_ctype",
    "lc_messages",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "lock_timeout",
    "max_connections",
    "max_identifier_length",
    "max_index_keys",
    "random_page_cost",
    "row_security",
    "search_path",
    "server_encoding",
    "server_version",
    "server_version_num",
    "standard_conforming_strings",
    "statement_timeout",
    "timezone",
    "transaction_isolation",
    "transaction_read_only",
    "wal_level",
    "work_mem",
    "shared_buffers",
    "effective_cache_size",
    "block_size",
];

/// Whether a setting of PostgreSQL may be read.
pub(crate) fn is_readable_setting(name: &str) -> bool {
    POSTGRES_SETTINGS.contains(&name.to_ascii_lowercase().as_str())
}

fn postgres(source: &Source<'_>) -> HarvestResult<CheckedStatement> {
    let names: Vec<String> = source.words[1..].iter().map(|t| unquoted(t).to_ascii_lowercase()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let sql = match names.as_slice() {
        ["time", "zone"] => "SHOW TIME ZONE".to_owned(),
        ["transaction", "isolation", "level"] => "SHOW TRANSACTION ISOLATION LEVEL".to_owned(),
        [name] if is_readable_setting(name) => format!("SHOW {name}"),
        _ => {
            return refuse(
                "SHOW of this setting",
                "only settings without paths, hosts or secrets may be shown",
            );
        }
    };
    Ok(CheckedStatement::vouched(sql, StatementKind::Show))
}

/// Names of MySQL variables may begin with these; each tells a version, a limit or a mode.
const MYSQL_VARIABLES: &[&str] = &[
    "auto_increment_",
    "autocommit",
    "character_set_",
    "collation",
    "cte_max",
    "default_storage_engine",
    "group_concat_max",
    "have_",
    "innodb_buffer_pool_size",
    "innodb_page_size",
    "innodb_version",
    "lc_time",
    "lower_case_",
    "max_allowed",
    "max_connections",
    "max_execution",
    "max_statement",
    "performance_schema",
    "protocol_version",
    "read_only",
    "sql_mode",
    "storage_engine",
    "system_time_zone",
    "time_zone",
    "transaction_",
    "tx_",
    "version",
    "wait_timeout",
    "interactive_timeout",
    "max_user_connections",
];

/// A cursor over the words of one SHOW or DESCRIBE.
struct Words<'a, 's> {
    words: &'a [Token<'s>],
    at: usize,
}

impl<'s> Words<'_, 's> {
    fn take(&mut self, word: &str) -> bool {
        let found = self.words.get(self.at).is_some_and(|t| t.is_word(word));
        self.at += usize::from(found);
        found
    }

    fn take_any(&mut self, words: &[&str]) -> bool {
        words.iter().any(|w| self.take(w))
    }

    fn name(&mut self) -> Option<String> {
        let token = self.words.get(self.at)?;
        matches!(token.kind, TokenKind::Word | TokenKind::QuotedIdent).then(|| {
            self.at += 1;
            unquoted(token).into_owned()
        })
    }

    /// `name` or `schema.name`.
    fn object(&mut self) -> HarvestResult<TableRef> {
        let at = self.words.get(self.at).map(|t| t.start);
        let missing = || HarvestError::syntax("the name of an object is missing", at);
        let first = self.name().ok_or_else(missing)?;
        if self.words.get(self.at).is_some_and(|t| t.kind == TokenKind::Dot) {
            self.at += 1;
            let name = self.name().ok_or_else(missing)?;
            return Ok(TableRef { schema: Some(first), name });
        }
        Ok(TableRef { schema: None, name: first })
    }

    fn rest(&self) -> &[Token<'s>] {
        self.words.get(self.at..).unwrap_or_default()
    }
}

fn mysql(source: &Source<'_>, dialect: DialectName, policy: &GatePolicy) -> HarvestResult<CheckedStatement> {
    let mut words = Words { words: &source.words, at: 1 };
    let mut table = None;
    if words.take("create") {
        let known =
            words.take_any(&["table", "view", "procedure", "function", "trigger", "database", "schema"]);
        if !known {
            return refuse("this SHOW CREATE", "use SHOW CREATE TABLE, VIEW, PROCEDURE, FUNCTION or TRIGGER");
        }
        if words.take("if") && !(words.take("not") && words.take("exists")) {
            return refuse("this SHOW CREATE", "leave IF NOT EXISTS out");
        }
        table = Some(words.object()?);
        return finish(source, words.rest().is_empty(), table);
    }
    let session = words.take_any(&["global", "session", "local"]);
    if words.take("variables") {
        return variables(source, words.rest());
    }
    let scoped = !session && words.take_any(&["extended", "full"]) | words.take("full");
    if session {
        return refuse("this SHOW", REMEDY);
    }
    if words.take_any(&["databases", "schemas", "collation", "charset"])
        || (words.take("character") && words.take("set"))
    {
        // Only a filter may follow.
    } else if words.take("tables") || (words.take("table") && words.take("status")) {
        schema_clause(&mut words)?;
    } else if words.take_any(&["columns", "fields", "index", "indexes", "keys"]) {
        if !words.take_any(&["from", "in"]) {
            return Err(HarvestError::syntax("SHOW needs FROM and a table", None));
        }
        let mut named = words.object()?;
        if let Some(schema) = schema_clause(&mut words)? {
            named.schema = Some(schema);
        }
        table = Some(named);
    } else if !scoped && (words.take("engines") || (words.take("storage") && words.take("engines"))) {
        return finish(source, words.rest().is_empty(), None);
    } else if !scoped && words.take("warnings") {
        let plain = words.rest().iter().all(|t| {
            t.is_word("limit")
                || t.is_word("offset")
                || matches!(t.kind, TokenKind::Number | TokenKind::Comma)
        });
        return finish(source, plain, None);
    } else {
        return refuse("this SHOW", REMEDY);
    }
    filter(words.rest(), dialect, policy, source)?;
    finish(source, true, table)
}

fn schema_clause(words: &mut Words<'_, '_>) -> HarvestResult<Option<String>> {
    if !words.take_any(&["from", "in"]) {
        return Ok(None);
    }
    let at = words.rest().first().map(|t| t.start);
    words.name().map(Some).ok_or_else(|| HarvestError::syntax("the name of a database is missing", at))
}

/// Nothing, LIKE 'pattern', or WHERE with an expression that the gate passes.
fn filter(
    rest: &[Token<'_>],
    dialect: DialectName,
    policy: &GatePolicy,
    source: &Source<'_>,
) -> HarvestResult<()> {
    match rest {
        [] => Ok(()),
        [like, pattern] if like.is_word("like") && pattern.kind == TokenKind::String => Ok(()),
        [first, .., last] if first.is_word("where") => {
            let predicate = source.sql.get(first.end()..last.end()).unwrap_or_default();
            check_fragment(dialect, predicate, FragmentKind::Predicate, policy).map(drop)
        }
        [odd, ..] => Err(HarvestError::syntax("SHOW may end with LIKE or WHERE", Some(odd.start))),
    }
}

fn variables(source: &Source<'_>, rest: &[Token<'_>]) -> HarvestResult<CheckedStatement> {
    if let [like, pattern] = rest
        && like.is_word("like")
        && pattern.kind == TokenKind::String
    {
        let pattern = unquoted(pattern).to_ascii_lowercase().replace("\\_", "_");
        let fixed = pattern.split('%').next().unwrap_or_default();
        if MYSQL_VARIABLES.iter().any(|v| fixed.starts_with(v)) {
            return finish(source, true, None);
        }
    }
    refuse("SHOW VARIABLES", "add LIKE with the name of a harmless variable, such as LIKE 'version%'")
}

fn finish(source: &Source<'_>, whole: bool, table: Option<TableRef>) -> HarvestResult<CheckedStatement> {
    if !whole {
        return refuse("this SHOW", REMEDY);
    }
    let mut statement =
        CheckedStatement::vouched(source.text_from(source.words[0].start), StatementKind::Show);
    statement.tables.extend(table);
    Ok(statement)
}

/// `DESCRIBE table [column | 'pattern']` of MySQL.
pub(crate) fn describe(source: &Source<'_>) -> HarvestResult<CheckedStatement> {
    let mut words = Words { words: &source.words, at: 1 };
    words.take("table");
    let table = words.object()?;
    match words.rest() {
        [] => {}
        [one] if matches!(one.kind, TokenKind::Word | TokenKind::QuotedIdent | TokenKind::String) => {}
        [odd, ..] => {
            return Err(HarvestError::syntax("DESCRIBE takes one table and one column", Some(odd.start)));
        }
    }
    let mut statement =
        CheckedStatement::vouched(source.text_from(source.words[0].start), StatementKind::Describe);
    statement.tables.push(table);
    Ok(statement)
}
