//! The report's parts that both forms share: counts and headings; it reads no catalog.

mod diagram;
mod html;
mod markdown;

pub(crate) use html::html;
pub(crate) use markdown::markdown;

use bridge_ai::{Facts, KeyOrigin};

/// How the second phase went, in one sentence.
pub(crate) struct Phase<'a>(pub(crate) &'a str);

pub(crate) const fn origin(origin: KeyOrigin) -> &'static str {
    match origin {
        KeyOrigin::Declared => "declared",
        KeyOrigin::Inferred => "inferred",
        KeyOrigin::Llm => "model",
    }
}

/// What there is, in one line.
pub(crate) fn counts(facts: &Facts) -> String {
    let of = |wanted: KeyOrigin| facts.keys.iter().filter(|k| k.origin == wanted).count();
    let described = facts.objects.iter().filter(|o| o.summary.is_some()).count();
    format!(
        "{} tables and views ({described} described), {} declared, {} inferred and {} keys found by the model, {} domains, {} metrics, {} questions",
        facts.objects.len(),
        of(KeyOrigin::Declared),
        of(KeyOrigin::Inferred),
        of(KeyOrigin::Llm),
        facts.domains.len(),
        facts.metrics.len(),
        facts.questions.len()
    )
}

/// The domain of an object, if it has one.
pub(crate) fn domain_of<'a>(facts: &'a Facts, object_key: &str) -> Option<&'a str> {
    let holds = |d: &&bridge_ai::DomainFact| d.members.iter().any(|m| m.object_key == object_key);
    facts.domains.iter().find(holds).map(|d| d.title.as_str())
}
