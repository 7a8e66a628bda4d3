//! Agent runs and their events: opening, closing, the scratchpad; what agents claim lives in files of its own.

use std::collections::BTreeMap;

use harvest::{HarvestError, HarvestResult};
use rusqlite::{Connection, OptionalExtension, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::catalog::{Catalog, resolve_run};
use crate::fail::{self, StoreResult};
use crate::keys::RunRef;
use crate::llm_index::RECORD_TABLES;
use crate::store::now;
use crate::text_enum::text_enum;

/// Longest JSON that an agent may store in one record.
pub(crate) const RECORD_BYTES_MAX: usize = 65_536;
/// Events that one list shows.
const EVENTS_MAX: i64 = 500;

text_enum! {
    /// State of an agent run.
    AgentStatus {
        /// Open.
        Running = "running",
        /// Closed with success.
        Success = "success",
        /// Closed with failure.
        Failed = "failed",
    }
}

text_enum! {
    /// Kind of an event.
    EventType {
        /// A tool was called.
        ToolCall = "tool_call",
        /// A tool answered.
        ToolResult = "tool_result",
        /// A thought worth keeping.
        Note = "note",
        /// A decision.
        Decision = "decision",
    }
}

/// What an agent run is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AgentScope {
    /// The agent run.
    pub agent_run_id: i64,
    /// Its target.
    pub target_id: String,
    /// Its discovery run; `None` once that is deleted.
    pub run_id: Option<i64>,
    /// Its state.
    pub status: AgentStatus,
}

/// An opened agent run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct AgentStarted {
    pub agent_run_id: i64,
    pub model_name: String,
    pub status: AgentStatus,
    /// Unix seconds.
    pub started_at: i64,
}

/// A closed agent run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct AgentFinished {
    pub agent_run_id: i64,
    pub status: AgentStatus,
    /// Unix seconds.
    pub finished_at: i64,
    /// Records written by kind.
    pub artifacts: BTreeMap<String, i64>,
}

/// A written event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct EventAppended {
    /// The event.
    pub event_id: i64,
    /// Unix seconds.
    pub ts: i64,
}

/// Which agent runs to list.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct AgentListRequest {
    /// The target.
    pub target_id: String,
    /// Only on this discovery run.
    pub run_id: Option<i64>,
    /// Only this one.
    pub agent_run_id: Option<i64>,
    /// Only in this state.
    pub status: Option<AgentStatus>,
    /// The events of the one as well.
    pub include_events: bool,
    /// Only events of this kind.
    pub event_type: Option<EventType>,
    /// Agent runs at most.
    pub limit: usize,
    /// Agent runs left out at the start.
    pub offset: usize,
}

impl AgentListRequest {
    /// The first page of a target's agent runs.
    pub fn new(target_id: impl Into<String>) -> Self {
        Self { target_id: target_id.into(), limit: 50, ..Self::default() }
    }
}

/// A page of agent runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct AgentList {
    /// Newest first.
    pub agent_runs: Vec<AgentRow>,
    /// Events in order, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<EventRow>>,
    /// Where the next page starts.
    #[serde(skip)]
    pub next_offset: Option<usize>,
}

/// One agent run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct AgentRow {
    pub agent_run_id: i64,
    pub run_id: Option<i64>,
    pub model_name: String,
    pub status: String,
    pub started_at: i64,
    pub finished_at: Option<i64>,
    pub error_text: Option<String>,
    /// max_tool_calls, max_tokens, max_minutes.
    pub budget: Map<String, Json>,
    /// Records written by kind.
    pub artifacts: BTreeMap<String, i64>,
    /// Number of events.
    pub events: i64,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct EventRow {
    pub event_id: i64,
    pub ts: i64,
    pub event_type: String,
    pub payload: Json,
}

/// Refuses JSON that is too long for one record.
pub(crate) fn bounded(argument: &str, value: &Json) -> HarvestResult<String> {
    let text = value.to_string();
    if text.len() > RECORD_BYTES_MAX {
        let (limit, value) = (RECORD_BYTES_MAX as u64, text.len() as u64);
        return Err(HarvestError::new(
            harvest::HarvestCode::LimitExceeded,
            format!("{argument} is {value} bytes as JSON, at most {limit} are kept: shorten it"),
        )
        .with("argument", argument)
        .with("limit", limit)
        .with("value", value));
    }
    Ok(text)
}

pub(crate) fn scope(c: &Connection, agent_run_id: i64) -> HarvestResult<AgentScope> {
    c.prepare_cached("SELECT target_id, run_id, status FROM agent_runs WHERE agent_run_id = ?1")
        .db()?
        .query_row([agent_run_id], |r| {
            let status = match r.get::<_, String>(2)?.as_str() {
                "success" => AgentStatus::Success,
                "failed" => AgentStatus::Failed,
                _ => AgentStatus::Running,
            };
            Ok(AgentScope { agent_run_id, target_id: r.get(0)?, run_id: r.get(1)?, status })
        })
        .optional()
        .db()?
        .ok_or_else(|| fail::not_found("agent run", agent_run_id.to_string()))
}

/// The scope of a running agent run with its discovery run.
pub(crate) fn running(c: &Connection, agent_run_id: i64) -> HarvestResult<(AgentScope, i64)> {
    let scope = scope(c, agent_run_id)?;
    if scope.status != AgentStatus::Running {
        return Err(fail::precondition(
            format!("agent run {agent_run_id} is finished"),
            "open a new one with agent.run_start",
        ));
    }
    match scope.run_id {
        Some(run_id) => Ok((scope, run_id)),
        None => Err(fail::precondition(
            format!("the discovery run of agent run {agent_run_id} is deleted"),
            "open a new one with agent.run_start",
        )),
    }
}

impl Catalog {
    /// What an agent run is bound to.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub fn agent_scope(&self, agent_run_id: i64) -> HarvestResult<AgentScope> {
        self.store().read(|c| scope(c, agent_run_id))
    }

    /// Opens an agent run on a discovery run.
    ///
    /// # Errors
    /// `NOT_FOUND` for a run of another target.
    pub fn agent_run_start(
        &self,
        target_id: &str,
        run_id: i64,
        model_name: &str,
        prompt_hash: Option<&str>,
        budget: Option<&Map<String, Json>>,
        caller: &str,
    ) -> HarvestResult<AgentStarted> {
        self.store().write(|tx| {
            resolve_run(tx, target_id, &RunRef::Id(run_id))?;
            let budget = budget.map(|b| bounded("budget", &Json::Object(b.clone()))).transpose()?;
            let (agent_run_id, started_at) = tx
                .query_row(
                    "INSERT INTO agent_runs(target_id, run_id, started_at, model_name, prompt_hash, budget_json, caller)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING agent_run_id, started_at",
                    params![target_id, run_id, now(), model_name, prompt_hash, budget, caller],
                    |r| Ok((r.get(0)?, r.get(1)?)),
                )
                .db()?;
            Ok(AgentStarted {
                agent_run_id,
                model_name: model_name.to_owned(),
                status: AgentStatus::Running,
                started_at,
            })
        })
    }

    /// Closes an agent run; the same status again is a repeat.
    ///
    /// # Errors
    /// `NOT_FOUND`, `CONFLICT` when it is closed with another status.
    pub fn agent_run_finish(
        &self,
        agent_run_id: i64,
        status: AgentStatus,
        error: Option<&str>,
    ) -> HarvestResult<AgentFinished> {
        self.store().write(|tx| {
            let scope = scope(tx, agent_run_id)?;
            if scope.status == AgentStatus::Running {
                tx.execute(
                    "UPDATE agent_runs SET status = ?2, error = ?3, finished_at = ?4 WHERE agent_run_id = ?1",
                    params![agent_run_id, status.as_str(), error, now()],
                )
                .db()?;
            } else if scope.status != status {
                return Err(fail::conflict(format!(
                    "agent run {agent_run_id} is finished with status {}",
                    scope.status.as_str()
                )));
            }
            let finished_at: Option<i64> = tx
                .query_row(
                    "SELECT finished_at FROM agent_runs WHERE agent_run_id = ?1",
                    [agent_run_id],
                    |r| r.get(0),
                )
                .db()?;
            let artifacts = artifacts(tx, agent_run_id)?;
            Ok(AgentFinished {
                agent_run_id,
                status,
                finished_at: finished_at.unwrap_or_default(),
                artifacts,
            })
        })
    }

    /// Appends an event.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FAILED_PRECONDITION` when the run is finished, `LIMIT_EXCEEDED`.
    pub fn agent_event_append(
        &self,
        agent_run_id: i64,
        event_type: EventType,
        payload: &Map<String, Json>,
    ) -> HarvestResult<EventAppended> {
        let payload = bounded("payload", &Json::Object(payload.clone()))?;
        self.store().write(|tx| {
            let (scope, _) = running(tx, agent_run_id)?;
            tx.query_row(
                "INSERT INTO agent_events(target_id, agent_run_id, ts, event_type, payload_json)
                 VALUES (?1, ?2, ?3, ?4, ?5) RETURNING event_id, ts",
                params![scope.target_id, agent_run_id, now(), event_type.as_str(), payload],
                |r| Ok(EventAppended { event_id: r.get(0)?, ts: r.get(1)? }),
            )
            .db()
        })
    }

    /// Agent runs of a target, newest first, with the events of one where asked for.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for events without an agent run, `NOT_FOUND` for one of another target.
    pub fn agent_run_list(&self, request: &AgentListRequest) -> HarvestResult<AgentList> {
        if request.include_events && request.agent_run_id.is_none() {
            return Err(fail::invalid("agent_run_id", "given when include_events is true", "nothing"));
        }
        self.store().read(|c| {
            let mut agent_runs = agent_rows(c, request)?;
            if let (true, Some(id)) = (agent_runs.is_empty(), request.agent_run_id) {
                return Err(fail::not_found("agent run", id.to_string()));
            }
            let next_offset =
                (agent_runs.len() > request.limit).then_some(request.offset.saturating_add(request.limit));
            agent_runs.truncate(request.limit);
            for row in &mut agent_runs {
                row.artifacts = artifacts(c, row.agent_run_id)?;
            }
            let events = match (request.include_events, request.agent_run_id) {
                (true, Some(id)) => Some(events(c, id, request.event_type)?),
                _ => None,
            };
            Ok(AgentList { agent_runs, events, next_offset })
        })
    }
}

fn agent_rows(c: &Connection, request: &AgentListRequest) -> HarvestResult<Vec<AgentRow>> {
    let mut statement = c
        .prepare_cached(
            "SELECT agent_run_id, run_id, model_name, status, started_at, finished_at, error, budget_json,
               (SELECT COUNT(*) FROM agent_events e WHERE e.agent_run_id = a.agent_run_id) FROM agent_runs a
             WHERE target_id = ?1 AND (?2 IS NULL OR run_id = ?2) AND (?3 IS NULL OR agent_run_id = ?3)
               AND (?4 IS NULL OR status = ?4) ORDER BY agent_run_id DESC LIMIT ?5 OFFSET ?6",
        )
        .db()?;
    let rows = statement
        .query_map(
            params![
                request.target_id,
                request.run_id,
                request.agent_run_id,
                request.status.map(AgentStatus::as_str),
                request.limit.saturating_add(1) as i64,
                request.offset as i64
            ],
            |r| {
                let budget: Option<String> = r.get(7)?;
                Ok(AgentRow {
                    agent_run_id: r.get(0)?,
                    run_id: r.get(1)?,
                    model_name: r.get(2)?,
                    status: r.get(3)?,
                    started_at: r.get(4)?,
                    finished_at: r.get(5)?,
                    error_text: r.get(6)?,
                    budget: budget.and_then(|b| serde_json::from_str(&b).ok()).unwrap_or_default(),
                    artifacts: BTreeMap::new(),
                    events: r.get(8)?,
                })
            },
        )
        .db()?;
    rows.collect::<rusqlite::Result<_>>().db()
}

fn events(c: &Connection, agent_run_id: i64, only: Option<EventType>) -> HarvestResult<Vec<EventRow>> {
    let mut statement = c
        .prepare_cached(
            "SELECT * FROM (SELECT event_id, ts, event_type, payload_json FROM agent_events WHERE agent_run_id = ?1
               AND (?2 IS NULL OR event_type = ?2) ORDER BY event_id DESC LIMIT ?3) ORDER BY event_id",
        )
        .db()?;
    let rows = statement
        .query_map(params![agent_run_id, only.map(EventType::as_str), EVENTS_MAX], |r| {
            let payload: String = r.get(3)?;
            Ok(EventRow {
                event_id: r.get(0)?,
                ts: r.get(1)?,
                event_type: r.get(2)?,
                payload: serde_json::from_str(&payload).unwrap_or_default(),
            })
        })
        .db()?;
    rows.collect::<rusqlite::Result<_>>().db()
}

fn artifacts(c: &Connection, agent_run_id: i64) -> HarvestResult<BTreeMap<String, i64>> {
    let mut out = BTreeMap::new();
    for (table, kind) in RECORD_TABLES {
        let sql = format!("SELECT COUNT(*) FROM {table} WHERE agent_run_id = ?1");
        let count: i64 = c.prepare_cached(&sql).db()?.query_row([agent_run_id], |r| r.get(0)).db()?;
        out.insert((*kind).to_owned(), count);
    }
    Ok(out)
}
