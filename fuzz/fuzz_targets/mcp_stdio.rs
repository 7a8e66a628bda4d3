//! Any bytes on standard input are answered in lines of JSON, and the end of input is the end.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use mcp::{Endpoint, HandlerSet, Handlers, ServerInfo};
use mcp_server::{Server, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fuzz_target!(|bytes: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let output = runtime.block_on(async {
        let endpoint = Endpoint::new("/mcp", Arc::new(HandlerSet::new(Handlers::new())));
        let mut config = ServerConfig::default();
        config.body_bytes_max = 1024;
        config.shutdown_grace_ms = 100;
        let server =
            Server::builder(ServerInfo::new("fuzz", "0")).config(config).endpoint(endpoint).build().expect("a server");
        let (mut input, theirs) = tokio::io::duplex(1 << 16);
        let (their_output, mut ours) = tokio::io::duplex(1 << 16);
        let feed = async {
            let _ = input.write_all(bytes).await;
            drop(input);
        };
        let read = async {
            let mut output = Vec::new();
            let _ = ours.read_to_end(&mut output).await;
            output
        };
        let (served, (), output) = tokio::join!(server.serve_lines("/mcp", theirs, their_output), feed, read);
        served.expect("the end of input is no failure");
        output
    });
    for line in output.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        let value: serde_json::Value = serde_json::from_slice(line).expect("a line is JSON");
        assert_eq!(value["jsonrpc"], "2.0");
    }
});
