//! Proves that a statement shows no guarded column, or only as bare items of its select list; what it cannot prove it refuses.

use std::collections::{BTreeMap, BTreeSet};

use harvest::{DialectName, HarvestCode, HarvestError, ObjectMeta, ObjectType};
use harvest_gate::{ColumnUses, OutputUse, RelationUse, column_uses, fold_identifier, identifiers};

use super::{ColumnAction, ColumnRules, Shapes, Transform};

/// Deepest chain of views that is followed.
const VIEW_DEPTH_MAX: usize = 16;
/// Deepest chain of partitions that is followed.
const PARTITION_DEPTH_MAX: usize = 8;

/// Relations that show samples of the values of other relations' columns.
const STATISTICS: &[&str] = &[
    "pg_stats",
    "pg_stats_ext",
    "pg_stats_ext_exprs",
    "pg_statistic",
    "pg_statistic_ext_data",
    "column_statistics",
    "column_stats",
    "sqlite_stat1",
    "sqlite_stat2",
    "sqlite_stat3",
    "sqlite_stat4",
];

/// Columns that every table has without declaring them.
const IMPLIED: &[&str] = &["rowid", "oid", "_rowid_", "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];
/// Names of SQLite for the integer key of a table.
const ROWID: &[&str] = &["rowid", "oid", "_rowid_"];

/// Why a statement is not proven.
#[derive(Debug)]
pub(crate) enum Doubt {
    /// A relation that the shapes do not have; a newer reading may have it.
    Unknown(String),
    /// Anything else.
    Refused(HarvestError),
}

type Proof<T> = Result<T, Doubt>;

impl Doubt {
    pub(crate) fn error(self) -> HarvestError {
        match self {
            Self::Refused(error) => error,
            Self::Unknown(name) => refusal(
                &format!(
                    "the relation {name:?} is not in the metadata, so that its columns cannot be checked"
                ),
                "use a table or view that the schema tools show",
            ),
        }
    }
}

fn refusal(what: &str, remedy: &str) -> HarvestError {
    HarvestError::new(
        HarvestCode::PermissionDenied,
        format!("column rules guard this target: {what}: {remedy}"),
    )
    .with("by", "policy")
    .with("reason", "column_rule")
    .with("remedy", remedy)
}

fn refuse<T>(what: &str, remedy: &str) -> Proof<T> {
    Err(Doubt::Refused(refusal(what, remedy)))
}

/// Guarded columns by folded name.
type Guarded = BTreeMap<String, ColumnAction>;

struct Judge<'a> {
    rules: &'a ColumnRules,
    shapes: &'a Shapes,
    dialect: DialectName,
}

/// Judges a statement; `shows_rows` tells a query from a plan of one.
pub(crate) fn judge(
    rules: &ColumnRules,
    shapes: &Shapes,
    dialect: DialectName,
    (sql, schema): (&str, &str),
    shows_rows: bool,
) -> Proof<Transform> {
    Judge { rules, shapes, dialect }.statement(sql, schema, shows_rows, 0)
}

impl Judge<'_> {
    fn statement(&self, sql: &str, schema: &str, shows_rows: bool, depth: usize) -> Proof<Transform> {
        let uses = column_uses(self.dialect, sql).or_else(|error| {
            refuse(&format!("the statement cannot be followed ({})", error.message), "write it simpler")
        })?;
        let sample = uses
            .names
            .iter()
            .find(|n| STATISTICS.contains(&n.name.as_str()) || n.name.starts_with("pg_toast"));
        if let Some(found) = sample {
            return refuse(&format!("{} holds samples of columns", found.name), "read the tables themselves");
        }
        let mut guarded = Guarded::new();
        let mut guarded_uses: Vec<(&RelationUse, Vec<&ObjectMeta>)> = Vec::new();
        for relation in &uses.relations {
            let objects = self.objects(relation, schema, &uses)?;
            let mut mine = Guarded::new();
            for object in &objects {
                self.check_view(object, depth)?;
                merge(&mut mine, self.guarded(object));
            }
            self.check_shadow(relation)?;
            if !mine.is_empty() {
                merge(&mut guarded, mine);
                guarded_uses.push((relation, objects));
            }
        }
        if guarded.is_empty() {
            return Ok(Transform::None);
        }
        let star = self.star(&uses, &guarded_uses)?;
        self.check_names(&uses, &guarded_uses, star)?;
        if star {
            if let Some(name) = guarded.keys().find(|name| uses.names.iter().any(|n| n.name == **name)) {
                return misused(name);
            }
            return starred(&guarded, &guarded_uses, shows_rows);
        }
        outputs(&uses, &guarded, shows_rows)
    }

    /// The objects that a relation may mean.
    fn objects(&self, relation: &RelationUse, schema: &str, uses: &ColumnUses) -> Proof<Vec<&ObjectMeta>> {
        let fold = |name: &str| fold_identifier(self.dialect, name);
        // A plain name of PostgreSQL is looked for along a path that may be longer than one schema.
        let wanted = match (&relation.schema, self.dialect) {
            (Some(written), _) => Some(written.clone()),
            (None, DialectName::Mysql | DialectName::Mariadb) if !schema.is_empty() => Some(fold(schema)),
            (None, _) => None,
        };
        let found: Vec<_> = self
            .shapes
            .named(&relation.name)
            .filter(|object| wanted.as_ref().is_none_or(|wanted| fold(&object.schema) == *wanted))
            .collect();
        if !found.is_empty() {
            return Ok(found);
        }
        let system = ["information_schema", "pg_catalog", "mysql", "performance_schema", "sys"];
        let of_engine = wanted.as_deref().is_some_and(|s| system.contains(&s))
            || (relation.schema.is_none()
                && ["pg_", "sqlite_", "pragma_", "json_"].iter().any(|p| relation.name.starts_with(p)));
        let cte = relation.schema.is_none() && uses.ctes.contains(&relation.name);
        if of_engine || cte { Ok(Vec::new()) } else { Err(Doubt::Unknown(relation.name.clone())) }
    }

    /// The guarded columns of an object: by rules on it, on what it is a part of, and on its parts.
    fn guarded(&self, object: &ObjectMeta) -> Guarded {
        let mut family: Vec<&ObjectMeta> = vec![object];
        let mut at = 0;
        while let Some(member) = family.get(at).copied() {
            let parents = member.parent.as_deref().map(|p| p.rsplit('.').next().unwrap_or(p));
            let parents = parents.map(|p| fold_identifier(self.dialect, p));
            let near = parents.iter().flat_map(|p| self.shapes.named(p));
            let below = fold_identifier(self.dialect, &member.name);
            let near: Vec<_> = near.chain(self.shapes.children(&below)).collect();
            for other in near {
                if family.len() < PARTITION_DEPTH_MAX * 1_000
                    && !family.iter().any(|f| std::ptr::eq(*f, other))
                {
                    family.push(other);
                }
            }
            at += 1;
        }
        let mut guarded = Guarded::new();
        for member in family {
            for column in &member.columns {
                if let Some(action) = self.rules.action(&member.schema, &member.name, &column.name) {
                    let name = fold_identifier(self.dialect, &column.name);
                    merge(&mut guarded, Guarded::from([(name, action)]));
                    if self.dialect == DialectName::Sqlite && column.data_type.to_lowercase().contains("int")
                    {
                        ROWID.iter().for_each(|name| {
                            guarded.insert((*name).to_owned(), ColumnAction::Deny);
                        });
                    }
                }
            }
        }
        self.generated(object, &mut guarded);
        guarded
    }

    /// Columns that are computed from guarded ones are not shown at all.
    fn generated(&self, object: &ObjectMeta, guarded: &mut Guarded) {
        for _ in 0..=guarded.len().min(PARTITION_DEPTH_MAX) {
            for column in &object.columns {
                let Some(expression) = &column.generation_expr else { continue };
                let clean = identifiers(self.dialect, expression)
                    .is_ok_and(|names| names.iter().all(|n| !guarded.contains_key(&n.name)));
                if !clean && !guarded.is_empty() {
                    guarded.insert(fold_identifier(self.dialect, &column.name), ColumnAction::Deny);
                }
            }
        }
    }

    /// A view is followed to what it reads; a virtual table to what its text names.
    fn check_view(&self, object: &ObjectMeta, depth: usize) -> Proof<()> {
        if object.object_type == ObjectType::Table {
            return self.check_virtual(object);
        }
        let name = &object.name;
        if depth >= VIEW_DEPTH_MAX {
            return refuse(&format!("the view {name:?} is nested too deeply"), "read its tables");
        }
        let Some(definition) = &object.definition else {
            return refuse(&format!("the definition of the view {name:?} cannot be read"), "read its tables");
        };
        match self.statement(definition, &object.schema, false, depth + 1) {
            Ok(_) => Ok(()),
            Err(Doubt::Unknown(unknown)) => Err(Doubt::Unknown(unknown)),
            Err(Doubt::Refused(_)) => refuse(
                &format!("the view {name:?} reads guarded columns"),
                "read its tables and name the columns that you need",
            ),
        }
    }

    fn check_virtual(&self, object: &ObjectMeta) -> Proof<()> {
        if self.dialect != DialectName::Sqlite || !is_virtual(object) {
            return Ok(());
        }
        let text = object.definition.as_deref().unwrap_or_default().to_lowercase();
        let words: BTreeSet<&str> =
            text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty()).collect();
        let other = self.shapes.all().iter().find(|other| {
            !std::ptr::eq(*other, object)
                && words.contains(other.name.to_lowercase().as_str())
                && !self.guarded(other).is_empty()
        });
        match other {
            None => Ok(()),
            Some(other) => refuse(
                &format!("{:?} is made from {:?}, which has guarded columns", object.name, other.name),
                "read the table itself and name the columns that you need",
            ),
        }
    }

    /// The tables in which a virtual table keeps its content.
    fn check_shadow(&self, relation: &RelationUse) -> Proof<()> {
        if self.dialect != DialectName::Sqlite {
            return Ok(());
        }
        for (at, _) in relation.name.match_indices('_') {
            for owner in self.shapes.named(&relation.name[..at]).filter(|o| is_virtual(o)) {
                self.check_virtual(owner)?;
                if !self.guarded(owner).is_empty() {
                    let what = format!("{:?} holds the content of {:?}", relation.name, owner.name);
                    return refuse(&what, "read the table itself and name the columns that you need");
                }
            }
        }
        Ok(())
    }

    /// Whether the statement is a wildcard over one guarded table; other ways to read a guarded table whole are refused.
    fn star(&self, uses: &ColumnUses, guarded: &[(&RelationUse, Vec<&ObjectMeta>)]) -> Proof<bool> {
        if uses.natural {
            return refuse("NATURAL joins compare columns without naming them", "use JOIN … ON");
        }
        if !uses.join_aliases.is_empty() {
            return refuse("an alias of a bracketed join", "join without brackets");
        }
        if let Some((relation, _)) = guarded.iter().find(|(relation, _)| relation.renamed) {
            let what = format!("an alias of {:?} gives its columns other names", relation.name);
            return refuse(&what, "use the columns by their own names");
        }
        let whole = guarded.iter().find(|(relation, _)| relation.whole);
        let single = uses.single
            && uses.relations.len() == 1
            && uses.outputs.as_deref().is_some_and(|o| matches!(o, [OutputUse::Star]));
        match whole {
            Some(_) | None if single => Ok(true),
            None => Ok(false),
            Some((relation, objects)) => {
                let what = format!("* would show guarded columns of {:?}", relation.name);
                Err(Doubt::Refused(with_columns(
                    refusal(&what, "name the columns that you need"),
                    self,
                    objects,
                )))
            }
        }
    }

    /// Every name of a guarded table stands in FROM or before a column of it; anything else might be the whole row.
    fn check_names(
        &self,
        uses: &ColumnUses,
        guarded: &[(&RelationUse, Vec<&ObjectMeta>)],
        star: bool,
    ) -> Proof<()> {
        let ranges: BTreeSet<&str> = guarded
            .iter()
            .flat_map(|(relation, _)| {
                std::iter::once(relation.name.as_str()).chain(relation.alias.as_deref())
            })
            .collect();
        for range in ranges {
            let defined: usize = uses
                .relations
                .iter()
                .map(|r| usize::from(r.name == range) + usize::from(r.alias.as_deref() == Some(range)))
                .sum();
            let bare = uses.names.iter().filter(|n| n.name == range && n.member.is_none()).count();
            if bare != defined {
                let what = format!("{range:?} stands for a whole row, or for something besides a table");
                return refuse(&what, "name the columns that you need, and use the name for nothing else");
            }
            let columns: BTreeSet<String> = guarded
                .iter()
                .filter(|(r, _)| r.name == range || r.alias.as_deref() == Some(range))
                .flat_map(|(_, objects)| objects)
                .flat_map(|object| &object.columns)
                .map(|column| fold_identifier(self.dialect, &column.name))
                .collect();
            for member in uses.names.iter().filter(|n| n.name == range).filter_map(|n| n.member.as_deref()) {
                if member == "*" && star {
                    continue;
                }
                if member == "*" {
                    let what = format!("{range}.* would show guarded columns");
                    return refuse(&what, "name the columns that you need");
                }
                if !columns.contains(member) && !IMPLIED.contains(&member) {
                    let what = format!("{range}.{member} is not known to be a column");
                    return refuse(&what, "use the columns that the schema tools show");
                }
            }
        }
        Ok(())
    }
}

fn with_columns(error: HarvestError, judge: &Judge<'_>, objects: &[&ObjectMeta]) -> HarvestError {
    let clear: Vec<_> = objects
        .first()
        .map(|object| {
            let guarded = judge.guarded(object);
            let clear = |name: &str| !guarded.contains_key(&fold_identifier(judge.dialect, name));
            object.columns.iter().map(|c| c.name.clone()).filter(|name| clear(name)).take(200).collect()
        })
        .unwrap_or_default();
    error.with("columns", clear)
}

fn is_virtual(object: &ObjectMeta) -> bool {
    let words = object.definition.as_deref().unwrap_or_default().to_lowercase();
    words.split_whitespace().nth(1) == Some("virtual")
}

fn merge(into: &mut Guarded, from: Guarded) {
    for (name, action) in from {
        let slot = into.entry(name).or_insert(action);
        *slot = action.max(*slot);
    }
}

fn starred(
    guarded: &Guarded,
    uses: &[(&RelationUse, Vec<&ObjectMeta>)],
    shows_rows: bool,
) -> Proof<Transform> {
    let denied = guarded
        .iter()
        .find(|(name, action)| **action == ColumnAction::Deny && !ROWID.contains(&name.as_str()));
    if let Some((name, _)) = denied {
        let clear: Vec<_> = uses
            .iter()
            .flat_map(|(_, objects)| objects)
            .flat_map(|object| &object.columns)
            .map(|column| column.name.clone())
            .filter(|column| !guarded.contains_key(&column.to_uppercase().to_lowercase()))
            .take(200)
            .collect();
        let error = refusal(&format!("* would show the column {name:?}"), "name the columns that you need");
        return Err(Doubt::Refused(error.with("columns", clear)));
    }
    if !shows_rows {
        return refuse("a plan or a view over * of guarded columns", "name the columns that you need");
    }
    let shown = guarded.iter().filter(|(name, _)| !ROWID.contains(&name.as_str()));
    Ok(Transform::ByName(shown.map(|(name, action)| (name.clone(), *action)).collect()))
}

fn misused<T>(name: &str) -> Proof<T> {
    refuse(
        &format!("the guarded column {name:?} is used other than as a plain item of the select list"),
        "select it plainly, or leave it out: no expressions, conditions, ordering, grouping, subqueries or plans over it",
    )
}

/// Every mention of a guarded column is a bare item of the outermost select list.
fn outputs(uses: &ColumnUses, guarded: &Guarded, shows_rows: bool) -> Proof<Transform> {
    let items = uses.outputs.as_deref().unwrap_or_default();
    let mut changes = Vec::new();
    for (name, action) in guarded {
        let mentions = uses.names.iter().filter(|n| n.name == *name).count();
        if mentions == 0 {
            continue;
        }
        if *action == ColumnAction::Deny {
            return refuse(&format!("the column {name:?} may not be read"), "leave it out of the statement");
        }
        let mut bare = 0;
        for (at, item) in items.iter().enumerate() {
            let OutputUse::Column(column, alias) = item else { continue };
            if column != name {
                continue;
            }
            bare += 1 + usize::from(alias.as_deref() == Some(name));
            let aliases = |alias: &String| uses.names.iter().filter(|n| n.name == *alias).count();
            if alias.as_ref().is_some_and(|alias| alias != name && aliases(alias) != 1) {
                return refuse(
                    &format!("the alias of the guarded column {name:?} is used again"),
                    "use it in the select list only",
                );
            }
            changes.push((at, *action));
        }
        if bare != mentions || !shows_rows {
            return misused(name);
        }
    }
    if !changes.is_empty() && items.contains(&OutputUse::Star) {
        return refuse("* beside guarded columns", "name the columns that you need");
    }
    if changes.is_empty() { Ok(Transform::None) } else { Ok(Transform::ByIndex(changes)) }
}
