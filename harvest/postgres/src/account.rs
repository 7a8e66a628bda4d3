//! What the account may do beyond reading; it changes nothing and decides nothing.

use crate::session::Session;
use harvest::{AccountFinding, HarvestResult};

/// Roles whose members reach beyond the rows that were granted.
const DANGEROUS_ROLES: &str = "'pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program', \
     'pg_read_all_data', 'pg_write_all_data', 'pg_signal_backend', 'pg_checkpoint', 'pg_maintain', 'pg_create_subscription'";

pub(crate) fn examine(session: &mut Session) -> HarvestResult<Vec<AccountFinding>> {
    let mut findings = Vec::new();
    let sql = "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls \
               FROM pg_catalog.pg_roles WHERE rolname = current_user";
    let row = session.query_one(sql, &[])?;
    let attributes = [
        ("superuser", "the account is a superuser", true),
        ("createrole", "the account may create roles", true),
        ("createdb", "the account may create databases", false),
        ("replication", "the account may replicate the whole cluster", true),
        ("bypassrls", "the account passes row-level security", true),
    ];
    for (index, (code, text, dangerous)) in attributes.into_iter().enumerate() {
        if row.get::<bool>(index) {
            findings.push(finding(code, text.to_owned(), dangerous));
        }
    }
    if findings.iter().any(|f| f.code == "superuser") {
        // A superuser passes every further check by nature.
        return Ok(findings);
    }
    let sql = format!(
        // A role that has to be taken first counts as well: nothing but the gate keeps the account from SET ROLE.
        "SELECT rolname::text FROM pg_catalog.pg_roles WHERE (rolname IN ({DANGEROUS_ROLES}) OR rolsuper) \
         AND pg_catalog.pg_has_role(current_user, oid, 'MEMBER') ORDER BY 1"
    );
    for row in session.query(&sql, &[])? {
        let role: String = row.get(0);
        findings.push(finding("role_membership", format!("the account is a member of {role}"), true));
    }
    let sql = "SELECT pg_catalog.count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema') \
               AND n.nspname NOT LIKE 'pg\\_t%' \
               AND pg_catalog.has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')";
    let mut writable: i64 = session.query_one(sql, &[])?.get(0);
    if writable == 0 {
        let sql = "SELECT pg_catalog.count(DISTINCT attrelid) FROM pg_catalog.pg_attribute WHERE attacl IS NOT NULL AND attnum > 0 \
                   AND pg_catalog.has_column_privilege(attrelid, attnum, 'INSERT, UPDATE')";
        writable = session.query_one(sql, &[])?.get(0);
    }
    if writable > 0 {
        findings.push(finding("write_grants", format!("the account may write to {writable} tables"), true));
    }
    let sql = "SELECT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')";
    if session.query_one(sql, &[])?.get(0) {
        findings.push(finding(
            "create_schema",
            "the account may create schemas in the database".to_owned(),
            false,
        ));
    }
    Ok(findings)
}

fn finding(code: &str, text: String, dangerous: bool) -> AccountFinding {
    AccountFinding { code: code.to_owned(), text, dangerous }
}
