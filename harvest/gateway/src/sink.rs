//! Stands between driver and collector: counts rows, stops for time and callers, watches the columns of rewritten statements.

use std::time::Instant;

use harvest::{Column, Flow, HarvestCode, HarvestError, HarvestResult, RowSink, Value};

use crate::scope::StopSignal;

/// Rows between two looks at the clock and the caller.
const LOOK_ROWS: usize = 64;

/// A sink around another one.
pub(crate) struct GuardedSink<'a> {
    inner: &'a mut dyn RowSink,
    /// Rows after which the statement ends whatever the inner sink says; one more than may be shown.
    rows_max: usize,
    deadline: Option<Instant>,
    stop: &'a dyn StopSignal,
    /// Names that a rewritten statement must keep, and the rule that rewrote it.
    expected: Option<(&'a [String], i64)>,
    pub(crate) rows: usize,
    /// Size of the values that came in, in bytes.
    pub(crate) bytes: u64,
}

impl<'a> GuardedSink<'a> {
    pub(crate) fn new(
        inner: &'a mut dyn RowSink,
        rows_max: usize,
        deadline: Option<Instant>,
        stop: &'a dyn StopSignal,
        expected: Option<(&'a [String], i64)>,
    ) -> Self {
        Self { inner, rows_max, deadline, stop, expected, rows: 0, bytes: 0 }
    }
}

impl RowSink for GuardedSink<'_> {
    fn columns(&mut self, columns: &[Column]) -> HarvestResult<()> {
        if let Some((names, rule_id)) = self.expected {
            let same = names.len() == columns.len() && names.iter().zip(columns).all(|(a, b)| *a == b.name);
            if !same {
                let message = format!(
                    "query rule {rule_id} rewrites a statement of this tool so that its columns change: fix the rule"
                );
                return Err(
                    HarvestError::new(HarvestCode::FailedPrecondition, message).with("rule_id", rule_id)
                );
            }
        }
        self.inner.columns(columns)
    }

    fn row(&mut self, row: Vec<Value>) -> HarvestResult<Flow> {
        if self.rows.is_multiple_of(LOOK_ROWS) {
            if self.stop.is_stopped() {
                return Err(HarvestError::new(HarvestCode::Cancelled, "the call was cancelled"));
            }
            if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(HarvestError::new(
                    HarvestCode::DeadlineExceeded,
                    "the statement ran out of time",
                ));
            }
        }
        self.rows += 1;
        self.bytes += row.iter().map(Value::size_bytes).sum::<usize>() as u64;
        let flow = self.inner.row(row)?;
        Ok(if self.rows > self.rows_max { Flow::Stop } else { flow })
    }
}
