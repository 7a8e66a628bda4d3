//! The tools of `/mcp/query` that look at targets and their data, live or through the catalog, one file a tool.

mod column_profile;
mod compose;
mod describe_table;
mod describe_view;
mod explain_plan;
mod explain_sql;
mod get_constraints;
mod list_schemas;
mod list_tables;
mod list_targets;
mod live;
mod profile;
mod run_sql_readonly;
mod sample_distinct;
mod sample_rows;
mod shared;
mod table_profile;

use harvest::DialectName;
use serde_json::Value;

use crate::deps::ToolDeps;
use crate::toolbox::Toolbox;

pub use explain_plan::Summary as PlanSummary;

/// What to look at first in the rows that an EXPLAIN of `dialect` gave.
#[must_use]
pub fn plan_summary(dialect: DialectName, rows: &[Vec<Value>]) -> PlanSummary {
    explain_plan::read_plan(dialect, rows).summary
}

/// The tools of inventory, structure, profiles, samples and SQL.
#[must_use]
pub fn query_tools(deps: &ToolDeps) -> Toolbox {
    add_query_tools(Toolbox::new(), deps)
}

/// Adds the tools of inventory, structure, profiles, samples and SQL.
#[must_use]
pub fn add_query_tools(toolbox: Toolbox, deps: &ToolDeps) -> Toolbox {
    toolbox
        .with_budgets(deps)
        .with(list_targets::ListTargets(deps.clone()))
        .with(list_schemas::ListSchemas(deps.clone()))
        .with(list_tables::ListTables(deps.clone()))
        .with(describe_table::DescribeTable(deps.clone()))
        .with(get_constraints::GetConstraints(deps.clone()))
        .with(describe_view::DescribeView(deps.clone()))
        .with(table_profile::TableProfile(deps.clone()))
        .with(column_profile::ColumnProfile(deps.clone()))
        .with(sample_rows::SampleRows(deps.clone()))
        .with(sample_distinct::SampleDistinct(deps.clone()))
        .with(run_sql_readonly::RunSqlReadonly(deps.clone()))
        .with(explain_sql::ExplainSql(deps.clone()))
}
