//! Schemas, sources and stores for tests.

use std::collections::BTreeMap;

use harvest::{
    ColumnMeta, Dialect, FakeDialect, ForeignKeyMeta, HarvestError, HarvestResult, IndexColumnMeta,
    IndexMeta, MetadataDepth, MetadataRequest, MetadataSnapshot, MetadataStage, MetadataWatch, ObjectMeta,
    ObjectType, SchemaMeta,
};

use crate::{
    Catalog, HarvestOptions, HarvestSummary, MetadataSource, Overlap, OverlapQuery, StoreOptions, ValueProbe,
};

pub(crate) struct TestStore {
    pub(crate) catalog: Catalog,
    pub(crate) dir: tempfile::TempDir,
}

pub(crate) fn store() -> TestStore {
    let dir = tempfile::tempdir().expect("tempdir");
    let catalog = Catalog::open(StoreOptions::new(dir.path().join("sub/catalog.db"))).expect("open");
    TestStore { catalog, dir }
}

/// A source that hands out a snapshot, or fails at a stage.
pub(crate) struct Source {
    pub(crate) snapshot: MetadataSnapshot,
    pub(crate) fail_at: Option<MetadataStage>,
    /// What stands for the state; none is known by default.
    pub(crate) token: Option<String>,
    /// Reads that gave every part.
    pub(crate) whole_reads: usize,
}

impl Source {
    pub(crate) fn new(objects: Vec<ObjectMeta>) -> Self {
        let mut names: Vec<String> = objects.iter().map(|o| o.schema.clone()).collect();
        names.sort();
        names.dedup();
        let schemas = names.into_iter().map(|name| SchemaMeta { name, ..SchemaMeta::default() }).collect();
        Self {
            snapshot: MetadataSnapshot { schemas, objects, ..MetadataSnapshot::default() },
            fail_at: None,
            token: None,
            whole_reads: 0,
        }
    }
}

impl MetadataSource for Source {
    fn dialect(&self) -> &'static dyn Dialect {
        &FakeDialect
    }

    fn server_version(&self) -> String {
        "3.50".to_owned()
    }

    fn metadata(
        &mut self,
        request: &MetadataRequest,
        watch: &mut dyn MetadataWatch,
    ) -> HarvestResult<MetadataSnapshot> {
        use MetadataStage as S;
        for stage in
            [S::Schemas, S::Objects, S::Columns, S::Indexes, S::ForeignKeys, S::Constraints, S::Definitions]
        {
            watch.stage(stage, 0)?;
            if self.fail_at == Some(stage) {
                return Err(HarvestError::new(harvest::HarvestCode::Unavailable, "connection lost"));
            }
        }
        let wanted =
            |schema: &str| request.schemas.as_ref().is_none_or(|list| list.iter().any(|s| s == schema));
        let mut out = self.snapshot.clone();
        out.schemas.retain(|s| wanted(&s.name));
        out.objects.retain(|o| request.depth > MetadataDepth::Schemas && wanted(&o.schema));
        out.token = self.token.clone();
        out.unchanged = self.token.is_some() && self.token == request.known_token;
        if out.unchanged {
            for object in &mut out.objects {
                (object.columns, object.indexes, object.foreign_keys) = Default::default();
                object.depends_on = Vec::new();
            }
        } else {
            self.whole_reads += 1;
        }
        Ok(out)
    }
}

pub(crate) fn column(ordinal: u32, spec: &str) -> ColumnMeta {
    let (name, declared) = spec.split_once(' ').unwrap_or((spec, "text"));
    let base: String = declared.chars().take_while(char::is_ascii_alphanumeric).collect();
    ColumnMeta {
        ordinal,
        name: name.to_owned(),
        data_type: base.to_lowercase(),
        column_type: declared.to_lowercase(),
        nullable: true,
        ..ColumnMeta::default()
    }
}

pub(crate) fn index(name: &str, columns: &[&str], unique: bool, primary: bool) -> IndexMeta {
    let part = |c: &&str| IndexColumnMeta { name: Some((*c).to_owned()), ..IndexColumnMeta::default() };
    IndexMeta {
        name: name.to_owned(),
        unique,
        primary,
        visible: true,
        columns: columns.iter().map(part).collect(),
        ..IndexMeta::default()
    }
}

/// A table; the first column is the primary key unless its name starts with `-`.
pub(crate) fn table(schema: &str, name: &str, columns: &[&str]) -> ObjectMeta {
    let has_key = columns.first().is_some_and(|c| !c.starts_with('-'));
    let columns: Vec<ColumnMeta> =
        (1..).zip(columns).map(|(at, c)| column(at, c.trim_start_matches('-'))).collect();
    let indexes = match columns.first() {
        Some(first) if has_key => vec![index("PRIMARY", &[&first.name], true, true)],
        _ => Vec::new(),
    };
    ObjectMeta {
        schema: schema.to_owned(),
        name: name.to_owned(),
        object_type: ObjectType::Table,
        subtype: "base".to_owned(),
        rows_est: Some(5_000),
        columns,
        indexes,
        ..ObjectMeta::default()
    }
}

pub(crate) fn foreign_key(name: &str, parent: &str, pairs: &[(&str, &str)]) -> ForeignKeyMeta {
    ForeignKeyMeta {
        name: name.to_owned(),
        parent_schema: "shop".to_owned(),
        parent_table: parent.to_owned(),
        columns: pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
        on_delete: Some("CASCADE".to_owned()),
        ..ForeignKeyMeta::default()
    }
}

/// A small shop with one declared key.
pub(crate) fn shop() -> Vec<ObjectMeta> {
    let mut orders = table(
        "shop",
        "orders",
        &["id integer", "customer_id integer", "placed_at datetime", "total decimal"],
    );
    orders.foreign_keys.push(foreign_key("fk_customer", "customers", &[("customer_id", "id")]));
    orders.comment = "One row per purchase".to_owned();
    let mut customers = table("shop", "customers", &["id integer", "email text", "fullName text"]);
    customers.columns[1].comment = "electronic mail address".to_owned();
    let mut view = table("shop", "open_orders", &["-id integer", "total decimal"]);
    view.object_type = ObjectType::View;
    view.definition = Some("SELECT id, total FROM orders WHERE shipped IS NULL".to_owned());
    view.depends_on.push(harvest::DependencyMeta {
        schema: "shop".to_owned(),
        name: "orders".to_owned(),
        object_type: Some(ObjectType::Table),
        from_catalog: false,
    });
    let items = table("shop", "order_items", &["id integer", "order_id integer", "sku text", "qty integer"]);
    vec![customers, items, view, orders]
}

pub(crate) fn harvest(catalog: &Catalog, target: &str, objects: Vec<ObjectMeta>) -> HarvestSummary {
    harvest_with(catalog, &HarvestOptions::new(target, "tester"), objects)
}

pub(crate) fn harvest_with(
    catalog: &Catalog,
    options: &HarvestOptions,
    objects: Vec<ObjectMeta>,
) -> HarvestSummary {
    catalog.harvest(options, &mut Source::new(objects), None, &mut ()).expect("harvest")
}

/// A probe that knows the true references.
#[derive(Default)]
pub(crate) struct Truth {
    pub(crate) pairs: BTreeMap<(String, String), f64>,
    pub(crate) asked: usize,
}

impl ValueProbe for Truth {
    fn overlap(&mut self, query: &OverlapQuery) -> HarvestResult<Overlap> {
        self.asked += 1;
        let name = |c: &crate::ColumnRef| format!("{}.{}", c.table, c.column);
        let ratio = self.pairs.get(&(name(&query.child), name(&query.parent))).copied().unwrap_or(0.3);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
        Ok(Overlap { checked: 200, found: (ratio * 200.0) as u64 })
    }
}

/// Every row of a table as text, for comparing stores.
pub(crate) fn dump(catalog: &Catalog, sql: &str) -> Vec<String> {
    catalog
        .store()
        .read(|c| {
            let mut statement = c.prepare(sql).expect("sql");
            let width = statement.column_count();
            let rows = statement
                .query_map([], |r| {
                    (0..width)
                        .map(|at| r.get::<_, rusqlite::types::Value>(at).map(|v| format!("{v:?}")))
                        .collect::<rusqlite::Result<Vec<_>>>()
                        .map(|cells| cells.join("|"))
                })
                .expect("query");
            Ok(rows.map(|r| r.expect("row")).collect())
        })
        .expect("read")
}
