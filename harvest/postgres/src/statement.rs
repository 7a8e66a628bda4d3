//! One statement of a caller on the wire: what it gives, how its columns are asked for, its rows; it opens no transaction.

use std::fmt::Write as _;
use std::sync::Arc;

use harvest::{
    CheckedStatement, Column, Flow, HarvestCode, HarvestError, HarvestResult, RowSink, StatementKind, Value,
};
use postgres_types::Type;

use crate::decode;
use crate::session::{Described, Session, copy_refused};
use crate::types::{self, Reading};
use crate::wire::{Body, Frame};

/// What is known of a statement's columns.
pub(crate) struct Shape {
    pub(crate) described: Described,
    pub(crate) columns: Vec<Column>,
    readings: Vec<Reading>,
    types: Vec<Type>,
}

impl Shape {
    /// Learns the types of a described statement.
    pub(crate) fn of(
        session: &mut Session,
        described: Described,
        kind: StatementKind,
    ) -> HarvestResult<Self> {
        let mut shape = Self {
            columns: Vec::with_capacity(described.columns.len()),
            readings: Vec::with_capacity(described.columns.len()),
            types: Vec::with_capacity(described.columns.len()),
            described,
        };
        for at in 0..shape.described.columns.len() {
            let oid = shape.described.columns[at].1;
            let ty = session.type_of(oid, 0)?;
            let (column, reading) = types::column(&shape.described.columns[at].0, &ty);
            let castable = kind == StatementKind::Select || reading.cast().is_none();
            shape.readings.push(if castable { reading } else { Reading::Text });
            shape.columns.push(column);
            shape.types.push(ty);
        }
        Ok(shape)
    }

    /// Whether every column is read from its binary form as it is.
    pub(crate) fn is_plain(&self) -> bool {
        self.readings.iter().all(|reading| *reading == Reading::Binary)
    }

    /// The codes of the forms that the columns are asked for.
    pub(crate) fn formats(&self) -> Vec<u8> {
        self.readings.iter().map(|reading| reading.format()).collect()
    }

    /// The statement inside one that casts what has no other exact form, if any column needs that.
    pub(crate) fn cast(&self, statement: &CheckedStatement) -> Option<String> {
        if self.readings.iter().all(|reading| reading.cast().is_none()) {
            return None;
        }
        let (mut shown, mut names) = (String::new(), String::new());
        for (index, reading) in self.readings.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let _ = write!(names, "{comma}c{index}");
            let _ = match reading.cast() {
                Some(cast) => write!(shown, "{comma}c{index}::{cast}"),
                None => write!(shown, "{comma}c{index}"),
            };
        }
        Some(format!("SELECT {shown} FROM ({}\n) AS q({names})", statement.sql))
    }

    /// Takes the types of the casts in place of the statement's own.
    pub(crate) fn cast_to(&mut self, session: &mut Session, described: &Described) -> HarvestResult<()> {
        for (ty, (_, oid)) in self.types.iter_mut().zip(&described.columns) {
            *ty = session.type_of(*oid, 0)?;
        }
        Ok(())
    }

    fn row(&self, body: &[u8], cell_bytes_max: usize) -> HarvestResult<Vec<Value>> {
        let mut body = Body(body);
        let count = usize::from(body.u16()?).min(self.columns.len());
        let mut values = Vec::with_capacity(count);
        for at in 0..count {
            values.push(match body.cell()? {
                None => Value::Null,
                Some(raw) => cut(self.cell(at, raw)?, cell_bytes_max),
            });
        }
        Ok(values)
    }

    fn cell(&self, at: usize, raw: &[u8]) -> HarvestResult<Value> {
        decode::cell(&self.types[at], self.readings[at], raw).map_err(|error| {
            let column = &self.columns[at];
            let message = format!(
                "column {:?} of type {} cannot be read: cast it to text ({error})",
                column.name, column.native_type
            );
            HarvestError::new(HarvestCode::FailedPrecondition, message)
        })
    }

    /// A row that is too long to be held as a whole: of each long cell only its beginning is kept.
    fn long_row(
        &self,
        session: &mut Session,
        frame: &mut Frame,
        cell_bytes_max: usize,
    ) -> HarvestResult<Vec<Value>> {
        let wire = &mut session.wire;
        let count = usize::from(u16::from_be_bytes(wire.part(frame)?)).min(self.columns.len());
        let mut values = Vec::with_capacity(count);
        for at in 0..count {
            let Ok(length) = usize::try_from(i32::from_be_bytes(wire.part(frame)?)) else {
                values.push(Value::Null);
                continue;
            };
            let raw = wire.long_part(frame, length, cell_bytes_max)?;
            values.push(if raw.len() == length { self.cell(at, &raw)? } else { self.beginning(at, raw)? });
        }
        Ok(values)
    }

    /// The beginning of a cell that is longer than any cell may be.
    fn beginning(&self, at: usize, raw: Vec<u8>) -> HarvestResult<Value> {
        let ty = &self.types[at];
        match (self.columns[at].element_type, self.readings[at]) {
            (Some(_), _) => {
                let column = &self.columns[at].name;
                let message = format!("a value of column {column:?} is too long: select a part of it");
                Err(HarvestError::new(HarvestCode::LimitExceeded, message))
            }
            (None, Reading::Binary) if *ty == Type::BYTEA => Ok(Value::Bytes(raw)),
            _ => {
                let mut text = String::from_utf8_lossy(&raw).into_owned();
                // The last character may have been cut in half.
                while text.ends_with(char::REPLACEMENT_CHARACTER) {
                    text.pop();
                }
                Ok(Value::Text(text))
            }
        }
    }
}

/// How reading a statement's rows has ended.
pub(crate) enum End {
    /// All rows were read.
    Whole,
    /// The sink had enough while more rows were on their way: `cancel` was called.
    Cut,
}

/// Reads the rows of a running statement up to ReadyForQuery, whatever happens to them.
pub(crate) fn rows(
    session: &mut Session,
    shape: &Shape,
    cell_bytes_max: usize,
    sink: &mut dyn RowSink,
    cancel: &dyn Fn(),
) -> HarvestResult<(End, HarvestResult<()>)> {
    loop {
        let mut frame = session.wire.next(true)?;
        let row = match frame.tag {
            b'D' if frame.left == 0 => shape.row(session.wire.body(frame), cell_bytes_max),
            b'D' => {
                let row = shape.long_row(session, &mut frame, cell_bytes_max);
                if row.as_ref().is_err_and(|error| error.connection_broken) {
                    return row.map(|_| (End::Whole, Ok(())));
                }
                session.wire.skip(&mut frame)?;
                row
            }
            b'E' => {
                let error = session.error_of(frame);
                if error.connection_broken {
                    return Err(error);
                }
                session.until_ready()?;
                return Ok((End::Whole, Err(error)));
            }
            b'Z' => return Ok((End::Whole, Ok(()))),
            b'G' | b'H' | b'W' => return Err(copy_refused()),
            _ if frame.left > 0 => {
                session.wire.skip(&mut frame)?;
                continue;
            }
            _ => continue,
        };
        let flow = row.and_then(|row| sink.row(row));
        if !matches!(flow, Ok(Flow::Continue)) {
            let end = drain(session, cancel)?;
            return Ok((end, flow.map(|_| ())));
        }
    }
}

/// Reads what is left of a statement that nobody wants any more; a server with more rows is told to stop.
fn drain(session: &mut Session, cancel: &dyn Fn()) -> HarvestResult<End> {
    loop {
        let mut frame = session.wire.next(true)?;
        match frame.tag {
            b'D' => {
                cancel();
                session.wire.skip(&mut frame)?;
                session.until_ready()?;
                return Ok(End::Cut);
            }
            b'E' => {
                session.until_ready()?;
                return Ok(End::Whole);
            }
            b'Z' => return Ok(End::Whole),
            _ => {}
        }
    }
}

/// Cuts a long text or byte cell at a character boundary.
fn cut(value: Value, cell_bytes_max: usize) -> Value {
    match value {
        Value::Text(mut text) if text.len() > cell_bytes_max => {
            let end = (0..=cell_bytes_max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
            text.truncate(end);
            text.shrink_to_fit();
            Value::Text(text)
        }
        Value::Bytes(mut bytes) if bytes.len() > cell_bytes_max => {
            bytes.truncate(cell_bytes_max);
            bytes.shrink_to_fit();
            Value::Bytes(bytes)
        }
        other => other,
    }
}

/// Parameters in the server's text form, so that the server gives each the type that the statement wants.
pub(crate) fn parameters(params: &[Value]) -> HarvestResult<Vec<u8>> {
    let refused =
        |message: &str| HarvestError::new(HarvestCode::InvalidArgument, message).with("argument", "params");
    let count = u16::try_from(params.len()).map_err(|_| refused("too many parameters"))?;
    let mut out = count.to_be_bytes().to_vec();
    for value in params {
        let text = match value {
            Value::Null => {
                out.extend_from_slice(&(-1_i32).to_be_bytes());
                continue;
            }
            Value::Bool(value) => value.to_string(),
            Value::Int(value) => value.to_string(),
            Value::UInt(value) => value.to_string(),
            Value::Float(value) => value.to_string(),
            Value::Json(value) => value.to_string(),
            Value::Decimal(text)
            | Value::Text(text)
            | Value::Date(text)
            | Value::Time(text)
            | Value::DateTime(text)
            | Value::TimestampTz(text)
            | Value::Interval(text)
            | Value::Uuid(text) => text.clone(),
            Value::Bytes(bytes) => bytes.iter().fold(String::from("\\x"), |mut hex, b| {
                let _ = write!(hex, "{b:02x}");
                hex
            }),
            Value::Array(_) => return Err(refused("arrays cannot be bound: pass the array's text form")),
        };
        if text.contains('\0') {
            return Err(refused("a parameter must not hold a NUL character"));
        }
        let length = u32::try_from(text.len()).map_err(|_| refused("a parameter is too long"))?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(text.as_bytes());
    }
    Ok(out)
}

/// Whether so many parameters were given as the statement has.
pub(crate) fn check_params(shape: &Shape, given: usize) -> HarvestResult<()> {
    let expected = shape.described.params.len();
    if expected == given {
        return Ok(());
    }
    let message = format!("the statement has {expected} parameters, {given} were given");
    Err(HarvestError::new(HarvestCode::InvalidArgument, message).with("argument", "params"))
}

/// Shapes of statements that one session has run lately, by a hash of their text.
#[derive(Default)]
pub(crate) struct Shapes {
    hasher: std::collections::hash_map::RandomState,
    known: std::collections::HashMap<u64, Arc<Shape>>,
}

/// Statements that one session remembers; then it starts again.
const SHAPES_MAX: usize = 64;
/// Columns of a statement that is remembered.
const SHAPE_COLUMNS_MAX: usize = 100;

impl Shapes {
    pub(crate) fn key(&self, sql: &str, path: &str) -> u64 {
        std::hash::BuildHasher::hash_one(&self.hasher, (sql, path))
    }

    pub(crate) fn get(&self, key: u64) -> Option<Arc<Shape>> {
        self.known.get(&key).cloned()
    }

    pub(crate) fn forget(&mut self, key: u64) {
        self.known.remove(&key);
    }

    pub(crate) fn keep(&mut self, key: u64, shape: &Arc<Shape>) {
        if !shape.is_plain() || shape.columns.len() > SHAPE_COLUMNS_MAX {
            return;
        }
        if self.known.len() >= SHAPES_MAX {
            self.known.clear();
        }
        self.known.insert(key, Arc::clone(shape));
    }
}
