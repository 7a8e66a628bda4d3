//! Which objects and examples a question is about: words against the catalog, then along keys; no model is asked.

use std::collections::{BTreeMap, BTreeSet};

use harvest::{HarvestResult, ObjectMeta};
use harvest_catalog::{
    Catalog, Direction, ListObjectsRequest, LlmSearchHit, LlmSearchRequest, ObjectRef, RecordKind,
    RelationshipFilter, RunInfo, SearchRequest, object_key, parse_object_key, question_norm,
};

/// Words of a question that are looked up.
const TERMS_MAX: usize = 32;
/// Objects that one word may bring.
const HITS_MAX: usize = 30;
/// Best objects whose keys are followed.
const FOLLOWED_MAX: usize = 8;
/// Weakest inferred reference that is followed.
const CONFIDENCE_MIN: f64 = 0.6;
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
        let norm = question_norm(self.text);
        let terms: BTreeSet<&str> = norm.split(' ').filter(|term| !term.is_empty()).take(TERMS_MAX).collect();
        let mut scores: BTreeMap<Name, f64> = BTreeMap::new();
        let mut linked = Vec::new();
        for term in terms {
            let names = self.term(term, &mut scores)?;
            linked.push((term.to_owned(), names));
        }
        let examples = self.records(&mut scores)?;
        let chosen = match self.pinned {
            Some(names) => names.to_vec(),
            None => self.choose(scores)?,
        };
        let mut objects = Vec::new();
        for (schema, name) in chosen.into_iter().take(self.tables_max) {
            objects.push(self.catalog.object_meta(self.run.run_id, &schema, &name)?);
        }
        Ok(Found { objects, examples, terms: linked })
    }

    /// Adds what one word brings; a word that many objects hold tells little of each.
    fn term(&self, term: &str, scores: &mut BTreeMap<Name, f64>) -> HarvestResult<BTreeSet<Name>> {
        let mut request = SearchRequest::new(self.run.run_id, &self.run.target_id, format!("{term}*"));
        request.schema_name = self.schema.map(str::to_owned);
        request.include_definition_hits = false;
        request.limit = HITS_MAX;
        let hits = self.catalog.search(&request)?.results;
        let weight = 1.0 / (hits.len().max(1) as f64).sqrt();
        let mut names = BTreeSet::new();
        for hit in hits {
            let Some(name) = self.relations.find(&hit.schema_name, &hit.object_name) else { continue };
            let by_name = hit.matched_in.iter().any(|place| place == "name");
            *scores.entry(name.clone()).or_default() += weight * hit.score * if by_name { 2.0 } else { 1.0 };
            names.insert(name.clone());
        }
        Ok(names)
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

    /// The best, their neighbours along keys, and in a small schema all the rest.
    fn choose(&self, scores: BTreeMap<Name, f64>) -> HarvestResult<Vec<Name>> {
        let mut ranked: Vec<(Name, f64)> = scores.into_iter().collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let ranked: Vec<Name> = ranked.into_iter().map(|(name, _)| name).collect();
        let mut chosen: Vec<Name> = Vec::new();
        let push = |name: &Name, chosen: &mut Vec<Name>| {
            if !chosen.contains(name) {
                chosen.push(name.clone());
            }
        };
        for name in ranked.iter().take(FOLLOWED_MAX) {
            push(name, &mut chosen);
        }
        for name in ranked.iter().take(FOLLOWED_MAX) {
            for neighbour in self.neighbours(name)? {
                push(&neighbour, &mut chosen);
            }
        }
        for name in &ranked {
            push(name, &mut chosen);
        }
        let all = self.relations.of_schema(self.schema);
        if all.len() <= self.tables_max {
            for name in all {
                push(name, &mut chosen);
            }
        }
        chosen.truncate(self.tables_max);
        Ok(chosen)
    }

    fn neighbours(&self, name: &Name) -> HarvestResult<Vec<Name>> {
        let object = ObjectRef { object_key: Some(object_key(&name.0, &name.1)), ..ObjectRef::default() };
        let filter = RelationshipFilter {
            direction: Direction::Both,
            min_confidence: CONFIDENCE_MIN,
            ..RelationshipFilter::default()
        };
        // A key that is no longer unique (a table and a sequence of one name) has no neighbours here.
        let Ok(links) =
            self.catalog.get_relationships(&self.run.target_id, self.run.run_id, &object, &filter)
        else {
            return Ok(Vec::new());
        };
        let mut found: Vec<Name> = Vec::new();
        for key in &links.foreign_keys {
            found.push((key.parent_schema.clone(), key.parent_object.clone()));
            if let (Some(schema), Some(child)) = (&key.child_schema, &key.child_object) {
                found.push((schema.clone(), child.clone()));
            }
        }
        let ends = links
            .inferred_relationships
            .iter()
            .flat_map(|link| [&link.child, &link.parent])
            .chain(links.llm_relationships.iter().flat_map(|link| [&link.child, &link.parent]));
        for end in ends {
            if let Ok((Some(schema), name)) = parse_object_key(&end.object_key) {
                found.push((schema, name));
            }
        }
        let known = |(schema, name): Name| self.relations.find(&schema, &name).cloned();
        Ok(found.into_iter().filter_map(known).filter(|other| other != name).collect())
    }
}
