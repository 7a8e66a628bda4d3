//! Tables and views of a target as column rules need them, read once in a while and kept; it judges nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use harvest::{
    DialectName, HarvestCode, HarvestError, HarvestResult, MetadataRequest, ObjectMeta, ObjectType,
};
use harvest_gate::fold_identifier;

use crate::gateway::Gateway;
use crate::pipeline::Layer;
use crate::scope::CallScope;
use crate::targets::Target;

/// How long what was read counts, in milliseconds.
const SHAPES_TTL_MS: u64 = 60_000;
/// A name that is not found is looked for again when the reading is older than this, in milliseconds.
const MISS_TTL_MS: u64 = 1_000;
/// Tables and views of one target.
const OBJECTS_MAX: usize = 50_000;
/// Targets that are remembered.
const TARGETS_MAX: usize = 64;
/// Shortest time that a reading is given, in milliseconds.
const READ_TIMEOUT_MS: u64 = 15_000;

/// The tables and views of one target.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    objects: Vec<ObjectMeta>,
    by_name: HashMap<String, Vec<usize>>,
    children: HashMap<String, Vec<usize>>,
}

impl Shapes {
    pub(crate) fn new(dialect: DialectName, objects: Vec<ObjectMeta>) -> Self {
        let relation = |o: &ObjectMeta| {
            matches!(o.object_type, ObjectType::Table | ObjectType::View | ObjectType::MaterializedView)
        };
        let mut shapes = Self { objects: objects.into_iter().filter(relation).collect(), ..Self::default() };
        for (at, object) in shapes.objects.iter().enumerate() {
            shapes.by_name.entry(fold_identifier(dialect, &object.name)).or_default().push(at);
            if let Some(parent) = &object.parent {
                let parent = parent.rsplit('.').next().unwrap_or(parent);
                shapes.children.entry(fold_identifier(dialect, parent)).or_default().push(at);
            }
        }
        shapes
    }

    /// Objects of a folded name, in any schema.
    pub(crate) fn named(&self, name: &str) -> impl Iterator<Item = &ObjectMeta> {
        self.by_name.get(name).into_iter().flatten().filter_map(|at| self.objects.get(*at))
    }

    /// Partitions of the tables of a folded name.
    pub(crate) fn children(&self, name: &str) -> impl Iterator<Item = &ObjectMeta> {
        self.children.get(name).into_iter().flatten().filter_map(|at| self.objects.get(*at))
    }

    pub(crate) fn all(&self) -> &[ObjectMeta] {
        &self.objects
    }
}

type Known = Option<(Instant, Arc<Shapes>)>;
/// By name and number of the pool.
type Slots = HashMap<(String, u64), Arc<Mutex<Known>>>;

/// What is known of the targets that column rules guard.
#[derive(Debug, Default)]
pub(crate) struct ShapeCache {
    targets: Mutex<Slots>,
}

impl ShapeCache {
    fn slot(&self, target: &Target) -> Arc<Mutex<Known>> {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (target.config.target_id.clone(), target.generation);
        if targets.len() >= TARGETS_MAX && !targets.contains_key(&key) {
            targets.clear();
        }
        Arc::clone(targets.entry(key).or_default())
    }
}

impl Gateway {
    /// The tables and views of a target; `again` asks for a reading that is as new as may be.
    pub(crate) fn shapes(
        &self,
        target: &Target,
        dialect: DialectName,
        again: bool,
        scope: &CallScope,
    ) -> HarvestResult<Arc<Shapes>> {
        let slot = self.shape_cache.slot(target);
        // One reader at a time: those who wait find what it has read. A reading is bounded in time.
        let mut known = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let ttl = Duration::from_millis(if again { MISS_TTL_MS } else { SHAPES_TTL_MS });
        if let Some((_, shapes)) = known.as_ref().filter(|(read, _)| read.elapsed() < ttl) {
            return Ok(Arc::clone(shapes));
        }
        let limit = (target.config.timeout_ms.max(READ_TIMEOUT_MS), Layer::Target);
        let read = self.read_objects(target, &MetadataRequest::all(OBJECTS_MAX), limit, scope);
        let objects = read.map_err(|error| match error.code {
            HarvestCode::LimitExceeded => HarvestError::new(
                HarvestCode::FailedPrecondition,
                format!("column rules guard this target, and it has more than {OBJECTS_MAX} objects to prove them over"),
            )
            .with("remedy", "an operator narrows the account of the target to the schemas that are read"),
            _ => error,
        })?;
        let shapes = Arc::new(Shapes::new(dialect, objects));
        *known = Some((Instant::now(), Arc::clone(&shapes)));
        Ok(shapes)
    }
}
