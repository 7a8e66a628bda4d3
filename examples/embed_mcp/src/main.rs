//! A service that puts one tool of its own on `http://127.0.0.1:6081/mcp/weather`; it knows no database.

use std::sync::Arc;

use bridge::ToolHandlerRegistry;
use mcp::{
    CallContext, Endpoint, Handlers, Scope, ServerInfo, Tool, ToolAnnotations, ToolError, ToolResult,
    ToolSpec,
};
use mcp_server::{BackgroundServer, Server};
use serde_json::{Value, json};

struct Forecast;

#[derive(serde::Deserialize)]
struct Place {
    city: String,
}

impl Tool for Forecast {
    type Args = Place;
    type Output = Value;

    fn spec(&self) -> ToolSpec {
        let city = json!({"type": "string", "minLength": 1, "description": "A city"});
        let input = json!({"type": "object", "properties": {"city": city}, "required": ["city"], "additionalProperties": false});
        let output = json!({"type": "object", "properties": {"city": {"type": "string"}, "celsius": {"type": "integer"}}});
        ToolSpec::new("forecast", "Temperature of tomorrow in a city.", input, ToolAnnotations::READ)
            .with_output(output)
            .inline()
    }

    fn call(&self, _: &CallContext, place: Place) -> ToolResult<Value> {
        match place.city.as_str() {
            "Bergen" => Ok(json!({"city": "Bergen", "celsius": 9})),
            "Lisbon" => Ok(json!({"city": "Lisbon", "celsius": 24})),
            _ => Err(ToolError::not_found("city", place.city)),
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let registry = Arc::new(ToolHandlerRegistry::new());
    registry.register("/mcp/weather", Arc::new(Handlers::new().with(Forecast)))?;
    let endpoint = Endpoint::new("/mcp/weather", registry.tool_set("/mcp/weather"));
    // Everybody on this machine may read; give the builder an authenticator to serve others.
    let server = Server::builder(ServerInfo::new("weather", "1.0.0"))
        .anonymous(Scope::Read)
        .endpoint(endpoint)
        .build()?;
    BackgroundServer::start(server, "127.0.0.1:6081".parse()?, 1)?.wait()?;
    Ok(())
}

#[cfg(test)]
mod tests;
