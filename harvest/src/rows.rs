//! Collects a result as bounded JSON text in one pass; it does not know envelopes, tools or engines.

use std::sync::Arc;

use serde::Serialize;

use crate::connection::{Flow, RowSink};
use crate::error::{HarvestCode, HarvestError, HarvestResult};
use crate::value::{ColType, Column, Value};

/// Largest integer that every JSON reader keeps exact.
const EXACT_MAX: u64 = (1 << 53) - 1;

/// Bounds of a collected result.
// Exhaustive: callers set every bound knowingly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowBounds {
    /// Most rows; one more row read tells whether something was left out.
    pub rows_max: usize,
    /// Most bytes of the rows as they go over the wire: their JSON, plus its escaped copy when `text_copy` is set.
    pub bytes_max: usize,
    /// Whether the wire carries the rows a second time, as text inside a JSON string.
    pub text_copy: bool,
}

/// What ended a result early.
// Exhaustive: results name exactly these two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TruncatedBy {
    /// The row bound.
    MaxRows,
    /// The byte bound.
    MaxBytes,
}

/// A finished result: columns and rows as JSON text. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ResultSet {
    /// The columns with their final types.
    pub columns: Arc<[Column]>,
    /// The rows, a JSON array of arrays.
    pub rows_json: Arc<str>,
    /// Number of rows.
    pub row_count: usize,
    /// What cut the result, if anything.
    pub truncated_by: Option<TruncatedBy>,
}

impl ResultSet {
    /// A result without columns and rows.
    #[must_use]
    pub fn empty() -> Self {
        Self { columns: Arc::from([]), rows_json: Arc::from("[]"), row_count: 0, truncated_by: None }
    }

    /// Approximate memory, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let columns: usize = self.columns.iter().map(|c| c.name.len() + c.native_type.len() + 64).sum();
        self.rows_json.len() + columns + 128
    }

    /// The rows as values, for callers that look into a small result.
    ///
    /// # Errors
    /// `INTERNAL` if the text is no array of arrays, which the collector never writes.
    pub fn rows(&self) -> HarvestResult<Vec<Vec<serde_json::Value>>> {
        serde_json::from_str(&self.rows_json)
            .map_err(|e| HarvestError::new(HarvestCode::Internal, format!("rows are no JSON arrays: {e}")))
    }
}

/// How integers or bytes of a column have been written from some row on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Plain,
    QuotedIntegers,
    Mixed,
}

struct Track {
    declared: ColType,
    element: Option<ColType>,
    mode: Mode,
    /// Row from which integers (or integer elements) are quoted.
    quoted_from: Option<usize>,
    /// Row from which the column is mixed.
    mixed_from: Option<usize>,
}

/// Receives rows and writes them as JSON at once, until a bound is met.
pub struct RowCollector {
    bounds: RowBounds,
    columns: Vec<Column>,
    tracks: Vec<Track>,
    out: Vec<u8>,
    /// Bytes that the wire will carry for `out`.
    wire_bytes: usize,
    row_count: usize,
    truncated_by: Option<TruncatedBy>,
}

impl RowCollector {
    /// A collector with bounds.
    #[must_use]
    pub fn new(bounds: RowBounds) -> Self {
        Self {
            bounds,
            columns: Vec::new(),
            tracks: Vec::new(),
            out: vec![b'['],
            wire_bytes: 2,
            row_count: 0,
            truncated_by: None,
        }
    }

    /// Rows taken so far.
    #[must_use]
    pub fn row_count(&self) -> usize {
        self.row_count
    }

    /// Ends collecting.
    ///
    /// # Errors
    /// `INTERNAL` if the collected bytes are no UTF-8, which cannot happen for valid values.
    pub fn finish(mut self) -> HarvestResult<ResultSet> {
        self.out.push(b']');
        let changed = self.tracks.iter().any(|t| t.quoted_from.is_some() || t.mixed_from.is_some());
        let bytes = if changed { rewrite(&self.out, &self.tracks) } else { self.out };
        for (column, track) in self.columns.iter_mut().zip(&self.tracks) {
            if track.mixed_from.is_some() {
                column.col_type = ColType::Any;
                column.element_type = None;
            } else if track.quoted_from.is_some() {
                if track.declared == ColType::Array {
                    column.element_type = Some(ColType::Bigint);
                } else {
                    column.col_type = ColType::Bigint;
                }
            }
        }
        let text = String::from_utf8(bytes)
            .map_err(|_| HarvestError::new(HarvestCode::Internal, "a row holds text that is no UTF-8"))?;
        Ok(ResultSet {
            columns: self.columns.into(),
            rows_json: text.into(),
            row_count: self.row_count,
            truncated_by: self.truncated_by,
        })
    }

    fn cut(&mut self, by: TruncatedBy) -> Flow {
        self.truncated_by = Some(by);
        Flow::Stop
    }

    fn wire_len(&self, from: usize) -> usize {
        let fresh = &self.out[from..];
        if !self.bounds.text_copy {
            return fresh.len();
        }
        let escapes = fresh.iter().filter(|byte| matches!(byte, b'"' | b'\\')).count();
        fresh.len() * 2 + escapes
    }
}

impl RowSink for RowCollector {
    fn columns(&mut self, columns: &[Column]) -> HarvestResult<()> {
        self.columns = columns.to_vec();
        self.tracks = columns
            .iter()
            .map(|c| Track {
                declared: c.col_type,
                element: c.element_type,
                mode: Mode::Plain,
                quoted_from: None,
                mixed_from: None,
            })
            .collect();
        Ok(())
    }

    fn row(&mut self, row: Vec<Value>) -> HarvestResult<Flow> {
        if self.truncated_by.is_some() {
            return Ok(Flow::Stop);
        }
        if self.row_count >= self.bounds.rows_max {
            return Ok(self.cut(TruncatedBy::MaxRows));
        }
        if row.len() != self.tracks.len() {
            return Err(HarvestError::new(
                HarvestCode::Internal,
                format!("a row has {} values for {} columns", row.len(), self.tracks.len()),
            ));
        }
        // Raw sizes never exceed what JSON needs, so a row that is too big is cut before it is copied.
        let raw: usize = row.iter().map(payload_bytes).sum();
        if self.wire_bytes + raw > self.bounds.bytes_max {
            return Ok(self.cut(TruncatedBy::MaxBytes));
        }
        let start = self.out.len();
        if self.row_count > 0 {
            self.out.push(b',');
        }
        self.out.push(b'[');
        let mut turned = 0_usize;
        for (at, value) in row.iter().enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            let track = &mut self.tracks[at];
            if adapt(track, value, self.row_count) {
                turned += 1;
            }
            write_cell(&mut self.out, track, value);
        }
        self.out.push(b']');
        // Columns that turned make earlier cells a little longer when the result is finished.
        let grown = turned * self.row_count * 24;
        let wire = self.wire_bytes + self.wire_len(start) + grown;
        if wire > self.bounds.bytes_max {
            self.out.truncate(start);
            for track in &mut self.tracks {
                undo(track, self.row_count);
            }
            return Ok(self.cut(TruncatedBy::MaxBytes));
        }
        self.wire_bytes = wire;
        self.row_count += 1;
        Ok(Flow::Continue)
    }
}

/// Bytes that a value's JSON certainly needs.
fn payload_bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::UInt(_) | Value::Float(_) => 1,
        Value::Decimal(s)
        | Value::Text(s)
        | Value::Date(s)
        | Value::Time(s)
        | Value::DateTime(s)
        | Value::TimestampTz(s)
        | Value::Interval(s)
        | Value::Uuid(s) => s.len() + 2,
        Value::Bytes(b) => b.len() + 2,
        Value::Json(_) => 1,
        Value::Array(items) => 2 + items.iter().map(payload_bytes).sum::<usize>(),
    }
}

fn is_big(value: &Value) -> bool {
    match value {
        Value::Int(i) => i.unsigned_abs() > EXACT_MAX,
        Value::UInt(u) => *u > EXACT_MAX,
        _ => false,
    }
}

fn any_big(items: &[Value]) -> bool {
    items.iter().any(|item| match item {
        Value::Array(inner) => any_big(inner),
        other => is_big(other),
    })
}

/// Whether a value has the form that its column promises.
fn fits(declared: ColType, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(_) => matches!(declared, ColType::Boolean | ColType::Any),
        Value::Int(_) | Value::UInt(_) => matches!(
            declared,
            ColType::Integer | ColType::Bigint | ColType::Float | ColType::Decimal | ColType::Any
        ),
        Value::Decimal(_) => matches!(declared, ColType::Decimal | ColType::Any),
        Value::Float(_) => matches!(declared, ColType::Float | ColType::Any),
        Value::Bytes(_) => matches!(declared, ColType::Bytes | ColType::Any),
        Value::Json(_) => matches!(declared, ColType::Json | ColType::Any),
        Value::Array(_) => matches!(declared, ColType::Array | ColType::Any),
        Value::Text(_)
        | Value::Date(_)
        | Value::Time(_)
        | Value::DateTime(_)
        | Value::TimestampTz(_)
        | Value::Interval(_)
        | Value::Uuid(_) => matches!(
            declared,
            ColType::String
                | ColType::Date
                | ColType::Time
                | ColType::Datetime
                | ColType::Timestamptz
                | ColType::Interval
                | ColType::Uuid
                | ColType::Any
        ),
    }
}

/// Turns the column's mode when the value asks for it; tells whether it turned.
fn adapt(track: &mut Track, value: &Value, row: usize) -> bool {
    if track.mode == Mode::Mixed {
        return false;
    }
    if !fits(track.declared, value) {
        track.mode = Mode::Mixed;
        track.mixed_from = Some(row);
        return true;
    }
    let big = match (track.declared, value) {
        (ColType::Integer, value) => is_big(value),
        (ColType::Array, Value::Array(items)) => track.element == Some(ColType::Integer) && any_big(items),
        _ => false,
    };
    if big && track.mode == Mode::Plain {
        track.mode = Mode::QuotedIntegers;
        track.quoted_from = Some(row);
        return true;
    }
    false
}

/// Takes back what a row that was not kept has turned.
fn undo(track: &mut Track, row: usize) {
    if track.mixed_from == Some(row) {
        track.mixed_from = None;
        track.mode = if track.quoted_from.is_some() { Mode::QuotedIntegers } else { Mode::Plain };
    }
    if track.quoted_from == Some(row) {
        track.quoted_from = None;
        track.mode = Mode::Plain;
    }
}

fn write_cell(out: &mut Vec<u8>, track: &Track, value: &Value) {
    let mixed = track.mode == Mode::Mixed || track.declared == ColType::Any;
    let quoted = !mixed
        && (track.mode == Mode::QuotedIntegers
            || matches!(track.declared, ColType::Bigint | ColType::Decimal));
    let quoted = quoted || (track.declared == ColType::Array && track.element == Some(ColType::Bigint));
    write_value(out, value, quoted, mixed);
}

/// Writes one value as JSON. `quoted` writes integers as strings, `tagged` writes bytes as `{"base64": …}`.
fn write_value(out: &mut Vec<u8>, value: &Value, quoted: bool, tagged: bool) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(i) => write_integer(out, i.unsigned_abs(), *i < 0, quoted),
        Value::UInt(u) => write_integer(out, *u, false, quoted),
        Value::Float(f) => write_float(out, *f),
        Value::Decimal(s)
        | Value::Text(s)
        | Value::Date(s)
        | Value::Time(s)
        | Value::DateTime(s)
        | Value::TimestampTz(s)
        | Value::Interval(s)
        | Value::Uuid(s) => write_string(out, s),
        Value::Bytes(bytes) if tagged => {
            out.extend_from_slice(b"{\"base64\":");
            write_base64(out, bytes);
            out.push(b'}');
        }
        Value::Bytes(bytes) => write_base64(out, bytes),
        Value::Json(json) => {
            if serde_json::to_writer(&mut *out, json).is_err() {
                out.extend_from_slice(b"null");
            }
        }
        Value::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_value(out, item, quoted, tagged);
            }
            out.push(b']');
        }
    }
}

fn write_integer(out: &mut Vec<u8>, magnitude: u64, negative: bool, quoted: bool) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = magnitude;
    loop {
        at -= 1;
        // The remainder is below ten.
        digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if quoted {
        out.push(b'"');
    }
    if negative {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
    if quoted {
        out.push(b'"');
    }
}

fn write_float(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        out.extend_from_slice(b"\"NaN\"");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" });
    } else if serde_json::to_writer(&mut *out, &value).is_err() {
        out.extend_from_slice(b"null");
    }
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut plain_from = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..=0x1f => &[],
            _ => continue,
        };
        out.extend_from_slice(&bytes[plain_from..at]);
        if escape.is_empty() {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
        } else {
            out.extend_from_slice(escape);
        }
        plain_from = at + 1;
    }
    out.extend_from_slice(&bytes[plain_from..]);
    out.push(b'"');
}

fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    out.reserve(bytes.len().div_ceil(3) * 4 + 2);
    out.push(b'"');
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0_u32, |word, byte| (word << 8) | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            if place <= chunk.len() {
                let index = (word >> (18 - 6 * place)) & 63;
                out.push(ALPHABET[index as usize]);
            } else {
                out.push(b'=');
            }
        }
    }
    out.push(b'"');
}

/// Writes the collected rows again with every column in its final form.
fn rewrite(text: &[u8], tracks: &[Track]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 8);
    let (mut at, mut row, mut column) = (0, 0, 0);
    let mut depth = 0_u32;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'[' if depth < 2 => {
                depth += 1;
                column = 0;
                out.push(byte);
                at += 1;
                // An empty row or an empty result has no first cell.
                if depth == 2 && text.get(at) != Some(&b']') {
                    at = copy_cell(text, at, &mut out, &tracks[column], row);
                }
            }
            b']' => {
                depth = depth.saturating_sub(1);
                row += 1;
                out.push(byte);
                at += 1;
            }
            b',' if depth == 2 => {
                column += 1;
                out.push(byte);
                at = copy_cell(text, at + 1, &mut out, &tracks[column], row);
            }
            other => {
                out.push(other);
                at += 1;
            }
        }
    }
    out
}

/// Copies the cell that starts at `from`, changing its form if its column changed later; gives the end of the cell.
fn copy_cell(text: &[u8], from: usize, out: &mut Vec<u8>, track: &Track, row: usize) -> usize {
    let to = cell_end(text, from);
    let cell = &text[from..to];
    let written_quoted = track.quoted_from.is_some_and(|first| row >= first);
    let written_mixed = track.mixed_from.is_some_and(|first| row >= first);
    if track.mixed_from.is_some() && !written_mixed {
        let unquote = written_quoted || matches!(track.declared, ColType::Bigint);
        match cell {
            [b'"', digits @ .., b'"'] if unquote => out.extend_from_slice(digits),
            [b'"', ..] if track.declared == ColType::Bytes => {
                out.extend_from_slice(b"{\"base64\":");
                out.extend_from_slice(cell);
                out.push(b'}');
            }
            _ => out.extend_from_slice(cell),
        }
    } else if track.quoted_from.is_some() && !written_quoted && track.mixed_from.is_none() {
        quote_numbers(cell, out);
    } else {
        out.extend_from_slice(cell);
    }
    to
}

fn quote_numbers(cell: &[u8], out: &mut Vec<u8>) {
    let mut in_number = false;
    for &byte in cell {
        let numeric = byte == b'-' || byte.is_ascii_digit();
        if numeric != in_number {
            out.push(b'"');
            in_number = numeric;
        }
        out.push(byte);
    }
    if in_number {
        out.push(b'"');
    }
}

fn cell_end(text: &[u8], from: usize) -> usize {
    let (mut depth, mut in_string, mut at) = (0_u32, false, from);
    while let Some(&byte) = text.get(at) {
        if in_string {
            match byte {
                b'\\' => at += 1,
                b'"' => in_string = false,
                _ => {}
            }
        } else {
            match byte {
                b'"' => in_string = true,
                b'[' | b'{' => depth += 1,
                b']' | b'}' if depth > 0 => depth -= 1,
                b']' | b',' if depth == 0 => return at,
                _ => {}
            }
        }
        at += 1;
    }
    at.min(text.len())
}

/// Collects values instead of JSON, for parts of the server that compute with a small result.
#[derive(Debug)]
pub struct ValueCollector {
    rows_max: usize,
    bytes_max: usize,
    bytes: usize,
    columns: Vec<Column>,
    rows: Vec<Vec<Value>>,
    truncated: bool,
}

impl ValueCollector {
    /// A collector of at most `rows_max` rows and about `bytes_max` bytes of memory.
    #[must_use]
    pub fn new(rows_max: usize, bytes_max: usize) -> Self {
        Self { rows_max, bytes_max, bytes: 0, columns: Vec::new(), rows: Vec::new(), truncated: false }
    }

    /// Columns, rows, and whether something was left out.
    #[must_use]
    pub fn finish(self) -> (Vec<Column>, Vec<Vec<Value>>, bool) {
        (self.columns, self.rows, self.truncated)
    }
}

impl RowSink for ValueCollector {
    fn columns(&mut self, columns: &[Column]) -> HarvestResult<()> {
        self.columns = columns.to_vec();
        Ok(())
    }

    fn row(&mut self, row: Vec<Value>) -> HarvestResult<Flow> {
        let bytes: usize = row.iter().map(Value::size_bytes).sum();
        if self.rows.len() >= self.rows_max || self.bytes + bytes > self.bytes_max {
            self.truncated = true;
            return Ok(Flow::Stop);
        }
        self.bytes += bytes;
        self.rows.push(row);
        Ok(Flow::Continue)
    }
}

#[cfg(test)]
mod tests;
