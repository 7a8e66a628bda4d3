//! The tools of `/mcp/query` over the catalog and its stores: discovery, search, agents' memory, documents, data indexes.

mod agent;
mod catalog;
mod completion;
mod deps;
mod discovery;
mod fts;
mod kv;
mod llm;
mod probe;
mod prompts;
mod relationships;
mod resources;
mod shared;
#[cfg(test)]
mod tests;
mod tool;
mod usage;

use crate::toolbox::Toolbox;

pub use completion::CatalogCompleter;
pub use deps::{CatalogDeps, CatalogSettings, ToolUsageRow, ToolUsageSource};
pub use prompts::CatalogPrompts;
pub use resources::CatalogResources;

use tool::Memory;

/// The catalog-backed tools.
#[must_use]
pub fn catalog_tools(deps: &CatalogDeps) -> Toolbox {
    add_catalog_tools(Toolbox::new(), deps)
}

/// Adds the catalog-backed tools.
#[must_use]
pub fn add_catalog_tools(toolbox: Toolbox, deps: &CatalogDeps) -> Toolbox {
    let toolbox = toolbox
        .with_budgets(&deps.tools)
        .with(Memory::<relationships::SuggestJoins>::new(deps))
        .with(Memory::<relationships::FindReferenceCandidates>::new(deps))
        .with(Memory::<discovery::RunStatic>::new(deps))
        .with(Memory::<discovery::ListRuns>::new(deps))
        .with(Memory::<discovery::DiffRuns>::new(deps))
        .with(Memory::<discovery::DeleteRun>::new(deps))
        .with(Memory::<catalog::Init>::new(deps))
        .with(Memory::<catalog::Search>::new(deps))
        .with(Memory::<catalog::GetObject>::new(deps))
        .with(Memory::<catalog::ListObjects>::new(deps))
        .with(Memory::<catalog::GetRelationships>::new(deps))
        .with(Memory::<agent::RunStart>::new(deps))
        .with(Memory::<agent::RunFinish>::new(deps))
        .with(Memory::<agent::EventAppend>::new(deps))
        .with(Memory::<agent::RunList>::new(deps));
    add_llm_tools(toolbox, deps)
        .with(Memory::<kv::Upsert>::new(deps))
        .with(Memory::<kv::Get>::new(deps))
        .with(Memory::<kv::Search>::new(deps))
        .with(Memory::<kv::List>::new(deps))
        .with(Memory::<kv::Merge>::new(deps))
        .with(Memory::<kv::Delete>::new(deps))
        .with(Memory::<kv::Clear>::new(deps))
        .with(Memory::<fts::IndexTable>::new(deps))
        .with(Memory::<fts::Search>::new(deps))
        .with(Memory::<fts::ListIndexes>::new(deps))
        .with(Memory::<fts::DeleteIndex>::new(deps))
        .with(Memory::<fts::Reindex>::new(deps))
        .with(Memory::<fts::RebuildAll>::new(deps))
        .with(Memory::<usage::GetToolUsage>::new(deps))
}

fn add_llm_tools(toolbox: Toolbox, deps: &CatalogDeps) -> Toolbox {
    toolbox
        .with(Memory::<llm::SummaryUpsertTool>::new(deps))
        .with(Memory::<llm::SummaryGet>::new(deps))
        .with(Memory::<llm::RelationshipUpsertTool>::new(deps))
        .with(Memory::<llm::DomainUpsertTool>::new(deps))
        .with(Memory::<llm::DomainSetMembers>::new(deps))
        .with(Memory::<llm::DomainListTool>::new(deps))
        .with(Memory::<llm::MetricUpsertTool>::new(deps))
        .with(Memory::<llm::MetricListTool>::new(deps))
        .with(Memory::<llm::QuestionTemplateAdd>::new(deps))
        .with(Memory::<llm::QuestionTemplateFeedback>::new(deps))
        .with(Memory::<llm::NoteAddTool>::new(deps))
        .with(Memory::<llm::SearchTool>::new(deps))
}
