//! `get_status`: the state of this server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use mcp::{CallContext, ToolAnnotations, ToolExample, ToolOutput, ToolResult, ToolSpec};
use mcp_config::AdminSql;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::shared::{FAMILY, finish};
use crate::schema::{OutputSchema, input_schema};
use crate::toolbox::{NoArgs, QueryTool};

pub(super) struct GetStatus(pub(super) Arc<AdminSql>);

#[derive(Serialize, JsonSchema)]
struct Endpoint {
    /// Path.
    path: String,
    /// Whether tools are registered there.
    registered: bool,
    /// Tokens that open it.
    tokens_active: usize,
    /// Tools, whoever may see them.
    tools: usize,
}

#[derive(Serialize, JsonSchema)]
struct Targets {
    /// Rows that run.
    loaded: i64,
    /// Active ones with a credential.
    effective: i64,
    /// Those whose backends can be used now.
    executable: i64,
    /// Those whose accounts may do more than read, as far as servers were reached.
    privileged: i64,
}

#[derive(Serialize, JsonSchema)]
struct Sums {
    /// Sum of the memory layer.
    memory: String,
    /// Sum of what runs.
    runtime: String,
    /// Sum of the disk layer.
    disk: String,
    /// Whether all three are equal.
    in_sync: bool,
}

#[derive(Serialize, JsonSchema)]
struct Output {
    /// Whether a listener is wanted.
    enabled: bool,
    /// Whether it accepts connections.
    listening: bool,
    /// Its address.
    bind_address: String,
    /// Its port.
    port: u16,
    /// Whether it speaks TLS.
    use_ssl: bool,
    /// Seconds since the start.
    uptime_s: i64,
    /// Version of the server.
    version: &'static str,
    /// Requests so far, refused ones too.
    total_requests: i64,
    /// Those that failed.
    failed_requests: i64,
    /// Open client connections.
    active_connections: i64,
    /// Requests being served.
    active_requests: i64,
    /// The endpoints.
    endpoints: Vec<Endpoint>,
    /// The targets.
    targets: Targets,
    /// Sums of each module in each layer.
    config_checksums: BTreeMap<&'static str, Sums>,
}

impl QueryTool for GetStatus {
    type Args = NoArgs;

    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            "get_status",
            "Tells the state of this server: listener, endpoints with their tokens and tools, targets, request counters, and \
             whether the layers of the configuration agree.",
            input_schema::<NoArgs>(),
            ToolAnnotations::READ,
        )
        .with_title("Get the status")
        .with_toolset("variables")
        .with_output(OutputSchema::of::<Output>().build())
        .with_example(ToolExample::new("Is the server up, and is its configuration saved?", json!({})))
    }

    fn call(&self, _: &CallContext, _: NoArgs) -> ToolResult<ToolOutput> {
        let started = Instant::now();
        let runtime = self.0.runtime(FAMILY)?;
        let (listener, figures) = (runtime.listener(), runtime.figures());
        let figure = |name: &str| figures.get(name).copied().unwrap_or_default();
        let endpoints = runtime.endpoints().into_iter().map(|(path, tokens_active, tools)| Endpoint {
            path,
            registered: tools > 0,
            tokens_active,
            tools,
        });
        let sums = self.0.checksums(FAMILY)?.into_iter().map(|(module, sums)| {
            let sums =
                Sums { memory: sums.memory, runtime: sums.runtime, disk: sums.disk, in_sync: sums.in_sync };
            (module, sums)
        });
        let body = Output {
            enabled: listener.enabled,
            listening: listener.listening,
            bind_address: listener.bind_address,
            port: listener.port,
            use_ssl: listener.use_ssl,
            uptime_s: figure("uptime_s"),
            version: env!("CARGO_PKG_VERSION"),
            total_requests: figure("total_requests"),
            failed_requests: figure("failed_requests"),
            active_connections: figure("active_connections"),
            active_requests: figure("active_requests"),
            endpoints: endpoints.collect(),
            targets: Targets {
                loaded: figure("targets_loaded"),
                effective: figure("targets_effective"),
                executable: figure("targets_executable"),
                privileged: figure("targets_privileged"),
            },
            config_checksums: sums.collect(),
        };
        finish(started, &body)
    }
}
