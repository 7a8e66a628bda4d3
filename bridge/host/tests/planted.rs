//! Secrets planted in every place that takes one: a whole run of tools, verbs, errors and statistics says none of them again.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use bridge_host::{Host, HostConfig, ListenerOverrides, ServerListener, TargetSpec};
use mcp::{CallContext, Caller, Scope, ToolSet as _};
use mcp_config::{AdminSession, Cell};
use serde_json::{Map, Value, json};

/// Each place has a secret of its own, so that a find names the place.
const PLANTED: &[&str] = &[
    "planted-token-of-the-table",
    "planted-token-of-the-variable",
    "planted-token-that-is-wrong",
    "planted-token-that-was-rotated",
    "planted-password-of-a-url",
    "planted-password-of-a-profile",
    "planted-password-from-a-file",
    "planted-password-of-an-agent",
    "planted-password-of-operations",
    "planted-key-of-a-provider",
    "planted-key-of-column-hashes",
    "planted-key-of-tls",
];

/// Whatever is logged at any level, with every field.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl tracing::field::Visit for Log {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        let _ = writeln!(self.0.lock().expect("no panic"), "{}={value:?}", field.name());
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, attributes: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        attributes.record(&mut self.clone());
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        values.record(&mut self.clone());
    }
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

struct World {
    host: Arc<Host>,
    listener: Arc<ServerListener>,
    said: String,
}

impl World {
    fn hear(&mut self, what: impl std::fmt::Display) {
        let _ = writeln!(self.said, "{what}");
    }

    /// Runs a statement and keeps everything that it answers.
    fn run(&mut self, text: &str) {
        match self.host.admin().execute(&AdminSession::local(), text, &[], 1_000) {
            Ok(reply) => {
                let rows: Vec<String> = reply
                    .rows
                    .iter()
                    .map(|row| row.iter().map(Cell::display).collect::<Vec<_>>().join("|"))
                    .collect();
                self.hear(format!(
                    "{} {:?} {:?} {}",
                    reply.sql,
                    reply.report,
                    reply.columns,
                    rows.join("\n")
                ));
            }
            Err(error) => self.hear(format!("{error} {error:?} {:?}", error.details)),
        }
    }

    fn names(&self, text: &str) -> Vec<String> {
        let reply = self.host.admin().execute(&AdminSession::local(), text, &[], 1_000).expect("lists");
        reply.rows.iter().map(|row| row[0].display()).collect()
    }

    fn call(&mut self, endpoint: &str, tool: &str, arguments: Map<String, Value>) {
        let cx = CallContext::new(Caller::new("planter", Scope::Full), endpoint);
        match self.host.registry().tool_set(endpoint).call(&cx, tool, arguments) {
            Ok(output) => self.hear(format!("{tool}: {output:?}")),
            Err(error) => self.hear(format!("{tool}: {error} {error:?} {}", error.to_value())),
        }
    }

    fn http(&mut self, address: SocketAddr, token: &str) -> u16 {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}).to_string();
        let mut stream = TcpStream::connect(address).expect("connects");
        let head = format!(
            "POST /mcp/query?token={token} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nAccept: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).expect("sends");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answers");
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
        self.hear(answer);
        status
    }
}

fn open(folder: &Path) -> World {
    let file = folder.join("shop.db");
    let shop = rusqlite::Connection::open(&file).expect("opens");
    shop.execute_batch("CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT)").expect("fills");
    let mut config = HostConfig::new(folder.join("data"));
    for url in [
        format!("shop=sqlite:{}", file.display()),
        "far=postgres://reader:planted-password-of-a-url@127.0.0.1:1/shop".to_owned(),
    ] {
        config.targets.push(TargetSpec::parse(&url).expect("a target"));
    }
    let mut said = format!("{config:?}");
    let host = Arc::new(Host::open(config).expect("opens"));
    let _ = writeln!(said, "{host:?}");
    let server = host.server_builder().build().expect("builds");
    host.attach_server(&server);
    let listener = ServerListener::new(server, folder.join("data"), ListenerOverrides::default(), 1);
    let listener = Arc::new(listener.expect("a runtime"));
    host.attach_listener(Arc::clone(&listener) as _).expect("follows");
    World { host, listener, said }
}

fn plant(world: &mut World, folder: &Path) {
    std::fs::write(folder.join("password"), "planted-password-from-a-file\n").expect("writes");
    let key = "-----BEGIN PRIVATE KEY-----\nplanted-key-of-tls\n-----END PRIVATE KEY-----\n";
    std::fs::write(folder.join("key.pem"), key).expect("writes");
    let key = folder.join("key.pem").display().to_string();
    for text in [
        "SET mcp-query_endpoint_auth = 'planted-token-of-the-variable'",
        "INSERT INTO mcp_endpoint_tokens (endpoint, token_name, token) VALUES ('query', 'a', 'planted-token-that-was-rotated')",
        "LOAD MCP TOKENS TO RUNTIME",
        "UPDATE mcp_endpoint_tokens SET token = 'planted-token-of-the-table'",
        "LOAD MCP TOKENS TO RUNTIME",
        "INSERT INTO mcp_auth_profiles (auth_profile_id, db_username, db_password) VALUES ('p', 'u', 'planted-password-of-a-profile')",
        &format!(
            "INSERT INTO mcp_auth_profiles (auth_profile_id, db_username, db_password) VALUES ('f', 'u', 'file:{}')",
            folder.join("password").display()
        ),
        "INSERT INTO mcp_auth_profiles (auth_profile_id, db_username, db_password) VALUES ('o', 'u', 'planted-password-of-operations')",
        "INSERT INTO mcp_target_profiles (target_id, protocol, hostgroup_id, auth_profile_id, admin_auth_profile_id) \
         VALUES ('dead_my', 'mysql', 7, 'p', 'o'), ('dead_pg', 'pgsql', 7, 'f', 'o')",
        "INSERT INTO mcp_backends (hostgroup_id, hostname, port) VALUES (7, '127.0.0.1', 1)",
        "UPDATE mcp_auth_profiles SET db_password = 'planted-password-of-a-profile' WHERE no_such_column = 1",
        "INSERT INTO mcp_auth_profiles VALUES ('planted-password-of-a-profile",
        "SET genai-llm_provider_key = 'planted-key-of-a-provider'",
        "LOAD GENAI VARIABLES TO RUNTIME",
        "SET mcp-column_hash_key = 'planted-key-of-column-hashes'",
        "INSERT INTO mcp_column_rules (table_name, column_name, action) VALUES ('orders', 'note', 'hash')",
        "SET mcp-log_sql = full",
        "SET mcp-use_ssl = false",
        "SET mcp-enabled = true",
        &format!(
            "SET mcp-port = {}",
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port()
        ),
        "LOAD MCP COLUMN RULES TO RUNTIME",
        "LOAD MCP BACKENDS TO RUNTIME",
        "LOAD MCP PROFILES TO RUNTIME",
        "LOAD MCP VARIABLES TO RUNTIME",
        // A key that is none: the listener cannot take it, and says why.
        &format!("SET mcp-ssl_key_file = '{key}'"),
        &format!("SET mcp-ssl_cert_file = '{key}'"),
        "SET mcp-use_ssl = true",
        "LOAD MCP VARIABLES TO RUNTIME",
        &format!("SET mcp-backend_ssl_key = '{key}'"),
        "SET mcp-use_ssl = false",
        "LOAD MCP VARIABLES TO RUNTIME",
    ] {
        world.run(text);
    }
}

/// Every tool of every endpoint with its example, with nothing, and on a target that cannot be reached.
fn use_everything(world: &mut World) {
    for endpoint in world.host.registry().endpoints() {
        let specs = world.host.registry().tool_set(&endpoint).list(&Caller::new("planter", Scope::Full));
        for spec in specs {
            for example in spec.examples.iter().map(|e| e.arguments.clone()).chain([Map::new()]) {
                // Everything moves back from the disk otherwise, and nothing is left to look for.
                if spec.name == "reload_config" {
                    continue;
                }
                world.call(&endpoint, &spec.name, example.clone());
                let takes_target = spec.input_schema["properties"].get("target_id").is_some();
                for target in ["dead_my", "dead_pg", "far"].iter().filter(|_| takes_target) {
                    let mut arguments = example.clone();
                    arguments.insert("target_id".to_owned(), json!(target));
                    world.call(&endpoint, &spec.name, arguments);
                }
            }
        }
    }
    let sql = "INSERT INTO mcp_auth_profiles (auth_profile_id, db_username, db_password) VALUES ('q', 'u', 'planted-password-of-an-agent')";
    let Value::Object(arguments) = json!({"sql": sql}) else { return };
    world.call("/mcp/config", "query", arguments);
    let set = json!({"variable_name": "mcp-query_endpoint_auth", "value": "planted-token-of-the-variable"});
    let Value::Object(arguments) = set else { return };
    world.call("/mcp/config", "set_config", arguments);
}

fn look_everywhere(world: &mut World) {
    for database in ["main", "disk", "stats", "stats_history"] {
        for table in world.names(&format!("SHOW TABLES FROM {database}")) {
            world.run(&format!("SELECT * FROM {database}.{table}"));
            world.run(&format!("SHOW CREATE TABLE {database}.{table}"));
        }
    }
    for verb in world.host.admin().verbs() {
        if verb.starts_with("SHOW") || verb.starts_with("CHECKSUM") || verb.starts_with("SAVE") {
            world.run(&verb);
        }
    }
    for text in ["SHOW VARIABLES", "SELECT @@mcp-query_endpoint_auth", "SELECT @@genai-llm_provider_key"] {
        world.run(text);
    }
    let said = world.host.ai_metrics_text();
    world.hear(said);
    world.hear(format!("{:?}", world.host.gateway().settings()));
    world.hear(format!("{:?} {:?}", world.host.targets(), world.host.admin()));
}

#[test]
fn nothing_that_a_run_says_holds_a_planted_secret() {
    let log = Log::default();
    tracing::subscriber::set_global_default(log.clone()).expect("the first one");
    let folder = tempfile::tempdir().expect("a folder");
    let mut world = open(folder.path());
    plant(&mut world, folder.path());
    let address = *world.listener.addresses().first().expect("it listens");
    for token in ["planted-token-of-the-table", "planted-token-of-the-variable"] {
        assert_eq!(world.http(address, token), 200);
    }
    assert_eq!(world.http(address, "planted-token-that-was-rotated"), 401);
    for _ in 0..40 {
        assert!(matches!(world.http(address, "planted-token-that-is-wrong"), 401 | 429));
    }
    use_everything(&mut world);
    look_everywhere(&mut world);
    world.listener.stop();
    world.host.close();
    let audit = rusqlite::Connection::open(folder.path().join("data/mcp_audit.db")).expect("opens");
    let mut statement = audit.prepare("SELECT * FROM audit_log").expect("reads");
    let width = statement.column_count();
    let mut rows = statement.query([]).expect("reads");
    let mut count = 0;
    while let Some(row) = rows.next().expect("reads") {
        count += 1;
        for at in 0..width {
            world.hear(format!("{:?}", row.get_ref(at).expect("a cell")));
        }
    }
    assert!(count > 40, "{count} audit rows: the run was recorded");
    let logged = log.0.lock().expect("no panic").clone();
    assert!(logged.len() > 1_000, "the log heard something");
    for secret in PLANTED {
        for (place, text) in [("answers", &world.said), ("log", &logged)] {
            if let Some(at) = text.find(secret) {
                let around: String =
                    text.chars().skip(text[..at].chars().count().saturating_sub(300)).take(400).collect();
                panic!("{secret} in the {place}: {around}");
            }
        }
    }
    // Of tokens not even the files know more than hashes.
    for entry in std::fs::read_dir(folder.path().join("data")).expect("reads").flatten() {
        let bytes = std::fs::read(entry.path()).unwrap_or_default();
        for secret in PLANTED.iter().filter(|secret| secret.starts_with("planted-token")) {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} in {}", entry.path().display());
        }
    }
}
