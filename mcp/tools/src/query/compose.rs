//! Statements that tools compose from quoted names and checked fragments, and their small results; it judges nothing itself.

use harvest::{Dialect, FragmentKind};
use harvest_gateway::{Origin, StatementOutcome, StatementRequest};
use mcp::ToolResult;
use serde_json::Value;

use crate::deps::{Call, argument_error};
use crate::errors::IntoToolResult;

/// The table of a composed statement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) target_id: Option<&'a str>,
    pub(super) schema: &'a str,
    pub(super) table: &'a str,
}

impl Place<'_> {
    /// The quoted name.
    pub(super) fn sql(&self, dialect: &dyn Dialect) -> String {
        format!("{}.{}", dialect.quote_identifier(self.schema), dialect.quote_identifier(self.table))
    }

    /// A statement that a tool composed; `columns` are the names that it reads.
    pub(super) fn request(&self, sql: String, columns: Vec<String>) -> StatementRequest {
        let schema = Some(self.schema.to_owned());
        let mut request = StatementRequest::new(sql).on(self.target_id.map(str::to_owned), schema);
        request.origin = Origin::Tool { columns };
        request
    }

    /// Runs a small composed statement and gives its rows as values.
    pub(super) fn small(
        &self,
        call: &Call<'_>,
        sql: String,
        columns: Vec<String>,
    ) -> ToolResult<(StatementOutcome, Vec<Vec<Value>>)> {
        let mut request = self.request(sql, columns);
        request.text_copy = false;
        let outcome = call.deps.gateway.run(&request, &call.scope).for_tool()?;
        let rows = outcome.result.rows().for_tool()?;
        Ok((outcome, rows))
    }
}

/// ` WHERE (…)` from a caller's expression, empty without one.
pub(super) fn predicate(call: &Call<'_>, target_id: Option<&str>, text: Option<&str>) -> ToolResult<String> {
    let Some(text) = text else { return Ok(String::new()) };
    let checked = call
        .deps
        .gateway
        .check_fragment(target_id, text, FragmentKind::Predicate, &call.scope)
        .map_err(|error| argument_error(error, "where"))?;
    Ok(format!(" WHERE ({checked})"))
}

/// ` ORDER BY …` from a caller's list, empty without one.
pub(super) fn order_by(call: &Call<'_>, target_id: Option<&str>, text: Option<&str>) -> ToolResult<String> {
    let Some(text) = text else { return Ok(String::new()) };
    let checked = call
        .deps
        .gateway
        .check_fragment(target_id, text, FragmentKind::OrderBy, &call.scope)
        .map_err(|error| argument_error(error, "order_by"))?;
    Ok(format!(" ORDER BY {checked}"))
}
