//! The schemas of the evaluation with their true references; it measures nothing.

use std::collections::{BTreeMap, BTreeSet};

use harvest::{
    ColumnMeta, Dialect, FakeDialect, HarvestResult, IndexColumnMeta, IndexMeta, MetadataRequest,
    MetadataSnapshot, MetadataWatch, ObjectMeta, ObjectType, SchemaMeta,
};
use harvest_catalog::{MetadataSource, Overlap, OverlapQuery, ValueProbe};

/// `table.column` of a child and of its parent.
pub(crate) type Pair = (String, String);

/// A schema with its truth.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) objects: Vec<ObjectMeta>,
    /// References that nobody declared.
    pub(crate) truth: BTreeSet<Pair>,
}

impl MetadataSource for Case {
    fn dialect(&self) -> &'static dyn Dialect {
        &FakeDialect
    }

    fn server_version(&self) -> String {
        "generated".to_owned()
    }

    fn metadata(
        &mut self,
        _: &MetadataRequest,
        _: &mut dyn MetadataWatch,
    ) -> HarvestResult<MetadataSnapshot> {
        let mut names: Vec<String> = self.objects.iter().map(|o| o.schema.clone()).collect();
        names.dedup();
        let schemas = names.into_iter().map(|name| SchemaMeta { name, ..SchemaMeta::default() }).collect();
        Ok(MetadataSnapshot { schemas, objects: self.objects.clone(), ..MetadataSnapshot::default() })
    }
}

/// Values as surrogate keys have them: numbers from 1 on, so that a wrong parent with more rows holds them all too; texts
/// of different kinds never meet.
pub(crate) struct Values {
    rows: BTreeMap<String, u64>,
    truth: BTreeMap<String, String>,
    texts: BTreeSet<String>,
}

impl Values {
    pub(crate) fn of(case: &Case) -> Self {
        let rows = case.objects.iter().map(|o| (o.name.clone(), rows_of(&o.name))).collect();
        let of_text = |o: &ObjectMeta| -> Vec<String> {
            o.columns
                .iter()
                .filter(|c| c.data_type != "integer")
                .map(|c| format!("{}.{}", o.name, c.name))
                .collect()
        };
        let texts = case.objects.iter().flat_map(of_text).collect();
        Self { rows, truth: case.truth.iter().cloned().collect(), texts }
    }
}

/// 50 to 5 000 rows, fixed by the name.
fn rows_of(name: &str) -> u64 {
    name.bytes().fold(7_u64, |h, b| h.wrapping_mul(31).wrapping_add(u64::from(b))) % 4_950 + 50
}

impl ValueProbe for Values {
    fn overlap(&mut self, query: &OverlapQuery) -> HarvestResult<Overlap> {
        let child = format!("{}.{}", query.child.table, query.child.column);
        let parent = format!("{}.{}", query.parent.table, query.parent.column);
        let true_parent = self.truth.get(&child);
        let rows = |table: &str| self.rows.get(table).copied().unwrap_or(1);
        let own =
            true_parent.and_then(|p| p.split('.').next()).map_or_else(|| rows(&query.child.table), rows);
        let checked = own.min(u64::from(query.values_max));
        let found = if true_parent == Some(&parent) {
            checked
        } else if self.texts.contains(&child) {
            0
        } else {
            // The values are spread over the whole range of the true parent.
            checked * rows(&query.parent.table).min(own) / own
        };
        Ok(Overlap { checked, found })
    }
}

/// Reads a schema text: `name "comment" [mark]: column type > table.column, …`.
pub(crate) fn read(name: &'static str, text: &str) -> Result<Case, String> {
    let (mut objects, mut truth) = (Vec::new(), BTreeSet::new());
    for line in text.lines().filter(|l| !l.trim().is_empty() && !l.starts_with('#')) {
        let (head, columns) = line.split_once(": ").ok_or_else(|| format!("no colon: {line}"))?;
        let table = head.split([' ', ':']).next().unwrap_or_default().to_owned();
        let comment = head.split('"').nth(1).unwrap_or_default();
        let mark = head.split(['[', ']']).nth(1).unwrap_or_default();
        let mut specs = Vec::new();
        for column in columns.split(',').map(str::trim) {
            let (spec, parent) =
                column.split_once('>').map_or((column, None), |(s, p)| (s.trim(), Some(p.trim())));
            let (column, data_type) = spec.split_once(' ').ok_or_else(|| format!("no type: {spec}"))?;
            if let Some(parent) = parent {
                truth.insert((format!("{table}.{column}"), parent.to_owned()));
            }
            specs.push((column.to_owned(), data_type.to_owned()));
        }
        let mut object = table_of(&table, comment, &specs);
        if let Some(parent) = mark.strip_prefix("partition of ") {
            object.subtype = "partition".to_owned();
            object.parent = Some(parent.to_owned());
        } else if mark == "partitioned" {
            object.subtype = "partitioned".to_owned();
        } else if let Some(sources) = mark.strip_prefix("view of ") {
            object.object_type = ObjectType::View;
            object.subtype = String::new();
            object.definition = Some(format!("SELECT … FROM {}", sources.replace(", ", " JOIN ")));
        }
        objects.push(object);
    }
    Ok(Case { name, objects, truth })
}

/// A table whose first column is the primary key, unless its name begins with `-`.
pub(crate) fn table_of(name: &str, comment: &str, columns: &[(String, String)]) -> ObjectMeta {
    let has_key = columns.first().is_some_and(|(c, _)| !c.starts_with('-'));
    let list: Vec<ColumnMeta> = (1..)
        .zip(columns)
        .map(|(ordinal, (name, data_type))| ColumnMeta {
            ordinal,
            name: name.trim_start_matches('-').to_owned(),
            data_type: data_type.clone(),
            column_type: data_type.clone(),
            ..ColumnMeta::default()
        })
        .collect();
    let part = IndexColumnMeta { name: list.first().map(|c| c.name.clone()), ..IndexColumnMeta::default() };
    let primary = IndexMeta {
        name: "PRIMARY".to_owned(),
        unique: true,
        primary: true,
        visible: true,
        columns: vec![part],
        ..IndexMeta::default()
    };
    ObjectMeta {
        schema: "main".to_owned(),
        name: name.to_owned(),
        object_type: ObjectType::Table,
        subtype: "base".to_owned(),
        comment: comment.to_owned(),
        rows_est: i64::try_from(rows_of(name)).ok(),
        columns: list,
        indexes: if has_key { vec![primary] } else { Vec::new() },
        ..ObjectMeta::default()
    }
}

/// Module, abbreviation, what it is. Each becomes six tables.
const ENTITIES: &str = "ar cust customer,ap supp supplier,so sord sales order,mm matl material,po pord purchase order,ar invc invoice,\
pp prod production order,hr empl employee,co cctr cost center,wm wbin warehouse bin,fi acct account,fi ledg ledger,fi jrnl journal entry,\
fi asst asset,fi bank bank account,fi paym payment,fi taxc tax code,fi curr currency,ar cred credit limit,ar dunn dunning letter,\
ap vinv vendor invoice,ap term payment term,so quot quotation,so deli delivery,so rout shipping route,so carr carrier,so pric price condition,\
so rebt rebate,mm stck stock movement,mm btch batch,mm unit unit of measure,mm catg material category,po cont supplier contract,po rfqs request for quotation,\
pp bomh bill of material,pp rout_op routing operation,pp wctr work center,pp shft shift,hr dept department,hr posn position,hr payr payroll result,\
hr absn absence,hr trai training,co proj project,co budg budget,co actv activity type,wm tord transfer order,wm zone storage zone,qm insp inspection lot,sy usrs system user";

/// 300 tables with short names, comments, and no declared key.
pub(crate) fn erp() -> Case {
    let entities: Vec<(&str, &str, &str)> = ENTITIES
        .split(',')
        .filter_map(|e| {
            let (module, rest) = e.trim().split_once(' ')?;
            let (short, words) = rest.split_once(' ')?;
            Some((module, short, words))
        })
        .collect();
    let (mut objects, mut truth) = (Vec::new(), BTreeSet::new());
    for (at, (module, short, words)) in entities.iter().enumerate() {
        let other = entities[(at * 7 + 3) % entities.len()];
        let user = "usrs_id".to_owned();
        let own = format!("{module}_{short}");
        let key = format!("{short}_id");
        let link = |truth: &mut BTreeSet<Pair>, table: &str, column: &str, of: (&str, &str)| {
            truth.insert((format!("{own}_{table}.{column}"), format!("{}_{}_mst.{}_id", of.0, of.1, of.1)));
        };
        let int = |name: &str| (name.to_owned(), "integer".to_owned());
        let text = |name: &str| (name.to_owned(), "text".to_owned());
        let mut add = |suffix: &str, what: &str, columns: &[(String, String)]| {
            objects.push(table_of(&format!("{own}_{suffix}"), &format!("{words} {what}"), columns));
        };
        let other_key = format!("{}_id", other.1);
        let creator = format!("crt_{user}");
        let status = format!("{short}_sts_cd");
        add("mst", "master record", &[int(&key), text(&status), int(&other_key), int(&creator), text("nm")]);
        add(
            "hst",
            "history of changes",
            &[int(&format!("{short}_hst_id")), int(&key), text("fld_nm"), text("old_val")],
        );
        add(
            "txt",
            "translated texts",
            &[int(&format!("{short}_txt_id")), int(&key), text("lang_cd"), text("txt")],
        );
        add("lin", "lines", &[int(&format!("{short}_lin_id")), int(&key), int(&other_key), text("qty")]);
        add("sts", "status values", &[text(&status), text("dsc")]);
        add("log", "log of accesses", &[int("log_id"), int(&key), int(&user), text("act")]);
        if other.1 != *short {
            link(&mut truth, "mst", &other_key, (other.0, other.1));
            link(&mut truth, "lin", &other_key, (other.0, other.1));
        }
        for table in ["hst", "txt", "lin", "log"] {
            link(&mut truth, table, &key, (module, short));
        }
        link(&mut truth, "mst", &creator, ("sy", "usrs"));
        link(&mut truth, "log", &user, ("sy", "usrs"));
        truth.insert((format!("{own}_mst.{status}"), format!("{own}_sts.{status}")));
    }
    Case { name: "erp", objects, truth }
}
