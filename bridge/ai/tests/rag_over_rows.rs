//! Rows of a database become searchable documents through the tools alone, and the pipeline's rules hold for ingestion too.

use std::sync::Arc;

use ai_core_embed::HashedEmbedder;
use ai_core_rag::Rag;
use bridge_ai::{GatewayConnector, rag_tools};
use harvest::Protocol;
use harvest_gateway::{BackendConfig, Gateway, RuleConfig, Settings, StaticDirectory, TargetConfig};
use harvest_sqlite::SqliteDriver;
use mcp::{CallContext, Caller, Scope, ToolHandler};
use serde_json::{Value, json};

struct World {
    _folder: tempfile::TempDir,
    gateway: Arc<Gateway>,
    database: std::path::PathBuf,
    tools: mcp_tools::Toolbox,
}

fn world() -> World {
    let folder = tempfile::tempdir().expect("folder");
    let database = folder.path().join("shop.db");
    let connection = rusqlite::Connection::open(&database).expect("opens");
    connection
        .execute_batch(
            "CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT NOT NULL, body TEXT, price REAL, changed INTEGER);
             INSERT INTO products VALUES (1, 'Glacier tent', 'A tunnel tent for winter storms above the tree line.', 499.5, 1),
               (2, 'Ember stove', 'A small stove that burns wood and boils water quickly.', 79.0, 2),
               (3, 'Fjord jacket', 'A waxed jacket that keeps rain out on long bicycle tours.', 220.0, 3);",
        )
        .expect("fills");
    let backends = vec![BackendConfig::new(0, database.display().to_string(), 0)];
    let gateway = Gateway::new(
        vec![Arc::new(SqliteDriver)],
        Arc::new(StaticDirectory::new(backends)),
        Settings::default(),
    );
    gateway.set_targets(vec![TargetConfig::new("shop", Protocol::Sqlite, 0)]);
    let rag = Rag::builder(folder.path().join("rag.db"))
        .embedder("builtin", Arc::new(HashedEmbedder::default()))
        .connector(Arc::new(GatewayConnector::new(Arc::clone(&gateway))))
        .open()
        .expect("opens");
    World { tools: rag_tools(&Arc::new(rag)), _folder: folder, gateway, database }
}

impl World {
    fn call(&self, tool: &str, args: Value) -> Result<Value, mcp::ToolError> {
        let cx = CallContext::new(Caller::new("tester", Scope::Full), "/mcp/rag");
        let Value::Object(args) = args else { panic!("arguments are an object") };
        self.tools.call(&cx, tool, args).map(|output| output.structured.expect("structured"))
    }

    fn put(&self) {
        let source = json!({
            "name": "products", "backend_type": "sqlite", "target_id": "shop", "table_name": "products", "pk_column": "id",
            "doc_map_json": {"title": {"concat": [{"col": "name"}]}, "body": {"concat": [{"col": "body"}]},
                             "metadata": {"pick": ["price"]}, "language": "en"},
            "embedding_json": {"enabled": true, "provider": "builtin"}
        });
        self.call("rag.admin.source_put", json!({"source": source})).expect("puts");
    }

    fn sync(&self) -> Value {
        self.call("rag.admin.sync", json!({"mode": "full", "wait_ms": 20000})).expect("syncs")
    }

    fn search(&self, query: &str) -> Vec<String> {
        let answer = self.call("rag.search_hybrid", json!({"query": query, "k": 3})).expect("searches");
        answer["results"]
            .as_array()
            .expect("results")
            .iter()
            .map(|hit| hit["title"].as_str().unwrap_or_default().to_owned())
            .collect()
    }
}

#[test]
fn rows_become_documents_and_changes_follow() {
    let world = world();
    world.put();
    let job = world.sync();
    assert_eq!(job["state"], "succeeded", "{job}");
    assert_eq!(world.search("tent for winter storms")[0], "Glacier tent");
    assert_eq!(world.search("rain on bicycle tours")[0], "Fjord jacket");
    let connection = rusqlite::Connection::open(&world.database).expect("opens");
    connection
        .execute_batch("UPDATE products SET body = 'Now a lantern that lights the camp.' WHERE id = 2; DELETE FROM products WHERE id = 3")
        .expect("changes");
    world.sync();
    assert_eq!(world.search("lantern for the camp")[0], "Ember stove");
    assert!(!world.search("rain on bicycle tours").contains(&"Fjord jacket".to_owned()));
    let stats = world.call("rag.admin.stats", json!({})).expect("stats");
    assert_eq!(stats["sources"][0]["docs"], 2, "{stats}");
}

#[test]
fn fetched_rows_come_from_the_database_as_they_are_now() {
    let world = world();
    world.put();
    world.sync();
    let hits = world.call("rag.search_fts", json!({"query": "stove"})).expect("searches");
    let doc_id = hits["results"][0]["doc_id"].clone();
    let connection = rusqlite::Connection::open(&world.database).expect("opens");
    connection.execute("UPDATE products SET price = 80.25 WHERE id = 2", []).expect("changes");
    let fetched = world
        .call("rag.fetch_from_source", json!({"doc_ids": [doc_id], "columns": ["price"]}))
        .expect("fetches");
    assert_eq!(fetched["rows"][0]["row"]["price"], 80.25, "{fetched}");
}

#[test]
fn a_rule_that_blocks_ingestion_blocks_it() {
    let world = world();
    world.put();
    let mut rule = RuleConfig::new(1);
    rule.tool_name = Some("rag.sync".to_owned());
    rule.error_msg = Some("not at this hour".to_owned());
    world.gateway.set_rules(vec![rule], None).expect("a sound rule");
    let job = world.call("rag.admin.sync", json!({"mode": "full", "wait_ms": 20000}));
    let text = match &job {
        Ok(job) => job.to_string(),
        Err(error) => error.to_string(),
    };
    assert!(text.contains("not at this hour") || text.contains("failed"), "{text}");
    assert!(world.search("tent").is_empty());
}

#[test]
fn every_descriptor_is_sound() {
    let world = world();
    let registry = Arc::new(bridge::ToolHandlerRegistry::new());
    registry.register("/mcp/rag", Arc::new(world.tools)).expect("sound descriptors");
    assert_eq!(registry.tool_count("/mcp/rag"), 13);
}
