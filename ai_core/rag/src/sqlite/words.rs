//! Full text inside the SQLite file (FTS5, in the documents' own transaction); it knows terms, not texts.

use ai_core::{AiError, AiResult, Allowed, TextClause, TextHit};
use rusqlite::{Connection, params};

use super::session::list;
use crate::database::Words;
use crate::sql::sql;

/// Weight of a term in the title against one in the body.
const TITLE_WEIGHT: f64 = 3.0;

/// Deepest nesting of a query's clauses.
const DEPTH_MAX: usize = 40;

impl Words for Connection {
    fn add(&self, chunk_pk: i64, title: &[String], body: &[String]) -> AiResult<()> {
        self.prepare_cached("INSERT INTO rag_fts_chunks (rowid, title, body) VALUES (?1, ?2, ?3)")
            .and_then(|mut s| s.execute(params![chunk_pk, title.join(" "), body.join(" ")]))
            .map(drop)
            .map_err(sql)
    }

    fn remove(&self, chunk_pk: i64) -> AiResult<()> {
        self.prepare_cached("DELETE FROM rag_fts_chunks WHERE rowid = ?1")
            .and_then(|mut s| s.execute([chunk_pk]))
            .map(drop)
            .map_err(sql)
    }

    fn clear(&self) -> AiResult<()> {
        Connection::execute(self, "INSERT INTO rag_fts_chunks (rag_fts_chunks) VALUES ('delete-all')", [])
            .map(drop)
            .map_err(sql)
    }

    fn count(&self) -> AiResult<u64> {
        self.query_row("SELECT count(*) FROM rag_fts_chunks_docsize", [], |r| r.get::<_, i64>(0))
            .map(|n| n.max(0) as u64)
            .map_err(sql)
    }

    fn search(&self, query: &TextClause, k: usize, allowed: &Allowed) -> AiResult<Vec<TextHit>> {
        let mut text = String::new();
        if !expression(query, &mut text, 0)? {
            return Ok(Vec::new());
        }
        let mut statement = "SELECT rowid, -bm25(rag_fts_chunks, ?2, 1.0) AS score FROM rag_fts_chunks \
                             WHERE rag_fts_chunks MATCH ?1"
            .to_owned();
        let pks = allowed.chunk_pks.as_ref().map(|pks| list(pks));
        let sources = allowed.source_ids.as_ref().map(|ids| list(ids));
        if pks.is_some() {
            // The unary plus keeps SQLite from looking every key up in the index one by one.
            statement.push_str(" AND +rowid IN (SELECT value FROM json_each(?4))");
        }
        if sources.is_some() {
            statement.push_str(
                " AND +rowid IN (SELECT chunk_pk FROM rag_chunks WHERE source_id IN (SELECT value FROM json_each(?5)))",
            );
        }
        statement.push_str(" ORDER BY score DESC, rowid LIMIT ?3");
        let mut statement = self.prepare_cached(&statement).map_err(sql)?;
        statement.raw_bind_parameter(1, &text).map_err(sql)?;
        statement.raw_bind_parameter(2, TITLE_WEIGHT).map_err(sql)?;
        statement.raw_bind_parameter(3, i64::try_from(k).unwrap_or(i64::MAX)).map_err(sql)?;
        if let Some(pks) = pks {
            statement.raw_bind_parameter(4, pks).map_err(sql)?;
        }
        if let Some(sources) = sources {
            statement.raw_bind_parameter(5, sources).map_err(sql)?;
        }
        let mut rows = statement.raw_query();
        let mut hits = Vec::new();
        while let Some(row) = rows.next().map_err(sql)? {
            let score: f64 = row.get(1).map_err(sql)?;
            hits.push(TextHit {
                chunk_pk: row.get(0).map_err(sql)?,
                version: 0,
                score: score.max(0.0) as f32,
            });
        }
        Ok(hits)
    }
}

/// Writes a clause in FTS5's language, every term quoted; false when nothing can match.
fn expression(clause: &TextClause, out: &mut String, depth: usize) -> AiResult<bool> {
    if depth > DEPTH_MAX {
        return Err(AiError::invalid("the query is nested too deeply"));
    }
    let quoted = |term: &str| format!("\"{}\"", term.replace(['"', '\0'], " "));
    match clause {
        TextClause::Term(t) => out.push_str(&quoted(t)),
        TextClause::Prefix(p) => {
            out.push_str(&quoted(p));
            out.push('*');
        }
        TextClause::Phrase(terms) if terms.is_empty() => return Ok(false),
        TextClause::Phrase(terms) => out.push_str(&quoted(&terms.join(" "))),
        TextClause::Title(inner) | TextClause::Body(inner) => {
            let column = if matches!(clause, TextClause::Title(_)) { "title" } else { "body" };
            let mut text = String::new();
            if !expression(inner, &mut text, depth + 1)? {
                return Ok(false);
            }
            out.push_str(&format!("({column} : ({text}))"));
        }
        TextClause::Any(clauses) | TextClause::All(clauses) => {
            let any = matches!(clause, TextClause::Any(_));
            let mut parts = Vec::new();
            for inner in clauses {
                let mut text = String::new();
                if expression(inner, &mut text, depth + 1)? {
                    parts.push(text);
                } else if !any {
                    return Ok(false);
                }
            }
            if parts.is_empty() {
                return Ok(false);
            }
            out.push_str(&format!("({})", parts.join(if any { " OR " } else { " AND " })));
        }
        TextClause::Without(wanted, unwanted) => {
            let (mut left, mut right) = (String::new(), String::new());
            if !expression(wanted, &mut left, depth + 1)? {
                return Ok(false);
            }
            if expression(unwanted, &mut right, depth + 1)? {
                out.push_str(&format!("({left} NOT {right})"));
            } else {
                out.push_str(&left);
            }
        }
    }
    Ok(true)
}
