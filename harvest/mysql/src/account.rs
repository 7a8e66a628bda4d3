//! What the account may do beyond reading; it changes nothing and decides nothing.

use harvest::{AccountFinding, HarvestResult};

use crate::metadata::text;
use crate::session::Session;

/// Global privileges that reach beyond reading rows, with whether an account that has one is refused by default.
const GLOBAL: &[(&str, &str, bool)] = &[
    ("ALL PRIVILEGES", "all_privileges", true),
    ("SUPER", "super", true),
    ("FILE", "file_privilege", true),
    ("SHUTDOWN", "shutdown", true),
    ("CREATE USER", "create_user", true),
    ("GRANT OPTION", "grant_option", true),
    ("RELOAD", "reload", true),
    ("REPLICATION SLAVE", "replication", true),
    ("PROCESS", "process", false),
];
const WRITES: &[&str] = &[
    "INSERT",
    "UPDATE",
    "DELETE",
    "DELETE HISTORY",
    "DROP",
    "CREATE",
    "CREATE VIEW",
    "CREATE ROUTINE",
    "ALTER",
    "ALTER ROUTINE",
    "INDEX",
    "TRIGGER",
    "EVENT",
    "EXECUTE",
    "LOCK TABLES",
];

pub(crate) fn examine(session: &mut Session) -> HarvestResult<Vec<AccountFinding>> {
    let rows = session.query("SHOW GRANTS", usize::MAX)?;
    let grants: Vec<String> = rows.into_iter().map(|mut row| text(&mut row, 0)).collect();
    Ok(findings(&grants))
}

fn findings(grants: &[String]) -> Vec<AccountFinding> {
    let mut found: Vec<AccountFinding> = Vec::new();
    let mut add = |code: &str, text: String, dangerous: bool| {
        if !found.iter().any(|f| f.code == code) {
            found.push(AccountFinding { code: code.to_owned(), text, dangerous });
        }
    };
    for grant in grants {
        let upper = grant.to_uppercase();
        let Some((privileges, rest)) = upper.strip_prefix("GRANT ").and_then(|g| g.split_once(" ON ")) else {
            add("role_membership", "the account holds roles, whose privileges it may take".to_owned(), false);
            continue;
        };
        let list: Vec<&str> = privileges.split(',').map(str::trim).collect();
        let global = rest.starts_with("*.*");
        for (name, code, dangerous) in GLOBAL {
            let held =
                list.contains(name) || (*name == "GRANT OPTION" && upper.contains("WITH GRANT OPTION"));
            if held && (global || *name == "ALL PRIVILEGES") {
                add(code, format!("the account holds {name}"), *dangerous);
            }
        }
        // MariaDB's split-up privileges and MySQL's dynamic ones: BINLOG ADMIN, SYSTEM_VARIABLES_ADMIN and kin.
        let admin = |p: &&&str| p.ends_with(" ADMIN") || p.ends_with("_ADMIN") || **p == "SET USER";
        if let Some(privilege) = list.iter().find(admin) {
            add("admin_privilege", format!("the account holds {privilege}"), true);
        }
        // A privilege on columns is written with their list.
        let held = |w: &&&str| {
            list.iter().any(|p| p == *w || p.strip_prefix(**w).is_some_and(|r| r.starts_with(" (")))
        };
        if let Some(write) = WRITES.iter().find(held) {
            add("write_grants", format!("the account may write: it holds {write}"), true);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(grants: &[&str]) -> Vec<String> {
        findings(&grants.iter().map(|g| (*g).to_owned()).collect::<Vec<_>>())
            .into_iter()
            .map(|f| f.code)
            .collect()
    }

    #[test]
    fn grants_are_read_for_what_they_allow() {
        assert_eq!(codes(&["GRANT USAGE ON *.* TO `r`@`%`", "GRANT SELECT ON `shop`.* TO `r`@`%`"]), [""; 0]);
        assert_eq!(codes(&["GRANT SELECT, FILE ON *.* TO `r`@`%`"]), ["file_privilege"]);
        assert_eq!(
            codes(&["GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION"]),
            ["all_privileges", "grant_option"]
        );
        assert_eq!(codes(&["GRANT SELECT, INSERT, DROP ON `shop`.`t` TO `r`@`%`"]), ["write_grants"]);
        assert_eq!(codes(&["GRANT `reporting` TO `r`@`%`"]), ["role_membership"]);
        assert_eq!(
            codes(&["GRANT SELECT (`id`), UPDATE (`id`, `a`) ON `shop`.`t` TO `r`@`%`"]),
            ["write_grants"]
        );
        assert_eq!(codes(&["GRANT SELECT, BINLOG ADMIN ON *.* TO `r`@`%`"]), ["admin_privilege"]);
        assert_eq!(codes(&["GRANT ALL PRIVILEGES ON `shop`.* TO `r`@`%`"]), ["all_privileges"]);
    }
}
