//! Clauses as tantivy queries; it knows the two text fields, not what is in them.

use ai_core::{AiError, AiResult, TextClause};
use tantivy::Term;
use tantivy::query::{BooleanQuery, EmptyQuery, Occur, PhraseQuery, Query, RegexQuery, TermQuery};
use tantivy::schema::{Field, IndexRecordOption};

/// Deepest nesting of clauses.
const DEPTH_MAX: usize = 40;

/// The fields that hold text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TextFields {
    pub(crate) title: Field,
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

fn targets(fields: TextFields, scope: Scope) -> Vec<Field> {
    match scope {
        Scope::Both => vec![fields.title, fields.body],
        Scope::Title => vec![fields.title],
        Scope::Body => vec![fields.body],
    }
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

fn visit(clause: &TextClause, fields: TextFields, scope: Scope, depth: usize) -> AiResult<Box<dyn Query>> {
    if depth > DEPTH_MAX {
        return Err(AiError::invalid("the query is nested too deeply"));
    }
    Ok(match clause {
        TextClause::Term(text) => union(targets(fields, scope).into_iter().map(|f| term(f, text)).collect()),
        TextClause::Prefix(prefix) => {
            let pattern = format!("{}.*", escape(prefix));
            let one = |field| {
                RegexQuery::from_pattern(&pattern, field)
                    .map(|q| Box::new(q) as Box<dyn Query>)
                    .map_err(|e| AiError::invalid(format!("prefix cannot be searched: {e}")))
            };
            union(targets(fields, scope).into_iter().map(one).collect::<AiResult<_>>()?)
        }
        TextClause::Phrase(words) if words.len() < 2 => match words.first() {
            Some(word) => visit(&TextClause::Term(word.clone()), fields, scope, depth + 1)?,
            None => Box::new(EmptyQuery),
        },
        TextClause::Phrase(words) => {
            let one = |field| {
                let terms = words.iter().map(|w| Term::from_field_text(field, w)).collect();
                Box::new(PhraseQuery::new(terms)) as Box<dyn Query>
            };
            union(targets(fields, scope).into_iter().map(one).collect())
        }
        TextClause::Title(inner) => visit(inner, fields, Scope::Title, depth + 1)?,
        TextClause::Body(inner) => visit(inner, fields, Scope::Body, depth + 1)?,
        TextClause::Any(clauses) => {
            // Terms of all clauses side by side in one union let tantivy skip blocks that cannot win.
            let mut flat: Vec<Box<dyn Query>> = Vec::new();
            for inner in clauses {
                match inner {
                    TextClause::Term(text) => {
                        flat.extend(targets(fields, scope).into_iter().map(|f| term(f, text)))
                    }
                    other => flat.push(visit(other, fields, scope, depth + 1)?),
                }
            }
            union(flat)
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
