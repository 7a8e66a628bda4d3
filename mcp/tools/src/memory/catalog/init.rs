//! `catalog.init`: the state of the catalog store.

use std::path::Path;

use harvest_catalog::CatalogStatus;
use mcp::{ToolAnnotations, ToolError, ToolResult};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::memory::deps::CatalogDeps;
use crate::memory::tool::MemoryTool;
use crate::schema::OutputSchema;

pub(in crate::memory) struct Init;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::memory) struct Args {
    /// If given, it must name the configured store.
    #[schemars(length(min = 1, max = 4096))]
    sqlite_path: Option<String>,
}

impl MemoryTool for Init {
    type Args = Args;
    type Output = CatalogStatus;
    const NAME: &'static str = "catalog.init";
    const TITLE: &'static str = "Open the catalog";
    const TEXT: &'static str = "Makes sure that the catalog store is open and its layout current, and tells its path, \
        version and number of tables. Calling it is never needed: the server opens the store itself.";
    const TOOLSET: &'static str = "catalog";
    const HINTS: ToolAnnotations = ToolAnnotations::WRITE_IDEMPOTENT;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema
    }

    fn example() -> (&'static str, Value) {
        ("State of the store", json!({}))
    }

    fn run(deps: &CatalogDeps, _: &mut Call<'_>, args: Args) -> ToolResult<(CatalogStatus, Frame)> {
        let catalog = deps.catalog()?;
        if let Some(path) = args.sqlite_path {
            let same = match (Path::new(&path).canonicalize(), catalog.path().canonicalize()) {
                (Ok(a), Ok(b)) => a == b,
                _ => Path::new(&path) == catalog.path(),
            };
            if !same {
                return Err(ToolError::precondition(
                    "the catalog lives where mcp-catalog_path says: leave sqlite_path out",
                )
                .with("reason", "other path than mcp-catalog_path"));
            }
        }
        Ok((catalog.status().for_tool()?, Frame::new()))
    }
}
