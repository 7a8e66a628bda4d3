//! Where the boxes of a diagram stand: referred tables left of those that refer, lines led between the boxes; it draws nothing.

use std::collections::{BTreeMap, BTreeSet};

/// Rounds in which neighbours pull each other together.
const ROUNDS: usize = 8;
/// Height of a place where a line passes a column of boxes.
const PASS: usize = 10;

/// What stands in a column: a box, or lines to one parent that pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Item {
    Box(usize),
    Pass { parent: usize, layer: usize },
}

/// Places of boxes and lines. Columns count from the left.
pub(super) struct Layout {
    /// Column and top of each box.
    pub(super) boxes: Vec<(usize, usize)>,
    passes: BTreeMap<(usize, usize), usize>,
    /// Columns.
    pub(super) columns: usize,
    /// Height of all.
    pub(super) height: usize,
}

impl Layout {
    /// Lays out boxes of these heights; an edge is a child and its parent.
    pub(super) fn new(heights: &[usize], edges: &BTreeSet<(usize, usize)>, gap: usize) -> Self {
        let layers = layers(heights.len(), edges);
        let columns = layers.iter().max().map_or(0, |deepest| deepest + 1);
        let mut stacks: Vec<Vec<Item>> = vec![Vec::new(); columns];
        for (at, layer) in layers.iter().enumerate() {
            stacks[*layer].push(Item::Box(at));
        }
        let mut near: BTreeMap<Item, Vec<Item>> = BTreeMap::new();
        let mut join = |a: Item, b: Item| {
            near.entry(a).or_default().push(b);
            near.entry(b).or_default().push(a);
        };
        let mut known = BTreeSet::new();
        for (child, parent) in edges {
            let mut before = Item::Box(*parent);
            for layer in between(&layers, *child, *parent) {
                let pass = Item::Pass { parent: *parent, layer };
                if known.insert(pass) {
                    stacks[layer].push(pass);
                    join(before, pass);
                }
                before = pass;
            }
            join(before, Item::Box(*child));
        }
        let tall = |item: Item| match item {
            Item::Box(at) => heights[at],
            Item::Pass { .. } => PASS,
        };
        let mut tops: BTreeMap<Item, isize> = BTreeMap::new();
        for stack in &stacks {
            place(stack, &mut tops, &tall, gap, &|_| None);
        }
        for round in 0..ROUNDS {
            let order: Vec<usize> =
                if round % 2 == 0 { (0..columns).collect() } else { (0..columns).rev().collect() };
            for column in order {
                let wish = |item: Item, tops: &BTreeMap<Item, isize>| middle(item, &near, tops, &tall);
                let wishes: BTreeMap<Item, isize> =
                    stacks[column].iter().filter_map(|i| Some((*i, wish(*i, &tops)?))).collect();
                stacks[column]
                    .sort_by_key(|i| wishes.get(i).copied().unwrap_or_else(|| tops[i] + half(tall(*i))));
                let stack = stacks[column].clone();
                place(&stack, &mut tops, &tall, gap, &|item| wishes.get(&item).copied());
            }
        }
        let first = tops.values().min().copied().unwrap_or(0);
        let top = |item: Item| usize::try_from(tops[&item] - first).unwrap_or(0);
        Self {
            boxes: (0..heights.len()).map(|at| (layers[at], top(Item::Box(at)))).collect(),
            passes: known
                .iter()
                .filter_map(|item| match item {
                    Item::Pass { parent, layer } => Some(((*parent, *layer), top(*item) + PASS / 2)),
                    Item::Box(_) => None,
                })
                .collect(),
            columns,
            height: tops.keys().map(|item| top(*item) + tall(*item)).max().unwrap_or(0),
        }
    }

    /// The columns that a line passes on its way from parent to child, each with its height there.
    pub(super) fn passes(&self, child: usize, parent: usize) -> Vec<(usize, usize)> {
        let layers: Vec<usize> = self.boxes.iter().map(|(layer, _)| *layer).collect();
        let list = between(&layers, child, parent);
        list.into_iter().filter_map(|layer| Some((layer, *self.passes.get(&(parent, layer))?))).collect()
    }
}

fn half(height: usize) -> isize {
    isize::try_from(height / 2).unwrap_or(0)
}

/// Columns between two boxes, from the parent's side.
fn between(layers: &[usize], child: usize, parent: usize) -> Vec<usize> {
    let (from, to) = (layers[parent], layers[child]);
    if from < to { (from + 1..to).collect() } else { (to + 1..from).rev().collect() }
}

/// The mean height of what an item is joined with.
fn middle(
    item: Item,
    near: &BTreeMap<Item, Vec<Item>>,
    tops: &BTreeMap<Item, isize>,
    tall: &dyn Fn(Item) -> usize,
) -> Option<isize> {
    let list = near.get(&item)?;
    let sum: isize = list.iter().map(|other| tops[other] + half(tall(*other))).sum();
    Some(sum / isize::try_from(list.len()).ok()?)
}

/// Puts a column's items below each other, near their wishes, and the column as a whole where it pulls least.
fn place(
    stack: &[Item],
    tops: &mut BTreeMap<Item, isize>,
    tall: &dyn Fn(Item) -> usize,
    gap: usize,
    wish: &dyn Fn(Item) -> Option<isize>,
) {
    let gap = isize::try_from(gap).unwrap_or(0);
    let (mut free, mut off, mut wishes) = (isize::MIN / 2, 0, 0);
    for item in stack {
        let height = isize::try_from(tall(*item)).unwrap_or(0);
        let wanted = wish(*item).map(|middle| middle - height / 2);
        let at = wanted.unwrap_or(free.max(0)).max(free);
        if let Some(wanted) = wanted {
            off += at - wanted;
            wishes += 1;
        }
        tops.insert(*item, at);
        free = at + height + gap;
    }
    if wishes > 0 {
        for item in stack {
            if let Some(top) = tops.get_mut(item) {
                *top -= off / wishes;
            }
        }
    }
}

/// The column of each box: right of everything it refers to, and close to what refers to it.
fn layers(count: usize, edges: &BTreeSet<(usize, usize)>) -> Vec<usize> {
    let mut parents: Vec<Vec<usize>> = vec![Vec::new(); count];
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (child, parent) in edges {
        parents[*child].push(*parent);
        children[*parent].push(*child);
    }
    let mut layers: Vec<Option<usize>> = vec![None; count];
    for at in 0..count {
        depth(at, &parents, &mut layers, &mut BTreeSet::new());
    }
    let mut layers: Vec<usize> = layers.into_iter().map(Option::unwrap_or_default).collect();
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(|at| std::cmp::Reverse(layers[*at]));
    for at in order {
        if let Some(nearest) = children[at].iter().map(|child| layers[*child]).min() {
            layers[at] = layers[at].max(nearest.saturating_sub(1));
        }
    }
    layers
}

/// One more than the deepest parent; a reference back into the way here counts for nothing.
fn depth(
    at: usize,
    parents: &[Vec<usize>],
    layers: &mut [Option<usize>],
    way: &mut BTreeSet<usize>,
) -> usize {
    if let Some(known) = layers[at] {
        return known;
    }
    if !way.insert(at) {
        return 0;
    }
    let depths = parents[at].iter().filter(|parent| **parent != at);
    let mut deepest = 0;
    for parent in depths {
        if !way.contains(parent) {
            deepest = deepest.max(depth(*parent, parents, layers, way) + 1);
        }
    }
    way.remove(&at);
    layers[at] = Some(deepest);
    deepest
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Layout;

    fn layout(count: usize, edges: &[(usize, usize)]) -> Layout {
        Layout::new(&vec![60; count], &edges.iter().copied().collect::<BTreeSet<_>>(), 10)
    }

    #[test]
    fn boxes_never_overlap_and_parents_stand_left() {
        let edges = [(1, 0), (2, 0), (3, 1), (3, 2), (4, 3), (4, 0), (5, 4), (6, 4), (7, 0)];
        let layout = layout(9, &edges);
        for (child, parent) in edges {
            assert!(layout.boxes[parent].0 < layout.boxes[child].0);
        }
        for (a, one) in layout.boxes.iter().enumerate() {
            for other in &layout.boxes[a + 1..] {
                assert!(one.0 != other.0 || one.1.abs_diff(other.1) >= 70, "{:?}", layout.boxes);
            }
            assert!(one.1 + 60 <= layout.height);
        }
        // From 0 to 4 a line passes two columns, without touching a box there.
        let passes = layout.passes(4, 0);
        assert_eq!(passes.iter().map(|p| p.0).collect::<Vec<_>>(), [1, 2]);
        for (column, y) in passes {
            assert!(
                layout.boxes.iter().all(|b| b.0 != column || y < b.1 || y > b.1 + 60),
                "{:?}",
                layout.boxes
            );
        }
    }

    #[test]
    fn circles_and_nothing_end() {
        assert_eq!(layout(0, &[]).columns, 0);
        let round = layout(3, &[(0, 1), (1, 2), (2, 0)]);
        assert!(round.columns >= 2);
    }
}
