//! The drivers that this build has; everything else asks this list.

use std::sync::Arc;

use harvest::Driver;

/// All drivers that the features brought in.
pub(crate) fn all() -> Vec<Arc<dyn Driver>> {
    vec![
        #[cfg(feature = "sqlite")]
        Arc::new(harvest_sqlite::SqliteDriver),
        #[cfg(feature = "mysql")]
        Arc::new(harvest_mysql::MysqlDriver),
        #[cfg(feature = "postgres")]
        Arc::new(harvest_postgres::PostgresDriver),
    ]
}

/// The driver of a URL scheme.
pub(crate) fn by_scheme(scheme: &str) -> Option<Arc<dyn Driver>> {
    all().into_iter().find(|driver| driver.schemes().contains(&scheme))
}

/// The schemes that this build knows, for error messages.
pub(crate) fn schemes() -> String {
    let list: Vec<&str> = all().iter().flat_map(|driver| driver.schemes()).copied().collect();
    list.join(", ")
}
