//! Keeping a full-text index outside the file in step: outbox, replay, check, rebuild; it knows no index in particular.
//!
//! The transaction that changes chunks writes the outbox, and the entries stay searchable in FTS5 until the outer
//! index has durably applied them. Only then are they removed from the outbox and from FTS5, so that a crash at any
//! point leaves work to repeat and never a difference.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};

use ai_core::{AiError, AiResult, Allowed, Deadline, TextChange, TextClause, TextEntry, TextHit, TextIndex};
use rusqlite::{Connection, params};

use super::{Store, fts, meta, set_meta};
use crate::analyse::{ANALYSER_VERSION, Analyser};
use crate::sql::{optional, sql};

/// Changes that one commit of the outer index takes.
const APPLY_ROWS_MAX: usize = 4_000;

/// Chunks that a rebuild reads at a time.
const REBUILD_ROWS: usize = 2_000;

/// Stale hits that a search makes up for.
const STALE_MAX: usize = 1_000;

impl Store {
    /// The identity that an index of this store must carry.
    pub(crate) fn index_identity(&self) -> AiResult<String> {
        let uuid = self.meta("store_uuid")?.unwrap_or_default();
        Ok(format!("{uuid}/{ANALYSER_VERSION}"))
    }

    /// Follows the store with an outer index from now on; it is completed or rebuilt first.
    pub(crate) fn attach(&self, index: Arc<dyn TextIndex>) -> AiResult<()> {
        // From here on, writers fill the outbox.
        *self.external.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&index));
        let result = self.bring_up(index.as_ref());
        if result.is_err() && self.fulltext_mode()? != "external" {
            *self.external.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
        result
    }

    fn bring_up(&self, index: &dyn TextIndex) -> AiResult<()> {
        if self.fulltext_mode()? == "external" && self.no_gap(index)? {
            self.catch_up(None)?;
            if self.agrees(index)? {
                return Ok(());
            }
        }
        self.rebuild_outer(index)
    }

    fn fulltext_mode(&self) -> AiResult<String> {
        Ok(self.meta("fulltext")?.unwrap_or_else(|| "fts5".to_owned()))
    }

    /// Gives full text back to FTS5 when the outer index is no longer used.
    pub(crate) fn detach(&self) -> AiResult<()> {
        *self.external.write().unwrap_or_else(PoisonError::into_inner) = None;
        if self.fulltext_mode()? == "external" { self.rebuild_text(&|| false) } else { Ok(()) }
    }

    fn no_gap(&self, index: &dyn TextIndex) -> AiResult<bool> {
        let applied = index.status()?.applied_seq as i64;
        self.quick(|c| {
            let first: Option<i64> =
                c.query_row("SELECT min(seq) FROM rag_outbox", [], |r| r.get(0)).map_err(sql)?;
            let last = last_seq(c)?;
            Ok(applied <= last && applied >= first.map_or(last, |f| f - 1))
        })
    }

    /// Whether the outer index holds exactly the live chunks; only meaningful with an empty outbox.
    pub(crate) fn agrees(&self, index: &dyn TextIndex) -> AiResult<bool> {
        let live: u64 = self.quick(|c| {
            c.query_row("SELECT count(*) FROM rag_chunks WHERE deleted = 0", [], |r| r.get::<_, i64>(0))
                .map(|n| n.max(0) as u64)
                .map_err(sql)
        })?;
        Ok(index.status()?.entries == live)
    }

    /// Applies the outbox until it is empty or `batches_max` commits are made; returns the changes applied.
    pub(crate) fn catch_up(&self, batches_max: Option<usize>) -> AiResult<u64> {
        let Some(index) = self.external() else { return Ok(0) };
        let _order = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        let mut applied = 0;
        for _ in 0..batches_max.unwrap_or(usize::MAX) {
            let (changes, seq) = self.quick(outbox_batch)?;
            if changes.is_empty() {
                break;
            }
            index.apply(&changes, seq as u64)?;
            applied += changes.len() as u64;
            let external = self.fulltext_mode()? == "external";
            self.write(|c| {
                if external {
                    for change in &changes {
                        if let TextChange::Upsert(entry) = change {
                            fts::remove(c, entry.chunk_pk)?;
                        }
                    }
                }
                c.execute("DELETE FROM rag_outbox WHERE seq <= ?1", [seq]).map(drop).map_err(sql)
            })?;
        }
        Ok(applied)
    }

    /// Rows that the outer index has not applied yet, and the age of the oldest in milliseconds.
    pub(crate) fn outbox_depth(&self) -> AiResult<(u64, u64)> {
        self.quick(|c| {
            c.query_row("SELECT count(*), coalesce(min(created_at), 0) FROM rag_outbox", [], |r| {
                let (n, at): (i64, i64) = (r.get(0)?, r.get(1)?);
                let age = if n == 0 { 0 } else { (crate::ids::now_ms() - at).max(0) as u64 };
                Ok((n.max(0) as u64, age))
            })
            .map_err(sql)
        })
    }

    fn rebuild_outer(&self, index: &dyn TextIndex) -> AiResult<()> {
        {
            let _order = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
            index.clear()?;
            let start = self.quick(last_seq)?;
            let mut after = 0;
            loop {
                let entries = self.quick(|c| chunk_entries(c, after, REBUILD_ROWS))?;
                let Some(last) = entries.last() else { break };
                after = last.chunk_pk;
                // A position before `start` says that the rebuild is not complete.
                let changes: Vec<TextChange> = entries.into_iter().map(TextChange::Upsert).collect();
                index.apply(&changes, 0)?;
            }
            index.apply(&[], start.max(0) as u64)?;
            self.write(|c| {
                c.execute("DELETE FROM rag_outbox WHERE seq <= ?1", [start]).map_err(sql)?;
                fts::clear(c)?;
                readd_pending(c)?;
                set_meta(c, "fulltext", "external")
            })?;
        }
        self.catch_up(None).map(drop)
    }

    /// Fills FTS5 from the chunks anew and makes it the full-text index; `cancelled` stops between transactions.
    pub(crate) fn rebuild_text(&self, cancelled: &dyn Fn() -> bool) -> AiResult<()> {
        self.write(|c| {
            fts::clear(c)?;
            let mut after = 0;
            loop {
                let entries = chunk_entries(c, after, REBUILD_ROWS)?;
                let Some(last) = entries.last() else { break };
                after = last.chunk_pk;
                for entry in &entries {
                    fts::add(c, entry.chunk_pk, &entry.title_terms, &entry.body_terms)?;
                }
                if cancelled() {
                    return Err(AiError::new(
                        ai_core::AiErrorCode::DeadlineExceeded,
                        "the rebuild was cancelled",
                    ));
                }
            }
            c.execute("DELETE FROM rag_outbox", []).map_err(sql)?;
            set_meta(c, "fulltext", "fts5")?;
            set_meta(c, "analyser", ANALYSER_VERSION)
        })
    }

    /// Rebuilds whichever full-text index is in use.
    pub(crate) fn rebuild_fulltext(&self, cancelled: &dyn Fn() -> bool) -> AiResult<()> {
        match self.external() {
            Some(index) => self.rebuild_outer(index.as_ref()),
            None => self.rebuild_text(cancelled),
        }
    }

    /// The `k` best permitted chunks of one snapshot; `None` when the outer index has moved past the snapshot, so that
    /// the caller takes a new one.
    pub(crate) fn search_text(
        &self,
        connection: &Connection,
        query: &TextClause,
        k: usize,
        allowed: &Allowed,
        deadline: Deadline,
    ) -> AiResult<Option<Vec<TextHit>>> {
        deadline.check("the full-text search")?;
        let outer = match self.external() {
            Some(index) if meta(connection, "fulltext")?.as_deref() == Some("external") => index,
            _ => return fts::search(connection, query, k, allowed).map(Some),
        };
        let pending: i64 =
            connection.query_row("SELECT count(*) FROM rag_outbox", [], |r| r.get(0)).map_err(sql)?;
        let seen = last_seq(connection)?;
        let reach = k + (pending.max(0) as usize).min(STALE_MAX);
        let mut hits = outer.search(query, reach, allowed, deadline)?;
        if outer.status()?.applied_seq as i64 > seen {
            return Ok(None);
        }
        if pending > 0 {
            let waiting = fts::search(connection, query, k, allowed)?;
            let replaced: HashSet<i64> = waiting.iter().map(|h| h.chunk_pk).collect();
            hits.retain(|h| !replaced.contains(&h.chunk_pk));
            let mut live =
                connection.prepare_cached("SELECT 1 FROM rag_chunks WHERE chunk_pk = ?1").map_err(sql)?;
            let mut kept = Vec::with_capacity(hits.len());
            for hit in hits {
                if optional(live.query_row([hit.chunk_pk], |_| Ok(())))?.is_some() {
                    kept.push(hit);
                }
            }
            hits = kept;
            hits.extend(waiting);
            hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.chunk_pk.cmp(&b.chunk_pk)));
        }
        hits.truncate(k);
        Ok(Some(hits))
    }
}

/// The highest position that the outbox ever gave out.
fn last_seq(connection: &Connection) -> AiResult<i64> {
    optional(
        connection.query_row("SELECT seq FROM sqlite_sequence WHERE name = 'rag_outbox'", [], |r| r.get(0)),
    )
    .map(|s| s.unwrap_or(0))
}

fn entry(r: &rusqlite::Row<'_>, analysers: &mut Vec<(String, Analyser)>) -> rusqlite::Result<TextEntry> {
    let language: String = r.get(5)?;
    let place = match analysers.iter().position(|(l, _)| *l == language) {
        Some(place) => place,
        None => {
            analysers.push((language.clone(), Analyser::new(&language)));
            analysers.len() - 1
        }
    };
    let analyser = &analysers[place].1;
    let (title, text): (Option<String>, String) = (r.get(3)?, r.get(4)?);
    Ok(TextEntry {
        chunk_pk: r.get(0)?,
        version: r.get(1)?,
        source_id: r.get(2)?,
        title_terms: analyser.terms(&title.unwrap_or_default()),
        body_terms: analyser.terms(&text),
    })
}

const ENTRY_COLUMNS: &str =
    "c.chunk_pk, c.version, c.source_id, c.title, coalesce(c.fts_text, c.body), c.language";

fn chunk_entries(connection: &Connection, after: i64, n: usize) -> AiResult<Vec<TextEntry>> {
    let mut analysers = Vec::new();
    let mut statement = connection
        .prepare_cached(&format!(
            "SELECT {ENTRY_COLUMNS} FROM rag_chunks c WHERE c.chunk_pk > ?1 AND c.deleted = 0 ORDER BY c.chunk_pk LIMIT ?2"
        ))
        .map_err(sql)?;
    let rows = statement.query_map(params![after, n as i64], |r| entry(r, &mut analysers)).map_err(sql)?;
    rows.collect::<rusqlite::Result<_>>().map_err(sql)
}

/// The next changes in order, and the position after them. A chunk that has gone again becomes a deletion.
fn outbox_batch(connection: &Connection) -> AiResult<(Vec<TextChange>, i64)> {
    let mut analysers = Vec::new();
    let mut statement = connection
        .prepare_cached(&format!(
            "SELECT {ENTRY_COLUMNS}, o.seq, o.op, o.chunk_pk FROM rag_outbox o
             LEFT JOIN rag_chunks c ON c.chunk_pk = o.chunk_pk AND o.op = 'upsert' AND c.deleted = 0
             ORDER BY o.seq LIMIT ?1"
        ))
        .map_err(sql)?;
    let mut rows = statement.query([APPLY_ROWS_MAX as i64]).map_err(sql)?;
    let mut changes = Vec::new();
    let mut seq = 0;
    while let Some(row) = rows.next().map_err(sql)? {
        seq = row.get(6).map_err(sql)?;
        let present: Option<i64> = row.get(0).map_err(sql)?;
        changes.push(match present {
            Some(_) => TextChange::Upsert(entry(row, &mut analysers).map_err(sql)?),
            None => TextChange::Delete(row.get(8).map_err(sql)?),
        });
    }
    Ok((changes, seq))
}

/// Puts the entries that the outer index has not applied into FTS5.
fn readd_pending(connection: &Connection) -> AiResult<()> {
    let mut analysers = Vec::new();
    let mut statement = connection
        .prepare(&format!(
            "SELECT {ENTRY_COLUMNS} FROM rag_chunks c WHERE c.deleted = 0 AND c.chunk_pk IN
             (SELECT chunk_pk FROM rag_outbox WHERE op = 'upsert')"
        ))
        .map_err(sql)?;
    let rows = statement.query_map([], |r| entry(r, &mut analysers)).map_err(sql)?;
    for row in rows {
        let entry = row.map_err(sql)?;
        fts::add(connection, entry.chunk_pk, &entry.title_terms, &entry.body_terms)?;
    }
    Ok(())
}
