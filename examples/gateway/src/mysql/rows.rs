//! Result sets that the proxy itself gives, in the text form of the MySQL wire; it does not know where they come from.

use std::io;

use harvest::{Column, Value};
use harvest_gateway::RowSet;
use tokio::io::AsyncWriteExt as _;

use crate::mysql::packet::{Wire, eof_packet, put_lenenc, put_text};
use crate::values::{is_number, text_of};

/// A column definition: every value travels as text, numbers are marked as such.
pub(crate) fn column_packet(name: &str, number: bool, binary: bool) -> Vec<u8> {
    let mut body = Vec::new();
    put_text(&mut body, b"def");
    for text in ["", "", "", name, ""] {
        put_text(&mut body, text.as_bytes());
    }
    put_lenenc(&mut body, 12);
    body.extend_from_slice(&if binary { 63u16 } else { 45u16 }.to_le_bytes());
    body.extend_from_slice(&0x00ff_ffffu32.to_le_bytes());
    // DECIMAL (new) is text on both forms of the wire, and clients treat it as a number.
    body.push(if number { 0xf6 } else { 0xfd });
    body.extend_from_slice(&[0, 0, if number { 31 } else { 0 }, 0, 0]);
    body
}

/// Columns and the end marker behind them.
pub(crate) async fn send_columns(wire: &mut Wire, columns: &[Column], status: u16) -> io::Result<()> {
    let mut head = Vec::new();
    put_lenenc(&mut head, columns.len() as u64);
    wire.send(&head).await?;
    for column in columns {
        wire.send(&column_packet(&column.name, is_number(column), false)).await?;
    }
    wire.send(&eof_packet(status)).await
}

/// One row as text.
pub(crate) fn row_packet(row: &[Value]) -> Vec<u8> {
    let mut body = Vec::new();
    for value in row {
        match text_of(value) {
            None => body.push(0xfb),
            Some(text) => put_text(&mut body, &text),
        }
    }
    body
}

/// A whole small result.
pub(crate) async fn send_set(wire: &mut Wire, set: &RowSet, status: u16) -> io::Result<()> {
    send_columns(wire, &set.columns, status).await?;
    for row in &set.rows {
        wire.send(&row_packet(row)).await?;
    }
    wire.send(&eof_packet(status)).await?;
    wire.write.flush().await
}
