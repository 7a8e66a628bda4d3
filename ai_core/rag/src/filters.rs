//! Filters of a search as one bound condition over chunks; it knows columns, not rankings.

use ai_core::{AiError, AiResult, Allowed};
use serde_json::Value;

use crate::api::Filters;
use crate::database::{Session, SqlValue as Sql};
use crate::store::{self, SourceRow};

const DOC_IDS_MAX: usize = 1000;
const TAGS_MAX: usize = 64;
const KEYS_MAX: usize = 16;
const VALUES_MAX: usize = 256;

/// A checked filter object.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    conditions: Vec<String>,
    values: Vec<Sql>,
    /// Lowest final score.
    pub(crate) min_relevance: f64,
    /// Names of the kinds that apply.
    pub(crate) applied: Vec<String>,
}

fn bad(path: &str, why: &str) -> AiError {
    AiError::invalid(format!("filters.{path}: {why}")).with("path", format!("filters.{path}"))
}

impl Checked {
    /// Checks the object against the sources that are searched.
    pub(crate) fn new(filters: &Filters, sources: &[&SourceRow]) -> AiResult<Self> {
        let mut out = Self::default();
        for (name, given) in [
            ("source_ids", !filters.source_ids.is_empty()),
            ("source_names", !filters.source_names.is_empty()),
        ] {
            if given {
                out.applied.push(name.to_owned());
            }
        }
        out.lists(filters)?;
        out.times(filters)?;
        out.scores(filters, sources)?;
        if filters.metadata.len() > KEYS_MAX {
            return Err(AiError::limit(format!("filters.metadata has more than {KEYS_MAX} keys")));
        }
        for (key, wanted) in &filters.metadata {
            out.metadata(key, wanted, sources)?;
        }
        if !filters.metadata.is_empty() {
            out.applied.push("metadata".to_owned());
        }
        Ok(out)
    }

    fn add(&mut self, name: &str, condition: &str, value: impl Into<Sql>) {
        self.values.push(value.into());
        self.conditions.push(
            condition
                .replace("{list}", &format!("{{list:{}}}", self.values.len()))
                .replace("??", &format!("?{}", self.values.len())),
        );
        if !name.is_empty() {
            self.applied.push(name.to_owned());
        }
    }

    fn lists(&mut self, f: &Filters) -> AiResult<()> {
        if f.doc_ids.len() > DOC_IDS_MAX {
            return Err(AiError::limit(format!("filters.doc_ids has more than {DOC_IDS_MAX} entries")));
        }
        if f.tags_any.len() > TAGS_MAX || f.tags_all.len() > TAGS_MAX {
            return Err(AiError::limit(format!(
                "filters.tags_any and tags_all take {TAGS_MAX} tags at most"
            )));
        }
        if !f.doc_ids.is_empty() {
            self.add("doc_ids", "c.doc_id {list}", f.doc_ids.clone());
        }
        if !f.post_type_ids.is_empty() {
            self.add(
                "post_type_ids",
                "c.doc_pk IN (SELECT doc_pk FROM rag_documents WHERE post_type {list})",
                f.post_type_ids.clone(),
            );
        }
        let folded = |tags: &[String]| tags.iter().map(|t| t.trim().to_lowercase()).collect::<Vec<_>>();
        if !f.tags_any.is_empty() {
            self.add(
                "tags_any",
                "c.doc_pk IN (SELECT doc_pk FROM rag_document_tags WHERE tag {list})",
                folded(&f.tags_any),
            );
        }
        for (i, tag) in folded(&f.tags_all).into_iter().enumerate() {
            let name = if i == 0 { "tags_all" } else { "" };
            self.add(name, "c.doc_pk IN (SELECT doc_pk FROM rag_document_tags WHERE tag = ??)", tag);
        }
        Ok(())
    }

    fn times(&mut self, f: &Filters) -> AiResult<()> {
        let read = |path: &str, text: &str| {
            crate::times::parse_ms(text).ok_or_else(|| bad(path, "is no date or RFC 3339 time"))
        };
        if let Some(text) = &f.created_after {
            self.add(
                "created_after",
                "c.doc_pk IN (SELECT doc_pk FROM rag_documents WHERE created_ms >= ??)",
                read("created_after", text)?,
            );
        }
        if let Some(text) = &f.created_before {
            self.add(
                "created_before",
                "c.doc_pk IN (SELECT doc_pk FROM rag_documents WHERE created_ms <= ??)",
                read("created_before", text)?,
            );
        }
        Ok(())
    }

    fn scores(&mut self, f: &Filters, sources: &[&SourceRow]) -> AiResult<()> {
        let mut lowest = f.min_relevance;
        let mut meta = f.min_meta_score;
        if lowest.is_some_and(|m| !(0.0..=1.0).contains(&m)) {
            return Err(bad("min_relevance", "must be between 0 and 1"));
        }
        match f.min_score {
            Some(s) if s.is_nan() || s < 0.0 => return Err(bad("min_score", "must not be negative")),
            Some(s) if s <= 1.0 => lowest = Some(lowest.unwrap_or(0.0).max(s)),
            Some(s) => meta = Some(meta.unwrap_or(f64::MIN).max(s)),
            None => {}
        }
        if let Some(lowest) = lowest {
            self.min_relevance = lowest;
            self.applied.push("min_relevance".to_owned());
        }
        if let Some(meta) = meta {
            let mapped = |s: &&SourceRow| {
                s.config.as_ref().is_ok_and(|c| {
                    let key = c.filter_key("score");
                    key.is_some_and(|k| {
                        c.backend_type == "push"
                            || c.doc_map.metadata.pick.contains(&k)
                            || c.doc_map.metadata.rename.values().any(|n| *n == k)
                    })
                })
            };
            if !sources.iter().any(mapped) {
                return Err(bad("min_meta_score", "no searched source maps a score"));
            }
            self.add(
                "min_meta_score",
                "c.doc_pk IN (SELECT doc_pk FROM rag_documents WHERE score_num >= ??)",
                meta,
            );
        }
        Ok(())
    }

    fn metadata(&mut self, key: &str, wanted: &Value, sources: &[&SourceRow]) -> AiResult<()> {
        // A renamed key is found under its old name too.
        let names: Vec<String> = std::iter::once(key.to_owned())
            .chain(
                sources
                    .iter()
                    .filter_map(|s| s.config.as_ref().ok()?.doc_map.metadata.rename.get(key).cloned()),
            )
            .collect();
        let path = format!("metadata.{key}");
        let Value::Object(operators) = wanted else {
            return self.compare(&path, &names, "eq", wanted);
        };
        if operators.is_empty() || operators.len() > 9 {
            return Err(bad(&path, "needs one to nine operators"));
        }
        operators.iter().try_for_each(|(operator, value)| self.compare(&path, &names, operator, value))
    }

    fn compare(&mut self, path: &str, names: &[String], operator: &str, value: &Value) -> AiResult<()> {
        self.values.push(names.into());
        let keys = format!("m.key {{list:{}}}", self.values.len());
        let inside = |test: &str| {
            format!("c.doc_pk IN (SELECT m.doc_pk FROM rag_document_meta m WHERE {keys} AND {test})")
        };
        let condition = match operator {
            "eq" => inside(&self.equals(path, value)?),
            "ne" => format!("NOT {}", inside(&self.equals(path, value)?)),
            "in" => {
                let Value::Array(items) = value else { return Err(bad(path, "in takes a list")) };
                if items.is_empty() || items.len() > VALUES_MAX {
                    return Err(bad(path, "in takes 1-256 values"));
                }
                let tests = items.iter().map(|v| self.equals(path, v)).collect::<AiResult<Vec<_>>>()?;
                inside(&format!("({})", tests.join(" OR ")))
            }
            "lt" | "lte" | "gt" | "gte" => {
                let sign = match operator {
                    "lt" => "<",
                    "lte" => "<=",
                    "gt" => ">",
                    _ => ">=",
                };
                let (column, bound): (&str, Sql) = match value {
                    Value::Number(n) => ("num", n.as_f64().unwrap_or(0.0).into()),
                    Value::String(s) => match crate::times::parse_ms(s) {
                        Some(ms) => ("ts_ms", ms.into()),
                        None => ("text", s.clone().into()),
                    },
                    _ => return Err(bad(path, "is compared with a number, a time or a text")),
                };
                self.values.push(bound);
                inside(&format!("m.{column} {sign} ?{}", self.values.len()))
            }
            "exists" => match value {
                Value::Bool(true) => inside("1 = 1"),
                Value::Bool(false) => format!("NOT {}", inside("1 = 1")),
                _ => return Err(bad(path, "exists takes true or false")),
            },
            "prefix" => {
                let Value::String(prefix) = value else { return Err(bad(path, "prefix takes a text")) };
                self.values.push(prefix.clone().into());
                inside(&format!(
                    "substr(m.text, 1, length(CAST(?{n} AS TEXT))) = CAST(?{n} AS TEXT)",
                    n = self.values.len()
                ))
            }
            _ => return Err(bad(path, "knows eq, ne, in, lt, lte, gt, gte, exists, prefix")),
        };
        self.conditions.push(condition);
        Ok(())
    }

    fn equals(&mut self, path: &str, value: &Value) -> AiResult<String> {
        let (column, bound): (&str, Sql) = match value {
            Value::String(s) => ("text", s.clone().into()),
            Value::Number(n) => match (n.as_i64(), n.as_f64()) {
                // Beyond 2^53 two integers may share a float; their text is exact.
                (Some(i), _) if i.unsigned_abs() > 1 << 53 => ("text", i.to_string().into()),
                (_, Some(f)) => ("num", f.into()),
                _ => ("text", n.to_string().into()),
            },
            Value::Bool(b) => ("text", b.to_string().into()),
            _ => return Err(bad(path, "is compared with a text, a number or a truth value")),
        };
        self.values.push(bound);
        Ok(format!("m.{column} = ?{}", self.values.len()))
    }

    /// What may answer in this state of the store. Without conditions only the sources restrict.
    pub(crate) fn allowed(&self, c: &dyn Session, sources: &[i64], all_sources: bool) -> AiResult<Allowed> {
        let base = if all_sources { Allowed::all() } else { Allowed::sources(sources.to_vec()) };
        if self.conditions.is_empty() {
            return Ok(base);
        }
        let mut values = self.values.clone();
        values.push(sources.into());
        let condition =
            format!("{} AND c.source_id {{list:{}}}", self.conditions.join(" AND "), values.len());
        let pks = store::matching_chunks(c, &condition, &values)?;
        Ok(Allowed::all().with_chunks(pks))
    }
}
