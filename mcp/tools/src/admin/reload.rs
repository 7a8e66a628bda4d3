//! `admin_reload`: users and servers as they stand in memory into use; it moves no other layer.

use mcp::{ToolAnnotations, ToolError, ToolResult};
use mcp_config::ReloadScope;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::shared::{FAMILY, ModuleRow, full_session, reports};
use crate::deps::{Call, Frame};
use crate::ops::{OpsDeps, OpsTool, confirmed};

pub(super) struct Reload;

/// What is reloaded.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum What {
    /// Profiles and tokens.
    Users,
    /// Backends.
    Servers,
    /// Every module.
    All,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {
    /// users: profiles and tokens; servers: backends; all: every module.
    target: What,
    /// Must be true.
    confirm: bool,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// As asked for.
    target: What,
    /// The modules that were put into use.
    modules: Vec<ModuleRow>,
}

impl OpsTool for Reload {
    type Args = Args;
    type Output = Output;
    const NAME: &'static str = "admin_reload";
    const TITLE: &'static str = "Reload users and servers";
    const TEXT: &'static str = "Puts the configuration that stands in memory into use: users means profiles and tokens, servers means backends, all \
        means every module. If one module is refused, nothing changes and details name module, row and cause. Needs confirm = true.";
    const TOOLSET: &'static str = "admin";
    const HINTS: ToolAnnotations = ToolAnnotations::DESTRUCTIVE_IDEMPOTENT;

    fn example() -> (&'static str, Value) {
        ("Put changed backends into use", json!({"target": "servers", "confirm": true}))
    }

    fn run(deps: &OpsDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(Output, Frame)> {
        confirmed(call, args.confirm, "putting the configuration in memory into use needs a confirmation")?;
        let admin = deps.admin.as_ref().ok_or_else(|| {
            ToolError::precondition("this server has no configuration in layers")
                .with("reason", "no_configuration")
                .with("remedy", "change what the program was started with")
        })?;
        let modules: &[&str] = match args.target {
            What::Users => &["profiles", "tokens"],
            What::Servers => &["backends"],
            What::All => &[],
        };
        let modules: Vec<String> = modules.iter().map(|name| (*name).to_owned()).collect();
        let done = admin.reload(&full_session(call.cx), FAMILY, ReloadScope::Memory, &modules)?;
        Ok((Output { target: args.target, modules: reports(done.modules) }, Frame::new()))
    }
}
