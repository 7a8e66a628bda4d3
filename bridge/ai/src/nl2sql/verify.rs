//! Whether a statement may be returned: gate, objects in the catalog, the engine's plan; nothing is run but EXPLAIN.

use std::time::Instant;

use harvest::{ExplainOptions, HarvestCode, HarvestError, Lexer, StatementKind, TokenKind};
use harvest_catalog::Catalog;
use harvest_gateway::{CallScope, Gateway, StatementRequest, TargetInfo};
use mcp::ToolError;
use mcp_tools::{plan_summary, tool_error};

use super::args::{Plan, Used};
use super::retrieve::Relations;

/// Rows of a plan that are read.
const PLAN_ROWS_MAX: usize = 10_000;

/// A statement that passed.
pub(super) struct Passed {
    pub(super) sql: String,
    pub(super) used: Vec<Used>,
    pub(super) plan: Plan,
}

/// Why a statement did not.
pub(super) enum Refusal {
    /// The statement is at fault; another one may pass.
    Statement(String),
    /// No statement can pass now.
    Final(ToolError),
}

/// What statements are checked against.
pub(super) struct Verifier<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) catalog: &'a Catalog,
    pub(super) run_id: i64,
    pub(super) target: &'a TargetInfo,
    /// Schema of names without one.
    pub(super) schema: &'a str,
    pub(super) relations: &'a Relations,
    pub(super) scope: &'a CallScope,
    pub(super) until: Instant,
}

impl Verifier<'_> {
    pub(super) fn check(&self, sql: &str) -> Result<Passed, Refusal> {
        let target = Some(self.target.target_id.as_str());
        let checked = self.gateway.check_statement(target, sql, self.scope).map_err(of_statement)?;
        if checked.kind != StatementKind::Select {
            return Err(Refusal::Statement("only one SELECT is accepted.".to_owned()));
        }
        if checked.params > 0 {
            return Err(Refusal::Statement(
                "placeholders are not accepted: write values into it.".to_owned(),
            ));
        }
        let mut used = Vec::new();
        for table in &checked.tables {
            let schema = table.schema.as_deref().unwrap_or(self.schema);
            let Some(name) = self.relations.find(schema, &table.name) else {
                let shown = harvest_catalog::object_key(schema, &table.name);
                return Err(Refusal::Statement(format!(
                    "there is no table or view {shown} for this question."
                )));
            };
            used.push(self.used(&checked.sql, name)?);
        }
        used.sort_by(|a, b| (&a.schema, &a.object).cmp(&(&b.schema, &b.object)));
        used.dedup();
        let plan = self.plan(&checked.sql)?;
        Ok(Passed { sql: checked.sql, used, plan })
    }

    /// The relation with those of its columns that the statement names.
    fn used(&self, sql: &str, (schema, name): &(String, String)) -> Result<Used, Refusal> {
        let meta = self
            .catalog
            .object_meta(self.run_id, schema, name)
            .map_err(|error| Refusal::Final(tool_error(error)))?;
        let mode = self.gateway.lex_mode(&self.target.target_id);
        let words: Vec<String> = Lexer::new(sql, mode)
            .filter(|token| matches!(token.kind, TokenKind::Word | TokenKind::QuotedIdent))
            .map(|token| token.text.trim_matches(['"', '`', '[', ']']).to_lowercase())
            .collect();
        let named = |column: &&str| words.iter().any(|word| *word == column.to_lowercase());
        let columns = meta.columns.iter().map(|column| column.name.as_str()).filter(named);
        Ok(Used {
            schema: schema.clone(),
            object: name.clone(),
            columns: columns.map(str::to_owned).collect(),
        })
    }

    /// Rules, hooks and the gate see this like any statement of the caller.
    fn plan(&self, sql: &str) -> Result<Plan, Refusal> {
        let schema = (!self.schema.is_empty()).then(|| self.schema.to_owned());
        let mut request = StatementRequest::new(sql).on(Some(self.target.target_id.clone()), schema);
        request.plan = Some(ExplainOptions { analyze: false, json: true });
        request.plan_rows_max = Some(PLAN_ROWS_MAX);
        let mut scope = self.scope.clone();
        scope.deadline = Some(self.until);
        let outcome = self.gateway.run(&request, &scope).map_err(of_statement)?;
        if outcome.ok_message.is_some() {
            let error = ToolError::denied("rule", "a query rule answers in place of the statement");
            return Err(Refusal::Final(error));
        }
        let rows = outcome.result.rows().map_err(|error| Refusal::Final(tool_error(error)))?;
        let summary = plan_summary(outcome.dialect, &rows);
        Ok(Plan { ok: true, est_rows: summary.estimated_rows, full_scans: summary.full_scans })
    }
}

/// A fault of the text can be repaired; a refusal of the gate as well; the rest cannot.
fn of_statement(error: HarvestError) -> Refusal {
    let by = error.details.get("by").and_then(|by| by.as_str()).unwrap_or_default().to_owned();
    let repairable = match error.code {
        HarvestCode::InvalidArgument | HarvestCode::NotFound => true,
        HarvestCode::PermissionDenied => matches!(by.as_str(), "gate" | "backend"),
        HarvestCode::LimitExceeded => true,
        _ => false,
    };
    if repairable {
        Refusal::Statement(format!("{}.", error.message))
    } else {
        Refusal::Final(tool_error(error))
    }
}
