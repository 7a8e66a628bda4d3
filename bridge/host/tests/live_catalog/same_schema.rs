//! One logical schema on three engines gives one catalog; a generated schema agrees with information_schema row by row.

use std::collections::{BTreeMap, BTreeSet};

use bridge_host::{Host, HostConfig, TargetSpec};
use harvest_catalog::{ListObjectsRequest, TableDoc};

use crate::engines::Engine;

/// `MOMENT` stands for the engine's type of a point in time.
const TABLES: &[&str] = &[
    r#"CREATE TABLE customer (id integer NOT NULL PRIMARY KEY, email varchar(100) NOT NULL, name varchar(80) DEFAULT 'none',
       created_at MOMENT NOT NULL, UNIQUE (email))"#,
    r#"CREATE TABLE region (region_code varchar(8) NOT NULL, country varchar(2) NOT NULL, label varchar(80) NOT NULL,
       PRIMARY KEY (country, region_code))"#,
    r#"CREATE TABLE staff (staff_id integer NOT NULL PRIMARY KEY, boss_id integer,
       FOREIGN KEY (boss_id) REFERENCES staff (staff_id) ON DELETE SET NULL ON UPDATE CASCADE)"#,
    r#"CREATE INDEX staff_boss ON staff (boss_id)"#,
    r#"CREATE TABLE "order" ("order id" integer NOT NULL PRIMARY KEY, customer_id integer NOT NULL, country varchar(2),
       region_code varchar(8), amount decimal(12, 2) NOT NULL, placed_at MOMENT NOT NULL, CHECK (amount > 0),
       FOREIGN KEY (customer_id) REFERENCES customer (id) ON DELETE CASCADE ON UPDATE CASCADE,
       FOREIGN KEY (country, region_code) REFERENCES region (country, region_code) ON DELETE CASCADE ON UPDATE CASCADE)"#,
    r#"CREATE INDEX order_customer ON "order" (customer_id)"#,
    r#"CREATE INDEX order_region ON "order" (country, region_code)"#,
    r#"CREATE TABLE "Odd.Näme - x" ("Ünï code" varchar(20), "select" integer, "a.b" integer NOT NULL, "it's" integer,
       PRIMARY KEY ("a.b"))"#,
    r#"CREATE TABLE order_tag (order_id integer NOT NULL, staff_id integer NOT NULL, PRIMARY KEY (order_id, staff_id),
       FOREIGN KEY (order_id) REFERENCES "order" ("order id") ON DELETE CASCADE ON UPDATE CASCADE,
       FOREIGN KEY (staff_id) REFERENCES staff (staff_id) ON DELETE CASCADE ON UPDATE CASCADE)"#,
    r#"CREATE INDEX order_tag_staff ON order_tag (staff_id)"#,
    r#"CREATE TABLE audit_log (id integer NOT NULL PRIMARY KEY, happened_at MOMENT NOT NULL, message varchar(200))"#,
    r#"CREATE VIEW big_orders AS SELECT customer_id, amount FROM "order" WHERE amount > 100"#,
];

/// An open host over one target, harvested once.
pub(crate) fn harvested(engine: &Engine) -> (tempfile::TempDir, Host, i64) {
    harvested_at(&engine.url())
}

/// [`harvested`] by URL.
pub(crate) fn harvested_at(url: &str) -> (tempfile::TempDir, Host, i64) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = HostConfig::new(folder.path().join("data"));
    config.allow_privileged_backend = true;
    config.targets.push(TargetSpec::parse(&format!("t={url}")).expect("a target"));
    let host = Host::open(config).expect("opens");
    let report = host.harvest("t", |_| {}).expect("harvests");
    (folder, host, report.run_id)
}

fn tables(host: &Host, run_id: i64, schema: &str, object_type: &str) -> BTreeMap<String, TableDoc> {
    let mut request = ListObjectsRequest::new(run_id, "t");
    request.schema_name = Some(schema.to_owned());
    request.object_type = Some(object_type.to_owned());
    request.limit = 200_000;
    let objects = host.catalog().list_objects(&request).expect("objects").results;
    let keys = objects
        .into_iter()
        .map(|object| harvest_catalog::parse_object_key(&object.object_key).expect("a key").1);
    keys.filter_map(|name| Some((name.clone(), host.catalog().describe_table(run_id, schema, &name).ok()?)))
        .collect()
}

/// What must not depend on the engine, as lines.
fn logical(engine: &Engine, host: &Host, run_id: i64) -> BTreeSet<String> {
    let schema = engine.schema();
    let mut lines = BTreeSet::new();
    for (name, doc) in tables(host, run_id, schema, "table") {
        for c in &doc.columns {
            lines.insert(format!(
                "{name}.{} #{} null={} pk={} unique={} indexed={} time={} id={} default={}",
                c.name,
                c.ordinal,
                c.nullable,
                c.is_pk,
                c.is_unique,
                c.is_indexed,
                c.is_time,
                c.is_id_like,
                c.default.as_deref().is_some_and(|d| d.contains("none"))
            ));
        }
        lines.insert(format!("{name} key {:?}", doc.primary_key));
        for k in &doc.constraints {
            let foreign = k.referenced_schema.as_deref().is_none_or(|s| s == schema);
            let columns = if k.constraint_type == "check" { &Vec::new() } else { &k.columns };
            lines.insert(format!(
                "{name} {} {columns:?} -> {:?} {:?} {:?} {:?} same schema={foreign}",
                k.constraint_type, k.referenced_table, k.referenced_columns, k.on_delete, k.on_update
            ));
        }
    }
    let mut request = ListObjectsRequest::new(run_id, "t");
    request.schema_name = Some(schema.to_owned());
    request.limit = 1_000;
    for o in host.catalog().list_objects(&request).expect("objects").results {
        let name = harvest_catalog::parse_object_key(&o.object_key).expect("a key").1;
        lines.insert(format!(
            "{name} is {} {} columns={} pk={} fk={} time={} in={} out={}",
            o.object_type,
            o.guessed_kind,
            o.columns,
            o.has_primary_key,
            o.has_foreign_keys,
            o.has_time_column,
            o.fk_in,
            o.fk_out
        ));
    }
    lines
}

#[test]
fn live_one_schema_is_one_catalog_on_every_engine() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut engines = vec![Engine::sqlite(folder.path())];
    engines.extend(Engine::postgres("same"));
    engines.extend(Engine::mariadb("same"));
    let mut first: Option<BTreeSet<String>> = None;
    for engine in &mut engines {
        for sql in TABLES {
            engine.execute(&sql.replace("MOMENT", engine.moment()));
        }
        // Kinds are guessed from sizes, which PostgreSQL knows after this only.
        if matches!(engine, Engine::Postgres { .. }) {
            engine.execute("ANALYZE");
        }
        let (_data, host, run_id) = harvested(engine);
        let lines = logical(engine, &host, run_id);
        assert!(lines.len() > 50, "{lines:#?}");
        match &first {
            None => first = Some(lines),
            Some(first) => {
                let (gone, new): (Vec<_>, Vec<_>) =
                    (first.difference(&lines).collect(), lines.difference(first).collect());
                assert!(
                    gone.is_empty() && new.is_empty(),
                    "{}: SQLite says {gone:#?}, this engine {new:#?}",
                    engine.url()
                );
            }
        }
        host.close();
    }
}

/// Tables of the generated schema; a variable asks for more.
fn generated_tables() -> usize {
    std::env::var("PENSTOCK_TEST_TABLES").ok().and_then(|n| n.parse().ok()).unwrap_or(40)
}

/// Tables with every mix of types, nullability and keys, from a small generator.
fn generated(engine: &mut Engine) {
    let types = [
        "integer",
        "varchar(40)",
        "decimal(10, 3)",
        "date",
        "smallint",
        "bigint",
        "double precision",
        "char(3)",
    ];
    let mut state = 20_251_125_u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap_or(0) % below
    };
    for table in 0..generated_tables() {
        let columns = 2 + next(12);
        let keys = 1 + next(columns.min(3));
        let mut parts: Vec<String> = (0..columns)
            .map(|at| {
                let null = if at < keys || next(2) == 0 { " NOT NULL" } else { "" };
                format!("\"c{at} of {table}\" {}{null}", types[next(types.len())])
            })
            .collect();
        let key: Vec<String> = (0..keys).rev().map(|at| format!("\"c{at} of {table}\"")).collect();
        parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
        engine.execute(&format!("CREATE TABLE \"Gen {table}\" ({})", parts.join(", ")));
    }
}

fn agrees_with_information_schema(mut engine: Engine) {
    generated(&mut engine);
    let (_data, host, run_id) = harvested(&engine);
    let schema = engine.schema().to_owned();
    let docs = tables(&host, run_id, &schema, "table");
    let cast = if schema == "public" { "::text" } else { "" };
    let ty = if schema == "public" { "data_type" } else { "LOWER(DATA_TYPE)" };
    let theirs: BTreeSet<Vec<String>> = engine
        .rows(&format!(
            "SELECT table_name{cast}, column_name{cast}, CAST(ordinal_position AS char(9)), is_nullable{cast}, {ty}{cast}
             FROM information_schema.columns WHERE table_schema = '{schema}'"
        ))
        .into_iter()
        .map(|row| row.into_iter().map(|cell| cell.trim_end().to_owned()).collect())
        .collect();
    let ours: BTreeSet<Vec<String>> = docs
        .iter()
        .flat_map(|(table, doc)| {
            doc.columns.iter().map(move |c| {
                let nullable = if c.nullable { "YES" } else { "NO" };
                vec![
                    table.clone(),
                    c.name.clone(),
                    c.ordinal.to_string(),
                    nullable.to_owned(),
                    c.data_type.clone(),
                ]
            })
        })
        .collect();
    assert!(theirs.len() > 200, "{}", theirs.len());
    let (missing, extra): (Vec<_>, Vec<_>) =
        (theirs.difference(&ours).take(5).collect(), ours.difference(&theirs).take(5).collect());
    assert!(missing.is_empty() && extra.is_empty(), "only the server: {missing:?}; only we: {extra:?}");
    let keys = engine.rows(&format!(
        "SELECT k.table_name{cast}, k.column_name{cast} FROM information_schema.key_column_usage k
         WHERE k.table_schema = '{schema}' ORDER BY k.table_name, k.ordinal_position"
    ));
    let mut by_table: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for mut row in keys {
        let column = row.remove(1);
        by_table.entry(row.remove(0)).or_default().push(column);
    }
    let ours: BTreeMap<String, Vec<String>> =
        docs.into_iter().map(|(table, doc)| (table, doc.primary_key)).collect();
    assert_eq!(ours, by_table);
    host.close();
}

#[test]
fn live_metadata_agrees_with_information_schema_on_postgres() {
    if let Some(engine) = Engine::postgres("rows") {
        agrees_with_information_schema(engine);
    }
}

#[test]
fn live_metadata_agrees_with_information_schema_on_mariadb() {
    if let Some(engine) = Engine::mariadb("rows") {
        agrees_with_information_schema(engine);
    }
}
