//! Samples over time, raw and by the hour, one table pair a series; it does not know where samples come from.

use rusqlite::types::{Value as Sql, ValueRef};
use rusqlite::{Connection, Params, Statement};
use serde_json::{Map, Number, Value};

/// How values of an hour become one.
#[derive(Clone, Copy, PartialEq)]
enum Roll {
    /// The last one: counters that only grow, and texts.
    Last,
    /// The mean: levels.
    Mean,
}

struct Column {
    name: &'static str,
    decl: &'static str,
    roll: Roll,
}

const fn last(name: &'static str) -> Column {
    Column { name, decl: "INTEGER", roll: Roll::Last }
}

const fn mean(name: &'static str) -> Column {
    Column { name, decl: "INTEGER", roll: Roll::Mean }
}

const fn text(name: &'static str) -> Column {
    Column { name, decl: "TEXT", roll: Roll::Last }
}

/// One table pair.
pub(crate) struct Series {
    pub(crate) table: &'static str,
    /// Columns that tell rows of one moment apart.
    keys: &'static [&'static str],
    columns: &'static [Column],
}

/// CPU time of the process.
pub(crate) const CPU: Series =
    Series { table: "system_cpu", keys: &[], columns: &[last("tms_utime"), last("tms_stime")] };
/// Memory of the process.
pub(crate) const MEMORY: Series = Series {
    table: "system_memory",
    keys: &[],
    columns: &[
        mean("allocated"),
        mean("resident"),
        mean("active"),
        mean("mapped"),
        mean("metadata"),
        mean("retained"),
    ],
};
/// Connections and statements of the whole server.
pub(crate) const CONNECTIONS: Series = Series {
    table: "mcp_connections",
    keys: &[],
    columns: &[
        last("Client_Connections_aborted"),
        mean("Client_Connections_connected"),
        last("Client_Connections_created"),
        last("Server_Connections_aborted"),
        mean("Server_Connections_connected"),
        last("Server_Connections_created"),
        last("ConnPool_get_conn_failure"),
        last("ConnPool_get_conn_immediate"),
        last("ConnPool_get_conn_success"),
        last("Questions"),
        last("Slow_queries"),
        last("MyHGM_myconnpoll_destroy"),
        last("MyHGM_myconnpoll_get"),
        last("MyHGM_myconnpoll_get_ok"),
        last("MyHGM_myconnpoll_push"),
        last("MyHGM_myconnpoll_reset"),
    ],
};
/// The pool of each server.
pub(crate) const POOL: Series = Series {
    table: "mcp_pool",
    keys: &["target_id", "hostgroup", "srv_host", "srv_port"],
    columns: &[
        text("target_id"),
        text("protocol"),
        last("hostgroup"),
        text("srv_host"),
        last("srv_port"),
        text("status"),
        last("weight"),
        mean("conn_used"),
        mean("conn_free"),
        last("conn_ok"),
        last("conn_err"),
        last("max_conn_used"),
        last("max_connections"),
        last("queries"),
        last("bytes_data_sent"),
        last("bytes_data_recv"),
        mean("latency_us"),
        text("shunned_reason"),
    ],
};
/// The result cache.
pub(crate) const QUERY_CACHE: Series = Series {
    table: "mcp_query_cache",
    keys: &[],
    columns: &[
        last("count_GET"),
        last("count_GET_OK"),
        last("count_SET"),
        last("bytes_IN"),
        last("bytes_OUT"),
        last("entries_purged"),
        mean("entries_in_cache"),
        mean("memory_bytes"),
    ],
};

/// All series.
pub(crate) const SERIES: &[&Series] = &[&CPU, &MEMORY, &CONNECTIONS, &POOL, &QUERY_CACHE];

impl Series {
    pub(super) fn layout(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(|c| format!("{} {}", c.name, c.decl)).collect();
        let columns = columns.join(", ");
        let table = self.table;
        format!(
            "CREATE TABLE IF NOT EXISTS {table} (timestamp INTEGER NOT NULL, {columns});\
             CREATE INDEX IF NOT EXISTS ix_{table} ON {table} (timestamp);\
             CREATE TABLE IF NOT EXISTS {table}_hour (timestamp INTEGER NOT NULL, {columns});\
             CREATE INDEX IF NOT EXISTS ix_{table}_hour ON {table}_hour (timestamp);"
        )
    }

    pub(super) fn add(&self, c: &Connection, timestamp: i64, rows: &[Vec<Value>]) -> rusqlite::Result<()> {
        let marks = vec!["?"; self.columns.len() + 1].join(", ");
        let mut insert = c.prepare_cached(&format!("INSERT INTO {} VALUES ({marks})", self.table))?;
        for row in rows {
            let cells = std::iter::once(Sql::Integer(timestamp)).chain(row.iter().map(sql));
            insert.execute(rusqlite::params_from_iter(cells))?;
        }
        Ok(())
    }

    pub(super) fn read(
        &self,
        c: &Connection,
        since: i64,
        hourly: bool,
        rows_max: i64,
    ) -> rusqlite::Result<Vec<Map<String, Value>>> {
        let table = if hourly { format!("{}_hour", self.table) } else { self.table.to_owned() };
        // The newest rows, oldest first.
        let text = format!(
            "SELECT * FROM (SELECT * FROM {table} WHERE timestamp >= ?1 ORDER BY timestamp DESC LIMIT ?2) ORDER BY timestamp"
        );
        let mut statement = c.prepare_cached(&text)?;
        objects(&mut statement, [since, rows_max])
    }

    /// Writes the hours that are over and have no row yet.
    pub(super) fn roll_up(&self, c: &Connection, now: i64) -> rusqlite::Result<()> {
        let table = self.table;
        let roll = |column: &Column| match column.roll {
            // Beside max() a bare column has the value of that row.
            Roll::Last => column.name.to_owned(),
            Roll::Mean => format!("CAST(round(avg({0})) AS INTEGER) AS {0}", column.name),
        };
        let columns: Vec<String> = self.columns.iter().map(roll).collect();
        let names: Vec<&str> = self.columns.iter().map(|c| c.name).collect();
        let keys: String = self.keys.iter().map(|key| format!(", {key}")).collect();
        let text = format!(
            "INSERT INTO {table}_hour SELECT hour, {} FROM (SELECT timestamp / 3600 * 3600 AS hour, max(timestamp), {} \
             FROM {table} WHERE timestamp < ?1 AND timestamp / 3600 * 3600 > \
             (SELECT coalesce(max(timestamp), -1) FROM {table}_hour) GROUP BY timestamp / 3600{keys})",
            names.join(", "),
            columns.join(", ")
        );
        c.execute(&text, [now / 3_600 * 3_600]).map(drop)
    }

    pub(super) fn forget(&self, c: &Connection, raw_before: i64, hourly_before: i64) -> rusqlite::Result<()> {
        c.execute(&format!("DELETE FROM {} WHERE timestamp < ?1", self.table), [raw_before])?;
        c.execute(&format!("DELETE FROM {}_hour WHERE timestamp < ?1", self.table), [hourly_before])?;
        Ok(())
    }
}

fn sql(value: &Value) -> Sql {
    match value {
        Value::Null => Sql::Null,
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Sql::Integer(whole),
            (None, Some(float)) => Sql::Real(float),
            (None, None) => Sql::Null,
        },
        Value::String(text) => Sql::Text(text.clone()),
        other => Sql::Text(other.to_string()),
    }
}

/// The rows of a statement as objects.
pub(super) fn objects(
    statement: &mut Statement<'_>,
    params: impl Params,
) -> rusqlite::Result<Vec<Map<String, Value>>> {
    let names: Vec<String> = statement.columns().map(|column| column.name().to_owned()).collect();
    let mut rows = statement.query(params)?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let mut object = Map::new();
        for (at, name) in names.iter().enumerate() {
            let value = match row.get_ref(at)? {
                ValueRef::Null | ValueRef::Blob(_) => Value::Null,
                ValueRef::Integer(number) => number.into(),
                ValueRef::Real(number) => Number::from_f64(number).map_or(Value::Null, Value::Number),
                ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned().into(),
            };
            object.insert(name.clone(), value);
        }
        all.push(object);
    }
    Ok(all)
}
