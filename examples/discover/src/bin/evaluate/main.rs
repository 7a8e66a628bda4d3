//! Measures schema linking and the inference of references on four schemas without any model, and with one the execution
//! accuracy of text to SQL; it changes nothing.

mod accuracy;
#[path = "../../client.rs"]
mod client;
#[path = "../../sample.rs"]
mod sample;
mod schema;

use std::collections::BTreeSet;
use std::sync::Arc;

use ai_core_embed::HashedEmbedder;
use bridge_ai::{LinkRequest, SchemaLinker};
use clap::Parser;
use harvest::{ConnectParams, Dialect, Driver, MetadataRequest, ObjectMeta, ObjectType};
use harvest_catalog::{
    Catalog, HarvestOptions, ObjectRef, Overlap, OverlapQuery, RelationshipFilter, SearchRequest,
    StoreOptions, ValueProbe,
};
use harvest_sqlite::SqliteDriver;
use schema::{Case, Pair, Values};

type Failure = Box<dyn std::error::Error>;

const TOP: usize = 10;
/// References from this confidence on count as found.
const CONFIDENT: f64 = 0.6;
const RECALL_GOAL: f64 = 0.95;
const PRECISION_GOAL: f64 = 0.9;
const KEY_RECALL_GOAL: f64 = 0.8;

/// Keys that the sample leaves undeclared on purpose.
const SAMPLE_TRUTH: &str = "addresses.country_code countries.country_code,products.supplier_id suppliers.supplier_id,\
orders.shipping_address_id addresses.id,orders.billing_address_id addresses.id,invoices.order_id orders.id,payments.invoice_id invoices.id,\
shipments.warehouse_id warehouses.id,tblReviews.ProductID products.id,tblReviews.CustomerID customers.id,product_returns.order_item_id order_items.id,\
web_sessions.customer_id customers.id,web_events.session_uuid web_sessions.session_uuid,web_events.product_id products.id,audit_log.actor_employee_id employees.id";

/// A harvested schema.
struct Run {
    case: Case,
    run_id: i64,
}

/// Measures what discovery finds; missed goals fail.
#[derive(Debug, Parser)]
struct Args {
    /// discovery: references and schema linking; nl2sql: schema linking, and execution accuracy with a model.
    #[arg(value_parser = ["all", "discovery", "nl2sql"], default_value = "all")]
    which: String,
    /// Full URL of a model's API; without it nothing asks a model.
    #[arg(long, value_name = "URL", requires = "model")]
    llm: Option<String>,
    /// openai, anthropic, generic or llama_cpp.
    #[arg(long, default_value = "generic")]
    provider: String,
    /// Name of the model.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Environment variable that holds the key.
    #[arg(long, value_name = "NAME")]
    key_env: Option<String>,
}

fn main() -> Result<(), Failure> {
    let args = Args::parse();
    let folder = std::env::temp_dir().join(format!("penstock-evaluate-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let result = measure(&args, &folder);
    std::fs::remove_dir_all(&folder)?;
    if result? { Ok(()) } else { Err("a goal is missed".into()) }
}

fn measure(args: &Args, folder: &std::path::Path) -> Result<bool, Failure> {
    let catalog = Catalog::open(StoreOptions::new(folder.join("catalog.db")))?;
    let mut runs = vec![sample_run(&catalog, folder)?];
    for mut case in [
        schema::erp(),
        schema::read("no_keys", include_str!("no_keys.txt"))?,
        schema::read("partitions", include_str!("partitions.txt"))?,
    ] {
        let mut values = Values::of(&case);
        let options = HarvestOptions::new(case.name, "evaluate");
        let run_id = catalog.harvest(&options, &mut case, Some(&mut values), &mut ())?.run_id;
        runs.push(Run { case, run_id });
    }
    let mut good = true;
    if args.which != "nl2sql" {
        good &= references(&catalog, &runs)?;
    }
    good &= linking(&catalog, &runs)?;
    match (&args.llm, &args.model) {
        (Some(url), Some(model)) if args.which != "discovery" => {
            let mut wanted = client::Wanted::new(&args.provider, url, model);
            wanted.key_env.clone_from(&args.key_env);
            good &= accuracy::measure(folder, Arc::new(wanted.client()?), model)?;
        }
        _ if args.which != "discovery" => {
            say("\nexecution accuracy: NOT MEASURED, no --llm URL and --model NAME were given");
        }
        _ => {}
    }
    Ok(good)
}

struct FileProbe(rusqlite::Connection, &'static dyn Dialect);

impl ValueProbe for FileProbe {
    fn overlap(&mut self, query: &OverlapQuery) -> harvest::HarvestResult<Overlap> {
        let count = |r: &rusqlite::Row<'_>| {
            Ok(Overlap {
                checked: r.get::<_, i64>(0)?.unsigned_abs(),
                found: r.get::<_, i64>(1)?.unsigned_abs(),
            })
        };
        self.0
            .query_row(&query.sql(self.1), [], count)
            .map_err(|e| harvest::HarvestError::new(harvest::HarvestCode::Internal, e.to_string()))
    }
}

fn sample_run(catalog: &Catalog, folder: &std::path::Path) -> Result<Run, Failure> {
    let file = folder.join("sample.sqlite");
    sample::create(&file)?;
    let driver: Arc<dyn Driver> = Arc::new(SqliteDriver);
    let (_, params) = ConnectParams::from_url(&format!("sqlite:{}", file.display()))?;
    let mut connection = driver.connect(&params)?;
    let snapshot = connection.metadata(&MetadataRequest::all(10_000), &mut ())?;
    let mut probe = FileProbe(rusqlite::Connection::open(&file)?, driver.dialect());
    let options = HarvestOptions::new("sample", "evaluate");
    let run_id = catalog.harvest(&options, &mut connection, Some(&mut probe), &mut ())?.run_id;
    let pair = |text: &str| text.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned()));
    let truth = SAMPLE_TRUTH.split(',').filter_map(pair).collect();
    Ok(Run { case: Case { name: "sample", objects: snapshot.objects, truth }, run_id })
}

fn ratio(part: usize, whole: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a few thousand at most")]
    let (part, whole) = (part as f64, whole.max(1) as f64);
    part / whole
}

fn references(catalog: &Catalog, runs: &[Run]) -> Result<bool, Failure> {
    say(&format!(
        "references nobody declared, confidence >= {CONFIDENT}\n{:<12}{:>8}{:>8}{:>12}{:>9}   {:>22}",
        "schema", "tables", "truth", "precision", "recall", "name equality: p / r"
    ));
    let mut good = true;
    for run in runs {
        let found = inferred(catalog, run)?;
        let right = found.intersection(&run.case.truth).count();
        let plain = name_equality(&run.case.objects);
        let plain_right = plain.intersection(&run.case.truth).count();
        let (precision, recall) = (ratio(right, found.len()), ratio(right, run.case.truth.len()));
        good &= precision >= PRECISION_GOAL && recall >= KEY_RECALL_GOAL;
        say(&format!(
            "{:<12}{:>8}{:>8}{precision:>12.3}{recall:>9.3}   {:>13.3} / {:.3}",
            run.case.name,
            run.case.objects.len(),
            run.case.truth.len(),
            ratio(plain_right, plain.len()),
            ratio(plain_right, run.case.truth.len())
        ));
        for pair in found.difference(&run.case.truth).take(5) {
            say(&format!("  wrong:  {} -> {}", pair.0, pair.1));
        }
        for pair in run.case.truth.difference(&found).take(5) {
            say(&format!("  missed: {} -> {}", pair.0, pair.1));
        }
    }
    Ok(good)
}

fn inferred(catalog: &Catalog, run: &Run) -> Result<BTreeSet<Pair>, Failure> {
    let mut out = BTreeSet::new();
    let filter = RelationshipFilter { min_confidence: CONFIDENT, ..RelationshipFilter::default() };
    for object in run.case.objects.iter().filter(|o| o.object_type == ObjectType::Table) {
        let key = ObjectRef {
            object_key: Some(harvest_catalog::object_key(&object.schema, &object.name)),
            object_type: Some("table".to_owned()),
            ..ObjectRef::default()
        };
        let links = catalog.get_relationships(run.case.name, run.run_id, &key, &filter)?;
        for link in links.inferred_relationships.iter().filter(|l| l.direction == "out") {
            let end = |e: &harvest_catalog::RelationEnd| {
                format!("{}.{}", e.object_key.trim_start_matches("main."), e.column)
            };
            out.insert((end(&link.child), end(&link.parent)));
        }
    }
    Ok(out)
}

/// The plain way: a column refers to every single-column key of the same name elsewhere.
fn name_equality(objects: &[ObjectMeta]) -> BTreeSet<Pair> {
    let mut keys = Vec::new();
    for object in objects {
        for index in object.indexes.iter().filter(|i| i.unique && i.columns.len() == 1) {
            if let Some(name) = index.columns.first().and_then(|c| c.name.as_ref()) {
                keys.push((name.to_lowercase(), object.name.clone(), name.clone()));
            }
        }
    }
    let mut out = BTreeSet::new();
    for object in objects.iter().filter(|o| o.object_type == ObjectType::Table) {
        for column in &object.columns {
            let is_declared =
                object.foreign_keys.iter().any(|k| k.columns.iter().any(|(c, _)| *c == column.name));
            for (name, table, key) in
                keys.iter().filter(|(_, table, _)| *table != object.name && !is_declared)
            {
                if *name == column.name.to_lowercase() {
                    out.insert((format!("{}.{}", object.name, column.name), format!("{table}.{key}")));
                }
            }
        }
    }
    out
}

fn linking(catalog: &Catalog, runs: &[Run]) -> Result<bool, Failure> {
    say(&format!(
        "\nschema linking: share of needed tables among the first {TOP} hits\n{:<12}{:>11}{:>8}{:>11}{:>16}{:>12}",
        "schema", "questions", "needed", "retrieval", "catalog.search", "plain FTS"
    ));
    let (linker, embedder) = (SchemaLinker::default(), HashedEmbedder::default());
    let mut sums = [0; 4];
    let mut good = true;
    for run in runs {
        let plain = PlainFts::new(&run.case.objects)?;
        let (mut asked, mut counts) = (0, [0; 4]);
        for (question, tables) in questions(run.case.name) {
            asked += 1;
            let request = LinkRequest::new(run.case.name, run.run_id, question);
            let linked = linker.link(catalog, &request, Some(&embedder))?;
            let ours: Vec<String> = linked.relations.into_iter().map(|relation| relation.name).collect();
            let mut request = SearchRequest::new(run.run_id, run.case.name, question);
            request.limit = TOP;
            let hits = catalog.search(&request)?.results.into_iter().map(|hit| hit.object_name).collect();
            let ways: [Vec<String>; 3] = [ours, hits, plain.search(question)?];
            for table in tables {
                counts[0] += 1;
                for (count, names) in counts[1..].iter_mut().zip(&ways) {
                    *count += usize::from(names.iter().any(|name| name == table));
                }
                if !ways[0].iter().any(|name| name == table) {
                    say(&format!("  missed: {table} for {question:?}"));
                }
            }
        }
        say(&linking_line(run.case.name, &asked.to_string(), counts));
        good &= ratio(counts[1], counts[0]) >= RECALL_GOAL;
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    say(&linking_line("all", "", sums));
    Ok(good)
}

fn linking_line(name: &str, asked: &str, [needed, ours, search, plain]: [usize; 4]) -> String {
    format!(
        "{name:<12}{asked:>11}{needed:>8}{:>11.3}{:>16.3}{:>12.3}",
        ratio(ours, needed),
        ratio(search, needed),
        ratio(plain, needed)
    )
}

/// Questions of one schema with the tables that they need.
fn questions(case: &str) -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    let of_case = move |line: &&str| line.split('|').next().is_some_and(|c| c.trim() == case);
    let lines: Vec<&str> = include_str!("questions.txt").lines().filter(of_case).collect();
    lines.into_iter().filter_map(|line| {
        let mut parts = line.split('|').map(str::trim).skip(1);
        Some((parts.next()?, parts.next()?.split(',').map(str::trim).collect()))
    })
}

/// Full-text search as it comes: names, comments and columns, the words of the question joined by OR.
struct PlainFts(rusqlite::Connection);

impl PlainFts {
    fn new(objects: &[ObjectMeta]) -> Result<Self, Failure> {
        let connection = rusqlite::Connection::open_in_memory()?;
        connection.execute_batch("CREATE VIRTUAL TABLE objects USING fts5(name, comment, columns)")?;
        for object in objects.iter().filter(|o| matches!(o.object_type, ObjectType::Table | ObjectType::View))
        {
            let columns: Vec<&str> = object.columns.iter().map(|c| c.name.as_str()).collect();
            connection.execute(
                "INSERT INTO objects VALUES (?1, ?2, ?3)",
                (&object.name, &object.comment, columns.join(" ")),
            )?;
        }
        Ok(Self(connection))
    }

    fn search(&self, question: &str) -> Result<Vec<String>, Failure> {
        let words: Vec<String> = question
            .split(|c: char| !c.is_alphanumeric())
            .filter(|w| !w.is_empty())
            .map(|w| format!("\"{w}\""))
            .collect();
        let mut statement = self.0.prepare(
            "SELECT name FROM objects WHERE objects MATCH ?1 ORDER BY bm25(objects), name LIMIT ?2",
        )?;
        let limit = i64::try_from(TOP)?;
        let rows = statement.query_map((words.join(" OR "), limit), |r| r.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

#[expect(clippy::print_stdout, reason = "the table is what the program is for")]
fn say(line: &str) {
    println!("{line}");
}
