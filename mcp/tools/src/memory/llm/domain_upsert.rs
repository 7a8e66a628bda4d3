//! `llm.domain_upsert`: writes a business domain.

use harvest_catalog::{DomainUpsert, DomainUpserted};
use mcp::{ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::memory::deps::CatalogDeps;
use crate::memory::shared::{RunArg, agent, confidence};
use crate::memory::tool::MemoryTool;
use crate::schema::OutputSchema;

pub(in crate::memory) struct DomainUpsertTool;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::memory) struct Args {
    /// The agent run; it must be running.
    #[schemars(range(min = 1))]
    agent_run_id: i64,
    /// Unique in the agent run.
    #[schemars(length(min = 1, max = 64))]
    domain_key: String,
    /// A short title; kept if absent.
    #[schemars(length(max = 256))]
    title: Option<String>,
    /// What it is about; kept if absent.
    #[schemars(length(max = 16384))]
    description: Option<String>,
    /// 0 to 1: strong from 0.9, likely from 0.6, tentative from 0.3, weak below.
    #[serde(default = "crate::memory::llm::likely")]
    #[schemars(range(min = 0, max = 1))]
    confidence: f64,
    /// Target; must match the agent run.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// Run; must match the agent run.
    #[serde(default)]
    #[schemars(with = "RunArg")]
    run_id: RunArg,
}

impl MemoryTool for DomainUpsertTool {
    type Args = Args;
    type Output = DomainUpserted;
    const NAME: &'static str = "llm.domain_upsert";
    const TITLE: &'static str = "Write a domain";
    const TEXT: &'static str = "Writes a business domain, one per agent run and key. Set its members with \
        llm.domain_set_members.";
    const TOOLSET: &'static str = "memory";
    const HINTS: ToolAnnotations = ToolAnnotations::WRITE_IDEMPOTENT;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.target().run()
    }

    fn example() -> (&'static str, Value) {
        ("The sales domain", json!({"agent_run_id": 7, "domain_key": "sales", "title": "Sales"}))
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(DomainUpserted, Frame)> {
        let (_, frame) = agent(deps, call, args.agent_run_id, args.target_id.as_deref(), &args.run_id)?;
        let request = DomainUpsert {
            agent_run_id: args.agent_run_id,
            domain_key: args.domain_key,
            title: args.title,
            description: args.description,
            confidence: confidence("confidence", args.confidence)?,
        };
        Ok((deps.catalog()?.domain_upsert(&request).for_tool()?, frame))
    }
}
