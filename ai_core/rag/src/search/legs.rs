//! The legs of a search in one state of the store: words, vectors, and their fusion; it knows no result form.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use ai_core::{AiError, AiResult, Allowed, Deadline, EmbedKind, Metric, TextClause, TextHit};

use super::{Found, Plan, Search, SpaceGroup, analysers, is_absence, settings};
use crate::catalogue::Catalogue;
use crate::database::Session;
use crate::filters::Checked;
use crate::fuse::{self, Candidate};
use crate::query;
use crate::store::{self, SourceRow};

/// Share of the deadline that embedding the query may take, in percent.
const EMBED_SHARE: u32 = 60;

/// What fusing over several spaces uses: reciprocal ranks.
const SPACES_K0: f32 = 60.0;

/// (chunk, distance, similarity), nearest first.
type Near = Vec<(i64, f32, f32)>;

impl Search<'_> {
    /// Embeds the query once for each space that has none yet.
    pub(super) fn embed(
        &mut self,
        catalogue: &Catalogue,
        picked: &[SourceRow],
        groups: &mut Vec<SpaceGroup>,
    ) -> AiResult<()> {
        if groups.is_empty() || self.query.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let deadline = self.deadline.share(EMBED_SHARE);
        let alone = matches!(self.plan, Plan::Vector { .. });
        let mut failed = None;
        for group in groups.iter_mut().filter(|g| g.query.is_none()) {
            match self.query_vector(catalogue, picked, group, deadline) {
                Ok(vector) => group.query = Some(vector),
                Err(error) if alone => return Err(error),
                Err(error) => failed = Some(error),
            }
        }
        self.time("embed", started);
        if let Some(error) = failed {
            groups.retain(|g| g.query.is_some());
            self.degrade(format!("the query could not be embedded: {}", error.message));
        }
        Ok(())
    }

    fn query_vector(
        &self,
        _: &Catalogue,
        picked: &[SourceRow],
        group: &SpaceGroup,
        deadline: Deadline,
    ) -> AiResult<Vec<f32>> {
        let settings = picked
            .iter()
            .filter(|s| group.sources.contains(&s.source_id))
            .find_map(|s| s.config.as_ref().ok())
            .map(|c| &c.embedding)
            .ok_or_else(|| AiError::internal("a space has no source"))?;
        let (embedder, _) = self.inner.embedder_for(settings, &group.space)?;
        let mut vectors = embedder.embed(&[self.query], EmbedKind::Query, deadline)?;
        let vector = vectors.pop().ok_or_else(|| AiError::unavailable("the embedder answered nothing"))?;
        store::prepare_vector(&group.space, vector)
    }

    /// Searches one state of the store; `None` asks for a newer one.
    pub(super) fn search(
        &mut self,
        c: &dyn Session,
        catalogue: &Catalogue,
        picked: &[SourceRow],
        filter: &Checked,
        groups: &[SpaceGroup],
    ) -> AiResult<Option<Found>> {
        let ids: Vec<i64> = picked.iter().map(|s| s.source_id).collect();
        let all = ids.len() == catalogue.sources.len();
        let started = Instant::now();
        let allowed = filter.allowed(c, &ids, all)?;
        self.time("filter", started);
        let reach = self.reach();
        let words = match self.plan {
            Plan::Vector { .. } => Vec::new(),
            Plan::Fts => match self.words(c, picked, &allowed, reach)? {
                Some(hits) => hits,
                None => return Ok(None),
            },
            Plan::Fuse { fts_k, .. } => match self.words_or_degrade(c, picked, &allowed, fts_k.max(reach))? {
                Some(hits) => hits,
                None => return Ok(None),
            },
            Plan::FtsThenVec { candidates_k, .. } => {
                match self.words(c, picked, &allowed, candidates_k.max(reach))? {
                    Some(hits) => hits,
                    None => return Ok(None),
                }
            }
        };
        let started = Instant::now();
        let mut candidates = match &self.plan {
            Plan::Fts => {
                let words: Vec<(i64, f32)> = words.iter().map(|h| (h.chunk_pk, h.score)).collect();
                let mut candidates = fuse::join(&words, &[]);
                candidates.iter_mut().for_each(|x| x.score = fuse::score_fts(x.fts_raw.unwrap_or(0.0)));
                candidates
            }
            Plan::Vector { .. } => {
                let near = self.near(c, catalogue, groups, &allowed, reach)?;
                let mut candidates = fuse::join(&[], &near);
                candidates.iter_mut().for_each(|x| x.score = x.score_vec.unwrap_or(0.0));
                candidates
            }
            Plan::Fuse { vec_k, .. } => {
                self.fused(c, catalogue, groups, &allowed, &words, (*vec_k).max(reach))?
            }
            Plan::FtsThenVec { rerank_k, metric, .. } => {
                self.scored_by_vectors(c, catalogue, groups, &words, (*rerank_k).max(reach), *metric)?
            }
        };
        self.time("vec", started);
        if matches!(self.plan, Plan::Fuse { .. } | Plan::FtsThenVec { .. }) {
            self.response.stats.mode =
                Some(if matches!(self.plan, Plan::Fuse { .. }) { "fuse" } else { "fts_then_vec" }.to_owned());
            self.response.stats.candidates_fts = Some(words.len());
            self.response.stats.candidates_vec =
                Some(candidates.iter().filter(|x| x.rank_vec.is_some()).count());
        }
        let matched_more = candidates.len() > self.common.offset + self.k || candidates.len() >= reach;
        if !matches!(self.plan, Plan::FtsThenVec { .. }) {
            candidates.sort_by(|a, b| fuse::better(a, b).then(a.chunk_pk.cmp(&b.chunk_pk)));
        }
        self.load(c, catalogue, groups, candidates, matched_more).map(Some)
    }

    /// Candidates that later stages need.
    fn reach(&self) -> usize {
        let shown = self.common.offset + self.k;
        let limit = self.inner.limits().candidates_max;
        let mut reach = shown + 1;
        if self.common.rerank.enabled {
            reach = reach.max(self.common.rerank.top_n.min(limit));
        }
        if let Some(mmr) = &self.common.mmr {
            reach = reach.max(mmr.pool.unwrap_or(4 * self.k).min(200) + self.common.offset);
        }
        if self.common.max_per_doc > 0 {
            reach = reach.max((10 * shown).min(limit));
        }
        reach.min(limit.max(shown + 1))
    }

    fn clause(&mut self, picked: &[SourceRow]) -> AiResult<Option<TextClause>> {
        let mut clauses = Vec::new();
        for analyser in analysers(picked) {
            clauses.extend(query::parse(self.query, self.syntax, self.match_mode, &analyser)?);
        }
        Ok(match clauses.len() {
            0 => None,
            1 => Some(clauses.remove(0)),
            _ => Some(TextClause::Any(clauses)),
        })
    }

    fn words(
        &mut self,
        c: &dyn Session,
        picked: &[SourceRow],
        allowed: &Allowed,
        k: usize,
    ) -> AiResult<Option<Vec<TextHit>>> {
        let Some(clause) = self.clause(picked)? else {
            let warning = "the query has no word to search for".to_owned();
            if !self.response.warnings.contains(&warning) {
                self.response.warnings.push(warning);
            }
            return Ok(Some(Vec::new()));
        };
        let started = Instant::now();
        let found = self.inner.store.search_text(c, &clause, k, allowed, self.deadline)?;
        self.time("fts", started);
        Ok(found.map(|(hits, lag_ms)| {
            self.response.stats.index_lag_ms = lag_ms;
            hits
        }))
    }

    /// In a fused search vectors can stand in for a full-text index that is away.
    fn words_or_degrade(
        &mut self,
        c: &dyn Session,
        picked: &[SourceRow],
        allowed: &Allowed,
        k: usize,
    ) -> AiResult<Option<Vec<TextHit>>> {
        match self.words(c, picked, allowed, k) {
            Err(error) if is_absence(&error) => {
                self.degrade(format!("full text is missing: {}", error.message));
                Ok(Some(Vec::new()))
            }
            other => other,
        }
    }

    /// The nearest chunks over all groups; several spaces are merged by rank, never by distance.
    fn near(
        &self,
        c: &dyn Session,
        catalogue: &Catalogue,
        groups: &[SpaceGroup],
        allowed: &Allowed,
        k: usize,
    ) -> AiResult<Near> {
        let mut parts: Vec<Near> = Vec::new();
        for group in groups {
            let Some(query) = &group.query else { continue };
            let own = allowed_in(catalogue, group, allowed);
            let hits = self.inner.store.nearest(c, &group.space, query, k, &own, self.deadline)?;
            parts.push(
                hits.iter().map(|h| (h.chunk_pk, h.distance, group.space.metric.score(h.distance))).collect(),
            );
        }
        if parts.len() < 2 {
            return Ok(parts.pop().unwrap_or_default());
        }
        let mut merged: Vec<(f32, (i64, f32, f32))> = parts
            .into_iter()
            .flat_map(|part| {
                part.into_iter().enumerate().map(|(rank, hit)| (1.0 / (SPACES_K0 + rank as f32 + 1.0), hit))
            })
            .collect();
        merged.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.0.cmp(&b.1.0)));
        merged.truncate(k);
        Ok(merged.into_iter().map(|(_, hit)| hit).collect())
    }

    fn fused(
        &mut self,
        c: &dyn Session,
        catalogue: &Catalogue,
        groups: &[SpaceGroup],
        allowed: &Allowed,
        words: &[TextHit],
        vec_k: usize,
    ) -> AiResult<Vec<Candidate>> {
        let near = match self.near(c, catalogue, groups, allowed, vec_k) {
            Ok(near) => near,
            Err(error) if is_absence(&error) => {
                self.degrade(format!("vectors are missing: {}", error.message));
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        let words: Vec<(i64, f32)> = words.iter().map(|h| (h.chunk_pk, h.score)).collect();
        let mut candidates = fuse::join(&words, &near);
        // Words found these; their similarity is known too, and the fused score should know it.
        if let [group] = groups {
            self.complete(c, group, &mut candidates, group.space.metric)?;
        }
        fuse::fuse(&mut candidates, settings(&self.plan, groups));
        Ok(candidates)
    }

    fn complete(
        &self,
        c: &dyn Session,
        group: &SpaceGroup,
        candidates: &mut [Candidate],
        metric: Metric,
    ) -> AiResult<()> {
        let Some(query) = &group.query else { return Ok(()) };
        let missing: Vec<i64> =
            candidates.iter().filter(|x| x.distance.is_none()).map(|x| x.chunk_pk).collect();
        let known: HashMap<i64, f32> = store::vector_distances(c, &group.space, metric, query, &missing)?
            .into_iter()
            .map(|h| (h.chunk_pk, h.distance))
            .collect();
        for candidate in candidates.iter_mut() {
            if let Some(distance) = known.get(&candidate.chunk_pk) {
                candidate.distance = Some(*distance);
                candidate.score_vec = Some(metric.score(*distance));
            }
        }
        Ok(())
    }

    /// `fts_then_vec`: the best by words, ordered by vectors; those without a vector follow in their order.
    fn scored_by_vectors(
        &mut self,
        c: &dyn Session,
        _: &Catalogue,
        groups: &[SpaceGroup],
        words: &[TextHit],
        keep: usize,
        metric: Option<Metric>,
    ) -> AiResult<Vec<Candidate>> {
        let words: Vec<(i64, f32)> = words.iter().map(|h| (h.chunk_pk, h.score)).collect();
        let mut candidates = fuse::join(&words, &[]);
        for group in groups {
            self.complete(c, group, &mut candidates, metric.unwrap_or(group.space.metric))?;
        }
        let (mut scored, rest): (Vec<Candidate>, Vec<Candidate>) =
            candidates.into_iter().partition(|x| x.score_vec.is_some());
        for candidate in &mut scored {
            candidate.score = candidate.score_vec.unwrap_or(0.0);
        }
        scored.sort_by(|a, b| fuse::better(a, b).then(a.chunk_pk.cmp(&b.chunk_pk)));
        for (rank, candidate) in scored.iter_mut().enumerate() {
            candidate.rank_vec = Some(rank + 1);
        }
        scored.extend(rest);
        scored.truncate(keep);
        Ok(scored)
    }

    fn load(
        &mut self,
        c: &dyn Session,
        catalogue: &Catalogue,
        groups: &[SpaceGroup],
        mut candidates: Vec<Candidate>,
        matched_more: bool,
    ) -> AiResult<Found> {
        let started = Instant::now();
        candidates.truncate(self.reach().max(self.common.offset + self.k + 1));
        let pks: Vec<i64> = candidates.iter().map(|x| x.chunk_pk).collect();
        let bodies = self.common.returns.include_snippets
            || self.common.rerank.enabled
            || self.common.mmr.is_some()
            || self.common.explain;
        let rows = store::chunks_by_pk(c, &pks, bodies)?;
        candidates.retain(|x| rows.contains_key(&x.chunk_pk));
        if !matches!(self.plan, Plan::FtsThenVec { .. }) {
            candidates.sort_by(|a, b| {
                fuse::better(a, b).then_with(|| rows[&a.chunk_pk].chunk_id.cmp(&rows[&b.chunk_pk].chunk_id))
            });
        }
        let mut vectors = HashMap::new();
        if self.common.mmr.is_some() {
            for group in groups {
                vectors.extend(store::load_vectors(c, &group.space, &pks)?);
            }
        }
        let mut model_of = BTreeMap::new();
        for group in groups {
            model_of.extend(group.sources.iter().map(|s| (*s, group.space.model.clone())));
        }
        let _ = catalogue;
        self.time("load", started);
        Ok(Found { candidates, rows, model_of, matched_more, vectors })
    }
}

/// Restricts to the group's sources, unless the space holds nothing else anyway.
fn allowed_in(catalogue: &Catalogue, group: &SpaceGroup, allowed: &Allowed) -> Allowed {
    let alone = allowed.source_ids.is_none()
        && allowed.chunk_pks.is_none()
        && catalogue
            .roles
            .iter()
            .filter(|(_, space, _)| *space == group.space.space_id)
            .all(|(source, _, active)| *active && group.sources.contains(source));
    if alone {
        return Allowed::all();
    }
    let mut own = Allowed::sources(group.sources.clone());
    own.chunk_pks.clone_from(&allowed.chunk_pks);
    own
}
