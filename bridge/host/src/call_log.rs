//! Every finished tool call as a row of the catalog's call log; it keeps no arguments and no results.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use bridge::{CallObserver, CallRecord};
use harvest_catalog::{LogWriter, ToolCallRow};

/// Writes calls through the batching writer, which never makes a caller wait.
pub(crate) struct CallLog(pub(crate) Arc<LogWriter>);

impl CallObserver for CallLog {
    fn finished(&self, record: &CallRecord<'_>) {
        let started = record.started_at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let address = &record.cx.caller.address;
        self.0.call(ToolCallRow {
            endpoint: record.cx.endpoint.to_string(),
            tool_name: record.spec.name.clone(),
            caller: record.cx.caller.token_name.clone(),
            client_address: (!address.is_empty()).then(|| address.clone()),
            start_time: i64::try_from(started.as_secs()).unwrap_or(i64::MAX),
            execution_time_us: i64::try_from(record.duration.as_micros()).unwrap_or(i64::MAX),
            error_code: record.error_code().map(|code| code.as_str().to_owned()),
            error: record.error.map(|error| error.message.clone()),
            ..ToolCallRow::default()
        });
    }
}
