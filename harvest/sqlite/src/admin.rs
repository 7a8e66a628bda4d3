//! What a SQLite file tells operators of itself; a library has no sessions, no users and nothing to kill.

use harvest::{
    AdminCache, AdminConnection, AdminList, AdminRow, ConnectParams, HarvestError, HarvestResult, lacks,
};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value as Json, json};

use crate::errors::mapped;
use crate::open::uri;

/// Pragmas that tell a figure, with their category.
const PRAGMAS: [(&str, &str); 12] = [
    ("page_count", "system"),
    ("page_size", "system"),
    ("freelist_count", "system"),
    ("journal_mode", "system"),
    ("data_version", "system"),
    ("schema_version", "system"),
    ("user_version", "system"),
    ("auto_vacuum", "system"),
    ("encoding", "system"),
    ("cache_size", "memory"),
    ("mmap_size", "memory"),
    ("soft_heap_limit", "memory"),
];

/// A file, open for reading its status.
pub(crate) struct SqliteAdmin(Connection);

impl SqliteAdmin {
    pub(crate) fn open(params: &ConnectParams) -> HarvestResult<Self> {
        let flags =
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(uri(&params.host), flags).map_err(|e| mapped(&e))?;
        // Reads the header: a file that is no database fails here.
        connection
            .query_row("SELECT count(*) FROM (SELECT 1 FROM sqlite_schema LIMIT 1)", [], |_| Ok(()))
            .map_err(|e| mapped(&e))?;
        Ok(Self(connection))
    }

    fn status(&self) -> HarvestResult<Vec<AdminRow>> {
        let mut rows = vec![row("sqlite_version", rusqlite::version().to_owned(), "system")];
        for (name, category) in PRAGMAS {
            let value = self.0.query_row(&format!("PRAGMA {name}"), [], |found| {
                Ok(match found.get_ref(0)? {
                    ValueRef::Integer(number) => number.to_string(),
                    ValueRef::Real(number) => number.to_string(),
                    ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                    ValueRef::Null | ValueRef::Blob(_) => String::new(),
                })
            });
            match value {
                Ok(value) => rows.push(row(name, value, category)),
                // A build without the pragma answers no row.
                Err(rusqlite::Error::QueryReturnedNoRows) => {}
                Err(error) => return Err(mapped(&error)),
            }
        }
        Ok(rows)
    }
}

fn row(name: &str, value: String, category: &str) -> AdminRow {
    let Json::Object(row) = json!({"variable_name": name, "value": value, "category": category}) else {
        return AdminRow::new();
    };
    row
}

fn no(what: &str) -> HarvestError {
    lacks("engine_lacks_concept", format!("SQLite is a library: it has no {what}"))
}

impl AdminConnection for SqliteAdmin {
    fn session_id(&self) -> i64 {
        0
    }

    fn list(&mut self, what: AdminList, rows_max: usize) -> HarvestResult<Vec<AdminRow>> {
        match what {
            AdminList::Status => {
                let mut rows = self.status()?;
                rows.truncate(rows_max.saturating_add(1));
                Ok(rows)
            }
            AdminList::Users => Err(lacks("engine_has_no_users", "SQLite has no users")),
            AdminList::UserConnections => Err(lacks("engine_has_no_users", "SQLite has no users")),
            AdminList::Processes => Err(lacks("engine_has_no_sessions", "SQLite has no sessions")),
            AdminList::Digests | AdminList::Commands => Err(no("statistics of statements")),
            AdminList::Errors => Err(no("summary of errors")),
            AdminList::HostErrors => Err(no("cache of hosts")),
            AdminList::Prepared => Err(no("list of prepared statements")),
            AdminList::Position | AdminList::Replication => Err(no("replication")),
        }
    }

    fn kill(&mut self, _: i64, _: bool) -> HarvestResult<()> {
        Err(lacks("engine_has_no_sessions", "SQLite has no sessions"))
    }

    fn flush(&mut self, cache: AdminCache) -> HarvestResult<()> {
        Err(no(match cache {
            AdminCache::Query => "query cache",
            AdminCache::Host => "cache of hosts",
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_tells_its_pages_and_refuses_what_only_servers_have() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a b?.db");
        Connection::open(&file).expect("opens").execute_batch("CREATE TABLE t (a)").expect("makes a table");
        let mut admin =
            SqliteAdmin::open(&ConnectParams::new(file.to_str().expect("a path"))).expect("opens");
        let rows = admin.list(AdminList::Status, 1_000).expect("lists");
        let of =
            |name: &str| rows.iter().find(|row| row["variable_name"] == name).map(|row| row["value"].clone());
        assert_eq!(of("page_count"), Some(json!("2")));
        assert_eq!(of("journal_mode"), Some(json!("delete")));
        let error = admin.list(AdminList::Users, 10).expect_err("there are none");
        assert_eq!(error.details["reason"], "engine_has_no_users");
        let missing =
            SqliteAdmin::open(&ConnectParams::new(folder.path().join("no").to_str().expect("a path")));
        assert!(missing.is_err());
    }
}
