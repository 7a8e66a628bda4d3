//! Scratch databases of three engines, filled by plain clients; it harvests nothing and compares nothing.

use std::path::Path;

use harvest::ConnectParams;
use mysql::prelude::Queryable as _;

/// One scratch database; dropped at the end.
pub(crate) enum Engine {
    Postgres {
        admin: Box<postgres::Client>,
        inside: Option<Box<postgres::Client>>,
        url: String,
        name: String,
    },
    Mariadb {
        admin: mysql::Conn,
        url: String,
        name: String,
    },
    Sqlite {
        path: String,
    },
}

fn server(variable: &str) -> Option<(String, ConnectParams)> {
    let Ok(url) = std::env::var(variable) else {
        eprintln!("SKIPPED: {variable} names no server");
        return None;
    };
    let params = ConnectParams::from_url(&url).expect("a URL").1;
    Some((url, params))
}

/// The URL of another database of the same server.
fn url_of(url: &str, name: &str) -> String {
    let (scheme, rest) = url.split_once("://").expect("a URL");
    format!("{scheme}://{}/{name}", rest.split('/').next().expect("a server"))
}

impl Engine {
    pub(crate) fn postgres(test: &str) -> Option<Self> {
        let (url, params) = server("PENSTOCK_TEST_POSTGRES_URL")?;
        let name = format!("catalog_{test}_{}", std::process::id());
        let open = |database: &str| {
            let mut config = postgres::Config::new();
            config.host(&params.host).port(params.port).user(&params.user).dbname(database);
            Box::new(config.password(params.password.expose()).connect(postgres::NoTls).expect("connects"))
        };
        let mut admin = open(&params.database);
        admin.batch_execute(&format!("CREATE DATABASE {name}")).expect("a scratch database");
        let inside = Some(open(&name));
        Some(Self::Postgres { admin, inside, url: url_of(&url, &name), name })
    }

    pub(crate) fn mariadb(test: &str) -> Option<Self> {
        let (url, params) = server("PENSTOCK_TEST_MARIADB_URL")?;
        let name = format!("catalog_{test}_{}", std::process::id());
        let opts = mysql::OptsBuilder::new()
            .ip_or_hostname(Some(params.host.clone()))
            .tcp_port(params.port)
            .user(Some(params.user.clone()))
            .pass(Some(params.password.expose()))
            .prefer_socket(false);
        let mut admin = mysql::Conn::new(opts).expect("connects");
        let setup = [
            format!("CREATE DATABASE {name}"),
            format!("USE {name}"),
            "SET SESSION sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES')".to_owned(),
        ];
        setup.iter().for_each(|sql| admin.query_drop(sql).expect("a scratch database"));
        Some(Self::Mariadb { admin, url: url_of(&url, &name), name })
    }

    pub(crate) fn sqlite(folder: &Path) -> Self {
        Self::Sqlite { path: folder.join("scratch.db").display().to_string() }
    }

    pub(crate) fn execute(&mut self, sql: &str) {
        let done = match self {
            Self::Postgres { inside, .. } => {
                inside.as_mut().expect("open until the end").batch_execute(sql).map_err(|e| format!("{e:?}"))
            }
            Self::Mariadb { admin, .. } => admin.query_drop(sql).map_err(|e| e.to_string()),
            Self::Sqlite { path } => rusqlite::Connection::open(&*path)
                .and_then(|file| file.execute_batch(sql))
                .map_err(|e| e.to_string()),
        };
        done.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }

    /// Rows of text, without the parts that are tested.
    pub(crate) fn rows(&mut self, sql: &str) -> Vec<Vec<String>> {
        match self {
            Self::Postgres { inside, .. } => {
                let rows = inside.as_mut().expect("open until the end").query(sql, &[]).expect(sql);
                rows.iter().map(|row| (0..row.len()).map(|at| row.get(at)).collect()).collect()
            }
            Self::Mariadb { admin, .. } => {
                let rows: Vec<mysql::Row> = admin.query(sql).expect(sql);
                let cells = |row: mysql::Row| row.unwrap().into_iter().map(mysql::from_value).collect();
                rows.into_iter().map(cells).collect()
            }
            Self::Sqlite { .. } => panic!("SQLite has no information_schema"),
        }
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Postgres { url, .. } | Self::Mariadb { url, .. } => url.clone(),
            Self::Sqlite { path } => format!("sqlite:{path}"),
        }
    }

    pub(crate) fn schema(&self) -> &str {
        match self {
            Self::Postgres { .. } => "public",
            Self::Mariadb { name, .. } => name,
            Self::Sqlite { .. } => "main",
        }
    }

    /// What a point in time is called.
    pub(crate) fn moment(&self) -> &'static str {
        match self {
            Self::Postgres { .. } => "timestamp",
            _ => "datetime",
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        match self {
            Self::Postgres { admin, inside, name, .. } => {
                *inside = None;
                let _ = admin.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
            }
            Self::Mariadb { admin, name, .. } => {
                let _ = admin.query_drop(format!("DROP DATABASE IF EXISTS {name}"));
            }
            Self::Sqlite { .. } => {}
        }
    }
}
