//! `llm.domain_set_members`: replaces the members of a domain.

use harvest_catalog::{DomainMember, MemberRole, MembersSet};
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

pub(in crate::memory) struct DomainSetMembers;

/// One member.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::memory) struct Member {
    /// The object.
    #[schemars(range(min = 1))]
    object_id: i64,
    /// Its part in the domain.
    role: Option<MemberRole>,
    /// 0 to 1.
    #[serde(default = "crate::memory::llm::likely")]
    #[schemars(range(min = 0, max = 1))]
    confidence: f64,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::memory) struct Args {
    /// The agent run; it must be running.
    #[schemars(range(min = 1))]
    agent_run_id: i64,
    /// The domain.
    #[schemars(length(min = 1, max = 64))]
    domain_key: String,
    /// All members; the ones before are replaced.
    #[schemars(length(max = 1000))]
    members: Vec<Member>,
    /// Target; must match the agent run.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// Run; must match the agent run.
    #[serde(default)]
    #[schemars(with = "RunArg")]
    run_id: RunArg,
}

impl MemoryTool for DomainSetMembers {
    type Args = Args;
    type Output = MembersSet;
    const NAME: &'static str = "llm.domain_set_members";
    const TITLE: &'static str = "Set the members of a domain";
    const TEXT: &'static str =
        "Replaces the members of a domain as one unit: if one is unknown, nothing is changed.";
    const TOOLSET: &'static str = "memory";
    const HINTS: ToolAnnotations = ToolAnnotations::WRITE_IDEMPOTENT;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.target().run()
    }

    fn example() -> (&'static str, Value) {
        (
            "Orders as the fact of sales",
            json!({"agent_run_id": 7, "domain_key": "sales", "members": [{"object_id": 3, "role": "fact"}]}),
        )
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(MembersSet, Frame)> {
        let (_, frame) = agent(deps, call, args.agent_run_id, args.target_id.as_deref(), &args.run_id)?;
        let mut members = Vec::new();
        for member in args.members {
            members.push(DomainMember {
                object_id: member.object_id,
                role: member.role,
                confidence: confidence("confidence", member.confidence)?,
            });
        }
        let catalog = deps.catalog()?;
        Ok((catalog.domain_set_members(args.agent_run_id, &args.domain_key, &members).for_tool()?, frame))
    }
}
