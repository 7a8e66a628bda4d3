//! Ways to leak one column, and a judge of them; which engine runs them is the business of the tests.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a panic is how a test fails")]

use std::sync::Arc;

use harvest::{ConnectParams, Driver, ExplainOptions, HarvestCode, HarvestResult, Protocol};
use harvest_gateway::{
    BackendConfig, CallScope, ColumnAction, ColumnRule, Gateway, Settings, StatementOutcome,
    StatementRequest, StaticDirectory, TargetConfig,
};

/// The value that must not come out.
pub(crate) const SECRET: &str = "planted-4711@secret.test";

/// Leaks that every engine runs.
pub(crate) const LEAKS: &[&str] = &[
    // Aliases, spelling, expressions.
    "SELECT email AS id FROM users ORDER BY id",
    "SELECT EMAIL || '' FROM users",
    "SELECT upper(Email) FROM users",
    "SELECT substr(users.email, 1, 30) FROM users",
    "SELECT replace(u.email, 'x', 'x') FROM users AS u",
    "SELECT coalesce(email, 'none') FROM users",
    "SELECT nullif(email, '') FROM users",
    "SELECT concat(email, '') FROM users",
    "SELECT CAST(email AS char(40)) FROM users",
    "SELECT (email) FROM users",
    "SELECT email /* id */ || 'x' FROM users",
    "SELECT CASE WHEN id = 1 THEN email ELSE name END FROM users",
    "SELECT length(email) FROM users",
    "SELECT 1 + length(email) * 2 FROM users",
    // Probes.
    "SELECT id FROM users WHERE email LIKE 'planted%'",
    "SELECT id FROM users WHERE email > 'p'",
    "SELECT id FROM users WHERE email IN ('planted-4711@secret.test')",
    "SELECT CASE WHEN email LIKE 'p%' THEN 1 ELSE 0 END FROM users",
    "SELECT count(*) FROM users WHERE substr(email, 1, 1) = 'p'",
    "SELECT * FROM users WHERE email LIKE 'p%'",
    "SELECT id FROM users ORDER BY email",
    "SELECT id, email FROM users ORDER BY 2",
    "SELECT id FROM users ORDER BY length(email), id",
    "SELECT email FROM users ORDER BY email",
    "SELECT count(*) FROM users GROUP BY email",
    "SELECT count(*) FROM users GROUP BY id HAVING min(email) > 'a'",
    "SELECT id FROM orders o WHERE EXISTS (SELECT 1 FROM users u WHERE u.id = o.user_id AND u.email > 'p')",
    "SELECT o.id FROM orders o JOIN users u ON u.id = o.user_id AND u.email LIKE 'p%'",
    "SELECT a.id FROM users a JOIN users b ON a.email = b.email",
    "SELECT o.id FROM users u JOIN mails o USING (email)",
    "SELECT o.id FROM users u NATURAL JOIN mails o",
    // Aggregates, windows, sets.
    "SELECT max(email) FROM users",
    "SELECT count(DISTINCT email) FROM users",
    "SELECT DISTINCT email FROM users",
    "SELECT first_value(email) OVER (ORDER BY id) FROM users",
    "SELECT row_number() OVER (PARTITION BY email ORDER BY id) FROM users",
    "SELECT lag(email) OVER w FROM users WINDOW w AS (ORDER BY id)",
    "SELECT name FROM users UNION SELECT email FROM users",
    "SELECT email FROM users UNION ALL SELECT name FROM users",
    "SELECT id, note FROM orders UNION ALL SELECT * FROM mails UNION ALL SELECT id, email FROM users",
    // Subqueries, common table expressions, wildcards.
    "SELECT (SELECT email FROM users WHERE id = 1)",
    "SELECT x FROM (SELECT email AS x FROM users) AS t",
    "SELECT t.email FROM (SELECT * FROM users) AS t",
    "SELECT * FROM (SELECT * FROM users) AS t",
    "SELECT * FROM (SELECT * FROM (SELECT u.* FROM users u) AS a) AS b",
    "WITH c AS (SELECT email FROM users) SELECT * FROM c",
    "WITH c(x) AS (SELECT email FROM users) SELECT x FROM c",
    "WITH c(a, b, d, e, f) AS (SELECT * FROM users) SELECT d FROM c",
    "WITH RECURSIVE c(n, x) AS (SELECT 1, email FROM users UNION ALL SELECT n + 1, x FROM c WHERE n < 2) SELECT x FROM c",
    "WITH orders AS (SELECT * FROM users) SELECT * FROM orders",
    "SELECT u.*, o.total FROM users u JOIN orders o ON o.user_id = u.id",
    "SELECT * FROM users u JOIN orders o ON o.user_id = u.id",
    "SELECT users.*, id FROM users",
    "SELECT email, users.* FROM users",
    "SELECT email, id FROM users ORDER BY 1",
    "SELECT email AS score, id FROM users ORDER BY score",
    "SELECT id FROM users WHERE (id, email) > (0, 'p')",
    "SELECT o.*, u.email || '' FROM orders o JOIN users u ON u.id = o.user_id",
    "SELECT id FROM orders WHERE note = (SELECT min(email) FROM users)",
    "SELECT id FROM orders WHERE note NOT IN (SELECT email FROM users)",
    // Views.
    "SELECT * FROM everyone",
    "SELECT id FROM everyone",
    "SELECT contact FROM mailing",
    "SELECT contact FROM mailing_again",
    "SELECT name FROM planted",
    // Columns made from the column.
    "SELECT copied FROM users",
];

/// Statements that show the column only as the action allows.
pub(crate) const SHOWN: &[&str] = &[
    "SELECT email FROM users",
    "SELECT id, u.email AS contact FROM users u ORDER BY id",
    "SELECT u.EMAIL, o.total FROM orders o JOIN users u ON u.id = o.user_id WHERE o.total > 1 LIMIT 5",
    "WITH big AS (SELECT user_id FROM orders WHERE total > 1) SELECT u.id, u.email FROM users u JOIN big ON big.user_id = u.id",
    "SELECT email FROM (SELECT 1 AS one) AS t, users",
];

/// Statements that have nothing to do with the column, or only with its table.
pub(crate) const CLEAN: &[&str] = &[
    "SELECT id, name FROM users",
    "SELECT u.id FROM users u WHERE u.name LIKE 'A%' ORDER BY u.id",
    "SELECT count(*) FROM users",
    "SELECT count(*), max(score) FROM users GROUP BY name HAVING count(*) > 0 ORDER BY 1",
    "SELECT * FROM orders",
    "SELECT o.* FROM orders o JOIN users u ON u.id = o.user_id",
    "SELECT * FROM (SELECT id, name FROM users) AS t",
    "WITH c AS (SELECT id, name FROM users) SELECT * FROM c JOIN orders o ON o.user_id = c.id",
    "SELECT * FROM safe_users",
    "SELECT s.name FROM safe_users s JOIN orders o ON o.user_id = s.id",
    "SELECT email FROM mails",
    "SELECT id FROM orders WHERE user_id IN (SELECT id FROM users WHERE score > 1)",
    "SELECT id FROM orders o WHERE EXISTS (SELECT 1 FROM users u WHERE u.id = o.user_id)",
    "SELECT 'email' AS word, id FROM orders",
    "SELECT sum(total) OVER (PARTITION BY user_id ORDER BY id) FROM orders",
    "SELECT id FROM users UNION SELECT id FROM orders",
    "SELECT 1",
    "EXPLAIN SELECT id FROM users WHERE name = 'Ann'",
];

/// A gateway over one real server with these rules.
pub(crate) fn gateway(
    driver: Arc<dyn Driver>,
    protocol: Protocol,
    connect: &ConnectParams,
    rules: Vec<ColumnRule>,
) -> Arc<Gateway> {
    let backend = BackendConfig::new(1, connect.host.clone(), connect.port);
    let mut settings = Settings::default();
    settings.allow_privileged_backend = true;
    settings.column_rules = rules;
    let gateway = Gateway::new(vec![driver], Arc::new(StaticDirectory::new(vec![backend])), settings);
    let mut target = TargetConfig::new("t1", protocol, 1);
    target.connect = connect.clone();
    target.timeout_ms = 10_000;
    gateway.set_targets(vec![target]);
    gateway
}

pub(crate) fn rule(action: ColumnAction) -> Vec<ColumnRule> {
    vec![ColumnRule::new("user*", "EMAIL", action)]
}

pub(crate) fn run(gateway: &Gateway, schema: Option<&str>, sql: &str) -> HarvestResult<StatementOutcome> {
    let request = StatementRequest::new(sql).on(None, schema.map(str::to_owned));
    gateway.run(&request, &CallScope::new("run_sql_readonly", "alice"))
}

/// Runs every list with and without rules, for every action.
pub(crate) fn judge(make: &dyn Fn(Vec<ColumnRule>) -> Arc<Gateway>, schema: Option<&str>, more: &[&str]) {
    let open = make(Vec::new());
    let leaks: Vec<&str> = LEAKS.iter().chain(more).copied().collect();
    let mut faults = Vec::new();
    for sql in leaks.iter().chain(SHOWN).chain(CLEAN) {
        if let Err(error) = run(&open, schema, sql) {
            faults.push(format!("does not run without rules: {sql}: {error}"));
        }
    }
    use ColumnAction::{Deny, Hash, Mask, Null, Partial};
    for action in [Deny, Mask, Hash, Partial, Null] {
        let gateway = make(rule(action));
        for sql in &leaks {
            match run(&gateway, schema, sql) {
                Ok(outcome) => {
                    faults.push(format!("{action:?} lets through: {sql}: {}", outcome.result.rows_json))
                }
                Err(error) if error.code != HarvestCode::PermissionDenied => {
                    faults.push(format!("{action:?} fails otherwise: {sql}: {error}"));
                }
                Err(error) if error.message.contains(SECRET) => faults.push(format!("in the error: {sql}")),
                Err(_) => {}
            }
        }
        for sql in SHOWN.iter().chain(&["SELECT * FROM users", "SELECT u.* FROM users u ORDER BY id"]) {
            match (run(&gateway, schema, sql), action) {
                (Ok(outcome), Deny) => {
                    faults.push(format!("deny lets through: {sql}: {}", outcome.result.rows_json));
                }
                (Err(_), Deny) => {}
                (Ok(outcome), _) if outcome.result.rows_json.contains("4711@") => {
                    faults.push(format!("{action:?} shows: {sql}: {}", outcome.result.rows_json));
                }
                (Ok(outcome), Mask) if !outcome.result.rows_json.contains("***") => {
                    faults.push(format!("masks nothing: {sql}: {}", outcome.result.rows_json));
                }
                (Ok(_), _) => {}
                // The wildcard also shows the column that is made from the guarded one.
                (Err(_), _) if sql.contains('*') => {}
                (Err(error), _) => faults.push(format!("{action:?} refuses: {sql}: {error}")),
            }
        }
        for sql in CLEAN {
            if let Err(error) = run(&gateway, schema, sql) {
                faults.push(format!("{action:?} refuses clean: {sql}: {error}"));
            }
        }
        let mut plan = StatementRequest::new("SELECT id FROM users WHERE email > 'p'")
            .on(None, schema.map(str::to_owned));
        plan.plan = Some(ExplainOptions { analyze: false, json: false });
        let explain = CallScope::new("explain_sql", "alice");
        assert!(gateway.run(&plan, &explain).is_err(), "a plan probes");
        "SELECT id FROM users WHERE name > 'p'".clone_into(&mut plan.sql);
        gateway.run(&plan, &explain).unwrap();
    }
    eprintln!("{} leaks, {} shown, {} clean", leaks.len(), SHOWN.len() + 2, CLEAN.len());
    assert!(leaks.len() >= 50);
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}
