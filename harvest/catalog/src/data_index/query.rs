//! Queries over data with AND, OR and NOT in capitals as expressions; no input is a syntax error.

use crate::query_text::{Term, chunks, term};

/// A query taken apart: alternatives of required and excluded terms.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct DataQuery {
    groups: Vec<(Vec<Term>, Vec<Term>)>,
    /// Only plain terms: some of them may do.
    is_plain: bool,
}

const TERMS_MAX: usize = 32;

impl DataQuery {
    pub(super) fn parse(text: &str) -> Self {
        let mut groups: Vec<(Vec<Term>, Vec<Term>)> = vec![(Vec::new(), Vec::new())];
        let (mut is_plain, mut negate, mut count) = (true, false, 0);
        for (chunk, is_phrase) in chunks(text) {
            match chunk {
                "AND" if !is_phrase => is_plain = false,
                "NOT" if !is_phrase => (is_plain, negate) = (false, true),
                "OR" if !is_phrase => {
                    is_plain = false;
                    negate = false;
                    groups.push((Vec::new(), Vec::new()));
                }
                _ => {
                    let is_prefix = !is_phrase && chunk.ends_with('*');
                    let Some(mut found) = term(chunk, is_phrase, is_prefix) else { continue };
                    if count == TERMS_MAX {
                        break;
                    }
                    count += 1;
                    // The index stems words itself.
                    found.alternatives.truncate(1);
                    if let Some(group) = groups.last_mut() {
                        if negate { group.1.push(found) } else { group.0.push(found) }
                    }
                    negate = false;
                }
            }
        }
        // What only excludes cannot be searched.
        groups.retain(|(required, _)| !required.is_empty());
        Self { groups, is_plain }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Terms that may hit.
    pub(super) fn terms(&self) -> Vec<&Term> {
        self.groups.iter().flat_map(|(required, _)| required).collect()
    }

    pub(super) fn expression(&self) -> String {
        let joined = |terms: &[Term], operator: &str| {
            terms.iter().map(Term::expression).collect::<Vec<_>>().join(operator)
        };
        let groups: Vec<String> = self
            .groups
            .iter()
            .map(|(required, excluded)| {
                let positive = format!("({})", joined(required, " AND "));
                if excluded.is_empty() {
                    positive
                } else {
                    format!("({positive} NOT ({}))", joined(excluded, " OR "))
                }
            })
            .collect();
        groups.join(" OR ")
    }

    /// Any of the terms, for plain queries that find nothing whole.
    pub(super) fn fallback(&self) -> Option<String> {
        let terms = self.terms();
        (self.is_plain && terms.len() > 1)
            .then(|| terms.iter().map(|t| t.expression()).collect::<Vec<_>>().join(" OR "))
    }
}
