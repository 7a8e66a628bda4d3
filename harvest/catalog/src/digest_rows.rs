//! Persisted query digests: saving a snapshot, loading it, clearing it; counting happens elsewhere.

use harvest::HarvestResult;
use rusqlite::params;

use crate::catalog::Catalog;
use crate::fail::StoreResult;

/// One persisted digest; times are Unix seconds, durations microseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of mcp_query_digest_persist")]
// Exhaustive: the saver fills every field.
pub struct DigestRecord {
    pub tool_name: String,
    pub run_id: i64,
    /// `0x` and 16 hex digits.
    pub digest: String,
    pub digest_text: String,
    pub count_star: i64,
    pub first_seen: i64,
    pub last_seen: i64,
    pub sum_time: i64,
    pub min_time: i64,
    pub max_time: i64,
    pub target_id: String,
    pub schema: String,
    pub errors: i64,
    pub sum_rows: i64,
}

impl Catalog {
    /// Replaces the rows of these keys.
    ///
    /// # Errors
    /// Those of the store.
    pub fn save_digests(&self, rows: &[DigestRecord]) -> HarvestResult<()> {
        self.store().write(|tx| {
            for row in rows {
                tx.prepare_cached(
                    "INSERT OR REPLACE INTO mcp_query_digest_persist(tool_name, run_id, digest, digest_text, count_star,
                       first_seen, last_seen, sum_time, min_time, max_time, target_id, schema, errors, sum_rows)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
                )
                .db()?
                .execute(params![
                    row.tool_name,
                    row.run_id,
                    row.digest,
                    row.digest_text,
                    row.count_star,
                    row.first_seen,
                    row.last_seen,
                    row.sum_time,
                    row.min_time,
                    row.max_time,
                    row.target_id,
                    row.schema,
                    row.errors,
                    row.sum_rows
                ])
                .db()?;
            }
            Ok(())
        })
    }

    /// All persisted digests.
    ///
    /// # Errors
    /// Those of the store.
    pub fn load_digests(&self) -> HarvestResult<Vec<DigestRecord>> {
        self.store().read(|c| {
            let mut statement = c
                .prepare_cached(
                    "SELECT tool_name, run_id, digest, digest_text, count_star, first_seen, last_seen, sum_time, min_time,
                       max_time, target_id, schema, errors, sum_rows FROM mcp_query_digest_persist",
                )
                .db()?;
            let rows = statement
                .query_map([], |r| {
                    Ok(DigestRecord {
                        tool_name: r.get(0)?,
                        run_id: r.get(1)?,
                        digest: r.get(2)?,
                        digest_text: r.get(3)?,
                        count_star: r.get(4)?,
                        first_seen: r.get(5)?,
                        last_seen: r.get(6)?,
                        sum_time: r.get(7)?,
                        min_time: r.get(8)?,
                        max_time: r.get(9)?,
                        target_id: r.get(10)?,
                        schema: r.get(11)?,
                        errors: r.get(12)?,
                        sum_rows: r.get(13)?,
                    })
                })
                .db()?;
            rows.collect::<rusqlite::Result<_>>().db()
        })
    }

    /// Deletes all persisted digests.
    ///
    /// # Errors
    /// Those of the store.
    pub fn clear_digests(&self) -> HarvestResult<()> {
        self.store().write(|tx| tx.execute("DELETE FROM mcp_query_digest_persist", []).db().map(drop))
    }
}
