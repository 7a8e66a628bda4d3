//! Stage 4: described objects are grouped into a few business domains; it describes no object.

use std::collections::BTreeSet;

use mcp::ToolResult;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ask::{Asker, NoAnswer};
use super::facts::{ObjectFact, text};
use super::options::DiscoverStage;
use super::summaries::cut;

const DOMAINS_MAX: usize = 10;
const ROLES: &[&str] = &["entity", "fact", "dimension", "log", "bridge", "lookup"];

#[derive(Deserialize)]
struct Answer {
    domains: Vec<Domain>,
}

#[derive(Deserialize)]
struct Domain {
    key: String,
    title: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    members: Vec<Member>,
    #[serde(default)]
    confidence: f64,
}

#[derive(Deserialize)]
struct Member {
    object: usize,
    #[serde(default)]
    role: String,
}

const TASK: &str = "Group these objects into three to ten business domains. Each domain has a short key of small letters and \
underscores, a title, a description of one or two sentences, the numbers of its members with their roles, and your confidence. \
An object belongs to one domain.";

fn schema() -> Value {
    json!({"type": "object", "additionalProperties": false, "required": ["domains"], "properties": {"domains": {"type": "array",
        "items": {"type": "object", "additionalProperties": false,
            "required": ["key", "title", "description", "members", "confidence"],
            "properties": {"key": {"type": "string"}, "title": {"type": "string"}, "description": {"type": "string"},
                "confidence": {"type": "number"},
                "members": {"type": "array", "items": {"type": "object", "additionalProperties": false,
                    "required": ["object", "role"],
                    "properties": {"object": {"type": "integer"}, "role": {"enum": ROLES}}}}}}}}})
}

/// Groups once per agent run.
pub(crate) fn group(asker: &Asker<'_>, objects: &[ObjectFact]) -> Result<(), NoAnswer> {
    let step = DiscoverStage::Domains.as_str();
    if asker.journal.step(step).is_some() || objects.is_empty() {
        return Ok(());
    }
    let mut data = String::new();
    for (at, object) in objects.iter().enumerate() {
        let found = asker.hands.find("llm.summary_get", json!({"object_id": object.object_id}))?;
        let newest = found.as_ref().and_then(|f| f.get("summaries")).and_then(|s| s.get(0));
        let what = newest.and_then(|s| s.get("summary")).map(|s| text(s, "hypothesis")).unwrap_or_default();
        let what: String = what.chars().take(160).collect();
        data.push_str(&format!("{at}. {} ({}) {what}\n", object.object_key, object.guessed_kind));
    }
    let answer: Answer = match asker.ask(step, TASK, &data, &schema()) {
        Ok(answer) => answer,
        Err(NoAnswer::Unanswered(_)) => return Ok(()),
        Err(other) => return Err(other),
    };
    let written = write(asker, objects, answer)?;
    Ok(asker.journal.finish_step(step, json!({"domains": written}))?)
}

fn write(asker: &Asker<'_>, objects: &[ObjectFact], answer: Answer) -> ToolResult<Vec<String>> {
    let (mut taken, mut keys) = (BTreeSet::new(), BTreeSet::new());
    let mut written = Vec::new();
    for domain in answer.domains.into_iter().take(DOMAINS_MAX) {
        let key = slug(&domain.key);
        let members: Vec<Value> = domain
            .members
            .iter()
            .filter(|m| m.object < objects.len() && taken.insert(m.object))
            .map(|m| {
                let role = ROLES.iter().find(|r| **r == m.role).unwrap_or(&"entity");
                json!({"object_id": objects[m.object].object_id, "role": role})
            })
            .collect();
        if key.is_empty() || members.is_empty() || !keys.insert(key.clone()) {
            continue;
        }
        let claimed = if domain.confidence.is_finite() { domain.confidence } else { 0.0 };
        let agent_run_id = asker.journal.agent_run_id;
        let (title, description) = (cut(&domain.title), cut(&domain.description));
        asker.hands.call(
            "llm.domain_upsert",
            json!({"agent_run_id": agent_run_id, "domain_key": key, "title": title, "description": description,
                   "confidence": claimed.clamp(0.3, 0.8)}),
        )?;
        let count = members.len();
        asker.hands.call(
            "llm.domain_set_members",
            json!({"agent_run_id": agent_run_id, "domain_key": key, "members": members}),
        )?;
        let note = format!("{title}: {description} {count} objects.");
        note_once(
            asker,
            json!({"scope": "domain", "domain_key": key, "title": format!("Domain {key}"), "body": note}),
        )?;
        written.push(key);
    }
    Ok(written)
}

/// Adds a note unless this agent run has one of that title, so that going on does not double it.
pub(crate) fn note_once(asker: &Asker<'_>, mut note: Value) -> ToolResult<()> {
    let title = text(&note, "title");
    let args = json!({"query": "", "kinds": ["note"], "limit": 200});
    let hits = asker.hands.pages("llm.search", &args, "results", 1_000)?;
    let is_there = hits.iter().any(|h| {
        text(h, "title") == title
            && h.get("agent_run_id").and_then(Value::as_i64) == Some(asker.journal.agent_run_id)
    });
    if is_there {
        return Ok(());
    }
    if let Some(map) = note.as_object_mut() {
        map.insert("agent_run_id".to_owned(), json!(asker.journal.agent_run_id));
    }
    asker.hands.call("llm.note_add", note).map(drop)
}

/// Small letters, digits and underscores, at most 64.
pub(crate) fn slug(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let slug: String = text.trim().chars().take(64).map(plain).collect();
    slug.trim_matches('_').to_owned()
}
