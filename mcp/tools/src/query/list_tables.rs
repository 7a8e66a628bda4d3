//! `list_tables`: tables and views of a schema, live or of the latest run.

use harvest::{MetadataDepth, ObjectMeta, ObjectType};
use harvest_catalog::{ListObjectsRequest, ObjectListItem, RunRef, parse_object_key};
use mcp::{CallContext, ToolAnnotations, ToolError, ToolExample, ToolOutput, ToolResult, ToolSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::list_schemas::page_size;
use super::live::{self, is_relation, like};
use super::shared::Source;
use crate::deps::{Call, Frame, ToolDeps};
use crate::errors::IntoToolResult;
use crate::paging::key_page;
use crate::schema::{OutputSchema, input_schema};
use crate::toolbox::QueryTool;

pub(super) struct ListTables(pub(super) ToolDeps);

/// What has rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum TableType {
    Table,
    View,
    MaterializedView,
}

impl TableType {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::View => "view",
            Self::MaterializedView => "materialized_view",
        }
    }
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {
    /// Schema or database.
    #[schemars(length(min = 1, max = 256))]
    schema: String,
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// live asks the engine, catalog the latest run.
    #[serde(default)]
    source: Source,
    /// Only these types; all if absent.
    #[serde(default)]
    types: Vec<TableType>,
    /// LIKE pattern over the names: `%`, `_`, escape `\`; case does not matter.
    #[schemars(length(min = 1, max = 256))]
    name_filter: Option<String>,
    /// Tables a page.
    #[serde(default = "page_size")]
    #[schemars(range(min = 1, max = 500))]
    page_size: usize,
    /// Token of the previous answer.
    page_token: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Table {
    name: String,
    /// table, view or materialized_view.
    #[serde(rename = "type")]
    table_type: String,
    engine: Option<String>,
    /// Estimated rows.
    rows_est: Option<i64>,
    /// Bytes of data and indexes.
    size_bytes: Option<i64>,
    /// Unix seconds.
    create_time: Option<i64>,
    /// Unix seconds.
    update_time: Option<i64>,
    comment: String,
}

#[derive(Serialize, JsonSchema)]
struct Output {
    /// The schema.
    schema: String,
    /// Tables and views, by name.
    tables: Vec<Table>,
}

impl QueryTool for ListTables {
    type Args = Args;

    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            "list_tables",
            "Lists tables and views of a schema with type, estimated rows, size and comment. Describe one with \
             describe_table.",
            input_schema::<Args>(),
            ToolAnnotations::READ,
        )
        .with_title("List tables")
        .with_toolset("discovery")
        .with_output(OutputSchema::of::<Output>().paged().truncated().target().run().rules().build())
        .with_example(ToolExample::new("Tables about orders", json!({"schema": "main", "name_filter": "%order%"})))
    }

    fn call(&self, cx: &CallContext, args: Args) -> ToolResult<ToolOutput> {
        let call = Call::begin(&self.0, cx, "list_tables");
        let (mut tables, frame) = match args.source {
            Source::Live => live_tables(&call, &args)?,
            Source::Catalog => stored_tables(&call, &args)?,
        };
        let wanted = |table: &Table| {
            (args.types.is_empty() || args.types.iter().any(|t| t.as_str() == table.table_type))
                && args.name_filter.as_deref().is_none_or(|f| like(f, &table.name))
        };
        tables.retain(wanted);
        let key = |table: &Table| format!("{}\u{0}{}", table.name, table.table_type);
        tables.sort_by_cached_key(key);
        let binding = call.page_binding(&Args { page_size: 0, page_token: None, ..args.clone() });
        let page = key_page(&call, &binding, tables, key, args.page_token.as_deref(), args.page_size)?;
        let body = Output { schema: args.schema, tables: page.items };
        call.finish(&body, frame.truncated(page.next.is_some()).next_page(page.next))
    }
}

fn live_tables(call: &Call<'_>, args: &Args) -> ToolResult<(Vec<Table>, Frame)> {
    let target_id = args.target_id.as_deref();
    let outcome = live::objects(call, target_id, &args.schema, None, MetadataDepth::Objects)?;
    let frame = live::frame(&outcome);
    let tables = outcome.snapshot.objects.into_iter().filter(is_relation).map(live_table);
    Ok((tables.collect(), frame))
}

fn live_table(object: ObjectMeta) -> Table {
    let size_bytes = match (object.data_bytes, object.index_bytes) {
        (None, None) => None,
        (data, index) => Some(data.unwrap_or(0).saturating_add(index.unwrap_or(0))),
    };
    Table {
        table_type: match object.object_type {
            ObjectType::View => "view",
            ObjectType::MaterializedView => "materialized_view",
            _ => "table",
        }
        .to_owned(),
        name: object.name,
        engine: object.engine,
        rows_est: object.rows_est,
        size_bytes,
        create_time: object.create_time,
        update_time: object.update_time,
        comment: object.comment,
    }
}

fn stored_tables(call: &Call<'_>, args: &Args) -> ToolResult<(Vec<Table>, Frame)> {
    let (target, run) = call.run(args.target_id.as_deref(), &RunRef::Latest)?;
    let catalog = call.deps.catalog()?;
    let known = catalog.list_schemas(run.run_id).for_tool()?;
    if !known.iter().any(|row| row.schema_name == args.schema) {
        return Err(ToolError::not_found("schema", args.schema.as_str()));
    }
    let tables = stored_objects(call, &target.target_id, run.run_id, &args.schema)?;
    Ok((tables, Frame::target(target.target_id, target.protocol).run(Some(run.run_id))))
}

/// Objects that one read of the catalog gives.
const READ_OBJECTS: usize = 1_000;

fn stored_objects(call: &Call<'_>, target_id: &str, run_id: i64, schema: &str) -> ToolResult<Vec<Table>> {
    let catalog = call.deps.catalog()?;
    let mut tables = Vec::new();
    for table_type in [TableType::Table, TableType::View, TableType::MaterializedView] {
        let mut request = ListObjectsRequest::new(run_id, target_id);
        request.schema_name = Some(schema.to_owned());
        request.object_type = Some(table_type.as_str().to_owned());
        request.limit = READ_OBJECTS;
        loop {
            let page = catalog.list_objects(&request).for_tool()?;
            tables.extend(page.results.into_iter().map(stored_table));
            match page.next_offset {
                Some(offset) if offset > request.offset => request.offset = offset,
                _ => break,
            }
        }
    }
    Ok(tables)
}

fn stored_table(item: ObjectListItem) -> Table {
    let name = match parse_object_key(&item.object_key) {
        Ok((_, name)) => name,
        Err(_) => item.object_key,
    };
    Table {
        name,
        table_type: item.object_type,
        engine: item.engine,
        rows_est: item.rows_est,
        size_bytes: item.size_bytes,
        create_time: None,
        update_time: None,
        comment: item.comment,
    }
}
