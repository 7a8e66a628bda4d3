//! Two-phase discovery: the facts of a harvested target, and an agent that adds meaning with a language model; it knows no provider and no driver.

mod answers;
mod ask;
mod domains;
mod facts;
mod fence;
mod hands;
mod journal;
mod lookup;
mod options;
mod relations;
mod run;
mod summaries;
#[cfg(test)]
mod tests;
mod triage;

pub use facts::{
    DomainFact, Facts, KeyFact, KeyOrigin, MemberFact, MetricFact, ObjectFact, QuestionFact, SummaryFact,
};
pub use options::{
    DiscoverBudget, DiscoverOptions, DiscoverOutcome, DiscoverProgress, DiscoverSpent, DiscoverStage,
};
pub use run::Discovery;
