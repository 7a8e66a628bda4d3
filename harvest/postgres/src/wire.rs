//! The frames of PostgreSQL's protocol over a blocking socket, out in batches and in one by one; it knows no statement.

use std::io::{self, Read, Write};
use std::net::TcpStream;
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::time::Duration;

use harvest::{HarvestCode, HarvestError, HarvestResult};
use rustls::{ClientConnection, StreamOwned};

/// Bytes asked of the socket at once.
const READ_BYTES: usize = 32 << 10;
/// A longer frame is not held as a whole where its reader can take it in parts, in bytes.
pub(crate) const FRAME_WHOLE_BYTES_MAX: usize = 1 << 20;
/// No frame of a sane server is longer, in bytes.
const FRAME_BYTES_MAX: usize = (1 << 30) + (64 << 20);
/// A buffer that grew beyond this is given back, in bytes.
const KEPT_BYTES_MAX: usize = 256 << 10;

/// A socket, plain or not.
pub(crate) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    pub(crate) fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.set_nonblocking(on),
            #[cfg(unix)]
            Self::Unix(socket) => socket.set_nonblocking(on),
            Self::Tls(stream) => stream.sock.set_nonblocking(on),
        }
    }

    pub(crate) fn set_timeouts(&self, read: Duration, write: Duration) -> io::Result<()> {
        let (read, write) = (Some(read), Some(write));
        match self {
            Self::Tcp(socket) => socket.set_read_timeout(read).and_then(|()| socket.set_write_timeout(write)),
            #[cfg(unix)]
            Self::Unix(socket) => {
                socket.set_read_timeout(read).and_then(|()| socket.set_write_timeout(write))
            }
            Self::Tls(stream) => {
                stream.sock.set_read_timeout(read).and_then(|()| stream.sock.set_write_timeout(write))
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.read(into),
            #[cfg(unix)]
            Self::Unix(socket) => socket.read(into),
            Self::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.write(from),
            #[cfg(unix)]
            Self::Unix(socket) => socket.write(from),
            Self::Tls(stream) => stream.write(from),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.flush(),
            #[cfg(unix)]
            Self::Unix(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// The head of a frame, or the whole of it where it is short enough.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) tag: u8,
    from: usize,
    to: usize,
    /// Bytes of the body that are still on their way: 0 for a whole frame.
    pub(crate) left: usize,
}

/// A socket with its buffers.
pub(crate) struct Wire {
    stream: Stream,
    input: Vec<u8>,
    start: usize,
    end: usize,
    output: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, input: Vec::new(), start: 0, end: 0, output: Vec::with_capacity(1_024) }
    }

    pub(crate) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Adds a frame to the batch that the next [`send`](Self::send) takes along.
    pub(crate) fn put(&mut self, tag: u8, body: impl FnOnce(&mut Vec<u8>)) {
        self.output.push(tag);
        self.put_untagged(body);
    }

    /// As [`put`](Self::put), for the first frame of a session, which has no tag.
    pub(crate) fn put_untagged(&mut self, body: impl FnOnce(&mut Vec<u8>)) {
        let at = self.output.len();
        self.output.extend_from_slice(&[0; 4]);
        body(&mut self.output);
        // Texts that would not fit are refused long before.
        let length = u32::try_from(self.output.len() - at).unwrap_or(u32::MAX);
        self.output[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }

    /// Sends the batch.
    pub(crate) fn send(&mut self) -> HarvestResult<()> {
        let sent = self.stream.write_all(&self.output).and_then(|()| self.stream.flush());
        self.output.clear();
        self.output.shrink_to(KEPT_BYTES_MAX);
        sent.map_err(|_| lost())
    }

    /// The next frame; only its head if it is longer than [`FRAME_WHOLE_BYTES_MAX`] and `in_parts` allows that.
    pub(crate) fn next(&mut self, in_parts: bool) -> HarvestResult<Frame> {
        self.need(5)?;
        let head = &self.input[self.start..self.start + 5];
        let tag = head[0];
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let body = length.checked_sub(4).filter(|body| *body <= FRAME_BYTES_MAX).ok_or_else(garbled)?;
        if in_parts && body > FRAME_WHOLE_BYTES_MAX {
            self.start += 5;
            return Ok(Frame { tag, from: self.start, to: self.start, left: body });
        }
        self.need(5 + body)?;
        let from = self.start + 5;
        self.start = from + body;
        Ok(Frame { tag, from, to: self.start, left: 0 })
    }

    /// The body of a whole frame; valid until the next frame is asked for.
    pub(crate) fn body(&self, frame: Frame) -> &[u8] {
        self.input.get(frame.from..frame.to).unwrap_or_default()
    }

    /// The next `N` bytes of a frame that comes in parts.
    pub(crate) fn part<const N: usize>(&mut self, frame: &mut Frame) -> HarvestResult<[u8; N]> {
        frame.left = frame.left.checked_sub(N).ok_or_else(garbled)?;
        self.need(N)?;
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.input[self.start..self.start + N]);
        self.start += N;
        Ok(bytes)
    }

    /// The next `length` bytes of a frame that comes in parts; what lies beyond `keep` is thrown away.
    pub(crate) fn long_part(
        &mut self,
        frame: &mut Frame,
        length: usize,
        keep: usize,
    ) -> HarvestResult<Vec<u8>> {
        frame.left = frame.left.checked_sub(length).ok_or_else(garbled)?;
        let mut kept = Vec::with_capacity(length.min(keep));
        let mut missing = length;
        while missing > 0 {
            self.need(1)?;
            let have = (self.end - self.start).min(missing);
            let wanted = have.min(keep - kept.len().min(keep));
            kept.extend_from_slice(&self.input[self.start..self.start + wanted]);
            self.start += have;
            missing -= have;
        }
        Ok(kept)
    }

    /// Throws away what is left of a frame that comes in parts.
    pub(crate) fn skip(&mut self, frame: &mut Frame) -> HarvestResult<()> {
        self.long_part(frame, frame.left, 0).map(drop)
    }

    /// Whether the peer is gone or says something unasked, seen without waiting.
    pub(crate) fn is_dead(&mut self) -> bool {
        if self.start == self.end {
            self.make_room(READ_BYTES);
            if self.stream.set_nonblocking(true).is_err() {
                return true;
            }
            let got = self.stream.read(&mut self.input[self.end..]);
            if self.stream.set_nonblocking(false).is_err() {
                return true;
            }
            match got {
                Ok(0) => return true,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => return true,
            }
        }
        while self.start < self.end {
            match self.next(false) {
                Ok(Frame { tag: b'N' | b'S' | b'A', .. }) => {}
                _ => return true,
            }
        }
        false
    }

    /// Makes sure that so many bytes of input are there.
    fn need(&mut self, count: usize) -> HarvestResult<()> {
        while self.end - self.start < count {
            let missing = count - (self.end - self.start);
            self.make_room(missing.max(READ_BYTES));
            match self.stream.read(&mut self.input[self.end..]) {
                Ok(0) => return Err(lost()),
                Ok(got) => self.end += got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(lost()),
            }
        }
        Ok(())
    }

    fn make_room(&mut self, count: usize) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.input.len() > KEPT_BYTES_MAX && count <= KEPT_BYTES_MAX {
                self.input.truncate(KEPT_BYTES_MAX);
                self.input.shrink_to(KEPT_BYTES_MAX);
            }
        } else if self.input.len() - self.end < count {
            self.input.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.input.len() < self.end + count {
            self.input.resize(self.end + count, 0);
        }
    }
}

/// The connection is gone.
pub(crate) fn lost() -> HarvestError {
    HarvestError::new(HarvestCode::Unavailable, "the connection to the server was lost").broken()
}

/// What came is no frame of this protocol.
pub(crate) fn garbled() -> HarvestError {
    HarvestError::new(HarvestCode::Unavailable, "the server's answer is not understood").broken()
}

/// Adds a text that ends with NUL.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}

/// Reads the parts of a frame's body in order.
pub(crate) struct Body<'a>(pub(crate) &'a [u8]);

impl<'a> Body<'a> {
    pub(crate) fn bytes(&mut self, count: usize) -> HarvestResult<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(garbled)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn int<const N: usize>(&mut self) -> HarvestResult<[u8; N]> {
        self.bytes(N)?.try_into().map_err(|_| garbled())
    }

    pub(crate) fn u8(&mut self) -> HarvestResult<u8> {
        Ok(self.int::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> HarvestResult<u16> {
        Ok(u16::from_be_bytes(self.int()?))
    }

    pub(crate) fn u32(&mut self) -> HarvestResult<u32> {
        Ok(u32::from_be_bytes(self.int()?))
    }

    pub(crate) fn i32(&mut self) -> HarvestResult<i32> {
        Ok(i32::from_be_bytes(self.int()?))
    }

    /// A text that ends with NUL.
    pub(crate) fn text(&mut self) -> HarvestResult<&'a str> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or_else(garbled)?;
        let text = std::str::from_utf8(self.bytes(end)?).unwrap_or("?");
        self.bytes(1)?;
        Ok(text)
    }

    /// A cell with its length in front; `None` is NULL.
    pub(crate) fn cell(&mut self) -> HarvestResult<Option<&'a [u8]>> {
        match usize::try_from(self.i32()?) {
            Ok(length) => self.bytes(length).map(Some),
            Err(_) => Ok(None),
        }
    }
}
