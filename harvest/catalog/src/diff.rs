//! Differences between two runs of a target, by object identity and by path; it compares stored rows only.

use std::collections::{BTreeMap, BTreeSet};

use harvest::{HarvestResult, ObjectMeta};
use rusqlite::{Connection, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::catalog::Catalog;
use crate::fail::StoreResult;
use crate::keys::object_key;
use crate::object_load;

/// Which runs and objects to compare.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DiffRequest {
    /// The earlier run.
    pub from_run_id: i64,
    /// The later run.
    pub to_run_id: i64,
    /// Only this schema.
    pub schema: Option<String>,
    /// Only this type.
    pub object_type: Option<String>,
    /// Row and size estimates count as differences.
    pub include_estimates: bool,
    /// Differences at most on a page, over all three lists.
    pub limit: usize,
    /// Differences left out at the start.
    pub offset: usize,
}

impl DiffRequest {
    /// The first page of all differences.
    #[must_use]
    pub fn new(from_run_id: i64, to_run_id: i64) -> Self {
        Self {
            from_run_id,
            to_run_id,
            schema: None,
            object_type: None,
            include_estimates: false,
            limit: 50,
            offset: 0,
        }
    }
}

/// A page of differences.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct DiffResponse {
    /// The earlier run.
    pub from_run_id: i64,
    /// The later run.
    pub to_run_id: i64,
    /// Objects that only the later run has.
    pub added: Vec<DiffObject>,
    /// Objects that only the earlier run has.
    pub removed: Vec<DiffObject>,
    /// Objects that differ.
    pub changed: Vec<ChangedObject>,
    /// Numbers over all pages.
    pub summary: DiffSummary,
    /// Where the next page starts.
    #[serde(skip)]
    pub next_offset: Option<usize>,
}

/// An object of one run only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct DiffObject {
    pub object_key: String,
    pub object_type: String,
}

/// An object that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct ChangedObject {
    pub object_key: String,
    pub object_type: String,
    pub changes: Vec<Change>,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Change {
    /// Such as `columns.email.column_type` or `foreign_keys.fk_x.on_delete`.
    pub path: String,
    /// added, removed or changed.
    pub op: String,
    /// Value in the earlier run.
    pub from: Json,
    /// Value in the later run.
    pub to: Json,
}

/// Numbers of a comparison.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct DiffSummary {
    pub added: u64,
    pub removed: u64,
    pub changed: u64,
    pub unchanged: u64,
}

struct Side {
    object_id: i64,
    key: String,
    object_type: String,
    hash: String,
    estimates: [Option<i64>; 3],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Added,
    Removed,
    Changed,
}

impl Catalog {
    /// Compares two runs; the caller has resolved both for one target.
    ///
    /// # Errors
    /// Those of the store.
    pub fn diff_runs(&self, request: &DiffRequest) -> HarvestResult<DiffResponse> {
        self.store().read(|c| {
            let from = sides(c, request.from_run_id, request)?;
            let to = sides(c, request.to_run_id, request)?;
            let mut summary = DiffSummary::default();
            let mut all: Vec<(Kind, &str)> = Vec::new();
            let uids: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
            for uid in uids {
                let kind = match (from.get(uid), to.get(uid)) {
                    (Some(a), Some(b)) if is_equal(a, b, request.include_estimates) => {
                        summary.unchanged += 1;
                        continue;
                    }
                    (Some(_), Some(_)) => Kind::Changed,
                    (None, _) => Kind::Added,
                    (_, None) => Kind::Removed,
                };
                all.push((kind, uid));
            }
            let count = |kind| all.iter().filter(|(k, _)| *k == kind).count() as u64;
            summary.added = count(Kind::Added);
            summary.removed = count(Kind::Removed);
            summary.changed = count(Kind::Changed);
            all.sort_by_key(|(kind, uid)| {
                let side = to.get(*uid).or_else(|| from.get(*uid));
                (*kind as u8, side.map(|s| (s.key.clone(), s.object_type.clone())))
            });
            let mut out = DiffResponse {
                from_run_id: request.from_run_id,
                to_run_id: request.to_run_id,
                added: Vec::new(),
                removed: Vec::new(),
                changed: Vec::new(),
                summary,
                next_offset: Some(request.offset.saturating_add(request.limit))
                    .filter(|end| *end < all.len()),
            };
            for (_, uid) in all.into_iter().skip(request.offset).take(request.limit) {
                fill(c, &mut out, from.get(uid), to.get(uid), request.include_estimates)?;
            }
            Ok(out)
        })
    }
}

fn is_equal(a: &Side, b: &Side, include_estimates: bool) -> bool {
    a.hash == b.hash && (!include_estimates || a.estimates == b.estimates)
}

fn fill(
    c: &Connection,
    out: &mut DiffResponse,
    from: Option<&Side>,
    to: Option<&Side>,
    include_estimates: bool,
) -> HarvestResult<()> {
    let plain = |s: &Side| DiffObject { object_key: s.key.clone(), object_type: s.object_type.clone() };
    match (from, to) {
        (Some(a), Some(b)) => {
            let mut changes = Vec::new();
            if a.hash != b.hash {
                let before = paths(&object_load::load(c, a.object_id)?.meta);
                let after = paths(&object_load::load(c, b.object_id)?.meta);
                compare(&before, &after, &mut changes);
            }
            if include_estimates {
                for (at, name) in ["table_rows_est", "data_length", "index_length"].iter().enumerate() {
                    if a.estimates[at] != b.estimates[at] {
                        changes.push(change(name, &json!(a.estimates[at]), &json!(b.estimates[at])));
                    }
                }
            }
            out.changed.push(ChangedObject {
                object_key: b.key.clone(),
                object_type: b.object_type.clone(),
                changes,
            });
        }
        (None, Some(b)) => out.added.push(plain(b)),
        (Some(a), None) => out.removed.push(plain(a)),
        (None, None) => {}
    }
    Ok(())
}

fn sides(c: &Connection, run_id: i64, request: &DiffRequest) -> HarvestResult<BTreeMap<String, Side>> {
    let mut statement = c
        .prepare_cached(
            "SELECT object_uid, object_id, schema_name, object_name, object_type, content_hash, table_rows_est,
               data_length, index_length FROM objects WHERE run_id = ?1 AND (?2 IS NULL OR schema_name = ?2)
               AND (?3 IS NULL OR object_type = ?3)",
        )
        .db()?;
    let rows = statement
        .query_map(params![run_id, request.schema, request.object_type], |r| {
            Ok((
                r.get(0)?,
                Side {
                    object_id: r.get(1)?,
                    key: object_key(&r.get::<_, String>(2)?, &r.get::<_, String>(3)?),
                    object_type: r.get(4)?,
                    hash: r.get(5)?,
                    estimates: [r.get(6)?, r.get(7)?, r.get(8)?],
                },
            ))
        })
        .db()?;
    rows.collect::<rusqlite::Result<_>>().db()
}

/// An object as sections of named parts with fields, and fields of its own.
type Paths = BTreeMap<&'static str, BTreeMap<String, Map<String, Json>>>;

fn paths(object: &ObjectMeta) -> Paths {
    let fields = |value: Json| match value {
        Json::Object(map) => map,
        _ => Map::new(),
    };
    let columns = object.columns.iter().map(|c| {
        let mut f = fields(json!(c));
        f.remove("name");
        (c.name.clone(), f)
    });
    let indexes = object.indexes.iter().map(|i| {
        let mut f = fields(json!(i));
        f.remove("name");
        f.remove("cardinality");
        (i.name.clone(), f)
    });
    let keys = object.foreign_keys.iter().map(|k| {
        let mut f = fields(json!(k));
        f.remove("name");
        (k.name.clone(), f)
    });
    let constraints = object.constraints.iter().map(|k| {
        let mut f = fields(json!(k));
        f.remove("name");
        (k.name.clone(), f)
    });
    let own = json!({
        "subtype": object.subtype, "parent": object.parent, "comment": object.comment, "definition": object.definition,
    });
    BTreeMap::from([
        ("columns", columns.collect()),
        ("indexes", indexes.collect()),
        ("foreign_keys", keys.collect()),
        ("constraints", constraints.collect()),
        ("", BTreeMap::from([(String::new(), fields(own))])),
    ])
}

fn compare(before: &Paths, after: &Paths, out: &mut Vec<Change>) {
    let none = BTreeMap::new();
    for (section, old) in before {
        let new = after.get(section).unwrap_or(&none);
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names {
            let path = |field: &str| {
                [*section, name, field]
                    .iter()
                    .filter(|p| !p.is_empty())
                    .copied()
                    .collect::<Vec<_>>()
                    .join(".")
            };
            match (old.get(name), new.get(name)) {
                (Some(a), Some(b)) => {
                    for (field, value) in a {
                        let other = b.get(field).unwrap_or(&Json::Null);
                        if value != other {
                            out.push(change(&path(field), value, other));
                        }
                    }
                }
                (a, b) => out.push(change(&path(""), &json!(a), &json!(b))),
            }
        }
    }
}

fn change(path: &str, from: &Json, to: &Json) -> Change {
    let op = match (from.is_null(), to.is_null()) {
        (true, false) => "added",
        (false, true) => "removed",
        _ => "changed",
    };
    Change { path: path.to_owned(), op: op.to_owned(), from: from.clone(), to: to.clone() }
}
