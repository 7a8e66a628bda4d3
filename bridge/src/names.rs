//! Names of tools on one endpoint: canonical names, aliases, and which form a list advertises; it does not know handlers.

use std::collections::BTreeMap;

/// Which form of a dotted name `tools/list` advertises; both are accepted in calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
// Exhaustive: a name has one of two styles.
pub enum NameStyle {
    /// `llm.search`
    #[default]
    Dotted,
    /// `llm_search`, or `catalog__search` where the single underscore form is another tool's canonical name.
    Underscore,
}

/// Canonical names of one endpoint with every alias that leads to them.
#[derive(Debug, Default, Clone)]
pub(crate) struct NameTable {
    /// Canonical name or alias → canonical name.
    lookup: BTreeMap<String, String>,
    /// Canonical name → what the underscore style advertises.
    underscore: BTreeMap<String, String>,
}

impl NameTable {
    /// Builds the table; canonical names win over aliases, and aliases wanted by two tools go to none of them.
    pub(crate) fn new<'a>(canonical: impl Iterator<Item = &'a str> + Clone) -> Self {
        let mut wanted: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for name in canonical.clone().filter(|n| n.contains('.')) {
            for alias in [name.replace('.', "_"), name.replace('.', "__")] {
                wanted.entry(alias).or_default().push(name);
            }
        }
        let mut lookup: BTreeMap<String, String> = wanted
            .into_iter()
            .filter_map(|(alias, names)| match names.as_slice() {
                [only] => Some((alias, (*only).to_owned())),
                _ => None,
            })
            .collect();
        for name in canonical.clone() {
            lookup.insert(name.to_owned(), name.to_owned());
        }
        let underscore = canonical
            .map(|name| {
                let forms = [name.replace('.', "_"), name.replace('.', "__")];
                let shown = forms.into_iter().find(|form| lookup.get(form).is_some_and(|to| to == name));
                (name.to_owned(), shown.unwrap_or_else(|| name.to_owned()))
            })
            .collect();
        Self { lookup, underscore }
    }

    /// The canonical name behind a name or an alias.
    pub(crate) fn canonical(&self, name: &str) -> Option<&str> {
        self.lookup.get(name).map(String::as_str)
    }

    /// The advertised form of a canonical name.
    pub(crate) fn shown<'a>(&'a self, canonical: &'a str, style: NameStyle) -> &'a str {
        match style {
            NameStyle::Dotted => canonical,
            NameStyle::Underscore => self.underscore.get(canonical).map_or(canonical, String::as_str),
        }
    }

    /// Dotted names whose single-underscore form belongs to another tool.
    pub(crate) fn collisions(&self) -> Vec<(String, String)> {
        self.underscore
            .keys()
            .filter(|name| name.contains('.'))
            .filter_map(|name| {
                let alias = name.replace('.', "_");
                (self.canonical(&alias) != Some(name)).then(|| (name.clone(), alias))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_lead_to_canonical_names_and_canonical_names_win() {
        let table = NameTable::new(["catalog_search", "catalog.search", "llm.search"].into_iter());
        assert_eq!(table.canonical("llm_search"), Some("llm.search"));
        assert_eq!(table.canonical("llm__search"), Some("llm.search"));
        assert_eq!(table.canonical("catalog_search"), Some("catalog_search"));
        assert_eq!(table.canonical("catalog__search"), Some("catalog.search"));
        assert_eq!(table.canonical("nothing"), None);
        assert_eq!(table.shown("catalog.search", NameStyle::Underscore), "catalog__search");
        assert_eq!(table.shown("llm.search", NameStyle::Underscore), "llm_search");
        assert_eq!(table.shown("llm.search", NameStyle::Dotted), "llm.search");
        assert_eq!(table.collisions(), [("catalog.search".to_owned(), "catalog_search".to_owned())]);
    }

    #[test]
    fn an_alias_wanted_by_two_tools_goes_to_none() {
        let table = NameTable::new(["a.b_c", "a_b.c"].into_iter());
        assert_eq!(table.canonical("a_b_c"), None);
        assert_eq!(table.canonical("a__b_c"), Some("a.b_c"));
    }
}
