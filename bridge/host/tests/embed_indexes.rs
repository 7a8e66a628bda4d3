//! Embedding indexes of a whole host, over SQLite and over the live servers that variables name: six tools, three strategies, a
//! restart, what another definition and a missing index say.

use bridge_host::{Host, HostConfig, TargetSpec};
use mcp::{CallContext, Caller, ErrorCode, Scope, ToolError, ToolSet as _};
use mysql::prelude::Queryable as _;
use serde_json::{Value, json};

const ROWS: &str = "(1, 'Glacier tent', 'shelter for winter storms above the tree line', 3), \
    (2, 'Ember stove', 'burns wood and boils water', 5), (3, 'Fjord jacket', 'waxed, keeps rain out on long tours', 7), \
    (4, 'Old tent', NULL, 0)";

fn call(host: &Host, tool: &str, args: Value) -> Result<Value, ToolError> {
    let set = host.registry().tool_set("/mcp/ai");
    let cx = CallContext::new(Caller::new("tester", Scope::Full), "/mcp/ai");
    let Value::Object(args) = args else { panic!("arguments are an object") };
    set.call(&cx, tool, args).map(|output| output.structured_value().expect("structured"))
}

fn code(result: Result<Value, ToolError>) -> ErrorCode {
    result.expect_err("refused").code
}

/// Everything that the six tools promise, on one target whose table `things` holds the four rows.
fn walk(host: &Host, target: &str, schema: &str) {
    let with = |mut args: Value, more: Value| {
        let (Value::Object(map), Value::Object(more)) = (&mut args, more) else { panic!("objects") };
        map.extend(more);
        args
    };
    let table = json!({"schema": schema, "table": "things", "target_id": target});
    let definition = |strategy: &str| {
        with(
            table.clone(),
            json!({"columns": "name, body", "primary_key": ["id"], "model": "default", "strategy": strategy,
                "where_clause": "stock > 0", "wait_ms": 30_000}),
        )
    };
    for strategy in ["concat", "average", "separate"] {
        let made = call(host, "embed_index_table", definition(strategy)).expect("is made");
        assert_eq!(made["state"], "succeeded", "{target} {strategy}: {made}");
        assert_eq!(made["index"], format!("{target}/{schema}/things"));
        let found =
            call(host, "embed_search", json!({"query": "keeps rain out", "target_id": target, "limit": 2}))
                .expect("searches");
        let best = &found["results"][0];
        assert_eq!((&best["pk"]["id"], &best["table"]), (&json!(3), &json!("things")), "{strategy}: {found}");
        assert_eq!(best.get("column").is_some(), strategy == "separate", "{found}");
        assert!(strategy != "separate" || best["column"] == "body", "{found}");
        let rows: Vec<&Value> =
            found["results"].as_array().expect("rows").iter().map(|r| &r["pk"]["id"]).collect();
        assert!(rows.len() == 2 && rows[0] != rows[1], "each row once: {found}");
        let near = json!({"query": "keeps rain out", "target_id": target, "max_distance": 0.0001});
        assert_eq!(call(host, "embed_search", near).expect("searches")["results"], json!([]));
        let only = json!({"query": "keeps rain out", "target_id": target, "max_distance": 2, "filters": {"metadata": {"id": 2}}});
        let found = call(host, "embed_search", only).expect("searches");
        assert_eq!(found["results"][0]["pk"]["id"], 2, "{found}");
        let listed = call(host, "embed_list_indexes", json!({"target_id": target})).expect("lists");
        let index = &listed["indexes"][0];
        assert_eq!(
            (&index["row_count"], &index["state"]),
            (&json!(3), &json!("ready")),
            "{strategy}: {index}"
        );
        assert_eq!(index["embedding_strategy"], strategy);
        assert_eq!(
            (&index["columns"], &index["where_clause"]),
            (&json!(["name", "body"]), &json!("stock > 0"))
        );
        assert!(index["vector_dim"].as_u64() > Some(0) && index["indexed_at"].as_i64() > Some(0), "{index}");
        let other = if strategy == "concat" { "average" } else { "concat" };
        assert_eq!(code(call(host, "embed_index_table", definition(other))), ErrorCode::Conflict);
        let again = call(host, "embed_index_table", definition(strategy)).expect("an equal one goes on");
        assert_eq!(again["state"], "succeeded", "{again}");
        let run = call(host, "embed_reindex", with(table.clone(), json!({"mode": "full"}))).expect("runs");
        assert_eq!(run["accepted"], true);
        settle(host, target);
        let gone = call(host, "embed_delete_index", table.clone()).expect("deletes");
        assert_eq!(gone, json!({"deleted": true, "rows": 3, "stats": gone["stats"]}));
        assert_eq!(code(call(host, "embed_delete_index", table.clone())), ErrorCode::NotFound);
        let after = json!({"query": "tent", "target_id": target, "schema": schema, "table": "things"});
        assert_eq!(code(call(host, "embed_search", after)), ErrorCode::NotFound);
    }
    let missing = with(definition("concat"), json!({"table": "nothing_there"}));
    assert!(call(host, "embed_index_table", missing).is_err(), "there is no such table");
    let missing = with(definition("concat"), json!({"columns": "colour"}));
    assert_eq!(code(call(host, "embed_index_table", missing)), ErrorCode::NotFound);
    let write = with(definition("concat"), json!({"where_clause": "1=1; DELETE FROM things"}));
    assert!(call(host, "embed_index_table", write).is_err(), "a condition is no statement");
    assert_eq!(call(host, "embed_list_indexes", json!({})).expect("lists")["indexes"], json!([]));
}

/// Waits until no job runs on a target.
fn settle(host: &Host, target: &str) {
    for _ in 0..400 {
        let listed = call(host, "embed_list_indexes", json!({"target_id": target})).expect("lists");
        if listed["indexes"].as_array().expect("a list").iter().all(|index| index["state"] != "building") {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("a job on {target} does not end");
}

fn config(folder: &std::path::Path) -> HostConfig {
    HostConfig::new(folder.join("data"))
}

#[test]
fn tables_of_a_file_are_indexed_and_survive_a_restart() {
    let folder = tempfile::tempdir().expect("folder");
    let database = folder.path().join("shop.db");
    rusqlite::Connection::open(&database)
        .expect("opens")
        .execute_batch(&format!(
            "CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT, body TEXT, stock INTEGER); INSERT INTO things VALUES {ROWS}"
        ))
        .expect("fills");
    let open = || {
        let mut config = config(folder.path());
        config
            .targets
            .push(TargetSpec::parse(&format!("shop=sqlite:{}", database.display())).expect("a target"));
        Host::open(config).expect("opens")
    };
    let host = open();
    walk(&host, "shop", "main");
    let definition = json!({"schema": "main", "table": "things", "columns": ["name"], "primary_key": "id",
        "model": "default", "wait_ms": 30_000});
    call(&host, "embed_index_table", definition).expect("is made");
    assert_eq!(code(call(&host, "embed_rebuild_all", json!({"confirm": false}))), ErrorCode::InvalidArgument);
    host.close();
    drop(host);
    let host = open();
    let found = call(&host, "embed_search", json!({"query": "tent", "max_distance": 2})).expect("searches");
    assert_eq!(found["results"].as_array().map(Vec::len), Some(4), "no condition this time: {found}");
    let jobs = call(&host, "embed_rebuild_all", json!({"confirm": true})).expect("rebuilds");
    assert_eq!(jobs["jobs"].as_array().map(Vec::len), Some(1));
    settle(&host, "shop");
    // What retrieval indexes is not seen here, and these indexes are not seen there.
    let set = host.registry().tool_set("/mcp/rag");
    let cx = CallContext::new(Caller::new("tester", Scope::Full), "/mcp/rag");
    let sources = set.call(&cx, "rag.admin.sources", serde_json::Map::new()).expect("lists");
    assert_eq!(sources.structured_value().expect("structured")["sources"], json!([]));
    host.close();
}

#[test]
fn tables_of_live_servers_are_indexed() {
    let url = |name: &str| {
        let url = std::env::var(name).ok().filter(|url| !url.is_empty());
        if url.is_none() {
            eprintln!("SKIPPED: {name} names no server");
        }
        url
    };
    let folder = tempfile::tempdir().expect("folder");
    if let Some(url) = url("PENSTOCK_TEST_MARIADB_URL") {
        let name = format!("penstock_embed_{}", std::process::id());
        let mut client = mysql::Conn::new(mysql::Opts::from_url(&url).expect("a URL")).expect("connects");
        for statement in [
            format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"),
            format!(
                "CREATE TABLE {name}.things (id INT PRIMARY KEY, name VARCHAR(80), body TEXT, stock INT)"
            ),
            format!("INSERT INTO {name}.things VALUES {ROWS}"),
        ] {
            client.query_drop(statement).expect("fills");
        }
        let mut config = config(&folder.path().join("mariadb"));
        config.allow_privileged_backend = true;
        config.targets.push(
            TargetSpec::parse(&format!("shop={}/{name}", url.trim_end_matches('/'))).expect("a target"),
        );
        let host = Host::open(config).expect("opens");
        walk(&host, "shop", &name);
        host.close();
        client.query_drop(format!("DROP DATABASE {name}")).expect("cleans");
    }
    if let Some(url) = url("PENSTOCK_TEST_POSTGRES_URL") {
        let name = format!("penstock_embed_{}", std::process::id());
        let mut client = postgres::Client::connect(&url, postgres::NoTls).expect("connects");
        client
            .batch_execute(&format!(
                "CREATE SCHEMA {name}; CREATE TABLE {name}.things (id int PRIMARY KEY, name text, body text, stock int); \
                 INSERT INTO {name}.things VALUES {ROWS}"
            ))
            .expect("fills");
        let mut config = config(&folder.path().join("postgres"));
        config.allow_privileged_backend = true;
        config.targets.push(TargetSpec::parse(&format!("shop={url}")).expect("a target"));
        let host = Host::open(config).expect("opens");
        walk(&host, "shop", &name);
        host.close();
        client.batch_execute(&format!("DROP SCHEMA {name} CASCADE")).expect("cleans");
    }
}
