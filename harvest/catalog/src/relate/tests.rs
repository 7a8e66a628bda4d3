//! Precision and recall of inference on a planted schema without declared keys.

use std::collections::BTreeSet;

use harvest::FakeDialect;

use super::{TableModel, from_meta, infer};
use crate::derive::derive;
use crate::tests_support::{Truth, index, table};

/// Schema text: one table a line, `name: key, columns…`; `> table.column` after a column plants a reference.
const PLANTED: &str = include_str!("planted.txt");

type Pair = (String, String);

fn planted() -> (Vec<harvest::ObjectMeta>, BTreeSet<Pair>) {
    let mut tables = Vec::new();
    let mut truth = BTreeSet::new();
    for line in PLANTED.lines().filter(|l| !l.trim().is_empty() && !l.starts_with('#')) {
        let (name, columns) = line.split_once(':').expect("name: columns");
        let mut specs = Vec::new();
        let mut indexed = Vec::new();
        for column in columns.split(',').map(str::trim) {
            let (spec, reference) = match column.split_once('>') {
                Some((spec, reference)) => (spec.trim(), Some(reference.trim())),
                None => (column, None),
            };
            let is_indexed = spec.ends_with('+');
            let spec = spec.trim_end_matches('+').trim();
            let column = spec.split(' ').next().expect("a name").to_owned();
            if is_indexed {
                indexed.push(column.clone());
            }
            if let Some(reference) = reference {
                truth.insert((format!("{name}.{column}"), reference.to_owned()));
            }
            specs.push(spec);
        }
        let mut object = table("shop", name, &specs);
        for column in indexed {
            object.indexes.push(index(&format!("i_{column}"), &[&column], false, false));
        }
        tables.push(object);
    }
    (tables, truth)
}

fn measured(with_values: bool) -> (f64, f64, Vec<(Pair, f64)>) {
    let (objects, truth) = planted();
    let models: Vec<TableModel> = objects.iter().map(|o| from_meta(o, &derive(o, &FakeDialect))).collect();
    let mut probe = Truth::default();
    probe.pairs.extend(truth.iter().map(|pair| (pair.clone(), 1.0)));
    let probe = with_values.then_some(&mut probe as &mut dyn crate::ValueProbe);
    let found = infer(&models, probe, 200, &|_| None, &mut |_| Ok(())).expect("infer");
    let name =
        |place: (usize, usize)| format!("{}.{}", models[place.0].name, models[place.0].columns[place.1].name);
    let all: Vec<(Pair, f64)> =
        found.iter().map(|i| ((name(i.child), name(i.parent)), i.confidence)).collect();
    let strong: BTreeSet<&Pair> = all.iter().filter(|(_, c)| *c >= 0.6).map(|(p, _)| p).collect();
    let right = strong.iter().filter(|p| truth.contains(**p)).count();
    #[expect(clippy::cast_precision_loss, reason = "a few dozen pairs")]
    let (recall, precision) = (right as f64 / truth.len() as f64, right as f64 / strong.len().max(1) as f64);
    (recall, precision, all)
}

#[test]
fn planted_references_are_found_with_values() {
    let (recall, precision, all) = measured(true);
    assert!(recall >= 0.9 && precision >= 0.9, "recall {recall:.3}, precision {precision:.3}: {all:#?}");
}

#[test]
fn names_and_types_alone_stay_precise() {
    let (recall, precision, all) = measured(false);
    assert!(recall >= 0.7 && precision >= 0.9, "recall {recall:.3}, precision {precision:.3}: {all:#?}");
}

#[test]
fn evidence_is_recorded() {
    let (objects, _) = planted();
    let models: Vec<TableModel> = objects.iter().map(|o| from_meta(o, &derive(o, &FakeDialect))).collect();
    let found = infer(&models, None, 0, &|_| None, &mut |_| Ok(())).expect("infer");
    let one = found
        .iter()
        .find(|i| {
            models[i.child.0].name == "orders" && models[i.child.0].columns[i.child.1].name == "customer_id"
        })
        .expect("orders.customer_id");
    insta::assert_json_snapshot!(one.evidence);
}
