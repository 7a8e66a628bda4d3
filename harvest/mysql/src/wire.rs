//! The packets of MySQL's protocol over a blocking socket, out in batches and in one by one; it knows no statement.

use std::io::{self, Read, Write};
use std::net::TcpStream;
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::time::Duration;

use harvest::{HarvestCode, HarvestError, HarvestResult};
use rustls::{ClientConnection, StreamOwned};

/// Bytes asked of the socket at once.
const READ_BYTES: usize = 32 << 10;
/// A longer message is not held as a whole where its reader can take it in parts, in bytes.
const WHOLE_BYTES_MAX: usize = 1 << 20;
/// The length of a packet that another packet goes on from, in bytes.
const PACKET_BYTES: usize = 0xFF_FFFF;
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
    /// Whether nobody on the way can listen: TLS, or no network at all.
    pub(crate) fn is_private(&self) -> bool {
        !matches!(self, Self::Tcp(_))
    }

    fn set_nonblocking(&self, on: bool) -> io::Result<()> {
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

/// A message from the server: whole, or to be taken in parts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message {
    from: usize,
    to: usize,
    pub(crate) in_parts: bool,
}

/// A socket with its buffers.
pub(crate) struct Wire {
    stream: Stream,
    input: Vec<u8>,
    start: usize,
    end: usize,
    output: Vec<u8>,
    /// Number of the packet that came last.
    number: u8,
    /// Bytes of the packet taken in parts that are still on their way, and whether another packet goes on from it.
    left: usize,
    goes_on: bool,
}

impl Wire {
    pub(crate) fn new(stream: Stream) -> Self {
        Self {
            stream,
            input: Vec::new(),
            start: 0,
            end: 0,
            output: Vec::with_capacity(1_024),
            number: 0,
            left: 0,
            goes_on: false,
        }
    }

    pub(crate) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Number of the packet that came last, which answers count on from.
    pub(crate) fn number(&self) -> u8 {
        self.number
    }

    /// Goes on counting from here.
    pub(crate) fn set_number(&mut self, number: u8) {
        self.number = number;
    }

    /// Gives the socket for another layer to be put around it; what was read ahead, which should be nothing, is lost.
    pub(crate) fn into_stream(self) -> Stream {
        self.stream
    }

    /// Adds a command to the batch that the next [`send`](Self::send) takes along.
    pub(crate) fn put(&mut self, command: u8, body: impl FnOnce(&mut Vec<u8>)) {
        self.put_numbered(0, |out| {
            out.push(command);
            body(out);
        });
    }

    /// Adds an answer within a conversation.
    pub(crate) fn put_answer(&mut self, body: impl FnOnce(&mut Vec<u8>)) {
        self.put_numbered(self.number.wrapping_add(1), body);
    }

    fn put_numbered(&mut self, number: u8, body: impl FnOnce(&mut Vec<u8>)) {
        let at = self.output.len();
        self.output.extend_from_slice(&[0; 4]);
        body(&mut self.output);
        let length = self.output.len() - at - 4;
        if length < PACKET_BYTES {
            self.output[at..at + 4].copy_from_slice(&head(length, number));
            return;
        }
        let whole = self.output.split_off(at + 4);
        self.output.truncate(at);
        let mut number = number;
        let mut rest = whole.as_slice();
        loop {
            let (packet, behind) = rest.split_at(rest.len().min(PACKET_BYTES));
            self.output.extend_from_slice(&head(packet.len(), number));
            self.output.extend_from_slice(packet);
            if packet.len() < PACKET_BYTES {
                return;
            }
            number = number.wrapping_add(1);
            rest = behind;
        }
    }

    /// Sends the batch.
    pub(crate) fn send(&mut self) -> HarvestResult<()> {
        let sent = self.stream.write_all(&self.output).and_then(|()| self.stream.flush());
        self.output.clear();
        self.output.shrink_to(KEPT_BYTES_MAX);
        sent.map_err(|_| lost())
    }

    /// The next message; one longer than a mebibyte comes in parts if `in_parts` allows that.
    pub(crate) fn next(&mut self, in_parts: bool) -> HarvestResult<Message> {
        let length = self.packet()?;
        if length > WHOLE_BYTES_MAX && in_parts {
            (self.left, self.goes_on) = (length, length == PACKET_BYTES);
            return Ok(Message { from: self.start, to: self.start, in_parts: true });
        }
        if length == PACKET_BYTES {
            return Err(garbled());
        }
        self.need(length)?;
        let from = self.start;
        self.start += length;
        Ok(Message { from, to: self.start, in_parts: false })
    }

    /// The body of a whole message; valid until the next one is asked for.
    pub(crate) fn body(&self, message: Message) -> &[u8] {
        self.input.get(message.from..message.to).unwrap_or_default()
    }

    /// The next `length` bytes of a message that comes in parts; what lies beyond `keep` is thrown away.
    pub(crate) fn part(&mut self, length: usize, keep: usize) -> HarvestResult<Vec<u8>> {
        let mut kept = Vec::with_capacity(length.min(keep).min(WHOLE_BYTES_MAX));
        let mut missing = length;
        while missing > 0 {
            if self.left == 0 {
                if !self.goes_on {
                    return Err(garbled());
                }
                self.left = self.packet()?;
                self.goes_on = self.left == PACKET_BYTES;
                continue;
            }
            self.need(1)?;
            let have = (self.end - self.start).min(missing).min(self.left);
            let wanted = have.min(keep.saturating_sub(kept.len()));
            kept.extend_from_slice(&self.input[self.start..self.start + wanted]);
            self.start += have;
            self.left -= have;
            missing -= have;
        }
        Ok(kept)
    }

    /// Throws away what is left of a message that comes in parts.
    pub(crate) fn skip(&mut self) -> HarvestResult<()> {
        loop {
            let left = self.left;
            self.part(left, 0)?;
            if !self.goes_on {
                return Ok(());
            }
            self.left = self.packet()?;
            self.goes_on = self.left == PACKET_BYTES;
        }
    }

    /// Whether the peer is gone or says something unasked, seen without waiting.
    pub(crate) fn is_dead(&mut self) -> bool {
        if self.start < self.end {
            return true;
        }
        self.make_room(READ_BYTES);
        if self.stream.set_nonblocking(true).is_err() {
            return true;
        }
        let got = self.stream.read(&mut self.input[self.end..]);
        if self.stream.set_nonblocking(false).is_err() {
            return true;
        }
        // Nothing comes unasked but a farewell.
        !got.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Takes the head of the next packet and gives the length of its body.
    fn packet(&mut self) -> HarvestResult<usize> {
        self.need(4)?;
        let head = &self.input[self.start..self.start + 4];
        let length = usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16;
        self.number = head[3];
        self.start += 4;
        Ok(length)
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

fn head(length: usize, number: u8) -> [u8; 4] {
    let bytes = length.to_le_bytes();
    [bytes[0], bytes[1], bytes[2], number]
}

/// The connection is gone.
pub(crate) fn lost() -> HarvestError {
    HarvestError::new(HarvestCode::Unavailable, "the connection to the server was lost").broken()
}

/// What came is nothing of this protocol.
pub(crate) fn garbled() -> HarvestError {
    HarvestError::new(HarvestCode::Unavailable, "the server's answer is not understood").broken()
}

/// Adds a text that ends with NUL.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}

/// Adds bytes with their length in front.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = bytes.len() as u64;
    let le = length.to_le_bytes();
    match length {
        0..=250 => out.push(le[0]),
        251..=0xFFFF => {
            out.push(0xFC);
            out.extend_from_slice(&le[..2]);
        }
        0x1_0000..=0xFF_FFFF => {
            out.push(0xFD);
            out.extend_from_slice(&le[..3]);
        }
        _ => {
            out.push(0xFE);
            out.extend_from_slice(&le);
        }
    }
    out.extend_from_slice(bytes);
}

/// Where the cells of a row come from.
pub(crate) trait Source {
    /// The next `N` bytes.
    fn fixed<const N: usize>(&mut self) -> HarvestResult<[u8; N]>;
    /// The next `length` bytes; what lies beyond `keep` may be left out.
    fn long(&mut self, length: usize, keep: usize) -> HarvestResult<Vec<u8>>;

    /// A length in the protocol's compact form; `None` is the mark of NULL.
    fn length(&mut self) -> HarvestResult<Option<usize>> {
        let length = match self.fixed::<1>()?[0] {
            0xFB => return Ok(None),
            0xFC => u64::from(u16::from_le_bytes(self.fixed()?)),
            0xFD => {
                let [a, b, c] = self.fixed()?;
                u64::from(u32::from_le_bytes([a, b, c, 0]))
            }
            0xFE => u64::from_le_bytes(self.fixed()?),
            0xFF => return Err(garbled()),
            short => u64::from(short),
        };
        usize::try_from(length).map(Some).map_err(|_| garbled())
    }

    fn u16(&mut self) -> HarvestResult<u16> {
        Ok(u16::from_le_bytes(self.fixed()?))
    }

    fn u32(&mut self) -> HarvestResult<u32> {
        Ok(u32::from_le_bytes(self.fixed()?))
    }
}

/// The body of a whole message.
pub(crate) struct Body<'a>(pub(crate) &'a [u8]);

impl<'a> Body<'a> {
    pub(crate) fn bytes(&mut self, count: usize) -> HarvestResult<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(garbled)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Bytes up to the next NUL, or to the end where there is none.
    pub(crate) fn until_nul(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|byte| *byte == 0);
        let (text, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest.get(1..).unwrap_or_default();
        text
    }
}

impl Source for Body<'_> {
    fn fixed<const N: usize>(&mut self) -> HarvestResult<[u8; N]> {
        self.bytes(N)?.try_into().map_err(|_| garbled())
    }

    fn long(&mut self, length: usize, keep: usize) -> HarvestResult<Vec<u8>> {
        Ok(self.bytes(length)?[..length.min(keep)].to_vec())
    }
}

/// A message that comes in parts.
pub(crate) struct Parts<'a>(pub(crate) &'a mut Wire);

impl Source for Parts<'_> {
    fn fixed<const N: usize>(&mut self) -> HarvestResult<[u8; N]> {
        self.0.part(N, N)?.try_into().map_err(|_| garbled())
    }

    fn long(&mut self, length: usize, keep: usize) -> HarvestResult<Vec<u8>> {
        self.0.part(length, keep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_compact_and_read_back() {
        for length in [0_usize, 250, 251, 0xFFFF, 0x1_0000] {
            let mut out = Vec::new();
            put_bytes(&mut out, &vec![7; length]);
            let mut body = Body(&out);
            assert_eq!(body.length().expect("reads"), Some(length));
            assert_eq!(body.long(length, 3).expect("reads").len(), length.min(3));
        }
        assert_eq!(Body(&[0xFB]).length().expect("reads"), None);
        assert!(Body(&[0xFF]).length().is_err());
        assert!(Body(&[0xFC, 1]).length().is_err());
    }

    #[test]
    fn a_text_without_its_end_is_the_rest() {
        let mut body = Body(b"ab\0cd");
        assert_eq!(
            (body.until_nul(), body.until_nul(), body.until_nul()),
            (&b"ab"[..], &b"cd"[..], &b""[..])
        );
    }
}
