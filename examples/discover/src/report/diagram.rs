//! Tables and their keys as inline SVG: referred tables left, what refers to them right, the rest below; it decides no key.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use bridge_ai::{Facts, KeyFact, KeyOrigin, ObjectFact};

use super::html::escape;
use super::label;
use super::layout::Layout;

/// Boxes that still fit an eye; the best connected ones are drawn.
const BOXES_MAX: usize = 60;
const COLUMNS_SHOWN: usize = 6;
const NAME_CHARS: usize = 26;
const WIDTH: usize = 190;
const LINE: usize = 16;
const GAP_X: usize = 80;
const GAP_Y: usize = 22;
const EDGE: usize = 12;

struct Placed<'a> {
    object: &'a ObjectFact,
    x: usize,
    y: usize,
    height: usize,
}

/// The diagram.
pub(super) fn svg(facts: &Facts) -> String {
    let (linked, alone) = chosen(facts);
    let at: HashMap<&str, usize> =
        linked.iter().enumerate().map(|(n, o)| (o.object_key.as_str(), n)).collect();
    let ends = |key: &KeyFact| Some((*at.get(key.child.as_str())?, *at.get(key.parent.as_str())?));
    let joined: BTreeSet<(usize, usize)> =
        facts.keys.iter().filter_map(ends).filter(|(c, p)| c != p).collect();
    let heights: Vec<usize> = linked.iter().map(|object| height(object)).collect();
    let layout = Layout::new(&heights, &joined, GAP_Y);
    let x = |column: usize| EDGE + column * (WIDTH + GAP_X);
    let mut placed: Vec<Placed<'_>> = linked
        .iter()
        .zip(&layout.boxes)
        .map(|(object, (column, top))| Placed {
            object,
            x: x(*column),
            y: EDGE + top,
            height: height(object),
        })
        .collect();
    let mut bottom = if linked.is_empty() { EDGE } else { EDGE + layout.height + GAP_Y * 2 };
    let across = layout.columns.max(4);
    for row in alone.chunks(across) {
        let tops = row.iter().enumerate().map(|(n, object)| Placed {
            object,
            x: x(n),
            y: bottom,
            height: height(object),
        });
        placed.extend(tops);
        bottom += row.iter().map(|object| height(object)).max().unwrap_or(0) + GAP_Y;
    }
    let width = x(across) + EDGE;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{bottom}\" viewBox=\"0 0 {width} {bottom}\" font-family=\"system-ui,sans-serif\" font-size=\"12\" role=\"img\"><title>Tables and keys</title>"
    );
    for key in &facts.keys {
        if let Some((child, parent)) = ends(key) {
            let way = layout.passes(child, parent).into_iter().map(|(column, y)| (x(column), EDGE + y));
            edge(&mut out, key, &placed[child], &placed[parent], &way.collect::<Vec<_>>());
        }
    }
    for item in &placed {
        boxed(&mut out, facts, item);
    }
    out.push_str("</svg>");
    if placed.len() < facts.objects.len() {
        let _ = write!(
            out,
            "<p>The {} best connected of {} objects are drawn.</p>",
            placed.len(),
            facts.objects.len()
        );
    }
    out
}

fn height(object: &ObjectFact) -> usize {
    LINE * (shown(object).len() + 1) + 10
}

/// The best connected objects, those with keys and those without.
fn chosen(facts: &Facts) -> (Vec<&ObjectFact>, Vec<&ObjectFact>) {
    let mut degrees: BTreeMap<&str, usize> = BTreeMap::new();
    for key in facts.keys.iter().filter(|k| k.child != k.parent) {
        *degrees.entry(&key.child).or_default() += 1;
        *degrees.entry(&key.parent).or_default() += 1;
    }
    let degree = |object: &ObjectFact| degrees.get(object.object_key.as_str()).copied().unwrap_or(0);
    let mut all: Vec<&ObjectFact> = facts.objects.iter().collect();
    all.sort_by(|a, b| degree(b).cmp(&degree(a)).then_with(|| a.object_key.cmp(&b.object_key)));
    all.truncate(BOXES_MAX);
    all.into_iter().partition(|object| degree(object) > 0)
}

/// Keys first, as many columns as are shown.
fn shown(object: &ObjectFact) -> Vec<(&str, bool)> {
    let mut columns: Vec<(&str, bool)> = object.columns.iter().map(|(n, _, pk)| (n.as_str(), *pk)).collect();
    columns.sort_by_key(|(name, pk)| (!pk, !name.to_lowercase().ends_with("id")));
    columns.truncate(COLUMNS_SHOWN);
    columns
}

fn boxed(out: &mut String, facts: &Facts, item: &Placed<'_>) {
    let (x, y) = (item.x, item.y);
    let fill = if item.object.object_type == "table" { "#eef3fb" } else { "#f1f7ee" };
    let _ = write!(
        out,
        "<g><title>{}</title><rect x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{}\" rx=\"4\" fill=\"{fill}\" stroke=\"#567\"/>\
         <text x=\"{}\" y=\"{}\" font-weight=\"bold\" fill=\"#123\">{}</text>",
        escape(&item.object.object_key),
        item.height,
        x + 8,
        y + LINE,
        escape(&cut(label(facts, &item.object.object_key)))
    );
    for (at, (name, is_pk)) in shown(item.object).iter().enumerate() {
        let mark = if *is_pk { "\u{25c6} " } else { "" };
        let _ = write!(
            out,
            "<text x=\"{}\" y=\"{}\" fill=\"#345\">{mark}{}</text>",
            x + 8,
            y + LINE * (at + 2),
            escape(&cut(name))
        );
    }
    out.push_str("</g>");
}

/// A line from the child's column to the parent's, led between the boxes on its way; a dot marks the parent's end.
fn edge(out: &mut String, key: &KeyFact, child: &Placed<'_>, parent: &Placed<'_>, way: &[(usize, usize)]) {
    let (dash, colour) = match key.origin {
        KeyOrigin::Declared => ("", "#557"),
        KeyOrigin::Inferred => (" stroke-dasharray=\"6 4\"", "#b60"),
        KeyOrigin::Llm => (" stroke-dasharray=\"2 3\"", "#a3a"),
    };
    let (from, to) = (row(child, &key.child_columns), row(parent, &key.parent_columns));
    let (path, end) = path(child, from, parent, to, way);
    let _ = write!(
        out,
        "<g stroke=\"{colour}\"><title>{}.{} \u{2192} {}.{}</title><path d=\"{path}\" fill=\"none\"{dash}/>\
         <circle cx=\"{}\" cy=\"{}\" r=\"3\" fill=\"{colour}\"/></g>",
        escape(&key.child),
        escape(&key.child_columns.join(", ")),
        escape(&key.parent),
        escape(&key.parent_columns.join(", ")),
        end.0,
        end.1
    );
}

/// The height of a key's first column in its box; the head, if it is not shown.
fn row(item: &Placed<'_>, columns: &[String]) -> usize {
    let at =
        shown(item.object).iter().position(|(name, _)| columns.first().is_some_and(|first| first == name));
    item.y + at.map_or(LINE - 4, |at| LINE * (at + 2) - 4)
}

fn path(
    child: &Placed<'_>,
    from: usize,
    parent: &Placed<'_>,
    to: usize,
    way: &[(usize, usize)],
) -> (String, (usize, usize)) {
    let bend = GAP_X / 2;
    if child.x == parent.x {
        let side = child.x + WIDTH;
        return (format!("M{side} {from}C{0} {from} {0} {to} {side} {to}", side + bend), (side, to));
    }
    let is_right = parent.x < child.x;
    let start = if is_right { parent.x + WIDTH } else { parent.x };
    let mut out = format!("M{start} {to}");
    let (mut x, mut y) = (start, to);
    let mut curve = |to_x: usize, to_y: usize, next_x: usize| {
        let (one, two) = if is_right { (x + bend, to_x - bend) } else { (x - bend, to_x + bend) };
        let _ = write!(out, "C{one} {y} {two} {to_y} {to_x} {to_y}");
        if next_x != to_x {
            let _ = write!(out, "H{next_x}");
        }
        (x, y) = (next_x, to_y);
    };
    for (left, height) in way {
        let (near, far) = if is_right { (*left, left + WIDTH) } else { (left + WIDTH, *left) };
        curve(near, *height, far);
    }
    let last = if is_right { child.x } else { child.x + WIDTH };
    curve(last, from, last);
    (out, (start, to))
}

fn cut(text: &str) -> String {
    if text.chars().count() <= NAME_CHARS {
        return text.to_owned();
    }
    text.chars().take(NAME_CHARS - 1).chain(['\u{2026}']).collect()
}
