//! `list_targets`: the targets that the caller may see, without a word about where they are.

use mcp::{CallContext, ToolAnnotations, ToolExample, ToolOutput, ToolResult, ToolSpec};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::deps::{Call, Frame, ToolDeps};
use crate::schema::{OutputSchema, input_schema};
use crate::toolbox::{NoArgs, QueryTool};

pub(super) struct ListTargets(pub(super) ToolDeps);

/// What a target's profile allows.
#[derive(Serialize, JsonSchema)]
struct Policy {
    /// Most rows of a statement.
    max_rows: usize,
    /// Longest run of a statement in milliseconds; 0 means none.
    timeout_ms: u64,
    /// Whether plans are allowed.
    allow_explain: bool,
    /// Whether harvests are allowed.
    allow_discovery: bool,
}

#[derive(Serialize, JsonSchema)]
struct Target {
    /// Name to pass as `target_id`.
    target_id: String,
    /// What the target is, as its operator describes it.
    description: String,
    /// mysql, mariadb, postgresql or sqlite.
    dialect: String,
    /// Version of the server; null until it was reached.
    server_version: Option<String>,
    /// inventory, readonly_sql, explain, discovery, fts, admin.
    capabilities: Vec<&'static str>,
    /// Whether statements can run now.
    executable: bool,
    /// Why not.
    unavailable_reason: Option<String>,
    /// Schema of calls that name none.
    default_schema: String,
    /// What the profile allows.
    policy: Policy,
    /// Latest run of the catalog.
    latest_run_id: Option<i64>,
    /// What the target's account may do beyond reading, once a server was reached.
    account_findings: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct Output {
    /// The targets, by name.
    targets: Vec<Target>,
    /// Target of calls that name none.
    default_target_id: Option<String>,
}

impl QueryTool for ListTargets {
    type Args = NoArgs;

    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            "list_targets",
            "Lists the databases that you may use: name, dialect, what each allows, whether it can be used now and \
             which one is used when a call names none. Start here.",
            input_schema::<NoArgs>(),
            ToolAnnotations::READ,
        )
        .with_title("List targets")
        .with_toolset("discovery")
        .with_output(OutputSchema::of::<Output>().build())
        .with_example(ToolExample::new("Which databases are there?", json!({})))
    }

    fn call(&self, cx: &CallContext, _: NoArgs) -> ToolResult<ToolOutput> {
        let call = Call::begin(&self.0, cx, "list_targets");
        let infos = self.0.gateway.targets(&call.scope);
        let configured = self.0.gateway.settings().default_target_id.clone();
        let default_target_id = configured
            .filter(|id| infos.iter().any(|info| info.target_id == *id))
            .or_else(|| infos.iter().find(|info| info.executable).map(|info| info.target_id.clone()));
        let mut targets = Vec::with_capacity(infos.len());
        for info in infos {
            let mut capabilities = vec!["inventory", "readonly_sql"];
            capabilities.extend(info.allow_explain.then_some("explain"));
            capabilities.extend((info.allow_discovery && self.0.catalog.is_some()).then_some("discovery"));
            capabilities.extend(self.0.catalog.is_some().then_some("fts"));
            capabilities.extend(info.has_admin.then_some("admin"));
            let latest = self.0.catalog.as_ref().map(|catalog| catalog.latest_run_id(&info.target_id));
            targets.push(Target {
                capabilities,
                // A store that cannot be read now must not hide the targets.
                latest_run_id: latest.and_then(Result::ok).flatten(),
                account_findings: info.account.unwrap_or_default().into_iter().map(|f| f.text).collect(),
                target_id: info.target_id,
                description: info.description,
                dialect: info.dialect,
                server_version: info.server_version,
                executable: info.executable,
                unavailable_reason: info.unavailable_reason,
                default_schema: info.default_schema,
                policy: Policy {
                    max_rows: info.rows_max,
                    timeout_ms: info.timeout_ms,
                    allow_explain: info.allow_explain,
                    allow_discovery: info.allow_discovery,
                },
            });
        }
        call.finish(&Output { targets, default_target_id }, Frame::new())
    }
}
