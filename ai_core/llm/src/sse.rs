//! Server-sent events out of a byte stream that may be cut anywhere; it does not know what the events mean.

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SseEvent {
    /// The `event:` field; empty when absent.
    pub(crate) name: String,
    /// The `data:` lines, joined by line feeds.
    pub(crate) data: String,
}

/// Why a stream is not server-sent events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SseFault {
    /// A line or an event is longer than allowed.
    TooLarge,
    /// A line is not UTF-8.
    NotUtf8,
}

/// Collects bytes until events are complete.
#[derive(Debug)]
pub(crate) struct SseParser {
    line: Vec<u8>,
    event: SseEvent,
    has_data: bool,
    after_cr: bool,
    event_bytes_max: usize,
}

impl SseParser {
    pub(crate) fn new(event_bytes_max: usize) -> Self {
        Self {
            line: Vec::new(),
            event: SseEvent::default(),
            has_data: false,
            after_cr: false,
            event_bytes_max,
        }
    }

    /// Takes bytes; complete events are appended to `out`.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<SseEvent>) -> Result<(), SseFault> {
        for &byte in bytes {
            let skip = self.after_cr && byte == b'\n';
            self.after_cr = byte == b'\r';
            match byte {
                b'\n' if skip => {}
                b'\n' | b'\r' => self.end_line(out)?,
                _ => {
                    if self.line.len() + self.event.data.len() >= self.event_bytes_max {
                        return Err(SseFault::TooLarge);
                    }
                    self.line.push(byte);
                }
            }
        }
        Ok(())
    }

    /// The stream has ended: a last event without its blank line still counts.
    pub(crate) fn finish(&mut self, out: &mut Vec<SseEvent>) -> Result<(), SseFault> {
        if !self.line.is_empty() {
            self.end_line(out)?;
        }
        self.end_event(out);
        Ok(())
    }

    fn end_line(&mut self, out: &mut Vec<SseEvent>) -> Result<(), SseFault> {
        let bytes = std::mem::take(&mut self.line);
        let line = std::str::from_utf8(&bytes).map_err(|_| SseFault::NotUtf8)?;
        if line.is_empty() {
            self.end_event(out);
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.has_data = true;
                self.event.data.push_str(value);
            }
            // Comments (empty field), ids and retry hints carry nothing for a single answer.
            _ => {}
        }
        Ok(())
    }

    fn end_event(&mut self, out: &mut Vec<SseEvent>) {
        let event = std::mem::take(&mut self.event);
        if std::mem::take(&mut self.has_data) {
            out.push(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(chunks: &[&[u8]]) -> Result<Vec<SseEvent>, SseFault> {
        let mut parser = SseParser::new(1_000);
        let mut out = Vec::new();
        for chunk in chunks {
            parser.push(chunk, &mut out)?;
        }
        parser.finish(&mut out)?;
        Ok(out)
    }

    #[test]
    fn every_split_gives_the_same_events() {
        let text =
            "event: a\r\ndata: größe 数\r\ndata: 2\r\n\r\n: note\ndata:{\"x\":1}\n\nid: 7\n\rdata: last"
                .as_bytes();
        let whole = parse(&[text]).unwrap();
        assert_eq!(whole.len(), 3);
        assert_eq!(whole[0], SseEvent { name: "a".into(), data: "größe 数\n2".into() });
        for cut in 0..=text.len() {
            assert_eq!(parse(&[&text[..cut], &text[cut..]]).unwrap(), whole, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(parse(&bytes).unwrap(), whole);
    }

    #[test]
    fn bounds_and_bad_bytes_are_faults() {
        assert_eq!(parse(&[&[b'x'; 2_000]]), Err(SseFault::TooLarge));
        assert_eq!(parse(&[b"data: \xff\xfe\n\n"]), Err(SseFault::NotUtf8));
        let many = b"data: 0123456789\n".repeat(200);
        assert_eq!(parse(&[&many]), Err(SseFault::TooLarge));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..600), cut in 0usize..600) {
            let cut = cut.min(bytes.len());
            let whole = parse(&[&bytes]);
            proptest::prop_assert_eq!(parse(&[&bytes[..cut], &bytes[cut..]]), whole);
        }
    }
}
