//! Sessions, accounts and statistics of MySQL and MariaDB for operators; it never runs a caller's text.

use harvest::{
    AdminCache, AdminConnection, AdminList, AdminRow, HarvestCode, HarvestError, HarvestResult, lacks,
};
use mysql_common::constants::ColumnType;
use mysql_common::row::Row;
use mysql_common::value::Value;
use serde_json::Value as Json;

use crate::metadata::text;
use crate::session::Session;
use crate::startup::Opened;

/// Longest run of one list, in seconds.
const LIST_TIMEOUT_S: u64 = 5;
/// Columns that are truth values.
const BOOLS: [&str; 6] = ["locked", "password_expired", "superuser", "tls_required", "is_system", "is_idle"];

pub(crate) struct MysqlAdmin {
    session: Session,
    connection_id: u32,
    mariadb: bool,
}

impl MysqlAdmin {
    pub(crate) fn open(opened: Opened) -> HarvestResult<Self> {
        let (mut session, connection_id) = (Session::new(opened.wire), opened.connection_id);
        let version = session.query("SELECT VERSION()", 1)?.pop().map(|mut row| text(&mut row, 0));
        let mariadb = version.unwrap_or_default().to_lowercase().contains("mariadb");
        let limit = if mariadb {
            format!("SET SESSION max_statement_time = {LIST_TIMEOUT_S}, lock_wait_timeout = 2")
        } else {
            format!("SET SESSION max_execution_time = {}, lock_wait_timeout = 2", LIST_TIMEOUT_S * 1_000)
        };
        session.run(&limit)?;
        Ok(Self { session, connection_id, mariadb })
    }

    fn rows(&mut self, sql: &str, rows_max: usize, grant: &str) -> HarvestResult<Vec<AdminRow>> {
        let rows = self.session.query(sql, rows_max.saturating_add(1)).map_err(|mut error| {
            if error.code != HarvestCode::PermissionDenied {
                return error;
            }
            error.message = format!("the account lacks a privilege: grant {grant}");
            error.with("by", "backend").with("grant", grant)
        })?;
        Ok(rows.into_iter().map(json_row).collect())
    }

    fn variable(&mut self, name: &str) -> HarvestResult<String> {
        let params = [Value::from(name)];
        let mut rows = self.session.exec("SHOW GLOBAL VARIABLES WHERE Variable_name = ?", &params)?;
        Ok(rows.first_mut().map(|row| text(row, 1)).unwrap_or_default())
    }

    fn needs_performance_schema(&mut self) -> HarvestResult<()> {
        if self.variable("performance_schema")?.eq_ignore_ascii_case("ON") {
            return Ok(());
        }
        Err(lacks(
            "performance_schema_off",
            "the server keeps no such statistics: start it with performance_schema = ON",
        ))
    }

    fn run(&mut self, sql: &str, grant: &str) -> HarvestResult<()> {
        self.rows(sql, 0, grant).map(drop)
    }
}

impl AdminConnection for MysqlAdmin {
    fn session_id(&self) -> i64 {
        i64::from(self.connection_id)
    }

    fn list(&mut self, what: AdminList, rows_max: usize) -> HarvestResult<Vec<AdminRow>> {
        let (sql, grant) = match what {
            AdminList::Users if self.mariadb => (USERS_MARIADB, "SELECT ON mysql.*"),
            AdminList::Users => (USERS_MYSQL, "SELECT ON mysql.*"),
            AdminList::Processes if self.mariadb => (PROCESSES_MARIADB, "PROCESS"),
            AdminList::Processes => (PROCESSES_MYSQL, "PROCESS"),
            AdminList::Status => ("SHOW GLOBAL STATUS", "USAGE"),
            AdminList::Digests => (DIGESTS, "SELECT ON performance_schema.*"),
            AdminList::Commands => (COMMANDS, "SELECT ON performance_schema.*"),
            AdminList::Errors if self.mariadb => {
                return Err(lacks("engine_has_no_error_summary", "MariaDB keeps no summary of errors"));
            }
            AdminList::Errors => (ERRORS, "SELECT ON performance_schema.*"),
            AdminList::UserConnections if self.mariadb => (USER_CONNECTIONS_MARIADB, "PROCESS"),
            AdminList::UserConnections => (USER_CONNECTIONS_MYSQL, "SELECT ON mysql.user"),
            AdminList::HostErrors => (HOST_ERRORS, "SELECT ON performance_schema.*"),
            AdminList::Prepared => (PREPARED, "SELECT ON performance_schema.*"),
            AdminList::Position if self.mariadb => {
                ("SELECT 'gtid' AS position_kind, @@GLOBAL.gtid_current_pos AS gtid_executed", "USAGE")
            }
            AdminList::Position => {
                ("SELECT 'gtid' AS position_kind, @@GLOBAL.gtid_executed AS gtid_executed", "USAGE")
            }
            AdminList::Replication if self.mariadb => ("SHOW ALL SLAVES STATUS", "SLAVE MONITOR"),
            AdminList::Replication => ("SHOW REPLICA STATUS", "REPLICATION CLIENT"),
        };
        if sql.contains("performance_schema.") {
            self.needs_performance_schema()?;
        }
        let mut rows = self.rows(sql, rows_max, grant)?;
        if what == AdminList::Status {
            rows = rows.into_iter().map(status_row).collect();
        }
        Ok(rows)
    }

    fn kill(&mut self, process_id: i64, whole_session: bool) -> HarvestResult<()> {
        let kind = if whole_session { "CONNECTION" } else { "QUERY" };
        self.run(&format!("KILL {kind} {process_id}"), "CONNECTION ADMIN").map_err(|error| {
            if error.details.get("errno") == Some(&Json::from(1094)) {
                HarvestError::new(HarvestCode::NotFound, format!("session {process_id} does not exist"))
                    .with("kind", "process")
                    .with("id", process_id.to_string())
            } else {
                error
            }
        })
    }

    fn flush(&mut self, cache: AdminCache) -> HarvestResult<()> {
        match cache {
            AdminCache::Query if self.variable("have_query_cache")?.eq_ignore_ascii_case("YES") => {
                self.run("RESET QUERY CACHE", "RELOAD")
            }
            AdminCache::Query => Err(lacks("engine_has_no_query_cache", "the server has no query cache")),
            AdminCache::Host if self.mariadb => self.run("FLUSH HOSTS", "RELOAD"),
            AdminCache::Host => {
                self.run("TRUNCATE TABLE performance_schema.host_cache", "DROP ON performance_schema.*")
            }
        }
    }
}

fn json_row(row: Row) -> AdminRow {
    let columns = row.columns();
    let values = row.unwrap();
    columns
        .iter()
        .zip(values)
        .map(|(column, value)| {
            let name = column.name_str().to_string();
            let value = json_value(&name, column.column_type(), value);
            (name, value)
        })
        .collect()
}

fn json_value(name: &str, kind: ColumnType, value: Value) -> Json {
    let text = match value {
        Value::NULL => return Json::Null,
        Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Value::Int(n) => n.to_string(),
        Value::UInt(n) => n.to_string(),
        Value::Float(n) => n.to_string(),
        Value::Double(n) => n.to_string(),
        other => other.as_sql(true).trim_matches('\'').to_owned(),
    };
    if BOOLS.contains(&name) {
        return Json::Bool(matches!(text.as_str(), "1" | "Y" | "true"));
    }
    if name == "roles" {
        return text.split(',').filter(|role| !role.is_empty()).map(Json::from).collect::<Vec<_>>().into();
    }
    let is_number = matches!(
        kind,
        ColumnType::MYSQL_TYPE_TINY
            | ColumnType::MYSQL_TYPE_SHORT
            | ColumnType::MYSQL_TYPE_LONG
            | ColumnType::MYSQL_TYPE_INT24
            | ColumnType::MYSQL_TYPE_LONGLONG
            | ColumnType::MYSQL_TYPE_DECIMAL
            | ColumnType::MYSQL_TYPE_NEWDECIMAL
            | ColumnType::MYSQL_TYPE_DOUBLE
    );
    if is_number {
        let whole = text.split('.').next().unwrap_or_default();
        if let Ok(number) = whole.parse::<i64>() {
            return number.into();
        }
    }
    Json::String(text)
}

fn status_row(row: AdminRow) -> AdminRow {
    let text = |key: &str| row.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
    let (name, value) = (text("Variable_name"), text("Value"));
    let category = category(&name);
    [("variable_name", name), ("value", value), ("category", category.to_owned())]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), Json::String(value)))
        .collect()
}

fn category(name: &str) -> &'static str {
    let name = name.to_ascii_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| name.starts_with(part));
    if has(&["com_stmt", "prepared", "performance_schema_prepared"]) {
        "prepared_stmts"
    } else if has(&["com_", "handler_"]) {
        "commands"
    } else if has(&["qcache"]) {
        "query_cache"
    } else if has(&["ssl_", "tls_", "access_denied", "caching_sha2"]) {
        "security"
    } else if has(&["connection", "aborted", "threads_", "max_used", "locked_connects"]) {
        "connections"
    } else if has(&["memory", "innodb_buffer", "key_", "innodb_page_size"]) {
        "memory"
    } else if name.contains("error") || name.contains("warning") {
        "errors"
    } else if has(&["quer", "question", "slow_", "select_", "sort_", "rows_", "created_tmp"]) {
        "queries"
    } else {
        "system"
    }
}

const USERS_MARIADB: &str = "SELECT u.User AS username, u.Host AS host, u.plugin AS auth_method, \
    COALESCE(JSON_VALUE(g.Priv, '$.account_locked') IN ('1', 'true'), 0) AS locked, u.password_expired AS password_expired, \
    u.Super_priv AS superuser, (SELECT COALESCE(GROUP_CONCAT(m.Role), '') FROM mysql.roles_mapping m \
    WHERE m.User = u.User AND m.Host = u.Host) AS roles, NULLIF(u.max_user_connections, 0) AS max_connections, \
    NULL AS valid_until, u.ssl_type <> '' AS tls_required FROM mysql.user u \
    JOIN mysql.global_priv g ON g.User = u.User AND g.Host = u.Host WHERE u.is_role = 'N' ORDER BY u.User, u.Host";
const USERS_MYSQL: &str = "SELECT u.User AS username, u.Host AS host, u.plugin AS auth_method, \
    u.account_locked AS locked, u.password_expired AS password_expired, u.Super_priv AS superuser, \
    (SELECT COALESCE(GROUP_CONCAT(e.FROM_USER), '') FROM mysql.role_edges e \
    WHERE e.TO_USER = u.User AND e.TO_HOST = u.Host) AS roles, NULLIF(u.max_user_connections, 0) AS max_connections, \
    NULL AS valid_until, u.ssl_type <> '' AS tls_required FROM mysql.user u ORDER BY u.User, u.Host";
const PROCESSES_MARIADB: &str = "SELECT ID AS process_id, USER AS user, SUBSTRING_INDEX(HOST, ':', 1) AS host, \
    IF(INSTR(HOST, ':') > 0, CAST(SUBSTRING_INDEX(HOST, ':', -1) AS SIGNED), NULL) AS port, DB AS `database`, \
    COMMAND AS command, STATE AS state, CAST(TIME_MS AS SIGNED) AS time_ms, INFO AS info, \
    USER IN ('system user', 'event_scheduler') OR COMMAND IN ('Daemon', 'Binlog Dump', 'Slave_IO', 'Slave_SQL') AS is_system, \
    COMMAND = 'Sleep' AS is_idle FROM information_schema.PROCESSLIST ORDER BY TIME_MS DESC";
const PROCESSES_MYSQL: &str = "SELECT ID AS process_id, USER AS user, SUBSTRING_INDEX(HOST, ':', 1) AS host, \
    IF(INSTR(HOST, ':') > 0, CAST(SUBSTRING_INDEX(HOST, ':', -1) AS SIGNED), NULL) AS port, DB AS `database`, \
    COMMAND AS command, STATE AS state, TIME * 1000 AS time_ms, INFO AS info, \
    USER IN ('system user', 'event_scheduler') OR COMMAND IN ('Daemon', 'Binlog Dump', 'Binlog Dump GTID') AS is_system, \
    COMMAND = 'Sleep' AS is_idle FROM information_schema.PROCESSLIST ORDER BY TIME DESC";
const DIGESTS: &str = "SELECT COALESCE(DIGEST, '') AS digest, COALESCE(DIGEST_TEXT, '') AS digest_text, \
    COALESCE(SCHEMA_NAME, '') AS `database`, '' AS username, COUNT_STAR AS count_star, \
    CAST(UNIX_TIMESTAMP(FIRST_SEEN) AS SIGNED) AS first_seen, CAST(UNIX_TIMESTAMP(LAST_SEEN) AS SIGNED) AS last_seen, \
    SUM_TIMER_WAIT DIV 1000000 AS sum_time_us, MIN_TIMER_WAIT DIV 1000000 AS min_time_us, \
    MAX_TIMER_WAIT DIV 1000000 AS max_time_us, SUM_ROWS_AFFECTED AS sum_rows_affected, SUM_ROWS_SENT AS sum_rows_sent \
    FROM performance_schema.events_statements_summary_by_digest";
const COMMANDS: &str = "SELECT UPPER(REPLACE(SUBSTRING_INDEX(EVENT_NAME, '/', -1), '_', ' ')) AS command, \
    COUNT_STAR AS total_count, SUM_TIMER_WAIT DIV 1000000 AS total_time_us \
    FROM performance_schema.events_statements_summary_global_by_event_name \
    WHERE EVENT_NAME LIKE 'statement/sql/%' AND COUNT_STAR > 0";
const ERRORS: &str = "SELECT ERROR_NUMBER AS errno, ERROR_NAME AS last_error, SUM_ERROR_RAISED AS count_star, \
    CAST(UNIX_TIMESTAMP(FIRST_SEEN) AS SIGNED) AS first_seen, CAST(UNIX_TIMESTAMP(LAST_SEEN) AS SIGNED) AS last_seen \
    FROM performance_schema.events_errors_summary_global_by_error WHERE SUM_ERROR_RAISED > 0";
const USER_CONNECTIONS_MARIADB: &str = "SELECT p.USER AS username, COUNT(*) AS connections, \
    (SELECT NULLIF(MAX(u.max_user_connections), 0) FROM mysql.user u WHERE u.User = p.USER) AS max_connections \
    FROM information_schema.PROCESSLIST p WHERE p.USER NOT IN ('system user', 'event_scheduler') GROUP BY p.USER";
const USER_CONNECTIONS_MYSQL: &str = USER_CONNECTIONS_MARIADB;
const HOST_ERRORS: &str = "SELECT IP AS client_address, SUM_CONNECT_ERRORS AS error_count, \
    CAST(UNIX_TIMESTAMP(LAST_SEEN) AS SIGNED) AS last_updated FROM performance_schema.host_cache";
const PREPARED: &str = "SELECT STATEMENT_ID AS global_stmt_id, COALESCE(OWNER_OBJECT_SCHEMA, '') AS `database`, \
    '' AS username, COUNT_EXECUTE AS ref_count_server, SQL_TEXT AS query FROM performance_schema.prepared_statements_instances";
