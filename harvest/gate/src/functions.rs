//! Functions that may be called, per engine; the lists are text files with their provenance.

use std::collections::HashSet;
use std::sync::LazyLock;

use harvest::{DialectName, GatePolicy};

type Names = LazyLock<HashSet<&'static str>>;

fn names(text: &'static str) -> HashSet<&'static str> {
    text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).collect()
}

static POSTGRES: Names = LazyLock::new(|| names(include_str!("../functions/postgres.txt")));
static POSTGRES_EXTENSIONS: Names =
    LazyLock::new(|| names(include_str!("../functions/postgres_extensions.txt")));
static POSTGRES_REFUSED: Names = LazyLock::new(|| names(include_str!("../functions/postgres_refused.txt")));
static POSTGRES_OPERATORS: Names =
    LazyLock::new(|| names(include_str!("../functions/postgres_operators.txt")));
static MYSQL: Names = LazyLock::new(|| names(include_str!("../functions/mysql.txt")));
static SQLITE: Names = LazyLock::new(|| names(include_str!("../functions/sqlite.txt")));

/// Schemas in which extensions are usually installed.
const EXTENSION_SCHEMAS: &[&str] = &["public", "extensions", "postgis", "pg_catalog", "tiger", "topology"];

/// Whether a function may be called; `name` as the engine would resolve it.
#[must_use]
pub fn is_allowed_function(
    dialect: DialectName,
    schema: Option<&str>,
    name: &str,
    policy: &GatePolicy,
) -> bool {
    let by_policy = policy.allowed_functions.iter().any(|entry| match (entry.rsplit_once('.'), schema) {
        (Some((of, function)), Some(schema)) => of.eq_ignore_ascii_case(schema) && function == name,
        // A plain name may mean a built-in function, which an entry with a schema does not allow.
        (Some((_, function)), None) => function == name && !is_refused_attribute(dialect, name),
        (None, _) => entry == name,
    });
    if by_policy {
        return true;
    }
    match dialect {
        DialectName::Postgresql => match schema {
            None => POSTGRES.contains(name) || POSTGRES_EXTENSIONS.contains(name),
            Some("pg_catalog") => POSTGRES.contains(name),
            Some(schema) => EXTENSION_SCHEMAS.contains(&schema) && POSTGRES_EXTENSIONS.contains(name),
        },
        DialectName::Mysql | DialectName::Mariadb => schema.is_none() && MYSQL.contains(name),
        DialectName::Sqlite => schema.is_none() && SQLITE.contains(name),
    }
}

/// The remedy that goes with the refusal of a function.
#[must_use]
pub fn refusal_of_function(name: &str) -> String {
    let because = match name {
        n if n.contains("sleep") || n == "benchmark" => "it stalls the server; leave it out",
        n if n.contains("lock") => "it takes locks; leave it out",
        n if n.contains("file") || n.starts_with("lo_") || n.contains("_ls_") || n.contains("load") => {
            "it reaches files; read tables instead"
        }
        n if n.contains("xml") || n.contains("dblink") || n.starts_with("ts_stat") => {
            "it runs SQL from text; write that SQL as a sub-query"
        }
        n if n.contains("nextval") || n.contains("setval") || n.contains("currval") => {
            "a reader cannot use sequences; read the table instead"
        }
        "set_config" | "current_setting" => "settings are not to be read or changed",
        _ => {
            "it is not on the list of reading built-in functions; use another, or have the operator name it in \
             mcp-sql_allowed_functions"
        }
    };
    because.to_owned()
}

/// Whether attribute notation (`value.name`) could call a built-in function that is refused.
pub(crate) fn is_refused_attribute(dialect: DialectName, name: &str) -> bool {
    match dialect {
        DialectName::Postgresql => {
            POSTGRES_REFUSED.contains(name)
                || ["dblink", "pg_file_", "lo_", "pg_stat_statements_reset", "pg_prewarm"]
                    .iter()
                    .any(|p| name.starts_with(p))
        }
        DialectName::Mysql | DialectName::Mariadb => {
            ["nextval", "currval", "lastval", "setval"].iter().any(|s| name.eq_ignore_ascii_case(s))
        }
        DialectName::Sqlite => false,
    }
}

/// Whether an operator of PostgreSQL is a built-in one or of a known extension.
pub(crate) fn is_known_operator(operator: &str) -> bool {
    POSTGRES_OPERATORS.contains(operator)
}
