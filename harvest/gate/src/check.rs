//! From a text to a verdict: one statement, its kind, its walk; the grammar of each kind lives elsewhere.

use harvest::{
    CheckedStatement, DialectName, GatePolicy, HarvestCode, HarvestError, HarvestResult, LexCaps, LexMode,
    StatementKind, Token, TokenKind, push_blank, scan,
};

use crate::refusal::refuse;
use crate::walk::Walk;
use crate::{explain, parse, pragma, show};

/// One statement as tokens.
pub(crate) struct Source<'a> {
    /// The text as it came.
    pub(crate) sql: &'a str,
    mode: LexMode,
    /// Every token, blanks included.
    all: Vec<Token<'a>>,
    /// The tokens that mean something, without the closing semicolon.
    pub(crate) words: Vec<Token<'a>>,
}

impl<'a> Source<'a> {
    /// Reads `sql` within its bounds and makes sure that it is one statement.
    pub(crate) fn read(dialect: DialectName, sql: &'a str, policy: &GatePolicy) -> HarvestResult<Self> {
        let caps = LexCaps { sql_bytes_max: policy.sql_bytes_max, ..LexCaps::default() };
        let mode = LexMode::of(dialect);
        let all = scan(sql, mode, caps)?;
        let mut words: Vec<Token<'a>> = all.iter().filter(|t| !t.kind.is_blank()).copied().collect();
        if words.last().is_some_and(|t| t.kind == TokenKind::Semicolon) {
            words.pop();
        }
        for (at, token) in words.iter().enumerate() {
            match token.kind {
                // Another escape character would make the name mean something else than what is checked.
                TokenKind::UnicodeIdent if words.get(at + 1).is_some_and(|t| t.is_word("uescape")) => {
                    return refuse("UESCAPE of an identifier", "write the identifier plainly");
                }
                TokenKind::Semicolon => {
                    return refuse(
                        "a second statement",
                        "send exactly one statement a call, without inner semicolons",
                    );
                }
                TokenKind::Hint => return refuse("an optimizer hint", "remove the /*+ … */ comment"),
                TokenKind::ExecutableComment => {
                    return refuse("an executable comment", "write the SQL outside of /*! … */");
                }
                _ => {}
            }
        }
        if words.is_empty() {
            return Err(HarvestError::syntax("the statement is empty", None));
        }
        Ok(Self { sql, mode, all, words })
    }

    /// The text from byte `from` to the last word, ordinary comments as one space.
    pub(crate) fn text_from(&self, from: usize) -> String {
        let end = self.words.last().map_or(0, Token::end);
        if self.all.iter().all(|t| t.kind != TokenKind::Comment) {
            return self.sql.get(from..end).unwrap_or_default().to_owned();
        }
        let mut out = String::with_capacity(end.saturating_sub(from));
        for token in self.all.iter().filter(|t| t.start >= from && t.end() <= end) {
            if token.kind == TokenKind::Comment {
                push_blank(&mut out, self.mode)
            } else {
                out.push_str(token.text)
            }
        }
        out.trim_start().to_owned()
    }
}

/// The read-only gate: passes exactly one allowed statement, with its tables, functions and parameters, or says why not.
///
/// Linear in the statement's length; safe on any stack.
///
/// # Errors
/// `INVALID_ARGUMENT` for what does not parse, `PERMISSION_DENIED` with `construct` for what is not allowed,
/// `LIMIT_EXCEEDED` for size, depth and number of tokens.
pub fn check(dialect: DialectName, sql: &str, policy: &GatePolicy) -> HarvestResult<CheckedStatement> {
    let source = Source::read(dialect, sql, policy)?;
    let first = source.words[0];
    let mysql = matches!(dialect, DialectName::Mysql | DialectName::Mariadb);
    if begins_query(&first) {
        return checked_query(&source, 0, dialect, policy);
    }
    if first.is_word("explain") || (mysql && (first.is_word("describe") || first.is_word("desc"))) {
        return explain::statement(&source, dialect, policy);
    }
    if first.is_word("show") && dialect != DialectName::Sqlite {
        return show::statement(&source, dialect, policy);
    }
    if first.is_word("pragma") && dialect == DialectName::Sqlite {
        return pragma::statement(&source);
    }
    if first.kind == TokenKind::Word && VERBS.iter().any(|v| first.is_word(v)) {
        return refuse(
            &format!("{} statement", first.text.to_ascii_uppercase()),
            "only reading statements are allowed: SELECT, WITH, VALUES, TABLE, SHOW, DESCRIBE, EXPLAIN",
        );
    }
    let text = format!("a statement cannot begin with {:?}", first.text);
    Err(HarvestError::syntax(text, Some(first.start)))
}

pub(crate) fn begins_query(token: &Token<'_>) -> bool {
    token.is_op("(") || ["select", "with", "values", "table"].iter().any(|w| token.is_word(w))
}

/// Checks the query that begins at word `from` of the source.
pub(crate) fn checked_query(
    source: &Source<'_>,
    from: usize,
    dialect: DialectName,
    policy: &GatePolicy,
) -> HarvestResult<CheckedStatement> {
    let words = &source.words[from..];
    let start = words.first().map_or(0, |t| t.start);
    let walked = parse::on_safe_stack(words, || {
        let tree = parse::query(words, dialect).map_err(|e| clearer(e, words))?;
        let mut walk = Walk::new(dialect, policy);
        walk.query(&tree)?;
        Ok(walk.findings())
    })?;
    let mut statement = CheckedStatement::vouched(source.text_from(start), StatementKind::Select);
    (statement.tables, statement.functions) = walked;
    statement.params = params(words);
    Ok(statement)
}

/// Number of parameters to bind.
pub(crate) fn params(words: &[Token<'_>]) -> usize {
    let mut named: Vec<&str> = Vec::new();
    let mut count = 0;
    for token in words.iter().filter(|t| t.kind == TokenKind::Param) {
        match token.text[1..].parse::<usize>() {
            Ok(index) => count = count.max(index),
            Err(_) if token.text.len() == 1 => count += 1,
            Err(_) if named.contains(&token.text) => {}
            Err(_) => {
                named.push(token.text);
                count += 1;
            }
        }
    }
    count
}

/// Turns a syntax error into a refusal where the parser only stumbled over something that is refused anyway.
fn clearer(error: HarvestError, words: &[Token<'_>]) -> HarvestError {
    if error.code != HarvestCode::InvalidArgument {
        return error;
    }
    for (i, token) in words.iter().enumerate().filter(|(_, t)| t.kind == TokenKind::Word) {
        let next = words.get(i + 1);
        let follows = |list: &[&str]| next.is_some_and(|n| list.iter().any(|w| n.is_word(w)));
        let after_dot = i > 0 && words[i - 1].kind == TokenKind::Dot;
        if after_dot {
            continue;
        }
        if token.is_word("into") {
            return HarvestError::gate("INTO", "read the rows instead of storing them");
        }
        if token.is_word("for") && follows(&["update", "share", "no", "key"])
            || token.is_word("lock") && follows(&["in"])
        {
            return HarvestError::gate(
                "a locking clause",
                "remove FOR UPDATE, FOR SHARE or LOCK IN SHARE MODE",
            );
        }
        if token.is_word("procedure") {
            return HarvestError::gate("PROCEDURE", "remove the PROCEDURE clause");
        }
        if (token.is_word("next") || token.is_word("previous")) && follows(&["value"]) {
            return HarvestError::gate("a sequence", "sequences cannot be advanced by a reader");
        }
        let opens = i > 0 && words[i - 1].is_op("(");
        if opens && ["insert", "update", "delete", "merge"].iter().any(|w| token.is_word(w)) && next.is_some()
        {
            return HarvestError::gate("a data-changing common table expression", "use SELECT inside WITH");
        }
    }
    error
}

/// First words of statements that exist but are never allowed, so that they are refused rather than misread.
const VERBS: &[&str] = &[
    "abort",
    "alter",
    "analyse",
    "analyze",
    "attach",
    "backup",
    "begin",
    "binlog",
    "cache",
    "call",
    "change",
    "check",
    "checkpoint",
    "checksum",
    "clone",
    "close",
    "cluster",
    "comment",
    "commit",
    "copy",
    "create",
    "deallocate",
    "declare",
    "delete",
    "detach",
    "desc",
    "describe",
    "discard",
    "do",
    "drop",
    "end",
    "execute",
    "fetch",
    "flush",
    "get",
    "grant",
    "handler",
    "help",
    "import",
    "insert",
    "install",
    "kill",
    "listen",
    "load",
    "lock",
    "merge",
    "move",
    "notify",
    "optimize",
    "pragma",
    "prepare",
    "purge",
    "reassign",
    "refresh",
    "reindex",
    "release",
    "rename",
    "repair",
    "replace",
    "reset",
    "resignal",
    "restart",
    "revoke",
    "rollback",
    "savepoint",
    "security",
    "set",
    "show",
    "shutdown",
    "signal",
    "slave",
    "start",
    "stop",
    "truncate",
    "uninstall",
    "unlisten",
    "unlock",
    "update",
    "use",
    "vacuum",
    "wait",
    "xa",
    "if",
    "case",
    "while",
    "loop",
    "repeat",
    "return",
    "open",
    "leave",
    "iterate",
    "for",
    "from",
];
