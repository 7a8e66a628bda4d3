//! Metrics: definitions with the objects that they depend on.

use harvest::HarvestResult;
use rusqlite::{Connection, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::agent::running;
use crate::catalog::Catalog;
use crate::fail::{self, StoreResult};
use crate::keys::ObjectRef;
use crate::llm_index::{self, SearchRow};
use crate::objects::resolve;
use crate::relationships::current;
use crate::store::now;

use super::{action, domain};

/// A metric to write.
#[derive(Debug, Clone)]
// Exhaustive: callers fill every field from their arguments.
pub struct MetricUpsert {
    /// The agent run.
    pub agent_run_id: i64,
    /// Unique in the agent run.
    pub metric_key: String,
    /// A short title.
    pub title: String,
    /// What it measures.
    pub description: Option<String>,
    /// The domain that it belongs to.
    pub domain_key: Option<String>,
    /// One value per what.
    pub grain: Option<String>,
    /// Unit of the value.
    pub unit: Option<String>,
    /// How it is computed.
    pub sql_template: Option<String>,
    /// Whether the template passed the gate; `None` without one.
    pub sql_valid: Option<bool>,
    /// Objects that it reads.
    pub depends: Vec<ObjectRef>,
    /// 0 to 1.
    pub confidence: f64,
}

/// A written metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct MetricUpserted {
    pub metric_id: i64,
    pub metric_key: String,
    /// inserted or updated.
    pub action: String,
    /// Whether the template passed the gate; null without one.
    pub sql_valid: Option<bool>,
}

/// Which metrics to list.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct MetricListRequest {
    /// The target.
    pub target_id: String,
    /// The run that object ids and staleness refer to.
    pub run_id: i64,
    /// Only of this agent run.
    pub agent_run_id: Option<i64>,
    /// Only of this domain.
    pub domain_key: Option<String>,
    /// Only this one.
    pub metric_key: Option<String>,
    /// Weaker ones are left out.
    pub min_confidence: f64,
    /// Metrics at most.
    pub limit: usize,
    /// Metrics left out at the start.
    pub offset: usize,
}

impl MetricListRequest {
    /// The first page of a target's metrics.
    pub fn new(target_id: impl Into<String>, run_id: i64) -> Self {
        Self { target_id: target_id.into(), run_id, limit: 50, ..Self::default() }
    }
}

/// A page of metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct MetricList {
    /// By key, newest agent run first.
    pub metrics: Vec<MetricRow>,
    /// Where the next page starts.
    #[serde(skip)]
    pub next_offset: Option<usize>,
}

/// One metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct MetricRow {
    pub metric_id: i64,
    pub metric_key: String,
    pub title: String,
    pub description: String,
    pub domain_key: Option<String>,
    pub grain: Option<String>,
    pub unit: Option<String>,
    pub sql_template: Option<String>,
    pub depends: Vec<MetricDependency>,
    pub confidence: f64,
    pub agent_run_id: i64,
    pub created_at: i64,
    /// An object that it reads has changed since or is gone.
    pub stale: bool,
}

/// An object that a metric reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct MetricDependency {
    /// Id in the run asked for; null if the object is gone.
    pub object_id: Option<i64>,
    pub object_key: String,
}

impl Catalog {
    /// Writes a metric, one per agent run and key.
    ///
    /// # Errors
    /// `NOT_FOUND` for an unknown domain or object, `FAILED_PRECONDITION` for a finished agent run.
    pub fn metric_upsert(&self, request: &MetricUpsert) -> HarvestResult<MetricUpserted> {
        self.store().write(|tx| {
            let (scope, run_id) = running(tx, request.agent_run_id)?;
            if let Some(key) = &request.domain_key
                && !domain::is_known(tx, &scope.target_id, key)?
            {
                return Err(fail::not_found("domain", key));
            }
            let mut depends = Vec::new();
            for wanted in &request.depends {
                let object = resolve(tx, run_id, wanted)?;
                depends.push(json!({"uid": object.uid, "hash": object.hash, "key": object.key()}));
            }
            let existed: bool = tx
                .query_row(
                    "SELECT EXISTS(SELECT 1 FROM llm_metrics WHERE agent_run_id = ?1 AND metric_key = ?2)",
                    (request.agent_run_id, &request.metric_key),
                    |r| r.get(0),
                )
                .db()?;
            let metric_id: i64 = tx
                .query_row(
                    "INSERT INTO llm_metrics(target_id, run_id, agent_run_id, metric_key, title, description, domain_key,
                       grain, unit, sql_template, sql_valid, depends_json, confidence, created_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, COALESCE(?6, ''), ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
                     ON CONFLICT(agent_run_id, metric_key) DO UPDATE SET title = excluded.title,
                       description = excluded.description, domain_key = excluded.domain_key, grain = excluded.grain,
                       unit = excluded.unit, sql_template = excluded.sql_template, sql_valid = excluded.sql_valid,
                       depends_json = excluded.depends_json, confidence = excluded.confidence
                     RETURNING metric_id",
                    params![
                        scope.target_id,
                        run_id,
                        request.agent_run_id,
                        request.metric_key,
                        request.title,
                        request.description,
                        request.domain_key,
                        request.grain,
                        request.unit,
                        request.sql_template,
                        request.sql_valid,
                        Json::Array(depends).to_string(),
                        request.confidence,
                        now()
                    ],
                    |r| r.get(0),
                )
                .db()?;
            let body = [&request.description, &request.grain, &request.unit, &request.sql_template]
                .into_iter()
                .flatten()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join("\n");
            llm_index::put(
                tx,
                &SearchRow {
                    kind: "metric",
                    ref_id: metric_id,
                    key: &request.metric_key,
                    title: &request.title,
                    body: &body,
                    tags: request.domain_key.as_deref().unwrap_or_default(),
                    target_id: &scope.target_id,
                    run_id: Some(run_id),
                    object_uid: None,
                },
            )?;
            Ok(MetricUpserted {
                metric_id,
                metric_key: request.metric_key.clone(),
                action: action(existed).to_owned(),
                sql_valid: request.sql_valid,
            })
        })
    }

    /// Metrics of a target.
    ///
    /// # Errors
    /// Those of the store.
    pub fn metric_list(&self, request: &MetricListRequest) -> HarvestResult<MetricList> {
        self.store().read(|c| {
            let mut metrics = rows(c, request)?;
            let next_offset =
                (metrics.len() > request.limit).then_some(request.offset.saturating_add(request.limit));
            metrics.truncate(request.limit);
            Ok(MetricList { metrics, next_offset })
        })
    }
}

/// The objects of a stored list, and whether one has changed or is gone.
pub(crate) fn dependencies(
    c: &Connection,
    run_id: i64,
    stored: &str,
) -> HarvestResult<(Vec<MetricDependency>, bool)> {
    let list: Vec<Json> = serde_json::from_str(stored).unwrap_or_default();
    let mut stale = false;
    let mut out = Vec::new();
    for item in &list {
        let text = |name: &str| item[name].as_str().unwrap_or_default();
        let now = current(c, run_id, text("uid"))?;
        stale |= now.as_ref().is_none_or(|(_, hash)| hash != text("hash"));
        out.push(MetricDependency { object_id: now.map(|(id, _)| id), object_key: text("key").to_owned() });
    }
    Ok((out, stale))
}

fn rows(c: &Connection, request: &MetricListRequest) -> HarvestResult<Vec<MetricRow>> {
    let mut statement = c
        .prepare_cached(
            "SELECT metric_id, metric_key, title, description, domain_key, grain, unit, sql_template, confidence,
               agent_run_id, created_at, depends_json FROM llm_metrics WHERE target_id = ?1
               AND (?2 IS NULL OR agent_run_id = ?2) AND (?3 IS NULL OR domain_key = ?3)
               AND (?4 IS NULL OR metric_key = ?4) AND confidence >= ?5
             ORDER BY metric_key, agent_run_id DESC LIMIT ?6 OFFSET ?7",
        )
        .db()?;
    let rows = statement
        .query_map(
            params![
                request.target_id,
                request.agent_run_id,
                request.domain_key,
                request.metric_key,
                request.min_confidence,
                request.limit.saturating_add(1) as i64,
                request.offset as i64
            ],
            |r| {
                let metric = MetricRow {
                    metric_id: r.get(0)?,
                    metric_key: r.get(1)?,
                    title: r.get(2)?,
                    description: r.get(3)?,
                    domain_key: r.get(4)?,
                    grain: r.get(5)?,
                    unit: r.get(6)?,
                    sql_template: r.get(7)?,
                    depends: Vec::new(),
                    confidence: r.get(8)?,
                    agent_run_id: r.get(9)?,
                    created_at: r.get(10)?,
                    stale: false,
                };
                Ok((metric, r.get::<_, String>(11)?))
            },
        )
        .db()?;
    let mut out = Vec::new();
    for row in rows {
        let (mut metric, depends) = row.db()?;
        (metric.depends, metric.stale) = dependencies(c, request.run_id, &depends)?;
        out.push(metric);
    }
    Ok(out)
}
