//! The model of the command line as a client, and the progress of phase 2; it knows no database.

use ai_core::LlmClient;
use ai_core_llm::{LlmBridge, LlmConfig, LlmDeps, ProviderKind, ProviderRow, SecretString};
use bridge_ai::{DiscoverOptions, DiscoverOutcome, Discovery};
use mcp::{CallContext, ToolSet};

use crate::args::Args;
use crate::phases::Failure;
use crate::screen::{progress, say};

/// Longest single answer.
const ANSWER_TIMEOUT_MS: u64 = 180_000;

/// A client for the provider of the command line.
pub(crate) fn client(args: &Args, url: &str) -> Result<Box<dyn LlmClient>, Failure> {
    let kind =
        ProviderKind::parse(&args.provider).ok_or("--provider is openai, anthropic, generic or llama_cpp")?;
    let model = args.model.clone().unwrap_or_default();
    let mut row = ProviderRow::new("discover", kind, url, model);
    if let Some(name) = &args.key_env {
        let key = std::env::var(name).map_err(|_| format!("the environment variable {name} is not set"))?;
        row.key = SecretString::new(key);
    }
    let mut config = LlmConfig::default();
    config.enabled = true;
    config.llm_enabled = true;
    config.llm_timeout_ms = ANSWER_TIMEOUT_MS;
    config.llm_total_timeout_ms = ANSWER_TIMEOUT_MS;
    config.daily_budget_usd = args.budget_usd;
    config.max_cloud_requests_per_hour = u32::try_from(args.max_calls).unwrap_or(u32::MAX);
    config.providers = vec![row];
    Ok(Box::new(LlmBridge::new(config, LlmDeps::default())?))
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
