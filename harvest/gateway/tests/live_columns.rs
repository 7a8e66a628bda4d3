//! Column rules over real servers, named by `PENSTOCK_TEST_POSTGRES_URL` and `PENSTOCK_TEST_MARIADB_URL`.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a panic is how a test fails")]

#[path = "common/columns.rs"]
mod common;

use std::sync::Arc;

use common::{SECRET, gateway, judge, rule, run};
use harvest::{ConnectParams, Protocol};
use harvest_gateway::ColumnAction;
use harvest_mysql::MysqlDriver;
use harvest_postgres::PostgresDriver;
use mysql::prelude::Queryable;

const SCHEMA: &str = "penstock_columns_live";

fn tables(text: &str) -> Vec<String> {
    [
        &format!("CREATE TABLE users (id INT PRIMARY KEY, name {text}, email {text}, score INT, copied {text} GENERATED ALWAYS AS (lower(email)) STORED)"),
        "CREATE TABLE orders (id INT PRIMARY KEY, user_id INT, total NUMERIC(9,2), note VARCHAR(90))",
        &format!("CREATE TABLE mails (id INT PRIMARY KEY, email {text})"),
        "CREATE VIEW safe_users AS SELECT id, name FROM users",
        "CREATE VIEW everyone AS SELECT * FROM users",
        "CREATE VIEW mailing AS SELECT id, email AS contact FROM users",
        "CREATE VIEW mailing_again AS SELECT * FROM mailing",
        "CREATE VIEW planted AS SELECT name FROM users WHERE email LIKE 'planted%'",
        &format!("INSERT INTO users (id, name, email, score) VALUES (1, 'Ann', '{SECRET}', 7), (2, 'Bob', 'bob@elsewhere.test', 3)"),
        "INSERT INTO orders VALUES (1, 1, 9.5, 'n')",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Leaks that only PostgreSQL runs.
const POSTGRES: &[&str] = &[
    "SELECT u FROM users u",
    "SELECT users FROM users",
    "SELECT u::text FROM users u",
    "SELECT row_to_json(u) FROM users u",
    "SELECT to_jsonb(u) FROM users u",
    "SELECT to_jsonb(u) ->> 'email' FROM users u",
    "SELECT u.row_to_json FROM users u",
    "SELECT (u).email FROM users u",
    "SELECT (u).* FROM users u",
    "SELECT row(u.*) FROM users u",
    "SELECT json_agg(u) FROM users u",
    "SELECT array_agg(u)::text FROM users u",
    "SELECT id FROM users LIMIT (SELECT length(email) FROM users WHERE id = 1)",
    "SELECT string_agg(email, ',') FROM users",
    "SELECT ARRAY(SELECT email FROM users)",
    "SELECT ARRAY[email] FROM users",
    "SELECT email::text || '' FROM users",
    "SELECT t.x FROM users AS t(i, n, x, s)",
    "SELECT x FROM users AS t(i, n, x)",
    "SELECT j.x FROM (users u JOIN orders o ON o.user_id = u.id) AS j(i, n, x)",
    "SELECT v.x FROM users u, LATERAL (SELECT u.email AS x) v",
    "SELECT v.* FROM users u, LATERAL (SELECT u.*) v",
    "SELECT e.value FROM users u, LATERAL jsonb_each_text(to_jsonb(u)) e",
    "SELECT U&\"\\0065mail\" || '' FROM users",
    "SELECT \"email\" || '' FROM penstock_columns_live.users",
    "SELECT penstock_columns_live.users.email || '' FROM penstock_columns_live.users",
    "TABLE users",
    "SELECT id FROM users WHERE ROW(id, name) = ROW(1, 'Ann') AND users IS NOT NULL AND users::text LIKE '%p%'",
    "SELECT DISTINCT ON (email) id FROM users",
    "SELECT md5(email) FROM users",
    "SELECT email ~ '^p' FROM users",
    "SELECT CASE WHEN u > ROW(1, 'Ann', 'p', 1, 'p')::users THEN 1 ELSE 0 END FROM users u",
    "SELECT most_common_vals FROM pg_stats WHERE tablename = 'users'",
    "WITH users AS (SELECT * FROM users) SELECT email FROM users",
    "EXPLAIN SELECT id FROM users WHERE email > 'p'",
    "EXPLAIN (ANALYZE) SELECT id FROM users WHERE email LIKE 'p%'",
    "SELECT max(email) FILTER (WHERE id = 1) FROM users",
    "SELECT count(*) FILTER (WHERE email LIKE 'p%') FROM users",
    "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY email) FROM users",
    "SELECT id FROM users GROUP BY GROUPING SETS ((id, email), (id))",
    "SELECT o.id FROM orders o WHERE (o.user_id, 'p') < ANY (SELECT id, email FROM users)",
    "SELECT copy_of.email FROM copy_of",
];

/// Leaks that only MySQL and MariaDB run.
const MYSQL: &[&str] = &[
    "SELECT `email` FROM users ORDER BY `email`",
    "SELECT hex(email) FROM users",
    "WITH users AS (SELECT * FROM users) SELECT email FROM users",
    "SELECT group_concat(email) FROM users",
    "SELECT json_arrayagg(email) FROM users",
    "SELECT json_object('x', email) FROM users",
    "SELECT email REGEXP '^p' FROM users",
    "SELECT email AS 'id' FROM users ORDER BY id",
    "SELECT id FROM users WHERE email <=> 'planted-4711@secret.test'",
    "SELECT IF(email > 'p', 1, 0) FROM users",
    "SELECT ascii(substring(email, 1, 1)) FROM users",
    "SELECT penstock_columns_live.users.email + 0 FROM penstock_columns_live.users",
    "SELECT `USERS`.`EMAIL` || '' FROM users AS `USERS`",
    "EXPLAIN SELECT id FROM users WHERE email > 'p'",
    "EXPLAIN FORMAT=JSON SELECT id FROM users WHERE email > 'p'",
    "SELECT min_value FROM mysql.column_stats WHERE table_name = 'users'",
];

fn params(variable: &str) -> Option<ConnectParams> {
    let Ok(url) = std::env::var(variable) else {
        eprintln!("SKIPPED: {variable} names no server");
        return None;
    };
    Some(ConnectParams::from_url(&url).unwrap().1)
}

#[test]
fn no_way_leaks_a_guarded_column_of_postgresql() {
    let Some(params) = params("PENSTOCK_TEST_POSTGRES_URL") else { return };
    let mut config = postgres::Config::new();
    config.host(&params.host).port(params.port).user(&params.user).dbname(&params.database);
    config.password(params.password.expose());
    let mut writer = config.connect(postgres::NoTls).unwrap();
    let mut script = vec![
        format!("DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"),
        format!("CREATE SCHEMA {SCHEMA}"),
        format!("SET search_path = {SCHEMA}"),
    ];
    script.extend(tables("TEXT"));
    script.extend(
        [
            "CREATE TABLE user_events (id INT, email TEXT) PARTITION BY RANGE (id)",
            "CREATE TABLE users_part PARTITION OF user_events FOR VALUES FROM (0) TO (9)",
            "CREATE MATERIALIZED VIEW copy_of AS SELECT id, email FROM users",
            "ANALYZE users",
        ]
        .map(str::to_owned),
    );
    for statement in script {
        writer.batch_execute(&statement).unwrap_or_else(|e| panic!("{statement}: {e}"));
    }
    let make = |rules| gateway(Arc::new(PostgresDriver), Protocol::Pgsql, &params, rules);
    judge(&make, Some(SCHEMA), POSTGRES);
    // A rule on the whole holds for its parts.
    let rules = vec![harvest_gateway::ColumnRule::new("user_events", "email", ColumnAction::Deny)];
    assert!(run(&make(rules), Some(SCHEMA), "SELECT email FROM users_part").is_err());
    writer.batch_execute(&format!("DROP SCHEMA {SCHEMA} CASCADE")).unwrap();
}

#[test]
fn no_way_leaks_a_guarded_column_of_mariadb() {
    let Some(mut params) = params("PENSTOCK_TEST_MARIADB_URL") else { return };
    let opts = mysql::OptsBuilder::new()
        .ip_or_hostname(Some(params.host.clone()))
        .tcp_port(params.port)
        .user(Some(params.user.clone()))
        .pass(Some(params.password.expose()))
        .prefer_socket(false);
    let mut writer = mysql::Conn::new(opts).unwrap();
    let mut script = vec![
        format!("DROP DATABASE IF EXISTS {SCHEMA}"),
        format!("CREATE DATABASE {SCHEMA}"),
        format!("USE {SCHEMA}"),
    ];
    script.extend(tables("VARCHAR(80)"));
    for statement in script {
        writer.query_drop(&statement).unwrap_or_else(|e| panic!("{statement}: {e}"));
    }
    params.database = SCHEMA.to_owned();
    let make = |rules| gateway(Arc::new(MysqlDriver), Protocol::Mysql, &params, rules);
    judge(&make, None, MYSQL);
    // Letters that a collation takes for others either name nothing or are refused.
    for sql in ["SELECT émail FROM users", "SELECT ｅmail FROM users", "SELECT e\u{301}mail FROM users"] {
        if let Ok(outcome) = run(&make(rule(ColumnAction::Mask)), None, sql) {
            assert!(!outcome.result.rows_json.contains(SECRET), "{sql}");
        }
    }
    writer.query_drop(format!("DROP DATABASE {SCHEMA}")).unwrap();
}
