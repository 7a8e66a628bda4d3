//! Re-checks question templates after a run: gate, then a plan where the target allows plans.

use harvest::{ExplainOptions, HarvestCode};
use harvest_gateway::{StatementRequest, TargetInfo};
use mcp::ToolResult;

use crate::deps::Call;
use crate::errors::IntoToolResult;
use crate::memory::deps::CatalogDeps;

pub(super) fn recheck_templates(
    deps: &CatalogDeps,
    call: &Call<'_>,
    target: &TargetInfo,
    run_id: i64,
) -> ToolResult<()> {
    let catalog = deps.catalog()?;
    let gateway = &deps.tools.gateway;
    for check in catalog.templates_to_check(&target.target_id, run_id).for_tool()? {
        let id = Some(target.target_id.as_str());
        let mut outcome = gateway.check_statement(id, &check.example_sql, &call.scope).map(drop);
        if outcome.is_ok() && target.allow_explain {
            let mut request =
                StatementRequest::new(check.example_sql.as_str()).on(id.map(str::to_owned), None);
            request.plan = Some(ExplainOptions { analyze: false, json: false });
            outcome = gateway.run(&request, &call.scope).map(drop);
        }
        let result = match &outcome {
            Ok(()) => Ok(()),
            // The target's trouble says nothing about the template.
            Err(error) if matches!(error.code, HarvestCode::Unavailable | HarvestCode::Cancelled) => break,
            Err(error) => Err(error.message.as_str()),
        };
        catalog.template_checked(check.template_id, run_id, result).for_tool()?;
    }
    Ok(())
}
