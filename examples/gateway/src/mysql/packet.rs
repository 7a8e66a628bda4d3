//! Packets of the MySQL wire: framing, the few encodings that a proxy needs; it does not know what they mean.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader, BufWriter};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::failure::Failure;
use crate::stream::{self, ReadSide, WriteSide};

/// Longest command of a client, in bytes.
pub(crate) const COMMAND_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Longest part of a packet.
pub(crate) const PART_BYTES_MAX: usize = 0x00ff_ffff;
/// Buffer of one direction, in bytes.
const BUFFER_BYTES: usize = 32 * 1024;

/// The session may send several statements at once.
pub(crate) const CLIENT_MULTI_STATEMENTS: u32 = 1 << 16;
pub(crate) const CLIENT_CONNECT_WITH_DB: u32 = 1 << 3;
pub(crate) const CLIENT_SSL: u32 = 1 << 11;
pub(crate) const CLIENT_PROTOCOL_41: u32 = 1 << 9;
pub(crate) const CLIENT_SECURE_CONNECTION: u32 = 1 << 15;
pub(crate) const CLIENT_PLUGIN_AUTH: u32 = 1 << 19;
pub(crate) const CLIENT_CONNECT_ATTRS: u32 = 1 << 20;
pub(crate) const CLIENT_PLUGIN_AUTH_LENENC: u32 = 1 << 21;
/// What both sides may agree on. Result packets are passed on as they are, so it is the same on both sides.
/// Without: TLS, which is agreed on hop by hop, compression, LOAD DATA LOCAL (the server would ask the client for files), the OK packet as end of rows.
pub(crate) const CAPABILITIES: u32 = 1
    | 1 << 1
    | 1 << 2
    | CLIENT_CONNECT_WITH_DB
    | 1 << 8
    | CLIENT_PROTOCOL_41
    | 1 << 10
    | 1 << 13
    | CLIENT_SECURE_CONNECTION
    | CLIENT_MULTI_STATEMENTS
    | 1 << 17
    | 1 << 18
    | CLIENT_PLUGIN_AUTH
    | CLIENT_CONNECT_ATTRS
    | CLIENT_PLUGIN_AUTH_LENENC;

pub(crate) const STATUS_IN_TRANS: u16 = 1;
pub(crate) const STATUS_AUTOCOMMIT: u16 = 2;
pub(crate) const STATUS_MORE_RESULTS: u16 = 8;
pub(crate) const STATUS_CURSOR_EXISTS: u16 = 64;

/// One end of a connection.
pub(crate) struct Wire {
    pub(crate) read: BufReader<ReadSide>,
    pub(crate) write: BufWriter<WriteSide>,
    /// Number of the next packet to be written.
    pub(crate) sequence: u8,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        let (read, write) = stream::plain(stream);
        Self::over(read, write, 0)
    }

    fn over(read: ReadSide, write: WriteSide, sequence: u8) -> Self {
        Self {
            read: BufReader::with_capacity(BUFFER_BYTES, read),
            write: BufWriter::with_capacity(BUFFER_BYTES, write),
            sequence,
        }
    }

    /// Goes on under TLS, unless something was sent ahead of it.
    pub(crate) async fn secure(self, acceptor: &TlsAcceptor) -> io::Result<Self> {
        if !self.read.buffer().is_empty() || !self.write.buffer().is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "plain text ahead of TLS"));
        }
        let (read, write) = (self.read.into_inner(), self.write.into_inner());
        let (read, write) = stream::secure(read, write, acceptor).await?;
        Ok(Self::over(read, write, self.sequence))
    }

    /// The header of the next part: length and number. `None` when the other side has gone.
    pub(crate) async fn header(&mut self) -> io::Result<Option<(usize, u8)>> {
        let mut head = [0; 4];
        match self.read.read_exact(&mut head).await {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        Ok(Some((usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16, head[3])))
    }

    /// The next whole packet, its parts joined. The number of the answer follows from it.
    pub(crate) async fn packet(&mut self, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
        let mut all = Vec::new();
        loop {
            let Some((len, sequence)) = self.header().await? else { return Ok(None) };
            self.sequence = sequence.wrapping_add(1);
            if all.len() + len > bytes_max {
                let message = format!("a packet has more than {bytes_max} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            let start = all.len();
            all.resize(start + len, 0);
            self.read.read_exact(&mut all[start..]).await?;
            if len < PART_BYTES_MAX {
                return Ok(Some(all));
            }
        }
    }

    /// As [`packet`](Self::packet), but the other side has to be there.
    pub(crate) async fn expect(&mut self, bytes_max: usize) -> io::Result<Vec<u8>> {
        self.packet(bytes_max).await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Writes one packet, in parts if it is long.
    pub(crate) async fn send(&mut self, body: &[u8]) -> io::Result<()> {
        let mut rest = body;
        loop {
            let len = rest.len().min(PART_BYTES_MAX);
            self.send_header(len).await?;
            self.write.write_all(&rest[..len]).await?;
            rest = &rest[len..];
            if len < PART_BYTES_MAX {
                return Ok(());
            }
        }
    }

    /// Writes the header of a part that follows.
    pub(crate) async fn send_header(&mut self, len: usize) -> io::Result<()> {
        let bytes = (len as u32).to_le_bytes();
        self.write.write_all(&[bytes[0], bytes[1], bytes[2], self.sequence]).await?;
        self.sequence = self.sequence.wrapping_add(1);
        Ok(())
    }

    pub(crate) async fn send_error(&mut self, failure: &Failure) -> io::Result<()> {
        self.send(&error_packet(failure)).await?;
        self.write.flush().await
    }

    pub(crate) async fn send_ok(
        &mut self,
        affected: u64,
        last_id: u64,
        status: u16,
        info: &str,
    ) -> io::Result<()> {
        let mut body = vec![0];
        put_lenenc(&mut body, affected);
        put_lenenc(&mut body, last_id);
        body.extend_from_slice(&status.to_le_bytes());
        body.extend_from_slice(&[0, 0]);
        body.extend_from_slice(info.as_bytes());
        self.send(&body).await?;
        self.write.flush().await
    }
}

/// An ERR packet.
pub(crate) fn error_packet(failure: &Failure) -> Vec<u8> {
    let mut body = vec![0xff];
    body.extend_from_slice(&failure.mysql_errno.to_le_bytes());
    body.push(b'#');
    body.extend_from_slice(failure.mysql_state.as_bytes());
    body.extend_from_slice(failure.message.as_bytes());
    body
}

/// An EOF packet.
pub(crate) fn eof_packet(status: u16) -> [u8; 5] {
    let status = status.to_le_bytes();
    [0xfe, 0, 0, status[0], status[1]]
}

/// Writes a length-encoded number.
pub(crate) fn put_lenenc(out: &mut Vec<u8>, value: u64) {
    match value {
        0..=250 => out.push(value as u8),
        251..=0xffff => {
            out.push(0xfc);
            out.extend_from_slice(&(value as u16).to_le_bytes());
        }
        0x1_0000..=0xff_ffff => {
            out.push(0xfd);
            out.extend_from_slice(&(value as u32).to_le_bytes()[..3]);
        }
        _ => {
            out.push(0xfe);
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
}

/// Writes a length-encoded text.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    put_lenenc(out, text.len() as u64);
    out.extend_from_slice(text);
}

/// Reads what a packet holds; every step may find it too short.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|b| b[0])
    }

    /// A little-endian number of `len` bytes, at most 8.
    pub(crate) fn int(&mut self, len: usize) -> Option<u64> {
        let bytes = self.take(len.min(8))?;
        Some(bytes.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte)))
    }

    pub(crate) fn lenenc(&mut self) -> Option<u64> {
        match self.u8()? {
            0xfc => self.int(2),
            0xfd => self.int(3),
            0xfe => self.int(8),
            0xfb | 0xff => None,
            small => Some(u64::from(small)),
        }
    }

    pub(crate) fn text(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.lenenc()?).ok()?;
        self.take(len)
    }

    /// A text that ends in a zero byte, or with the packet.
    pub(crate) fn c_text(&mut self) -> &'a [u8] {
        let end = self.rest.iter().position(|b| *b == 0);
        let head = &self.rest[..end.unwrap_or(self.rest.len())];
        self.rest = &self.rest[end.map_or(self.rest.len(), |at| at + 1)..];
        head
    }
}

/// Affected rows and status of an OK packet.
pub(crate) fn read_ok(body: &[u8]) -> Option<(u64, u16)> {
    let mut reader = Reader::new(body.get(1..)?);
    let affected = reader.lenenc()?;
    reader.lenenc()?;
    Some((affected, reader.int(2)? as u16))
}

/// Number and message of an ERR packet.
pub(crate) fn read_error(body: &[u8]) -> (u16, String) {
    let mut reader = Reader::new(body.get(1..).unwrap_or_default());
    let errno = reader.int(2).unwrap_or(0) as u16;
    let text = match reader.rest.first() {
        Some(b'#') => reader.rest.get(6..).unwrap_or_default(),
        _ => reader.rest,
    };
    (errno, String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_read_back() {
        for value in [0, 250, 251, 0xffff, 0x1_0000, 0xff_ffff, 0x100_0000, u64::MAX] {
            let mut out = Vec::new();
            put_lenenc(&mut out, value);
            let mut reader = Reader::new(&out);
            assert_eq!(reader.lenenc(), Some(value));
            assert!(reader.rest.is_empty());
            assert_eq!(Reader::new(&out[..out.len() - 1]).lenenc(), None);
        }
        let mut reader = Reader::new(b"ab\0cd");
        assert_eq!((reader.c_text(), reader.c_text(), reader.c_text()), (&b"ab"[..], &b"cd"[..], &b""[..]));
        assert_eq!(Reader::new(&[5, b'a']).text(), None);
    }

    #[test]
    fn errors_read_back() {
        let failure = Failure::denied("no".to_owned());
        assert_eq!(read_error(&error_packet(&failure)), (1313, "no".to_owned()));
        assert_eq!(read_error(&[0xff]), (0, String::new()));
        assert_eq!(read_ok(&[0, 3, 0, 1, 0, 0, 0]), Some((3, 1)));
        assert_eq!(read_ok(&[0]), None);
    }
}
