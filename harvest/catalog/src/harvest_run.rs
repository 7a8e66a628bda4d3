//! One harvest from start to end: attempt, reading into memory, inference, the one write; it opens no connection of a backend.

mod base;
mod contents;
mod prepared;
mod write;

use std::collections::{BTreeMap, HashSet};

use harvest::{
    HarvestCode, HarvestError, HarvestResult, MetadataDepth, MetadataRequest, MetadataSnapshot,
    MetadataStage, MetadataWatch, ObjectMeta,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::catalog::Catalog;
use crate::fail::{self, StoreResult};
use crate::source::{HarvestStage, HarvestWatch, MetadataSource, ValueProbe};
use crate::store::now;
use crate::wildcard;

use base::Base;
use prepared::Prepared;

/// Version of what a harvest derives; runs of another version are no base of incremental ones.
pub const HARVESTER_VERSION: i64 = 2;

/// How deep tables are profiled.
// Exhaustive: it is an argument of `discovery.run_static`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProfileLevel {
    /// No profiles.
    None,
    /// From metadata alone.
    #[default]
    Quick,
    /// Scans the data.
    Full,
}

/// What to harvest and under which bounds.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HarvestOptions {
    /// The target.
    pub target_id: String,
    /// Who asked.
    pub caller: String,
    /// Where the data come from, without credentials.
    pub source_dsn: String,
    /// Exact names or globs with `*` and `?`; `None` means all but the engine's own schemas.
    pub schema_filter: Option<Vec<String>>,
    /// The caller's words, kept with the run.
    pub notes: String,
    /// Take over what has not changed since the latest run.
    pub incremental: bool,
    /// How deep tables are profiled.
    pub profile_level: ProfileLevel,
    /// Look for references that are not declared.
    pub infer_relationships: bool,
    /// Support them with value checks where a probe is given.
    pub value_overlap: bool,
    /// Objects at most.
    pub objects_max: usize,
    /// Value checks at most.
    pub value_checks_max: usize,
    /// Runs kept of the target.
    pub runs_max_per_target: usize,
    /// Age of the oldest run kept, in days; 0 means no limit.
    pub run_retention_days: u32,
}

impl HarvestOptions {
    /// The usual harvest of everything in a target.
    pub fn new(target_id: impl Into<String>, caller: impl Into<String>) -> Self {
        Self {
            target_id: target_id.into(),
            caller: caller.into(),
            source_dsn: String::new(),
            schema_filter: None,
            notes: "Static discovery harvest".to_owned(),
            incremental: true,
            profile_level: ProfileLevel::Quick,
            infer_relationships: true,
            value_overlap: true,
            objects_max: 200_000,
            value_checks_max: 200,
            runs_max_per_target: 20,
            run_retention_days: 90,
        }
    }
}

/// Objects added, removed and changed since the run before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
// Exhaustive: plain counts of one harvest.
pub struct Changes {
    /// Not there before.
    pub added: u64,
    /// No longer there.
    pub removed: u64,
    /// There with another content.
    pub changed: u64,
}

/// What a harvest stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct HarvestSummary {
    /// The new run.
    pub run_id: i64,
    /// Version of the server.
    pub server_version: String,
    /// Start, Unix seconds.
    pub started_at: i64,
    /// End, Unix seconds.
    pub finished_at: i64,
    /// The run that unchanged parts were taken from.
    pub base_run_id: Option<i64>,
    /// Objects by type.
    pub objects: BTreeMap<String, u64>,
    /// All objects.
    pub objects_count: u64,
    /// Schemas.
    pub schemas_count: u64,
    /// Columns.
    pub columns: u64,
    /// Columns, counted from the stored rows.
    pub columns_count: u64,
    /// Indexes.
    pub indexes: u64,
    /// Declared foreign keys.
    pub foreign_keys: u64,
    /// Unique, check and exclusion constraints.
    pub constraints: u64,
    /// What views read.
    pub view_dependencies: u64,
    /// References found by inference.
    pub inferred_relationships: u64,
    /// Objects taken over unchanged.
    pub carried_over: u64,
    /// Differences from the run before.
    pub changes: Changes,
    /// What could not be read and why.
    pub warnings: Vec<String>,
}

struct Attempt<'a> {
    catalog: &'a Catalog,
    attempt_id: i64,
    stage: HarvestStage,
    watch: &'a mut dyn HarvestWatch,
}

impl Attempt<'_> {
    fn stage(&mut self, stage: HarvestStage, done: usize) -> HarvestResult<()> {
        if stage != self.stage {
            self.stage = stage;
            // The last stages are recorded by the write transaction itself.
            if stage <= HarvestStage::Write {
                self.catalog.store().write(|tx| {
                    tx.prepare_cached("UPDATE discovery_attempts SET stage = ?2 WHERE attempt_id = ?1")
                        .db()?
                        .execute((self.attempt_id, stage.as_str()))
                        .db()
                })?;
            }
        }
        self.watch.stage(stage, done)
    }
}

impl MetadataWatch for Attempt<'_> {
    fn stage(&mut self, stage: MetadataStage, done: usize) -> HarvestResult<()> {
        Attempt::stage(self, stage.into(), done)
    }
}

impl Catalog {
    /// Harvests a target into a new run: reads everything into memory, then writes it in one transaction.
    ///
    /// After any error no run exists; the attempt is recorded with its stage and error.
    ///
    /// # Errors
    /// `CONFLICT` while another harvest of the target runs (`attempt_id`), `NOT_FOUND` when no schema matches the
    /// filter, what the source fails with, what the watch stops with.
    pub fn harvest(
        &self,
        options: &HarvestOptions,
        source: &mut dyn MetadataSource,
        probe: Option<&mut dyn ValueProbe>,
        watch: &mut dyn HarvestWatch,
    ) -> HarvestResult<HarvestSummary> {
        let started_at = now();
        let attempt_id = self.start_attempt(options, started_at)?;
        let mut attempt = Attempt { catalog: self, attempt_id, stage: HarvestStage::Start, watch };
        let result = run(self, options, source, probe, &mut attempt, started_at);
        let stage = attempt.stage;
        if let Err(error) = &result {
            self.fail_attempt(attempt_id, stage, error)?;
        }
        result
    }

    fn start_attempt(&self, options: &HarvestOptions, started_at: i64) -> HarvestResult<i64> {
        self.store().write(|tx| {
            let running: Option<i64> = rusqlite::OptionalExtension::optional(tx.query_row(
                "SELECT attempt_id FROM discovery_attempts WHERE target_id = ?1 AND status = 'running'",
                [&options.target_id],
                |r| r.get(0),
            ))
            .db()?;
            if let Some(id) = running {
                let mut error =
                    fail::conflict("a harvest of this target is running: wait for it or cancel it");
                error.retryable = true;
                return Err(error.with("attempt_id", id));
            }
            tx.query_row(
                "INSERT INTO discovery_attempts(target_id, caller, started_at, status, stage)
                 VALUES (?1, ?2, ?3, 'running', 'start') RETURNING attempt_id",
                (&options.target_id, &options.caller, started_at),
                |r| r.get(0),
            )
            .db()
        })
    }

    fn fail_attempt(&self, attempt_id: i64, stage: HarvestStage, error: &HarvestError) -> HarvestResult<()> {
        let status = if error.code == HarvestCode::Cancelled { "cancelled" } else { "failed" };
        let code = match serde_json::to_value(error.code) {
            Ok(Json::String(code)) => code,
            _ => String::new(),
        };
        self.store().write(|tx| {
            tx.execute(
                "UPDATE discovery_attempts SET status = ?2, stage = ?3, finished_at = ?4, error_code = ?5,
                 error_text = ?6 WHERE attempt_id = ?1 AND status = 'running'",
                (attempt_id, status, stage.as_str(), now(), code, &error.message),
            )
            .db()
            .map(drop)
        })
    }
}

fn run(
    catalog: &Catalog,
    options: &HarvestOptions,
    source: &mut dyn MetadataSource,
    probe: Option<&mut dyn ValueProbe>,
    attempt: &mut Attempt<'_>,
    started_at: i64,
) -> HarvestResult<HarvestSummary> {
    attempt.stage(HarvestStage::Start, 0)?;
    let dialect = source.dialect();
    let mut base = Base::load(catalog, options)?;
    let token = base.token.clone().filter(|_| base.answers(options, probe.is_some()));
    let mut snapshot = read(options, source, attempt, token)?;
    let mut unchanged = None;
    if snapshot.unchanged {
        match Prepared::unchanged(options, dialect, snapshot, base) {
            Ok(prepared) => {
                (unchanged, base, snapshot) = (Some(prepared), Base::default(), MetadataSnapshot::default())
            }
            Err(given_back) => {
                base = *given_back;
                snapshot = read(options, source, attempt, None)?;
            }
        }
    }
    // A source may know its server only once it has read from it.
    let server_version = source.server_version();
    let mut prepared = match unchanged {
        Some(prepared) => prepared,
        None => Prepared::new(options, dialect, snapshot, base)?,
    };
    let mut probe = probe;
    attempt.stage(HarvestStage::Profiles, 0)?;
    prepared.profile(options, again(&mut probe), attempt)?;
    attempt.stage(HarvestStage::Inference, 0)?;
    if options.infer_relationships {
        let probe = if options.value_overlap { probe } else { None };
        prepared.infer(options, probe, attempt)?;
    }
    attempt.stage(HarvestStage::Write, 0)?;
    let summary = write::write(catalog, options, &prepared, attempt, &server_version, started_at)?;
    // The run exists from here on: a stop can no longer take it back, so the last report is for the ear only.
    let _ = attempt.stage(HarvestStage::Finish, prepared.snapshot.objects.len());
    catalog.retain_runs(&options.target_id, options.runs_max_per_target, options.run_retention_days)?;
    Ok(summary)
}

/// Lends the probe once more.
fn again<'a>(probe: &'a mut Option<&mut dyn ValueProbe>) -> Option<&'a mut dyn ValueProbe> {
    match probe {
        Some(probe) => Some(&mut **probe),
        None => None,
    }
}

fn read(
    options: &HarvestOptions,
    source: &mut dyn MetadataSource,
    attempt: &mut Attempt<'_>,
    known_token: Option<String>,
) -> HarvestResult<MetadataSnapshot> {
    let mut request = MetadataRequest::all(options.objects_max);
    request.known_token = known_token;
    if let Some(patterns) = &options.schema_filter {
        let mut names = MetadataRequest::all(options.objects_max);
        names.depth = MetadataDepth::Schemas;
        let found = source.metadata(&names, attempt)?;
        let matching: Vec<String> = found
            .schemas
            .into_iter()
            .filter(|s| !s.is_system)
            .map(|s| s.name)
            .filter(|name| patterns.iter().any(|p| wildcard::matches(p, name)))
            .collect();
        if matching.is_empty() {
            return Err(fail::not_found("schema", patterns.join(", ")));
        }
        request.schemas = Some(matching);
    }
    let mut snapshot = source.metadata(&request, attempt)?;
    snapshot.schemas.retain(|s| !s.is_system);
    if snapshot.objects.len() > options.objects_max {
        return Err(HarvestError::limit(
            "the target holds more objects than one harvest may read: filter by schema",
            options.objects_max as u64,
            snapshot.objects.len() as u64,
            "mcp-discovery_max_objects",
        ));
    }
    snapshot.objects.iter_mut().for_each(name_parameters);
    snapshot.objects.sort_by(|a, b| {
        (&a.schema, a.object_type, &a.name, &a.signature).cmp(&(
            &b.schema,
            b.object_type,
            &b.name,
            &b.signature,
        ))
    });
    Ok(snapshot)
}

/// Parameters of routines may lack a name or share one; the catalog names them by position then.
fn name_parameters(object: &mut ObjectMeta) {
    let mut seen = HashSet::new();
    for column in &mut object.columns {
        if column.name.is_empty() || !seen.insert(column.name.clone()) {
            column.name = format!("${}", column.ordinal);
            seen.insert(column.name.clone());
        }
    }
}

/// The filter as it is stored and compared between runs.
pub(crate) fn filter_json(filter: Option<&Vec<String>>) -> Option<String> {
    filter.map(|patterns| {
        let mut sorted = patterns.clone();
        sorted.sort();
        sorted.dedup();
        json!(sorted).to_string()
    })
}
