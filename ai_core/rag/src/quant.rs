//! An int8 copy of one vector space for fast scans; it is a cache, proposes candidates and never decides a score.

use std::collections::{BinaryHeap, HashMap};

use ai_core::{Allowed, Metric};
use simsimd::SpatialSimilarity;

/// Rows from which a scan is shared among threads.
const PARALLEL_ROWS_MIN: usize = 60_000;

/// Threads that share one scan at most.
const THREADS_MAX: usize = 4;

/// The quantised vectors of one space.
pub(crate) struct Matrix {
    dim: usize,
    metric: Metric,
    cells: Vec<i8>,
    scales: Vec<f32>,
    norms2: Vec<f32>,
    pks: Vec<i64>,
    sources: Vec<i64>,
    places: HashMap<i64, usize>,
    /// The store's vector epoch that this copy reflects.
    pub(crate) epoch: u64,
    /// recall@10 against the exact scan, measured when it was built.
    pub(crate) recall: f32,
}

#[derive(PartialEq)]
struct Candidate {
    score: f32,
    pk: i64,
}

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate {
    // The worst candidate is the greatest, so that a max-heap gives it up first.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.score.total_cmp(&self.score).then(self.pk.cmp(&other.pk))
    }
}

impl Matrix {
    pub(crate) fn new(dim: usize, metric: Metric, epoch: u64) -> Self {
        Self {
            dim,
            metric,
            cells: Vec::new(),
            scales: Vec::new(),
            norms2: Vec::new(),
            pks: Vec::new(),
            sources: Vec::new(),
            places: HashMap::new(),
            epoch,
            recall: 1.0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.pks.len()
    }

    /// Bytes held, roughly.
    pub(crate) fn size_bytes(&self) -> usize {
        self.cells.len() + self.len() * (4 + 4 + 8 + 8 + 24)
    }

    /// Adds or replaces a vector.
    pub(crate) fn put(&mut self, pk: i64, source_id: i64, vector: &[f32]) {
        if vector.len() != self.dim {
            return;
        }
        self.remove(pk);
        let (scale, cells) = quantise(vector);
        self.cells.extend(cells);
        self.scales.push(scale);
        self.norms2.push(vector.iter().map(|x| x * x).sum());
        self.places.insert(pk, self.pks.len());
        self.pks.push(pk);
        self.sources.push(source_id);
    }

    /// Removes a vector; unknown keys are ignored.
    pub(crate) fn remove(&mut self, pk: i64) {
        let Some(place) = self.places.remove(&pk) else { return };
        let last = self.pks.len() - 1;
        self.pks.swap_remove(place);
        self.sources.swap_remove(place);
        self.scales.swap_remove(place);
        self.norms2.swap_remove(place);
        if place != last {
            self.cells.copy_within(last * self.dim..(last + 1) * self.dim, place * self.dim);
            self.places.insert(self.pks[place], place);
        }
        self.cells.truncate(last * self.dim);
    }

    /// The keys of the `n` likely nearest permitted vectors, in no particular order.
    pub(crate) fn candidates(&self, query: &[f32], n: usize, allowed: &Allowed) -> Vec<i64> {
        if query.len() != self.dim || n == 0 {
            return Vec::new();
        }
        let (scale, cells) = quantise(query);
        let probe = Probe {
            cells: cells.collect(),
            scale,
            norm2: query.iter().map(|x| x * x).sum(),
            allowed_sources: allowed.source_ids.as_deref(),
        };
        if let Some(pks) = &allowed.chunk_pks
            && pks.len() * 2 < self.len()
        {
            let places: Vec<usize> = pks.iter().filter_map(|pk| self.places.get(pk).copied()).collect();
            return take(self.scan(places.into_iter(), &probe, n, None));
        }
        let filter = allowed.chunk_pks.as_deref();
        let threads = if self.len() < PARALLEL_ROWS_MIN {
            1
        } else {
            std::thread::available_parallelism().map_or(1, |n| n.get().min(THREADS_MAX))
        };
        if threads == 1 {
            return take(self.scan(0..self.len(), &probe, n, filter));
        }
        let step = self.len().div_ceil(threads);
        let mut all = BinaryHeap::new();
        std::thread::scope(|scope| {
            let parts: Vec<_> = (0..threads)
                .map(|t| {
                    let range = t * step..((t + 1) * step).min(self.len());
                    let probe = &probe;
                    scope.spawn(move || self.scan(range, probe, n, filter))
                })
                .collect();
            for part in parts {
                // A scan does not panic; if it ever did, its share would merely be missing from a cache's answer.
                for candidate in part.join().unwrap_or_default() {
                    push(&mut all, candidate, n);
                }
            }
        });
        take(all)
    }

    fn scan(
        &self,
        places: impl Iterator<Item = usize>,
        probe: &Probe<'_>,
        n: usize,
        filter: Option<&[i64]>,
    ) -> BinaryHeap<Candidate> {
        let mut heap = BinaryHeap::with_capacity(n + 1);
        let mut floor = f32::NEG_INFINITY;
        for place in places {
            if probe.allowed_sources.is_some_and(|ids| !ids.contains(&self.sources[place])) {
                continue;
            }
            let row = &self.cells[place * self.dim..(place + 1) * self.dim];
            let dot = i8::dot(&probe.cells, row).unwrap_or(0.0) as f32 * self.scales[place] * probe.scale;
            let score = match self.metric {
                Metric::Dot => dot,
                Metric::Cosine => dot / self.norms2[place].sqrt(),
                Metric::L2 => 2.0 * dot - self.norms2[place] - probe.norm2,
            };
            if score < floor || filter.is_some_and(|pks| pks.binary_search(&self.pks[place]).is_err()) {
                continue;
            }
            push(&mut heap, Candidate { score, pk: self.pks[place] }, n);
            if heap.len() == n {
                floor = heap.peek().map_or(f32::NEG_INFINITY, |c| c.score);
            }
        }
        heap
    }
}

struct Probe<'a> {
    cells: Vec<i8>,
    scale: f32,
    norm2: f32,
    allowed_sources: Option<&'a [i64]>,
}

fn push(heap: &mut BinaryHeap<Candidate>, candidate: Candidate, n: usize) {
    heap.push(candidate);
    if heap.len() > n {
        heap.pop();
    }
}

fn take(heap: BinaryHeap<Candidate>) -> Vec<i64> {
    heap.into_iter().map(|c| c.pk).collect()
}

fn quantise(vector: &[f32]) -> (f32, impl Iterator<Item = i8> + '_) {
    let peak = vector.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    let factor = if peak > 0.0 { 127.0 / peak } else { 0.0 };
    let scale = if peak > 0.0 { peak / 127.0 } else { 0.0 };
    (scale, vector.iter().map(move |x| (x * factor).round() as i8))
}

#[cfg(test)]
mod tests;
