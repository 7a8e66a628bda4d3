//! Prefix queries typed into the real `mariadb` and `psql` clients, answered by a real small model and by scripted ones, over
//! MariaDB, PostgreSQL and SQLite; servers come from variables, and what cannot run says SKIPPED.

#[path = "live/support.rs"]
mod support;

use std::process::Command;

use support::{FakeModel, Gateway, feed, mariadb_url, postgres_url, program, run, sample, skipped, variable};

/// Settings for a model at `url`.
fn model(kind: &str, url: &str) -> Vec<String> {
    let settings = [
        ("enabled", "true"),
        ("llm_enabled", "true"),
        ("llm_provider", kind),
        ("llm_provider_url", url),
        ("llm_provider_model", "test-model"),
        ("llm_provider_key", "sk-live-suite"),
        ("llm_temperature", "0"),
        ("llm_max_output_tokens", "96"),
    ];
    settings.iter().flat_map(|(name, value)| ["--genai".to_owned(), format!("{name}={value}")]).collect()
}

fn start(backends: &[&str], settings: &[String]) -> Gateway {
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    Gateway::start(backends, &settings)
}

fn mariadb(gateway: &Gateway) -> Command {
    let mut command = gateway.mariadb("mysql");
    command.args(["--force", "-N", "-B", "-r"]);
    command
}

/// One `psql` that goes on after errors.
fn psql(gateway: &Gateway, texts: &[&str]) -> (String, String) {
    let mut command = gateway.psql("postgres");
    command.args(["-A", "-t", "-q", "-F", "\t", "-v", "VERBOSITY=verbose"]);
    for text in texts {
        command.args(["-c", text]);
    }
    run(&mut command)
}

fn has_clients() -> bool {
    let has = program("mariadb") && program("psql");
    if !has {
        skipped("the programs mariadb and psql are missing");
    }
    has
}

/// Chat, the anthropic form, JSON by schema, embeddings: each typed into both clients.
#[test]
fn a_real_model_answers_both_clients() {
    let Some(base) = variable("PENSTOCK_TEST_LLAMA_URL") else { return };
    if !has_clients() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let backend = sample(folder.path());
    for (kind, path) in [("llama_cpp", "/v1/chat/completions"), ("anthropic", "/v1/messages")] {
        let mut settings = model(kind, &format!("{base}{path}"));
        for more in ["embedding_provider=openai".to_owned(), format!("embedding_uri={base}/v1/embeddings")] {
            settings.extend(["--genai".to_owned(), more]);
        }
        let gateway = start(&[&backend], &settings);
        let (out, err) =
            feed(&mut mariadb(&gateway), "LLM: Answer with one word. What colour is grass?; SELECT 1+1");
        let lines: Vec<&str> = out.trim_end().lines().collect();
        assert!(lines.len() >= 2 && lines.last() == Some(&"2"), "{kind}: {out} {err}");
        assert!(out.contains("\tfalse\tdefault\n"), "{kind}: text, explanation, cached, provider: {out}");
        let (out, err) = psql(&gateway, &["LLM: Answer with one word. What colour is grass?", "SELECT 1+1"]);
        assert!(
            out.contains("\ttrue\tdefault\n") && out.ends_with("2\n"),
            "the same question again: {out} {err}"
        );
        let vectors = r#"GENAI: {"type":"embed","documents":["a red car","a blue car"],"format":"csv"}"#;
        let (out, err) = psql(&gateway, &[vectors]);
        let rows: Vec<Vec<f32>> =
            out.lines().map(|l| l.split(',').map(|n| n.parse().expect("a number")).collect()).collect();
        assert!(rows.len() == 2 && rows[0].len() > 100 && rows[0].len() == rows[1].len(), "{out} {err}");
        let (again, err) =
            feed(&mut mariadb(&gateway), &format!("/* GENAI: */ {}", &vectors["GENAI: ".len()..]));
        assert_eq!(again, out, "{err}");
        let metrics = gateway.metrics();
        assert!(metrics.contains("proxysql_genai_llm_requests_total{"), "{metrics}");
        assert!(metrics.contains("proxysql_genai_llm_cache_total{result=\"exact\"} 1\n"), "{metrics}");
    }
}

/// A question becomes a statement for the session's own backend; what a model makes up is refused, and the session goes on.
#[test]
fn questions_become_statements_on_every_port() {
    if !has_clients() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = sample(folder.path());
    let says = |sql: &str| {
        let answer = format!(
            r#"{{\"sql\":\"{sql}\",\"explanation\":\"counts them\",\"tables\":[\"fruit\"],\"confidence\":0.9}}"#
        );
        FakeModel::start(&answer)
    };
    let (good, bad) = (says("SELECT count(*) AS n FROM fruit"), says("SELECT weight FROM fruit"));
    for (model_at, is_good) in [(&good, true), (&bad, false)] {
        let mut settings = model("generic", &model_at.url);
        settings.push("--harvest".to_owned());
        let gateway = start(&[&file], &settings);
        let question = "How many pieces of fruit are there?";
        for (out, err) in [
            feed(&mut mariadb(&gateway), &format!("NL2SQL: {question}; /* nl2sql: */ {question}; SELECT 7")),
            psql(&gateway, &[&format!("NL2SQL: {question}"), &format!("/*NL2SQL:*/ {question}"), "SELECT 7"]),
        ] {
            assert!(out.ends_with("7\n"), "the session goes on: {out} {err}");
            let statements = out.matches("SELECT count(*) AS n FROM fruit\t").count();
            assert_eq!(statements, if is_good { 2 } else { 0 }, "{out} {err}");
            assert_eq!(err.matches("ER_NL2SQL_INVALID_QUERY").count(), if is_good { 0 } else { 2 }, "{err}");
            assert!(is_good || !out.contains("weight"), "the refused statement is not shown: {out}");
        }
    }
}

/// Without a harvest there is nothing to link a question to, and the error says what to do.
#[test]
fn a_question_before_the_harvest_is_a_typed_error() {
    if !has_clients() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let fake = FakeModel::start("never asked");
    let gateway = start(&[&sample(folder.path())], &model("generic", &fake.url));
    let (_, err) = feed(&mut mariadb(&gateway), "NL2SQL: How many?");
    assert!(err.contains("ERROR 1105") && err.contains("FAILED_PRECONDITION"), "{err}");
    let (_, err) = psql(&gateway, &["NL2SQL: How many?"]);
    assert!(err.contains("55000") && err.contains("discovery.run_static"), "{err}");
}

/// Documents come from the session's own backend, through the gate: MariaDB on its port, PostgreSQL on its port.
#[test]
fn documents_come_from_the_backend_of_the_port() {
    let (Some(mariadb_url), Some(postgres_url)) = (mariadb_url(), postgres_url()) else { return };
    if !has_clients() {
        return;
    }
    let gateway = start(&[&mariadb_url, &postgres_url], &["--genai".to_owned(), "enabled=true".to_owned()]);
    let rerank = |query: &str, more: &str| {
        format!(
            r#"GENAI: {{"type":"rerank","query":"red apple","document_from_sql":{{"query":"{query}"{more}}},"top_n":1}}"#
        )
    };
    let three = "SELECT 'blue sky' AS body UNION ALL SELECT 'a red apple' UNION ALL SELECT NULL";
    let (out, err) = feed(&mut mariadb(&gateway), &rerank(three, ""));
    assert!(out.starts_with("1\t") && out.contains("a red apple"), "{out} {err}");
    let (out, err) = psql(&gateway, &[&rerank(three, "")]);
    assert!(out.starts_with("1\t") && out.contains("a red apple"), "{out} {err}");
    // Each port is in front of its own kind of server.
    let version = |name: &str| rerank(&format!("SELECT {name}"), "");
    let (out, err) = feed(&mut mariadb(&gateway), &version("@@version_comment"));
    assert!(err.contains("PERMISSION_DENIED") || !out.is_empty(), "{out} {err}");
    let (out, err) = psql(&gateway, &[&version("current_setting('server_version_num')")]);
    assert!(out.starts_with("0\t") || err.contains("PERMISSION_DENIED"), "{out} {err}");
    for (out, err) in [
        feed(&mut mariadb(&gateway), &format!("{}; SELECT 8", rerank("DELETE FROM t", ""))),
        psql(&gateway, &[&rerank("DELETE FROM t", ""), "SELECT 8"]),
    ] {
        assert!(err.contains("PERMISSION_DENIED"), "{err}");
        assert_eq!(out, "8\n", "the session goes on");
    }
    let (_, err) = psql(&gateway, &[&rerank(three, r#","max_rows":0"#)]);
    assert!(err.contains("54000") && err.contains("LIMIT_EXCEEDED"), "{err}");
    let (_, err) = psql(&gateway, &[&rerank(three, r#","column":"colour""#)]);
    assert!(err.contains("22023") && err.contains("body"), "{err}");
}

/// A model that lies, breaks off or says nothing is an error of the statement, never of the session or the process.
#[test]
fn what_a_lying_model_says_is_a_typed_error() {
    let Some(base) = variable("PENSTOCK_TEST_AIMOCK_URL") else { return };
    if !has_clients() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = start(&[&sample(folder.path())], &model("openai", &format!("{base}/v1/chat/completions")));
    let console = |text: &str| {
        let (_, err) = run(gateway.mariadb("admin").args(["-e", text]));
        assert!(err.is_empty(), "{text}: {err}");
    };
    for (chaos, expected) in [
        ("x-aimock-chaos-malformed", "INTERNAL"),
        ("x-aimock-chaos-disconnect", "UNAVAILABLE"),
        ("x-aimock-chaos-drop", "UNAVAILABLE"),
    ] {
        let options = format!(r#"{{"headers":{{"{chaos}":"1"}}}}"#);
        console(&format!(
            "REPLACE INTO genai_llm_providers (name, provider, url, model, auth_ref, options_json) VALUES \
             ('chaos', 'openai', '{base}/v1/chat/completions', 'm', 'env:PATH', '{options}'); \
             SET genai-llm_max_retries = 1; SET genai-llm_retry_backoff_ms = 10; \
             LOAD GENAI PROVIDERS TO RUNTIME; LOAD GENAI VARIABLES TO RUNTIME"
        ));
        let ask = r#"GENAI: {"type":"llm","prompt":"hello","provider":"chaos","allow_cache":false}"#;
        let (out, err) = feed(&mut mariadb(&gateway), &format!("{ask}; LLM: hello; SELECT 9"));
        assert!(err.contains(expected), "{chaos}: {err}");
        assert!(out.contains("Hello! How can I help you today?") && out.ends_with("9\n"), "{chaos}: {out}");
    }
    let (out, err) = run(gateway.mariadb("admin").args(["-N", "-B", "-e", "SHOW GENAI PROVIDERS"]));
    let names: Vec<&str> = out.lines().filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(names, ["chaos", "default"], "{out} {err}");
}
