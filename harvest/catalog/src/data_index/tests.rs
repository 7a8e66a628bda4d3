//! Data indexes over a fake reader: batches, keys, bounds, swaps, ranking, no input that is an error.

use harvest::{HarvestCode, HarvestError, HarvestResult, Value};
use proptest::prelude::*;

use super::{DataIndexSpec, DataIndexes, DataLimits, DataSearchRequest};
use crate::{BatchRequest, RowReader, StoreOptions};

/// A table of (id, title, body), given out in key order.
struct Table {
    rows: Vec<(i64, &'static str, &'static str)>,
    fail_after: usize,
    batches: usize,
}

impl Table {
    fn new(rows: &[(i64, &'static str, &'static str)]) -> Self {
        let mut rows = rows.to_vec();
        rows.sort();
        Self { rows, fail_after: usize::MAX, batches: 0 }
    }
}

impl RowReader for Table {
    fn read_batch(&mut self, request: &BatchRequest) -> HarvestResult<Vec<Vec<Value>>> {
        self.batches += 1;
        if self.batches > self.fail_after {
            return Err(HarvestError::new(HarvestCode::Unavailable, "connection lost"));
        }
        let from = match request.from_key.as_deref() {
            Some([Value::Int(id)]) => *id,
            _ => i64::MIN,
        };
        let row = |(id, title, body): &(i64, &'static str, &'static str)| {
            vec![Value::Int(*id), Value::Text((*title).to_owned()), Value::Text((*body).to_owned())]
        };
        Ok(self.rows.iter().filter(|r| r.0 >= from).take(request.rows_max).map(row).collect())
    }

    fn has_null_key(&mut self, _: &BatchRequest) -> HarvestResult<bool> {
        Ok(false)
    }
}

fn spec(table: &str) -> DataIndexSpec {
    DataIndexSpec {
        target_id: "a".into(),
        schema: "s".into(),
        table: table.into(),
        columns: vec!["title".into(), "body".into()],
        primary_key: vec!["id".into()],
        where_clause: None,
        caller: "t".into(),
    }
}

const LIMITS: DataLimits = DataLimits { rows_max: 1_000, bytes_max: 1_000_000, batch_rows: 2 };

const BOOKS: &[(i64, &str, &str)] = &[
    (1, "The running fox", "A fox <b>runs</b> through the woods"),
    (2, "Sleeping dogs", "Dogs sleep & dream"),
    (3, "Foxes and dogs", "Friends at last"),
    (9, "Gardens", "Roses"),
    (10, "Woods", "Trees"),
];

fn open() -> (tempfile::TempDir, DataIndexes) {
    let dir = tempfile::tempdir().expect("tempdir");
    let indexes = DataIndexes::open(StoreOptions::new(dir.path().join("fts.db"))).expect("open");
    (dir, indexes)
}

fn tables(indexes: &DataIndexes) -> usize {
    indexes
        .store
        .read(|c| {
            use crate::fail::StoreResult as _;
            c.query_row(
                "SELECT COUNT(*) FROM sqlite_schema WHERE name GLOB 'fts_data_*' AND type = 'table'",
                [],
                |r| r.get::<_, i64>(0),
            )
            .db()
        })
        .expect("count") as usize
}

#[test]
fn rows_are_indexed_in_batches_and_found() {
    let (_dir, indexes) = open();
    let made = indexes.index_table(&spec("books"), &LIMITS, &mut Table::new(BOOKS)).expect("index");
    assert_eq!(made.row_count, 5);
    let mut request = DataSearchRequest::new("a", "fox");
    let found = indexes.search(&request).expect("search");
    assert_eq!(found.total_matches, 2);
    let first = &found.results[0];
    assert_eq!((first.primary_key_value.as_str(), first.primary_key["id"].as_i64()), ("1", Some(1)));
    assert!(
        first.snippet.contains("<mark>fox</mark>") && !first.snippet.contains("<b>"),
        "{}",
        first.snippet
    );
    assert_eq!(first.metadata["title"], "The running fox");
    for (query, ids) in [
        ("runs woods", vec!["1"]),
        ("fox OR roses", vec!["9", "1", "3"]),
        ("fox NOT friends", vec!["1"]),
        ("\"sleeping dogs\"", vec!["2"]),
        ("gard*", vec!["9"]),
        ("NOT fox", vec![]),
        ("zebra roses", vec!["9"]),
    ] {
        request.query = query.to_owned();
        let mut got: Vec<String> = indexes
            .search(&request)
            .expect("search")
            .results
            .into_iter()
            .map(|h| h.primary_key_value)
            .collect();
        let mut want: Vec<String> = ids.into_iter().map(str::to_owned).collect();
        got.sort();
        want.sort();
        assert_eq!(got, want, "{query}");
    }
    request.table = Some("nope".into());
    assert_eq!(indexes.search(&request).expect_err("no index").code, HarvestCode::NotFound);
    let foreign = DataSearchRequest::new("b", "fox");
    assert_eq!(indexes.search(&foreign).expect("other target").total_matches, 0);
}

#[test]
fn several_indexes_rank_as_one() {
    let (_dir, indexes) = open();
    indexes.index_table(&spec("books"), &LIMITS, &mut Table::new(BOOKS)).expect("index");
    indexes.index_table(&spec("films"), &LIMITS, &mut Table::new(&[(1, "Fox", "Fox fox")])).expect("index");
    let mut request = DataSearchRequest::new("a", "fox");
    let all = indexes.search(&request).expect("search");
    assert_eq!((all.total_matches, all.results.len()), (3, 3));
    assert!(all.results[0].score >= all.results[1].score && all.results[1].score >= all.results[2].score);
    request.limit = 2;
    request.offset = 2;
    assert_eq!(indexes.search(&request).expect("page").results, all.results[2..]);
    assert_eq!(indexes.list(None).expect("list").indexes.len(), 2);
    let gone = indexes.delete("a", "s", "films").expect("delete");
    assert_eq!((gone.deleted_rows, tables(&indexes)), (1, 1));
}

#[test]
fn what_fails_leaves_nothing_or_the_old_index() {
    let (dir, indexes) = open();
    let mut broken = Table::new(BOOKS);
    broken.fail_after = 2;
    let error = indexes.index_table(&spec("books"), &LIMITS, &mut broken).expect_err("reader fails");
    assert_eq!(
        (error.code, tables(&indexes), indexes.list(None).expect("list").indexes.len()),
        (HarvestCode::Unavailable, 0, 0)
    );
    let small = DataLimits { rows_max: 3, ..LIMITS };
    let error = indexes.index_table(&spec("books"), &small, &mut Table::new(BOOKS)).expect_err("too many");
    assert_eq!(
        (error.code, error.details["variable"].as_str()),
        (HarvestCode::LimitExceeded, Some("mcp-fts_max_rows"))
    );
    let mut twice = BOOKS.to_vec();
    twice.push((2, "again", "again"));
    let error =
        indexes.index_table(&spec("books"), &LIMITS, &mut Table::new(&twice)).expect_err("not unique");
    assert_eq!((error.code, tables(&indexes)), (HarvestCode::FailedPrecondition, 0));
    indexes.index_table(&spec("books"), &LIMITS, &mut Table::new(BOOKS)).expect("index");
    let again = indexes.index_table(&spec("books"), &LIMITS, &mut Table::new(BOOKS)).expect_err("exists");
    assert_eq!(again.code, HarvestCode::Conflict);
    let mut broken = Table::new(BOOKS);
    broken.fail_after = 1;
    assert!(indexes.reindex("a", "s", "books", &LIMITS, &mut broken).is_err());
    assert_eq!(indexes.search(&DataSearchRequest::new("a", "fox")).expect("old one").total_matches, 2);
    let row = indexes.list(None).expect("list").indexes.remove(0);
    assert_eq!((row.status.as_str(), row.last_error.as_deref()), ("ready", Some("connection lost")));
    let done = indexes.reindex("a", "s", "books", &LIMITS, &mut Table::new(&BOOKS[..2])).expect("rebuild");
    assert_eq!((done.row_count, done.previous_row_count, tables(&indexes)), (2, Some(5), 1));
    drop(indexes);
    let again = DataIndexes::open(StoreOptions::new(dir.path().join("fts.db"))).expect("reopen");
    assert_eq!(
        (again.search(&DataSearchRequest::new("a", "fox")).expect("search").total_matches, tables(&again)),
        (1, 1)
    );
}

#[test]
fn leftovers_of_a_dead_process_are_removed_at_start_up() {
    let (dir, indexes) = open();
    indexes.index_table(&spec("books"), &LIMITS, &mut Table::new(BOOKS)).expect("index");
    indexes
        .store
        .write(|tx| {
            use crate::fail::StoreResult as _;
            tx.execute_batch(
                "CREATE TABLE fts_data_1_2(rowid INTEGER PRIMARY KEY, c0 TEXT);
                 CREATE VIRTUAL TABLE fts_search_1_2 USING fts5(c0);
                 UPDATE fts_indexes SET status = 'rebuilding';",
            )
            .db()
        })
        .expect("plant");
    drop(indexes);
    let again = DataIndexes::open(StoreOptions::new(dir.path().join("fts.db"))).expect("reopen");
    assert_eq!((tables(&again), again.list(None).expect("list").indexes[0].status.as_str()), (1, "ready"));
    assert_eq!(again.search(&DataSearchRequest::new("a", "fox")).expect("search").total_matches, 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn no_data_query_is_an_error(queries in proptest::collection::vec("(?s).{0,50}|[a-z\"*() ANDORNOT]{0,40}", 1..6)) {
        let (_dir, indexes) = open();
        indexes.index_table(&spec("books"), &LIMITS, &mut Table::new(&BOOKS[..2])).expect("index");
        for query in queries {
            prop_assert!(indexes.search(&DataSearchRequest::new("a", query.clone())).is_ok(), "{}", query);
        }
    }
}
