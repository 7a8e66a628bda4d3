//! Fragments that tools take from callers: a predicate or an ordering, each checked like a whole statement.

use harvest::{DialectName, FragmentKind, GatePolicy, HarvestResult};

use crate::check::Source;
use crate::parse;
use crate::walk::Walk;

/// Checks a fragment and returns it without comments.
///
/// # Errors
/// As [`check`](crate::check()).
pub fn check_fragment(
    dialect: DialectName,
    sql: &str,
    kind: FragmentKind,
    policy: &GatePolicy,
) -> HarvestResult<String> {
    let source = Source::read(dialect, sql, policy)?;
    let words = &source.words;
    parse::on_safe_stack(words, || {
        let mut walk = Walk::new(dialect, policy);
        match kind {
            FragmentKind::Predicate => walk.expr(&parse::expression(words, dialect)?),
            FragmentKind::OrderBy => walk.order_by(&parse::ordering(words, dialect)?),
        }
    })?;
    Ok(source.text_from(words[0].start))
}
