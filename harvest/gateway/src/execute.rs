//! The last hop of a statement: connection, time limit, interrupts, errors; it trusts what the gate has passed.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use harvest::{
    CheckedStatement, Dialect, ExplainOptions, HarvestCode, HarvestError, HarvestResult, Limits, RowSink,
    Value, fingerprint,
};

use crate::gateway::Gateway;
use crate::observe::RunningStatement;
use crate::pipeline::Layer;
use crate::scope::CallScope;
use crate::sink::GuardedSink;
use crate::statement::EffectiveLimits;
use crate::targets::Target;
use crate::watchdog::Cause;

/// Drivers and servers end statements in time by themselves; the watchdog comes this much later, in milliseconds.
const GRACE_MS: u64 = 150;
/// Largest single cell that a driver may hand over, in bytes.
const CELL_BYTES_MAX: usize = 16 << 20;

/// A statement ready for a backend.
pub(crate) struct Execution<'a> {
    pub(crate) target: &'a Arc<Target>,
    /// The dialect that the gate judged in.
    pub(crate) dialect: &'static dyn Dialect,
    /// The text that was judged.
    pub(crate) text: &'a str,
    pub(crate) statement: &'a CheckedStatement,
    pub(crate) plan: Option<ExplainOptions>,
    pub(crate) params: &'a [Value],
    pub(crate) schema: Option<&'a str>,
    pub(crate) limits: EffectiveLimits,
    pub(crate) layer: Layer,
    pub(crate) cell_bytes_max: usize,
    /// Columns that a rewritten statement must keep.
    pub(crate) columns: Option<(&'a [String], i64)>,
    /// Whether column rules were applied, which holds for the dialect of the judgement only.
    pub(crate) guarded: bool,
    /// Takes the position of the backend that the statement went to.
    pub(crate) backend: &'a Cell<Option<usize>>,
}

impl Gateway {
    /// Runs the statement; gives the number of rows that went to the sink.
    pub(crate) fn run_on_backend(
        &self,
        execution: &Execution<'_>,
        scope: &CallScope,
        sink: &mut dyn RowSink,
    ) -> HarvestResult<usize> {
        let mut loan = execution.target.acquire(scope)?;
        execution.backend.set(Some(loan.member()));
        let connection = loan.get()?;
        let again = judge_again(execution, connection.dialect())?;
        let statement = again.as_ref().unwrap_or(execution.statement);
        let (timeout_ms, layer) = time_left(execution, scope)?;
        let end = (timeout_ms > 0).then(|| Instant::now() + Duration::from_millis(timeout_ms));
        let watch_end = end.map(|end| end + Duration::from_millis(GRACE_MS));
        let watch = self.watchdog.watch(watch_end, connection.interrupt());
        let stop_hook = scope.stop.on_stop(Box::new(watch.stopper()));
        let _running = self.statistics.start(running(execution, scope));
        let rows_max = execution.limits.rows_max;
        let mut guarded = GuardedSink::new(sink, rows_max, watch_end, &*scope.stop, execution.columns);
        let limits = Limits { timeout_ms, cell_bytes_max: execution.cell_bytes_max.min(CELL_BYTES_MAX) };
        let result = connection.query(statement, execution.params, execution.schema, &limits, &mut guarded);
        let (rows, received) = (guarded.rows.min(rows_max), guarded.bytes);
        let sent = statement.sql.len() + execution.params.iter().map(Value::size_bytes).sum::<usize>();
        drop(stop_hook);
        let (cause, settled) = watch.finish();
        if !settled || result.as_ref().is_err_and(|error| error.connection_broken) {
            loan.mark_broken();
        }
        loan.count_bytes(sent as u64, received);
        result.map(|()| rows).map_err(|error| explain_end(error, cause, timeout_ms, layer))
    }
}

/// A group may hold servers of two engines: what was judged for one is judged again for the other.
fn judge_again(
    execution: &Execution<'_>,
    dialect: &'static dyn Dialect,
) -> HarvestResult<Option<CheckedStatement>> {
    if dialect.name() == execution.dialect.name() {
        return Ok(None);
    }
    if execution.guarded {
        let message = "column rules guard this target, and its servers are of two engines";
        return Err(HarvestError::new(HarvestCode::FailedPrecondition, message)
            .with("remedy", "an operator puts the servers of each engine into a group of their own"));
    }
    let checked = dialect.check(execution.text, &execution.target.policy)?;
    let schema = execution.target.schema_of(execution.schema);
    harvest_gate::check_default_schema(dialect.name(), &checked, &schema, &execution.target.policy)?;
    match execution.plan {
        Some(options) => dialect.explain(&checked, options).map(Some),
        None => Ok(Some(checked)),
    }
}

/// The time limit now: waiting for a connection has used up part of the call's time.
fn time_left(execution: &Execution<'_>, scope: &CallScope) -> HarvestResult<(u64, Layer)> {
    let (timeout_ms, layer) = (execution.limits.timeout_ms, execution.layer);
    let Some(left) = scope.remaining() else { return Ok((timeout_ms, layer)) };
    let left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
    if left_ms == 0 {
        let error = HarvestError::new(
            HarvestCode::DeadlineExceeded,
            "the call's time is over before the statement ran",
        );
        return Err(error.with("layer", Layer::Server.as_str()));
    }
    if timeout_ms == 0 || left_ms < timeout_ms {
        Ok((left_ms, Layer::Server))
    } else {
        Ok((timeout_ms, layer))
    }
}

fn running(execution: &Execution<'_>, scope: &CallScope) -> RunningStatement {
    RunningStatement {
        call_id: scope.call_id,
        endpoint: scope.endpoint.to_string(),
        tool: scope.tool.to_string(),
        caller: scope.caller.to_string(),
        client_address: scope.client_address.to_string(),
        target_id: execution.target.config.target_id.clone(),
        schema: execution.schema.unwrap_or_default().to_owned(),
        digest_text: fingerprint(&execution.statement.sql, execution.target.lex_mode()),
        started: Instant::now(),
    }
}

/// Says why a statement ended before its end.
pub(crate) fn explain_end(
    mut error: HarvestError,
    cause: Option<Cause>,
    timeout_ms: u64,
    layer: Layer,
) -> HarvestError {
    let by_us =
        matches!(error.code, HarvestCode::Cancelled | HarvestCode::Unavailable | HarvestCode::Internal);
    match cause {
        Some(Cause::Deadline) if by_us => {
            let broken = error.connection_broken;
            error = HarvestError::new(HarvestCode::DeadlineExceeded, "");
            error.connection_broken = broken;
        }
        Some(Cause::Stopped) if by_us || error.code == HarvestCode::DeadlineExceeded => {
            let broken = error.connection_broken;
            error = HarvestError::new(HarvestCode::Cancelled, "the call was cancelled");
            error.connection_broken = broken;
        }
        _ => {}
    }
    if error.code == HarvestCode::DeadlineExceeded {
        if error.message.is_empty() || error.message == "the statement ran out of time" {
            error.message = format!("the statement was stopped after {timeout_ms} ms");
        }
        return error.with("timeout_ms", timeout_ms).with("layer", layer.as_str());
    }
    error
}
