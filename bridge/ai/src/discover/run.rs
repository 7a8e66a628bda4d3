//! A whole discovery from the open agent run to the closed one; each stage is a file of its own.

use std::cell::Cell;
use std::time::{Duration, Instant};

use ai_core::{CallContext as AiCall, LlmClient, Priority};
use mcp::{CallContext, ToolError, ToolResult, ToolSet};
use serde_json::{Value, json};

use super::ask::{Asker, NoAnswer};
use super::facts::{ObjectFact, list_objects, text};
use super::hands::Hands;
use super::journal::Journal;
use super::options::{DiscoverOptions, DiscoverOutcome, DiscoverProgress, DiscoverStage};
use super::summaries::Summarised;
use super::{answers, domains, relations, summaries, triage};

/// Objects that are ranked at most.
const OBJECTS_LISTED_MAX: usize = 20_000;

/// Phase 2 over any tools and any model.
pub struct Discovery<'a> {
    tools: &'a dyn ToolSet,
    llm: &'a dyn LlmClient,
    options: DiscoverOptions,
}

impl std::fmt::Debug for Discovery<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Discovery").field("options", &self.options).finish_non_exhaustive()
    }
}

impl<'a> Discovery<'a> {
    /// A discovery with the tools of `/mcp/query`; the target has been harvested.
    #[must_use]
    pub fn new(tools: &'a dyn ToolSet, llm: &'a dyn LlmClient, options: DiscoverOptions) -> Self {
        Self { tools, llm, options }
    }

    /// Runs all stages with the rights of the caller of `cx`, narrowed to the one target. An open agent run of the same
    /// run and model is gone on with: what it has recorded is not asked again, what it has spent counts.
    ///
    /// # Errors
    /// What a tool fails with. A model that fails or a spent budget is no error: the outcome is paused.
    pub fn run(
        &self,
        cx: &CallContext,
        step: &mut dyn FnMut(&DiscoverProgress<'_>),
    ) -> ToolResult<DiscoverOutcome> {
        let options = &self.options;
        let hands = Hands::new(self.tools, cx, &options.target_id, options.budget.tool_calls_max);
        if let Some(run_id) = options.run_id {
            hands.bind_run(run_id);
        }
        let first = hands.call("catalog.list_objects", json!({"page_size": 1}))?;
        let run_id = first
            .get("run_id")
            .and_then(Value::as_i64)
            .ok_or_else(|| ToolError::internal("catalog.list_objects named no run"))?;
        hands.bind_run(run_id);
        let journal = Journal::open(&hands, options, run_id)?;
        let mut call = AiCall::new(cx.caller.token_name.clone()).with_priority(Priority::Background);
        let model_cancel = call.cancel.clone();
        let _guard = cx.cancel.on_cancel(move || model_cancel.cancel());
        call.request_id = format!("discovery-{}", journal.agent_run_id);
        let time = Duration::from_millis(options.budget.time_ms_max);
        let mut ends_at = Instant::now().checked_add(time).unwrap_or_else(Instant::now);
        if let Some(deadline) = cx.deadline {
            ends_at = ends_at.min(deadline);
        }
        let asker = Asker {
            llm: self.llm,
            hands: &hands,
            journal: &journal,
            options,
            call,
            ends_at,
            failures: Cell::new(0),
            answered: Cell::new(0),
        };
        let result = stages(&asker, &text(&first, "protocol"), step);
        let mut outcome = DiscoverOutcome {
            agent_run_id: journal.agent_run_id,
            run_id,
            paused: None,
            resumed: journal.resumed,
            spent: journal.spent.get(),
            refused_calls: journal.refused.get(),
            unanswered: journal.unanswered.get(),
        };
        match result {
            Ok(()) => Ok(outcome),
            Err(NoAnswer::Tool(error)) => Err(error),
            Err(NoAnswer::Pause(reason) | NoAnswer::Unanswered(reason)) => {
                if !hands.is_cancelled() {
                    journal.finish_step("paused", json!({"reason": reason}))?;
                }
                outcome.paused = Some(reason);
                Ok(outcome)
            }
        }
    }
}

fn stages(
    asker: &Asker<'_>,
    protocol: &str,
    step: &mut dyn FnMut(&DiscoverProgress<'_>),
) -> Result<(), NoAnswer> {
    let all = list_objects(asker.hands, OBJECTS_LISTED_MAX)?;
    let ranked = triage::rank(all.clone(), asker.options.objects_max);
    triage::record(asker.journal, &ranked)?;
    let new = describe_all(asker, &ranked, step)?;
    let is_new = new > 0 || asker.journal.resumed || no_domains(asker)?;
    if is_new {
        relations::relate(asker, &ranked, &all, protocol, step)?;
        step(&progress(asker, DiscoverStage::Domains, 0, 1, ""));
        domains::group(asker, &ranked)?;
        answers::answerable(asker, &all, protocol, step)?;
    }
    step(&progress(asker, DiscoverStage::Shutdown, 0, 1, ""));
    shutdown(asker, &ranked, new, is_new)?;
    Ok(())
}

/// Stage 2; gives the number of summaries written now.
fn describe_all(
    asker: &Asker<'_>,
    ranked: &[ObjectFact],
    step: &mut dyn FnMut(&DiscoverProgress<'_>),
) -> Result<usize, NoAnswer> {
    let mut written = 0;
    for (at, object) in ranked.iter().enumerate() {
        step(&progress(asker, DiscoverStage::Summaries, at, ranked.len(), &object.object_key));
        if let Summarised::Written = summaries::summarise(asker, object)? {
            written += 1;
        }
    }
    Ok(written)
}

fn no_domains(asker: &Asker<'_>) -> ToolResult<bool> {
    let found = asker.hands.pages("llm.domain_list", &json!({"page_size": 1}), "domains", 1)?;
    Ok(found.is_empty())
}

fn shutdown(asker: &Asker<'_>, ranked: &[ObjectFact], new: usize, is_new: bool) -> ToolResult<()> {
    let journal = asker.journal;
    let body = format!(
        "{} objects were looked at. Questions without a usable answer: {}. Refused tool calls of the model: {}.",
        ranked.len(),
        journal.unanswered.get(),
        journal.refused.get()
    );
    if is_new {
        domains::note_once(asker, json!({"scope": "global", "title": "Discovery finished", "body": body}))?;
    }
    let what =
        json!({"summaries_written_last": new, "unchanged": !is_new, "tool_calls": asker.hands.calls()});
    journal.finish_step(DiscoverStage::Shutdown.as_str(), what)?;
    let mut end = json!({"agent_run_id": journal.agent_run_id, "status": "success"});
    if asker.answered.get() == 0 && !journal.resumed && journal.unanswered.get() > 0 {
        end = json!({"agent_run_id": journal.agent_run_id, "status": "failed", "error": "no question had a usable answer"});
    }
    asker.hands.call("agent.run_finish", end).map(drop)
}

fn progress<'p>(
    asker: &Asker<'_>,
    stage: DiscoverStage,
    done: usize,
    total: usize,
    subject: &'p str,
) -> DiscoverProgress<'p> {
    DiscoverProgress { stage, done, total, subject, spent: asker.journal.spent.get() }
}
