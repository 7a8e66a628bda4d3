//! `reload_config`: whole modules between layers, all of them or none.

use std::sync::Arc;
use std::time::Instant;

use mcp::{CallContext, ToolAnnotations, ToolExample, ToolOutput, ToolResult, ToolSpec};
use mcp_config::{AdminSql, ReloadScope};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::shared::{FAMILY, ModuleRow, finish, full_session, reports};
use crate::schema::{OutputSchema, input_schema};
use crate::toolbox::QueryTool;

pub(super) struct ReloadConfig(pub(super) Arc<AdminSql>);

#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Scope {
    Disk,
    Memory,
    Runtime,
}

#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Module {
    Variables,
    Backends,
    Profiles,
    QueryRules,
    ColumnRules,
    CostRules,
    Tokens,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {
    /// disk: disk to memory to runtime; memory: memory to runtime; runtime: runtime to memory.
    scope: Scope,
    /// Modules; without them all.
    #[serde(default)]
    modules: Vec<Module>,
}

#[derive(Serialize, JsonSchema)]
struct Output {
    /// As asked for.
    scope: Scope,
    /// The modules moved.
    modules: Vec<ModuleRow>,
    /// unchanged, restart_scheduled, started or stop_scheduled.
    listener: &'static str,
}

impl QueryTool for ReloadConfig {
    type Args = Args;

    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            "reload_config",
            "Moves the configuration between its layers: from disk or memory into use, or what runs back to memory. Every \
             module is checked first; if one is refused, nothing is applied and details name module, row and cause.",
            input_schema::<Args>(),
            ToolAnnotations::DESTRUCTIVE_IDEMPOTENT,
        )
        .with_title("Reload the configuration")
        .with_toolset("layers")
        .with_output(OutputSchema::of::<Output>().build())
        .with_example(ToolExample::new(
            "Put the rules that stand in memory into use.",
            json!({"scope": "memory", "modules": ["query_rules"]}),
        ))
    }

    fn call(&self, cx: &CallContext, args: Args) -> ToolResult<ToolOutput> {
        let started = Instant::now();
        let scope = match args.scope {
            Scope::Disk => ReloadScope::Disk,
            Scope::Memory => ReloadScope::Memory,
            Scope::Runtime => ReloadScope::Runtime,
        };
        let name = |module: &Module| match module {
            Module::Variables => "variables",
            Module::Backends => "backends",
            Module::Profiles => "profiles",
            Module::QueryRules => "query_rules",
            Module::ColumnRules => "column_rules",
            Module::CostRules => "cost_rules",
            Module::Tokens => "tokens",
        };
        let modules: Vec<String> = args.modules.iter().map(|module| name(module).to_owned()).collect();
        let done = self.0.reload(&full_session(cx), FAMILY, scope, &modules)?;
        let modules = reports(done.modules);
        finish(started, &Output { scope: args.scope, modules, listener: done.listener.as_str() })
    }
}
