//! Messages of the PostgreSQL wire: framing and the few forms that a proxy makes itself; it does not know a session.

use std::io;

use bytes::{Buf as _, BytesMut};
use harvest::{Column, Value};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::failure::Failure;
use crate::stream::{self, ReadSide, WriteSide};
use crate::values::{is_number, text_of};

/// Longest message of a client, in bytes.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Longest message before the login, in bytes.
pub(crate) const LOGIN_BYTES_MAX: usize = 64 * 1024;
/// Bytes read at a time.
pub(crate) const READ_BYTES: usize = 32 * 1024;

/// One end of a connection.
pub(crate) struct Wire {
    pub(crate) read: ReadSide,
    pub(crate) write: WriteSide,
    pub(crate) buffer: BytesMut,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        let (read, write) = stream::plain(stream);
        Self { read, write, buffer: BytesMut::with_capacity(READ_BYTES) }
    }

    /// Goes on under TLS, unless something was sent ahead of it.
    pub(crate) async fn secure(self, acceptor: &TlsAcceptor) -> io::Result<Self> {
        if !self.buffer.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "plain text ahead of TLS"));
        }
        let (read, write) = stream::secure(self.read, self.write, acceptor).await?;
        Ok(Self { read, write, buffer: self.buffer })
    }

    /// Reads more; `false` when the other side has gone.
    pub(crate) async fn fill(&mut self) -> io::Result<bool> {
        self.buffer.reserve(READ_BYTES);
        Ok(self.read.read_buf(&mut self.buffer).await? > 0)
    }

    /// A message without a type, as at the start of a connection.
    pub(crate) async fn untyped(&mut self) -> io::Result<Option<BytesMut>> {
        loop {
            if let Some(len) = length(&self.buffer, 0, LOGIN_BYTES_MAX)?
                && self.buffer.len() >= len
            {
                let mut message = self.buffer.split_to(len);
                message.advance(4);
                return Ok(Some(message));
            }
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    /// The next whole message: type and body.
    pub(crate) async fn message(&mut self, bytes_max: usize) -> io::Result<Option<(u8, BytesMut)>> {
        loop {
            if let Some(message) = take(&mut self.buffer, bytes_max)? {
                return Ok(Some(message));
            }
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write.write_all(bytes).await?;
        // Under TLS the last record may still be held back.
        self.write.flush().await
    }
}

/// Takes a whole message from a buffer, if one is there.
pub(crate) fn take(buffer: &mut BytesMut, bytes_max: usize) -> io::Result<Option<(u8, BytesMut)>> {
    let Some(len) = length(buffer, 1, bytes_max)? else { return Ok(None) };
    if buffer.len() <= len {
        return Ok(None);
    }
    let mut message = buffer.split_to(len + 1);
    let kind = message[0];
    message.advance(5);
    Ok(Some((kind, message)))
}

/// The length that stands at `at`, itself included.
pub(crate) fn length(buffer: &[u8], at: usize, bytes_max: usize) -> io::Result<Option<usize>> {
    let Some(bytes) = buffer.get(at..at + 4) else { return Ok(None) };
    let len = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
    if len < 4 || len > bytes_max {
        let message = format!("a message of {len} bytes; allowed are 4 to {bytes_max}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(Some(len))
}

/// A message of a type.
pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 5);
    out.push(kind);
    out.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    out.extend_from_slice(body);
    out
}

/// An error; a fatal one ends the session.
pub(crate) fn error(failure: &Failure, fatal: bool) -> Vec<u8> {
    let mut body = Vec::new();
    let severity = if fatal { "FATAL" } else { "ERROR" };
    for (kind, text) in
        [(b'S', severity), (b'V', severity), (b'C', failure.postgres_state), (b'M', failure.message.as_str())]
    {
        body.push(kind);
        body.extend_from_slice(text.replace('\0', " ").as_bytes());
        body.push(0);
    }
    body.push(0);
    message(b'E', &body)
}

/// The session takes the next statement; `status` is I, T or E.
pub(crate) fn ready(status: u8) -> Vec<u8> {
    message(b'Z', &[status])
}

/// The end of a statement.
pub(crate) fn complete(tag: &str) -> Vec<u8> {
    message(b'C', &[tag.as_bytes(), b"\0"].concat())
}

/// Columns, all in text form.
pub(crate) fn columns(columns: &[Column]) -> Vec<u8> {
    let mut body = (columns.len() as u16).to_be_bytes().to_vec();
    for column in columns {
        body.extend_from_slice(column.name.replace('\0', " ").as_bytes());
        body.push(0);
        body.extend_from_slice(&[0; 6]);
        let oid: u32 = if is_number(column) { 1700 } else { 25 };
        body.extend_from_slice(&oid.to_be_bytes());
        body.extend_from_slice(&(-1i16).to_be_bytes());
        body.extend_from_slice(&(-1i32).to_be_bytes());
        body.extend_from_slice(&0i16.to_be_bytes());
    }
    message(b'T', &body)
}

/// One row in text form.
pub(crate) fn row(row: &[Value]) -> Vec<u8> {
    let mut body = (row.len() as u16).to_be_bytes().to_vec();
    for value in row {
        match text_of(value) {
            None => body.extend_from_slice(&(-1i32).to_be_bytes()),
            Some(text) => {
                body.extend_from_slice(&(text.len() as u32).to_be_bytes());
                body.extend_from_slice(&text);
            }
        }
    }
    message(b'D', &body)
}

/// A text that ends in a zero byte.
pub(crate) fn c_text<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.iter().position(|b| *b == 0)?;
    let (head, tail) = rest.split_at(end);
    *rest = &tail[1..];
    Some(head)
}

/// A field of an ERROR message, such as `C` for the state.
pub(crate) fn error_field(body: &[u8], field: u8) -> Option<String> {
    let mut rest = body;
    loop {
        let kind = *rest.first()?;
        rest = &rest[1..];
        let text = c_text(&mut rest)?;
        if kind == field {
            return Some(String::from_utf8_lossy(text).into_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_read_back() {
        let failure = Failure::denied("no\0no".to_owned());
        let mut buffer = BytesMut::from(&error(&failure, false)[..]);
        let half = BytesMut::from(&buffer[..7]);
        assert!(take(&mut half.clone(), 100).expect("reads").is_none());
        let (kind, body) = take(&mut buffer, 1000).expect("reads").expect("whole");
        assert_eq!((kind, error_field(&body, b'C').as_deref()), (b'E', Some("42501")));
        assert_eq!(error_field(&body, b'M').as_deref(), Some("no no"));
        assert!(buffer.is_empty());
        assert!(take(&mut BytesMut::from(&b"Q\0\0\0\x01"[..]), 100).is_err());
        assert!(take(&mut BytesMut::from(&b"Q\xff\0\0\x01"[..]), 100).is_err());
    }
}
