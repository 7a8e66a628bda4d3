//! Cutting documents into chunks; it knows text and sizes, not stores or models.

use unicode_segmentation::UnicodeSegmentation;

use crate::config::{ChunkUnit, Chunking};

/// A piece of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Byte range in the body.
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Bytes at the start that the chunk before holds too.
    pub(crate) shared: usize,
    pub(crate) heading_path: String,
}

/// The smallest thing that is not cut, unless it alone is too long.
struct Unit {
    start: usize,
    end: usize,
    weight: usize,
    /// A chunk may not reach across this start.
    section: bool,
    heading_path: String,
}

/// Cuts a body; the second value says whether pieces were left off. `tokens` counts tokens for the unit `tokens`.
pub(crate) fn cut(body: &str, config: &Chunking, tokens: &dyn Fn(&str) -> usize) -> (Vec<Piece>, bool) {
    if body.is_empty() {
        return (Vec::new(), false);
    }
    if !config.enabled {
        return (vec![Piece { start: 0, end: body.len(), shared: 0, heading_path: String::new() }], false);
    }
    let (size, overlap, least) = config.sizes();
    let mut pieces = match config.unit {
        ChunkUnit::Chars => by_chars(body, size, overlap, least),
        ChunkUnit::Tokens => pack(body, words(body, tokens), size, Overlap::Weight(overlap), least),
        ChunkUnit::Sentences => pack(body, sentences(body), size, Overlap::Units(overlap), least),
        ChunkUnit::Markdown => pack(body, blocks(body), size, Overlap::Weight(overlap), least),
    };
    let cut_off = pieces.len() > config.max_chunks;
    pieces.truncate(config.max_chunks);
    (pieces, cut_off)
}

fn chars(text: &str) -> usize {
    text.chars().count()
}

/// Cuts by characters, at a line or word within the last tenth of a chunk, never inside a grapheme.
fn by_chars(body: &str, size: usize, overlap: usize, least: usize) -> Vec<Piece> {
    // (byte, character) of every grapheme's start, and the end.
    let mut marks: Vec<(usize, usize)> = Vec::with_capacity(body.len() / 2);
    let mut count = 0;
    for (at, grapheme) in body.grapheme_indices(true) {
        marks.push((at, count));
        count += chars(grapheme);
    }
    marks.push((body.len(), count));
    let last = marks.len() - 1;
    let mut pieces: Vec<Piece> = Vec::new();
    let mut done = 0; // mark up to which the body is covered
    while done < last {
        let start = if done == 0 {
            0
        } else {
            let from = marks[done].1.saturating_sub(overlap);
            marks.partition_point(|m| m.1 < from).min(done)
        };
        let limit = marks[start].1 + size;
        let mut end = (marks.partition_point(|m| m.1 <= limit) - 1).max(done + 1).min(last);
        if end < last {
            end = nicer_end(body, &marks, done, end, size);
            if marks[last].1 - marks[end].1 < least {
                end = last;
            }
        }
        pieces.push(Piece {
            start: marks[start].0,
            end: marks[end].0,
            shared: marks[done].0 - marks[start].0,
            heading_path: String::new(),
        });
        done = end;
    }
    pieces
}

fn nicer_end(body: &str, marks: &[(usize, usize)], done: usize, end: usize, size: usize) -> usize {
    let floor = marks[end].1.saturating_sub(size / 10);
    let candidates = || (done + 1..=end).rev().take_while(|i| marks[*i].1 >= floor);
    let after = |i: usize, test: fn(char) -> bool| body[..marks[i].0].chars().next_back().is_some_and(test);
    candidates()
        .find(|i| after(*i, |c| c == '\n'))
        .or_else(|| candidates().find(|i| after(*i, char::is_whitespace)))
        .unwrap_or(end)
}

enum Overlap {
    Weight(usize),
    Units(usize),
}

/// Packs units into chunks; a unit above the size is cut by characters.
fn pack(body: &str, units: Vec<Unit>, size: usize, overlap: Overlap, least: usize) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut at = 0;
    while at < units.len() {
        let mut start = at;
        if at > 0 && !units[at].section {
            let mut weight = 0;
            while start > 0 && !units[start].section {
                let before = &units[start - 1];
                weight += before.weight;
                let fits = match overlap {
                    Overlap::Weight(most) => weight <= most,
                    Overlap::Units(most) => at - start < most,
                };
                if !fits || weight + units[at].weight > size {
                    break;
                }
                start -= 1;
            }
        }
        let mut weight: usize = units[start..at].iter().map(|u| u.weight).sum();
        let mut end = at;
        while end < units.len() && (end == at || (!units[end].section && weight + units[end].weight <= size))
        {
            weight += units[end].weight;
            end += 1;
        }
        let (from, to) = (units[start].start, units[end - 1].end);
        if end == at + 1 && units[at].weight > size {
            let path = &units[at].heading_path;
            for inner in by_chars(&body[units[at].start..to], size, 0, 0) {
                let base = units[at].start;
                pieces.push(Piece {
                    start: base + inner.start,
                    end: base + inner.end,
                    shared: 0,
                    heading_path: path.clone(),
                });
            }
        } else {
            let shared = units[at].start - from;
            pieces.push(Piece { start: from, end: to, shared, heading_path: units[at].heading_path.clone() });
        }
        at = end;
    }
    if pieces.len() > 1 {
        let tail = &pieces[pieces.len() - 1];
        if chars(&body[tail.start + tail.shared..tail.end]) < least {
            let end = tail.end;
            pieces.pop();
            if let Some(previous) = pieces.last_mut() {
                previous.end = end;
            }
        }
    }
    pieces
}

fn words(body: &str, tokens: &dyn Fn(&str) -> usize) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    // A word carries the white space after it, so that units cover the body.
    for (start, part) in body.split_word_bound_indices() {
        let blank = part.chars().all(char::is_whitespace);
        match units.last_mut() {
            Some(previous) if blank => previous.end = start + part.len(),
            _ => units.push(Unit {
                start,
                end: start + part.len(),
                weight: if blank {
                    0
                } else {
                    tokens(part).max(usize::from(part.chars().any(char::is_alphanumeric)))
                },
                section: false,
                heading_path: String::new(),
            }),
        }
    }
    units
}

fn sentences(body: &str) -> Vec<Unit> {
    body.split_sentence_bound_indices()
        .map(|(start, part)| Unit {
            start,
            end: start + part.len(),
            weight: chars(part),
            section: false,
            heading_path: String::new(),
        })
        .collect()
}

/// Blocks of Markdown: a heading starts a section; fenced code is one block; other lines join to paragraphs.
fn blocks(body: &str) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    let mut headings: Vec<(usize, String)> = Vec::new();
    let mut fence: Option<(char, usize)> = None;
    let mut start = 0;
    let mut join = false;
    for line in body.split_inclusive('\n') {
        let end = start + line.len();
        let bare = line.trim();
        let was_fenced = fence.is_some();
        let opens = fence_of(line);
        let heading = if was_fenced { None } else { heading_of(line) };
        match (fence, opens) {
            (Some((c, n)), Some((d, m))) if c == d && m >= n && bare.chars().all(|x| x == d) => fence = None,
            (None, Some(found)) => fence = Some(found),
            _ => {}
        }
        if let Some((level, text)) = &heading {
            headings.retain(|(l, _)| l < level);
            headings.push((*level, text.clone()));
        }
        let table_row = !was_fenced && bare.starts_with('|');
        let joins = join && heading.is_none() && (was_fenced || (opens.is_none() && !table_row));
        match units.last_mut() {
            Some(last) if joins || (bare.is_empty() && !was_fenced) => {
                last.end = end;
                last.weight += chars(line);
            }
            _ => units.push(Unit {
                start,
                end,
                weight: chars(line),
                section: heading.is_some() && !units.is_empty(),
                heading_path: headings.iter().map(|(_, t)| t.as_str()).collect::<Vec<_>>().join(" > "),
            }),
        }
        join = was_fenced && fence.is_some()
            || (!was_fenced && opens.is_some())
            || (!bare.is_empty() && heading.is_none() && !table_row && fence.is_none() && !was_fenced);
        start = end;
    }
    units
}

fn fence_of(line: &str) -> Option<(char, usize)> {
    let bare = line.trim_start();
    let mark = bare.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let length = bare.chars().take_while(|c| *c == mark).count();
    (length >= 3).then_some((mark, length))
}

fn heading_of(line: &str) -> Option<(usize, String)> {
    let level = line.bytes().take_while(|b| *b == b'#').count();
    let rest = line.get(level..)?;
    if !(1..=6).contains(&level) || !(rest.starts_with([' ', '\t']) || rest.trim().is_empty()) {
        return None;
    }
    Some((level, rest.trim().trim_end_matches('#').trim_end().to_owned()))
}

#[cfg(test)]
mod tests;
