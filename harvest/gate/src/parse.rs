//! Runs the parser where its recursion cannot hurt; it does not judge what it parsed.

use std::panic::AssertUnwindSafe;

use harvest::{DialectName, HarvestError, HarvestResult, Token as Lexed, TokenKind};
use sqlparser::ast::{Expr, OrderByExpr, Query};
use sqlparser::dialect::{Dialect, MySqlDialect, PostgreSqlDialect, SQLiteDialect};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use crate::convert;
use crate::refusal::syntax;
use crate::rewrite;

/// Stack of the thread that parses large or deep statements.
const STACK_BYTES: usize = 8 * 1024 * 1024;
/// Deepest recursion of the parser; brackets are capped at 100 before.
const RECURSION_MAX: usize = 420;
/// Up to here a statement is parsed on the caller's stack.
const INLINE_TOKENS_MAX: usize = 200;
/// Up to here a statement is parsed on the caller's stack.
const INLINE_DEPTH_MAX: u32 = 12;

static POSTGRES: PostgreSqlDialect = PostgreSqlDialect {};
static MYSQL: MySqlDialect = MySqlDialect {};
static SQLITE: SQLiteDialect = SQLiteDialect {};

fn grammar(dialect: DialectName) -> &'static dyn Dialect {
    match dialect {
        DialectName::Mysql | DialectName::Mariadb => &MYSQL,
        DialectName::Postgresql => &POSTGRES,
        DialectName::Sqlite => &SQLITE,
    }
}

/// Runs `work` on this stack if the tokens are few and flat, else on a thread with a large one.
pub(crate) fn on_safe_stack<T: Send>(
    lexed: &[Lexed<'_>],
    work: impl FnOnce() -> HarvestResult<T> + Send,
) -> HarvestResult<T> {
    let (mut depth, mut deepest) = (0_u32, 0_u32);
    for token in lexed {
        match token.kind {
            TokenKind::Open => depth += 1,
            TokenKind::Close => depth = depth.saturating_sub(1),
            _ if token.is_word("case") => depth += 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    if lexed.len() <= INLINE_TOKENS_MAX && deepest <= INLINE_DEPTH_MAX {
        // A parser that panics must not take its caller along.
        return std::panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| indigestible());
    }
    std::thread::scope(|scope| {
        let spawned = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
        let failed =
            |_| HarvestError::gate("a large statement", "no thread could be had to check it; try again");
        spawned.map_err(failed)?.join().unwrap_or_else(|_| indigestible())
    })
}

fn indigestible<T>() -> HarvestResult<T> {
    Err(HarvestError::gate("a statement that the parser cannot digest", "simplify it"))
}

fn parse<T>(
    lexed: &[Lexed<'_>],
    dialect: DialectName,
    rule: impl Fn(&mut Parser<'_>) -> Result<T, ParserError>,
) -> HarvestResult<T> {
    let words = rewrite::for_parser(lexed, dialect);
    let attempt = |places: bool| -> HarvestResult<T> {
        let mut parser = Parser::new(grammar(dialect))
            .with_recursion_limit(RECURSION_MAX)
            .with_tokens_with_locations(convert::tokens(&words, dialect, places)?);
        let tree = rule(&mut parser).map_err(|e| syntax(&e, dialect))?;
        let rest = parser.peek_token();
        if rest.token == Token::EOF {
            return Ok(tree);
        }
        let column = usize::try_from(rest.span.start.column).unwrap_or(1).saturating_sub(1);
        let text =
            format!("syntax error in {} SQL: unexpected {}", crate::refusal::engine(dialect), rest.token);
        Err(HarvestError::syntax(text, Some(column)))
    };
    // Only what fails is read again with places, for the error.
    attempt(false).or_else(|_| attempt(true))
}

/// One query and nothing else.
pub(crate) fn query(lexed: &[Lexed<'_>], dialect: DialectName) -> HarvestResult<Box<Query>> {
    parse(lexed, dialect, |parser| parser.parse_query())
}

/// One expression and nothing else.
pub(crate) fn expression(lexed: &[Lexed<'_>], dialect: DialectName) -> HarvestResult<Expr> {
    parse(lexed, dialect, |parser| parser.parse_expr())
}

/// One ordering list and nothing else.
pub(crate) fn ordering(lexed: &[Lexed<'_>], dialect: DialectName) -> HarvestResult<Vec<OrderByExpr>> {
    parse(lexed, dialect, |parser| parser.parse_comma_separated(Parser::parse_order_by_expr))
}
