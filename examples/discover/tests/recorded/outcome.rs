//! What a discovery left in its catalog, without ids and times: the records, and the report's text; it runs nothing.

use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::ValueRef;

/// Each table of records with what makes a record, in an order that does not depend on ids.
const RECORDS: &[(&str, &str)] = &[
    ("agent runs", "SELECT model_name, status, error FROM agent_runs ORDER BY 1, 2"),
    (
        "summaries",
        "SELECT object_uid, object_hash, summary_json, confidence, status, sources_json FROM llm_object_summaries ORDER BY 1",
    ),
    (
        "relationships",
        "SELECT child_key, child_column, parent_key, parent_column, rel_type, confidence, evidence_json FROM llm_relationships
         ORDER BY 1, 2, 3, 4",
    ),
    ("domains", "SELECT domain_key, title, description, confidence FROM llm_domains ORDER BY 1"),
    (
        "members",
        "SELECT d.domain_key, m.object_uid, m.role, m.confidence FROM llm_domain_members m
         JOIN llm_domains d ON d.domain_id = m.domain_id ORDER BY 1, 2",
    ),
    (
        "metrics",
        "SELECT metric_key, title, description, domain_key, grain, unit, sql_template, sql_valid, depends_json, confidence
         FROM llm_metrics ORDER BY 1",
    ),
    (
        "questions",
        "SELECT title, question_nl, template_json, example_sql, sql_valid, related_objects, confidence, status
         FROM llm_question_templates ORDER BY 1, 2",
    ),
    ("notes", "SELECT scope, object_uid, domain_key, title, body, tags_json FROM llm_notes ORDER BY 1, 4, 5"),
    ("decisions", "SELECT DISTINCT payload_json ->> 'step' FROM agent_events WHERE event_type = 'decision'
         AND payload_json ->> 'step' NOT LIKE 'summary %' ORDER BY 1"),
    ("search rows", "SELECT kind, key, title, body, tags FROM fts_llm ORDER BY 1, 2, 3, 4"),
];

/// Records by table, and the report without the sentence about what was spent.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    records: Vec<(&'static str, Vec<String>)>,
    report: String,
}

impl Outcome {
    pub(crate) fn read(out: &Path) -> Self {
        let file = catalog(&out.join("catalog"));
        let store = Connection::open(&file).expect("the catalog opens");
        let records = RECORDS.iter().map(|(name, sql)| (*name, rows(&store, sql))).collect();
        let report = std::fs::read_to_string(out.join("report.md")).expect("a report");
        let report: Vec<&str> = report.lines().filter(|line| !line.contains("Phase 2")).collect();
        Self { records, report: report.join("\n") }
    }

    /// That the undisturbed run is a whole one.
    pub(crate) fn check(&self) {
        let count =
            |name: &str| self.records.iter().find(|(n, _)| *n == name).map_or(0, |(_, rows)| rows.len());
        assert_eq!(count("agent runs"), 1);
        assert_eq!(count("summaries"), 30, "every table and view");
        assert!(count("domains") >= 3 && count("metrics") >= 10 && count("questions") >= 10, "{self:#?}");
        let all = format!("{:?}", self.records);
        assert!(all.contains("success") && !all.contains("DELETE FROM") && !all.contains("nowhere"), "{all}");
    }
}

/// The catalog's file in the data folder, wherever the host puts it.
fn catalog(folder: &Path) -> std::path::PathBuf {
    let entries = std::fs::read_dir(folder).expect("the data folder");
    let is_catalog = |path: &std::path::PathBuf| {
        Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)
            .and_then(|c| c.query_row("SELECT count(*) FROM agent_runs", [], |r| r.get::<_, i64>(0)))
            .is_ok()
    };
    entries.flatten().map(|entry| entry.path()).find(is_catalog).expect("a catalog")
}

fn rows(store: &Connection, sql: &str) -> Vec<String> {
    let mut statement = store.prepare(sql).expect("prepares");
    let columns = statement.column_count();
    let mut rows = statement.query([]).expect("runs");
    let mut out = Vec::new();
    while let Some(row) = rows.next().expect("reads") {
        let cells: Vec<String> = (0..columns)
            .map(|at| match row.get_ref(at).expect("a cell") {
                ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                other => format!("{other:?}"),
            })
            .collect();
        out.push(cells.join(" | "));
    }
    out
}
