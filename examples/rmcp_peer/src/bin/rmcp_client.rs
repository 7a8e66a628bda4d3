//! The official Rust SDK as a client: lists the tools of a server and calls some; it uses no crate of ours.

use std::error::Error;
use std::io::Write as _;

use rmcp::RoleClient;
use rmcp::model::{CallToolRequestParams, ProtocolVersion};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt as _, RunningService};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::process::Command;

type Failure = Box<dyn Error>;

/// What is to be done, as the first argument says in JSON.
#[derive(Deserialize)]
struct Job {
    era: String,
    #[serde(flatten)]
    place: Place,
    calls: Vec<Call>,
}

#[derive(Deserialize)]
#[serde(tag = "transport", rename_all = "snake_case")]
enum Place {
    Http { url: String, token: String, authority: String },
    Stdio { command: Vec<String> },
}

#[derive(Deserialize)]
struct Call {
    name: String,
    arguments: Map<String, Value>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let job = std::env::args().nth(1).ok_or("usage: rmcp_client JOB")?;
    let job: Job = serde_json::from_str(&job)?;
    let client = connect(&job).await?;
    let protocol = client.peer_info().map(|info| info.protocol_version.to_string()).unwrap_or_default();
    let tools: Vec<String> =
        client.list_all_tools().await?.into_iter().map(|tool| tool.name.into_owned()).collect();
    let mut called = Vec::new();
    for call in job.calls {
        let mut params = CallToolRequestParams::new(call.name.clone());
        params.arguments = Some(call.arguments);
        let result = client.call_tool(params).await?;
        let failed = result.is_error.unwrap_or_default();
        called.push(json!({"name": call.name, "is_error": failed, "blocks": result.content.len()}));
    }
    client.cancel().await?;
    let report = json!({"protocol": protocol, "tools": tools, "called": called});
    Ok(writeln!(std::io::stdout(), "{report}")?)
}

async fn connect(job: &Job) -> Result<RunningService<RoleClient, ()>, Failure> {
    let lifecycle = match job.era.as_str() {
        "legacy" => ClientLifecycleMode::Initialize,
        _ => ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] },
    };
    match &job.place {
        Place::Http { url, token, authority } => {
            // The TLS library has no crypto of its own until a program names one.
            rustls::crypto::ring::default_provider()
                .install_default()
                .map_err(|_| "a crypto provider is there already")?;
            let authority = reqwest::Certificate::from_pem(&std::fs::read(authority)?)?;
            let http = reqwest::Client::builder().tls_certs_only([authority]).build()?;
            let config =
                StreamableHttpClientTransportConfig::with_uri(url.as_str()).auth_header(token.as_str());
            let transport = StreamableHttpClientTransport::with_client(http, config);
            Ok(().serve_with_lifecycle(transport, lifecycle).await?)
        }
        Place::Stdio { command } => {
            let (program, arguments) = command.split_first().ok_or("an empty command")?;
            let mut command = Command::new(program);
            command.args(arguments);
            Ok(().serve_with_lifecycle(TokioChildProcess::new(command)?, lifecycle).await?)
        }
    }
}
