//! What is known of a target in one value: objects, keys by origin, domains, metrics, questions; it draws no report.

use mcp::{CallContext, ToolResult, ToolSet};
use serde::Serialize;
use serde_json::{Value, json};

use super::hands::Hands;

/// Tool calls that reading facts may take.
const CALLS_MAX: u64 = 100_000;
/// Questions, metrics and domains that are read at most.
const RECORDS_MAX: usize = 200;

/// Who says that two columns belong together.
// Exhaustive: reports draw each origin in a way of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyOrigin {
    /// A declared foreign key.
    Declared,
    /// Names, types and values.
    Inferred,
    /// An agent with a language model.
    Llm,
}

/// A key from child to parent.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names say it")]
pub struct KeyFact {
    pub child: String,
    pub child_columns: Vec<String>,
    pub parent: String,
    pub parent_columns: Vec<String>,
    pub origin: KeyOrigin,
    /// 0 to 1; 1 for declared keys.
    pub confidence: f64,
}

/// What an agent says an object is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names say it")]
pub struct SummaryFact {
    pub hypothesis: String,
    pub grain: String,
    pub warnings: Vec<String>,
    pub example_questions: Vec<String>,
    pub confidence: f64,
    pub status: String,
}

/// One table or view.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names say it")]
pub struct ObjectFact {
    pub object_id: i64,
    pub object_key: String,
    pub object_type: String,
    pub guessed_kind: String,
    pub comment: String,
    pub rows_est: Option<i64>,
    pub has_primary_key: bool,
    pub has_time_column: bool,
    pub has_summary: bool,
    /// Declared keys that point here, and from here.
    pub fk_in: u64,
    /// Declared keys from here.
    pub fk_out: u64,
    /// Name, full type, whether it is in the primary key.
    pub columns: Vec<(String, String, bool)>,
    pub summary: Option<SummaryFact>,
}

/// A table of this name and comment, and nothing else.
#[cfg(test)]
pub(crate) fn named(object_key: &str, comment: &str) -> ObjectFact {
    ObjectFact {
        object_id: 1,
        object_key: object_key.to_owned(),
        object_type: "table".to_owned(),
        guessed_kind: String::new(),
        comment: comment.to_owned(),
        rows_est: None,
        has_primary_key: false,
        has_time_column: false,
        has_summary: false,
        fk_in: 0,
        fk_out: 0,
        columns: Vec::new(),
        summary: None,
    }
}

/// A member of a domain.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names say it")]
pub struct MemberFact {
    pub object_key: String,
    pub role: String,
}

/// A business domain.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names say it")]
pub struct DomainFact {
    pub domain_key: String,
    pub title: String,
    pub description: String,
    pub confidence: f64,
    pub members: Vec<MemberFact>,
}

/// A metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names say it")]
pub struct MetricFact {
    pub metric_key: String,
    pub title: String,
    pub description: String,
    pub domain_key: String,
    pub unit: String,
    pub sql: String,
    pub confidence: f64,
}

/// A question that the data answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names say it")]
pub struct QuestionFact {
    pub title: String,
    pub question: String,
    pub sql: String,
    pub confidence: f64,
}

/// Everything known of one run of one target.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct Facts {
    /// The target.
    pub target_id: String,
    /// The run.
    pub run_id: i64,
    /// `mysql`, `pgsql` or `sqlite`.
    pub protocol: String,
    /// Tables and views, by key.
    pub objects: Vec<ObjectFact>,
    /// Objects of the run that are neither table nor view, or beyond the limit.
    pub objects_left_out: usize,
    /// Keys of all origins, declared ones first.
    pub keys: Vec<KeyFact>,
    /// Domains of agents.
    pub domains: Vec<DomainFact>,
    /// Metrics of agents.
    pub metrics: Vec<MetricFact>,
    /// Questions of agents and callers.
    pub questions: Vec<QuestionFact>,
    /// Notes of agents: title and text.
    pub notes: Vec<(String, String)>,
}

impl Facts {
    /// Reads the facts of a run, the latest without one, through the tools of `/mcp/query`.
    ///
    /// # Errors
    /// What a tool fails with, `NOT_FOUND` for a target without a run for instance.
    pub fn read(
        tools: &dyn ToolSet,
        cx: &CallContext,
        target_id: &str,
        run_id: Option<i64>,
        objects_max: usize,
    ) -> ToolResult<Self> {
        let hands = Hands::new(tools, cx, target_id, CALLS_MAX);
        if let Some(run_id) = run_id {
            hands.bind_run(run_id);
        }
        let first = hands.call("catalog.list_objects", json!({"page_size": 1}))?;
        let run_id = first.get("run_id").and_then(Value::as_i64).unwrap_or_default();
        hands.bind_run(run_id);
        let mut facts = Self {
            target_id: target_id.to_owned(),
            run_id,
            protocol: text(&first, "protocol"),
            ..Self::default()
        };
        facts.objects = list_objects(&hands, objects_max)?;
        let total = first.get("total").and_then(Value::as_u64).unwrap_or_default();
        facts.objects_left_out =
            usize::try_from(total).unwrap_or(usize::MAX).saturating_sub(facts.objects.len());
        for object in &mut facts.objects {
            let document = object_document(&hands, object.object_id, false, true)?;
            object.columns = columns(&document);
            object.summary = document.get("summary").and_then(summary);
            facts.keys.extend(keys_out(&hands, object)?);
        }
        facts.keys.sort_by(|a, b| {
            a.origin
                .cmp(&b.origin)
                .then_with(|| (&a.child, &a.child_columns).cmp(&(&b.child, &b.child_columns)))
        });
        facts.keys.dedup_by(|a, b| {
            a.origin == b.origin
                && a.child == b.child
                && a.child_columns == b.child_columns
                && a.parent == b.parent
                && a.parent_columns == b.parent_columns
        });
        facts.read_memory(&hands)?;
        Ok(facts)
    }

    fn read_memory(&mut self, hands: &Hands<'_>) -> ToolResult<()> {
        for domain in hands.pages("llm.domain_list", &json!({"page_size": 50}), "domains", RECORDS_MAX)? {
            let members = domain.get("members").and_then(Value::as_array).into_iter().flatten();
            self.domains.push(DomainFact {
                domain_key: text(&domain, "domain_key"),
                title: text(&domain, "title"),
                description: text(&domain, "description"),
                confidence: number(&domain, "confidence"),
                members: members
                    .map(|m| MemberFact { object_key: text(m, "object_key"), role: text(m, "role") })
                    .collect(),
            });
        }
        for metric in hands.pages("llm.metric_list", &json!({"page_size": 100}), "metrics", RECORDS_MAX)? {
            self.metrics.push(MetricFact {
                metric_key: text(&metric, "metric_key"),
                title: text(&metric, "title"),
                description: text(&metric, "description"),
                domain_key: text(&metric, "domain_key"),
                unit: text(&metric, "unit"),
                sql: text(&metric, "sql_template"),
                confidence: number(&metric, "confidence"),
            });
        }
        let args = json!({"query": "", "kinds": ["question_template"], "limit": 200});
        for hit in hands.pages("llm.search", &args, "results", RECORDS_MAX)? {
            self.questions.push(QuestionFact {
                title: text(&hit, "title"),
                // The record's further words are for searches.
                question: text(&hit, "body").lines().next().unwrap_or_default().to_owned(),
                sql: text(&hit, "example_sql"),
                confidence: number(&hit, "confidence"),
            });
        }
        self.questions.sort_by(|a, b| (&a.title, &a.question).cmp(&(&b.title, &b.question)));
        for hit in hands.pages(
            "llm.search",
            &json!({"query": "", "kinds": ["note"], "limit": 200}),
            "results",
            RECORDS_MAX,
        )? {
            self.notes.push((text(&hit, "title"), text(&hit, "body")));
        }
        self.notes.sort();
        Ok(())
    }

    /// What is not certain: missing keys, weak readings, warnings of summaries. Each is one sentence.
    #[must_use]
    pub fn doubts(&self) -> Vec<String> {
        let mut out = Vec::new();
        let unread = self.objects.iter().filter(|o| o.summary.is_none()).count();
        if unread > 0 {
            out.push(format!("{unread} of {} tables and views are not described.", self.objects.len()));
        }
        for object in &self.objects {
            if !object.has_primary_key && object.object_type == "table" {
                out.push(format!("{} declares no primary key.", object.object_key));
            }
            if let Some(summary) = &object.summary {
                if summary.confidence < 0.6 {
                    out.push(format!(
                        "{}: the reading is tentative (confidence {:.2}).",
                        object.object_key, summary.confidence
                    ));
                }
                out.extend(summary.warnings.iter().map(|w| format!("{}: {w}", object.object_key)));
            }
        }
        for key in self.keys.iter().filter(|k| k.origin != KeyOrigin::Declared && k.confidence < 0.6) {
            out.push(format!(
                "{}.{} may refer to {}.{} (confidence {:.2}): check the values.",
                key.child,
                key.child_columns.join(", "),
                key.parent,
                key.parent_columns.join(", "),
                key.confidence
            ));
        }
        out
    }
}

pub(crate) fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

pub(crate) fn number(value: &Value, key: &str) -> f64 {
    value.get(key).and_then(Value::as_f64).unwrap_or_default()
}

pub(crate) fn texts(value: &Value, key: &str) -> Vec<String> {
    let list = value.get(key).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Tables and views of the run, by key.
pub(crate) fn list_objects(hands: &Hands<'_>, objects_max: usize) -> ToolResult<Vec<ObjectFact>> {
    let mut out = Vec::new();
    for object_type in ["table", "view", "materialized_view"] {
        let args = json!({"object_type": object_type, "page_size": 500});
        let room = objects_max.saturating_sub(out.len());
        for item in hands.pages("catalog.list_objects", &args, "results", room)? {
            let count = |key: &str| item.get(key).and_then(Value::as_u64).unwrap_or_default();
            let flag = |key: &str| item.get(key).and_then(Value::as_bool).unwrap_or_default();
            out.push(ObjectFact {
                object_id: item.get("object_id").and_then(Value::as_i64).unwrap_or_default(),
                object_key: text(&item, "object_key"),
                object_type: text(&item, "object_type"),
                guessed_kind: text(&item, "guessed_kind"),
                comment: text(&item, "comment"),
                rows_est: item.get("rows_est").and_then(Value::as_i64),
                has_primary_key: flag("has_primary_key"),
                has_time_column: flag("has_time_column"),
                has_summary: flag("has_summary"),
                fk_in: count("fk_in"),
                fk_out: count("fk_out"),
                columns: Vec::new(),
                summary: None,
            });
        }
    }
    out.sort_by(|a, b| a.object_key.cmp(&b.object_key));
    Ok(out)
}

pub(crate) fn object_document(
    hands: &Hands<'_>,
    object_id: i64,
    definition: bool,
    llm: bool,
) -> ToolResult<Value> {
    hands.call(
        "catalog.get_object",
        json!({"object_id": object_id, "include_definition": definition, "include_llm": llm, "include_profiles": false}),
    )
}

pub(crate) fn columns(document: &Value) -> Vec<(String, String, bool)> {
    let list = document.get("columns").and_then(Value::as_array).into_iter().flatten();
    list.map(|c| {
        let is_pk = c.get("is_pk").and_then(Value::as_bool).unwrap_or_default();
        (text(c, "name"), text(c, "column_type"), is_pk)
    })
    .collect()
}

/// The summary inside a document: the record with its confidence, or the bare object.
fn summary(value: &Value) -> Option<SummaryFact> {
    let body = value.get("summary").filter(|s| s.is_object()).unwrap_or(value);
    body.as_object()?;
    Some(SummaryFact {
        hypothesis: text(body, "hypothesis"),
        grain: text(body, "grain"),
        warnings: texts(body, "warnings"),
        example_questions: texts(body, "example_questions"),
        confidence: number(value, "confidence"),
        status: text(value, "status"),
    })
}

/// Keys from an object to others, of all origins.
pub(crate) fn keys_out(hands: &Hands<'_>, object: &ObjectFact) -> ToolResult<Vec<KeyFact>> {
    let links = hands
        .call("catalog.get_relationships", json!({"object_id": object.object_id, "direction": "out"}))?;
    let list = |key: &str| links.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut out: Vec<KeyFact> = list("foreign_keys")
        .iter()
        .map(|key| KeyFact {
            child: object.object_key.clone(),
            child_columns: texts(key, "child_columns"),
            parent: joined(&text(key, "parent_schema"), &text(key, "parent_object")),
            parent_columns: texts(key, "parent_columns"),
            origin: KeyOrigin::Declared,
            confidence: 1.0,
        })
        .collect();
    for (name, origin) in
        [("inferred_relationships", KeyOrigin::Inferred), ("llm_relationships", KeyOrigin::Llm)]
    {
        for relation in list(name) {
            let end =
                |side: &str, key: &str| relation.get(side).map(|end| text(end, key)).unwrap_or_default();
            out.push(KeyFact {
                child: end("child", "object_key"),
                child_columns: vec![end("child", "column")],
                parent: end("parent", "object_key"),
                parent_columns: vec![end("parent", "column")],
                origin,
                confidence: number(&relation, "confidence"),
            });
        }
    }
    Ok(out)
}

/// The key of an object: parts that hold a dot or a quote are quoted.
fn joined(schema: &str, name: &str) -> String {
    let part = |text: &str| {
        if text.contains(['.', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
    };
    format!("{}.{}", part(schema), part(name))
}
