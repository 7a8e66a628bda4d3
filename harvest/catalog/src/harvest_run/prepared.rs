//! A snapshot with everything derived of it, ready to be written; it touches no table.

use harvest::{Dialect, HarvestCode, HarvestResult, MetadataSnapshot, ObjectMeta, ObjectType};
use serde_json::Value as Json;

use crate::content::Content;
use crate::derive::{Derived, content_hash, derive_with};
use crate::fail;
use crate::keys::object_uid;
use crate::names::Names;
use crate::relate::{self, Inferred, TableModel};
use crate::source::{HarvestStage, ValueProbe};

use super::base::{Base, InferredSet};
use super::{Attempt, Changes, HarvestOptions, ProfileLevel};

/// Everything that one write needs.
pub(crate) struct Prepared {
    pub(crate) dialect: &'static dyn Dialect,
    pub(crate) snapshot: MetadataSnapshot,
    /// Empty when the source left the parts out.
    pub(crate) derived: Vec<Derived>,
    pub(crate) uids: Vec<String>,
    pub(crate) stored: Vec<Stored>,
    /// Object of the base run with the same content, per object.
    pub(crate) carried_from: Vec<Option<i64>>,
    /// Profiles that cost a look at the data: position, kind and result.
    pub(crate) profiles: Vec<(usize, &'static str, Json)>,
    pub(crate) inferred: References,
    pub(crate) had_checks: bool,
    pub(crate) changes: Changes,
    pub(crate) base: Base,
    pub(crate) warnings: Vec<String>,
}

/// Where the content of an object is.
pub(crate) enum Stored {
    /// In the store already.
    Shared(i64),
    /// To be written.
    New(Box<NewContent>),
}

/// A content to be written.
pub(crate) struct NewContent {
    pub(crate) content: Content,
    pub(crate) content_hash: String,
}

/// References between objects.
pub(crate) enum References {
    /// Nobody has asked for them.
    NotAsked,
    /// Those of the run before.
    Shared(InferredSet),
    /// To be written.
    New(Vec<InferredPair>),
}

impl References {
    pub(crate) fn count(&self) -> u64 {
        match self {
            Self::NotAsked => 0,
            Self::Shared(set) => set.count,
            Self::New(pairs) => pairs.len() as u64,
        }
    }
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

/// Objects that are worth a second thread.
const PARALLEL_OBJECTS_MIN: usize = 1_000;
const THREADS_MAX: usize = 4;

/// What one object turns into before anything is compared.
struct Made {
    derived: Derived,
    uid: String,
    stored: Stored,
    carried_from: Option<i64>,
}

fn make(
    target_id: &str,
    object: &ObjectMeta,
    dialect: &dyn Dialect,
    names: &mut Names,
    base: &Base,
) -> HarvestResult<Made> {
    let derived = derive_with(object, dialect, names);
    let uid =
        object_uid(target_id, &object.schema, object.object_type.as_str(), &object.name, &object.signature);
    let content = Content::new(object, &derived)?;
    let before = base.objects.get(&uid);
    let (stored, is_same) = match before.filter(|b| b.fingerprint == content.fingerprint) {
        Some(same) => (Stored::Shared(same.content_id), true),
        None => {
            let content_hash = content_hash(object);
            let is_same = before.is_some_and(|b| b.content_hash == content_hash);
            (Stored::New(Box::new(NewContent { content, content_hash })), is_same)
        }
    };
    let carried_from = before.filter(|_| is_same && base.base_run_id.is_some()).map(|b| b.object_id);
    Ok(Made { derived, uid, stored, carried_from })
}

fn make_all(
    target_id: &str,
    objects: &[ObjectMeta],
    dialect: &'static dyn Dialect,
    base: &Base,
) -> HarvestResult<Vec<Made>> {
    let part = |objects: &[ObjectMeta]| -> HarvestResult<Vec<Made>> {
        let mut names = Names::default();
        objects.iter().map(|o| make(target_id, o, dialect, &mut names, base)).collect()
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    if objects.len() < PARALLEL_OBJECTS_MIN || threads == 1 {
        return part(objects);
    }
    std::thread::scope(|scope| {
        let running: Vec<_> = objects
            .chunks(objects.len().div_ceil(threads))
            .map(|chunk| scope.spawn(move || part(chunk)))
            .collect();
        let mut all = Vec::with_capacity(objects.len());
        for thread in running {
            let made = thread.join().map_err(|_| fail::internal("a thread of the harvest panicked"))?;
            all.extend(made?);
        }
        Ok(all)
    })
}

impl Prepared {
    pub(crate) fn new(
        options: &HarvestOptions,
        dialect: &'static dyn Dialect,
        snapshot: MetadataSnapshot,
        base: Base,
    ) -> HarvestResult<Self> {
        let made = make_all(&options.target_id, &snapshot.objects, dialect, &base)?;
        let mut out = Self::empty(dialect, snapshot, base);
        let mut met = 0;
        for made in made {
            let before = out.base.objects.get(&made.uid);
            let is_same = before.is_some_and(|b| match &made.stored {
                Stored::Shared(_) => true,
                Stored::New(new) => new.content_hash == b.content_hash,
            });
            met += u64::from(before.is_some());
            out.changes.added += u64::from(before.is_none());
            out.changes.changed += u64::from(before.is_some() && !is_same);
            out.derived.push(made.derived);
            out.uids.push(made.uid);
            out.stored.push(made.stored);
            out.carried_from.push(made.carried_from);
        }
        let in_scope = |schema: &str| {
            options
                .schema_filter
                .as_ref()
                .is_none_or(|f| f.iter().any(|p| crate::wildcard::matches(p, schema)))
        };
        let before = out.base.objects.values().filter(|o| in_scope(&o.schema)).count() as u64;
        out.changes.removed = before.saturating_sub(met);
        Ok(out)
    }

    /// A run whose source said that nothing has changed since the base; `Err` gives the base back if it knows other
    /// objects.
    pub(crate) fn unchanged(
        options: &HarvestOptions,
        dialect: &'static dyn Dialect,
        snapshot: MetadataSnapshot,
        base: Base,
    ) -> Result<Self, Box<Base>> {
        let mut uids = Vec::with_capacity(snapshot.objects.len());
        let (mut stored, mut carried_from) = (Vec::new(), Vec::new());
        for o in &snapshot.objects {
            let uid =
                object_uid(&options.target_id, &o.schema, o.object_type.as_str(), &o.name, &o.signature);
            let Some(before) = base.objects.get(&uid) else { return Err(Box::new(base)) };
            stored.push(Stored::Shared(before.content_id));
            carried_from.push(Some(before.object_id));
            uids.push(uid);
        }
        if uids.len() != base.objects.len() {
            return Err(Box::new(base));
        }
        let mut out = Self::empty(dialect, snapshot, base);
        (out.uids, out.stored, out.carried_from) = (uids, stored, carried_from);
        Ok(out)
    }

    fn empty(dialect: &'static dyn Dialect, snapshot: MetadataSnapshot, base: Base) -> Self {
        let warnings = snapshot.warnings.iter().map(|w| format!("{}: {}", w.part, w.text)).collect();
        Self {
            dialect,
            derived: Vec::new(),
            uids: Vec::new(),
            stored: Vec::new(),
            carried_from: Vec::new(),
            profiles: Vec::new(),
            snapshot,
            inferred: References::NotAsked,
            had_checks: false,
            changes: Changes::default(),
            base,
            warnings,
        }
    }

    /// Whether everything is as it was in the run before.
    fn is_all_shared(&self) -> bool {
        self.base.base_run_id.is_some()
            && self.stored.len() == self.base.objects.len()
            && self.stored.iter().all(|s| matches!(s, Stored::Shared(_)))
    }

    pub(super) fn profile(
        &mut self,
        options: &HarvestOptions,
        mut probe: Option<&mut dyn ValueProbe>,
        attempt: &mut Attempt<'_>,
    ) -> HarvestResult<()> {
        if options.profile_level != ProfileLevel::Full {
            return Ok(());
        }
        for (at, object) in self.snapshot.objects.iter().enumerate() {
            if at % 200 == 0 {
                attempt.stage(HarvestStage::Profiles, at)?;
            }
            if !has_profile(object) {
                continue;
            }
            let (None, Some(probe)) = (self.carried_from[at], probe.as_deref_mut()) else { continue };
            match probe.full_profile(&object.schema, &object.name) {
                Ok(profile) => self.profiles.push((at, "table_full", profile)),
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
        self.had_checks = probe.is_some();
        // Without a probe of its own a run may still take over what a probed one found.
        let reuse = self.base.inferred.filter(|_| self.base.had_checks || probe.is_none());
        if let Some(set) = reuse.filter(|_| self.is_all_shared()) {
            self.inferred = References::Shared(set);
            return Ok(());
        }
        let reuse = match reuse {
            Some(_) => Some(attempt.catalog.store().read(|c| self.base.pairs(c))?),
            None => None,
        };
        let positions: Vec<usize> = (0..self.snapshot.objects.len())
            .filter(|at| relate::takes_part(&self.snapshot.objects[*at]))
            .collect();
        let tables: Vec<TableModel> = positions
            .iter()
            .map(|at| relate::from_meta(&self.snapshot.objects[*at], &self.derived[*at]))
            .collect();
        let known = |c: &relate::Candidate| {
            let reuse = reuse.as_ref()?;
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
        self.inferred = References::New(pairs);
        Ok(())
    }
}

/// Whether an object holds rows and so has profiles.
pub(super) fn has_profile(object: &ObjectMeta) -> bool {
    matches!(object.object_type, ObjectType::Table | ObjectType::View | ObjectType::MaterializedView)
}
