//! Adds one header to every request of a byte stream of HTTP/1.1 requests; bodies pass unchanged and unread.

/// A head longer than this is passed on as it is, for the server to refuse.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Where in the stream we are.
enum State {
    Head,
    Body { left: u64 },
    ChunkSize,
    Chunk { left: u64 },
    Trailers,
    Opaque,
}

/// Rewrites one connection's requests.
pub(super) struct Rewriter {
    header: Vec<u8>,
    state: State,
    line: Vec<u8>,
}

impl Rewriter {
    /// Adds `Authorization: Bearer TOKEN` where the request has no such header.
    pub(super) fn new(token: &str) -> Self {
        Self {
            header: format!("Authorization: Bearer {token}\r\n").into_bytes(),
            state: State::Head,
            line: Vec::new(),
        }
    }

    /// Takes what came and hands back what goes on.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() + self.header.len());
        while !bytes.is_empty() {
            let used = match self.state {
                State::Head => self.head(bytes, &mut out),
                State::Body { left } => {
                    let used = pass(bytes, left, &mut out);
                    let left = left - used as u64;
                    self.state = if left == 0 { State::Head } else { State::Body { left } };
                    used
                }
                State::Chunk { left } => {
                    let used = pass(bytes, left, &mut out);
                    let left = left - used as u64;
                    self.state = if left == 0 { State::ChunkSize } else { State::Chunk { left } };
                    used
                }
                State::ChunkSize | State::Trailers => self.chunk_line(bytes, &mut out),
                State::Opaque => pass(bytes, u64::MAX, &mut out),
            };
            bytes = &bytes[used..];
        }
        out
    }

    fn head(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let before = self.line.len();
        self.line.extend_from_slice(bytes);
        let Some(end) = self.line.windows(4).position(|window| window == b"\r\n\r\n") else {
            if self.line.len() > HEAD_BYTES_MAX {
                out.append(&mut self.line);
                self.state = State::Opaque;
            }
            return bytes.len();
        };
        let end = end + 4;
        let used = end - before;
        self.line.truncate(end);
        let head = std::mem::take(&mut self.line);
        self.state = body_of(&head);
        let is_authorized = header(&head, "authorization").is_some();
        out.extend_from_slice(&head[..end - 2]);
        if !is_authorized {
            out.extend_from_slice(&self.header);
        }
        out.extend_from_slice(b"\r\n");
        used
    }

    fn chunk_line(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(bytes.len(), |end| end + 1);
        out.extend_from_slice(&bytes[..used]);
        self.line.extend_from_slice(&bytes[..used]);
        if end.is_some() {
            let line = std::mem::take(&mut self.line);
            let line = String::from_utf8_lossy(&line).trim().to_owned();
            self.state = match self.state {
                State::Trailers if line.is_empty() => State::Head,
                State::Trailers => State::Trailers,
                _ => chunk_of(&line),
            };
        }
        used
    }
}

fn pass(bytes: &[u8], left: u64, out: &mut Vec<u8>) -> usize {
    let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
    out.extend_from_slice(&bytes[..count]);
    count
}

/// The size line of a chunk; its data is followed by a line end.
fn chunk_of(line: &str) -> State {
    let size = line.split(';').next().unwrap_or_default().trim();
    match u64::from_str_radix(size, 16) {
        Ok(0) => State::Trailers,
        Ok(size) => State::Chunk { left: size.saturating_add(2) },
        Err(_) => State::Opaque,
    }
}

fn body_of(head: &[u8]) -> State {
    if header(head, "transfer-encoding").is_some_and(|value| value.to_ascii_lowercase().contains("chunked")) {
        return State::ChunkSize;
    }
    match header(head, "content-length").map(|value| value.parse::<u64>()) {
        None | Some(Ok(0)) => State::Head,
        Some(Ok(left)) => State::Body { left },
        Some(Err(_)) => State::Opaque,
    }
}

fn header(head: &[u8], wanted: &str) -> Option<String> {
    let head = String::from_utf8_lossy(head);
    head.lines().skip(1).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::Rewriter;

    /// Pushes a stream in pieces of every size and asks that the result never depends on the cuts.
    #[track_caller]
    fn assert_rewritten(stream: &str, expected: &str) {
        for size in 1..=stream.len() {
            let mut rewriter = Rewriter::new("t");
            let out: Vec<u8> =
                stream.as_bytes().chunks(size).flat_map(|piece| rewriter.push(piece)).collect();
            assert_eq!(String::from_utf8_lossy(&out), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn every_request_of_a_connection_gets_the_token() {
        assert_rewritten(
            "POST /a HTTP/1.1\r\nContent-Length: 9\r\n\r\n{\"a\":\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
            "POST /a HTTP/1.1\r\nContent-Length: 9\r\nAuthorization: Bearer t\r\n\r\n{\"a\":\r\n\r\n\
             GET /b HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer t\r\n\r\n",
        );
    }

    #[test]
    fn chunked_bodies_pass_unchanged() {
        assert_rewritten(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nGET \r\n0\r\nT: v\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nAuthorization: Bearer t\r\n\r\n4;x=y\r\nGET \r\n0\r\nT: v\r\n\r\n\
             GET / HTTP/1.1\r\nAuthorization: Bearer t\r\n\r\n",
        );
    }

    #[test]
    fn a_token_of_the_client_stays() {
        let own = "GET / HTTP/1.1\r\nauthorization: Bearer own\r\n\r\n";
        assert_rewritten(own, own);
    }
}
