//! A finished answer as text that can be given in pages: every list in it is cut into items, the rest is in each page; it keeps nothing.

use std::ops::Range;

use serde_json::Value;

/// Objects inside objects down to this depth are looked through for lists.
const DEPTH_MAX: usize = 3;
/// Objects whose entries are many and alike are cut like lists.
const ENTRY_LISTS: &[&str] = &["column_stats"];
/// Lists that every page carries whole.
const HEADERS: &[&str] = &["rules_matched"];

/// Part of an answer; ranges are of its text, items are numbered through the whole answer.
#[derive(Debug)]
enum Node {
    /// A value that every page carries.
    Whole(Range<usize>),
    /// An object: name as it is written with its quotes, value.
    Object(Vec<(Range<usize>, Node)>),
    /// A list, or an object that is cut like one.
    List { open: char, close: char, items: Range<usize> },
}

/// An answer that can be cut.
pub(crate) struct Document {
    text: String,
    root: Node,
    items: Vec<Range<usize>>,
    /// Bytes of the items before each one, with a comma each; one more entry than items.
    before: Vec<usize>,
    /// Bytes of everything but the items.
    frame_bytes: usize,
}

/// One page.
pub(crate) struct Slice {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) next_page_token: Option<String>,
    /// Where the whole is, on every page but the last.
    pub(crate) resource: Option<Value>,
}

impl Document {
    /// Reads a finished answer, one JSON object.
    pub(crate) fn new(text: String) -> Self {
        let mut reader = Reader { bytes: text.as_bytes(), at: 0, items: Vec::new() };
        let root = reader.node(0, "");
        let items = reader.items;
        let mut before = Vec::with_capacity(items.len() + 1);
        let mut sum = 0;
        before.push(0);
        for item in &items {
            sum += item.len() + 1;
            before.push(sum);
        }
        let frame_bytes = text.len().saturating_sub(sum);
        Self { text, root, items, before, frame_bytes }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Memory, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.text.len() + self.items.len() * 24 + 512
    }

    pub(crate) fn items(&self) -> usize {
        self.items.len()
    }

    /// The end of the longest page from an item on; the item itself where not even that one fits.
    pub(crate) fn end_of(&self, from: usize, bytes_max: usize) -> usize {
        let Some(start) = self.before.get(from) else { return from };
        let room = bytes_max.saturating_sub(self.frame_bytes);
        let fitting = self.before[from..].partition_point(|sum| sum - start <= room);
        from + fitting.saturating_sub(1)
    }

    /// Bytes that the smallest page from an item on needs.
    pub(crate) fn least_bytes(&self, from: usize) -> usize {
        let item = self.items.get(from).map_or(0, |item| item.len() + 1);
        self.frame_bytes + item
    }

    /// A text of the answer itself.
    pub(crate) fn text_of(&self, key: &str) -> Option<String> {
        let Node::Object(entries) = &self.root else { return None };
        let quoted = format!("\"{key}\"");
        let (_, value) = entries.iter().find(|(name, _)| self.text[name.clone()] == quoted)?;
        match value {
            Node::Whole(range) => serde_json::from_str(&self.text[range.clone()]).ok(),
            _ => None,
        }
    }

    /// A page as text.
    pub(crate) fn page(&self, slice: &Slice) -> String {
        let is_last = slice.resource.is_none();
        let size = self.before[slice.to] - self.before[slice.from];
        let mut out = String::with_capacity(self.frame_bytes + size + 512);
        let Node::Object(entries) = &self.root else { return self.text.clone() };
        out.push('{');
        let mut had_truncated = false;
        let mut had_token = false;
        for (at, (name, value)) in entries.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            let name = &self.text[name.clone()];
            out.push_str(name);
            out.push(':');
            let written = match name {
                "\"truncated\"" => {
                    had_truncated = true;
                    (!is_last).then(|| "true".to_owned())
                }
                "\"truncated_by\"" => (!is_last).then(|| "\"max_bytes\"".to_owned()),
                "\"next_page_token\"" => {
                    had_token = true;
                    slice.next_page_token.as_ref().map(|token| Value::from(token.as_str()).to_string())
                }
                "\"row_count\"" => self.rows_in(slice).map(|rows| rows.to_string()),
                _ => None,
            };
            match written {
                Some(text) => out.push_str(&text),
                None => self.write(value, slice, &mut out),
            }
        }
        if !had_truncated {
            out.push_str(if is_last { ",\"truncated\":false" } else { ",\"truncated\":true" });
        }
        if !had_token {
            let token = slice.next_page_token.as_deref().map_or(Value::Null, Value::from);
            out.push_str(&format!(",\"next_page_token\":{token}"));
        }
        if let Some(resource) = &slice.resource {
            out.push_str(&format!(",\"resource\":{resource}"));
        }
        out.push('}');
        out
    }

    fn rows_in(&self, slice: &Slice) -> Option<usize> {
        let Node::Object(entries) = &self.root else { return None };
        let (_, rows) = entries.iter().find(|(name, _)| self.text[name.clone()] == *"\"rows\"")?;
        match rows {
            Node::List { items, .. } => Some(inside(items, slice).len()),
            _ => None,
        }
    }

    fn write(&self, node: &Node, slice: &Slice, out: &mut String) {
        match node {
            Node::Whole(range) => out.push_str(&self.text[range.clone()]),
            Node::Object(entries) => {
                out.push('{');
                for (at, (name, value)) in entries.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    out.push_str(&self.text[name.clone()]);
                    out.push(':');
                    self.write(value, slice, out);
                }
                out.push('}');
            }
            Node::List { open, close, items } => {
                out.push(*open);
                let shown = inside(items, slice);
                for (at, item) in self.items[shown].iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    out.push_str(&self.text[item.clone()]);
                }
                out.push(*close);
            }
        }
    }
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Document").field("bytes", &self.text.len()).finish_non_exhaustive()
    }
}

/// The items of a list that a page holds.
fn inside(items: &Range<usize>, slice: &Slice) -> Range<usize> {
    let start = items.start.max(slice.from).min(items.end);
    start..items.end.min(slice.to).max(start)
}

/// Walks over well-formed JSON text without building values.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    items: Vec<Range<usize>>,
}

impl Reader<'_> {
    fn peek(&mut self) -> u8 {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    /// Steps over a value; gives where it stands.
    fn skip(&mut self) -> Range<usize> {
        self.peek();
        let start = self.at;
        let mut depth = 0_usize;
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b'"' => {
                    self.string();
                    if depth == 0 {
                        break;
                    }
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth == 0 => break,
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        self.at += 1;
                        break;
                    }
                }
                b',' if depth == 0 => break,
                _ => {}
            }
            self.at += 1;
        }
        start..self.at
    }

    /// Steps over a string; its opening quote is next.
    fn string(&mut self) -> Range<usize> {
        let start = self.at;
        self.at += 1;
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b'\\' => self.at += 2,
                b'"' => {
                    self.at += 1;
                    break;
                }
                _ => self.at += 1,
            }
        }
        self.at = self.at.min(self.bytes.len());
        start..self.at
    }

    fn node(&mut self, depth: usize, name: &str) -> Node {
        match self.peek() {
            b'{' if depth < DEPTH_MAX && ENTRY_LISTS.contains(&name) => self.list('{', '}'),
            b'{' if depth < DEPTH_MAX => self.object(depth),
            b'[' if !HEADERS.contains(&name) => self.list('[', ']'),
            _ => Node::Whole(self.skip()),
        }
    }

    fn object(&mut self, depth: usize) -> Node {
        let start = self.at;
        self.at += 1;
        let mut entries: Vec<(Range<usize>, Node)> = Vec::new();
        // A result set says what its rows are in every page.
        let has_rows = depth == 0 && has_key(self.bytes, start, b"\"rows\"");
        loop {
            match self.peek() {
                b'"' => {}
                b',' => {
                    self.at += 1;
                    continue;
                }
                _ => {
                    self.at += 1;
                    break;
                }
            }
            let name = self.string();
            if self.peek() == b':' {
                self.at += 1;
            }
            let word = std::str::from_utf8(&self.bytes[name.start + 1..name.end - 1]).unwrap_or_default();
            let value = if has_rows && word == "columns" {
                Node::Whole(self.skip())
            } else {
                self.node(depth + 1, word)
            };
            entries.push((name, value));
        }
        Node::Object(entries)
    }

    fn list(&mut self, open: char, close: char) -> Node {
        self.at += 1;
        let first = self.items.len();
        loop {
            match self.peek() {
                b',' => self.at += 1,
                b']' | b'}' | 0 => {
                    self.at += 1;
                    break;
                }
                b'"' if open == '{' => {
                    let start = self.at;
                    self.string();
                    if self.peek() == b':' {
                        self.at += 1;
                    }
                    let end = self.skip().end;
                    self.items.push(start..end);
                }
                _ => {
                    let item = self.skip();
                    self.items.push(item);
                }
            }
        }
        Node::List { open, close, items: first..self.items.len() }
    }
}

/// Whether the object that begins at `start` has a key, itself and not inside.
fn has_key(bytes: &[u8], start: usize, key: &[u8]) -> bool {
    let mut reader = Reader { bytes, at: start + 1, items: Vec::new() };
    loop {
        match reader.peek() {
            b'"' => {}
            b',' => {
                reader.at += 1;
                continue;
            }
            _ => return false,
        }
        let name = reader.string();
        if bytes[name] == *key {
            return true;
        }
        if reader.peek() == b':' {
            reader.at += 1;
        }
        reader.skip();
    }
}

#[cfg(test)]
pub(super) mod tests;
