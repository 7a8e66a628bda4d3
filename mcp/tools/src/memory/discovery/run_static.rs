//! `discovery.run_static`: harvests a target's metadata into a new run.

use std::time::{Duration, Instant};

use harvest_catalog::{HarvestOptions, HarvestSummary, ProfileLevel};
use mcp::{Change, ToolAnnotations, ToolError, ToolResult};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::recheck::recheck_templates;
use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::memory::deps::CatalogDeps;
use crate::memory::probe::{GatewayProbe, Progress};
use crate::memory::shared::{OneOrMany, yes};
use crate::memory::tool::MemoryTool;
use crate::schema::OutputSchema;

pub(in crate::memory) struct RunStatic;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::memory) struct Args {
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// Schemas to harvest: exact names, or globs with * and ?; all but the engine's own if absent.
    #[serde(default)]
    #[schemars(with = "OneOrMany")]
    schema_filter: OneOrMany,
    /// Kept with the run.
    #[serde(default = "notes")]
    #[schemars(length(max = 4096))]
    notes: String,
    /// Take over what has not changed since the latest run.
    #[serde(default = "yes")]
    incremental: bool,
    /// none, quick (from metadata) or full (scans data).
    #[serde(default)]
    profile_level: ProfileLevel,
    /// Look for references that are not declared.
    #[serde(default = "yes")]
    infer_relationships: bool,
    /// Support them with checks of values.
    #[serde(default = "yes")]
    value_overlap: bool,
    /// Longest run in milliseconds; the server's setting if absent.
    #[schemars(range(min = 1000, max = 3_600_000))]
    timeout_ms: Option<u64>,
}

fn notes() -> String {
    "Static discovery harvest".to_owned()
}

impl MemoryTool for RunStatic {
    type Args = Args;
    type Output = HarvestSummary;
    const NAME: &'static str = "discovery.run_static";
    const TITLE: &'static str = "Harvest a target's schemas";
    const TEXT: &'static str = "Reads all metadata of a target into a new, unchanging run of the catalog: schemas, objects, \
        columns, keys, constraints, definitions, quick profiles and inferred references. Deterministic, no model. After an \
        error no run exists.";
    const TOOLSET: &'static str = "discovery";
    const HINTS: ToolAnnotations = ToolAnnotations::WRITE;
    const IS_LONG: bool = true;
    const OWN_TIME: bool = true;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.target()
    }

    fn example() -> (&'static str, Value) {
        ("Harvest two schemas", json!({"schema_filter": ["shop", "crm_*"], "notes": "before the migration"}))
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(HarvestSummary, Frame)> {
        let settings = deps.settings();
        let timeout_ms = args.timeout_ms.unwrap_or(settings.discovery_timeout_ms);
        // This tool has a time of its own instead of that of other calls.
        call.scope.deadline = Instant::now().checked_add(Duration::from_millis(timeout_ms));
        let catalog = deps.catalog()?.clone();
        let gateway = &deps.tools.gateway;
        let target = gateway.resolve(args.target_id.as_deref(), &call.scope).for_tool()?;
        if !target.allow_discovery {
            let message = format!("target {} does not allow discovery: ask its operator", target.target_id);
            return Err(ToolError::denied("policy", message));
        }
        let mut options = HarvestOptions::new(target.target_id.as_str(), call.cx.caller.token_name.as_str());
        options.source_dsn = format!("{}://{}", target.protocol.as_str(), target.target_id);
        options.schema_filter = (!args.schema_filter.0.is_empty()).then_some(args.schema_filter.0);
        options.notes = args.notes;
        options.incremental = args.incremental;
        options.profile_level = args.profile_level;
        options.infer_relationships = args.infer_relationships;
        options.value_overlap = args.value_overlap;
        options.objects_max = settings.discovery_objects_max;
        options.value_checks_max = settings.discovery_value_checks_max;
        options.runs_max_per_target = settings.runs_max_per_target;
        options.run_retention_days = settings.run_retention_days;
        let mut source = GatewayProbe::new(call, &target.target_id).for_tool()?;
        let mut probe = GatewayProbe::new(call, &target.target_id).for_tool()?;
        let mut progress = Progress::new(call.cx, &call.scope);
        let summary = catalog.harvest(&options, &mut source, Some(&mut probe), &mut progress).map_err(
            |mut error| {
                if error.code == harvest::HarvestCode::DeadlineExceeded {
                    error = error.with("timeout_ms", timeout_ms);
                }
                crate::errors::tool_error(error)
            },
        )?;
        recheck_templates(deps, call, &target, summary.run_id)?;
        if let Some(changes) = &deps.changes {
            changes.publish(&Change::Resources);
        }
        Ok((summary, Frame::target(target.target_id, target.protocol)))
    }
}
