//! What agents claim about objects; one file a kind of record, and the search over all of them.

mod domain;
mod metric;
mod norm;
mod note;
mod relationship;
mod search;
mod search_records;
mod summary;
mod template;
mod template_check;

use serde_json::Value as Json;

pub use domain::{
    DomainList, DomainListRequest, DomainMember, DomainMemberRow, DomainRow, DomainUpsert, DomainUpserted,
    MemberRole, MembersSet,
};
pub use metric::{MetricDependency, MetricList, MetricListRequest, MetricRow, MetricUpsert, MetricUpserted};
pub(crate) use norm::is_stop_word;
pub use norm::question_norm;
pub use note::{NoteAdd, NoteAdded, NoteScope};
pub use relationship::{RelType, RelationshipUpsert, RelationshipUpserted};
pub use search::{LlmSearchHit, LlmSearchRequest, LlmSearchResponse, RecordKind};
pub use summary::{SummaryList, SummaryRow, SummaryStatus, SummaryUpsert, SummaryUpserted};
pub use template::{Outcome, TemplateAdd, TemplateAdded, TemplateFeedback, TemplateFeedbackDone};
pub use template_check::TemplateCheck;

/// Whether an upsert made or replaced a record.
pub(crate) const fn action(existed: bool) -> &'static str {
    if existed { "updated" } else { "inserted" }
}

/// The band of a confidence.
pub(crate) fn band(confidence: f64) -> &'static str {
    match confidence {
        c if c >= 0.9 => "strong",
        c if c >= 0.6 => "likely",
        c if c >= 0.3 => "tentative",
        _ => "weak",
    }
}

/// All strings of a JSON value, one a line, for the search index.
pub(crate) fn strings(value: &Json) -> String {
    fn walk(value: &Json, out: &mut String) {
        match value {
            Json::String(s) => {
                out.push_str(s);
                out.push('\n');
            }
            Json::Array(items) => items.iter().for_each(|v| walk(v, out)),
            Json::Object(map) => map.values().for_each(|v| walk(v, out)),
            _ => {}
        }
    }
    let mut out = String::new();
    walk(value, &mut out);
    out
}
