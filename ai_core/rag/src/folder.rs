//! A folder as a source of rows: Markdown, HTML, text and JSONL files; it knows files, not documents or stores.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use ai_core::{
    AiError, AiErrorCode, AiResult, Deadline, PageRequest, RowColumn, RowKey, RowPage, RowSource, RowValue,
    SourceRow,
};

use crate::{html, times};

/// Larger files are skipped with an error row, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Files of one source at most.
const FILES_MAX: usize = 1_000_000;

/// Deepest folder below the source's own.
const DEPTH_MAX: usize = 64;

/// Columns that every file has; `fm.<key>` and the keys of JSONL lines come on top.
const COLUMNS: &[&str] = &["path", "name", "ext", "title", "body", "mtime", "size"];

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    path: String,
    mtime_s: i64,
    size: u64,
}

/// The files of one folder that match a glob.
#[derive(Debug)]
pub(crate) struct FolderSource {
    root: PathBuf,
    entries: Vec<Entry>,
    /// Rows are lines of JSONL files instead of whole files.
    lines: bool,
}

impl FolderSource {
    /// Lists the folder, which must lie under one of `roots`. Symbolic links are not followed.
    pub(crate) fn open(folder: &str, glob: &str, keys: &[String], roots: &[PathBuf]) -> AiResult<Self> {
        let refuse = |why: String| AiError::new(AiErrorCode::FailedPrecondition, why).with("folder", folder);
        let root =
            fs::canonicalize(folder).map_err(|e| refuse(format!("folder {folder:?} cannot be read: {e}")))?;
        let open = roots.iter().filter_map(|r| fs::canonicalize(r).ok()).any(|r| root.starts_with(r));
        if !open {
            return Err(refuse(format!("folder {folder:?} lies under none of the configured file roots")));
        }
        let lines = match keys.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["path"] => false,
            ["path", "line"] => true,
            _ => {
                return Err(AiError::invalid(
                    "pk_column: file sources have the key path, or path,line for JSONL",
                ));
            }
        };
        let mut entries = Vec::new();
        list(&root, "", glob, &mut entries, 0)?;
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { root, entries, lines })
    }

    fn row(&self, entry: &Entry, line: Option<(i64, &str)>, request: &PageRequest) -> AiResult<SourceRow> {
        let fields = match line {
            None => self.file_fields(entry)?,
            Some((number, text)) => {
                let mut fields = base_fields(entry);
                let parsed: serde_json::Map<String, serde_json::Value> =
                    serde_json::from_str(text).map_err(|e| {
                        AiError::invalid(format!("line {number} of {} is no JSON object: {e}", entry.path))
                    })?;
                fields.insert("line".to_owned(), RowValue::Int(number));
                fields.extend(parsed.into_iter().map(|(k, v)| (k, from_json(v))));
                fields
            }
        };
        let get = |name: &str| fields.get(name).cloned().unwrap_or(RowValue::Null);
        let mut key = vec![RowValue::Text(entry.path.clone())];
        key.extend(line.map(|(number, _)| RowValue::Int(number)));
        Ok(SourceRow {
            key,
            cursor: request.cursor_column.as_deref().map_or(RowValue::Null, get),
            values: request.columns.iter().map(|c| get(c)).collect(),
        })
    }

    fn file_fields(&self, entry: &Entry) -> AiResult<BTreeMap<String, RowValue>> {
        if entry.size > FILE_BYTES_MAX {
            return Err(AiError::limit(format!("{} is larger than 16 MiB", entry.path)));
        }
        let bytes = fs::read(self.root.join(&entry.path))
            .map_err(|e| AiError::unavailable(format!("{} cannot be read: {e}", entry.path)))?;
        let text = String::from_utf8_lossy(&bytes);
        let mut fields = base_fields(entry);
        let stem =
            Path::new(&entry.path).file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let (title, body) = match extension(&entry.path).as_str() {
            "html" | "htm" => html::text(&text),
            "md" | "markdown" => {
                let (matter, body) = front_matter(&text);
                let heading = body.lines().find_map(|l| l.strip_prefix("# ")).map(|h| h.trim().to_owned());
                let title = matter.iter().find(|(k, _)| k == "title").map(|(_, v)| v.clone()).or(heading);
                fields.extend(matter.into_iter().map(|(k, v)| (format!("fm.{k}"), RowValue::Text(v))));
                (title.unwrap_or_default(), body.to_owned())
            }
            _ => (String::new(), text.into_owned()),
        };
        fields.insert("title".to_owned(), RowValue::Text(if title.is_empty() { stem } else { title }));
        fields.insert("body".to_owned(), RowValue::Text(body));
        Ok(fields)
    }

    /// Rows of one JSONL file after a line, up to the page's bounds; false when the file has more.
    fn jsonl(
        &self,
        entry: &Entry,
        after: i64,
        request: &PageRequest,
        page: &mut RowPage,
        bytes: &mut usize,
    ) -> AiResult<bool> {
        let file = fs::File::open(self.root.join(&entry.path))
            .map_err(|e| AiError::unavailable(format!("{} cannot be read: {e}", entry.path)))?;
        let mut reader = BufReader::new(file);
        let mut buffer = Vec::new();
        let mut number = 0i64;
        loop {
            buffer.clear();
            let n = reader
                .read_until(b'\n', &mut buffer)
                .map_err(|e| AiError::unavailable(format!("{} cannot be read: {e}", entry.path)))?;
            if n == 0 {
                return Ok(true);
            }
            number += 1;
            let text = String::from_utf8_lossy(&buffer);
            if number <= after || text.trim().is_empty() {
                continue;
            }
            if page.rows.len() >= request.rows_max || *bytes >= request.bytes_max {
                return Ok(false);
            }
            match self.row(entry, Some((number, &text)), request) {
                Ok(row) => {
                    *bytes += row.values.iter().map(RowValue::size_bytes).sum::<usize>();
                    page.rows.push(row);
                }
                Err(e) => {
                    page.failed.push((format!("{{\"path\":{:?},\"line\":{number}}}", entry.path), e.message))
                }
            }
        }
    }
}

impl RowSource for FolderSource {
    fn columns(&self) -> AiResult<Vec<RowColumn>> {
        Ok(COLUMNS
            .iter()
            .map(|c| RowColumn::new(*c, if *c == "size" { "integer" } else { "text" }, true))
            .collect())
    }

    fn page(&self, request: &PageRequest, deadline: Deadline) -> AiResult<RowPage> {
        let mut order: Vec<&Entry> = self.entries.iter().collect();
        let by_time = match request.cursor_column.as_deref() {
            None => false,
            Some("mtime") => true,
            Some(_) => {
                return Err(AiError::invalid("sync_json.cursor_column: file sources can only use mtime"));
            }
        };
        if by_time {
            order.sort_by(|a, b| a.mtime_s.cmp(&b.mtime_s).then_with(|| a.path.cmp(&b.path)));
        }
        let position =
            request.after.as_ref().map(|(cursor, key)| (time_of(cursor), path_of(key), line_of(key)));
        let mut page = RowPage::default();
        let mut bytes = 0;
        for entry in order {
            let place = match &position {
                None => Ordering::Greater,
                Some((at, path, _)) if by_time => {
                    entry.mtime_s.cmp(at).then_with(|| entry.path.as_str().cmp(path))
                }
                Some((_, path, _)) => entry.path.as_str().cmp(path),
            };
            let resumed = self.lines && place == Ordering::Equal;
            if place != Ordering::Greater && !resumed {
                continue;
            }
            deadline.check("reading the folder")?;
            if page.rows.len() >= request.rows_max || bytes >= request.bytes_max {
                page.more = true;
                break;
            }
            if self.lines {
                let after = if resumed { position.as_ref().map_or(0, |p| p.2) } else { 0 };
                if !self.jsonl(entry, after, request, &mut page, &mut bytes)? {
                    page.more = true;
                    break;
                }
                continue;
            }
            match self.row(entry, None, request) {
                Ok(row) => {
                    bytes += row.values.iter().map(RowValue::size_bytes).sum::<usize>();
                    page.rows.push(row);
                }
                Err(e) => page.failed.push((format!("{{\"path\":{:?}}}", entry.path), e.message)),
            }
        }
        Ok(page)
    }

    fn keys(&self, after: Option<&RowKey>, n: usize, deadline: Deadline) -> AiResult<Vec<RowKey>> {
        let after = after.map(|k| (RowValue::Null, k.clone()));
        let request = PageRequest::first(Vec::new(), n, usize::MAX).with_after(after);
        Ok(self.page(&request, deadline)?.rows.into_iter().map(|r| r.key).collect())
    }

    fn by_keys(
        &self,
        keys: &[RowKey],
        columns: &[String],
        bytes_max: usize,
        deadline: Deadline,
    ) -> AiResult<Vec<SourceRow>> {
        let request = PageRequest::first(columns.to_vec(), 1, usize::MAX);
        let mut out = Vec::new();
        let mut bytes = 0;
        for key in keys {
            deadline.check("reading files")?;
            let path = path_of(key);
            let Ok(at) = self.entries.binary_search_by(|e| e.path.as_str().cmp(path.as_str())) else {
                continue;
            };
            let row = if self.lines {
                let mut page = RowPage::default();
                self.jsonl(&self.entries[at], line_of(key) - 1, &request, &mut page, &mut 0)?;
                page.rows.into_iter().find(|r| r.key == *key)
            } else {
                Some(self.row(&self.entries[at], None, &request)?)
            };
            if bytes >= bytes_max {
                break;
            }
            if let Some(row) = row {
                bytes += row.values.iter().map(RowValue::size_bytes).sum::<usize>();
                out.push(row);
            }
        }
        Ok(out)
    }
}

fn path_of(key: &RowKey) -> String {
    key.first().map(crate::map::text_of).unwrap_or_default()
}

fn line_of(key: &RowKey) -> i64 {
    match key.get(1) {
        Some(RowValue::Int(n)) => *n,
        _ => 0,
    }
}

fn time_of(cursor: &RowValue) -> i64 {
    match cursor {
        RowValue::Time(t) | RowValue::Text(t) => {
            times::parse_ms(t).map_or(i64::MIN, |ms| ms.div_euclid(1000))
        }
        _ => i64::MIN,
    }
}

fn from_json(value: serde_json::Value) -> RowValue {
    match value {
        serde_json::Value::Null => RowValue::Null,
        serde_json::Value::Bool(b) => RowValue::Bool(b),
        serde_json::Value::String(s) => RowValue::Text(s),
        serde_json::Value::Number(n) => match (n.as_i64(), n.as_u64()) {
            (Some(i), _) => RowValue::Int(i),
            (None, Some(u)) => RowValue::Uint(u),
            _ => RowValue::Float(n.as_f64().unwrap_or(0.0)),
        },
        other => RowValue::Json(other),
    }
}

fn extension(path: &str) -> String {
    Path::new(path).extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default()
}

fn base_fields(entry: &Entry) -> BTreeMap<String, RowValue> {
    let name = entry.path.rsplit('/').next().unwrap_or_default().to_owned();
    BTreeMap::from([
        ("path".to_owned(), RowValue::Text(entry.path.clone())),
        ("ext".to_owned(), RowValue::Text(extension(&entry.path))),
        ("name".to_owned(), RowValue::Text(name)),
        ("mtime".to_owned(), RowValue::Time(times::rfc3339(entry.mtime_s))),
        ("size".to_owned(), RowValue::Int(i64::try_from(entry.size).unwrap_or(i64::MAX))),
    ])
}

/// `key: value` lines between two `---` lines at the start, and the rest.
fn front_matter(text: &str) -> (Vec<(String, String)>, &str) {
    let Some(rest) = text.strip_prefix("---\n").or_else(|| text.strip_prefix("---\r\n")) else {
        return (Vec::new(), text);
    };
    let mut out = Vec::new();
    let mut at = 0;
    for line in rest.split_inclusive('\n') {
        at += line.len();
        let bare = line.trim_end();
        if bare == "---" {
            return (out, &rest[at..]);
        }
        if let Some((key, value)) = bare.split_once(':').filter(|(k, _)| !k.starts_with([' ', '#', '-'])) {
            let value = value.trim().trim_matches(['"', '\'']);
            out.push((key.trim().to_owned(), value.to_owned()));
        }
    }
    (Vec::new(), text)
}

fn list(root: &Path, below: &str, glob: &str, out: &mut Vec<Entry>, depth: usize) -> AiResult<()> {
    if depth > DEPTH_MAX {
        return Ok(());
    }
    let folder = if below.is_empty() { root.to_owned() } else { root.join(below) };
    let entries = fs::read_dir(&folder)
        .map_err(|e| AiError::unavailable(format!("folder {} cannot be listed: {e}", folder.display())))?;
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        if kind.is_dir() {
            list(root, &path, glob, out, depth + 1)?;
        } else if kind.is_file() && matches(glob, &path) {
            if out.len() >= FILES_MAX {
                return Err(AiError::limit(format!("the folder holds more than {FILES_MAX} matching files")));
            }
            let Ok(data) = entry.metadata() else { continue };
            let mtime_s = data
                .modified()
                .ok()
                .and_then(|t| t.duration_since(UNIX_EPOCH).ok())
                .map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(0));
            out.push(Entry { path, mtime_s, size: data.len() });
        }
    }
    Ok(())
}

/// Whether a path matches a glob with `**`, `*` and `?`; an empty glob matches everything.
pub(crate) fn matches(glob: &str, path: &str) -> bool {
    if glob.is_empty() {
        return true;
    }
    let pattern: Vec<&str> = glob.trim_start_matches("./").split('/').collect();
    let parts: Vec<&str> = path.split('/').collect();
    // reach[i]: whether the pattern so far matches the first i parts.
    let mut reach = vec![false; parts.len() + 1];
    reach[0] = true;
    for piece in pattern {
        let mut next = vec![false; parts.len() + 1];
        if piece == "**" {
            let mut open = false;
            for i in 0..=parts.len() {
                open |= reach[i];
                next[i] = open;
            }
        } else {
            for i in 0..parts.len() {
                next[i + 1] = reach[i] && matches_part(piece, parts[i]);
            }
        }
        reach = next;
    }
    reach[parts.len()]
}

fn matches_part(pattern: &str, text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let mut reach = vec![false; text.len() + 1];
    reach[0] = true;
    for c in pattern.chars() {
        let mut next = vec![false; text.len() + 1];
        match c {
            '*' => {
                let mut open = false;
                for i in 0..=text.len() {
                    open |= reach[i];
                    next[i] = open;
                }
            }
            c => {
                for i in 0..text.len() {
                    next[i + 1] = reach[i] && (c == '?' || c == text[i]);
                }
            }
        }
        reach = next;
    }
    reach[text.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Deadline {
        Deadline::after_ms(10_000)
    }

    fn keys(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn globs() {
        for (glob, path, wanted) in [
            ("**/*.md", "a.md", true),
            ("**/*.md", "x/y/a.md", true),
            ("*.md", "x/a.md", false),
            ("docs/**", "docs/a/b.txt", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("", "anything", true),
        ] {
            assert_eq!(matches(glob, path), wanted, "{glob} {path}");
        }
    }

    #[test]
    fn files_become_rows_and_links_and_giants_do_not() {
        let top = tempfile::tempdir().unwrap();
        let root = top.path().join("docs");
        fs::create_dir_all(root.join("sub")).unwrap();
        fs::write(root.join("a.md"), "---\ntitle: \"From matter\"\nowner: ops\n---\n# Heading\nBody text\n")
            .unwrap();
        fs::write(root.join("sub/b.html"), "<title>Page</title><body><p>Hello</body>").unwrap();
        fs::write(root.join("c.txt"), b"caf\xff").unwrap();
        let giant = fs::File::create(root.join("d.txt")).unwrap();
        giant.set_len(20 << 20).unwrap();
        fs::write(top.path().join("secret.txt"), "secret").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(top.path().join("secret.txt"), root.join("e.txt")).unwrap();
        let open =
            |roots: &[PathBuf]| FolderSource::open(root.to_str().unwrap(), "", &keys(&["path"]), roots);
        assert_eq!(open(&[]).unwrap_err().code, AiErrorCode::FailedPrecondition);
        let source = open(&[top.path().to_owned()]).unwrap();
        let columns = ["title", "body", "fm.owner", "ext"].map(str::to_owned).to_vec();
        let page = source.page(&PageRequest::first(columns.clone(), 10, 1 << 20), soon()).unwrap();
        let texts: Vec<String> = page
            .rows
            .iter()
            .map(|r| r.values.iter().map(crate::map::text_of).collect::<Vec<_>>().join("|"))
            .collect();
        assert_eq!(
            texts,
            ["From matter|# Heading\nBody text\n|ops|md", "c|caf\u{fffd}||txt", "Page|Hello||html"]
        );
        assert_eq!(page.failed.len(), 1);
        assert!(page.failed[0].1.contains("16 MiB"));
        let mut request = PageRequest::first(columns, 1, 1 << 20);
        let first = source.page(&request, soon()).unwrap();
        assert!(first.more);
        request.after = Some((RowValue::Null, first.rows[0].key.clone()));
        assert_eq!(source.page(&request, soon()).unwrap().rows[0].key, [RowValue::Text("c.txt".into())]);
    }

    #[test]
    fn lines_of_jsonl_are_rows() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("a.jsonl"), "{\"t\":\"one\",\"n\":1}\n\nnot json\n{\"t\":\"two\"}\n")
            .unwrap();
        fs::write(root.path().join("b.jsonl"), "{\"t\":\"three\"}").unwrap();
        let source = FolderSource::open(
            root.path().to_str().unwrap(),
            "*.jsonl",
            &keys(&["path", "line"]),
            &[root.path().to_owned()],
        )
        .unwrap();
        let mut request = PageRequest::first(vec!["t".into()], 1, 1 << 20);
        let mut seen = Vec::new();
        let mut failed = 0;
        loop {
            let page = source.page(&request, soon()).unwrap();
            failed += page.failed.len();
            seen.extend(page.rows.iter().map(|r| (line_of(&r.key), crate::map::text_of(&r.values[0]))));
            if !page.more {
                break;
            }
            request.after = page.rows.last().map(|r| (RowValue::Null, r.key.clone()));
        }
        assert_eq!(seen, [(1, "one".to_owned()), (4, "two".to_owned()), (1, "three".to_owned())]);
        assert_eq!(failed, 1);
        let rows = source
            .by_keys(&[vec![RowValue::Text("a.jsonl".into()), RowValue::Int(4)]], &["t".into()], 99, soon())
            .unwrap();
        assert_eq!(rows[0].values, [RowValue::Text("two".into())]);
    }
}
