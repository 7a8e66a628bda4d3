//! Every finished tool call as a row of the catalog's call log; it keeps no arguments and no results.

use std::sync::{Arc, OnceLock};
use std::time::UNIX_EPOCH;

use bridge::{CallObserver, CallRecord};
use harvest_catalog::{LogWriter, ToolCallRow};

/// Writes calls through the batching writer, which never makes a caller wait.
#[derive(Default)]
pub(crate) struct CallLog(OnceLock<Arc<LogWriter>>);

impl CallLog {
    /// Calls are logged from now on: the store is open.
    pub(crate) fn start(&self, writer: Arc<LogWriter>) {
        // A host opens its store once.
        let _ = self.0.set(writer);
    }
}

impl CallObserver for CallLog {
    fn finished(&self, record: &CallRecord<'_>) {
        let Some(writer) = self.0.get() else { return };
        let started = record.started_at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let address = &record.cx.caller.address;
        writer.call(ToolCallRow {
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
