//! The run that an incremental harvest takes unchanged parts from; it decides nothing about the new run.

use std::collections::HashMap;

use harvest::HarvestResult;
use rusqlite::{Connection, OptionalExtension};
use serde_json::Value as Json;

use crate::catalog::Catalog;
use crate::fail::StoreResult;

use super::{HARVESTER_VERSION, HarvestOptions, filter_json};

/// Child uid, child column, parent uid, parent column.
pub(crate) type PairKey = (String, String, String, String);

/// What is known of the run before.
#[derive(Debug, Default)]
pub(crate) struct Base {
    /// The run whose contents may be shared.
    pub(crate) run_id: Option<i64>,
    /// The run before, if parts may be taken over.
    pub(crate) base_run_id: Option<i64>,
    /// What is stored of each object, by uid.
    pub(crate) objects: HashMap<String, BaseObject>,
    /// References inferred then, if inference had run.
    pub(crate) inferred: Option<InferredSet>,
    /// The run had value checks.
    pub(crate) had_checks: bool,
    /// What the source said of the state it was in, if the run asked for the same.
    pub(crate) token: Option<String>,
    /// Numbers of the run.
    pub(crate) counts: Json,
}

/// References that a run holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InferredSet {
    /// `None` when nothing was found.
    pub(crate) set_id: Option<i64>,
    pub(crate) count: u64,
}

/// An object of the run before.
#[derive(Debug)]
pub(crate) struct BaseObject {
    pub(crate) object_id: i64,
    pub(crate) content_id: i64,
    pub(crate) schema: String,
    pub(crate) content_hash: String,
    pub(crate) fingerprint: String,
}

struct BaseRun {
    run_id: i64,
    filter: Option<String>,
    version: i64,
    counts: Json,
    set_id: Option<i64>,
    token: Option<String>,
}

impl Base {
    pub(crate) fn load(catalog: &Catalog, options: &HarvestOptions) -> HarvestResult<Self> {
        catalog.store().read(|c| {
            let Some(run) = latest(c, &options.target_id)? else { return Ok(Self::default()) };
            let mut base = Self::default();
            let filter = filter_json(options.schema_filter.as_ref());
            let covers = run.filter.is_none() || run.filter == filter;
            if !covers {
                return Ok(base);
            }
            base.run_id = Some(run.run_id);
            base.load_objects(c, run.run_id)?;
            if options.incremental && run.version == HARVESTER_VERSION {
                base.base_run_id = Some(run.run_id);
                base.had_checks = run.counts["value_overlap"] == true;
                if run.counts["inference"] == true {
                    let count = run.counts["inferred_relationships"].as_u64().unwrap_or_default();
                    base.inferred = Some(InferredSet { set_id: run.set_id, count });
                }
                base.token = run.token.filter(|_| run.filter == filter);
                base.counts = run.counts;
            }
            Ok(base)
        })
    }

    fn load_objects(&mut self, c: &Connection, run_id: i64) -> HarvestResult<()> {
        let mut statement = c
            .prepare_cached(
                "SELECT c.object_uid, r.object_id, c.content_id, c.schema_name, c.content_hash, c.fingerprint
                 FROM run_objects r CROSS JOIN contents c ON c.content_id = r.content_id WHERE r.run_id = ?1",
            )
            .db()?;
        let rows = statement
            .query_map([run_id], |r| {
                let object = BaseObject {
                    object_id: r.get(1)?,
                    content_id: r.get(2)?,
                    schema: r.get(3)?,
                    content_hash: r.get(4)?,
                    fingerprint: r.get(5)?,
                };
                Ok((r.get(0)?, object))
            })
            .db()?;
        self.objects = rows.collect::<rusqlite::Result<_>>().db()?;
        Ok(())
    }

    /// Whether the run has looked for everything that is asked for now.
    pub(crate) fn answers(&self, options: &HarvestOptions, has_probe: bool) -> bool {
        let checks = has_probe && options.value_overlap;
        !options.infer_relationships || (self.inferred.is_some() && (self.had_checks || !checks))
    }

    /// The references of the run, pair by pair.
    pub(crate) fn pairs(&self, c: &Connection) -> HarvestResult<HashMap<PairKey, (f64, Json)>> {
        let set_id = self.inferred.and_then(|set| set.set_id);
        let mut statement = c
            .prepare_cached(
                "SELECT ch.object_uid, r.child_column, p.object_uid, r.parent_column, r.confidence, r.evidence_json
                 FROM content_relationships r JOIN contents ch ON ch.content_id = r.child_content_id
                 JOIN contents p ON p.content_id = r.parent_content_id WHERE r.set_id = ?1",
            )
            .db()?;
        let rows = statement
            .query_map([set_id], |r| {
                let evidence: String = r.get(5)?;
                let evidence = serde_json::from_str(&evidence).unwrap_or_default();
                Ok(((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?), (r.get(4)?, evidence)))
            })
            .db()?;
        rows.collect::<rusqlite::Result<_>>().db()
    }
}

fn latest(c: &Connection, target_id: &str) -> HarvestResult<Option<BaseRun>> {
    c.query_row(
        "SELECT run_id, schema_filter, harvester_version, counts_json, inferred_set, source_token FROM runs
         WHERE target_id = ?1 ORDER BY run_id DESC LIMIT 1",
        [target_id],
        |r| {
            let counts: String = r.get(3)?;
            Ok(BaseRun {
                run_id: r.get(0)?,
                filter: r.get(1)?,
                version: r.get(2)?,
                counts: serde_json::from_str(&counts).unwrap_or_default(),
                set_id: r.get(4)?,
                token: r.get(5)?,
            })
        },
    )
    .optional()
    .db()
}
