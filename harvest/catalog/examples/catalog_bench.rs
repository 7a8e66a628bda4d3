//! Measures a harvest, an incremental one and searches on a generated schema; it asserts nothing.
//!
//! `cargo run --release -p harvest_catalog --example catalog_bench -- [tables] [columns] [earlier runs]`

use std::time::{Duration, Instant};

use harvest::{
    ColumnMeta, Dialect, FakeDialect, HarvestResult, IndexColumnMeta, IndexMeta, MetadataRequest,
    MetadataSnapshot, MetadataWatch, ObjectMeta, SchemaMeta,
};
use harvest_catalog::{
    Catalog, HarvestOptions, ListObjectsRequest, MetadataSource, SearchRequest, StoreOptions,
};

const NOUNS: &[&str] = &[
    "customer",
    "order",
    "invoice",
    "payment",
    "product",
    "category",
    "supplier",
    "warehouse",
    "shipment",
    "address",
    "employee",
    "department",
    "contract",
    "ticket",
    "campaign",
    "session",
    "device",
    "event",
    "account",
    "ledger",
    "refund",
    "coupon",
    "review",
    "message",
    "project",
    "task",
    "asset",
    "vehicle",
    "route",
    "region",
];
const PARTS: &[&str] =
    &["detail", "history", "item", "status", "type", "note", "log", "summary", "map", "archive"];
const COLUMNS: &[&str] = &[
    "name",
    "created_at",
    "updated_at",
    "amount",
    "currency",
    "status",
    "description",
    "quantity",
    "email",
    "phone",
    "priority",
    "source",
    "score",
    "started_at",
    "ended_at",
    "owner",
    "channel",
    "reference",
];

struct Generated(MetadataSnapshot);

impl MetadataSource for Generated {
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
        Ok(self.0.clone())
    }
}

fn column(ordinal: usize, name: &str, data_type: &str) -> ColumnMeta {
    ColumnMeta {
        ordinal: u32::try_from(ordinal).unwrap_or(u32::MAX),
        name: name.to_owned(),
        data_type: data_type.to_owned(),
        column_type: data_type.to_owned(),
        ..ColumnMeta::default()
    }
}

fn generated(tables: usize, columns: usize) -> MetadataSnapshot {
    let mut snapshot = MetadataSnapshot::default();
    snapshot.schemas.push(SchemaMeta { name: "main".to_owned(), ..SchemaMeta::default() });
    for at in 0..tables {
        let noun = NOUNS[at % NOUNS.len()];
        let part = PARTS[(at / NOUNS.len()) % PARTS.len()];
        let area = at / (NOUNS.len() * PARTS.len());
        let other = NOUNS[(at * 7 + 3) % NOUNS.len()];
        let mut list = vec![column(1, "id", "integer"), column(2, &format!("{other}_id"), "integer")];
        for extra in 2..columns {
            let name = COLUMNS[(at * 5 + extra) % COLUMNS.len()];
            list.push(column(extra + 1, &format!("{name}_{extra}"), "text"));
        }
        let part_of_key = IndexColumnMeta { name: Some("id".to_owned()), ..IndexColumnMeta::default() };
        let index = IndexMeta {
            name: "PRIMARY".to_owned(),
            unique: true,
            primary: true,
            visible: true,
            columns: vec![part_of_key],
            ..IndexMeta::default()
        };
        snapshot.objects.push(ObjectMeta {
            schema: "main".to_owned(),
            name: format!("{noun}_{part}_{area}"),
            comment: format!("{part} of each {noun} in area {area}, linked to {other}"),
            rows_est: i64::try_from(at).ok(),
            columns: list,
            indexes: vec![index],
            ..ObjectMeta::default()
        });
    }
    snapshot
}

fn percentile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let at = ((times.len() as f64 - 1.0) * share) as usize;
    times.get(at).copied().unwrap_or_default()
}

#[expect(clippy::print_stdout, reason = "it is what the example is for")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1).filter_map(|w| w.parse::<usize>().ok());
    let (tables, columns) = (words.next().unwrap_or(10_000), words.next().unwrap_or(12));
    let earlier = words.next().unwrap_or(0);
    let dir = std::env::temp_dir().join(format!("catalog_bench_{}", std::process::id()));
    let catalog = Catalog::open(StoreOptions::new(dir.join("catalog.db")))?;
    let mut source = Generated(generated(tables, columns));
    let options = HarvestOptions::new("bench", "bench");
    for _ in 0..earlier {
        catalog.harvest(&options, &mut source, None, &mut ())?;
    }
    let started = Instant::now();
    let full = catalog.harvest(&options, &mut source, None, &mut ())?;
    println!(
        "full harvest: {} tables, {} columns, {} inferred: {:?}",
        full.objects_count,
        full.columns,
        full.inferred_relationships,
        started.elapsed()
    );
    let started = Instant::now();
    let next = catalog.harvest(&options, &mut source, None, &mut ())?;
    println!("incremental harvest: {} carried over: {:?}", next.carried_over, started.elapsed());
    let queries = [
        "customer",
        "orders",
        "invoice detail",
        "payment history",
        "customer email",
        "shipment status",
        "linked to vehicle",
        "order_items",
        "orderItem",
        "\"linked to region\"",
        "archiv*",
        "refund amount currency",
        "id",
        "name",
        "zebra customer",
        "employee department",
        "area 7",
        "coupon_map_3",
        "started ended session",
        "ledger log",
    ];
    let mut all = Vec::new();
    for query in queries {
        let mut times = Vec::new();
        let request = SearchRequest::new(next.run_id, "bench", query);
        let mut hits = 0;
        for _ in 0..30 {
            let started = Instant::now();
            hits = catalog.search(&request)?.results.len();
            times.push(started.elapsed());
        }
        all.extend_from_slice(&times);
        println!("  {query:24} {hits:3} hits  p50 {:?}", percentile(&mut times, 0.5));
    }
    println!("search: p50 {:?}, p95 {:?}", percentile(&mut all, 0.5), percentile(&mut all, 0.95));
    let started = Instant::now();
    let list = catalog.list_objects(&ListObjectsRequest::new(next.run_id, "bench"))?;
    println!("list of {} objects: {:?}", list.results.len(), started.elapsed());
    let started = Instant::now();
    catalog.delete_run("bench", full.run_id, false)?;
    println!("deletion of a run: {:?}", started.elapsed());
    std::fs::remove_dir_all(dir)?;
    Ok(())
}
