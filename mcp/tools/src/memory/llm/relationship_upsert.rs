//! `llm.relationship_upsert`: writes a relationship between two columns.

use harvest_catalog::{ObjectRef, RelType, RelationshipUpsert, RelationshipUpserted};
use mcp::{ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::memory::deps::CatalogDeps;
use crate::memory::shared::{RunArg, agent, confidence};
use crate::memory::tool::MemoryTool;
use crate::schema::OutputSchema;

pub(in crate::memory) struct RelationshipUpsertTool;

const fn fk_like() -> RelType {
    RelType::FkLike
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::memory) struct Args {
    /// The agent run; it must be running.
    #[schemars(range(min = 1))]
    agent_run_id: i64,
    /// Id of the referring object.
    #[schemars(range(min = 1))]
    child_object_id: i64,
    /// Its column.
    #[schemars(length(min = 1, max = 256))]
    child_column: String,
    /// Id of the object referred to.
    #[schemars(range(min = 1))]
    parent_object_id: i64,
    /// Its column.
    #[schemars(length(min = 1, max = 256))]
    parent_column: String,
    /// 0 to 1: strong from 0.9, likely from 0.6, tentative from 0.3, weak below.
    #[schemars(range(min = 0, max = 1))]
    confidence: f64,
    /// fk_like, bridge (through a table of pairs) or polymorphic.
    #[serde(default = "fk_like")]
    rel_type: RelType,
    /// Signals by name; two or more are expected from confidence 0.6 on.
    evidence: Option<Map<String, Value>>,
    /// Target; must match the agent run.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// Run; must match the agent run.
    #[serde(default)]
    #[schemars(with = "RunArg")]
    run_id: RunArg,
}

impl MemoryTool for RelationshipUpsertTool {
    type Args = Args;
    type Output = RelationshipUpserted;
    const NAME: &'static str = "llm.relationship_upsert";
    const TITLE: &'static str = "Write a relationship";
    const TEXT: &'static str = "Writes a relationship between two columns that no key declares, one per agent run, both ends \
        and kind, with its evidence.";
    const TOOLSET: &'static str = "memory";
    const HINTS: ToolAnnotations = ToolAnnotations::WRITE_IDEMPOTENT;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.target().run()
    }

    fn example() -> (&'static str, Value) {
        (
            "payments.ref holds order ids",
            json!({"agent_run_id": 7, "child_object_id": 12, "child_column": "ref", "parent_object_id": 3, "parent_column": "id", "confidence": 0.7, "evidence": {"values": "200 of 200", "name": "ref"}}),
        )
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(RelationshipUpserted, Frame)> {
        let (_, frame) = agent(deps, call, args.agent_run_id, args.target_id.as_deref(), &args.run_id)?;
        let request = RelationshipUpsert {
            agent_run_id: args.agent_run_id,
            child: ObjectRef::id(args.child_object_id),
            child_column: args.child_column,
            parent: ObjectRef::id(args.parent_object_id),
            parent_column: args.parent_column,
            confidence: confidence("confidence", args.confidence)?,
            rel_type: args.rel_type,
            evidence: args.evidence,
        };
        Ok((deps.catalog()?.relationship_upsert(&request).for_tool()?, frame))
    }
}
