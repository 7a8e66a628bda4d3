//! Tables and views that hold secrets, per engine and by policy; it does not know functions.

use harvest::{CheckedStatement, DialectName, GatePolicy, HarvestError, HarvestResult};

/// System relations of PostgreSQL with hashes, connection strings, paths or raw file content.
const POSTGRES: &[&str] = &[
    "_pg_user_mappings",
    "pg_authid",
    "pg_config",
    "pg_file_settings",
    "pg_hba_file_rules",
    "pg_ident_file_mappings",
    "pg_largeobject",
    "pg_shadow",
    "pg_stat_wal_receiver",
    "pg_subscription",
    "pg_user_mapping",
    "pg_user_mappings",
    "user_mapping_options",
];

/// Tables of the `mysql` schema without secrets; all others are refused.
const MYSQL_HARMLESS: &[&str] = &[
    "column_stats",
    "engine_cost",
    "help_category",
    "help_keyword",
    "help_relation",
    "help_topic",
    "index_stats",
    "innodb_index_stats",
    "innodb_table_stats",
    "server_cost",
    "table_stats",
    "time_zone",
    "time_zone_leap_second",
    "time_zone_name",
    "time_zone_transition",
    "time_zone_transition_type",
];

/// Tables of `performance_schema` with keys, variables or the text of other sessions' statements.
const MYSQL_PERFORMANCE: &[&str] = &[
    "global_variables",
    "keyring_keys",
    "persisted_variables",
    "session_variables",
    "user_variables_by_thread",
    "variables_by_thread",
    "variables_info",
    "session_connect_attrs",
    "replication_connection_configuration",
];

/// Virtual tables of SQLite that show raw pages, statements or files.
const SQLITE: &[&str] = &[
    "bytecode",
    "completion",
    "csv",
    "fsdir",
    "sqlite_btreeinfo",
    "sqlite_dbpage",
    "sqlite_memstat",
    "sqlite_stmt",
    "tables_used",
    "zipfile",
];

/// Whether a relation is refused, by the engine's list or by policy. Names compare in any case.
#[must_use]
pub fn is_denied_object(dialect: DialectName, schema: Option<&str>, name: &str, policy: &GatePolicy) -> bool {
    let name = name.to_lowercase();
    let schema = schema.map(str::to_lowercase);
    let (name, schema) = (name.as_str(), schema.as_deref());
    let listed = match dialect {
        DialectName::Postgresql => {
            matches!(schema, None | Some("pg_catalog" | "information_schema")) && POSTGRES.contains(&name)
        }
        DialectName::Mysql | DialectName::Mariadb => match schema {
            Some("mysql") => !MYSQL_HARMLESS.contains(&name),
            Some("performance_schema") => MYSQL_PERFORMANCE.contains(&name),
            _ => false,
        },
        DialectName::Sqlite => SQLITE.contains(&name),
    };
    listed
        || policy.denied_objects.iter().any(|entry| match entry.rsplit_once('.') {
            Some((of, denied)) => {
                let implied = schema.is_none() && (of == "pg_catalog" || dialect == DialectName::Sqlite);
                // A pattern that means every schema means the unnamed one too.
                glob(denied, name) && (implied || glob(of, schema.unwrap_or_default()))
            }
            None => glob(entry, name),
        })
}

/// Whether a whole name fits a pattern in which `*` is any text and `?` any character. Both are in lower case.
fn glob(pattern: &str, name: &str) -> bool {
    if !pattern.contains(['*', '?']) {
        return pattern == name;
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut of, mut back) = (0, 0, None);
    while at < name.len() {
        match pattern.get(of) {
            Some('*') => {
                back = Some((of, at));
                of += 1;
                continue;
            }
            Some(c) if *c == '?' || *c == name[at] => {
                (at, of) = (at + 1, of + 1);
                continue;
            }
            _ => {}
        }
        let Some((star, from)) = back else { return false };
        back = Some((star, from + 1));
        (of, at) = (star + 1, from + 1);
    }
    pattern[of..].iter().all(|c| *c == '*')
}

/// Refuses a passed statement whose unqualified names mean denied objects under the default schema of the call.
///
/// The gate does not know the default schema, so whoever sets it asks this first.
///
/// # Errors
/// `PERMISSION_DENIED` naming the object.
pub fn check_default_schema(
    dialect: DialectName,
    statement: &CheckedStatement,
    schema: &str,
    policy: &GatePolicy,
) -> HarvestResult<()> {
    let denied = statement
        .tables
        .iter()
        .filter(|t| t.schema.is_none())
        .find(|t| is_denied_object(dialect, Some(schema), &t.name, policy));
    match denied {
        Some(table) => Err(denial(&table.name)),
        None => Ok(()),
    }
}

/// The refusal of a relation.
pub(crate) fn denial(name: &str) -> HarvestError {
    HarvestError::gate(format!("the object {name}"), "it holds secrets or settings; read other tables")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denied_objects_are_names_or_patterns() {
        let mut policy = GatePolicy::default();
        policy.denied_objects = ["payroll", "hr.*", "*.secret_?", "vault*.key*"].map(str::to_owned).to_vec();
        let denied = |schema: Option<&str>, name: &str| {
            is_denied_object(DialectName::Postgresql, schema, name, &policy)
        };
        for (schema, name) in [
            (None, "Payroll"),
            (Some("x"), "payroll"),
            (Some("HR"), "people"),
            (Some("a"), "secret_1"),
            (None, "secret_2"),
            (Some("vault_eu"), "keys"),
        ] {
            assert!(denied(schema, name), "{schema:?}.{name}");
        }
        for (schema, name) in
            [(None, "payrolls"), (Some("hrx"), "people"), (Some("a"), "secret_12"), (None, "keys")]
        {
            assert!(!denied(schema, name), "{schema:?}.{name}");
        }
    }
}
