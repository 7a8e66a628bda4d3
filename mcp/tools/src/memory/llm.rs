//! `llm.*`: what agents record about objects, and the search over it.

mod domain_list;
mod domain_set_members;
mod domain_upsert;
mod metric_list;
mod metric_upsert;
mod note_add;
mod question_template_add;
mod question_template_feedback;
mod relationship_upsert;
mod search;
mod summary_get;
mod summary_upsert;

pub(super) use domain_list::DomainListTool;
pub(super) use domain_set_members::DomainSetMembers;
pub(super) use domain_upsert::DomainUpsertTool;
pub(super) use metric_list::MetricListTool;
pub(super) use metric_upsert::MetricUpsertTool;
pub(super) use note_add::NoteAddTool;
pub(super) use question_template_add::QuestionTemplateAdd;
pub(super) use question_template_feedback::QuestionTemplateFeedback;
pub(super) use relationship_upsert::RelationshipUpsertTool;
pub(super) use search::SearchTool;
pub(super) use summary_get::SummaryGet;
pub(super) use summary_upsert::SummaryUpsertTool;

/// Confidence of a summary that names none.
const fn half() -> f64 {
    0.5
}

/// Confidence of other records that name none.
const fn likely() -> f64 {
    0.6
}
