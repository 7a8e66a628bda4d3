//! What a query names and how: relations, wildcards, outputs, every identifier; it knows no schema and judges nothing.

use harvest::{DialectName, GatePolicy, HarvestResult, Token, TokenKind};
use sqlparser::ast::{
    Expr, GroupByExpr, Ident, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, OrderByKind, Query,
    Select, SelectItem, SetExpr, TableFactor, TableWithJoins,
};

use crate::check::{Source, begins_query};
use crate::parse;
use crate::text::unquoted;
use crate::walk::Walk;

/// Longest name of PostgreSQL, in bytes; it cuts longer ones.
const POSTGRES_NAME_BYTES_MAX: usize = 63;

/// A relation in a FROM clause.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelationUse {
    /// Schema, as written, folded as by [`fold_identifier`].
    pub schema: Option<String>,
    /// Name, folded.
    pub name: String,
    /// Alias, folded.
    pub alias: Option<String>,
    /// Whether the alias gives the columns other names.
    pub renamed: bool,
    /// Whether all its columns are read without being named.
    pub whole: bool,
    /// Number of the SELECT that it stands in.
    select: usize,
}

/// One item of the outermost select list.
#[derive(Debug, Clone, PartialEq, Eq)]
// Exhaustive: a policy must know each of them.
pub enum OutputUse {
    /// A column and nothing else: its name and its alias, folded.
    Column(String, Option<String>),
    /// `*` or `t.*`.
    Star,
    /// Anything else.
    Other,
}

/// An identifier of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NameUse {
    /// The name, folded.
    pub name: String,
    /// What follows a dot after it: a name, `*`, or something else as the empty text.
    pub member: Option<String>,
}

/// What a query names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ColumnUses {
    /// Relations of every FROM clause, common table expressions by their names included.
    pub relations: Vec<RelationUse>,
    /// Every identifier of the text, keywords too, in order.
    pub names: Vec<NameUse>,
    /// The items of the outermost select list; `None` when the outermost query is no plain SELECT.
    pub outputs: Option<Vec<OutputUse>>,
    /// Whether the outermost select reads exactly one relation.
    pub single: bool,
    /// Whether a join takes its columns by itself.
    pub natural: bool,
    /// Aliases of bracketed joins, folded.
    pub join_aliases: Vec<String>,
    /// Names of common table expressions, folded.
    pub ctes: Vec<String>,
    selects: Vec<usize>,
    selects_seen: usize,
}

/// A name as engines compare it, in the widest sense: two names that some engine takes for one fold to one.
#[must_use]
pub fn fold_identifier(dialect: DialectName, name: &str) -> String {
    let mut name = name;
    if dialect == DialectName::Postgresql && name.len() > POSTGRES_NAME_BYTES_MAX {
        let cut = (0..=POSTGRES_NAME_BYTES_MAX).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
        name = &name[..cut];
    }
    // By way of capitals, so that letters with one capital are one letter.
    name.to_uppercase().to_lowercase()
}

/// Reads what a query names. A text that begins with words before its query, such as the definition of a view, is read
/// from the query on; its functions and objects are not judged.
///
/// # Errors
/// What does not parse as one query of known kinds of nodes.
pub fn column_uses(dialect: DialectName, sql: &str) -> HarvestResult<ColumnUses> {
    let mut policy = GatePolicy::default();
    policy.sql_bytes_max = usize::MAX;
    let source = Source::read(dialect, sql, &policy)?;
    let words = &source.words;
    let query = |at: &usize| words.get(*at).is_some_and(begins_query);
    let word = |at: &usize| query(at) && words[*at].kind == TokenKind::Word;
    let from = if query(&0) {
        0
    } else if words.first().is_some_and(|t| t.is_word("create")) {
        (1..words.len()).filter(|at| words[at - 1].is_word("as")).find(query).unwrap_or(0)
    } else {
        // Options of a plan come before its query.
        (1..words.len()).find(word).unwrap_or(0)
    };
    let words = &words[from..];
    parse::on_safe_stack(words, || {
        let tree = parse::query(words, dialect)?;
        let mut walk = Walk::looking(dialect, &policy);
        walk.query(&tree)?;
        let mut uses = walk.uses();
        uses.names = names(dialect, words);
        uses.top(dialect, &tree);
        Ok(uses)
    })
}

/// The identifiers of any text, for texts that are no queries.
///
/// # Errors
/// What cannot be split into tokens.
pub fn identifiers(dialect: DialectName, text: &str) -> HarvestResult<Vec<NameUse>> {
    let mut policy = GatePolicy::default();
    policy.sql_bytes_max = usize::MAX;
    Source::read(dialect, text, &policy).map(|source| names(dialect, &source.words))
}

fn names(dialect: DialectName, words: &[Token<'_>]) -> Vec<NameUse> {
    let using = words.iter().any(|t| t.is_word("using"));
    // Some engines read a string as a name: as an alias, after a dot, in USING.
    let name = |at: usize| {
        let token = words.get(at)?;
        let after_dot = at > 0 && words[at - 1].kind == TokenKind::Dot;
        let before = at.checked_sub(1).and_then(|i| words.get(i));
        let value_like = before.is_some_and(|b| {
            b.kind == TokenKind::Dot
                || b.is_word("as")
                || matches!(b.kind, TokenKind::QuotedIdent | TokenKind::Close)
                || (b.kind == TokenKind::Word && at > 1)
        });
        match token.kind {
            TokenKind::Word | TokenKind::QuotedIdent | TokenKind::UnicodeIdent => Some(unquoted(token)),
            TokenKind::String if dialect != DialectName::Postgresql && (after_dot || using || value_like) => {
                Some(unquoted(token))
            }
            _ => None,
        }
    };
    let mut found = Vec::new();
    for at in 0..words.len() {
        let Some(text) = name(at) else { continue };
        let dot = words.get(at + 1).is_some_and(|t| t.kind == TokenKind::Dot);
        let member = dot.then(|| match words.get(at + 2) {
            Some(t) if t.text.starts_with('*') => "*".to_owned(),
            Some(_) => name(at + 2).map_or_else(String::new, |n| fold_identifier(dialect, &n)),
            None => String::new(),
        });
        found.push(NameUse { name: fold_identifier(dialect, &text), member });
    }
    found
}

impl ColumnUses {
    fn top(&mut self, dialect: DialectName, query: &Query) {
        let SetExpr::Select(select) = &*query.body else { return };
        let Select { distinct, projection, from, group_by, having, named_window, .. } = &**select;
        let grouped = match group_by {
            GroupByExpr::All(_) => true,
            GroupByExpr::Expressions(list, modifiers) => !list.is_empty() || !modifiers.is_empty(),
        };
        let by_name = query.order_by.as_ref().is_none_or(|order| match &order.kind {
            OrderByKind::All(_) => false,
            OrderByKind::Expressions(list) => {
                list.iter().all(|o| matches!(o.expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)))
            }
        });
        if distinct.is_some() || grouped || having.is_some() || !named_window.is_empty() || !by_name {
            return;
        }
        self.single = matches!(from.as_slice(),
            [TableWithJoins { relation: TableFactor::Table { args: None, .. }, joins }] if joins.is_empty());
        let fold = |ident: &Ident| fold_identifier(dialect, &ident.value);
        let column = |expr: &Expr, alias: Option<&Ident>| match expr {
            Expr::Identifier(ident) => OutputUse::Column(fold(ident), alias.map(fold)),
            Expr::CompoundIdentifier(parts) => match parts.last() {
                Some(last) => OutputUse::Column(fold(last), alias.map(fold)),
                None => OutputUse::Other,
            },
            _ => OutputUse::Other,
        };
        let output = |item: &SelectItem| match item {
            SelectItem::UnnamedExpr(expr) => column(expr, None),
            SelectItem::ExprWithAlias { expr, alias } => column(expr, Some(alias)),
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => OutputUse::Star,
            SelectItem::ExprWithAliases { .. } => OutputUse::Other,
        };
        self.outputs = Some(projection.iter().map(output).collect());
    }

    /// Marks the beginning of a SELECT; what follows stands in it.
    pub(crate) fn enter(&mut self) -> usize {
        self.selects_seen += 1;
        self.selects.push(self.selects_seen);
        self.selects_seen
    }

    /// The end of a SELECT, and whether it reads every column of its relations.
    pub(crate) fn leave(&mut self, select: usize, star: bool) {
        self.selects.pop();
        for relation in self.relations.iter_mut().filter(|r| r.select == select && star) {
            relation.whole = true;
        }
    }

    /// A relation that is read as a whole without a SELECT.
    pub(crate) fn whole(&mut self, dialect: DialectName, schema: Option<&str>, name: &str) {
        self.relations.push(RelationUse {
            schema: schema.map(|s| fold_identifier(dialect, s)),
            name: fold_identifier(dialect, name),
            alias: None,
            renamed: false,
            whole: true,
            select: 0,
        });
    }

    pub(crate) fn whole_name(&mut self, dialect: DialectName, name: &ObjectName) {
        let mut parts = name.0.iter().rev().map(|part| match part {
            ObjectNamePart::Identifier(ident) => ident.value.as_str(),
            ObjectNamePart::Function(_) => "",
        });
        let name = parts.next().unwrap_or_default();
        self.whole(dialect, parts.next(), name);
    }

    pub(crate) fn factor(&mut self, dialect: DialectName, factor: &TableFactor) {
        match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                self.whole_name(dialect, name);
                let select = self.selects.last().copied().unwrap_or(0);
                if let Some(relation) = self.relations.last_mut() {
                    relation.whole = select == 0;
                    relation.select = select;
                    relation.alias = alias.as_ref().map(|a| fold_identifier(dialect, &a.name.value));
                    relation.renamed = alias.as_ref().is_some_and(|a| !a.columns.is_empty());
                }
            }
            TableFactor::NestedJoin { alias: Some(alias), .. } => {
                self.join_aliases.push(fold_identifier(dialect, &alias.name.value));
            }
            _ => {}
        }
    }

    pub(crate) fn join(&mut self, operator: &JoinOperator) {
        let (JoinOperator::Join(on)
        | JoinOperator::Inner(on)
        | JoinOperator::Left(on)
        | JoinOperator::LeftOuter(on)
        | JoinOperator::Right(on)
        | JoinOperator::RightOuter(on)
        | JoinOperator::FullOuter(on)
        | JoinOperator::CrossJoin(on)
        | JoinOperator::StraightJoin(on)) = operator
        else {
            return;
        };
        self.natural |= matches!(on, JoinConstraint::Natural);
    }
}

/// Whether a select list has a wildcard without a name before it.
pub(crate) fn has_star(projection: &[SelectItem]) -> bool {
    projection.iter().any(|item| match item {
        SelectItem::Wildcard(_) => true,
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
            matches!(expr, Expr::Wildcard(_))
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(sql: &str) -> ColumnUses {
        column_uses(DialectName::Postgresql, sql).unwrap()
    }

    #[test]
    fn relations_know_whether_they_are_read_whole() {
        let whole = |sql: &str| -> Vec<(String, bool)> {
            read(sql).relations.into_iter().map(|r| (r.name, r.whole)).collect()
        };
        assert_eq!(whole("SELECT * FROM (SELECT id FROM a) x"), [("a".to_owned(), false)]);
        assert_eq!(whole("SELECT id FROM (SELECT * FROM A) x"), [("a".to_owned(), true)]);
        assert_eq!(whole("SELECT id FROM a WHERE EXISTS (TABLE b)").len(), 2);
        assert_eq!(whole("TABLE a"), [("a".to_owned(), true)]);
        assert_eq!(whole("SELECT count(*) FROM a"), [("a".to_owned(), false)]);
        assert_eq!(whole("CREATE VIEW v(x) AS SELECT * FROM a"), [("a".to_owned(), true)]);
        assert_eq!(whole("EXPLAIN (ANALYZE, FORMAT JSON) SELECT id FROM a"), [("a".to_owned(), false)]);
        assert!(column_uses(DialectName::Postgresql, "DELETE FROM a").is_err());
    }

    #[test]
    fn outputs_are_those_of_a_plain_select() {
        let uses = read("SELECT u.id, \"Email\" AS e, upper(x), count(*) FROM users u ORDER BY id");
        let column = |n: &str, a: Option<&str>| OutputUse::Column(n.into(), a.map(Into::into));
        let outputs = [column("id", None), column("email", Some("e")), OutputUse::Other, OutputUse::Other];
        assert_eq!(uses.outputs.as_deref(), Some(outputs.as_slice()));
        for sql in ["SELECT a FROM t ORDER BY 1", "SELECT DISTINCT a FROM t", "SELECT a FROM t GROUP BY 1"] {
            assert_eq!(read(sql).outputs, None, "{sql}");
        }
        assert!(read("SELECT a FROM t NATURAL JOIN u").natural);
    }

    #[test]
    fn every_spelling_of_a_name_is_found() {
        for sql in ["SELECT EMAIL FROM t", "SELECT U&\"\\0065mail\" FROM t", "SELECT \"eMail\" FROM t"] {
            assert!(read(sql).names.iter().any(|n| n.name == "email"), "{sql}");
        }
        let names = read("SELECT u.*, u.id FROM t u").names;
        let members: Vec<_> = names.iter().filter(|n| n.name == "u").map(|n| n.member.as_deref()).collect();
        assert_eq!(members, [Some("*"), Some("id"), None]);
        assert_eq!(fold_identifier(DialectName::Mariadb, "\u{17f}ecret"), "secret");
    }
}
