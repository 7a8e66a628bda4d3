//! What only the text of CREATE statements tells: checks, generated columns, predicates, tables of views; it runs nothing.

use harvest::{
    ConstraintMeta, ConstraintType, DialectName, GatePolicy, LexMode, Lexer, ObjectMeta, Token, TokenKind,
};

fn tokens(sql: &str) -> Vec<Token<'_>> {
    Lexer::new(sql, LexMode::of(DialectName::Sqlite)).filter(|t| !t.kind.is_blank()).collect()
}

fn name(token: &Token<'_>) -> String {
    let text = token.text;
    let inner = || text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
    match token.kind {
        TokenKind::QuotedIdent | TokenKind::String => match &text[..1] {
            "[" => inner().to_owned(),
            quote => inner().replace(&format!("{quote}{quote}"), quote),
        },
        _ => text.to_owned(),
    }
}

/// The position just past the bracket that closes the one at `open`.
fn closing(tokens: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.kind {
            TokenKind::Open => depth += 1,
            TokenKind::Close => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    tokens.len()
}

/// The items of the first bracket, split at its own commas.
fn items<'t, 's>(tokens: &'t [Token<'s>]) -> Vec<&'t [Token<'s>]> {
    let Some(open) = tokens.iter().position(|t| t.kind == TokenKind::Open) else { return Vec::new() };
    let end = closing(tokens, open).saturating_sub(1);
    let (mut out, mut from, mut depth) = (Vec::new(), open + 1, 0_usize);
    for at in open + 1..end {
        match tokens[at].kind {
            TokenKind::Open => depth += 1,
            TokenKind::Close => depth = depth.saturating_sub(1),
            TokenKind::Comma if depth == 0 => {
                out.push(&tokens[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    if let Some(last) = tokens.get(from..end).filter(|l| !l.is_empty()) {
        out.push(last);
    }
    out
}

/// The text between the bracket at `open` and its end, both left out.
fn inside(sql: &str, tokens: &[Token<'_>], open: usize) -> Option<String> {
    let end = closing(tokens, open).checked_sub(1)?;
    let (first, last) = (tokens.get(open)?, tokens.get(end)?);
    sql.get(first.end()..last.start).map(|s| s.trim().to_owned())
}

fn is_table_constraint(item: &[Token<'_>]) -> bool {
    let first = item.first();
    ["constraint", "primary", "unique", "check", "foreign"]
        .iter()
        .any(|w| first.is_some_and(|t| t.is_word(w)))
}

/// The words of an item at its own level, with their positions.
fn own_words<'t, 's>(item: &'t [Token<'s>]) -> impl Iterator<Item = (usize, &'t Token<'s>)> {
    let mut depth = 0_usize;
    item.iter().enumerate().filter(move |(_, token)| {
        match token.kind {
            TokenKind::Open => depth += 1,
            TokenKind::Close => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && token.kind == TokenKind::Word
    })
}

/// Whether the text holds an ASCII word somewhere, even within another one: cheap, and never a false no.
fn mentions(sql: &str, word: &str) -> bool {
    let (text, word) = (sql.as_bytes(), word.as_bytes());
    text.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word))
}

/// Whether a table may have a foreign key.
pub(super) fn mentions_references(sql: &str) -> bool {
    mentions(sql, "references")
}

/// Whether a table may have a column that hides its rowid.
pub(super) fn mentions_rowid(sql: &str) -> bool {
    // `rowid` and `_rowid_` are the other two, and neither holds an `oid`.
    mentions(sql, "rowid") || mentions(sql, "oid")
}

/// Whether the table declares a primary key.
pub(super) fn primary_key(sql: &str) -> bool {
    let mut words = Lexer::new(sql, LexMode::of(DialectName::Sqlite)).filter(|t| !t.kind.is_blank());
    let mut before = false;
    words.any(|token| {
        let both = before && token.is_word("key");
        before = token.is_word("primary");
        both
    })
}

/// Whether the table is declared WITHOUT ROWID.
pub(super) fn without_rowid(sql: &str) -> bool {
    if !mentions(sql, "without") {
        return false;
    }
    let tokens = tokens(sql);
    tokens.windows(2).any(|pair| pair[0].is_word("without") && pair[1].is_word("rowid"))
}

/// The module of a virtual table.
pub(super) fn module(sql: &str) -> Option<String> {
    let tokens = tokens(sql);
    let at = tokens.iter().position(|t| t.is_word("using"))?;
    tokens.get(at + 1).map(name)
}

/// Adds what the pragma leaves out: collations, generation expressions, AUTOINCREMENT.
pub(super) fn describe_columns(object: &mut ObjectMeta) {
    let Some(sql) = object.definition.clone() else { return };
    let interesting = ["collate", "generated", "as", "autoincrement"];
    if !interesting.iter().any(|word| mentions(&sql, word)) {
        return;
    }
    let tokens = tokens(&sql);
    if !tokens.iter().any(|t| interesting.iter().any(|w| t.is_word(w))) {
        return;
    }
    for item in items(&tokens).into_iter().filter(|i| !is_table_constraint(i)) {
        let Some(first) = item.first() else { continue };
        let Some(column) = object.columns.iter_mut().find(|c| c.name.eq_ignore_ascii_case(&name(first)))
        else {
            continue;
        };
        for (at, word) in own_words(item).skip(1) {
            let next = item.get(at + 1);
            if word.is_word("autoincrement") {
                column.extra = "auto_increment".into();
            } else if word.is_word("as") && next.is_some_and(|t| t.is_op("(")) {
                column.generation_expr = inside(&sql, item, at + 1);
            } else if word.is_word("collate")
                && !column.collation.as_deref().is_some_and(|c| c.starts_with('\0'))
            {
                column.collation = next.map(name);
            }
        }
    }
}

/// CHECK constraints of a table, named by their CONSTRAINT or `check_N`.
pub(super) fn checks(object: &ObjectMeta) -> Vec<ConstraintMeta> {
    let Some(sql) = object.definition.as_deref().filter(|sql| mentions(sql, "check")) else {
        return Vec::new();
    };
    let tokens = tokens(sql);
    if !tokens.iter().any(|t| t.is_word("check")) {
        return Vec::new();
    }
    let mut out: Vec<ConstraintMeta> = Vec::new();
    for item in items(&tokens) {
        let column = (!is_table_constraint(item)).then(|| item.first().map(name)).flatten();
        let mut named = None;
        for (at, word) in own_words(item) {
            if word.is_word("constraint") {
                named = item.get(at + 1).map(name);
            } else if word.is_word("check") && item.get(at + 1).is_some_and(|t| t.is_op("(")) {
                let expression = inside(sql, item, at + 1);
                let columns = match &column {
                    Some(column) => vec![column.clone()],
                    None => columns_in(object, &item[at + 1..closing(item, at + 1)]),
                };
                let mut name = named.take().unwrap_or_else(|| format!("check_{}", out.len() + 1));
                while out.iter().any(|c| c.name == name) {
                    name.push('_');
                }
                out.push(ConstraintMeta {
                    name,
                    constraint_type: ConstraintType::Check,
                    columns,
                    expression,
                });
            }
        }
    }
    out
}

fn columns_in(object: &ObjectMeta, part: &[Token<'_>]) -> Vec<String> {
    let mentioned = |column: &str| {
        part.iter()
            .filter(|t| matches!(t.kind, TokenKind::Word | TokenKind::QuotedIdent))
            .any(|t| name(t).eq_ignore_ascii_case(column))
    };
    object.columns.iter().map(|c| c.name.clone()).filter(|c| mentioned(c)).collect()
}

/// Marks foreign keys that are declared DEFERRABLE; the pragma counts them from the last declared one.
pub(super) fn mark_deferrable(object: &mut ObjectMeta) {
    let Some(sql) = object.definition.as_deref() else { return };
    let tokens = tokens(sql);
    if !tokens.iter().any(|t| t.is_word("deferrable")) {
        return;
    }
    let mut declared = Vec::new();
    for item in items(&tokens) {
        let mut open = false;
        for (at, word) in own_words(item) {
            if word.is_word("references") {
                declared.push(false);
                open = true;
            } else if word.is_word("deferrable") && open {
                let not = at > 0 && item[at - 1].is_word("not");
                if let Some(last) = declared.last_mut() {
                    *last = !not;
                }
            }
        }
    }
    if declared.len() != object.foreign_keys.len() {
        return;
    }
    for key in &mut object.foreign_keys {
        let id: usize = key.name.trim_start_matches("fk_").parse().unwrap_or(usize::MAX);
        key.deferrable = declared.len().checked_sub(id.saturating_add(1)).is_some_and(|at| declared[at]);
    }
}

/// The predicate of a partial index.
pub(super) fn predicate(sql: &str) -> Option<String> {
    let tokens = tokens(sql);
    let open = tokens.iter().position(|t| t.kind == TokenKind::Open)?;
    let after = closing(&tokens, open);
    let wher = tokens.get(after).filter(|t| t.is_word("where"))?;
    sql.get(wher.end()..).map(|s| s.trim().to_owned())
}

/// The expression at key part `part` of an index.
pub(super) fn index_expression(sql: &str, part: usize) -> Option<String> {
    let tokens = tokens(sql);
    let items = items(&tokens);
    let mut item = *items.get(part)?;
    while let [rest @ .., last] = item {
        if !(last.is_word("asc") || last.is_word("desc")) {
            break;
        }
        item = rest;
    }
    let (first, last) = (item.first()?, item.last()?);
    sql.get(first.start..last.end()).map(str::to_owned)
}

/// Names of tables that a view's query may read: by its tree where it parses, else every name after FROM, JOIN or a comma.
pub(super) fn view_tables(sql: &str) -> Vec<String> {
    let tokens = tokens(sql);
    let mut depth = 0_usize;
    let body = tokens.iter().position(|token| {
        match token.kind {
            TokenKind::Open => depth += 1,
            TokenKind::Close => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && token.is_word("as")
    });
    let Some(body) = body.and_then(|at| tokens.get(at + 1)) else { return Vec::new() };
    let text = sql.get(body.start..).unwrap_or_default();
    let mut policy = GatePolicy::default();
    policy.sql_bytes_max = usize::MAX;
    if let Ok(checked) = harvest_gate::check(DialectName::Sqlite, text, &policy) {
        return checked.tables.into_iter().map(|t| t.name).collect();
    }
    let mut out = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|i| tokens.get(i));
        let named = matches!(token.kind, TokenKind::Word | TokenKind::QuotedIdent);
        let reads = before.is_some_and(|b| {
            b.is_word("from") || b.is_word("join") || b.is_op(",") || b.is_op("(") || b.kind == TokenKind::Dot
        });
        if named && reads {
            out.push(name(token));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_texts_tell_predicates_and_expressions() {
        let sql = "CREATE INDEX i ON t (lower(a) DESC, b) WHERE c > ')' ";
        assert_eq!(predicate(sql).as_deref(), Some("c > ')'"));
        assert_eq!(index_expression(sql, 0).as_deref(), Some("lower(a)"));
    }

    #[test]
    fn views_tell_their_tables() {
        let sql = "CREATE VIEW v(x) AS WITH c AS (SELECT * FROM \"order\") SELECT * FROM c, main.t JOIN u USING (id)";
        let mut found = view_tables(sql);
        found.sort();
        assert_eq!(found, ["order", "t", "u"]);
    }

    #[test]
    fn checks_keep_their_text_and_columns() {
        let object = ObjectMeta {
            definition: Some(
                "CREATE TABLE t (a INT CHECK (a > 0), b TEXT CONSTRAINT short CHECK (length(b) < 9), CHECK (a <> b))".into(),
            ),
            columns: ["a", "b"]
                .map(|n| harvest::ColumnMeta { name: n.into(), ..harvest::ColumnMeta::default() })
                .to_vec(),
            ..ObjectMeta::default()
        };
        let found = checks(&object);
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].expression.as_deref(), Some("a > 0"));
        assert_eq!(found[1].name, "short");
        assert_eq!(found[2].columns, ["a", "b"]);
    }
}
