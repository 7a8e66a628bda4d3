//! The second phase with the model of the command line, and its progress; it knows no database.

use ai_core::LlmClient;
use bridge_ai::{DiscoverOptions, DiscoverOutcome, Discovery};
use mcp::{CallContext, ToolSet};

use crate::args::Args;
use crate::client::Wanted;
use crate::phases::Failure;
use crate::screen::{progress, say};

/// A client for the provider of the command line.
pub(crate) fn client(args: &Args, url: &str) -> Result<Box<dyn LlmClient>, Failure> {
    let model = args.model.clone().unwrap_or_default();
    let mut wanted = Wanted::new(&args.provider, url, &model);
    wanted.key_env.clone_from(&args.key_env);
    wanted.budget_usd = args.budget_usd;
    wanted.calls_max = args.max_calls;
    Ok(Box::new(wanted.client()?))
}

/// Phase 2 from its start or from where an earlier call stopped.
pub(crate) fn describe(
    args: &Args,
    tools: &dyn ToolSet,
    llm: &dyn LlmClient,
    cx: &CallContext,
    target: &str,
    run_id: i64,
) -> Result<DiscoverOutcome, Failure> {
    let mut options = DiscoverOptions::new(target, args.model.clone().unwrap_or_default());
    options.run_id = Some(run_id);
    options.objects_max = args.max_objects;
    options.lookups = args.lookups;
    options.answer_tokens_max = args.answer_tokens;
    options.budget.model_calls_max = args.max_calls;
    options.budget.tokens_max = args.max_tokens;
    options.budget.cost_usd_max = args.budget_usd;
    options.budget.time_ms_max = args.max_minutes.saturating_mul(60_000);
    let outcome = Discovery::new(tools, llm, options).run(cx, &mut |step| {
        progress(&format!(
            "phase 2: {} {}/{} {} ({} questions, {} tokens, {:.4} USD)",
            step.stage.as_str(),
            step.done,
            step.total,
            step.subject,
            step.spent.model_calls,
            step.spent.tokens,
            step.spent.cost_usd
        ));
    })?;
    say(&format!("phase 2: {}", sentence(&outcome)));
    Ok(outcome)
}

/// How it ended, for the report.
pub(crate) fn sentence(outcome: &DiscoverOutcome) -> String {
    let spent = format!(
        "{} questions, {} tokens, {:.4} USD; {} without a usable answer, {} tool calls refused",
        outcome.spent.model_calls,
        outcome.spent.tokens,
        outcome.spent.cost_usd,
        outcome.unanswered,
        outcome.refused_calls
    );
    match &outcome.paused {
        Some(reason) => format!("paused: {reason} ({spent}). The same command with a larger budget goes on."),
        None => format!("finished ({spent})."),
    }
}
