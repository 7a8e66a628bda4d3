//! Finds pairs of columns whose names agree, by look-ups instead of comparing all with all; it does not score.

use std::collections::{BTreeMap, HashMap};

use super::model::{ColumnModel, TableModel};
use super::score::NameMatch;

/// Positions of a table and a column.
pub(crate) type Place = (usize, usize);

/// A pair whose names agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) child: Place,
    pub(crate) parent: Place,
    pub(crate) name: NameMatch,
}

/// All single-column keys of the tables, found by the names that would refer to them.
pub(crate) struct KeyIndex<'a> {
    tables: &'a [TableModel],
    /// Names that refer to the key: table plus key, or a distinctive key; tokens joined.
    exact: HashMap<String, Vec<Place>>,
    /// Column names that are keys, lower case.
    same: HashMap<String, Vec<Place>>,
}

const GENERIC: &[&str] =
    &["id", "uuid", "guid", "oid", "code", "name", "type", "key", "number", "no", "title"];
const TABLE_PREFIXES: &[&str] = &["tbl", "tb", "t", "dim", "fct", "fact"];

impl<'a> KeyIndex<'a> {
    pub(crate) fn new(tables: &'a [TableModel]) -> Self {
        let mut same: HashMap<String, Vec<Place>> = HashMap::new();
        for (t, table) in tables.iter().enumerate() {
            for (c, column) in table.columns.iter().enumerate().filter(|(_, c)| c.is_unique) {
                same.entry(column.name.to_lowercase()).or_default().push((t, c));
            }
        }
        let shared = shared_prefixes(tables);
        let mut exact: HashMap<String, Vec<Place>> = HashMap::new();
        let mut distinctive: Vec<(String, Place)> = Vec::new();
        for (t, table) in tables.iter().enumerate() {
            for (c, column) in table.columns.iter().enumerate().filter(|(_, c)| c.is_unique) {
                for name in referring_names(table, column, shared.get(table.schema.as_str())) {
                    let places = exact.entry(name).or_default();
                    if !places.contains(&(t, c)) {
                        places.push((t, c));
                    }
                }
                let is_only = same.get(&column.name.to_lowercase()).is_some_and(|places| places.len() == 1);
                if (column.is_id_like || column.is_pk) && column.tokens.len() >= 2 && is_only {
                    distinctive.push((column.tokens.concat(), (t, c)));
                }
            }
        }
        // A key that is named after another table refers to it and is nobody's own name.
        for (name, place) in distinctive {
            exact.entry(name).or_insert_with(|| vec![place]);
        }
        Self { tables, exact, same }
    }

    /// Pairs for every column of every table that no declared foreign key covers.
    pub(crate) fn all(&self) -> Vec<Candidate> {
        let mut out = Vec::new();
        for (t, table) in self.tables.iter().enumerate() {
            for (c, column) in table.columns.iter().enumerate() {
                if !table.declared.contains(&column.name) {
                    out.extend(self.of((t, c)));
                }
            }
        }
        out
    }

    /// Pairs with `child` as the referring column.
    pub(crate) fn of(&self, child: Place) -> Vec<Candidate> {
        let (table, column) = (&self.tables[child.0], &self.tables[child.0].columns[child.1]);
        let mut found = self.longest_match(child, column);
        if found.is_none() && column.is_id_like {
            found = self.parent_of_same_table(child, table, column).or_else(|| self.same_name(child, column));
        }
        let Some((places, name)) = found else { return Vec::new() };
        let fits = |p: &&Place| **p != child && self.tables[p.0].columns[p.1].family == column.family;
        let mut parents: Vec<Place> = places.iter().filter(fits).copied().collect();
        // A parent of the same schema explains the name better than one elsewhere.
        if parents.iter().any(|p| self.tables[p.0].schema == table.schema) {
            parents.retain(|p| self.tables[p.0].schema == table.schema);
        }
        parents.into_iter().map(|parent| Candidate { child, parent, name }).collect()
    }

    /// The longest run of last tokens that refers to some key; the whole name is an exact match.
    fn longest_match(&self, child: Place, column: &ColumnModel) -> Option<(&[Place], NameMatch)> {
        for start in 0..column.tokens.len() {
            let Some(places) = self.exact.get(&column.tokens[start..].concat()) else { continue };
            if start == 0 && places.contains(&child) {
                // The column is the key that this name means: it is at home and refers to nothing.
                return Some((&[], NameMatch::Exact));
            }
            let name = if start == 0 { NameMatch::Exact } else { NameMatch::Role };
            return Some((places, name));
        }
        None
    }

    /// `parent_id` beside the key `id` refers to its own table.
    fn parent_of_same_table(
        &self,
        child: Place,
        table: &TableModel,
        column: &ColumnModel,
    ) -> Option<(&[Place], NameMatch)> {
        let rest = column.tokens.strip_prefix(&["parent".to_owned()])?;
        let key = table.columns.iter().find(|c| c.is_pk && c.tokens == rest)?;
        let places = self.same.get(&key.name.to_lowercase())?;
        let own = places.iter().position(|p| p.0 == child.0)?;
        Some((&places[own..=own], NameMatch::Role))
    }

    fn same_name(&self, child: Place, column: &ColumnModel) -> Option<(&[Place], NameMatch)> {
        let is_generic = column.tokens.len() == 1 && GENERIC.contains(&column.tokens[0].as_str());
        let places = self.same.get(&column.name.to_lowercase())?;
        // Two keys of one name say nothing about which refers to which.
        if is_generic || column.is_pk || places.contains(&child) {
            return None;
        }
        Some((places, NameMatch::Same))
    }
}

/// First tokens that at least three and all tables of a schema share.
fn shared_prefixes(tables: &[TableModel]) -> BTreeMap<&str, &str> {
    let mut by_schema: BTreeMap<&str, Vec<&TableModel>> = BTreeMap::new();
    for table in tables {
        by_schema.entry(&table.schema).or_default().push(table);
    }
    by_schema
        .into_iter()
        .filter_map(|(schema, list)| {
            let first = list.first()?.tokens.first()?.as_str();
            let is_shared =
                list.len() >= 3 && list.iter().all(|t| t.tokens.len() >= 2 && t.tokens[0] == first);
            is_shared.then_some((schema, first))
        })
        .collect()
}

/// Table plus key, in the spellings that a referring column may use.
fn referring_names(table: &TableModel, column: &ColumnModel, shared: Option<&&str>) -> Vec<String> {
    let mut names = Vec::new();
    let mut stems: Vec<&[String]> = vec![&table.tokens];
    if let Some((first, rest)) = table.tokens.split_first()
        && !rest.is_empty()
        && (TABLE_PREFIXES.contains(&first.as_str()) || shared == Some(&first.as_str()))
    {
        stems.push(rest);
    }
    for stem in stems.into_iter().filter(|s| !s.is_empty()) {
        if column.tokens.len() > stem.len() && column.tokens.starts_with(stem) {
            names.push(column.tokens.concat());
        } else if column.tokens != stem {
            names.push(stem.concat() + &column.tokens.concat());
        }
    }
    names
}
