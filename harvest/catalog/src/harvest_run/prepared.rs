//! A snapshot with everything derived of it, ready to be written; it touches no table.

use std::collections::HashMap;

use harvest::{Dialect, HarvestCode, HarvestResult, MetadataSnapshot, ObjectMeta, ObjectType};
use serde_json::{Value as Json, json};

use crate::derive::{Derived, derive};
use crate::keys::object_uid;
use crate::relate::{self, Inferred, TableModel};
use crate::source::{HarvestStage, ValueProbe};

use super::base::Base;
use super::{Attempt, Changes, HarvestOptions, ProfileLevel};

/// Everything that one write needs.
pub(crate) struct Prepared {
    pub(crate) dialect: &'static dyn Dialect,
    pub(crate) snapshot: MetadataSnapshot,
    pub(crate) derived: Vec<Derived>,
    pub(crate) uids: Vec<String>,
    /// Object of the base run with the same content, per object.
    pub(crate) carried_from: Vec<Option<i64>>,
    /// Profiles per object: kind and result.
    pub(crate) profiles: Vec<Vec<(&'static str, Json)>>,
    /// References between objects, by position in the snapshot.
    pub(crate) inferred: Vec<InferredPair>,
    pub(crate) had_checks: bool,
    pub(crate) changes: Changes,
    pub(crate) base: Base,
    pub(crate) warnings: Vec<String>,
}

/// A reference by positions of objects.
pub(crate) struct InferredPair {
    pub(crate) child: usize,
    pub(crate) child_column: String,
    pub(crate) parent: usize,
    pub(crate) parent_column: String,
    pub(crate) confidence: f64,
    pub(crate) evidence: Json,
}

impl Prepared {
    pub(crate) fn new(
        options: &HarvestOptions,
        dialect: &'static dyn Dialect,
        snapshot: MetadataSnapshot,
        base: Base,
    ) -> HarvestResult<Self> {
        let derived: Vec<Derived> = snapshot.objects.iter().map(|o| derive(o, dialect)).collect();
        let uids: Vec<String> = snapshot
            .objects
            .iter()
            .map(|o| object_uid(&options.target_id, &o.schema, o.object_type.as_str(), &o.name, &o.signature))
            .collect();
        let mut changes = Changes::default();
        let mut carried_from = Vec::with_capacity(uids.len());
        let mut met = 0;
        for (uid, derived) in uids.iter().zip(&derived) {
            let before = base.objects.get(uid);
            let same = before.filter(|b| b.content_hash == derived.content_hash);
            met += u64::from(before.is_some());
            changes.added += u64::from(before.is_none());
            changes.changed += u64::from(before.is_some() && same.is_none());
            carried_from.push(base.base_run_id.and(same).map(|b| b.object_id));
        }
        let in_scope = |schema: &str| {
            options
                .schema_filter
                .as_ref()
                .is_none_or(|f| f.iter().any(|p| crate::wildcard::matches(p, schema)))
        };
        let before = base.objects.values().filter(|o| in_scope(&o.schema)).count() as u64;
        changes.removed = before.saturating_sub(met);
        let warnings = snapshot.warnings.iter().map(|w| format!("{}: {}", w.part, w.text)).collect();
        Ok(Self {
            dialect,
            profiles: vec![Vec::new(); uids.len()],
            snapshot,
            derived,
            uids,
            carried_from,
            inferred: Vec::new(),
            had_checks: false,
            changes,
            base,
            warnings,
        })
    }

    pub(super) fn profile(
        &mut self,
        options: &HarvestOptions,
        mut probe: Option<&mut dyn ValueProbe>,
        attempt: &mut Attempt<'_>,
    ) -> HarvestResult<()> {
        if options.profile_level == ProfileLevel::None {
            return Ok(());
        }
        for (at, object) in self.snapshot.objects.iter().enumerate() {
            if at % 200 == 0 {
                attempt.stage(HarvestStage::Profiles, at)?;
            }
            if !has_profile(object) {
                continue;
            }
            self.profiles[at].push(("table_quick", quick_profile(object, &self.derived[at])));
            let wants_full = options.profile_level == ProfileLevel::Full && self.carried_from[at].is_none();
            let (true, Some(probe)) = (wants_full, probe.as_deref_mut()) else { continue };
            match probe.full_profile(&object.schema, &object.name) {
                Ok(profile) => self.profiles[at].push(("table_full", profile)),
                Err(error) if error.code == HarvestCode::Cancelled => return Err(error),
                Err(error) => {
                    // The harvest's own deadline shows itself through the watch.
                    attempt.stage(HarvestStage::Profiles, at)?;
                    let key = crate::keys::object_key(&object.schema, &object.name);
                    self.warnings.push(format!("profile of {key}: {}", error.message));
                }
            }
        }
        Ok(())
    }

    pub(super) fn infer(
        &mut self,
        options: &HarvestOptions,
        probe: Option<&mut dyn ValueProbe>,
        attempt: &mut Attempt<'_>,
    ) -> HarvestResult<()> {
        let positions: Vec<usize> = (0..self.snapshot.objects.len())
            .filter(|at| relate::takes_part(&self.snapshot.objects[*at]))
            .collect();
        let tables: Vec<TableModel> = positions
            .iter()
            .map(|at| relate::from_meta(&self.snapshot.objects[*at], &self.derived[*at]))
            .collect();
        self.had_checks = probe.is_some();
        // Without a probe of its own a run may still take over what a probed one found.
        let reuse = self.base.inferred.as_ref().filter(|_| self.base.had_checks || probe.is_none());
        let known = |c: &relate::Candidate| {
            let reuse = reuse?;
            let (child, parent) = (positions[c.child.0], positions[c.parent.0]);
            self.carried_from[child].and(self.carried_from[parent])?;
            let key = (
                self.uids[child].clone(),
                tables[c.child.0].columns[c.child.1].name.clone(),
                self.uids[parent].clone(),
                tables[c.parent.0].columns[c.parent.1].name.clone(),
            );
            Some(reuse.get(&key).cloned())
        };
        let mut watch = |done: usize| attempt.stage(HarvestStage::Inference, done);
        let found = relate::infer(&tables, probe, options.value_checks_max, &known, &mut watch)?;
        let named = |i: Inferred| InferredPair {
            child: positions[i.child.0],
            child_column: tables[i.child.0].columns[i.child.1].name.clone(),
            parent: positions[i.parent.0],
            parent_column: tables[i.parent.0].columns[i.parent.1].name.clone(),
            confidence: i.confidence,
            evidence: i.evidence,
        };
        let mut pairs: Vec<InferredPair> = found.into_iter().map(named).collect();
        pairs.sort_by(|a, b| {
            (a.child, &a.child_column, a.parent, &a.parent_column).cmp(&(
                b.child,
                &b.child_column,
                b.parent,
                &b.parent_column,
            ))
        });
        self.inferred = pairs;
        Ok(())
    }

    /// Positions of tables and views by schema and name.
    pub(crate) fn relations(&self) -> HashMap<(&str, &str), usize> {
        let is_relation = |o: &ObjectMeta| has_profile(o);
        self.snapshot
            .objects
            .iter()
            .enumerate()
            .filter(|(_, o)| is_relation(o))
            .map(|(at, o)| ((o.schema.as_str(), o.name.as_str()), at))
            .collect()
    }
}

fn has_profile(object: &ObjectMeta) -> bool {
    matches!(object.object_type, ObjectType::Table | ObjectType::View | ObjectType::MaterializedView)
}

fn quick_profile(object: &ObjectMeta, derived: &Derived) -> Json {
    let names = |pick: &dyn Fn(&crate::derive::ColumnHints) -> bool| -> Vec<&str> {
        object
            .columns
            .iter()
            .zip(&derived.columns)
            .filter(|(_, h)| pick(h))
            .map(|(c, _)| c.name.as_str())
            .collect()
    };
    let size = match (object.data_bytes, object.index_bytes) {
        (None, None) => None,
        (data, index) => Some(data.unwrap_or(0).saturating_add(index.unwrap_or(0))),
    };
    json!({
        "guessed_kind": derived.guessed_kind,
        "rows_est": object.rows_est,
        "size_bytes": size,
        "engine": object.engine,
        "has_primary_key": derived.has_primary_key,
        "has_foreign_keys": !object.foreign_keys.is_empty(),
        "has_time_column": derived.has_time_column,
        "time_columns": names(&|h| h.is_time),
        "id_columns": names(&|h| h.is_id_like),
    })
}
