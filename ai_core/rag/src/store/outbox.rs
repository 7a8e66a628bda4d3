//! Keeping a full-text index outside the file in step: outbox, replay, check, rebuild; it knows no index in particular.
//!
//! The transaction that changes chunks writes the outbox, and the entries stay searchable in FTS5 until the outer
//! index has durably applied them. Only then are they removed from the outbox and from FTS5, so that a crash at any
//! point leaves work to repeat and never a difference.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use ai_core::{AiError, AiResult, Allowed, Deadline, TextChange, TextClause, TextEntry, TextHit, TextIndex};

use super::fts::words;
use super::overlay::Overlay;
use super::{Store, meta, replicas, set_meta};
use crate::analyse::{ANALYSER_VERSION, Analyser};
use crate::database::{Row, Session, SqlFamily, bind};

pub(super) use ai_core::TextChange as Waiting;

/// Changes that one commit of the outer index takes.
pub(super) const APPLY_ROWS_MAX: usize = 4_000;

/// Chunks that a rebuild reads at a time.
const REBUILD_ROWS: usize = 2_000;

/// Stale hits that a search makes up for.
const STALE_MAX: usize = 1_000;

/// Waiting entries up to which a search looks at each of them itself instead of letting the index catch up first.
const OVERLAY_ROWS_MAX: i64 = 4_000;

/// Looks at a moving store before it is taken to agree.
const AGREE_TRIES: usize = 5;

impl Store {
    /// The identity that an index of this store must carry.
    pub(crate) fn index_identity(&self) -> AiResult<String> {
        let uuid = self.meta("store_uuid")?.unwrap_or_default();
        Ok(format!("{uuid}/{ANALYSER_VERSION}"))
    }

    /// Follows the store with an outer index from now on; it is completed or rebuilt first.
    pub(crate) fn attach(&self, index: Arc<dyn TextIndex>) -> AiResult<()> {
        if self.shared() {
            self.register(index.status()?.applied_seq as i64)?;
        }
        // From here on, writers fill the outbox.
        *self.external.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&index));
        let result = self.bring_up(index.as_ref());
        if result.is_err() && (self.shared() || self.fulltext_mode()? != "external") {
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
            let first: Option<i64> = c.cell("SELECT min(seq) FROM rag_outbox", &[])?;
            let last = last_seq(c)?;
            Ok(applied <= last && applied >= first.map_or(last, |f| f - 1))
        })
    }

    /// Whether the outer index holds exactly the live chunks, each in its present version.
    pub(crate) fn agrees(&self, index: &dyn TextIndex) -> AiResult<bool> {
        for _ in 0..AGREE_TRIES {
            self.catch_up(None)?;
            let (count, sum, seq) = self.quick(|c| {
                let number =
                    |key| -> AiResult<i64> { Ok(meta(c, key)?.and_then(|t| t.parse().ok()).unwrap_or(0)) };
                let count: i64 = c.cell("SELECT count(*) FROM rag_chunks WHERE deleted = 0", &[])?;
                Ok((count, number("checksum")?, last_seq(c)?))
            })?;
            let status = index.status()?;
            if status.applied_seq as i64 != seq {
                continue; // another process wrote in between
            }
            let held = index.checksum()?;
            return Ok(status.entries == count as u64 && held.is_none_or(|held| held == sum));
        }
        Ok(true)
    }

    /// Applies the outbox until it is empty or `batches_max` commits are made; returns the changes applied.
    pub(crate) fn catch_up(&self, batches_max: Option<usize>) -> AiResult<u64> {
        let Some(index) = self.external() else { return Ok(0) };
        let _order = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        let consumer = if self.shared() { Some(self.consumer()?) } else { None };
        let mut applied = 0;
        for _ in 0..batches_max.unwrap_or(usize::MAX) {
            let from = if consumer.is_some() { index.status()?.applied_seq as i64 } else { 0 };
            let (changes, seq) = self.quick(|c| batch(c, from, i64::MAX))?;
            if changes.is_empty() {
                if consumer.is_some() {
                    self.beat(from)?;
                }
                break;
            }
            index.apply(&changes, seq as u64)?;
            applied += changes.len() as u64;
            self.write(|c| match &consumer {
                Some(name) => replicas::passed(c, name, seq),
                None => forget_applied(c, &changes, seq),
            })?;
        }
        Ok(applied)
    }

    /// Rows that the outer index has not applied yet, and the age of the oldest in milliseconds.
    pub(crate) fn outbox_depth(&self) -> AiResult<(u64, u64)> {
        let from = match self.external() {
            Some(index) if self.shared() => index.status()?.applied_seq as i64,
            _ => 0,
        };
        self.quick(|c| {
            let text = "SELECT count(*), coalesce(min(created_at), 0) FROM rag_outbox WHERE seq > ?1";
            let found = c.first(text, bind![from], |r| Ok((r.get(0)?, r.get(1)?)))?;
            let (n, at): (i64, i64) = found.unwrap_or_default();
            let age = if n == 0 { 0 } else { (crate::ids::now_ms() - at).max(0) as u64 };
            Ok((n.max(0) as u64, age))
        })
    }

    fn rebuild_outer(&self, index: &dyn TextIndex) -> AiResult<()> {
        self.rebuilding.store(true, Ordering::SeqCst);
        let result = self.fill_outer(index);
        self.rebuilding.store(false, Ordering::SeqCst);
        result?;
        self.catch_up(None).map(drop)
    }

    fn fill_outer(&self, index: &dyn TextIndex) -> AiResult<()> {
        let _order = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        index.clear()?;
        if self.shared() {
            self.register(0)?; // nothing of the outbox goes while the chunks are read
        }
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
        if self.shared() {
            let name = self.consumer()?;
            return self.write(|c| {
                replicas::passed(c, &name, start)?;
                set_meta(c, "fulltext", "external")
            });
        }
        self.write(|c| {
            c.execute("DELETE FROM rag_outbox WHERE seq <= ?1", bind![start])?;
            words(c)?.clear()?;
            readd_pending(c)?;
            set_meta(c, "fulltext", "external")
        })
    }

    /// Fills FTS5 from the chunks anew and makes it the full-text index; `cancelled` stops between transactions.
    pub(crate) fn rebuild_text(&self, cancelled: &dyn Fn() -> bool) -> AiResult<()> {
        self.write(|c| {
            if c.words().is_none() {
                return set_meta(c, "analyser", ANALYSER_VERSION);
            }
            let words = words(c)?;
            words.clear()?;
            let mut after = 0;
            loop {
                let entries = chunk_entries(c, after, REBUILD_ROWS)?;
                let Some(last) = entries.last() else { break };
                after = last.chunk_pk;
                for entry in &entries {
                    words.add(entry.chunk_pk, &entry.title_terms, &entry.body_terms)?;
                }
                if cancelled() {
                    return Err(AiError::new(
                        ai_core::AiErrorCode::DeadlineExceeded,
                        "the rebuild was cancelled",
                    ));
                }
            }
            c.execute("DELETE FROM rag_outbox", &[])?;
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

    /// The `k` best permitted chunks of one snapshot and the age of the oldest change that the index has not seen; `None`
    /// when the outer index has moved past the snapshot, so that the caller takes a new one.
    pub(crate) fn search_text(
        &self,
        c: &dyn Session,
        query: &TextClause,
        k: usize,
        allowed: &Allowed,
        deadline: Deadline,
    ) -> AiResult<Option<(Vec<TextHit>, u64)>> {
        deadline.check("the full-text search")?;
        let outer = match (self.external(), c.words()) {
            (Some(index), _) => index,
            (None, Some(words)) => return Ok(Some((words.search(query, k, allowed)?, 0))),
            (None, None) => {
                return Err(AiError::unavailable("the full-text index of this process is not ready yet"));
            }
        };
        let from = if self.shared() { outer.status()?.applied_seq as i64 } else { 0 };
        let state = outbox_state(c, from)?;
        if !state.external {
            return match c.words() {
                Some(words) => Ok(Some((words.search(query, k, allowed)?, 0))),
                None => Err(AiError::unavailable("the full-text index of this process is not ready yet")),
            };
        }
        if self.rebuilding.load(Ordering::SeqCst) {
            return Err(AiError::unavailable("the full-text index is being rebuilt")
                .with("entries_done", outer.status()?.entries));
        }
        if self.shared() && state.pending > OVERLAY_ROWS_MAX {
            self.catch_up(None)?;
            return Ok(None);
        }
        let reach = k + (state.pending.max(0) as usize).min(STALE_MAX);
        let mut hits = outer.search(query, reach, allowed, deadline)?;
        if outer.status()?.applied_seq as i64 > state.last {
            return Ok(None);
        }
        if state.pending > 0 {
            let waiting = match c.words() {
                Some(words) => words.search(query, k, allowed)?,
                None => {
                    let mut held = self.overlay.lock().unwrap_or_else(PoisonError::into_inner);
                    Overlay::search(&mut held, c, (from, state.last), query, k, allowed)?
                }
            };
            hits = current(c, hits, waiting)?;
        }
        hits.truncate(k);
        let lag_ms = if state.pending > 0 { (crate::ids::now_ms() - state.oldest).max(0) as u64 } else { 0 };
        Ok(Some((hits, lag_ms)))
    }
}

/// What one snapshot says of the outbox.
struct OutboxState {
    /// Whether the outer index holds the words.
    external: bool,
    /// Rows after a position, and when the oldest of them was written.
    pending: i64,
    oldest: i64,
    /// The highest position that was ever given out.
    last: i64,
}

fn outbox_state(c: &dyn Session, from: i64) -> AiResult<OutboxState> {
    let last = match c.family() {
        SqlFamily::Sqlite => "(SELECT seq FROM sqlite_sequence WHERE name = 'rag_outbox')",
        SqlFamily::Postgres => "(SELECT CAST(value AS bigint) FROM rag_meta WHERE key = 'outbox_seq')",
    };
    let text = format!(
        "SELECT (SELECT value FROM rag_meta WHERE key = 'fulltext'), count(*), coalesce(min(created_at), 0),
           coalesce({last}, 0) FROM rag_outbox WHERE seq > ?1"
    );
    let found = c.first(&text, bind![from], |r| {
        Ok(OutboxState {
            external: r.get::<Option<String>>(0)?.as_deref() == Some("external"),
            pending: r.get(1)?,
            oldest: r.get(2)?,
            last: r.get(3)?,
        })
    })?;
    found.ok_or_else(|| AiError::internal("the outbox gave no answer"))
}

/// Drops hits whose chunk is gone, and joins what waits.
fn current(c: &dyn Session, mut hits: Vec<TextHit>, waiting: Vec<TextHit>) -> AiResult<Vec<TextHit>> {
    let replaced: HashSet<i64> = waiting.iter().map(|h| h.chunk_pk).collect();
    hits.retain(|h| !replaced.contains(&h.chunk_pk));
    let pks: Vec<i64> = hits.iter().map(|h| h.chunk_pk).collect();
    let live: HashSet<i64> = c
        .all("SELECT chunk_pk FROM rag_chunks WHERE chunk_pk {list:1}", bind![pks], |r| r.get(0))?
        .into_iter()
        .collect();
    hits.retain(|h| live.contains(&h.chunk_pk));
    hits.extend(waiting);
    hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.chunk_pk.cmp(&b.chunk_pk)));
    Ok(hits)
}

/// Removes what the outer index has applied from the outbox and from the words inside the database.
fn forget_applied(c: &dyn Session, changes: &[TextChange], seq: i64) -> AiResult<()> {
    if meta(c, "fulltext")?.as_deref() == Some("external") {
        let words = words(c)?;
        for change in changes {
            if let TextChange::Upsert(entry) = change {
                words.remove(entry.chunk_pk)?;
            }
        }
    }
    c.execute("DELETE FROM rag_outbox WHERE seq <= ?1", bind![seq]).map(drop)
}

/// The highest position that the outbox ever gave out.
fn last_seq(c: &dyn Session) -> AiResult<i64> {
    match c.family() {
        SqlFamily::Sqlite => c
            .first("SELECT seq FROM sqlite_sequence WHERE name = 'rag_outbox'", &[], |r| r.get(0))
            .map(|s| s.unwrap_or(0)),
        SqlFamily::Postgres => Ok(meta(c, "outbox_seq")?.and_then(|t| t.parse().ok()).unwrap_or(0)),
    }
}

fn entry(r: &Row<'_>, analysers: &mut Vec<(String, Analyser)>) -> AiResult<TextEntry> {
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

fn chunk_entries(c: &dyn Session, after: i64, n: usize) -> AiResult<Vec<TextEntry>> {
    let mut analysers = Vec::new();
    c.all(
        &format!(
            "SELECT {ENTRY_COLUMNS} FROM rag_chunks c WHERE c.chunk_pk > ?1 AND c.deleted = 0 ORDER BY c.chunk_pk LIMIT ?2"
        ),
        bind![after, n],
        |r| entry(r, &mut analysers),
    )
}

/// The next changes after one position up to another, in order, and the position after them. A chunk that has gone again
/// becomes a deletion.
pub(super) fn batch(c: &dyn Session, from: i64, to: i64) -> AiResult<(Vec<TextChange>, i64)> {
    let mut analysers = Vec::new();
    let mut seq = 0;
    let changes = c.all(
        &format!(
            "SELECT {ENTRY_COLUMNS}, o.seq, o.op, o.chunk_pk FROM rag_outbox o
             LEFT JOIN rag_chunks c ON c.chunk_pk = o.chunk_pk AND o.op = 'upsert' AND c.deleted = 0
             WHERE o.seq > ?1 AND o.seq <= ?2 ORDER BY o.seq LIMIT ?3"
        ),
        bind![from, to, APPLY_ROWS_MAX],
        |row| {
            seq = row.get(6)?;
            Ok(match row.get::<Option<i64>>(0)? {
                Some(_) => TextChange::Upsert(entry(row, &mut analysers)?),
                None => TextChange::Delete(row.get(8)?),
            })
        },
    )?;
    Ok((changes, seq))
}

/// Puts the entries that the outer index has not applied into FTS5.
fn readd_pending(c: &dyn Session) -> AiResult<()> {
    let mut analysers = Vec::new();
    let entries = c.all(
        &format!(
            "SELECT {ENTRY_COLUMNS} FROM rag_chunks c WHERE c.deleted = 0 AND c.chunk_pk IN
             (SELECT chunk_pk FROM rag_outbox WHERE op = 'upsert')"
        ),
        &[],
        |r| entry(r, &mut analysers),
    )?;
    let words = words(c)?;
    entries.iter().try_for_each(|e| words.add(e.chunk_pk, &e.title_terms, &e.body_terms))
}
