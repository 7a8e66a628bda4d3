//! Cost rules: what a statement may be expected to read before it runs; it reads plans and runs nothing.

use harvest::{HarvestCode, HarvestError, HarvestResult};
use serde_json::Value;

/// Deepest plan that is looked through.
const DEPTH_MAX: usize = 200;

/// A bound on what the engine expects of a statement. Filters that are `None` match everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
// Exhaustive: configuration sets each of them.
pub struct CostRule {
    /// Target.
    pub target_id: Option<String>,
    /// Token name.
    pub caller: Option<String>,
    /// Most rows that any step of the plan may be expected to give.
    pub estimated_rows_max: Option<u64>,
    /// Highest cost of the whole plan, in the engine's own unit.
    pub estimated_cost_max: Option<u64>,
}

/// The tightest bounds that hold for a call; `None` when no rule applies.
pub(crate) fn bounds(rules: &[CostRule], target_id: &str, caller: &str) -> Option<CostRule> {
    let equal = |filter: &Option<String>, value: &str| filter.as_deref().is_none_or(|f| f == value);
    let tighter = |a: Option<u64>, b: Option<u64>| [a, b].into_iter().flatten().min();
    rules.iter().filter(|rule| equal(&rule.target_id, target_id) && equal(&rule.caller, caller)).fold(
        None,
        |found: Option<CostRule>, rule| {
            let found = found.unwrap_or_default();
            Some(CostRule {
                estimated_rows_max: tighter(found.estimated_rows_max, rule.estimated_rows_max),
                estimated_cost_max: tighter(found.estimated_cost_max, rule.estimated_cost_max),
                ..CostRule::default()
            })
        },
    )
}

#[derive(Debug, Default, PartialEq)]
struct Estimate {
    rows: Option<f64>,
    cost: Option<f64>,
    /// The step that gives the most rows.
    step: String,
}

/// Refuses a statement whose plan goes beyond the bounds; a plan without estimates cannot be proven cheap.
pub(crate) fn judge(plan: &[Vec<Value>], bounds: &CostRule) -> HarvestResult<()> {
    let mut estimate = Estimate::default();
    for cell in plan.iter().flatten() {
        match cell {
            Value::String(text) => {
                if let Ok(value) = serde_json::from_str(text) {
                    look(&value, &mut estimate, 0);
                }
            }
            other => look(other, &mut estimate, 0),
        }
    }
    over("rows", estimate.rows, bounds.estimated_rows_max, &estimate.step)?;
    over("cost", estimate.cost, bounds.estimated_cost_max, &estimate.step)
}

#[expect(clippy::cast_precision_loss, reason = "estimates are no exact numbers")]
fn over(what: &str, estimate: Option<f64>, max: Option<u64>, step: &str) -> HarvestResult<()> {
    let Some(max) = max else { return Ok(()) };
    let Some(value) = estimate else {
        let message = format!("a cost rule bounds the estimated {what}, but the engine gives no estimate");
        return Err(HarvestError::new(HarvestCode::FailedPrecondition, message)
            .with("reason", "no estimate")
            .with("remedy", "an operator removes the cost rule of this target"));
    };
    if value <= max as f64 {
        return Ok(());
    }
    let message =
        format!("the engine expects {what} of {value}, {max} are allowed: narrow the step {step:?}");
    Err(HarvestError::new(HarvestCode::PermissionDenied, message)
        .with("by", "policy")
        .with("estimate", value)
        .with("limit", max)
        .with("step", step))
}

/// Finds rows and costs in a plan of PostgreSQL, MySQL or MariaDB.
fn look(value: &Value, found: &mut Estimate, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| look(item, found, depth + 1)),
        Value::Object(map) => {
            let number = |key: &str| map.get(key).and_then(number);
            let text = |key: &str| map.get(key).and_then(Value::as_str);
            let rows = ["Plan Rows", "rows_produced_per_join", "rows", "estimated_rows"];
            if let Some(rows) = rows.into_iter().find_map(number)
                && found.rows.is_none_or(|most| rows > most)
            {
                found.rows = Some(rows);
                let name =
                    ["Relation Name", "table_name", "Node Type", "operation"].into_iter().find_map(text);
                found.step = name.unwrap_or_default().to_owned();
            }
            let cost =
                ["Total Cost", "query_cost", "cost", "estimated_total_cost"].into_iter().find_map(number);
            if let Some(cost) = cost {
                found.cost = Some(found.cost.map_or(cost, |most| most.max(cost)));
            }
            map.values().for_each(|item| look(item, found, depth + 1));
        }
        _ => {}
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_f64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn bounds_of(rows: Option<u64>, cost: Option<u64>) -> CostRule {
        CostRule { estimated_rows_max: rows, estimated_cost_max: cost, ..CostRule::default() }
    }

    #[test]
    fn the_largest_step_decides_and_is_named() {
        let plan = vec![vec![
            json!([{"Plan": {"Node Type": "Aggregate", "Plan Rows": 1, "Total Cost": 900.5,
            "Plans": [{"Node Type": "Seq Scan", "Relation Name": "orders", "Plan Rows": 50_000, "Total Cost": 800}]}}]),
        ]];
        assert!(judge(&plan, &bounds_of(Some(50_000), Some(901))).is_ok());
        let error = judge(&plan, &bounds_of(Some(49_999), None)).unwrap_err();
        assert_eq!((error.code, &error.details["step"]), (HarvestCode::PermissionDenied, &json!("orders")));
        assert_eq!(judge(&plan, &bounds_of(None, Some(900))).unwrap_err().details["estimate"], 900.5);
        let text = json!({"query_block": {"cost_info": {"query_cost": "12.5"}, "table": {"table_name": "t", "rows": 7}}});
        let plan = vec![vec![json!(text.to_string())]];
        assert!(judge(&plan, &bounds_of(Some(7), Some(13))).is_ok());
        assert!(
            judge(&plan, &bounds_of(Some(6), None)).is_err()
                && judge(&plan, &bounds_of(None, Some(12))).is_err()
        );
    }

    #[test]
    fn no_estimate_is_no_permission() {
        let plan = vec![vec![json!(2), json!("SCAN orders")]];
        assert_eq!(
            judge(&plan, &bounds_of(Some(1), None)).unwrap_err().code,
            HarvestCode::FailedPrecondition
        );
    }

    #[test]
    fn the_tightest_of_the_rules_that_apply_holds() {
        let rule = |target: Option<&str>, caller: Option<&str>, rows| CostRule {
            target_id: target.map(str::to_owned),
            caller: caller.map(str::to_owned),
            ..bounds_of(Some(rows), None)
        };
        let rules = [rule(None, None, 100), rule(Some("t1"), None, 50), rule(None, Some("bob"), 10)];
        assert_eq!(bounds(&rules, "t1", "alice"), Some(bounds_of(Some(50), None)));
        assert_eq!(bounds(&rules, "t2", "bob"), Some(bounds_of(Some(10), None)));
        assert_eq!(bounds(&rules[1..], "t2", "alice"), None);
    }
}
