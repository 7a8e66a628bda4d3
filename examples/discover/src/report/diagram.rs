//! Tables and their keys as inline SVG, laid out on a grid with neighbours close together; it decides no key.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Write as _;

use bridge_ai::{Facts, KeyOrigin, ObjectFact};

use super::html::escape;

/// Boxes that still fit an eye; the best connected ones are drawn.
const BOXES_MAX: usize = 60;
const COLUMNS_SHOWN: usize = 6;
const NAME_CHARS: usize = 26;
const WIDTH: usize = 210;
const LINE: usize = 16;
const GAP_X: usize = 70;
const GAP_Y: usize = 36;

struct Placed<'a> {
    object: &'a ObjectFact,
    x: usize,
    y: usize,
    height: usize,
}

/// The diagram.
pub(super) fn svg(facts: &Facts) -> String {
    let order = ordered(facts);
    let across = (1..).find(|n| n * n * 2 >= order.len() * 3).unwrap_or(1);
    let mut placed: Vec<Placed<'_>> = Vec::new();
    let mut y = 10;
    for row in order.chunks(across) {
        let mut tallest = 0;
        for (at, object) in row.iter().enumerate() {
            let height = LINE * (shown(object).len() + 1) + 10;
            tallest = tallest.max(height);
            placed.push(Placed { object, x: 10 + at * (WIDTH + GAP_X), y, height });
        }
        y += tallest + GAP_Y;
    }
    let width = 20 + across.min(order.len().max(1)) * (WIDTH + GAP_X);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{y}\" viewBox=\"0 0 {width} {y}\" font-family=\"system-ui,sans-serif\" font-size=\"12\" role=\"img\"><title>Tables and keys</title>"
    );
    edges(&mut out, facts, &placed);
    for item in &placed {
        boxed(&mut out, item);
    }
    out.push_str("</svg>");
    if order.len() < facts.objects.len() {
        let _ = write!(
            out,
            "<p>The {} best connected of {} objects are drawn.</p>",
            order.len(),
            facts.objects.len()
        );
    }
    out
}

/// Best connected first, then what is next to those, so that neighbours come near.
fn ordered(facts: &Facts) -> Vec<&ObjectFact> {
    let mut next: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for key in facts.keys.iter().filter(|k| k.child != k.parent) {
        next.entry(&key.child).or_default().push(&key.parent);
        next.entry(&key.parent).or_default().push(&key.child);
    }
    let degree = |object: &ObjectFact| next.get(object.object_key.as_str()).map_or(0, Vec::len);
    let mut by_degree: Vec<&ObjectFact> = facts.objects.iter().collect();
    by_degree.sort_by(|a, b| degree(b).cmp(&degree(a)).then_with(|| a.object_key.cmp(&b.object_key)));
    by_degree.truncate(BOXES_MAX);
    let mut left: HashMap<&str, &ObjectFact> =
        by_degree.iter().map(|o| (o.object_key.as_str(), *o)).collect();
    let mut out = Vec::new();
    for start in by_degree {
        let mut queue = VecDeque::from([start.object_key.as_str()]);
        while let Some(key) = queue.pop_front() {
            let Some(object) = left.remove(key) else { continue };
            out.push(object);
            queue.extend(next.get(key).into_iter().flatten().copied());
        }
    }
    out
}

/// Keys first, as many columns as are shown.
fn shown(object: &ObjectFact) -> Vec<(&str, bool)> {
    let mut columns: Vec<(&str, bool)> = object.columns.iter().map(|(n, _, pk)| (n.as_str(), *pk)).collect();
    columns.sort_by_key(|(name, pk)| (!pk, !name.to_lowercase().ends_with("id")));
    columns.truncate(COLUMNS_SHOWN);
    columns
}

fn boxed(out: &mut String, item: &Placed<'_>) {
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
        escape(&cut(&item.object.object_key))
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

fn edges(out: &mut String, facts: &Facts, placed: &[Placed<'_>]) {
    let at: HashMap<&str, &Placed<'_>> = placed.iter().map(|p| (p.object.object_key.as_str(), p)).collect();
    for key in &facts.keys {
        let (Some(child), Some(parent)) = (at.get(key.child.as_str()), at.get(key.parent.as_str())) else {
            continue;
        };
        let (dash, colour) = match key.origin {
            KeyOrigin::Declared => ("", "#557"),
            KeyOrigin::Inferred => (" stroke-dasharray=\"6 4\"", "#b60"),
            KeyOrigin::Llm => (" stroke-dasharray=\"2 3\"", "#a3a"),
        };
        let path = path(child, parent);
        let _ = write!(
            out,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\"{dash}><title>{}.{} \u{2192} {}.{}</title></path>",
            escape(&key.child),
            escape(&key.child_columns.join(", ")),
            escape(&key.parent),
            escape(&key.parent_columns.join(", "))
        );
    }
}

/// From the near side of one box to the near side of the other.
fn path(child: &Placed<'_>, parent: &Placed<'_>) -> String {
    let (cy, py) = (child.y + child.height / 2, parent.y + parent.height / 2);
    let bend = GAP_X / 2;
    if child.x == parent.x {
        let side = child.x + WIDTH;
        return format!(
            "M{side} {cy}C{} {cy} {} {py} {side} {}",
            side + bend,
            side + bend,
            if cy == py { py + LINE } else { py }
        );
    }
    let (from, to) =
        if child.x < parent.x { (child.x + WIDTH, parent.x) } else { (child.x, parent.x + WIDTH) };
    let (c1, c2) = if from < to {
        (from + bend, to.saturating_sub(bend))
    } else {
        (from.saturating_sub(bend), to + bend)
    };
    format!("M{from} {cy}C{c1} {cy} {c2} {py} {to} {py}")
}

fn cut(text: &str) -> String {
    if text.chars().count() <= NAME_CHARS {
        return text.to_owned();
    }
    text.chars().take(NAME_CHARS - 1).chain(['\u{2026}']).collect()
}
