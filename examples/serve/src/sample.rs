//! The embedded sample database: a shop with about 100,000 rows, the same on every machine; it does not know the server.

mod rows;
mod words;

use std::path::Path;

use rusqlite::Connection;

/// Name of the sample's target, and of its file.
pub(crate) const TARGET: &str = "sample";

/// Keys that the sample leaves undeclared on purpose: child table, child column, parent table, parent column.
#[cfg(test)]
pub(crate) const UNDECLARED_KEYS: &[(&str, &str, &str, &str)] = &[
    ("addresses", "country_code", "countries", "country_code"),
    ("products", "supplier_id", "suppliers", "supplier_id"),
    ("orders", "shipping_address_id", "addresses", "id"),
    ("orders", "billing_address_id", "addresses", "id"),
    ("invoices", "order_id", "orders", "id"),
    ("payments", "invoice_id", "invoices", "id"),
    ("shipments", "warehouse_id", "warehouses", "id"),
    ("tblReviews", "ProductID", "products", "id"),
    ("tblReviews", "CustomerID", "customers", "id"),
    ("product_returns", "order_item_id", "order_items", "id"),
    ("web_sessions", "customer_id", "customers", "id"),
    ("web_events", "session_uuid", "web_sessions", "session_uuid"),
    ("web_events", "product_id", "products", "id"),
    ("audit_log", "actor_employee_id", "employees", "id"),
];

/// Writes the sample to `path`, replacing nothing: the file appears whole or not at all.
///
/// # Errors
/// File system and SQLite errors, with what was being done.
pub(crate) fn create(path: &Path) -> Result<(), SampleError> {
    let draft = path.with_extension("draft");
    if draft.exists() {
        std::fs::remove_file(&draft).map_err(|e| SampleError::File(draft.clone(), e))?;
    }
    let mut connection = Connection::open(&draft)?;
    connection
        .execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA page_size = 4096;")?;
    connection.execute_batch(include_str!("sample/schema.sql"))?;
    rows::fill(&mut connection)?;
    connection.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL; ANALYZE;")?;
    connection.close().map_err(|(_, e)| SampleError::Sqlite(e))?;
    std::fs::File::open(&draft)
        .and_then(|f| f.sync_all())
        .map_err(|e| SampleError::File(draft.clone(), e))?;
    std::fs::rename(&draft, path).map_err(|e| SampleError::File(path.to_owned(), e))
}

/// Why the sample could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SampleError {
    /// A file could not be written.
    #[error("{path}: {cause}", path = .0.display(), cause = .1)]
    File(std::path::PathBuf, std::io::Error),
    /// SQLite refused.
    #[error("sample database: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built() -> (tempfile::TempDir, Connection) {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("sample.sqlite");
        create(&path).expect("creates");
        let connection = Connection::open(&path).expect("opens");
        (dir, connection)
    }

    #[test]
    fn the_sample_is_large_whole_and_deterministic() {
        let (dir, connection) = built();
        let tables: Vec<String> = connection
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
            .and_then(|mut s| s.query_map([], |r| r.get(0))?.collect())
            .expect("tables");
        assert!(tables.len() >= 20, "{tables:?}");
        let count = |table: &String| {
            connection
                .query_row(&format!("SELECT count(*) FROM \"{table}\""), [], |r| r.get::<_, i64>(0))
                .expect("count")
        };
        let rows: i64 = tables.iter().map(count).sum();
        assert!((90_000..140_000).contains(&rows), "{rows} rows");
        let broken: i64 = connection
            .query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |r| r.get(0))
            .expect("check");
        assert_eq!(broken, 0);
        let again = dir.path().join("again.sqlite");
        create(&again).expect("creates");
        let first = std::fs::read(dir.path().join("sample.sqlite")).expect("reads");
        assert!(first == std::fs::read(again).expect("reads"), "two builds differ");
    }

    #[test]
    fn undeclared_keys_hold_in_the_data() {
        let (_dir, connection) = built();
        for (child, column, parent, key) in UNDECLARED_KEYS {
            let sql = format!(
                "SELECT count(*) FROM \"{child}\" WHERE \"{column}\" IS NOT NULL AND \"{column}\" NOT IN (SELECT \"{key}\" FROM \"{parent}\")"
            );
            let orphans: i64 = connection.query_row(&sql, [], |r| r.get(0)).expect("runs");
            assert_eq!(orphans, 0, "{child}.{column}");
        }
    }

    /// Precision and recall of the harvest's heuristics against the keys that the sample hides.
    #[test]
    fn the_harvest_finds_the_undeclared_keys() {
        let (dir, _connection) = built();
        let mut config = bridge_host::HostConfig::new(dir.path().join("state"));
        let target = format!("sample=sqlite:{}", dir.path().join("sample.sqlite").display());
        config.targets.push(bridge_host::TargetSpec::parse(&target).expect("a target"));
        let host = bridge_host::Host::open(config).expect("opens");
        host.harvest("sample", |_| {}).expect("harvests");
        let catalog = Connection::open(dir.path().join("state/mcp_catalog.db")).expect("opens");
        let sql = "SELECT c.object_name, r.child_column, p.object_name, r.parent_column FROM inferred_relationships r
                   JOIN objects c ON c.object_id = r.child_object_id JOIN objects p ON p.object_id = r.parent_object_id
                   WHERE r.confidence >= 0.6";
        let found: Vec<(String, String, String, String)> = catalog
            .prepare(sql)
            .and_then(|mut s| {
                s.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)))?.collect()
            })
            .expect("reads");
        let is_true = |f: &(String, String, String, String)| {
            UNDECLARED_KEYS.iter().any(|(a, b, c, d)| {
                (f.0.as_str(), f.1.as_str(), f.2.as_str(), f.3.as_str()) == (*a, *b, *c, *d)
            })
        };
        let hits = found.iter().filter(|f| is_true(f)).count() as f64;
        let (precision, recall) = (hits / found.len() as f64, hits / UNDECLARED_KEYS.len() as f64);
        assert!(precision >= 0.9 && recall >= 0.9, "precision {precision:.2}, recall {recall:.2}: {found:?}");
    }
}
