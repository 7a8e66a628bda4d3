//! Texts about the catalog that agents read through the prompts; they are seeded into the store.

use harvest::HarvestResult;
use rusqlite::{Transaction, params};

use crate::catalog::Catalog;
use crate::fail::StoreResult;
use crate::store::now;

const DOCS: &[(&str, &str, &str)] = &[
    (
        "overview",
        "Overview",
        "The catalog remembers what is known of a target's databases. A discovery run is a complete, unchanging picture \
         of the schemas at one time; the latest run answers when a call names none. Facts that the engine told \
         (deterministic layer) and claims that agents wrote (LLM layer) are kept apart and never merged.",
    ),
    (
        "deterministic_layer",
        "Deterministic layer",
        "discovery.run_static reads schemas, objects, columns, indexes, keys, constraints, definitions and view \
         dependencies, derives hints (key, time and id-like columns, a guessed kind) and infers references that are not \
         declared, each with confidence and evidence. Objects keep one identity across runs; a content hash tells \
         whether they changed.",
    ),
    (
        "llm_layer",
        "LLM layer",
        "Agents record summaries, relationships, domains, metrics, question templates and notes under an agent run. \
         Every record carries a confidence: strong 0.9 to 1.0, likely from 0.6, tentative from 0.3, weak below. A record \
         is stale when its object has changed since it was written. A stable record is not replaced by a weaker one.",
    ),
    (
        "conventions",
        "Conventions",
        "An object key is schema.name, parts in double quotes if they hold a dot or a quote. Times are Unix seconds, \
         UTC. A claim names its evidence: columns, constraints, sample values or a query that was run. Personal data is \
         not copied into summaries, notes or templates.",
    ),
];

pub(crate) fn seed(tx: &Transaction<'_>) -> HarvestResult<()> {
    for (key, title, body) in DOCS {
        tx.execute(
            "INSERT INTO schema_docs(doc_key, title, body, updated_at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT(doc_key) DO UPDATE SET title = excluded.title, body = excluded.body,
             updated_at = excluded.updated_at WHERE body <> excluded.body OR title <> excluded.title",
            params![key, title, body, now()],
        )
        .db()?;
    }
    Ok(())
}

impl Catalog {
    /// The texts about the catalog: key, title, body.
    ///
    /// # Errors
    /// Those of the store.
    pub fn schema_docs(&self) -> HarvestResult<Vec<(String, String, String)>> {
        self.store().read(|c| {
            let mut statement =
                c.prepare_cached("SELECT doc_key, title, body FROM schema_docs ORDER BY rowid").db()?;
            let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?))).db()?;
            rows.collect::<rusqlite::Result<_>>().db()
        })
    }
}
