//! The agent run behind a discovery: opening or going on, events, what is done already; it asks no model.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use mcp::{ToolError, ToolResult};
use serde_json::{Map, Value, json};

use super::facts::text;
use super::hands::Hands;
use super::options::{DiscoverOptions, DiscoverSpent};

/// Version of prompts and stages; an open agent run of another version is not gone on with.
const PROMPT_HASH: &str = "penstock-discovery-1";

/// The agent run.
pub(crate) struct Journal<'a> {
    hands: &'a Hands<'a>,
    pub(crate) agent_run_id: i64,
    pub(crate) resumed: bool,
    /// Steps that are done, by their name.
    done: RefCell<BTreeMap<String, Value>>,
    pub(crate) spent: Cell<DiscoverSpent>,
    pub(crate) refused: Cell<u64>,
    pub(crate) unanswered: Cell<u64>,
}

impl<'a> Journal<'a> {
    /// Goes on with the newest open agent run of the same run, model and version, else opens one.
    pub(crate) fn open(hands: &'a Hands<'a>, options: &DiscoverOptions, run_id: i64) -> ToolResult<Self> {
        let listed = hands.pages("agent.run_list", &json!({"status": "running"}), "agent_runs", 500)?;
        let mut journal = Self {
            hands,
            agent_run_id: 0,
            resumed: false,
            done: RefCell::default(),
            spent: Cell::default(),
            refused: Cell::default(),
            unanswered: Cell::default(),
        };
        for row in listed {
            let is_ours = text(&row, "model_name") == options.model
                && row.get("run_id").and_then(Value::as_i64) == Some(run_id);
            let Some(id) = row.get("agent_run_id").and_then(Value::as_i64).filter(|_| is_ours) else {
                continue;
            };
            if journal.take_over(id)? {
                return Ok(journal);
            }
        }
        let budget = json!({
            "max_tool_calls": options.budget.tool_calls_max,
            "max_tokens": options.budget.tokens_max,
            "max_minutes": options.budget.time_ms_max.div_ceil(60_000),
        });
        let started = hands.call(
            "agent.run_start",
            json!({"model_name": options.model, "prompt_hash": PROMPT_HASH, "budget": budget}),
        )?;
        journal.agent_run_id = started
            .get("agent_run_id")
            .and_then(Value::as_i64)
            .ok_or_else(|| ToolError::internal("agent.run_start gave no id"))?;
        journal.finish_step(
            "plan",
            json!({
                "version": PROMPT_HASH,
                "stages": ["triage", "summaries", "relationships", "domains", "answerability", "shutdown"],
                "objects_max": options.objects_max,
                "budget": {"model_calls": options.budget.model_calls_max, "tokens": options.budget.tokens_max,
                           "cost_usd": options.budget.cost_usd_max, "time_ms": options.budget.time_ms_max},
            }),
        )?;
        Ok(journal)
    }

    /// Reads what an open agent run has decided; false if it is not one of this agent.
    fn take_over(&mut self, agent_run_id: i64) -> ToolResult<bool> {
        let args = json!({"agent_run_id": agent_run_id, "include_events": true, "event_type": "decision"});
        let answer = self.hands.call("agent.run_list", args)?;
        let events = answer.get("events").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut is_ours = false;
        for event in events {
            let Some(payload) = event.get("payload") else { continue };
            if text(payload, "by") != PROMPT_HASH {
                continue;
            }
            is_ours = true;
            self.done.borrow_mut().insert(text(payload, "step"), payload.clone());
            if let Some(spent) = payload.get("spent") {
                self.spent.set(DiscoverSpent::from_json(spent));
            }
            let count = |key: &str| payload.get(key).and_then(Value::as_u64).unwrap_or_default();
            self.refused.set(count("refused"));
            self.unanswered.set(count("unanswered"));
        }
        if is_ours {
            self.agent_run_id = agent_run_id;
            self.resumed = true;
        }
        Ok(is_ours)
    }

    /// What the step recorded, if it is done.
    pub(crate) fn step(&self, step: &str) -> Option<Value> {
        self.done.borrow().get(step).cloned()
    }

    /// Records a decision; the step is done from here on.
    pub(crate) fn finish_step(&self, step: &str, what: Value) -> ToolResult<()> {
        let mut payload: Map<String, Value> = what.as_object().cloned().unwrap_or_default();
        payload.insert("by".to_owned(), json!(PROMPT_HASH));
        payload.insert("step".to_owned(), json!(step));
        payload.insert("spent".to_owned(), self.spent.get().to_json());
        payload.insert("refused".to_owned(), json!(self.refused.get()));
        payload.insert("unanswered".to_owned(), json!(self.unanswered.get()));
        self.append("decision", &payload)?;
        self.done.borrow_mut().insert(step.to_owned(), Value::Object(payload));
        Ok(())
    }

    /// Records something that is no decision of a step.
    pub(crate) fn note(&self, what: Value) -> ToolResult<()> {
        self.append("note", &what.as_object().cloned().unwrap_or_default())
    }

    fn append(&self, event_type: &str, payload: &Map<String, Value>) -> ToolResult<()> {
        let args = json!({"agent_run_id": self.agent_run_id, "event_type": event_type, "payload": payload});
        self.hands.call("agent.event_append", args).map(drop)
    }
}
