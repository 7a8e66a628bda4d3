//! Planted secrets: what is written in never comes back out, whatever the question.

use mcp_config::AdminSession;

use crate::world::World;

const PASSWORD: &str = "hunter2-planted";
const TOKEN: &str = "planted-token-of-length";
const VARIABLE: &str = "planted-variable-token";

fn planted() -> World {
    let world = World::new();
    world.run(&format!(
        "INSERT INTO mcp_auth_profiles (auth_profile_id, db_username, db_password) VALUES ('a', 'u', '{PASSWORD}')"
    ));
    world.run(&format!(
        "INSERT INTO mcp_endpoint_tokens (endpoint, token_name, token) VALUES ('query', 't', '{TOKEN}')"
    ));
    world.run(&format!("SET mcp-query_endpoint_auth = '{VARIABLE}'"));
    for verb in ["LOAD MCP # TO RUNTIME", "SAVE MCP # TO DISK"] {
        for module in ["VARIABLES", "PROFILES", "TOKENS"] {
            world.run(&verb.replace('#', module));
        }
    }
    world
}

#[test]
fn no_position_of_any_statement_reads_a_secret() {
    let world = planted();
    for sql in [
        "SELECT * FROM mcp_auth_profiles",
        "SELECT p.db_password AS x, upper(db_password), length(db_password) FROM mcp_auth_profiles p",
        "SELECT count(*) FROM mcp_auth_profiles WHERE db_password LIKE 'hunter%'",
        "SELECT (SELECT db_password FROM main.mcp_auth_profiles) FROM disk.mcp_auth_profiles",
        "WITH x AS (SELECT db_password AS y FROM disk.mcp_auth_profiles) SELECT y FROM x",
        "SELECT 1 FROM mcp_auth_profiles ORDER BY db_password",
        "SELECT max(db_password), group_concat(db_password) FROM mcp_auth_profiles GROUP BY db_password",
        "SELECT * FROM mcp_endpoint_tokens",
        "SELECT token FROM disk.mcp_endpoint_tokens",
        "SELECT * FROM runtime_mcp_auth_profiles",
        "SELECT * FROM runtime_mcp_endpoint_tokens",
        "SELECT * FROM global_variables",
        "SELECT variable_value FROM disk.global_variables WHERE variable_name = 'mcp-query_endpoint_auth'",
        "SELECT * FROM runtime_global_variables",
        "SHOW MCP VARIABLES",
        "SHOW VARIABLES LIKE '%auth%'",
        "SELECT @@mcp-query_endpoint_auth",
        "SHOW MCP STATUS",
        "CHECKSUM MEMORY MCP TOKENS",
        "CHECKSUM DISK MCP PROFILES",
    ] {
        let shown = format!("{:?} {:?}", world.rows(sql), world.try_run(sql).map(|reply| reply.sql));
        for secret in [PASSWORD, TOKEN, VARIABLE, "HUNTER2", "sha256$"] {
            assert!(!shown.contains(secret), "{sql}: {shown}");
        }
    }
    for sql in [
        "UPDATE mcp_auth_profiles SET comment = db_password || '', db_password = db_password || ''",
        "UPDATE mcp_auth_profiles SET comment = coalesce(db_password, 'nothing')",
        "UPDATE mcp_query_rules SET comment = (SELECT db_password FROM mcp_auth_profiles)",
        "UPDATE mcp_query_rules SET comment = p.db_password FROM disk.mcp_auth_profiles p",
        "INSERT INTO mcp_query_rules (comment) SELECT db_password FROM mcp_auth_profiles",
        "INSERT INTO mcp_auth_profiles VALUES ('a', 'u', 'other', '', 0, '', '', '') ON CONFLICT DO UPDATE SET comment = \
         coalesce(mcp_auth_profiles.db_password, 'nothing')",
        "INSERT INTO mcp_query_rules (comment) VALUES ((SELECT token FROM mcp_endpoint_tokens))",
        "UPDATE mcp_auth_profiles SET comment = db_password RETURNING db_password",
        "INSERT INTO mcp_query_rules (comment) VALUES ('x') RETURNING (SELECT db_password FROM mcp_auth_profiles)",
        "DELETE FROM mcp_auth_profiles RETURNING db_password",
    ] {
        let echo = format!("{:?}", world.try_run(sql).map(|reply| (reply.sql, reply.rows)));
        assert!(!echo.contains(PASSWORD), "{sql}: {echo}");
        let kept =
            world.rows("SELECT comment FROM mcp_query_rules UNION ALL SELECT comment FROM mcp_auth_profiles");
        let kept = format!("{kept:?}");
        assert!(!kept.contains("hunter") && !kept.contains("sha256"), "{sql}: {kept}");
    }
    assert_eq!(world.one("SELECT count(*) FROM mcp_auth_profiles WHERE db_password LIKE 'hunter%'"), "0");
    assert_eq!(world.one("SELECT db_password IS NULL FROM mcp_auth_profiles"), "1");
    assert_eq!(world.one("SELECT @@mcp-query_endpoint_auth"), "***");
    for sql in
        ["SELECT * FROM admin_secrets", "SELECT * FROM disk.admin_meta", "SELECT * FROM sqlite_sequence"]
    {
        assert_eq!(world.fails(sql).code.as_str(), "PERMISSION_DENIED", "{sql}");
    }
}

#[test]
fn errors_and_echoes_hold_no_secret() {
    let world = planted();
    for sql in [
        format!("INSERT INTO mcp_auth_profiles VALUES ('a' '{PASSWORD}')"),
        format!(
            "INSERT INTO mcp_auth_profiles (auth_profile_id, db_username, db_password) VALUES ('a', 'u', '{PASSWORD}')"
        ),
        format!("UPDATE mcp_auth_profiles SET db_password = {PASSWORD}"),
        format!("SET mcp-query_endpoint_auth = 'short'; {PASSWORD}"),
        format!("SET mcp-config_endpoint_auth = '{TOKEN}' x"),
        format!("LOAD MCP '{PASSWORD}'"),
    ] {
        let error = world.try_run(&sql).err().map(|error| error.to_value().to_string()).unwrap_or_default();
        // The last one is no secret's place: what is no verb is repeated to its author.
        assert!(sql.starts_with("LOAD") || !error.contains(PASSWORD), "{sql}: {error}");
    }
    let reply = world.run(&format!("UPDATE mcp_auth_profiles SET db_password = '{PASSWORD}'"));
    assert_eq!(reply.sql, "UPDATE mcp_auth_profiles SET db_password = '***'");
    assert_eq!(
        world.run(&format!("SET mcp-ai_endpoint_auth = '{TOKEN}'")).sql,
        "SET mcp-ai_endpoint_auth = '***'"
    );
    assert!(world.fails("SET mcp-ai_endpoint_auth = 'short'").message.contains("token_min_length"));
    assert!(
        world.fails(&format!("SET mcp-query_endpoint_auth = '{TOKEN}'")).message.contains("same endpoint")
    );
}

#[test]
fn only_hashes_of_tokens_reach_the_disk() {
    let world = planted();
    world.run(&format!(
        "INSERT INTO disk.mcp_endpoint_tokens (endpoint, token_name, token) VALUES ('ai', 'd', '{TOKEN}')"
    ));
    world.run(&format!("UPDATE disk.global_variables SET variable_value = '{VARIABLE}' WHERE variable_name = 'mcp-rag_endpoint_auth'"));
    let bytes = std::fs::read(world.dir.path().join("mcp_config.db")).expect("holds");
    for secret in [TOKEN, VARIABLE] {
        assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "{secret}");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode =
            std::fs::metadata(world.dir.path().join("mcp_config.db")).expect("holds").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let seen = world.runtime.seen.lock().expect("holds").clone().expect("holds");
    let hash = seen.rows("mcp_endpoint_tokens").next().expect("holds").text("token").to_owned();
    assert!(mcp_config::token_matches(TOKEN, &hash));
}

#[test]
fn what_is_not_allowed_is_refused() {
    let world = planted();
    for sql in [
        "ATTACH ':memory:' AS x",
        "PRAGMA user_version",
        "SELECT * FROM pragma_database_list",
        "CREATE TABLE x (a)",
        "DROP TABLE mcp_query_rules",
        "DELETE FROM runtime_mcp_query_rules",
        "INSERT INTO runtime_global_variables VALUES ('a', 'b')",
        "DELETE FROM sqlite_schema",
        "BEGIN",
        "VACUUM",
        "EXPLAIN SELECT 1",
        "SELECT load_extension('x')",
        "SELECT zeroblob(1000000000)",
    ] {
        let error = world.fails(sql);
        assert!(matches!(error.code.as_str(), "PERMISSION_DENIED" | "INVALID_ARGUMENT"), "{sql}: {error}");
    }
    assert_eq!(world.fails("SELECT 1; SELECT 2").code.as_str(), "INVALID_ARGUMENT");
    let reader = AdminSession::remote("agent", "127.0.0.1", "/mcp/config", false);
    let refused =
        |sql: &str| world.admin.execute(&reader, sql, &[], 10).expect_err("must fail").code.as_str();
    for sql in ["LOAD MCP TOKENS TO RUN", "SET mcp-port = 1", "DELETE FROM mcp_query_rules"] {
        assert_eq!(refused(sql), "PERMISSION_DENIED", "{sql}");
    }
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    assert_eq!(world.fails(endless).code.as_str(), "DEADLINE_EXCEEDED");
}
