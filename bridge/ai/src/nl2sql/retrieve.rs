//! Which objects and examples a question is about: the linker's relations and what agents recorded; no model is asked.

use std::collections::{BTreeMap, BTreeSet};

use ai_core::Embedder;
use harvest::{HarvestResult, ObjectMeta};
use harvest_catalog::{
    Catalog, ListObjectsRequest, LlmSearchHit, LlmSearchRequest, RecordKind, RunInfo, parse_object_key,
};

use crate::linking::{LinkRequest, SchemaLinker};

/// Relations of a run that are known by name.
const RELATIONS_MAX: usize = 20_000;
/// Records of agents that are looked at.
const RECORDS_MAX: usize = 20;

/// A table or view by its schema and name.
pub(super) type Name = (String, String);

/// The relations that a question may use, by name in any case.
pub(super) struct Relations {
    by_name: BTreeMap<(String, String), Vec<Name>>,
}

impl Relations {
    pub(super) fn load(catalog: &Catalog, run: &RunInfo, only: Option<&[Name]>) -> HarvestResult<Self> {
        let mut by_name: BTreeMap<(String, String), Vec<Name>> = BTreeMap::new();
        let mut add = |name: Name| {
            by_name.entry((name.0.to_lowercase(), name.1.to_lowercase())).or_default().push(name);
        };
        match only {
            Some(names) => names.iter().cloned().for_each(&mut add),
            None => {
                for kind in ["table", "view", "materialized_view"] {
                    let mut request = ListObjectsRequest::new(run.run_id, &run.target_id);
                    request.object_type = Some(kind.to_owned());
                    request.limit = RELATIONS_MAX;
                    for item in catalog.list_objects(&request)?.results {
                        if let Ok((Some(schema), name)) = parse_object_key(&item.object_key) {
                            add((schema, name));
                        }
                    }
                }
            }
        }
        Ok(Self { by_name })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The relation that a statement means; exact spelling wins over another case.
    pub(super) fn find(&self, schema: &str, name: &str) -> Option<&Name> {
        let all = self.by_name.get(&(schema.to_lowercase(), name.to_lowercase()))?;
        all.iter().find(|have| have.0 == schema && have.1 == name).or_else(|| all.first())
    }

    fn of_schema(&self, schema: Option<&str>) -> Vec<&Name> {
        let wanted = |name: &&Name| schema.is_none_or(|schema| name.0 == schema);
        self.by_name.values().flatten().filter(wanted).collect()
    }
}

/// What was found for a question.
pub(super) struct Found {
    /// Best first.
    pub(super) objects: Vec<ObjectMeta>,
    /// Templates, best first.
    pub(super) examples: Vec<LlmSearchHit>,
    terms: Vec<(String, BTreeSet<Name>)>,
}

impl Found {
    /// Share of the question's words that the catalog knows as something of these objects.
    pub(super) fn linked(&self, used: &[Name]) -> f64 {
        let known: Vec<_> = self.terms.iter().filter(|(_, names)| !names.is_empty()).collect();
        if known.is_empty() {
            return 0.0;
        }
        let linked = known.iter().filter(|(_, names)| used.iter().any(|name| names.contains(name)));
        linked.count() as f64 / self.terms.len() as f64
    }
}

/// Where to look.
pub(super) struct Question<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) linker: &'a SchemaLinker,
    pub(super) embedder: Option<&'a dyn Embedder>,
    pub(super) run: &'a RunInfo,
    pub(super) relations: &'a Relations,
    pub(super) text: &'a str,
    pub(super) schema: Option<&'a str>,
    /// Only these, and all of them.
    pub(super) pinned: Option<&'a [Name]>,
    pub(super) tables_max: usize,
    pub(super) examples_max: usize,
}

impl Question<'_> {
    pub(super) fn search(&self) -> HarvestResult<Found> {
        let mut request = LinkRequest::new(&self.run.target_id, self.run.run_id, self.text);
        request.schema = self.schema;
        request.limit = self.tables_max;
        let linked = self.linker.link(self.catalog, &request, self.embedder)?;
        let known = |(schema, name): (String, String)| self.relations.find(&schema, &name).cloned();
        let mut scores: BTreeMap<Name, f64> = BTreeMap::new();
        for relation in linked.relations {
            if let Some(name) = known((relation.schema, relation.name)) {
                scores.insert(name, relation.score);
            }
        }
        let words = linked
            .words
            .into_iter()
            .map(|(word, names)| (word, names.into_iter().filter_map(known).collect()));
        let terms = words.collect();
        let examples = self.records(&mut scores)?;
        let chosen = match self.pinned {
            Some(names) => names.to_vec(),
            None => self.choose(scores),
        };
        let mut objects = Vec::new();
        for (schema, name) in chosen.into_iter().take(self.tables_max) {
            objects.push(self.catalog.object_meta(self.run.run_id, &schema, &name)?);
        }
        Ok(Found { objects, examples, terms })
    }

    /// Templates as examples; what agents recorded of objects counts for these.
    fn records(&self, scores: &mut BTreeMap<Name, f64>) -> HarvestResult<Vec<LlmSearchHit>> {
        let mut request = LlmSearchRequest::new(&self.run.target_id, self.run.run_id, self.text);
        request.kinds =
            vec![RecordKind::QuestionTemplate, RecordKind::Summary, RecordKind::Metric, RecordKind::Domain];
        request.limit = RECORDS_MAX;
        let hits = self.catalog.llm_search(&request)?.results;
        for hit in &hits {
            let names = hit.related_objects.iter().filter_map(|key| parse_object_key(key).ok());
            for (schema, name) in names.take(10) {
                if let Some(name) = self.relations.find(schema.as_deref().unwrap_or_default(), &name) {
                    *scores.entry(name.clone()).or_default() += 0.5 * hit.score;
                }
            }
        }
        let usable = |hit: &LlmSearchHit| hit.kind == "question_template" && hit.example_sql.is_some();
        Ok(hits.into_iter().filter(usable).take(self.examples_max.max(1)).collect())
    }

    /// The best, and in a small schema all the rest.
    fn choose(&self, scores: BTreeMap<Name, f64>) -> Vec<Name> {
        let mut ranked: Vec<(Name, f64)> = scores.into_iter().collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let mut chosen: Vec<Name> = ranked.into_iter().map(|(name, _)| name).collect();
        let all = self.relations.of_schema(self.schema);
        if all.len() <= self.tables_max {
            for name in all {
                if !chosen.contains(name) {
                    chosen.push(name.clone());
                }
            }
        }
        chosen.truncate(self.tables_max);
        chosen
    }
}
