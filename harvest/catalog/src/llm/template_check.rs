//! Re-checks of templates after a run: which ones need one, and what its outcome changes.

use harvest::HarvestResult;
use rusqlite::{Connection, params};

use crate::catalog::Catalog;
use crate::fail::{self, StoreResult};
use crate::store::now;

/// A template whose SQL must be checked again: gate, then a plan on the target.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TemplateCheck {
    /// The template.
    pub template_id: i64,
    /// The SQL to check.
    pub example_sql: String,
}

/// Templates that one re-check looks at.
const CHECKS_MAX: i64 = 1_000;

/// Whether an object of the template has changed or is gone in the run.
pub(crate) fn is_stale(c: &Connection, run_id: i64, template_id: i64) -> HarvestResult<bool> {
    c.prepare_cached(
        "SELECT EXISTS(SELECT 1 FROM llm_template_objects t WHERE t.template_id = ?1 AND NOT EXISTS (SELECT 1 FROM objects o
           WHERE o.object_uid = t.object_uid AND o.run_id = ?2 AND o.content_hash = t.object_hash))",
    )
    .db()?
    .query_row((template_id, run_id), |r| r.get(0))
    .db()
}

impl Catalog {
    /// Templates with SQL whose objects changed in the run and that were not checked on it yet.
    ///
    /// # Errors
    /// Those of the store.
    pub fn templates_to_check(&self, target_id: &str, run_id: i64) -> HarvestResult<Vec<TemplateCheck>> {
        self.store().read(|c| {
            let mut statement = c
                .prepare_cached(
                    "SELECT template_id, example_sql FROM llm_question_templates q WHERE target_id = ?1
                       AND example_sql IS NOT NULL AND status <> 'retired' AND validated_run_id IS NOT ?2
                     ORDER BY template_id LIMIT ?3",
                )
                .db()?;
            let rows = statement
                .query_map(params![target_id, run_id, CHECKS_MAX], |r| {
                    Ok(TemplateCheck { template_id: r.get(0)?, example_sql: r.get(1)? })
                })
                .db()?;
            let mut out = Vec::new();
            for row in rows {
                let check = row.db()?;
                if is_stale(c, run_id, check.template_id)? {
                    out.push(check);
                }
            }
            Ok(out)
        })
    }

    /// Records a re-check: success renews the object hashes, failure leaves the template stale and suspect.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub fn template_checked(
        &self,
        template_id: i64,
        run_id: i64,
        outcome: Result<(), &str>,
    ) -> HarvestResult<()> {
        self.store().write(|tx| {
            let changed = tx
                .execute(
                    "UPDATE llm_question_templates SET sql_valid = ?2, validated_at = ?3, validated_run_id = ?4,
                       updated_at = ?3, last_error = COALESCE(?5, last_error),
                       status = CASE WHEN ?2 OR status = 'retired' THEN status ELSE 'suspect' END
                     WHERE template_id = ?1",
                    params![template_id, outcome.is_ok(), now(), run_id, outcome.err()],
                )
                .db()?;
            if changed == 0 {
                return Err(fail::not_found("question template", template_id.to_string()));
            }
            if outcome.is_ok() {
                tx.execute(
                    "DELETE FROM llm_template_objects WHERE template_id = ?1
                       AND object_uid NOT IN (SELECT object_uid FROM objects WHERE run_id = ?2)",
                    (template_id, run_id),
                )
                .db()?;
                tx.execute(
                    "UPDATE llm_template_objects SET object_hash = (SELECT content_hash FROM objects o
                       WHERE o.object_uid = llm_template_objects.object_uid AND o.run_id = ?2) WHERE template_id = ?1",
                    (template_id, run_id),
                )
                .db()?;
            }
            Ok(())
        })
    }
}
