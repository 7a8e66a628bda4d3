//! Which database stands behind which wire, from the URLs of the command line; it connects to nothing.

use std::path::PathBuf;
use std::sync::Arc;

use harvest::{ConnectParams, Protocol, TlsMode};

/// Behind the MySQL wire.
#[derive(Debug, Clone)]
pub(crate) enum MysqlBackend {
    Server(Arc<ConnectParams>),
    File(PathBuf),
}

/// Behind the PostgreSQL wire.
#[derive(Debug, Clone)]
pub(crate) enum PgBackend {
    Server(Arc<ConnectParams>),
    File(PathBuf),
}

/// All backends.
#[derive(Debug, Clone, Default)]
pub(crate) struct Backends {
    pub(crate) mysql: Option<MysqlBackend>,
    pub(crate) pg: Option<PgBackend>,
    /// Name, URL and protocol of each, for MCP targets.
    pub(crate) targets: Vec<(String, String, Protocol)>,
}

impl Backends {
    /// Reads the URLs. Messages never repeat one, because it may hold a password.
    pub(crate) fn parse(urls: &[String]) -> Result<Self, String> {
        let mut all = Self::default();
        let mut file = None;
        for url in urls {
            let (scheme, params) =
                ConnectParams::from_url(url).map_err(|e| format!("--backend: {}", e.message))?;
            let (name, protocol) = match scheme.as_str() {
                "mysql" | "mariadb" => {
                    plain(&params)?;
                    let taken = all.mysql.replace(MysqlBackend::Server(Arc::new(params))).is_some();
                    once(taken, "mysql")?;
                    ("mysql", Protocol::Mysql)
                }
                "postgres" | "postgresql" | "pgsql" => {
                    plain(&params)?;
                    let taken = all.pg.replace(PgBackend::Server(Arc::new(params))).is_some();
                    once(taken, "postgres")?;
                    ("postgres", Protocol::Pgsql)
                }
                "sqlite" => {
                    let path = std::fs::canonicalize(&params.host)
                        .map_err(|e| format!("--backend: the SQLite file cannot be opened: {e}"))?;
                    once(file.replace(path).is_some(), "sqlite")?;
                    ("sqlite", Protocol::Sqlite)
                }
                _ => return Err("--backend: mysql, postgres and sqlite are known".to_owned()),
            };
            all.targets.push((name.to_owned(), url.clone(), protocol));
        }
        if let Some(file) = file {
            all.mysql.get_or_insert(MysqlBackend::File(file.clone()));
            all.pg.get_or_insert(PgBackend::File(file));
        }
        Ok(all)
    }
}

fn once(taken: bool, scheme: &str) -> Result<(), String> {
    if taken { Err(format!("--backend: only one {scheme} backend is served")) } else { Ok(()) }
}

fn plain(params: &ConnectParams) -> Result<(), String> {
    if matches!(params.tls, TlsMode::Disabled | TlsMode::Preferred) {
        return Ok(());
    }
    Err("--backend: the data path of this example has no TLS towards backends; take ssl_mode away".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_find_their_wire_and_faults_hide_passwords() {
        let parse =
            |urls: &[&str]| Backends::parse(&urls.iter().map(|u| (*u).to_owned()).collect::<Vec<_>>());
        let all = parse(&["mysql://root@127.0.0.1:1/", "postgres://p@127.0.0.1:2/d"]).expect("reads");
        assert!(
            matches!(all.mysql, Some(MysqlBackend::Server(_)))
                && matches!(all.pg, Some(PgBackend::Server(_)))
        );
        for bad in [
            &["oracle://u:hunter2@h/x"][..],
            &["mysql://u:hunter2@h/", "mysql://u@h/"],
            &["mysql://u:hunter2@h/?ssl_mode=verify_ca"],
            &["sqlite:/nowhere/at/all.db"],
        ] {
            let error = parse(bad).expect_err("refused");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
