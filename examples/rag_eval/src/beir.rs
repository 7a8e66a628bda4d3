//! Reading collections in the BEIR layout; it knows files, not retrieval.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use ai_core_rag::{Judgements, PushDocument};
use serde::Deserialize;

/// Longest line that is read, in bytes.
const LINE_BYTES_MAX: usize = 16 << 20;

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "_id")]
    id: serde_json::Value,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    text: Option<String>,
}

impl Entry {
    fn id(&self) -> String {
        match &self.id {
            serde_json::Value::String(s) => s.clone(),
            other => other.to_string(),
        }
    }
}

/// Calls `each` for every entry of a JSONL file.
fn entries(path: &Path, mut each: impl FnMut(Entry) -> Result<(), String>) -> Result<(), String> {
    let fault = |line: usize, why: String| format!("{}:{line}: {why}", path.display());
    let file = File::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|e| fault(number + 1, e.to_string()))?;
        if line.len() > LINE_BYTES_MAX {
            return Err(fault(number + 1, "the line is longer than 16 MiB".to_owned()));
        }
        if !line.trim().is_empty() {
            each(serde_json::from_str(&line).map_err(|e| fault(number + 1, e.to_string()))?)?;
        }
    }
    Ok(())
}

/// Streams the documents of a collection in batches; every name gets `prefix` before it.
pub(crate) fn documents(
    folder: &Path,
    batch: usize,
    mut each: impl FnMut(&[PushDocument]) -> Result<(), String>,
) -> Result<u64, String> {
    let mut waiting = Vec::with_capacity(batch);
    let mut count = 0;
    entries(&folder.join("corpus.jsonl"), |entry| {
        count += 1;
        waiting.push(PushDocument {
            doc_id: entry.id(),
            title: entry.title.unwrap_or_default(),
            body: entry.text.unwrap_or_default(),
            ..PushDocument::default()
        });
        if waiting.len() >= batch {
            each(&waiting)?;
            waiting.clear();
        }
        Ok(())
    })?;
    if !waiting.is_empty() {
        each(&waiting)?;
    }
    Ok(count)
}

/// The judged queries of a collection, and the judgements.
pub(crate) fn judged_queries(folder: &Path) -> Result<(Vec<(String, String)>, Judgements), String> {
    let path = folder.join("qrels").join("test.tsv");
    let file = File::open(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut judgements = Judgements::new();
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|e| format!("{}: {e}", path.display()))?;
        let fields: Vec<&str> = line.split('\t').collect();
        if line.trim().is_empty()
            || (number == 0 && fields.last().is_some_and(|f| f.trim().parse::<i64>().is_err()))
        {
            continue;
        }
        let [query, document, grade] = fields[..] else {
            return Err(format!("{}:{}: expected three columns", path.display(), number + 1));
        };
        let grade: i64 =
            grade.trim().parse().map_err(|e| format!("{}:{}: {e}", path.display(), number + 1))?;
        let grades: &mut HashMap<String, u32> = judgements.entry(query.to_owned()).or_default();
        grades.insert(document.to_owned(), u32::try_from(grade.max(0)).unwrap_or(0));
    }
    let mut queries = Vec::new();
    entries(&folder.join("queries.jsonl"), |entry| {
        if judgements.contains_key(&entry.id()) {
            queries.push((entry.id(), entry.text.unwrap_or_default()));
        }
        Ok(())
    })?;
    Ok((queries, judgements))
}
