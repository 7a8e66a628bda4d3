//! Arguments and answer of `ai.nl2sql_convert`; it does no work.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ai::Usage;

/// Text or a list of texts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    /// Comma-separated.
    One(String),
    /// A list.
    Many(Vec<String>),
}

impl OneOrMany {
    pub(super) fn list(&self) -> Vec<String> {
        let parts: Vec<&str> = match self {
            Self::One(text) => text.split(',').collect(),
            Self::Many(list) => list.iter().map(String::as_str).collect(),
        };
        parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }
}

/// A run by id, or the latest that holds a schema.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum RunArg {
    /// Its id.
    Id(i64),
    /// A schema that it holds.
    Schema(String),
}

/// A question.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConvertArgs {
    /// The question in plain words.
    #[schemars(length(min = 1, max = 8192))]
    pub(super) natural_language: String,
    /// Schema of the question; the target's default if absent.
    #[schemars(length(min = 1, max = 256))]
    pub(super) schema: Option<String>,
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    pub(super) target_id: Option<String>,
    /// Only these tables and views, and all of them: a list or comma-separated text of `name` or `schema.name`.
    pub(super) context_tables: Option<OneOrMany>,
    /// Run of the catalog, or a schema that it holds; the latest run if absent.
    pub(super) run_id: Option<RunArg>,
    /// Milliseconds for the whole call; 0 = as configured.
    #[serde(default)]
    #[schemars(range(max = 600_000))]
    pub(super) max_latency_ms: u64,
    /// Whether a kept answer may be given again; it is verified again.
    #[serde(default = "yes")]
    pub(super) allow_cache: bool,
    /// Rows that the statement should give at most.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) max_rows_hint: Option<u64>,
    /// Whether the answer tells of the plan; it is checked in any case.
    #[serde(default = "yes")]
    pub(super) explain: bool,
    /// Whether the answer tells what the model saw.
    #[serde(default)]
    pub(super) debug: bool,
}

fn yes() -> bool {
    true
}

/// What the confidence is made of, each 0 to 1.
#[derive(Debug, Clone, Copy, Default, Serialize, JsonSchema)]
pub(super) struct Parts {
    /// What the model says, or the template's confidence.
    pub(super) model: f64,
    /// Share of the question's words that are found in the objects used.
    pub(super) schema_link: f64,
    /// Likeness of the best example.
    pub(super) example: f64,
    /// Whether the plan is free of full scans.
    pub(super) plan: f64,
}

impl Parts {
    pub(super) fn confidence(&self, repairs: usize) -> f64 {
        let sum = 0.35 * self.model + 0.25 * self.schema_link + 0.25 * self.example + 0.15 * self.plan;
        let repaired = (0..repairs).fold(sum, |value, _| value * 0.85);
        (repaired.clamp(0.0, 1.0) * 1e4).round() / 1e4
    }
}

/// A table or view that the statement reads.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Used {
    /// Schema.
    pub(crate) schema: String,
    /// Name.
    pub(crate) object: String,
    /// Its columns that the statement names.
    pub(crate) columns: Vec<String>,
}

/// The gate's word.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Gate {
    /// Always true: what does not pass is not returned.
    pub(super) passed: bool,
}

/// The plan.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub(super) struct Plan {
    /// Always true: what the engine cannot plan is not returned.
    pub(super) ok: bool,
    /// Rows that the engine expects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) est_rows: Option<f64>,
    /// Tables that are read in full.
    pub(super) full_scans: Vec<String>,
}

/// What the model saw.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Debug {
    /// Objects in the prompt, best first.
    pub(super) prompt_objects: Vec<String>,
}

/// A statement for the question. Nothing was run but its EXPLAIN.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ConvertAnswer {
    /// One read-only statement.
    pub(crate) sql: String,
    /// mysql, mariadb, postgresql or sqlite.
    pub(super) dialect: String,
    /// 0 to 1.
    pub(crate) confidence: f64,
    /// What it is made of.
    pub(super) confidence_parts: Parts,
    /// What the statement does, and how it arose.
    pub(crate) explanation: String,
    /// Tables and views that it reads.
    pub(crate) objects_used: Vec<Used>,
    /// The template that it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) template_id: Option<i64>,
    /// Titles of the examples that the model saw.
    pub(super) examples_used: Vec<String>,
    /// The gate's word.
    pub(super) gate: Gate,
    /// The plan, unless it is not wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) explain: Option<Plan>,
    /// Statements that were refused before.
    pub(super) repairs: usize,
    /// miss, exact or semantic.
    pub(crate) cached: &'static str,
    /// Id of the kept answer; empty without one.
    pub(crate) cache_id: String,
    /// Provider; empty when no model was asked.
    pub(crate) provider: String,
    /// Model.
    pub(super) model: String,
    /// Tokens.
    pub(super) usage: Usage,
    /// US dollars.
    pub(super) cost_usd: f64,
    /// What to mind.
    pub(super) warnings: Vec<String>,
    /// Arguments for `llm.question_template_add`, once the statement has proved right.
    pub(super) template_draft: Map<String, Value>,
    /// What the model saw, where wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) debug: Option<Debug>,
}
