//! The run that an incremental harvest takes unchanged parts from; it decides nothing about the new run.

use std::collections::HashMap;

use harvest::HarvestResult;
use rusqlite::OptionalExtension;
use serde_json::Value as Json;

use crate::catalog::Catalog;
use crate::fail::StoreResult;

use super::{HARVESTER_VERSION, HarvestOptions, filter_json};

/// Child uid, child column, parent uid, parent column.
pub(crate) type PairKey = (String, String, String, String);

/// What is known of the run before.
#[derive(Debug, Default)]
pub(crate) struct Base {
    /// The run before, if parts may be taken over.
    pub(crate) base_run_id: Option<i64>,
    /// Object id and content hash by uid.
    pub(crate) objects: HashMap<String, BaseObject>,
    /// References inferred then, if inference had run.
    pub(crate) inferred: Option<HashMap<PairKey, (f64, Json)>>,
    /// The run had value checks.
    pub(crate) had_checks: bool,
}

/// An object of the run before.
#[derive(Debug)]
pub(crate) struct BaseObject {
    pub(crate) object_id: i64,
    pub(crate) schema: String,
    pub(crate) content_hash: String,
}

impl Base {
    pub(crate) fn load(catalog: &Catalog, options: &HarvestOptions) -> HarvestResult<Self> {
        catalog.store().read(|c| {
            let row: Option<(i64, Option<String>, i64, String)> = c
                .query_row(
                    "SELECT run_id, schema_filter, harvester_version, counts_json FROM runs
                     WHERE target_id = ?1 ORDER BY run_id DESC LIMIT 1",
                    [&options.target_id],
                    |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)),
                )
                .optional()
                .db()?;
            let Some((run_id, filter, version, counts)) = row else { return Ok(Self::default()) };
            let covers = filter.is_none() || filter == filter_json(options.schema_filter.as_ref());
            if !covers {
                return Ok(Self::default());
            }
            let mut base = Self::default();
            base.load_objects(c, run_id)?;
            if options.incremental && version == HARVESTER_VERSION {
                base.base_run_id = Some(run_id);
                let counts: Json = serde_json::from_str(&counts).unwrap_or_default();
                base.had_checks = counts["value_overlap"] == true;
                if counts["inference"] == true {
                    base.load_inferred(c, run_id)?;
                }
            }
            Ok(base)
        })
    }

    fn load_objects(&mut self, c: &rusqlite::Connection, run_id: i64) -> HarvestResult<()> {
        let mut statement = c
            .prepare_cached(
                "SELECT object_uid, object_id, schema_name, content_hash FROM objects WHERE run_id = ?1",
            )
            .db()?;
        let rows = statement
            .query_map([run_id], |r| {
                Ok((
                    r.get(0)?,
                    BaseObject { object_id: r.get(1)?, schema: r.get(2)?, content_hash: r.get(3)? },
                ))
            })
            .db()?;
        self.objects = rows.collect::<rusqlite::Result<_>>().db()?;
        Ok(())
    }

    fn load_inferred(&mut self, c: &rusqlite::Connection, run_id: i64) -> HarvestResult<()> {
        let mut statement = c
            .prepare_cached(
                "SELECT ch.object_uid, r.child_column, p.object_uid, r.parent_column, r.confidence, r.evidence_json
                 FROM inferred_relationships r JOIN objects ch ON ch.object_id = r.child_object_id
                 JOIN objects p ON p.object_id = r.parent_object_id WHERE r.run_id = ?1",
            )
            .db()?;
        let rows = statement
            .query_map([run_id], |r| {
                let evidence: String = r.get(5)?;
                let evidence = serde_json::from_str(&evidence).unwrap_or_default();
                Ok(((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?), (r.get(4)?, evidence)))
            })
            .db()?;
        self.inferred = Some(rows.collect::<rusqlite::Result<_>>().db()?);
        Ok(())
    }
}
