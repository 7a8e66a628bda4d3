//! Clauses as tantivy queries; it knows the two text fields, not what is in them.

use ai_core::{AiError, AiResult, TextClause};
use tantivy::Term;
use tantivy::query::{
    BooleanQuery, ConstScoreQuery, EmptyQuery, Occur, PhraseQuery, Query, RegexQuery, TermQuery,
};
use tantivy::schema::{Field, IndexRecordOption};

/// Deepest nesting of clauses.
const DEPTH_MAX: usize = 40;

/// The fields that hold terms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TextFields {
    /// Title and body together; the title several times, which is its weight. Decides scores.
    pub(crate) text: Field,
    /// The title alone.
    pub(crate) title: Field,
    /// Which terms the body has, without places and counts: enough to restrict a clause to the body.
    pub(crate) body: Field,
}

/// Which of the fields a clause looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Both,
    Title,
    Body,
}

pub(crate) fn build(clause: &TextClause, fields: TextFields) -> AiResult<Box<dyn Query>> {
    visit(clause, fields, Scope::Both, 0)
}

fn union(mut queries: Vec<Box<dyn Query>>) -> Box<dyn Query> {
    match queries.len() {
        0 => Box::new(EmptyQuery),
        1 => queries.remove(0),
        _ => Box::new(BooleanQuery::new(queries.into_iter().map(|q| (Occur::Should, q)).collect())),
    }
}

fn term(field: Field, text: &str) -> Box<dyn Query> {
    Box::new(TermQuery::new(Term::from_field_text(field, text), IndexRecordOption::WithFreqs))
}

fn prefix(field: Field, text: &str) -> AiResult<Box<dyn Query>> {
    RegexQuery::from_pattern(&format!("{}.*", escape(text)), field)
        .map(|q| Box::new(q) as Box<dyn Query>)
        .map_err(|e| AiError::invalid(format!("prefix cannot be searched: {e}")))
}

fn phrase(field: Field, words: &[String]) -> Box<dyn Query> {
    Box::new(PhraseQuery::new(words.iter().map(|w| Term::from_field_text(field, w)).collect()))
}

/// Scores by the whole text, but only where all of `present` hold.
fn within(scored: Box<dyn Query>, present: Vec<Box<dyn Query>>) -> Box<dyn Query> {
    let silent = |q: Box<dyn Query>| (Occur::Must, Box::new(ConstScoreQuery::new(q, 0.0)) as Box<dyn Query>);
    Box::new(BooleanQuery::new(
        std::iter::once((Occur::Must, scored)).chain(present.into_iter().map(silent)).collect(),
    ))
}

fn visit(clause: &TextClause, fields: TextFields, scope: Scope, depth: usize) -> AiResult<Box<dyn Query>> {
    if depth > DEPTH_MAX {
        return Err(AiError::invalid("the query is nested too deeply"));
    }
    let field = if scope == Scope::Title { fields.title } else { fields.text };
    let bodies = |words: &[String]| words.iter().map(|w| term(fields.body, w)).collect();
    Ok(match clause {
        TextClause::Term(text) if scope == Scope::Body => {
            within(term(field, text), bodies(std::slice::from_ref(text)))
        }
        TextClause::Term(text) => term(field, text),
        TextClause::Prefix(text) if scope == Scope::Body => prefix(fields.body, text)?,
        TextClause::Prefix(text) => prefix(field, text)?,
        TextClause::Phrase(words) if words.len() < 2 => match words.first() {
            Some(word) => visit(&TextClause::Term(word.clone()), fields, scope, depth + 1)?,
            None => Box::new(EmptyQuery),
        },
        TextClause::Phrase(words) if scope == Scope::Body => within(phrase(field, words), bodies(words)),
        TextClause::Phrase(words) => phrase(field, words),
        TextClause::Title(inner) => visit(inner, fields, Scope::Title, depth + 1)?,
        TextClause::Body(inner) => visit(inner, fields, Scope::Body, depth + 1)?,
        TextClause::Any(clauses) => {
            // Terms side by side in one union let tantivy skip blocks that cannot win.
            union(clauses.iter().map(|c| visit(c, fields, scope, depth + 1)).collect::<AiResult<_>>()?)
        }
        TextClause::All(clauses) if clauses.is_empty() => Box::new(EmptyQuery),
        TextClause::All(clauses) => {
            let parts = clauses
                .iter()
                .map(|c| visit(c, fields, scope, depth + 1).map(|q| (Occur::Must, q)))
                .collect::<AiResult<_>>()?;
            Box::new(BooleanQuery::new(parts))
        }
        TextClause::Without(wanted, unwanted) => Box::new(BooleanQuery::new(vec![
            (Occur::Must, visit(wanted, fields, scope, depth + 1)?),
            (Occur::MustNot, visit(unwanted, fields, scope, depth + 1)?),
        ])),
    })
}

/// Makes every character of a prefix stand for itself in a pattern.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if !c.is_alphanumeric() && c.is_ascii() {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
