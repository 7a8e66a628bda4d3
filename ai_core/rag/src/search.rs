//! The search pipeline: legs, fusion, later stages, results; it knows the store and embedders, not protocols.

mod legs;
mod stages;

use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

use ai_core::{AiError, AiErrorCode, AiResult, Deadline, Metric};

use crate::analyse::Analyser;
use crate::api::{
    Common, Hit, HitRanks, HybridMode, QueryEmbedding, SearchFts, SearchHybrid, SearchResponse, SearchStats,
    SearchVector,
};
use crate::catalogue::{Catalogue, RagCaller, precondition};
use crate::database::Session;
use crate::engine::Inner;
use crate::filters::Checked;
use crate::fuse::{Candidate, FuseMethod, FuseSettings, LEXICAL_VECTOR_WEIGHT, SEMANTIC_VECTOR_WEIGHT};
use crate::query::{MatchMode, Syntax};
use crate::records::{ChunkRow, Space};
use crate::store::SourceRow;

/// Depth of each leg of a hybrid search unless said otherwise.
pub(crate) const LEG_K: usize = 50;

/// Candidates of `fts_then_vec` unless said otherwise.
const CANDIDATES_K: usize = 200;

/// Times that a snapshot is taken anew when the outer index has moved past it.
const SNAPSHOTS_MAX: usize = 4;

/// What a search does, independent of the request's form.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Plan {
    Fts,
    Vector {
        model: Option<String>,
    },
    Fuse {
        fts_k: usize,
        vec_k: usize,
        method: FuseMethod,
        rrf_k0: f32,
        w_fts: Option<f32>,
        w_vec: Option<f32>,
    },
    FtsThenVec {
        candidates_k: usize,
        rerank_k: usize,
        metric: Option<Metric>,
    },
}

/// One search on its way through the pipeline.
pub(crate) struct Search<'a> {
    pub(crate) inner: &'a Inner,
    pub(crate) caller: &'a RagCaller,
    pub(crate) plan: Plan,
    /// The text, empty when only a vector was given.
    pub(crate) query: &'a str,
    pub(crate) embedding: Option<Vec<f32>>,
    pub(crate) syntax: Syntax,
    pub(crate) match_mode: MatchMode,
    pub(crate) common: Common,
    pub(crate) k: usize,
    pub(crate) deadline: Deadline,
    pub(crate) response: SearchResponse,
    started: Instant,
}

/// A source group that one space answers for.
pub(crate) struct SpaceGroup {
    pub(crate) space: Space,
    pub(crate) sources: Vec<i64>,
    pub(crate) query: Option<Vec<f32>>,
}

/// What the legs found, with everything that later stages need.
pub(crate) struct Found {
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) rows: std::collections::HashMap<i64, ChunkRow>,
    pub(crate) model_of: BTreeMap<i64, String>,
    pub(crate) matched_more: bool,
    pub(crate) vectors: std::collections::HashMap<i64, Vec<f32>>,
}

pub(crate) fn fts(inner: &Inner, caller: &RagCaller, request: &SearchFts) -> AiResult<SearchResponse> {
    Search::new(inner, caller, Plan::Fts, &request.query, None, request.common())?
        .reading(request.syntax, request.match_mode)
        .run()
}

pub(crate) fn vector(inner: &Inner, caller: &RagCaller, request: &SearchVector) -> AiResult<SearchResponse> {
    let plan = Plan::Vector { model: request.embedding.model.clone() };
    match (&request.query_text, &request.query_embedding) {
        (Some(text), None) => Search::new(inner, caller, plan, text, None, request.common())?.run(),
        (None, Some(given)) => {
            Search::new(inner, caller, plan, "", Some(decode(given)?), request.common())?.run()
        }
        _ => Err(AiError::invalid("give exactly one of query_text and query_embedding")
            .with("argument", "query_text")),
    }
}

pub(crate) fn hybrid(inner: &Inner, caller: &RagCaller, r: &SearchHybrid) -> AiResult<SearchResponse> {
    let limit = inner.limits().candidates_max;
    let mut clamped = Vec::new();
    let mut cap = |name: &str, value: usize| {
        if value > limit {
            clamped.push(name.to_owned());
        }
        value.clamp(1, limit)
    };
    let plan = match r.mode {
        HybridMode::Fuse => {
            let f = &r.fuse;
            let rrf_k0 = r.rrf_k0.or(f.rrf_k0).unwrap_or(60);
            if !(1..=10_000).contains(&rrf_k0) {
                return Err(AiError::invalid("fuse.rrf_k0 must be between 1 and 10000")
                    .with("argument", "fuse.rrf_k0"));
            }
            let (w_fts, w_vec) = (r.w_fts.or(f.w_fts), r.w_vec.or(f.w_vec));
            if [w_fts, w_vec].iter().flatten().any(|w| !w.is_finite() || *w < 0.0)
                || (w_fts, w_vec) == (Some(0.0), Some(0.0))
            {
                return Err(AiError::invalid("fuse.w_fts and fuse.w_vec must not be negative, nor both 0")
                    .with("argument", "fuse.w_fts"));
            }
            Plan::Fuse {
                fts_k: cap("fts_k", r.fts_k.or(f.fts_k).unwrap_or(LEG_K)),
                vec_k: cap("vec_k", r.vec_k.or(f.vec_k).unwrap_or(LEG_K)),
                method: r.method.or(f.method).unwrap_or_default(),
                rrf_k0: rrf_k0 as f32,
                w_fts,
                w_vec,
            }
        }
        HybridMode::FtsThenVec => {
            let o = &r.fts_then_vec;
            let metric = match r.vec_metric.as_deref().or(o.vec_metric.as_deref()) {
                None => None,
                Some(name) => Some(Metric::parse(name).ok_or_else(|| {
                    AiError::invalid("fts_then_vec.vec_metric must be one of cosine, l2, dot")
                        .with("argument", "fts_then_vec.vec_metric")
                })?),
            };
            Plan::FtsThenVec {
                candidates_k: cap("candidates_k", r.candidates_k.or(o.candidates_k).unwrap_or(CANDIDATES_K)),
                rerank_k: cap("rerank_k", r.rerank_k.or(o.rerank_k).unwrap_or(LEG_K)),
                metric,
            }
        }
    };
    let given = r.query_embedding.as_ref().map(decode).transpose()?;
    let mut search =
        Search::new(inner, caller, plan, &r.query, given, r.common())?.reading(r.syntax, r.match_mode);
    search.response.stats.limits_hit.extend(clamped);
    search.run()
}

fn decode(given: &QueryEmbedding) -> AiResult<Vec<f32>> {
    use base64::Engine as _;
    let fault =
        |why: String| AiError::invalid(format!("query_embedding: {why}")).with("argument", "query_embedding");
    if given.dim == 0 || given.dim > 8192 {
        return Err(fault(format!("dim {} is outside 1-8192", given.dim)));
    }
    if given.values_b64.len() > given.dim * 8 + 16 {
        return Err(fault("values_b64 is longer than dim says".to_owned()));
    }
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(given.values_b64.trim())
        .map_err(|_| fault("values_b64 is not base64".to_owned()))?;
    if bytes.len() != given.dim * 4 {
        return Err(fault(format!(
            "values_b64 holds {} bytes, dim {} needs {}",
            bytes.len(),
            given.dim,
            given.dim * 4
        )));
    }
    let vector: Vec<f32> =
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    ai_core::check_vector(&vector, given.dim).map_err(|e| fault(e.message))?;
    Ok(vector)
}

impl<'a> Search<'a> {
    fn new(
        inner: &'a Inner,
        caller: &'a RagCaller,
        plan: Plan,
        query: &'a str,
        embedding: Option<Vec<f32>>,
        common: Common,
    ) -> AiResult<Self> {
        let limits = inner.limits();
        if query.len() > limits.query_bytes_max {
            return Err(AiError::limit(format!(
                "the query has {} bytes, the limit is {}",
                query.len(),
                limits.query_bytes_max
            ))
            .with("limit", limits.query_bytes_max as u64));
        }
        if query.trim().is_empty() && !(matches!(plan, Plan::Vector { .. }) && embedding.is_some()) {
            return Err(AiError::invalid("the query is empty").with("argument", "query"));
        }
        let wanted = common.k.unwrap_or(10);
        if wanted == 0 {
            return Err(AiError::invalid("k must be at least 1").with("argument", "k"));
        }
        let k = wanted.min(limits.k_max);
        if common.offset.saturating_add(k) > limits.candidates_max {
            return Err(AiError::limit(format!("offset + k is above {}", limits.candidates_max))
                .with("limit", limits.candidates_max as u64));
        }
        if !(1..=1000).contains(&common.snippet.max_chars) {
            return Err(AiError::invalid("snippet.max_chars must be between 1 and 1000")
                .with("argument", "snippet.max_chars"));
        }
        if common.mmr.as_ref().is_some_and(|m| !(0.0..=1.0).contains(&m.lambda)) {
            return Err(AiError::invalid("mmr.lambda must be between 0 and 1").with("argument", "mmr.lambda"));
        }
        let ms = common.timeout_ms.unwrap_or(limits.timeout_ms).min(limits.timeout_ms);
        let mut response = SearchResponse {
            stats: SearchStats { k_requested: wanted, ..SearchStats::default() },
            ..SearchResponse::default()
        };
        if k < wanted {
            response.stats.limits_hit.push("k_max".to_owned());
        }
        Ok(Self {
            inner,
            caller,
            plan,
            query,
            embedding,
            syntax: Syntax::Plain,
            match_mode: MatchMode::Any,
            common,
            k,
            deadline: Deadline::after_ms(ms),
            response,
            started: Instant::now(),
        })
    }

    fn reading(mut self, syntax: Syntax, match_mode: MatchMode) -> Self {
        self.syntax = syntax;
        self.match_mode = match_mode;
        self
    }

    pub(crate) fn degrade(&mut self, reason: impl Into<String>) {
        self.response.degraded = true;
        self.response.degraded_reason.get_or_insert(reason.into());
    }

    pub(crate) fn time(&mut self, stage: &str, since: Instant) {
        *self.response.stats.stage_ms.entry(stage.to_owned()).or_default() +=
            since.elapsed().as_secs_f64() * 1000.0;
    }

    fn run(mut self) -> AiResult<SearchResponse> {
        if matches!(self.plan, Plan::Fts) {
            return self.run_words();
        }
        let store = &self.inner.store;
        let (mut catalogue, picked, filter) = store.read(self.deadline, |c| self.pick(c))?;
        if picked.is_empty() {
            return Ok(self.without_sources(&filter));
        }
        let mut groups = self.groups(&catalogue, &picked)?;
        self.embed(&catalogue, &picked, &mut groups)?;
        for _ in 0..SNAPSHOTS_MAX {
            let deadline = self.deadline;
            let mut moved = false;
            let found = store.read(deadline, |c| {
                // A model that was put into service while the query was embedded asks for another vector.
                if !groups.is_empty() && crate::store::roles_all(c)? != catalogue.roles {
                    moved = true;
                    return Ok(None);
                }
                self.search(c, &catalogue, &picked, &filter, &groups)
            })?;
            if let Some(found) = found {
                let found = self.stages(found)?;
                return Ok(self.finish(Some((found, &picked)), &filter));
            }
            if moved {
                catalogue = store.read(deadline, |c| Catalogue::of(c, store))?;
                self.response.stats.skipped_sources.clear();
                groups = self.groups(&catalogue, &picked)?;
                self.embed(&catalogue, &picked, &mut groups)?;
            }
        }
        Err(too_fast())
    }

    /// A search by words alone asks no model, so that one snapshot does for everything.
    fn run_words(mut self) -> AiResult<SearchResponse> {
        for _ in 0..SNAPSHOTS_MAX {
            let (picked, filter, found) = self.inner.store.read(self.deadline, |c| {
                let (catalogue, picked, filter) = self.pick(c)?;
                let found =
                    if picked.is_empty() { None } else { self.search(c, &catalogue, &picked, &filter, &[])? };
                Ok((picked, filter, found))
            })?;
            if picked.is_empty() {
                return Ok(self.without_sources(&filter));
            }
            if let Some(found) = found {
                let found = self.stages(found)?;
                return Ok(self.finish(Some((found, &picked)), &filter));
            }
        }
        Err(too_fast())
    }

    /// What this caller searches, and under which conditions.
    fn pick(&mut self, c: &dyn Session) -> AiResult<(Catalogue, Vec<SourceRow>, Checked)> {
        let catalogue = Catalogue::of(c, &self.inner.store)?;
        let picked: Vec<SourceRow> = catalogue
            .pick(self.caller, &self.common.filters.source_ids, &self.common.filters.source_names)?
            .into_iter()
            .cloned()
            .collect();
        let filter = Checked::new(&self.common.filters, &picked.iter().collect::<Vec<_>>())?;
        self.response.stats.filters.clone_from(&filter.applied);
        Ok((catalogue, picked, filter))
    }

    fn without_sources(mut self, filter: &Checked) -> SearchResponse {
        self.response.warnings.push("there is no source to search".to_owned());
        self.finish(None, filter)
    }

    /// The searched sources by the space that answers for them; empty when only words are searched.
    fn groups(&mut self, catalogue: &Catalogue, picked: &[SourceRow]) -> AiResult<Vec<SpaceGroup>> {
        let model = match &self.plan {
            Plan::Fts => return Ok(Vec::new()),
            Plan::Vector { model } => model.clone(),
            _ => None,
        };
        let mut groups: Vec<SpaceGroup> = Vec::new();
        for source in picked {
            let space = catalogue
                .active_space(source.source_id)
                .filter(|s| model.as_ref().is_none_or(|m| *m == s.model))
                .filter(|_| source.config.as_ref().is_ok_and(|c| c.embedding.enabled));
            let Some(space) = space else {
                self.response.stats.skipped_sources.push(source.name.clone());
                continue;
            };
            match groups.iter_mut().find(|g| g.space.space_id == space.space_id) {
                Some(group) => group.sources.push(source.source_id),
                None => groups.push(SpaceGroup {
                    space: space.clone(),
                    sources: vec![source.source_id],
                    query: None,
                }),
            }
        }
        if groups.is_empty() {
            if matches!(self.plan, Plan::Vector { .. }) {
                return Err(precondition(
                    "no searched source has vectors; enable embedding for it and run a sync",
                ));
            }
            self.degrade("no searched source has vectors");
        }
        if groups.len() > 1 {
            self.response.stats.spaces = groups.iter().map(|g| g.space.model.clone()).collect();
        }
        if let Some(given) = &self.embedding {
            if groups.len() > 1 {
                return Err(AiError::invalid(
                    "the sources use several models; name one in embedding.model, or the sources",
                )
                .with("argument", "embedding.model"));
            }
            if let Some(group) = groups.first_mut() {
                ai_core::check_vector(given, group.space.dim).map_err(|e| {
                    AiError::invalid(format!("query_embedding: {}", e.message))
                        .with("argument", "query_embedding")
                })?;
                group.query = Some(given.clone());
            }
        }
        Ok(groups)
    }

    fn finish(mut self, found: Option<(Found, &Vec<SourceRow>)>, filter: &Checked) -> SearchResponse {
        if let Some((found, picked)) = found {
            let before = found.candidates.len();
            let kept: Vec<&Candidate> = found
                .candidates
                .iter()
                .filter(|c| {
                    filter.min_relevance <= 0.0 || f64::from(self.relevance(c)) >= filter.min_relevance
                })
                .collect();
            let more =
                kept.len() > self.common.offset + self.k || (found.matched_more && kept.len() == before);
            if more && self.response.stats.limits_hit.iter().any(|l| l == "k_max") {
                self.response.truncated = true;
            }
            let shown: Vec<Candidate> =
                kept.into_iter().skip(self.common.offset).take(self.k).copied().collect();
            let started = Instant::now();
            let analysers = analysers(picked);
            let wanted: HashSet<String> = analysers.iter().flat_map(|a| a.query_terms(self.query)).collect();
            for candidate in &shown {
                if let Some(row) = found.rows.get(&candidate.chunk_pk) {
                    let hit = self.hit(candidate, row, &found, &analysers, &wanted);
                    self.response.results.push(hit);
                }
            }
            self.time("load", started);
            self.cap_bytes();
        }
        self.response.stats.k_returned = self.response.results.len();
        self.response.stats.ms = self.started.elapsed().as_secs_f64() * 1000.0;
        self.response
    }

    fn relevance(&self, c: &Candidate) -> f32 {
        c.score
    }

    fn hit(
        &self,
        c: &Candidate,
        row: &ChunkRow,
        found: &Found,
        analysers: &[Analyser],
        wanted: &HashSet<String>,
    ) -> Hit {
        let returns = &self.common.returns;
        let hybrid = matches!(self.plan, Plan::Fuse { .. } | Plan::FtsThenVec { .. });
        let reranked = found.vectors.is_empty() && c.score_vec.is_none() && c.fts_raw.is_none();
        let mut hit = Hit {
            chunk_id: row.chunk_id.clone(),
            doc_id: row.doc_id.clone(),
            source_id: row.source_id,
            source_name: row.source_name.clone(),
            title: returns.include_title.then(|| row.title.clone()),
            metadata: returns.include_metadata.then(|| row.doc_metadata.clone()),
            chunk_metadata: returns.include_chunk_metadata.then(|| row.chunk_metadata.clone()),
            score_fts: c.fts_raw.map(crate::fuse::score_fts),
            score_fts_raw: c.fts_raw,
            score_vec: c.score_vec,
            distance_raw: c.distance,
            model: c.distance.and_then(|_| found.model_of.get(&row.source_id).cloned()),
            score: (hybrid || reranked || self.response.stats.stage_ms.contains_key("rerank"))
                .then_some(c.score),
            ..Hit::default()
        };
        if hybrid {
            hit.score_rrf_raw = Some(c.rrf);
            hit.debug = Some(HitRanks { rank_fts: c.rank_fts, rank_vec: c.rank_vec });
        }
        if returns.include_snippets
            && let Some(analyser) = analysers.first()
        {
            let s = &self.common.snippet;
            hit.snippet =
                Some(crate::snippet::snippet(&row.body, analyser, wanted, s.max_chars, &s.pre, &s.post));
        }
        if self.common.explain {
            let terms: HashSet<String> = analysers
                .iter()
                .flat_map(|a| a.terms(&format!("{}\n{}", row.title, row.body)))
                .filter(|t| wanted.contains(t))
                .collect();
            let mut terms: Vec<String> = terms.into_iter().collect();
            terms.sort();
            hit.explain = Some(serde_json::json!({
                "matched_terms": terms,
                "rank_fts": c.rank_fts,
                "rank_vec": c.rank_vec,
                "bm25": c.fts_raw,
                "distance": c.distance,
                "rrf": hybrid.then_some(c.rrf),
                "model": hit.model,
                "filters": self.response.stats.filters,
            }));
        }
        hit
    }

    /// Drops hits from the end until the answer fits its byte bound.
    fn cap_bytes(&mut self) {
        let limit = self.inner.limits().response_bytes_max;
        let mut total = 1024;
        let sizes: Vec<usize> = self
            .response
            .results
            .iter()
            .map(|h| serde_json::to_string(h).map_or(limit, |t| t.len() + 1))
            .collect();
        let fits = sizes
            .iter()
            .take_while(|size| {
                total += **size;
                total <= limit
            })
            .count();
        if fits < self.response.results.len() {
            self.response.results.truncate(fits);
            self.response.truncated = true;
            self.response.stats.limits_hit.push("response_bytes_max".to_owned());
        }
    }
}

/// One analyser for each language of the sources.
pub(crate) fn analysers(sources: &[SourceRow]) -> Vec<Analyser> {
    let mut languages: Vec<&str> =
        sources.iter().filter_map(|s| s.config.as_ref().ok()).map(|c| c.doc_map.language.as_str()).collect();
    languages.sort_unstable();
    languages.dedup();
    if languages.is_empty() {
        languages.push("");
    }
    languages.into_iter().map(Analyser::new).collect()
}

/// The weights of a fusion: as asked for, else by what the embedders know.
pub(crate) fn settings(plan: &Plan, groups: &[SpaceGroup]) -> FuseSettings {
    let Plan::Fuse { method, rrf_k0, w_fts, w_vec, .. } = plan else {
        return FuseSettings { method: FuseMethod::Rrf, w_fts: 1.0, w_vec: 1.0, rrf_k0: 60.0 };
    };
    let lexical = groups.iter().all(|g| g.space.lexical);
    let near = if lexical { LEXICAL_VECTOR_WEIGHT } else { SEMANTIC_VECTOR_WEIGHT };
    FuseSettings {
        method: *method,
        rrf_k0: *rrf_k0,
        w_fts: w_fts.unwrap_or(1.0 - near),
        w_vec: w_vec.unwrap_or(near),
    }
}

/// An error that means "this leg is missing" in a hybrid search rather than a failure.
pub(crate) fn is_absence(error: &AiError) -> bool {
    matches!(
        error.code,
        AiErrorCode::Unavailable
            | AiErrorCode::DeadlineExceeded
            | AiErrorCode::FailedPrecondition
            | AiErrorCode::LimitExceeded
    )
}

fn too_fast() -> AiError {
    AiError::unavailable("the full-text index is being written faster than it can be read; try again")
}
