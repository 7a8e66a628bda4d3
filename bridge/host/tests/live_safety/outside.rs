//! Scratch databases and what an outsider sees of them: rows, objects, sequences, locks, files; it never asks the gateway.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use harvest::{ConnectParams, Driver, Protocol, Secret};
use harvest_gateway::{BackendConfig, Gateway, Settings, StaticDirectory, TargetConfig};
use mysql::prelude::Queryable as _;

/// Files that the lists try to write.
const FILES: &[&str] =
    &["/tmp/a", "/tmp/b", "/tmp/c", "/tmp/d", "/tmp/e", "/tmp/x", "/tmp/copy.db", "/tmp/x.zip", "/tmp/out"];
/// Password of the ordinary roles on the scratch servers; it protects nothing.
const READER_PASSWORD: &str = "reader-of-nothing";

/// A database of a test of its own, with somebody who looks at it from outside.
pub(crate) trait Outside {
    /// Everything that a statement might change, as text to compare.
    fn seen(&mut self) -> String;
    /// Statements with this text that the server runs now.
    fn running(&mut self, marker: &str) -> usize;
    /// Cuts every connection that runs a statement with this text; gives how many.
    fn cut(&mut self, marker: &str) -> usize;
    /// How to connect as the superuser, and as an ordinary reader.
    fn params(&self) -> [(&'static str, ConnectParams); 2];
    /// The driver.
    fn driver(&self) -> Arc<dyn Driver>;
    /// Runs a statement as the superuser on a plain client, without any layer of ours; the outcome is not told.
    fn run_plainly(&mut self, sql: &str);
    /// The name that stands for `shop` in the lists.
    fn schema(&self) -> &str;
}

/// A gateway with the one target `t` over `params`.
pub(crate) fn gateway(
    outside: &dyn Outside,
    params: &ConnectParams,
    connections_max: usize,
    change: impl FnOnce(&mut Settings, &mut TargetConfig),
) -> Arc<Gateway> {
    let driver = outside.driver();
    let mut backend = BackendConfig::new(1, &params.host, params.port);
    backend.connections_max = connections_max;
    let mut settings = Settings::default();
    settings.allow_privileged_backend = true;
    let mut target = TargetConfig::new("t", driver.protocol(), 1);
    target.connect = params.clone();
    target.timeout_ms = 600;
    change(&mut settings, &mut target);
    let gateway = Gateway::new(vec![driver], Arc::new(StaticDirectory::new(vec![backend])), settings);
    gateway.set_targets(vec![target]);
    gateway
}

fn files() -> String {
    let size = |name: &&str| std::fs::metadata(name).map_or(-1, |m| i64::try_from(m.len()).unwrap_or(0));
    format!("{:?}", FILES.iter().map(size).collect::<Vec<_>>())
}

fn url(variable: &str) -> Option<ConnectParams> {
    let Ok(url) = std::env::var(variable) else {
        eprintln!("SKIPPED: {variable} names no server");
        return None;
    };
    Some(ConnectParams::from_url(&url).expect("a URL").1)
}

/// A scratch database of PostgreSQL; dropped at the end.
pub(crate) struct Postgres {
    admin: postgres::Client,
    inside: Option<postgres::Client>,
    params: ConnectParams,
    name: String,
}

impl Postgres {
    pub(crate) fn new(test: &str) -> Option<Self> {
        let mut params = url("PENSTOCK_TEST_POSTGRES_URL")?;
        let name = format!("safety_{test}_{}", std::process::id());
        let mut admin = plain_postgres(&params);
        for sql in [
            format!("DROP DATABASE IF EXISTS {name}"),
            format!("CREATE DATABASE {name}"),
            format!("CREATE ROLE {name} LOGIN PASSWORD '{READER_PASSWORD}'"),
        ] {
            admin.batch_execute(&sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
        }
        params.database.clone_from(&name);
        let mut inside = plain_postgres(&params);
        inside.batch_execute(include_str!("postgres.sql")).expect("the scratch schema");
        inside
            .batch_execute(&format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}"))
            .expect("grants");
        Some(Self { admin, inside: Some(inside), params, name })
    }

    fn one(&mut self, sql: &str) -> String {
        let client = self.inside.as_mut().expect("open until the end");
        client.query_one(sql, &[]).unwrap_or_else(|e| panic!("{sql}: {e}")).get(0)
    }
}

fn plain_postgres(params: &ConnectParams) -> postgres::Client {
    let mut config = postgres::Config::new();
    config.host(&params.host).port(params.port).user(&params.user).dbname(&params.database);
    config.password(params.password.expose()).connect(postgres::NoTls).expect("connects")
}

impl Outside for Postgres {
    fn seen(&mut self) -> String {
        let sql = "SELECT concat_ws(' | ',
            (SELECT md5(string_agg(l::text, ',' ORDER BY id)) FROM ledger l),
            (SELECT md5(string_agg(p::text, ',' ORDER BY id)) FROM person p),
            (SELECT md5(string_agg(e::text, ',')) FROM events e), (SELECT count(*) FROM update_log),
            (SELECT md5(string_agg(concat(relname, relkind, relnatts, relacl), ',' ORDER BY oid))
               FROM pg_class WHERE relnamespace = 'public'::regnamespace),
            (SELECT md5(string_agg(nspname, ',' ORDER BY oid)) FROM pg_namespace WHERE nspname !~ '^pg_t'),
            (SELECT count(*) FROM pg_class WHERE relpersistence = 't'),
            (SELECT md5(string_agg(proname, ',' ORDER BY oid)) FROM pg_proc WHERE oid > 16383),
            (SELECT string_agg(extname, ',' ORDER BY oid) FROM pg_extension),
            (SELECT concat(last_value, is_called) FROM ledger_seq),
            (SELECT count(*) FROM pg_largeobject_metadata), (SELECT count(*) FROM pg_trigger),
            (SELECT count(*) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
               WHERE d.datname = current_database()),
            (SELECT count(*) FROM pg_locks k JOIN pg_database d ON d.oid = k.database
               WHERE d.datname = current_database() AND k.locktype = 'advisory'),
            (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
               AND state <> 'idle' AND backend_type = 'client backend'),
            (SELECT count(*) FROM pg_roles WHERE rolname IN ('x', 'y', 'evil', 'r')),
            (SELECT concat(rolsuper, rolcreatedb) FROM pg_roles WHERE rolname = current_database()),
            (SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()),
            (SELECT setting FROM pg_settings WHERE name = 'work_mem'), pg_is_in_recovery()::text)";
        format!("{} {}", self.one(sql), files())
    }

    fn running(&mut self, marker: &str) -> usize {
        let sql = format!(
            "SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'
             AND pid <> pg_backend_pid() AND query LIKE '%{marker}%'"
        );
        self.one(&sql).parse().expect("a count")
    }

    fn cut(&mut self, marker: &str) -> usize {
        let sql = format!(
            "SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity WHERE datname = current_database()
             AND state = 'active' AND pid <> pg_backend_pid() AND query LIKE '%{marker}%'"
        );
        self.one(&sql).parse().expect("a count")
    }

    fn params(&self) -> [(&'static str, ConnectParams); 2] {
        let mut reader = self.params.clone();
        (reader.user, reader.password) = (self.name.clone(), Secret::new(READER_PASSWORD));
        [("superuser", self.params.clone()), ("reader", reader)]
    }

    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(harvest_postgres::PostgresDriver)
    }

    fn run_plainly(&mut self, sql: &str) {
        let mut client = plain_postgres(&self.params);
        let _ = client.batch_execute("SET statement_timeout = 2000");
        let _ = client.simple_query(sql);
    }

    fn schema(&self) -> &str {
        &self.name
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.inside = None;
        let name = &self.name;
        for sql in
            [format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"), format!("DROP ROLE IF EXISTS {name}")]
        {
            let _ = self.admin.batch_execute(&sql);
        }
    }
}

/// A scratch database of MariaDB; dropped at the end.
pub(crate) struct Mariadb {
    admin: mysql::Conn,
    params: ConnectParams,
    name: String,
}

impl Mariadb {
    pub(crate) fn new(test: &str) -> Option<Self> {
        let mut params = url("PENSTOCK_TEST_MARIADB_URL")?;
        let name = format!("safety_{test}_{}", std::process::id());
        let mut admin = plain_mysql(&params);
        params.database.clone_from(&name);
        let setup = format!(
            "DROP DATABASE IF EXISTS {name};\nCREATE DATABASE {name};\nUSE {name};\n{};\n\
             DROP USER IF EXISTS {name}@'%';\nCREATE USER {name}@'%' IDENTIFIED BY '{READER_PASSWORD}';\n\
             GRANT SELECT, SHOW VIEW ON {name}.* TO {name}@'%'",
            include_str!("mysql.sql")
        );
        for sql in setup.split(";\n").map(str::trim).filter(|sql| !sql.is_empty()) {
            admin.query_drop(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
        }
        Some(Self { admin, params, name })
    }

    fn of_us(&self, marker: &str) -> String {
        format!(
            "FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() AND COMMAND <> 'Sleep'
             AND DB = '{}' AND INFO LIKE '%{marker}%'",
            self.name
        )
    }
}

fn plain_mysql(params: &ConnectParams) -> mysql::Conn {
    let opts = mysql::OptsBuilder::new()
        .ip_or_hostname(Some(params.host.clone()))
        .tcp_port(params.port)
        .user(Some(params.user.clone()))
        .pass(Some(params.password.expose()))
        .db_name(Some(params.database.clone()).filter(|name| !name.is_empty()))
        .prefer_socket(false);
    mysql::Conn::new(opts).expect("connects")
}

impl Outside for Mariadb {
    fn seen(&mut self) -> String {
        let name = &self.name;
        let sql = format!(
            "SELECT CONCAT_WS(' | ',
            (SELECT MD5(GROUP_CONCAT(CONCAT_WS(',', id, person_id, amount, note) ORDER BY id)) FROM ledger),
            (SELECT GROUP_CONCAT(CONCAT_WS(',', id, name) ORDER BY id) FROM person),
            (SELECT COUNT(*) FROM events), (SELECT COUNT(*) FROM update_log), (SELECT next_not_cached_value FROM s),
            (SELECT GROUP_CONCAT(CONCAT(TABLE_NAME, TABLE_TYPE) ORDER BY TABLE_NAME) FROM information_schema.TABLES
               WHERE TABLE_SCHEMA = '{name}'),
            (SELECT GROUP_CONCAT(CONCAT(TABLE_NAME, COLUMN_NAME, COLUMN_TYPE) ORDER BY 1)
               FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = '{name}'),
            (SELECT GROUP_CONCAT(ROUTINE_NAME ORDER BY 1) FROM information_schema.ROUTINES
               WHERE ROUTINE_SCHEMA = '{name}'),
            (SELECT GROUP_CONCAT(User, Priv ORDER BY User) FROM mysql.global_priv WHERE User IN ('x', 'root', '{name}')),
            (SELECT COUNT(*) FROM mysql.servers), (SELECT COUNT(*) FROM mysql.plugin), @@GLOBAL.read_only, @@GLOBAL.sql_mode,
            @@GLOBAL.general_log, @@GLOBAL.event_scheduler, @@GLOBAL.max_statement_time, IFNULL(IS_USED_LOCK('x'), 'free'),
            (SELECT COUNT(*) FROM information_schema.INNODB_TRX t JOIN information_schema.PROCESSLIST p
               ON p.ID = t.trx_mysql_thread_id WHERE p.DB = '{name}'))"
        );
        // InnoDB answers from a list of transactions that may be a tenth of a second old: a transaction that has just ended
        // is looked at again, one that stays open shows up in the end.
        let open = format!(
            "SELECT COUNT(*) FROM information_schema.INNODB_TRX t JOIN information_schema.PROCESSLIST p
             ON p.ID = t.trx_mysql_thread_id WHERE p.DB = '{name}'"
        );
        for _ in 0..20 {
            let count: Option<u64> = self.admin.query_first(&open).unwrap_or_else(|e| panic!("{e}"));
            if count == Some(0) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(150));
        }
        let seen: Option<String> = self.admin.query_first(&sql).unwrap_or_else(|e| panic!("{e}"));
        format!("{seen:?} {}", files())
    }

    fn running(&mut self, marker: &str) -> usize {
        let sql = format!("SELECT COUNT(*) {}", self.of_us(marker));
        self.admin.query_first(sql).expect("the process list").unwrap_or_default()
    }

    fn cut(&mut self, marker: &str) -> usize {
        let sql = format!("SELECT ID {}", self.of_us(marker));
        let ids: Vec<u64> = self.admin.query(sql).expect("the process list");
        for id in &ids {
            self.admin.query_drop(format!("KILL CONNECTION {id}")).expect("kills");
        }
        ids.len()
    }

    fn params(&self) -> [(&'static str, ConnectParams); 2] {
        let mut reader = self.params.clone();
        (reader.user, reader.password) = (self.name.clone(), Secret::new(READER_PASSWORD));
        [("superuser", self.params.clone()), ("reader", reader)]
    }

    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(harvest_mysql::MysqlDriver)
    }

    fn run_plainly(&mut self, sql: &str) {
        let mut conn = plain_mysql(&self.params);
        let _ = conn.query_drop("SET SESSION max_statement_time = 2");
        let _ = conn.query_drop(sql);
    }

    fn schema(&self) -> &str {
        &self.name
    }
}

impl Drop for Mariadb {
    fn drop(&mut self) {
        let name = &self.name;
        for sql in [format!("DROP DATABASE IF EXISTS {name}"), format!("DROP USER IF EXISTS {name}@'%'")] {
            let _ = self.admin.query_drop(sql);
        }
    }
}

/// A scratch file of SQLite in a folder of its own.
pub(crate) struct Sqlite {
    folder: tempfile::TempDir,
    path: PathBuf,
}

impl Sqlite {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("shop.db");
        let file = rusqlite::Connection::open(&path).expect("a file");
        file.execute_batch(include_str!("sqlite.sql")).expect("the scratch schema");
        Self { folder, path }
    }

    fn listing(folder: &Path) -> Vec<(String, Vec<u8>)> {
        let mut all: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry"))
            .map(|e| {
                (e.file_name().to_string_lossy().into_owned(), std::fs::read(e.path()).unwrap_or_default())
            })
            .collect();
        all.sort();
        all
    }
}

impl Outside for Sqlite {
    fn seen(&mut self) -> String {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        let mut hasher = DefaultHasher::new();
        Self::listing(self.folder.path()).hash(&mut hasher);
        format!("{} {}", hasher.finish(), files())
    }

    fn running(&mut self, _: &str) -> usize {
        0
    }

    fn cut(&mut self, _: &str) -> usize {
        0
    }

    fn params(&self) -> [(&'static str, ConnectParams); 2] {
        let params = ConnectParams::new(self.path.display().to_string());
        [("owner", params.clone()), ("reader", params)]
    }

    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(harvest_sqlite::SqliteDriver)
    }

    fn run_plainly(&mut self, sql: &str) {
        if let Ok(file) = rusqlite::Connection::open(&self.path) {
            let _ = file.execute_batch(sql);
        }
    }

    fn schema(&self) -> &str {
        "main"
    }
}

/// How an engine is called in counts.
pub(crate) fn engine(outside: &dyn Outside) -> &'static str {
    match outside.driver().protocol() {
        Protocol::Pgsql => "postgresql",
        Protocol::Mysql => "mariadb",
        Protocol::Sqlite => "sqlite",
    }
}
