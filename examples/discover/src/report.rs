//! The report's parts that both forms share: counts and headings; it reads no catalog.

mod diagram;
mod html;
mod layout;
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

/// The name of an object; without its schema where there is only one.
pub(crate) fn label<'a>(facts: &Facts, object_key: &'a str) -> &'a str {
    let Some((schema, _)) = facts.objects.first().and_then(|o| o.object_key.split_once('.')) else {
        return object_key;
    };
    let of = |key: &'a str| key.strip_prefix(schema).and_then(|rest| rest.strip_prefix('.'));
    let is_only =
        facts.objects.iter().all(|o| o.object_key.strip_prefix(schema).is_some_and(|r| r.starts_with('.')));
    if is_only && !schema.starts_with('"') { of(object_key).unwrap_or(object_key) } else { object_key }
}
