//! Every variable changes something that acts: the whole state of a host is looked at before, with another value, and after.

use std::sync::{Arc, Mutex};

use mcp_config::{
    AdminSession, Candidate, ConfigResult, MCP_VARIABLES, TOKEN_ENDPOINTS, VariableDef, VariableKind,
};

use crate::rows;
use crate::runtime::ConfigConsumer;
use crate::{Host, HostConfig};

/// Variables whose effect is not in the state below, and who acts on them.
const ELSEWHERE: &[(&str, &str)] = &[
    ("data_dir", "decided at start; the layers refuse another value"),
    ("token_min_length", "mcp_config: the check of tokens, which refuses shorter ones"),
];

/// What targets would be built from.
struct Targets(Mutex<String>);

impl ConfigConsumer for Targets {
    fn check(&self, _: &Candidate) -> ConfigResult<()> {
        Ok(())
    }

    fn apply(&self, candidate: &Candidate) {
        let targets = rows::targets(candidate, &std::collections::BTreeMap::new());
        let connects: Vec<_> = targets.expect("valid").into_iter().map(|target| target.connect).collect();
        let text: Vec<String> = connects
            .iter()
            .map(|c| {
                let files = (&c.tls_ca_file, &c.tls_cert_file, &c.tls_key_file);
                format!("{files:?} {}", c.connect_timeout_ms)
            })
            .collect();
        *self.0.lock().expect("no panic") = text.join("; ");
    }
}

struct World {
    host: Host,
    targets: Arc<Targets>,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("shop.db");
        std::fs::write(&file, "").expect("writes");
        let mut config = HostConfig::new(folder.path().join("data"));
        let target = format!("shop=sqlite:{}", file.display());
        config.targets.push(crate::TargetSpec::parse(&target).expect("a target"));
        let host = Host::open(config).expect("opens");
        let targets = Arc::new(Targets(Mutex::default()));
        host.add_consumer(Arc::clone(&targets) as Arc<_>);
        let world = Self { host, targets, _folder: folder };
        world.run("LOAD MCP VARIABLES TO RUNTIME");
        world
    }

    fn run(&self, text: &str) -> Vec<Vec<String>> {
        let reply = self.host.admin().execute(&AdminSession::local(), text, &[], 100);
        let rows = reply.unwrap_or_else(|error| panic!("{text}: {error}")).rows;
        rows.iter().map(|row| row.iter().map(mcp_config::Cell::display).collect()).collect()
    }

    /// Everything that the parts of the host hold.
    fn state(&self) -> String {
        let runtime = &self.host.runtime;
        let settings = runtime.gateway.settings();
        let parts = runtime.parts.get().expect("open");
        let tokens: Vec<usize> =
            TOKEN_ENDPOINTS.iter().map(|name| runtime.tokens.active(&format!("/mcp/{name}"))).collect();
        let (server, wanted) = {
            let state = runtime.lock();
            (state.server_config.clone(), state.wanted.clone())
        };
        [
            format!("{settings:?} key {}", settings.column_hash_key.expose().len()),
            format!("{server:?} {wanted:?} {tokens:?}"),
            format!("{:?} {:?}", parts.memory.settings(), self.host.stats.hub.settings()),
            format!(
                "{:?} {:?}",
                self.host.catalog().path(),
                parts.memory.data.as_ref().map(|data| data.path())
            ),
            format!("{:?} {:?}", self.host.audit.facts(), self.run("SHOW DATABASES")),
            self.targets.0.lock().expect("no panic").clone(),
        ]
        .join("\n")
    }
}

fn other_value(variable: &VariableDef) -> String {
    match variable.kind {
        VariableKind::Bool => (variable.default != "true").to_string(),
        VariableKind::Int { min, max } => {
            let now: i64 = variable.default.parse().expect("a number");
            (if now < max { now + 1 } else { min }).to_string()
        }
        VariableKind::Num { .. } => "0.5".to_owned(),
        VariableKind::Enum(words) => {
            (*words.iter().find(|w| **w != variable.default).expect("two")).to_owned()
        }
        VariableKind::Secret { .. } => "a planted secret of good length".to_owned(),
        _ if variable.name == "bind_address" => "127.0.0.2".to_owned(),
        _ => format!("another_{}", variable.name),
    }
}

#[test]
fn every_variable_acts() {
    let world = World::new();
    let first = world.state();
    for variable in MCP_VARIABLES {
        let name = variable.name;
        if ELSEWHERE.iter().any(|(other, _)| *other == name) {
            continue;
        }
        // Certificate and key come in pairs.
        let names = if name.starts_with("ssl_") && !name.contains("client") && name.ends_with("_file") {
            vec!["ssl_cert_file", "ssl_key_file"]
        } else {
            vec![name]
        };
        let set = |value: &str| {
            for name in &names {
                world.run(&format!("SET mcp-{name} = '{value}'"));
            }
            world.run("LOAD MCP VARIABLES TO RUNTIME");
        };
        set(&other_value(variable));
        assert_ne!(world.state(), first, "mcp-{name}: nobody acts on it");
        set(variable.default);
        assert_eq!(world.state(), first, "mcp-{name}: something stays behind");
    }
    world.host.close();
}

#[test]
fn what_acts_elsewhere_does() {
    let world = World::new();
    let refused = |text: &str| {
        world.host.admin().execute(&AdminSession::local(), text, &[], 1).expect_err("must be refused").message
    };
    world.run("SET mcp-token_min_length = 40");
    world.run("LOAD MCP VARIABLES TO RUNTIME");
    world.run("INSERT INTO mcp_endpoint_tokens (endpoint, token_name, token) VALUES ('query', 'a', 'thirty characters are too few')");
    assert!(refused("LOAD MCP TOKENS TO RUNTIME").contains("token_min_length"));
    assert!(refused("SET mcp-data_dir = '/elsewhere'").contains("start"));
    world.host.close();
}
