//! An operator's day with the real `mariadb` client: from an empty folder to three served databases, changes, faults made on
//! purpose, a restart that keeps everything.

#[path = "live/support.rs"]
#[expect(dead_code, reason = "shared with the other tests, which use more of it")]
mod support;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use harvest::ConnectParams;
use support::{Gateway, mariadb_url, postgres_url, program, run, skipped};

const TOKEN: &str = "first-token-of-the-analyst";
const SECOND: &str = "second-token-of-the-analyst";
const MODULES: &[&str] =
    &["VARIABLES", "TOKENS", "BACKENDS", "PROFILES", "QUERY RULES", "COLUMN RULES", "COST RULES"];

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port()
}

struct Day {
    gateway: Gateway,
    data: PathBuf,
}

impl Day {
    fn start(data: &Path) -> Self {
        Self { gateway: Gateway::start_in(data, &[], &[]), data: data.to_owned() }
    }

    /// What the client prints for one line of input, errors behind it.
    fn raw(&self, text: &str) -> (String, String) {
        run(self.gateway.mariadb("admin").args(["-N", "-B", "-e", text]))
    }

    fn ok(&self, text: &str) -> String {
        let (out, err) = self.raw(text);
        assert!(!err.contains("ERROR"), "{text}: {err}");
        out.trim_end().to_owned()
    }

    /// The statement must fail with these words, and what runs must be what ran before.
    fn refused(&self, text: &str, words: &[&str]) {
        let before = self.sums("RUNTIME");
        let (out, err) = self.raw(text);
        assert!(err.contains("ERROR"), "{text} must fail: {out}");
        for word in words {
            assert!(err.contains(word), "{text}: {word} is missing in {err}");
        }
        assert_eq!(self.sums("RUNTIME"), before, "{text}: the running set stays");
    }

    fn sums(&self, layer: &str) -> Vec<String> {
        MODULES.iter().map(|module| self.ok(&format!("CHECKSUM {layer} MCP {module}"))).collect()
    }

    /// One call of an agent: status and body.
    fn ask(&self, port: u16, token: &str, target: &str, sql: &str) -> (u16, String) {
        let arguments = format!(r#"{{"target_id":"{target}","sql":"{sql}"}}"#);
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"run_sql_readonly","arguments":{arguments}}}}}"#
        );
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return (0, String::new()) };
        let head = format!(
            "POST /mcp/query HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Accept: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).expect("sends");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
        (status, answer)
    }

    fn serves(&self, port: u16, token: &str, target: &str) {
        let (status, answer) = self.ask(port, token, target, "SELECT 40 + 2 AS answer");
        assert!(status == 200 && answer.contains("[[42]]"), "{target}: {status} {answer}");
    }
}

/// The rows that make one server a target.
fn target(day: &Day, id: &str, group: u32, url: &str) {
    let (scheme, params) = ConnectParams::from_url(url).expect("a URL");
    let protocol = if scheme.starts_with("my") { "mysql" } else { "pgsql" };
    let (schema, database) =
        if protocol == "mysql" { ("information_schema", "") } else { ("", params.database.as_str()) };
    let (user, password) = (params.user.replace('\'', "''"), params.password.expose().replace('\'', "''"));
    day.ok(&format!(
        "INSERT INTO mcp_auth_profiles (auth_profile_id, db_username, db_password, default_schema, default_database) \
         VALUES ('{id}_account', '{user}', '{password}', '{schema}', '{database}'); \
         INSERT INTO mcp_target_profiles (target_id, protocol, hostgroup_id, auth_profile_id, timeout_ms) \
         VALUES ('{id}', '{protocol}', {group}, '{id}_account', 20000); \
         INSERT INTO mcp_backends (hostgroup_id, hostname, port) VALUES ({group}, '{}', {})",
        params.host, params.port
    ));
}

fn configure(day: &Day, file: &Path, port: u16, urls: [&str; 2]) {
    day.ok(&format!(
        "INSERT INTO mcp_auth_profiles (auth_profile_id, db_username, db_password) VALUES ('nobody', '', ''); \
         INSERT INTO mcp_target_profiles (target_id, protocol, hostgroup_id, auth_profile_id, description) \
         VALUES ('fruit', 'sqlite', 1, 'nobody', 'all fruit'); \
         INSERT INTO mcp_backends (hostgroup_id, hostname) VALUES (1, '{}')",
        file.display()
    ));
    target(day, "maria", 2, urls[0]);
    target(day, "pg", 3, urls[1]);
    day.ok(&format!(
        "INSERT INTO mcp_endpoint_tokens (endpoint, token_name, token, scopes) VALUES ('query', 'analyst', '{TOKEN}', 'read')"
    ));
    day.ok("INSERT INTO mcp_query_rules (rule_id, active, match_pattern, error_msg, comment) \
         VALUES (10, 1, 'salar(y|ies)', 'not for agents', NULL), (20, 0, NULL, NULL, '')");
    day.ok(&format!("SET mcp-port = {port}; SET mcp-use_ssl = false; SET mcp-enabled = 'on'"));
    for module in MODULES {
        day.ok(&format!("LOAD MCP {module} TO RUNTIME"));
    }
    for module in MODULES {
        day.ok(&format!("SAVE MCP {module} TO DISK"));
    }
}

/// What people type who know ProxySQL.
fn habits(day: &Day, port: u16) {
    assert!(day.ok("SHOW TABLES").lines().any(|line| line == "mcp_query_rules"));
    assert!(day.ok("show tables from disk;").contains("mcp_backends"));
    assert_eq!(day.ok("SHOW TABLES LIKE 'mcp_auth%'"), "mcp_auth_profiles");
    assert!(day.ok("SHOW DATABASES").contains("disk\t"));
    assert_eq!(day.ok("SHOW VARIABLES LIKE 'mcp-port'"), format!("mcp-port\t{port}"));
    assert_eq!(day.ok("SHOW GLOBAL VARIABLES LIKE 'mcp-p_rt'"), format!("mcp-port\t{port}"));
    assert_eq!(day.ok("SHOW MCP VARIABLES LIKE '%bind%'"), "mcp-bind_address\t127.0.0.1");
    assert_eq!(day.ok("SELECT @@mcp-port"), port.to_string());
    assert_eq!(day.ok("select @@version_comment limit 1"), "penstock gateway");
    assert!(day.ok("SHOW CREATE TABLE mcp_backends").contains("CREATE TABLE"));
    assert_eq!(day.ok("SELECT COUNT(*) FROM runtime_mcp_target_profiles WHERE executable = 1"), "3");
    assert!(day.ok("SELECT * FROM stats_mcp_query_rules").contains("10"));
    assert!(day.ok("SHOW MCP STATUS").contains(&format!("listening on 127.0.0.1:{port}")));
    day.ok("SHOW PROCESSLIST; SHOW FULL PROCESSLIST; USE main; SELECT 1; SET NAMES utf8mb4");
    for alias in ["TO RUN", "FROM MEM", "FROM MEMORY"] {
        day.ok(&format!("load mcp query rules {alias}"));
    }
    assert_eq!(day.ok("CHECKSUM MEM MCP QUERY RULES"), day.ok("checksum runtime mcp query rules"));
    day.refused("LOAD MCP QERY RULES TO RUNTIME", &["LOAD MCP QUERY RULES TO RUNTIME"]);
}

#[test]
fn from_an_empty_folder_to_three_databases_through_faults_and_a_restart() {
    let (Some(maria), Some(pg)) = (mariadb_url(), postgres_url()) else { return };
    if !program("mariadb") {
        return skipped("the program mariadb is missing");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = support::sample(folder.path());
    let file = Path::new(file.trim_start_matches("sqlite:"));
    let day = Day::start(&folder.path().join("data"));
    assert_eq!(day.ok("SELECT COUNT(*) FROM mcp_target_profiles"), "0");
    assert!(day.ok("SHOW MCP STATUS").contains("not listening"));
    let port = free_port();
    configure(&day, file, port, [&maria, &pg]);
    for target in ["fruit", "maria", "pg"] {
        day.serves(port, TOKEN, target);
    }
    let (_, blocked) = day.ask(port, TOKEN, "fruit", "SELECT salary FROM fruit");
    assert!(blocked.contains("not for agents"), "{blocked}");
    habits(&day, port);
    let port = changes(&day, port);
    faults(&day, port);
    everything_is_as_saved(day, port);
}

/// A token, a rule, a profile, a backend and the port change while the server runs. Gives the new port.
fn changes(day: &Day, port: u16) -> u16 {
    day.ok(&format!(
        "UPDATE mcp_endpoint_tokens SET token = '{SECOND}' WHERE token_name = 'analyst'; LOAD MCP TOKENS TO RUNTIME"
    ));
    day.serves(port, SECOND, "fruit");
    assert_eq!(day.ask(port, TOKEN, "fruit", "SELECT 1").0, 401, "the old token is gone");
    day.ok("UPDATE mcp_query_rules SET error_msg = 'ask the owner' WHERE rule_id = 10; LOAD MCP QUERY RULES TO RUNTIME");
    assert!(day.ask(port, SECOND, "pg", "SELECT 'salaries'").1.contains("ask the owner"));
    day.ok(
        "UPDATE mcp_target_profiles SET max_rows = 1 WHERE target_id = 'fruit'; LOAD MCP PROFILES TO RUNTIME",
    );
    let (_, cut) = day.ask(port, SECOND, "fruit", "SELECT name FROM fruit ORDER BY id");
    assert!(cut.contains(r#""truncated":true"#) && !cut.contains("red apple"), "{cut}");
    day.ok("UPDATE mcp_backends SET status = 'OFFLINE_SOFT' WHERE hostgroup_id = 2; LOAD MCP BACKENDS TO RUNTIME");
    let (_, gone) = day.ask(port, SECOND, "maria", "SELECT 1");
    assert!(gone.contains("UNAVAILABLE"), "{gone}");
    day.serves(port, SECOND, "pg");
    day.ok("UPDATE mcp_backends SET status = 'ONLINE' WHERE hostgroup_id = 2; LOAD MCP BACKENDS TO RUNTIME");
    day.serves(port, SECOND, "maria");
    let moved = free_port();
    day.ok(&format!("SET mcp-port = {moved}; LOAD MCP VARIABLES TO RUNTIME"));
    day.serves(moved, SECOND, "fruit");
    assert_eq!(day.ask(port, SECOND, "fruit", "SELECT 1").0, 0, "the old port is closed");
    moved
}

/// Each part is broken on purpose: the error names it, and what ran goes on.
fn faults(day: &Day, port: u16) {
    for module in MODULES {
        day.ok(&format!("SAVE MCP {module} TO DISK"));
    }
    day.ok("UPDATE mcp_endpoint_tokens SET token = 'short' WHERE token_name = 'analyst'");
    day.refused("LOAD MCP TOKENS TO RUNTIME", &["analyst", "mcp-token_min_length"]);
    day.ok("INSERT INTO mcp_query_rules (rule_id, active, match_pattern) VALUES (30, 1, '(')");
    day.refused("LOAD MCP QUERY RULES TO RUNTIME", &["30"]);
    day.ok("UPDATE mcp_target_profiles SET protocol = 'oracle' WHERE target_id = 'pg'");
    day.refused("LOAD MCP PROFILES TO RUNTIME", &["pg", "oracle"]);
    day.refused("UPDATE mcp_backends SET status = 'BROKEN'", &["CHECK"]);
    day.ok("UPDATE mcp_auth_profiles SET db_password = 'env:NO_SUCH_VARIABLE_HERE' WHERE auth_profile_id = 'pg_account'");
    day.ok("UPDATE mcp_target_profiles SET protocol = 'pgsql' WHERE target_id = 'pg'");
    day.refused("LOAD MCP PROFILES TO RUNTIME", &["pg_account", "NO_SUCH_VARIABLE_HERE"]);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let busy = taken.local_addr().expect("an address").port();
    day.ok(&format!("SET mcp-port = {busy}"));
    day.refused("LOAD MCP VARIABLES TO RUNTIME", &["cannot listen"]);
    assert!(day.ok("SHOW MCP STATUS").contains("cannot listen"));
    day.refused("SET mcp-port = 70000", &["65535"]);
    day.refused("SET mcp-prot = 6071", &["mcp-prot"]);
    day.refused("UPDATE runtime_mcp_backends SET weight = 5", &["read-only"]);
    let (_, err) =
        day.raw("SELECT token FROM mcp_endpoint_tokens; SELECT db_password FROM mcp_auth_profiles");
    assert!(err.is_empty(), "{err}");
    for target in ["fruit", "maria", "pg"] {
        day.serves(port, SECOND, target);
    }
    // A dead server is no fault of the configuration: it loads, and the call says what is wrong.
    day.ok(&format!(
        "LOAD MCP BACKENDS FROM DISK; UPDATE mcp_backends SET port = {busy} WHERE hostgroup_id = 3"
    ));
    drop(taken);
    day.ok("LOAD MCP BACKENDS TO RUNTIME");
    assert!(day.ask(port, SECOND, "pg", "SELECT 1").1.contains("UNAVAILABLE"));
    day.serves(port, SECOND, "maria");
    for module in MODULES {
        day.ok(&format!("LOAD MCP {module} FROM DISK"));
        day.ok(&format!("LOAD MCP {module} TO RUNTIME"));
    }
    day.serves(port, SECOND, "pg");
}

fn everything_is_as_saved(day: Day, port: u16) {
    let (saved, data) = (day.sums("DISK"), day.data.clone());
    assert_eq!(day.sums("RUNTIME"), saved);
    drop(day);
    let again = Day::start(&data);
    for layer in ["DISK", "MEMORY", "RUNTIME"] {
        assert_eq!(again.sums(layer), saved, "{layer}");
    }
    for target in ["fruit", "maria", "pg"] {
        again.serves(port, SECOND, target);
    }
    assert!(again.ask(port, SECOND, "fruit", "SELECT 'salary'").1.contains("ask the owner"));
    for table in ["mcp_query_rules", "runtime_mcp_query_rules", "disk.mcp_query_rules"] {
        let select =
            "SELECT rule_id, comment IS NULL, error_msg IS NULL, flagOUT IS NULL, quote(comment) FROM";
        let rows = again.ok(&format!("{select} {table} ORDER BY rule_id"));
        assert_eq!(rows, "10\t1\t0\t1\tNULL\n20\t0\t1\t1\t''", "{table}");
    }
    let nulls = "SELECT COUNT(*) FROM runtime_mcp_target_profiles WHERE admin_auth_profile_id IS NULL";
    assert_eq!(again.ok(nulls), "3");
    let audit = again.ok("SHOW MCP STATUS");
    assert!(audit.lines().any(|line| line.starts_with("audit\ton, ")), "{audit}");
}
