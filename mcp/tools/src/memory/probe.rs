//! The gateway as what the catalog asks for: metadata, value checks, rows, progress; it keeps nothing.

use harvest::{
    Dialect, FragmentKind, HarvestCode, HarvestError, HarvestResult, MetadataRequest, MetadataSnapshot,
    MetadataWatch, Value, ValueCollector,
};
use harvest_catalog::{
    BatchRequest, HarvestStage, HarvestWatch, MetadataSource, Overlap, OverlapQuery, RowReader, ValueProbe,
};
use harvest_gateway::{CallScope, Gateway, MetadataLimit, Origin, StatementRequest};
use mcp::{CallContext, ErrorCode, ToolHandler};
use serde_json::{Map, Value as Json, json};

use crate::deps::{Call, ToolDeps};
use crate::query::query_tools;

/// Memory of one batch of rows.
const BATCH_BYTES_MAX: usize = 32_000_000;

/// One call's way to a target's data.
pub(super) struct GatewayProbe<'a> {
    pub(super) deps: &'a ToolDeps,
    pub(super) cx: &'a CallContext,
    pub(super) scope: &'a CallScope,
    pub(super) target_id: &'a str,
    pub(super) dialect: &'static dyn Dialect,
}

impl<'a> GatewayProbe<'a> {
    /// A probe of the target; connects to learn its dialect.
    pub(super) fn new(call: &'a Call<'_>, target_id: &'a str) -> HarvestResult<Self> {
        let dialect = call.deps.gateway.dialect(Some(target_id), &call.scope)?;
        Ok(Self { deps: call.deps, cx: call.cx, scope: &call.scope, target_id, dialect })
    }

    fn gateway(&self) -> &Gateway {
        &self.deps.gateway
    }

    fn rows(
        &self,
        schema: &str,
        sql: String,
        params: Vec<Value>,
        columns: Vec<String>,
        rows_max: usize,
        timeout_ms: Option<u64>,
    ) -> HarvestResult<Vec<Vec<Value>>> {
        let mut request =
            StatementRequest::new(sql).on(Some(self.target_id.to_owned()), Some(schema.to_owned()));
        request.params = params;
        request.rows_max = Some(rows_max);
        request.timeout_ms = timeout_ms;
        request.origin = Origin::Tool { columns };
        let mut sink = ValueCollector::new(rows_max, BATCH_BYTES_MAX);
        let done = self.gateway().run_into(&request, self.scope, &mut sink)?;
        if done.outcome.ok_message.is_some() {
            let message = "a query rule answered instead of the data: exempt this tool from the rule";
            return Err(HarvestError::new(HarvestCode::FailedPrecondition, message)
                .with("reason", "rule")
                .with("rules_matched", done.outcome.rules_matched));
        }
        let (_, rows, truncated) = sink.finish();
        if truncated {
            let message = "one batch of rows is larger than memory allows: index fewer or smaller columns";
            return Err(HarvestError::new(HarvestCode::LimitExceeded, message));
        }
        Ok(rows)
    }
}

fn count(value: Option<&Value>) -> u64 {
    match value {
        Some(Value::Int(i)) => u64::try_from(*i).unwrap_or(0),
        Some(Value::UInt(u)) => *u,
        Some(Value::Decimal(text) | Value::Text(text)) => text.parse().unwrap_or(0),
        _ => 0,
    }
}

impl ValueProbe for GatewayProbe<'_> {
    fn overlap(&mut self, query: &OverlapQuery) -> HarvestResult<Overlap> {
        let columns = vec!["checked".to_owned(), "found".to_owned()];
        let sql = query.sql(self.dialect);
        let rows = self.rows(&query.child.schema, sql, Vec::new(), columns, 1, Some(query.timeout_ms))?;
        let row = rows.first();
        let at = |i: usize| count(row.and_then(|r| r.get(i)));
        Ok(Overlap { checked: at(0), found: at(1) })
    }

    fn full_profile(&mut self, schema: &str, table: &str) -> HarvestResult<Json> {
        let mut arguments = Map::new();
        for (name, value) in
            [("schema", schema), ("table", table), ("mode", "full"), ("target_id", self.target_id)]
        {
            arguments.insert(name.to_owned(), json!(value));
        }
        let answer = query_tools(self.deps).call(self.cx, "table_profile", arguments);
        match answer {
            Ok(output) => Ok(output.structured_value().unwrap_or_default()),
            Err(error) => {
                let code = match error.code {
                    ErrorCode::DeadlineExceeded => HarvestCode::DeadlineExceeded,
                    ErrorCode::Unavailable => HarvestCode::Unavailable,
                    _ => HarvestCode::FailedPrecondition,
                };
                Err(HarvestError::new(code, error.message))
            }
        }
    }
}

impl MetadataSource for GatewayProbe<'_> {
    fn dialect(&self) -> &'static dyn Dialect {
        self.dialect
    }

    fn server_version(&self) -> String {
        let info = self.gateway().known_target(Some(self.target_id), self.scope);
        info.ok().and_then(|info| info.server_version).unwrap_or_default()
    }

    fn metadata(
        &mut self,
        request: &MetadataRequest,
        watch: &mut dyn MetadataWatch,
    ) -> HarvestResult<MetadataSnapshot> {
        let outcome = self.gateway().metadata(
            Some(self.target_id),
            None,
            request,
            MetadataLimit::Call,
            self.scope,
            watch,
        )?;
        if let Some(message) = outcome.ok_message {
            return Err(HarvestError::new(
                HarvestCode::FailedPrecondition,
                format!("a query rule answered instead of the target: {message}"),
            )
            .with("reason", "rule")
            .with("rules_matched", outcome.rules_matched));
        }
        Ok(outcome.snapshot)
    }
}

/// Reads rows of a table for a data index.
pub(super) struct GatewayRows<'a> {
    pub(super) probe: GatewayProbe<'a>,
    /// The condition, checked.
    pub(super) predicate: Option<String>,
}

impl<'a> GatewayRows<'a> {
    pub(super) fn new(probe: GatewayProbe<'a>, where_clause: Option<&str>) -> HarvestResult<Self> {
        let check = |text: &str| {
            probe.gateway().check_fragment(Some(probe.target_id), text, FragmentKind::Predicate, probe.scope)
        };
        let predicate = where_clause.map(check).transpose()?;
        Ok(Self { probe, predicate })
    }
}

impl RowReader for GatewayRows<'_> {
    fn read_batch(&mut self, request: &BatchRequest) -> HarvestResult<Vec<Vec<Value>>> {
        let (sql, params) = request.sql(self.probe.dialect, self.predicate.as_deref());
        self.probe.rows(&request.schema, sql, params, request.columns.clone(), request.rows_max, None)
    }

    fn has_null_key(&mut self, request: &BatchRequest) -> HarvestResult<bool> {
        let sql = request.null_key_sql(self.probe.dialect, self.predicate.as_deref());
        let rows = self.probe.rows(&request.schema, sql, Vec::new(), Vec::new(), 1, None)?;
        Ok(!rows.is_empty())
    }

    fn progress(&mut self, rows: u64) -> HarvestResult<()> {
        stopped(self.probe.cx, self.probe.scope)?;
        #[expect(clippy::cast_precision_loss, reason = "progress needs no exact number")]
        self.probe.cx.progress.progress(rows as f64, None, Some("index"));
        Ok(())
    }
}

/// Fails when the call was cancelled or is out of time.
pub(super) fn stopped(cx: &CallContext, scope: &CallScope) -> HarvestResult<()> {
    if cx.cancel.is_cancelled() {
        return Err(HarvestError::new(HarvestCode::Cancelled, "the call was cancelled"));
    }
    if scope.remaining().is_some_and(|left| left.is_zero()) {
        return Err(HarvestError::new(HarvestCode::DeadlineExceeded, "the time of the call is over")
            .with("layer", "server"));
    }
    Ok(())
}

/// Turns stages into progress notifications and the end of a call into a stop.
pub(super) struct Progress<'a> {
    cx: &'a CallContext,
    scope: &'a CallScope,
    last: f64,
}

impl<'a> Progress<'a> {
    pub(super) fn new(cx: &'a CallContext, scope: &'a CallScope) -> Self {
        Self { cx, scope, last: -1.0 }
    }
}

impl HarvestWatch for Progress<'_> {
    fn stage(&mut self, stage: HarvestStage, done: usize) -> HarvestResult<()> {
        stopped(self.cx, self.scope)?;
        // Stages count in whole steps; objects within one move a part of a step, whatever their number.
        #[expect(clippy::cast_precision_loss, reason = "progress needs no exact number")]
        let at = (stage.number() - 1) as f64 + done as f64 / (done as f64 + 200.0);
        if at > self.last {
            self.last = at;
            #[expect(clippy::cast_precision_loss, reason = "a dozen")]
            self.cx.progress.progress(at, Some(HarvestStage::COUNT as f64), Some(stage.as_str()));
        }
        Ok(())
    }
}
