//! Writes result objects straight into text; it does not know what they mean.

use serde::Serialize;

/// An object under construction. Keys are trusted constants, values are serialized.
pub(crate) struct ObjectWriter {
    out: String,
}

impl ObjectWriter {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        let mut out = String::with_capacity(bytes);
        out.push('{');
        Self { out }
    }

    /// Writes `"key":` and leaves the value to the caller.
    pub(crate) fn key(&mut self, key: &str) -> &mut String {
        if self.out.len() > 1 {
            self.out.push(',');
        }
        self.out.push('"');
        self.out.push_str(key);
        self.out.push_str("\":");
        &mut self.out
    }

    pub(crate) fn raw(&mut self, key: &str, json: &str) {
        self.key(key).push_str(json);
    }

    pub(crate) fn field<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) {
        let out = self.key(key);
        write_json(out, value);
    }

    pub(crate) fn finish(mut self) -> String {
        self.out.push('}');
        self.out
    }
}

/// Appends `value` as JSON. Values here are maps with text keys, so serialization cannot fail; `null` stands in if it does.
pub(crate) fn write_json<T: Serialize + ?Sized>(out: &mut String, value: &T) {
    struct Sink<'a>(&'a mut String);
    impl std::io::Write for Sink<'_> {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.push_str(std::str::from_utf8(bytes).map_err(std::io::Error::other)?);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let start = out.len();
    if serde_json::to_writer(Sink(out), value).is_err() {
        out.truncate(start);
        out.push_str("null");
    }
}
