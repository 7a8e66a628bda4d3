//! What a discovery may spend, what it is asked for, how it ended and how it shows progress; it spends nothing itself.

use serde_json::{Value, json};

/// Bounds of one agent run, over all calls that go on with it.
#[derive(Debug, Clone, PartialEq)]
// Exhaustive: callers choose every bound knowingly.
pub struct DiscoverBudget {
    /// Questions to the model.
    pub model_calls_max: u64,
    /// Calls of tools.
    pub tool_calls_max: u64,
    /// Tokens read and written.
    pub tokens_max: u64,
    /// Money in US dollars; 0 allows free models only.
    pub cost_usd_max: f64,
    /// Time of this call in milliseconds.
    pub time_ms_max: u64,
}

impl Default for DiscoverBudget {
    fn default() -> Self {
        Self {
            model_calls_max: 500,
            tool_calls_max: 20_000,
            tokens_max: 2_000_000,
            cost_usd_max: 5.0,
            time_ms_max: 3_600_000,
        }
    }
}

/// What a discovery is asked for.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DiscoverOptions {
    /// The target.
    pub target_id: String,
    /// The run; the latest without one.
    pub run_id: Option<i64>,
    /// Recorded as the author, and sent to the provider when set.
    pub model: String,
    /// Objects that are described.
    pub objects_max: usize,
    /// Tokens that one answer may have.
    pub answer_tokens_max: u32,
    /// Whether the model may look up objects by itself with tool calls.
    pub lookups: bool,
    /// What may be spent.
    pub budget: DiscoverBudget,
}

impl DiscoverOptions {
    /// Fifty objects of the latest run, no lookups, the usual budget.
    pub fn new(target_id: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            target_id: target_id.into(),
            run_id: None,
            model: model.into(),
            objects_max: 50,
            answer_tokens_max: 4_000,
            lookups: false,
            budget: DiscoverBudget::default(),
        }
    }
}

/// What was spent so far.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct DiscoverSpent {
    /// Questions to the model.
    pub model_calls: u64,
    /// Tokens read and written.
    pub tokens: u64,
    /// US dollars.
    pub cost_usd: f64,
}

impl DiscoverSpent {
    pub(crate) fn to_json(self) -> Value {
        json!({"model_calls": self.model_calls, "tokens": self.tokens, "cost_usd": self.cost_usd})
    }

    pub(crate) fn from_json(value: &Value) -> Self {
        let count = |key: &str| value.get(key).and_then(Value::as_u64).unwrap_or_default();
        Self {
            model_calls: count("model_calls"),
            tokens: count("tokens"),
            cost_usd: value.get("cost_usd").and_then(Value::as_f64).unwrap_or_default(),
        }
    }
}

/// The stages in order.
// Exhaustive: displays name every stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum DiscoverStage {
    Start,
    Triage,
    Summaries,
    Relationships,
    Domains,
    Answerability,
    Shutdown,
}

impl DiscoverStage {
    /// The name in events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Triage => "triage",
            Self::Summaries => "summaries",
            Self::Relationships => "relationships",
            Self::Domains => "domains",
            Self::Answerability => "answerability",
            Self::Shutdown => "shutdown",
        }
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DiscoverProgress<'a> {
    /// The stage.
    pub stage: DiscoverStage,
    /// Steps of the stage that are done.
    pub done: usize,
    /// Steps of the stage.
    pub total: usize,
    /// What is worked on.
    pub subject: &'a str,
    /// Spent so far.
    pub spent: DiscoverSpent,
}

/// How a discovery ended.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DiscoverOutcome {
    /// The agent run that holds the records.
    pub agent_run_id: i64,
    /// The run that it is about.
    pub run_id: i64,
    /// Why it stopped before its end; the agent run stays open then and the next call goes on with it.
    pub paused: Option<String>,
    /// Whether an open agent run was gone on with.
    pub resumed: bool,
    /// Spent by the agent run.
    pub spent: DiscoverSpent,
    /// Tool calls of a model that were refused.
    pub refused_calls: u64,
    /// Questions that no usable answer came to.
    pub unanswered: u64,
}
