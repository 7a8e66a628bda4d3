//! The whole process with real clients: statements, refusals, transactions, prepared statements, prefix queries, the admin
//! console; servers come from variables, and what cannot run says SKIPPED.

#[path = "live/support.rs"]
mod support;

use mysql::prelude::Queryable as _;
use support::{FakeModel, Gateway, feed, mariadb_url, postgres_url, program, run, skipped};

const INJECTION: &str =
    "SELECT 1 FROM dual WHERE 'a' = '' OR 1=1 UNION SELECT table_name FROM information_schema.tables -- '";

#[test]
fn mariadb_clients_are_served_and_judged() {
    let Some(url) = mariadb_url() else { return };
    if !program("mariadb") {
        return skipped("the program mariadb is missing");
    }
    let gateway = Gateway::start(&[&url], &[]);
    let sql = |text: &str| feed(gateway.mariadb("mysql").args(["--force", "-N", "-B"]), text);
    assert_eq!(sql("SELECT 1+1").0, "2\n");
    let (out, err) = sql(&format!("{INJECTION}\n; SELECT 3"));
    assert!(err.contains("1313") && err.contains("Query refused by security policy (incident"), "{err}");
    assert!(!err.contains("sqli"), "no rule reaches the client: {err}");
    assert_eq!(out, "3\n", "the session goes on");
    let (out, err) = sql("SELECT * FROM no_such_schema.t; SELECT 4");
    assert!(err.contains("1146") || err.contains("1049") || err.contains("1142"), "{err}");
    assert_eq!(out, "4\n");
    let (out, _) = sql("DROP DATABASE IF EXISTS penstock_gw; CREATE DATABASE penstock_gw; USE penstock_gw; \
         CREATE TABLE t (a INT PRIMARY KEY, b TEXT) ENGINE=InnoDB; BEGIN; INSERT INTO t VALUES (1,'x'),(2,NULL); \
         SELECT COUNT(*) FROM t; ROLLBACK; SELECT COUNT(*) FROM t; INSERT INTO t VALUES (7,'y'); SELECT a,b FROM t; \
         PREPARE s FROM 'SELECT ? + 1'; SET @x = 4; EXECUTE s USING @x; DROP DATABASE penstock_gw");
    assert_eq!(out, "2\n0\n7\ty\n5\n");
    let (_, err) = run(gateway.mariadb_as("mysql", "app", "wrong").args(["-e", "SELECT 1"]));
    assert!(err.contains("1045"), "{err}");
    assert!(gateway.metrics().contains("proxysql_genai_blocked_queries_total 1\n"));
}

#[test]
fn mysql_prepared_statements_are_judged_in_both_phases() {
    let Some(url) = mariadb_url() else { return };
    let gateway = Gateway::start(&[&url], &[]);
    let options = mysql::OptsBuilder::new()
        .ip_or_hostname(Some("127.0.0.1"))
        .tcp_port(gateway.port("mysql"))
        .prefer_socket(false)
        .db_name(Some("mysql"))
        .user(Some("app"))
        .pass(Some("secret"));
    let mut client = mysql::Conn::new(options).expect("connects");
    let statement = client.prep("SELECT ? + 1, ?, NULL").expect("prepares");
    for number in 0..20 {
        let row: Option<(i64, String, Option<i64>)> =
            client.exec_first(&statement, (number, "x")).expect("executes");
        assert_eq!(row, Some((number + 1, "x".to_owned(), None)));
    }
    let error = client.prep(INJECTION).expect_err("refused").to_string();
    assert!(error.contains("1313"), "{error}");
    let error = client.prep("LLM: hello").expect_err("refused").to_string();
    assert!(error.contains("FAILED_PRECONDITION"), "{error}");
    let big: Option<String> = client.query_first("SELECT REPEAT('x', 10000000)").expect("a large value");
    assert_eq!(big.map(|text| text.len()), Some(10_000_000));
    let count = client
        .query_iter("SELECT seq FROM seq_1_to_200000")
        .expect("streams")
        .filter(|row| row.is_ok())
        .count();
    assert_eq!(count, 200_000);
    let metrics = gateway.metrics();
    assert!(metrics.contains("\ngateway_prepares_total 3\n"), "{metrics}");
}

#[test]
fn psql_clients_are_served_and_judged() {
    let Some(url) = postgres_url() else { return };
    if !program("psql") {
        return skipped("the program psql is missing");
    }
    let gateway = Gateway::start(&[&url], &[]);
    let sql = |texts: &[&str]| {
        let mut command = gateway.psql("postgres");
        command.args(["-A", "-t", "-q"]);
        for text in texts {
            command.args(["-c", text]);
        }
        run(&mut command)
    };
    assert_eq!(sql(&["SELECT 1+1"]).0, "2\n");
    let attack = "SELECT usename FROM pg_user WHERE usename = 'x' OR 1=1 UNION SELECT NULL -- '";
    let (out, err) = sql(&["BEGIN", attack, "SELECT 3", "COMMIT"]);
    assert!(err.contains("Query refused by security policy (incident"), "{err}");
    assert_eq!(out, "3\n", "the session and its transaction go on");
    let (out, err) = sql(&["SELECT * FROM no_such_table", "SELECT 4"]);
    assert!(err.contains("no_such_table"), "{err}");
    assert_eq!(out, "4\n");
    let (out, _) = sql(&[
        "CREATE TEMP TABLE t (a int, b text)",
        "BEGIN",
        "INSERT INTO t VALUES (1, 'x'), (2, NULL)",
        "SELECT count(*) FROM t",
        "ROLLBACK",
        "SELECT count(*) FROM t",
        "PREPARE p AS SELECT $1::int + 1",
        "EXECUTE p(4)",
        "COPY (SELECT 8) TO STDOUT",
    ]);
    assert_eq!(out, "2\n0\n5\n8\n");
    let (_, err) = run(gateway.psql("postgres").env("PGPASSWORD", "wrong").args(["-c", "SELECT 1"]));
    assert!(err.contains("access denied"), "{err}");
}

#[test]
fn postgres_prepared_statements_are_judged_in_pipelines() {
    let Some(url) = postgres_url() else { return };
    let gateway = Gateway::start(&[&url], &[]);
    let config =
        format!("host=127.0.0.1 port={} user=app password=secret dbname=app", gateway.port("postgres"));
    let mut client = postgres::Client::connect(&config, postgres::NoTls).expect("connects");
    let statement = client.prepare("SELECT $1::int4 + 1, $2::text, NULL::text").expect("prepares");
    for number in 0..20i32 {
        let row = client.query_one(&statement, &[&number, &"x"]).expect("executes");
        assert_eq!(
            (row.get::<_, i32>(0), row.get::<_, String>(1), row.get::<_, Option<String>>(2)),
            (number + 1, "x".to_owned(), None)
        );
    }
    let attack = "SELECT usename FROM pg_user WHERE usename = 'x' OR 1=1 UNION SELECT NULL -- '";
    let error = client.prepare(attack).expect_err("refused");
    assert_eq!(error.code().map(|state| state.code()), Some("42501"), "{error:?}");
    let error = client.prepare("LLM: hello").expect_err("refused");
    assert_eq!(error.code().map(|state| state.code()), Some("55000"), "{error:?}");
    let mut transaction = client.transaction().expect("begins");
    transaction.execute("CREATE TEMP TABLE w (a int)", &[]).expect("creates");
    assert_eq!(transaction.execute("INSERT INTO w SELECT generate_series(1, 5)", &[]).expect("inserts"), 5);
    transaction.rollback().expect("rolls back");
    assert!(client.query("SELECT * FROM w", &[]).is_err());
    let rows = client.query("SELECT generate_series(1, 200000)", &[]).expect("streams");
    assert_eq!(rows.len(), 200_000);
    let token = client.cancel_token();
    let canceller = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        token.cancel_query(postgres::NoTls)
    });
    let error = client.batch_execute("SELECT pg_sleep(30)").expect_err("cancelled");
    assert_eq!(error.code().map(|state| state.code()), Some("57014"), "{error:?}");
    canceller.join().expect("no panic").expect("sent");
}

#[test]
fn prefix_queries_are_answered_as_rows() {
    if !program("mariadb") || !program("psql") {
        return skipped("mariadb and psql are needed");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = support::sample(folder.path());
    let model = FakeModel::start("four, says the model");
    let url = format!("llm_provider_url={}", model.url);
    let genai = ["enabled=true", "llm_enabled=true", "llm_provider=generic", "llm_provider_model=fake", &url];
    let gateway = Gateway::start(&[&file], &genai.map(|setting| ["--genai", setting]).concat());
    let mysql = |text: &str| feed(gateway.mariadb("mysql").args(["--force", "-B"]), text);
    let pg = |text: &str| run(gateway.psql("postgres").args(["-A", "-t", "-c", text]));
    for form in ["LLM: two and two?", "  llm: two and two?", "/* LLM: */ two and two?"] {
        let (out, err) = mysql(form);
        assert!(out.contains("text_response") && out.contains("four, says the model"), "{out}{err}");
        let (out, err) = pg(form);
        assert!(out.contains("four, says the model|"), "{out}{err}");
    }
    let rerank = r#"GENAI: {"type":"rerank","query":"red apple","documents":["blue sky","a red apple"],"top_n":1,"columns":2}"#;
    let (out, err) = mysql(rerank);
    assert!(out.starts_with("index\tscore\n1\t"), "{out}{err}");
    let from_sql = r#"GENAI: {"type":"rerank","query":"red","document_from_sql":{"query":"SELECT name FROM fruit ORDER BY id"},"columns":3}"#;
    let (out, err) = pg(from_sql);
    assert!(out.starts_with("1|") && out.contains("red apple"), "{out}{err}");
    let write = r#"GENAI: {"type":"rerank","query":"red","document_from_sql":{"query":"DELETE FROM fruit"}}"#;
    let (out, err) = mysql(&format!("{write}\n; SELECT COUNT(*) AS left_over FROM fruit"));
    assert!(err.contains("1227") && err.contains("PERMISSION_DENIED"), "{err}");
    assert_eq!(out, "left_over\n2\n", "{err}");
    let (_, err) = mysql("GENAI: {not json");
    assert!(err.contains("1105") && err.contains("INVALID_ARGUMENT"), "{err}");
}

#[test]
fn a_model_that_is_not_configured_is_a_typed_error() {
    if !program("mariadb") {
        return skipped("the program mariadb is missing");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = Gateway::start(&[&support::sample(folder.path())], &[]);
    let (_, err) = run(gateway.mariadb("mysql").args(["-e", "LLM: hello"]));
    assert!(err.contains("1105") && err.contains("FAILED_PRECONDITION"), "{err}");
    let (_, err) = run(gateway.mariadb("admin").args(["-e", "LLM: hello"]));
    assert!(
        err.contains("ERROR") && !err.contains("LLM is not configured"),
        "the admin port has no prefixes: {err}"
    );
}

#[test]
fn a_sqlite_file_is_served_on_both_wires() {
    if !program("mariadb") || !program("psql") {
        return skipped("mariadb and psql are needed");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = Gateway::start(&[&support::sample(folder.path())], &[]);
    let (out, err) = run(gateway.mariadb("mysql").args([
        "-N",
        "-B",
        "-e",
        "SELECT name FROM fruit ORDER BY id; BEGIN; \
         DELETE FROM fruit; SELECT COUNT(*) FROM fruit; ROLLBACK; SELECT COUNT(*) FROM fruit",
    ]));
    assert_eq!(out, "blue berry\nred apple\n0\n2\n", "{err}");
    let (out, err) = run(gateway.psql("postgres").args([
        "-A",
        "-t",
        "-q",
        "-c",
        "SELECT id, name FROM fruit WHERE id = 2",
    ]));
    assert_eq!(out, "2|red apple\n", "{err}");
    let (_, err) = run(gateway.mariadb("mysql").args([
        "-e",
        "SELECT * FROM fruit WHERE name = 'x' OR 1=1 UNION SELECT 1, sql FROM sqlite_master -- '",
    ]));
    assert!(err.contains("1313"), "{err}");
}

#[test]
fn the_admin_console_takes_verbs_from_both_clients() {
    if !program("mariadb") || !program("psql") {
        return skipped("mariadb and psql are needed");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = Gateway::start(&[&support::sample(folder.path())], &[]);
    let admin = |text: &str| run(gateway.mariadb("admin").args(["-N", "-B", "-e", text]));
    let (out, err) = admin("SELECT target_id, effective FROM runtime_mcp_target_profiles");
    assert_eq!(out, "sqlite\t1\n", "{err}");
    let (out, err) = admin(
        "UPDATE mcp_target_profiles SET description = 'all fruit'; \
         SELECT description FROM runtime_mcp_target_profiles; LOAD MCP PROFILES TO RUNTIME; \
         SELECT description FROM runtime_mcp_target_profiles; SAVE MCP PROFILES TO DISK; \
         SELECT description FROM disk.mcp_target_profiles",
    );
    assert_eq!(out, "\nall fruit\nall fruit\n", "{err}");
    let (_, err) = admin("LOAD MCP PROFILE TO RUNTIME");
    assert!(err.contains("INVALID_ARGUMENT") && err.contains("PROFILES"), "{err}");
    let (out, err) = run(gateway.psql("admin-postgres").args([
        "-A",
        "-t",
        "-c",
        "SELECT target_id FROM mcp_target_profiles",
    ]));
    assert_eq!(out, "sqlite\n", "{err}");
    let (_, err) = run(gateway.mariadb_as("admin", "app", "").args(["-e", "SELECT 1"]));
    assert!(err.contains("1045"), "{err}");
}

#[test]
fn clients_come_over_tls_and_must_where_it_is_required() {
    if !program("mariadb") || !program("psql") {
        return skipped("mariadb and psql are needed");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = support::sample(folder.path());
    let long = "SELECT group_concat(a.name || b.name || c.name) || printf('%.*c', 300000, 'x') FROM fruit a, fruit b, fruit c";
    for mode in ["on", "required", "off"] {
        let gateway = Gateway::start(&[&file], &["--tls", mode]);
        let mysql = |is_secure: bool, text: &str| {
            let mut command = gateway.mariadb("mysql");
            if is_secure {
                command.args(["--ssl", "--skip-ssl-verify-server-cert"]);
            }
            run(command.args(["-N", "-B", "-e", text]))
        };
        let pg = |ssl: &str, text: &str| {
            run(gateway.psql("postgres").env("PGSSLMODE", ssl).args(["-A", "-t", "-c", text]))
        };
        for port in ["admin", "mysql"] {
            let mut command = gateway.mariadb(port);
            // This client goes on without TLS where the server offers none.
            let (out, err) = run(command.args(["--ssl", "--skip-ssl-verify-server-cert", "-e", "status"]));
            assert_eq!(out.contains("Cipher in use"), mode != "off", "{mode} {port}: {out} {err}");
        }
        assert_eq!(mysql(true, "SELECT count(*) FROM fruit").0, "2\n", "{mode}");
        let (out, err) = pg("require", "SELECT count(*) FROM fruit");
        assert_eq!(out == "2\n", mode != "off", "{mode}: {out} {err}");
        let (out, err) = mysql(false, "SELECT count(*) FROM fruit");
        assert_eq!(out == "2\n", mode != "required", "{mode}: {out} {err}");
        assert!(mode != "required" || err.contains("1235"), "{err}");
        let (out, err) = pg("disable", "SELECT count(*) FROM fruit");
        assert_eq!(out == "2\n", mode != "required", "{mode}: {out} {err}");
        if mode == "on" {
            assert!(mysql(true, long).0.len() > 300_000, "a long value over TLS");
            assert!(pg("require", long).0.len() > 300_000, "a long value over TLS");
            let (out, err) = pg("require", "LLM: hello");
            assert!(out.is_empty() && err.contains("FAILED_PRECONDITION"), "hooks work as without: {err}");
        }
    }
}

#[test]
fn plain_text_ahead_of_tls_is_no_login() {
    use std::io::{Read as _, Write as _};
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = Gateway::start(&[&support::sample(folder.path())], &[]);
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", gateway.port("postgres"))).expect("connects");
    let request = [&8u32.to_be_bytes()[..], &80_877_103u32.to_be_bytes()].concat();
    // Whoever sits between client and proxy could put a statement of his own there.
    stream.write_all(&[&request[..], b"Q\0\0\0\x0dSELECT 1\0"].concat()).expect("sends");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.is_empty() || answer == b"S", "{answer:?}");
}

/// Every `genai-*` variable is set to its own value and loaded, one after the other, while statements run and a provider
/// hangs: no statement fails, and none waits for the provider.
#[test]
fn reloads_and_a_hanging_provider_fail_no_statement() {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::time::{Duration, Instant};
    let Some(url) = mariadb_url() else { return };
    if !program("mariadb") {
        return skipped("the program mariadb is missing");
    }
    // Accepts and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let model =
        format!("llm_provider_url=http://{}/v1/chat/completions", silent.local_addr().expect("bound"));
    let genai = ["enabled=true", "llm_enabled=true", "llm_provider=generic", "anomaly_enabled=true", &model];
    let gateway = Gateway::start(&[&url], &genai.map(|setting| ["--genai", setting]).concat());
    let port = gateway.port("mysql");
    let connect = move || {
        let options = mysql::OptsBuilder::new()
            .ip_or_hostname(Some("127.0.0.1"))
            .tcp_port(port)
            .prefer_socket(false)
            .user(Some("app"))
            .pass(Some("secret"));
        mysql::Conn::new(options).expect("connects")
    };
    let admin = |text: &str| run(gateway.mariadb("admin").args(["-N", "-B", "-e", text]));
    let (listed, err) = admin("SHOW VARIABLES LIKE 'genai-%'");
    assert!(err.is_empty(), "{err}");
    let settings: Vec<String> = listed
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .filter(|(_, value)| *value != "***")
        .map(|(name, value)| format!("SET {name} = '{value}'; LOAD GENAI VARIABLES TO RUNTIME"))
        .collect();
    assert!(settings.len() > 60, "{} variables", settings.len());
    let (stop, done, slowest_ms) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        // Questions hang until their session is cut with the process; nobody joins them.
        for _ in 0..4 {
            std::thread::spawn(move || drop(connect().query_drop("LLM: hello")));
        }
        for thread in 0..4_u64 {
            let (stop, done, slowest_ms) = (&stop, &done, &slowest_ms);
            scope.spawn(move || {
                let mut client = connect();
                let mut number = thread;
                while !stop.load(Ordering::Relaxed) {
                    let started = Instant::now();
                    let answer: Option<u64> =
                        client.query_first(format!("SELECT {number} + 1")).expect("no statement fails");
                    assert_eq!(answer, Some(number + 1));
                    let took = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                    slowest_ms.fetch_max(took, Ordering::Relaxed);
                    done.fetch_add(1, Ordering::Relaxed);
                    number += 4;
                }
            });
        }
        for batch in settings.chunks(16) {
            let (_, err) = admin(&batch.join("; "));
            assert!(err.is_empty(), "{err}");
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(done.load(Ordering::Relaxed) > 100, "{done:?} statements");
    // A provider's time of an attempt is thirty seconds: whoever waited for it would show.
    assert!(
        slowest_ms.load(Ordering::Relaxed) < Duration::from_secs(20).as_millis() as u64,
        "{slowest_ms:?} ms"
    );
    let (generation, _) =
        admin("SELECT Value FROM stats.stats_genai_global WHERE Variable_name = 'genai_snapshot_generation'");
    assert!(generation.trim().parse::<usize>().is_ok_and(|n| n > settings.len()), "{generation}");
}
