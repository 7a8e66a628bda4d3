//! A session that sends commands, ours and prepared ones of callers, and reads their answers; it judges nothing.

use std::sync::Arc;

use harvest::{HarvestCode, HarvestError, HarvestResult};
use mysql_common::constants::{ColumnFlags, ColumnType};
use mysql_common::io::ParseBuf;
use mysql_common::packets::Column;
use mysql_common::proto::MyDeserialize;
use mysql_common::row::{Row, new_row};
use mysql_common::value::Value;

use crate::error::{ServerError, from_server};
use crate::wire::{Body, Message, Parts, Source, Wire, garbled, put_bytes};

const COM_QUIT: u8 = 0x01;
const COM_INIT_DB: u8 = 0x02;
const COM_QUERY: u8 = 0x03;
const COM_PING: u8 = 0x0E;
const COM_STMT_PREPARE: u8 = 0x16;
const COM_STMT_EXECUTE: u8 = 0x17;
const COM_STMT_CLOSE: u8 = 0x19;
const COM_RESET_CONNECTION: u8 = 0x1F;

/// Columns of one result.
const COLUMNS_MAX: usize = 8_192;
/// Bytes of a cell that are kept beyond the caller's bound, so that what cuts cells sees that there was more.
const BEYOND_BYTES: usize = 16;

/// A statement that the server has prepared and not run.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) id: u32,
    pub(crate) params: usize,
    pub(crate) columns: Vec<Column>,
}

/// What a server answers to a command that may give rows.
pub(crate) enum Answer {
    /// No rows.
    Done,
    /// Rows follow.
    Rows(Vec<Column>),
}

/// One open session.
pub(crate) struct Session {
    pub(crate) wire: Wire,
}

impl Session {
    pub(crate) fn new(wire: Wire) -> Self {
        Self { wire }
    }

    pub(crate) fn put_query(&mut self, sql: &str) {
        self.wire.put(COM_QUERY, |out| out.extend_from_slice(sql.as_bytes()));
    }

    pub(crate) fn put_schema(&mut self, schema: &str) {
        self.wire.put(COM_INIT_DB, |out| out.extend_from_slice(schema.as_bytes()));
    }

    pub(crate) fn put_prepare(&mut self, sql: &str) {
        self.wire.put(COM_STMT_PREPARE, |out| out.extend_from_slice(sql.as_bytes()));
    }

    pub(crate) fn put_reset(&mut self) {
        self.wire.put(COM_RESET_CONNECTION, |_| {});
    }

    pub(crate) fn put_quit(&mut self) {
        self.wire.put(COM_QUIT, |_| {});
    }

    pub(crate) fn put_ping(&mut self) {
        self.wire.put(COM_PING, |_| {});
    }

    /// Adds the command that forgets a prepared statement; the server does not answer it.
    pub(crate) fn put_close(&mut self, id: u32) {
        self.wire.put(COM_STMT_CLOSE, |out| out.extend_from_slice(&id.to_le_bytes()));
    }

    pub(crate) fn put_execute(&mut self, id: u32, params: &[Value]) {
        self.wire.put(COM_STMT_EXECUTE, |out| {
            out.extend_from_slice(&id.to_le_bytes());
            // No cursor, one turn.
            out.extend_from_slice(&[0, 1, 0, 0, 0]);
            if !params.is_empty() {
                put_params(out, params);
            }
        });
    }

    pub(crate) fn error_of(&self, message: Message) -> HarvestError {
        from_server(&ServerError::read(self.wire.body(message).get(1..).unwrap_or_default()))
    }

    /// Reads the answer to a command that gives no rows.
    pub(crate) fn done(&mut self) -> HarvestResult<()> {
        match self.answer()? {
            Answer::Done => Ok(()),
            Answer::Rows(_) => self.drain(),
        }
    }

    /// Reads the beginning of an answer.
    pub(crate) fn answer(&mut self) -> HarvestResult<Answer> {
        let message = self.wire.next(false)?;
        let body = self.wire.body(message);
        match body.first() {
            Some(0) => Ok(Answer::Done),
            Some(0xFF) => Err(self.error_of(message)),
            // A file of ours was never offered.
            Some(0xFB) | None => Err(garbled()),
            Some(_) => {
                let count = Body(body).length()?.filter(|count| *count <= COLUMNS_MAX).ok_or_else(garbled)?;
                self.columns(count).map(Answer::Rows)
            }
        }
    }

    /// Reads column definitions and the mark behind them.
    fn columns(&mut self, count: usize) -> HarvestResult<Vec<Column>> {
        let mut columns = Vec::with_capacity(count);
        if count == 0 {
            return Ok(columns);
        }
        for _ in 0..count {
            let message = self.wire.next(false)?;
            let column = Column::deserialize((), &mut ParseBuf(self.wire.body(message)));
            columns.push(column.map_err(|_| garbled())?);
        }
        let message = self.wire.next(false)?;
        if is_end(self.wire.body(message)) { Ok(columns) } else { Err(garbled()) }
    }

    /// Reads the answer to a prepare command.
    pub(crate) fn prepared(&mut self) -> HarvestResult<Prepared> {
        let message = self.wire.next(false)?;
        let mut body = Body(self.wire.body(message));
        match body.fixed::<1>()?[0] {
            0 => {}
            0xFF => return Err(self.error_of(message)),
            _ => return Err(garbled()),
        }
        let id = body.u32()?;
        let (columns, params) = (usize::from(body.u16()?), usize::from(body.u16()?));
        self.columns(params)?;
        Ok(Prepared { id, params, columns: self.columns(columns)? })
    }

    /// The next row of a prepared statement; `None` behind the last one. Cells are cut a little beyond the bound.
    pub(crate) fn row(
        &mut self,
        columns: &[Column],
        cell_bytes_max: usize,
    ) -> HarvestResult<Option<Vec<Value>>> {
        let keep = cell_bytes_max.saturating_add(BEYOND_BYTES);
        let message = self.wire.next(true)?;
        if message.in_parts {
            let row = binary_row(&mut Parts(&mut self.wire), columns, keep)?;
            self.wire.skip()?;
            return Ok(Some(row));
        }
        let body = self.wire.body(message);
        match body.first() {
            Some(0) => binary_row(&mut Body(body), columns, keep).map(Some),
            Some(0xFF) => Err(self.error_of(message)),
            Some(0xFE) if is_end(body) => Ok(None),
            _ => Err(garbled()),
        }
    }

    /// Whether a row, rather than the end, comes next; the row is thrown away.
    pub(crate) fn skip_row(&mut self) -> HarvestResult<bool> {
        let message = self.wire.next(true)?;
        if message.in_parts {
            self.wire.skip()?;
            return Ok(true);
        }
        let body = self.wire.body(message);
        match body.first() {
            Some(0xFF) => Err(self.error_of(message)),
            Some(0xFE) if is_end(body) => Ok(false),
            _ => Ok(true),
        }
    }

    /// Reads and forgets rows up to the end.
    pub(crate) fn drain(&mut self) -> HarvestResult<()> {
        while self.skip_row()? {}
        Ok(())
    }

    /// Runs a command of our own that gives no rows.
    pub(crate) fn run(&mut self, sql: &str) -> HarvestResult<()> {
        self.put_query(sql);
        self.wire.send()?;
        self.done()
    }

    /// Runs a text of our own and gives its first rows, every cell as text.
    pub(crate) fn query(&mut self, sql: &str, rows_max: usize) -> HarvestResult<Vec<Row>> {
        self.put_query(sql);
        self.wire.send()?;
        let Answer::Rows(columns) = self.answer()? else { return Ok(Vec::new()) };
        let columns: Arc<[Column]> = columns.into();
        let mut rows = Vec::new();
        loop {
            let message = self.wire.next(true)?;
            let row = if message.in_parts {
                let row = text_row(&mut Parts(&mut self.wire), columns.len())?;
                self.wire.skip()?;
                row
            } else {
                let body = self.wire.body(message);
                match body.first() {
                    Some(0xFF) => return Err(self.error_of(message)),
                    Some(0xFE) if is_end(body) => return Ok(rows),
                    _ => text_row(&mut Body(body), columns.len())?,
                }
            };
            if rows.len() < rows_max {
                rows.push(new_row(row, Arc::clone(&columns)));
            }
        }
    }

    /// Prepares and runs a statement of our own.
    pub(crate) fn exec(&mut self, sql: &str, params: &[Value]) -> HarvestResult<Vec<Row>> {
        self.put_prepare(sql);
        self.wire.send()?;
        let prepared = self.prepared()?;
        if prepared.params != params.len() {
            self.put_close(prepared.id);
            return Err(HarvestError::new(HarvestCode::Internal, "a statement of ours lacks parameters"));
        }
        self.put_execute(prepared.id, params);
        self.put_close(prepared.id);
        self.wire.send()?;
        let Answer::Rows(columns) = self.answer()? else { return Ok(Vec::new()) };
        let shared: Arc<[Column]> = columns.into();
        let mut rows = Vec::new();
        while let Some(row) = self.row(&shared, usize::MAX)? {
            rows.push(new_row(row, Arc::clone(&shared)));
        }
        Ok(rows)
    }
}

fn is_end(body: &[u8]) -> bool {
    body.first() == Some(&0xFE) && body.len() < 9
}

/// Types of the parameters, then their values.
fn put_params(out: &mut Vec<u8>, params: &[Value]) {
    let at = out.len();
    out.resize(at + params.len().div_ceil(8), 0);
    out.push(1);
    for (index, param) in params.iter().enumerate() {
        let (kind, flag) = match param {
            Value::NULL => {
                out[at + index / 8] |= 1 << (index % 8);
                (ColumnType::MYSQL_TYPE_NULL, 0)
            }
            Value::Int(_) => (ColumnType::MYSQL_TYPE_LONGLONG, 0),
            Value::UInt(_) => (ColumnType::MYSQL_TYPE_LONGLONG, 0x80),
            Value::Float(_) => (ColumnType::MYSQL_TYPE_FLOAT, 0),
            Value::Double(_) => (ColumnType::MYSQL_TYPE_DOUBLE, 0),
            // Times are never bound as such: their text is.
            Value::Bytes(_) | Value::Date(..) | Value::Time(..) => (ColumnType::MYSQL_TYPE_VAR_STRING, 0),
        };
        out.extend_from_slice(&[kind as u8, flag]);
    }
    for param in params {
        match param {
            Value::NULL => {}
            Value::Int(value) => out.extend_from_slice(&value.to_le_bytes()),
            Value::UInt(value) => out.extend_from_slice(&value.to_le_bytes()),
            Value::Float(value) => out.extend_from_slice(&value.to_le_bytes()),
            Value::Double(value) => out.extend_from_slice(&value.to_le_bytes()),
            Value::Bytes(bytes) => put_bytes(out, bytes),
            other => put_bytes(out, other.as_sql(true).trim_matches('\'').as_bytes()),
        }
    }
}

fn text_row(source: &mut impl Source, columns: usize) -> HarvestResult<Vec<Value>> {
    let mut row = Vec::with_capacity(columns);
    for _ in 0..columns {
        row.push(match source.length()? {
            Some(length) => Value::Bytes(source.long(length, usize::MAX)?),
            None => Value::NULL,
        });
    }
    Ok(row)
}

fn binary_row(source: &mut impl Source, columns: &[Column], keep: usize) -> HarvestResult<Vec<Value>> {
    source.fixed::<1>()?;
    let nulls = source.long((columns.len() + 9) / 8, usize::MAX)?;
    let mut row = Vec::with_capacity(columns.len());
    for (index, column) in columns.iter().enumerate() {
        let bit = index + 2;
        let null = nulls.get(bit / 8).is_some_and(|byte| byte & (1 << (bit % 8)) != 0);
        row.push(if null { Value::NULL } else { binary_cell(source, column, keep)? });
    }
    Ok(row)
}

fn binary_cell(source: &mut impl Source, column: &Column, keep: usize) -> HarvestResult<Value> {
    let unsigned = column.flags().contains(ColumnFlags::UNSIGNED_FLAG);
    Ok(match column.column_type() {
        ColumnType::MYSQL_TYPE_NULL => Value::NULL,
        ColumnType::MYSQL_TYPE_TINY => {
            let [byte] = source.fixed()?;
            if unsigned { Value::UInt(byte.into()) } else { Value::Int(i64::from(byte.cast_signed())) }
        }
        ColumnType::MYSQL_TYPE_SHORT | ColumnType::MYSQL_TYPE_YEAR => {
            let value = u16::from_le_bytes(source.fixed()?);
            if unsigned { Value::UInt(value.into()) } else { Value::Int(i64::from(value.cast_signed())) }
        }
        ColumnType::MYSQL_TYPE_LONG | ColumnType::MYSQL_TYPE_INT24 => {
            let value = u32::from_le_bytes(source.fixed()?);
            if unsigned { Value::UInt(value.into()) } else { Value::Int(i64::from(value.cast_signed())) }
        }
        ColumnType::MYSQL_TYPE_LONGLONG => {
            let value = u64::from_le_bytes(source.fixed()?);
            if unsigned { Value::UInt(value) } else { Value::Int(value.cast_signed()) }
        }
        ColumnType::MYSQL_TYPE_FLOAT => Value::Float(f32::from_le_bytes(source.fixed()?)),
        ColumnType::MYSQL_TYPE_DOUBLE => Value::Double(f64::from_le_bytes(source.fixed()?)),
        ColumnType::MYSQL_TYPE_TIMESTAMP | ColumnType::MYSQL_TYPE_DATE | ColumnType::MYSQL_TYPE_DATETIME => {
            moment(source)?
        }
        ColumnType::MYSQL_TYPE_TIME => span(source)?,
        _ => match source.length()? {
            Some(length) => Value::Bytes(source.long(length, keep)?),
            None => Value::NULL,
        },
    })
}

fn moment(source: &mut impl Source) -> HarvestResult<Value> {
    let [length] = source.fixed()?;
    if !matches!(length, 0 | 4 | 7 | 11) {
        return Err(garbled());
    }
    let (mut year, mut rest, mut micros) = (0, [0_u8; 5], 0);
    if length >= 4 {
        year = source.u16()?;
        [rest[0], rest[1]] = source.fixed()?;
    }
    if length >= 7 {
        [rest[2], rest[3], rest[4]] = source.fixed()?;
    }
    if length == 11 {
        micros = source.u32()?;
    }
    Ok(Value::Date(year, rest[0], rest[1], rest[2], rest[3], rest[4], micros))
}

fn span(source: &mut impl Source) -> HarvestResult<Value> {
    let [length] = source.fixed()?;
    match length {
        0 => return Ok(Value::Time(false, 0, 0, 0, 0, 0)),
        8 | 12 => {}
        _ => return Err(garbled()),
    }
    let [negative] = source.fixed()?;
    let days = source.u32()?;
    let [hours, minutes, seconds] = source.fixed()?;
    let micros = if length == 12 { source.u32()? } else { 0 };
    Ok(Value::Time(negative != 0, days, hours, minutes, seconds, micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(kind: ColumnType, flags: ColumnFlags) -> Column {
        Column::new(kind).with_flags(flags)
    }

    #[test]
    fn rows_are_read_by_the_types_of_their_columns() {
        let columns = [
            column(ColumnType::MYSQL_TYPE_TINY, ColumnFlags::empty()),
            column(ColumnType::MYSQL_TYPE_LONGLONG, ColumnFlags::UNSIGNED_FLAG),
            column(ColumnType::MYSQL_TYPE_VAR_STRING, ColumnFlags::empty()),
            column(ColumnType::MYSQL_TYPE_DATETIME, ColumnFlags::empty()),
            column(ColumnType::MYSQL_TYPE_TIME, ColumnFlags::empty()),
            column(ColumnType::MYSQL_TYPE_DOUBLE, ColumnFlags::empty()),
        ];
        let mut bytes = vec![0, 0b1000_0000, 0xFF];
        bytes.extend_from_slice(&u64::MAX.to_le_bytes());
        bytes.extend_from_slice(&[3, b'a', b'b', b'c', 4, 0xE8, 7, 2, 29, 0]);
        let row = binary_row(&mut Body(&bytes), &columns, 2).expect("reads");
        assert_eq!(
            row,
            [
                Value::Int(-1),
                Value::UInt(u64::MAX),
                Value::Bytes(b"ab".to_vec()),
                Value::Date(2024, 2, 29, 0, 0, 0, 0),
                Value::Time(false, 0, 0, 0, 0, 0),
                Value::NULL,
            ]
        );
    }

    #[test]
    fn broken_rows_are_errors() {
        let kinds = [
            ColumnType::MYSQL_TYPE_DATETIME,
            ColumnType::MYSQL_TYPE_TIME,
            ColumnType::MYSQL_TYPE_LONG,
            ColumnType::MYSQL_TYPE_BLOB,
        ];
        for kind in kinds {
            for bytes in [&[][..], &[0, 0], &[0, 0, 0xFC], &[0, 0, 200]] {
                assert!(binary_row(&mut Body(bytes), &[column(kind, ColumnFlags::empty())], 9).is_err());
            }
        }
    }

    #[test]
    fn parameters_carry_their_types() {
        let mut out = Vec::new();
        put_params(&mut out, &[Value::NULL, Value::Int(-1), Value::Bytes(b"x".to_vec())]);
        assert_eq!(out[..8], [1, 1, 6, 0, 8, 0, 253, 0]);
        assert_eq!(out[8..], [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, b'x']);
    }
}
