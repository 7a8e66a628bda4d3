//! Sessions, roles and statistics of PostgreSQL for operators; it never runs a caller's text.

use harvest::{
    AdminCache, AdminConnection, AdminList, AdminRow, HarvestCode, HarvestError, HarvestResult, lacks,
};

use crate::session::{Row, Session};

/// Longest run of one list, in milliseconds.
const LIST_TIMEOUT_MS: u64 = 5_000;

pub(crate) struct PostgresAdmin {
    session: Session,
    session_id: i32,
}

impl PostgresAdmin {
    pub(crate) fn open(mut session: Session) -> HarvestResult<Self> {
        let pin = format!(
            "SET statement_timeout = {LIST_TIMEOUT_MS}; SET lock_timeout = 2000; SET search_path = pg_catalog"
        );
        session.batch(&pin)?;
        let row = session.query_one("SELECT pg_backend_pid()", &[])?;
        Ok(Self { session, session_id: row.get(0) })
    }

    fn rows(&mut self, sql: &str, rows_max: usize, grant: &str) -> HarvestResult<Vec<AdminRow>> {
        let limit = rows_max.saturating_add(1);
        let sql = format!("SELECT row_to_json(q)::text FROM ({sql}) q LIMIT {limit}");
        let rows = self.session.query(&sql, &[]).map_err(|mut error| {
            if error.code != HarvestCode::PermissionDenied {
                return error;
            }
            error.message = format!("the account lacks a privilege: grant {grant}");
            error.with("by", "backend").with("grant", grant)
        })?;
        let parse = |row: &Row| {
            let text: String = row.get(0);
            serde_json::from_str(&text)
                .map_err(|e| HarvestError::new(HarvestCode::Internal, format!("a row is no JSON: {e}")))
        };
        rows.iter().map(parse).collect()
    }

    /// Figures of the database, the background writer and, from PostgreSQL 14 on, the log.
    fn status(&mut self, rows_max: usize) -> HarvestResult<Vec<AdminRow>> {
        let mut rows = self.rows(STATUS, rows_max, "pg_monitor")?;
        let sql = "SELECT 1 FROM pg_class WHERE relname = 'pg_stat_wal' AND relnamespace = 'pg_catalog'::regnamespace";
        if !self.rows(sql, 1, "CONNECT")?.is_empty() {
            rows.extend(self.rows(STATUS_WAL, rows_max, "pg_monitor")?);
            rows.truncate(rows_max.saturating_add(1));
        }
        Ok(rows)
    }

    fn needs_statements(&mut self) -> HarvestResult<()> {
        let found =
            self.rows("SELECT 1 FROM pg_extension WHERE extname = 'pg_stat_statements'", 1, "CONNECT")?;
        if found.is_empty() {
            return Err(lacks(
                "pg_stat_statements_missing",
                "the database keeps no statistics of statements: install the extension pg_stat_statements",
            ));
        }
        Ok(())
    }

    /// The extension's view under its own schema, quoted.
    fn statements_view(&mut self) -> HarvestResult<String> {
        let sql = "SELECT quote_ident(n.nspname) AS name FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace \
                   WHERE e.extname = 'pg_stat_statements'";
        let rows = self.rows(sql, 1, "CONNECT")?;
        let schema = rows.first().and_then(|row| row.get("name")).and_then(|name| name.as_str());
        Ok(format!("{}.pg_stat_statements", schema.unwrap_or("public")))
    }
}

impl AdminConnection for PostgresAdmin {
    fn session_id(&self) -> i64 {
        i64::from(self.session_id)
    }

    fn list(&mut self, what: AdminList, rows_max: usize) -> HarvestResult<Vec<AdminRow>> {
        match what {
            AdminList::Users => self.rows(USERS, rows_max, "SELECT ON pg_roles"),
            AdminList::Processes => self.rows(PROCESSES, rows_max, "pg_monitor"),
            AdminList::Status => self.status(rows_max),
            AdminList::UserConnections => self.rows(USER_CONNECTIONS, rows_max, "pg_monitor"),
            AdminList::Position => self.rows(POSITION, rows_max, "pg_monitor"),
            AdminList::Replication => self.rows(REPLICATION, rows_max, "pg_monitor"),
            AdminList::Digests => {
                self.needs_statements()?;
                let sql = DIGESTS.replace("{view}", &self.statements_view()?);
                self.rows(&sql, rows_max, "pg_read_all_stats")
            }
            AdminList::Commands => {
                self.needs_statements()?;
                let sql = COMMANDS.replace("{view}", &self.statements_view()?);
                self.rows(&sql, rows_max, "pg_read_all_stats")
            }
            AdminList::Errors => {
                Err(lacks("engine_has_no_error_summary", "PostgreSQL keeps no summary of errors"))
            }
            AdminList::HostErrors => {
                Err(lacks("engine_has_no_host_cache", "PostgreSQL keeps no cache of hosts"))
            }
            AdminList::Prepared => Err(lacks(
                "engine_shows_own_session_only",
                "PostgreSQL shows prepared statements to the session that made them only",
            )),
        }
    }

    fn kill(&mut self, process_id: i64, whole_session: bool) -> HarvestResult<()> {
        let gone = || {
            HarvestError::new(HarvestCode::NotFound, format!("session {process_id} does not exist"))
                .with("kind", "process")
                .with("id", process_id.to_string())
        };
        let pid = i32::try_from(process_id).map_err(|_| gone())?;
        let function = if whole_session { "pg_terminate_backend" } else { "pg_cancel_backend" };
        let sql = format!("SELECT {function}(pid) AS done FROM pg_stat_activity WHERE pid = {pid}");
        let rows = self.rows(&sql, 1, "pg_signal_backend")?;
        let done = rows.first().and_then(|row| row.get("done")).and_then(serde_json::Value::as_bool);
        if done == Some(true) { Ok(()) } else { Err(gone()) }
    }

    fn flush(&mut self, cache: AdminCache) -> HarvestResult<()> {
        Err(match cache {
            AdminCache::Query => lacks("engine_has_no_query_cache", "PostgreSQL has no query cache"),
            AdminCache::Host => lacks("engine_has_no_host_cache", "PostgreSQL has no cache of hosts"),
        })
    }
}

const USERS: &str = "SELECT r.rolname AS username, NULL::text AS host, NULL::text AS auth_method, NOT r.rolcanlogin AS locked, \
    r.rolvaliduntil < now() AS password_expired, r.rolsuper AS superuser, \
    coalesce((SELECT json_agg(g.rolname ORDER BY g.rolname) FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid \
    WHERE m.member = r.oid), '[]'::json) AS roles, nullif(r.rolconnlimit, -1) AS max_connections, \
    CASE WHEN isfinite(r.rolvaliduntil) THEN extract(epoch FROM r.rolvaliduntil)::bigint END AS valid_until, \
    NULL::boolean AS tls_required FROM pg_roles r WHERE r.rolname NOT LIKE 'pg\\_%' ORDER BY r.rolname";
const PROCESSES: &str = "SELECT pid AS process_id, coalesce(usename, backend_type) AS \"user\", host(client_addr) AS host, \
    nullif(client_port, -1) AS port, datname AS \"database\", coalesce(state, backend_type) AS command, \
    wait_event_type || ': ' || wait_event AS state, \
    greatest(0, extract(epoch FROM now() - CASE WHEN state LIKE 'idle%' THEN state_change ELSE query_start END) * 1000)::bigint AS time_ms, \
    nullif(query, '') AS info, backend_type <> 'client backend' AS is_system, coalesce(state, '') LIKE 'idle%' AS is_idle, \
    application_name FROM pg_stat_activity ORDER BY time_ms DESC NULLS LAST";
const STATUS: &str = "SELECT k.key AS variable_name, coalesce(k.value, '') AS value, \
    CASE WHEN k.key IN ('numbackends', 'sessions', 'sessions_abandoned', 'sessions_fatal', 'sessions_killed') THEN 'connections' \
    WHEN k.key LIKE 'blks%' OR k.key LIKE 'temp%' THEN 'memory' \
    WHEN k.key LIKE 'tup%' OR k.key LIKE 'xact%' THEN 'queries' \
    WHEN k.key LIKE '%conflict%' OR k.key LIKE '%deadlock%' OR k.key LIKE 'checksum%' THEN 'errors' ELSE 'system' END AS category \
    FROM pg_stat_database d, json_each_text(row_to_json(d)) k \
    WHERE d.datname = current_database() AND k.key NOT IN ('datid', 'datname') \
    UNION ALL SELECT 'bgwriter.' || k.key, coalesce(k.value, ''), 'system' \
    FROM pg_stat_bgwriter b, json_each_text(row_to_json(b)) k";
const STATUS_WAL: &str = "SELECT 'wal.' || k.key AS variable_name, coalesce(k.value, '') AS value, 'system' AS category \
    FROM pg_stat_wal w, json_each_text(row_to_json(w)) k";
const USER_CONNECTIONS: &str = "SELECT a.usename AS username, count(*) AS connections, \
    nullif(max(r.rolconnlimit), -1) AS max_connections FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid \
    WHERE a.backend_type = 'client backend' GROUP BY a.usename";
const POSITION: &str = "SELECT 'lsn' AS position_kind, \
    (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END)::text AS gtid_executed";
const REPLICATION: &str = "SELECT application_name, host(client_addr) AS host, client_port AS port, state, sync_state FROM pg_stat_replication";
const DIGESTS: &str = "SELECT s.queryid::text AS digest, s.query AS digest_text, coalesce(d.datname, '') AS \"database\", \
    coalesce(r.rolname, '') AS username, s.calls AS count_star, 0 AS first_seen, 0 AS last_seen, \
    (s.total_exec_time * 1000)::bigint AS sum_time_us, (s.min_exec_time * 1000)::bigint AS min_time_us, \
    (s.max_exec_time * 1000)::bigint AS max_time_us, 0 AS sum_rows_affected, s.rows AS sum_rows_sent \
    FROM {view} s LEFT JOIN pg_database d ON d.oid = s.dbid LEFT JOIN pg_roles r ON r.oid = s.userid";
const COMMANDS: &str = "SELECT upper(substring(s.query FROM '^\\s*([a-zA-Z]+)')) AS command, sum(s.calls)::bigint AS total_count, \
    sum(s.total_exec_time * 1000)::bigint AS total_time_us FROM {view} s GROUP BY 1";
