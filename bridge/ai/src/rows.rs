//! Rows for ingestion through the SQL pipeline: every read meets rules, gate and limits like a caller's; it keeps no rows.

use std::sync::Arc;

use ai_core::{
    AiError, AiErrorCode, AiResult, Deadline, PageRequest, RowColumn, RowKey, RowPage, RowSource, RowValue,
    SourceConnector, SourceRow, SourceSpec,
};
use harvest::{Dialect, FragmentKind, MetadataRequest, Value, ValueCollector};
use harvest_gateway::{CallScope, Gateway, MetadataLimit, Origin, StatementRequest};

use crate::errors::harvest_ai_error;

/// The tool's name of ingestion in rules, statistics and logs.
const TOOL: &str = "rag.sync";
/// The tool's name of reads for a caller.
const FETCH_TOOL: &str = "rag.fetch_from_source";
/// The caller's name of ingestion in rules: it reads on its own account, whatever the source is called.
const CALLER: &str = "rag";
/// Rows asked for in one statement, whatever a caller wants.
const PAGE_ROWS_MAX: usize = 1_000;

/// Opens sources over the gateway's targets. A source names a target; hosts, users and passwords stay with the target.
#[derive(Clone)]
pub struct GatewayConnector {
    gateway: Arc<Gateway>,
}

impl GatewayConnector {
    /// A connector over the targets of `gateway`.
    #[must_use]
    pub fn new(gateway: Arc<Gateway>) -> Self {
        Self { gateway }
    }
}

impl std::fmt::Debug for GatewayConnector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GatewayConnector").finish_non_exhaustive()
    }
}

impl SourceConnector for GatewayConnector {
    fn open(&self, spec: &SourceSpec) -> AiResult<Box<dyn RowSource>> {
        let Some(target_id) = spec.target_id.clone().filter(|t| !t.is_empty()) else {
            let message = "the source names no target: set target_id to one of this server's targets";
            return Err(AiError::new(AiErrorCode::FailedPrecondition, message).with("argument", "target_id"));
        };
        let (tool, caller) = match &spec.caller {
            Some(caller) => (FETCH_TOOL, caller.as_str()),
            None => (TOOL, CALLER),
        };
        let scope = CallScope::new(tool, caller);
        let target = self.gateway.resolve(Some(&target_id), &scope).map_err(harvest_ai_error)?;
        let dialect = self.gateway.dialect(Some(&target_id), &scope).map_err(harvest_ai_error)?;
        let predicate = match &spec.where_sql {
            Some(text) if !text.trim().is_empty() => Some(
                self.gateway
                    .check_fragment(Some(&target_id), text, FragmentKind::Predicate, &scope)
                    .map_err(harvest_ai_error)?,
            ),
            _ => None,
        };
        let (schema, table) = match spec.table_name.split_once('.') {
            Some((schema, table)) => (schema.to_owned(), table.to_owned()),
            None => (target.default_schema.clone(), spec.table_name.clone()),
        };
        Ok(Box::new(TargetRows {
            gateway: Arc::clone(&self.gateway),
            dialect,
            target_id,
            scope,
            schema,
            table,
            key: spec.key_columns.clone(),
            predicate,
            timeout_ms: spec.timeout_ms,
        }))
    }
}

struct TargetRows {
    gateway: Arc<Gateway>,
    dialect: &'static dyn Dialect,
    target_id: String,
    scope: CallScope,
    schema: String,
    table: String,
    key: Vec<String>,
    predicate: Option<String>,
    timeout_ms: u64,
}

/// A statement under construction: conditions and the parameters behind them, numbered in order.
struct Builder<'a> {
    dialect: &'a dyn Dialect,
    conditions: Vec<String>,
    params: Vec<Value>,
}

impl Builder<'_> {
    fn bind(&mut self, value: &RowValue) -> String {
        self.params.push(parameter(value));
        self.dialect.placeholder(self.params.len())
    }

    /// `(a, b) > (x, y)` as plain comparisons, which every engine answers from an index.
    fn after(&mut self, columns: &[String], values: &[RowValue]) {
        let mut branches = Vec::new();
        for last in 0..columns.len().min(values.len()) {
            let mut parts = Vec::new();
            for at in 0..=last {
                let operator = if at == last { ">" } else { "=" };
                let column = self.dialect.quote_identifier(&columns[at]);
                let placeholder = self.bind(&values[at]);
                parts.push(format!("{column} {operator} {placeholder}"));
            }
            branches.push(format!("({})", parts.join(" AND ")));
        }
        if !branches.is_empty() {
            self.conditions.push(format!("({})", branches.join(" OR ")));
        }
    }
}

impl TargetRows {
    fn builder(&self) -> Builder<'_> {
        let conditions = self.predicate.iter().map(|p| format!("({p})")).collect();
        Builder { dialect: self.dialect, conditions, params: Vec::new() }
    }

    fn quoted(&self, names: &[String]) -> Vec<String> {
        names.iter().map(|n| self.dialect.quote_identifier(n)).collect()
    }

    fn statement(
        &self,
        columns: &[String],
        builder: &Builder<'_>,
        order: &[String],
        rows_max: Option<usize>,
    ) -> String {
        let from = if self.schema.is_empty() {
            self.dialect.quote_identifier(&self.table)
        } else {
            format!(
                "{}.{}",
                self.dialect.quote_identifier(&self.schema),
                self.dialect.quote_identifier(&self.table)
            )
        };
        let mut sql = format!("SELECT {} FROM {from}", self.quoted(columns).join(", "));
        if !builder.conditions.is_empty() {
            sql.push_str(&format!(" WHERE {}", builder.conditions.join(" AND ")));
        }
        if !order.is_empty() {
            sql.push_str(&format!(" ORDER BY {}", self.quoted(order).join(", ")));
        }
        if let Some(rows_max) = rows_max {
            sql.push_str(&format!(" LIMIT {rows_max}"));
        }
        sql
    }

    /// Runs a statement; gives its rows and whether a bound left some out.
    fn run(
        &self,
        sql: String,
        params: Vec<Value>,
        columns: Vec<String>,
        rows_max: usize,
        bytes_max: usize,
        deadline: Deadline,
    ) -> AiResult<(Vec<Vec<Value>>, bool)> {
        let mut scope = self.scope.clone();
        scope.deadline = Some(deadline.instant());
        let mut request = StatementRequest::new(sql).on(Some(self.target_id.clone()), None);
        request.params = params;
        request.rows_max = Some(rows_max);
        request.timeout_ms = (self.timeout_ms > 0).then_some(self.timeout_ms);
        request.origin = Origin::Tool { columns };
        let mut sink = ValueCollector::new(rows_max, bytes_max);
        self.gateway.run_into(&request, &scope, &mut sink).map_err(harvest_ai_error)?;
        let (_, rows, truncated) = sink.finish();
        Ok((rows, truncated))
    }
}

impl RowSource for TargetRows {
    fn columns(&self) -> AiResult<Vec<RowColumn>> {
        let mut request = MetadataRequest::all(16);
        request.schemas = Some(vec![self.schema.clone()]);
        request.object = Some(self.table.clone());
        let scope = self.scope.clone();
        let outcome = self
            .gateway
            .metadata(
                Some(&self.target_id),
                Some(&self.schema),
                &request,
                MetadataLimit::Target,
                &scope,
                &mut (),
            )
            .map_err(harvest_ai_error)?;
        let found =
            outcome.snapshot.objects.into_iter().find(|o| o.name == self.table && !o.columns.is_empty());
        let object = found.ok_or_else(|| {
            AiError::new(
                AiErrorCode::FailedPrecondition,
                format!("table {:?} does not exist or may not be read", self.table),
            )
        })?;
        Ok(object.columns.into_iter().map(|c| RowColumn::new(c.name, c.column_type, c.nullable)).collect())
    }

    fn page(&self, request: &PageRequest, deadline: Deadline) -> AiResult<RowPage> {
        let rows_max = request.rows_max.clamp(1, PAGE_ROWS_MAX);
        let mut order: Vec<String> = request.cursor_column.iter().cloned().collect();
        order.extend(self.key.iter().cloned());
        let mut builder = self.builder();
        if let Some((cursor, key)) = &request.after {
            let mut position: Vec<RowValue> = request.cursor_column.iter().map(|_| cursor.clone()).collect();
            position.extend(key.iter().cloned());
            builder.after(&order, &position);
        }
        let mut columns = order.clone();
        columns.extend(request.columns.iter().cloned());
        let sql = self.statement(&columns, &builder, &order, Some(rows_max + 1));
        let (rows, cut) =
            self.run(sql, builder.params, columns, rows_max, request.bytes_max.max(1), deadline)?;
        if rows.is_empty() && cut {
            return Err(AiError::limit("one row alone is larger than a page may be"));
        }
        let cursors = usize::from(request.cursor_column.is_some());
        let rows = rows.into_iter().map(|row| split(row, cursors, self.key.len())).collect();
        Ok(RowPage { rows, more: cut, failed: Vec::new() })
    }

    fn keys(&self, after: Option<&RowKey>, n: usize, deadline: Deadline) -> AiResult<Vec<RowKey>> {
        let n = n.clamp(1, PAGE_ROWS_MAX);
        let mut builder = self.builder();
        if let Some(key) = after {
            builder.after(&self.key, key);
        }
        let sql = self.statement(&self.key, &builder, &self.key, Some(n));
        let (rows, _) = self.run(sql, builder.params, self.key.clone(), n, usize::MAX, deadline)?;
        Ok(rows.into_iter().map(|row| row.into_iter().map(row_value).collect()).collect())
    }

    fn by_keys(
        &self,
        keys: &[RowKey],
        columns: &[String],
        bytes_max: usize,
        deadline: Deadline,
    ) -> AiResult<Vec<SourceRow>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut builder = self.builder();
        let mut branches = Vec::new();
        for key in keys {
            let mut parts = Vec::new();
            for (column, value) in self.key.iter().zip(key) {
                let placeholder = builder.bind(value);
                parts.push(format!("{} = {placeholder}", self.dialect.quote_identifier(column)));
            }
            branches.push(format!("({})", parts.join(" AND ")));
        }
        builder.conditions.push(format!("({})", branches.join(" OR ")));
        let mut wanted = self.key.clone();
        wanted.extend(columns.iter().cloned());
        let sql = self.statement(&wanted, &builder, &[], None);
        // A key that names two rows answers twice, which the engine reports.
        let (rows, _) = self.run(sql, builder.params, wanted, keys.len() * 2, bytes_max.max(1), deadline)?;
        Ok(rows.into_iter().map(|row| split(row, 0, self.key.len())).collect())
    }
}

/// Cursor, key and values of a row that was read in this order.
fn split(row: Vec<Value>, cursors: usize, keys: usize) -> SourceRow {
    let mut cells = row.into_iter().map(row_value);
    let cursor = if cursors > 0 { cells.next().unwrap_or(RowValue::Null) } else { RowValue::Null };
    let key = cells.by_ref().take(keys).collect();
    SourceRow { key, cursor, values: cells.collect() }
}

fn row_value(value: Value) -> RowValue {
    match value {
        Value::Null => RowValue::Null,
        Value::Bool(v) => RowValue::Bool(v),
        Value::Int(v) => RowValue::Int(v),
        Value::UInt(v) => RowValue::Uint(v),
        Value::Float(v) => RowValue::Float(v),
        Value::Decimal(text) => RowValue::Decimal(text),
        Value::Text(text) | Value::Interval(text) | Value::Uuid(text) => RowValue::Text(text),
        Value::Bytes(bytes) => RowValue::Bytes(bytes),
        Value::Date(text) | Value::Time(text) | Value::DateTime(text) | Value::TimestampTz(text) => {
            RowValue::Time(text)
        }
        Value::Json(json) => RowValue::Json(json),
        Value::Array(items) => RowValue::Json(items.into_iter().map(|item| json(row_value(item))).collect()),
    }
}

fn json(value: RowValue) -> serde_json::Value {
    match value {
        RowValue::Bool(v) => v.into(),
        RowValue::Int(v) => v.into(),
        RowValue::Uint(v) => v.into(),
        RowValue::Float(v) => v.into(),
        RowValue::Decimal(text) | RowValue::Text(text) | RowValue::Time(text) => text.into(),
        RowValue::Json(json) => json,
        _ => serde_json::Value::Null,
    }
}

fn parameter(value: &RowValue) -> Value {
    match value {
        RowValue::Bool(v) => Value::Bool(*v),
        RowValue::Int(v) => Value::Int(*v),
        RowValue::Uint(v) => Value::UInt(*v),
        RowValue::Float(v) => Value::Float(*v),
        RowValue::Decimal(text) | RowValue::Text(text) | RowValue::Time(text) => Value::Text(text.clone()),
        RowValue::Bytes(bytes) => Value::Bytes(bytes.clone()),
        RowValue::Json(json) => Value::Json(json.clone()),
        _ => Value::Null,
    }
}
