//! The second and third phase: an open host with its parts, and the server over them; it does not listen by itself.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use ai_core::Deadline;
use ai_core_rag::Rag;
use bridge::{NameStyle, ObserverLayer, ToolHandlerRegistry, ToolLayer};
use harvest_catalog::{Catalog, DataIndexes, LogOptions, LogWriter, StoreOptions};
use harvest_gateway::{CallScope, Gateway, StaticDirectory, TargetInfo};
use mcp::{Change, ChangeFeed, Endpoint, Scope, ServerInfo, ToolHandler as _};
use mcp_server::{Server, ServerBuilder, ServerConfig, TokenTable};
use mcp_tools::{
    CatalogCompleter, CatalogDeps, CatalogPrompts, CatalogResources, ToolDeps, add_catalog_tools, query_tools,
};

use crate::call_log::CallLog;
use crate::config::HostConfig;
use crate::drivers;
use crate::error::HostError;
use crate::rag;
use crate::tokens::{self, TokenFile};

/// How long a running ingestion may take to reach its next commit when the host closes, in milliseconds.
const RAG_STOP_MS: u64 = 5_000;

/// The endpoint of inventory, SQL, discovery and memory.
pub(crate) const QUERY: &str = "/mcp/query";

const QUERY_INSTRUCTIONS: &str = "Read-only access to relational databases and what is known about them. \
Begin with list_targets. Find tables with catalog.search in plain words, look at one with catalog.get_object or describe_table, \
see how tables join with suggest_joins, then run one SELECT at a time with run_sql_readonly. \
Anything that would change data is refused. Keep what you learn with the llm.* tools.";

/// An open host: stores are open, targets are known, tools are registered. Share it behind an `Arc`.
pub struct Host {
    gateway: Arc<Gateway>,
    catalog: Catalog,
    registry: Arc<ToolHandlerRegistry>,
    deps: ToolDeps,
    memory: CatalogDeps,
    prompts: Arc<CatalogPrompts>,
    pub(crate) rag: Arc<Rag>,
    changes: ChangeFeed,
    tokens: Arc<TokenTable>,
    token_file: TokenFile,
    /// Serialises changes of the token file.
    token_change: Mutex<()>,
    server: ServerConfig,
}

impl Host {
    /// Opens the stores and registers the tools. No backend is contacted yet.
    ///
    /// # Errors
    /// What the folder, a store or the token file fails with; a handler that does not fit.
    pub fn open(config: HostConfig) -> Result<Self, HostError> {
        private_folder(&config.data_dir)?;
        let catalog = Catalog::open(StoreOptions::new(config.data_dir.join("mcp_catalog.db")))?;
        let (mut targets, mut backends) = (Vec::new(), Vec::new());
        for (spec, hostgroup_id) in config.targets.iter().zip(0u32..) {
            let (target, backend) = spec.configs(hostgroup_id);
            targets.push(target);
            backends.push(backend);
        }
        let gateway = Gateway::new(drivers::all(), Arc::new(StaticDirectory::new(backends)), config.settings);
        gateway.set_targets(targets);
        let changes = ChangeFeed::new();
        let deps = ToolDeps::new(Arc::clone(&gateway), Some(catalog.clone()))?;
        let logs = Arc::new(LogWriter::start(catalog.clone(), LogOptions::default())?);
        let layers: Vec<Arc<dyn ToolLayer>> =
            vec![Arc::new(ObserverLayer::new(Arc::new(CallLog(Arc::clone(&logs)))))];
        let registry = Arc::new(ToolHandlerRegistry::with_layers(NameStyle::Dotted, layers));
        let data = DataIndexes::open(StoreOptions::new(config.data_dir.join("mcp_fts.db")))?;
        let memory = CatalogDeps::new(deps.clone(), Some(data)).with_logs(logs).with_changes(changes.clone());
        let tools = add_catalog_tools(query_tools(&deps), &memory);
        let prompts = Arc::new(CatalogPrompts::new(&memory, tools.specs()));
        registry.register(QUERY, Arc::new(tools))?;
        let rag = rag::open(&config.data_dir, &gateway)?;
        registry.register(rag::RAG, Arc::new(bridge_ai::rag_tools(&rag)))?;
        let token_file = TokenFile::new(&config.data_dir);
        let tokens = Arc::new(TokenTable::new());
        tokens.replace(token_file.read()?);
        Ok(Self {
            gateway,
            catalog,
            registry,
            deps,
            memory,
            prompts,
            rag,
            changes,
            tokens,
            token_file,
            token_change: Mutex::new(()),
            server: config.server,
        })
    }

    /// The registry: a host adds its own handlers here.
    #[must_use]
    pub fn registry(&self) -> &Arc<ToolHandlerRegistry> {
        &self.registry
    }

    /// The SQL pipeline.
    #[must_use]
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// The discovery catalog.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The targets as they stand.
    #[must_use]
    pub fn targets(&self) -> Vec<TargetInfo> {
        self.gateway.targets(&CallScope::new("list_targets", "host"))
    }

    /// Tells subscribed clients that resources have changed, after a harvest for instance.
    pub fn announce(&self) {
        self.changes.publish(&Change::Resources);
    }

    /// The endpoints with everything that belongs to them.
    #[must_use]
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let paths = self.registry.endpoints();
        let endpoint = |path: &String| {
            let endpoint = Endpoint::new(path.as_str(), self.registry.tool_set(path))
                .with_changes(self.changes.clone())
                .with_optional_sessions();
            match path.as_str() {
                QUERY => self.query_endpoint(endpoint),
                rag::RAG => endpoint.with_instructions(rag::RAG_INSTRUCTIONS),
                _ => endpoint,
            }
        };
        paths.iter().map(endpoint).collect()
    }

    fn query_endpoint(&self, endpoint: Endpoint) -> Endpoint {
        endpoint
            .with_instructions(QUERY_INSTRUCTIONS)
            .with_resources(Arc::new(CatalogResources::new(&self.memory)))
            .with_prompts(Arc::clone(&self.prompts) as Arc<_>)
            .with_completer(Arc::new(CatalogCompleter::new(&self.memory)))
    }

    /// A server with this host's endpoints and tokens; add TLS, then build and serve it.
    #[must_use]
    pub fn server_builder(&self) -> ServerBuilder {
        let info = ServerInfo::new("penstock", env!("CARGO_PKG_VERSION"));
        let builder = Server::builder(info)
            .config(self.server.clone())
            .authenticator(Arc::clone(&self.tokens) as Arc<_>);
        self.endpoints().into_iter().fold(builder, ServerBuilder::endpoint)
    }

    /// The names of an endpoint's tokens.
    ///
    /// # Errors
    /// When the token file cannot be read.
    pub fn token_names(&self, endpoint: &str) -> Result<Vec<String>, HostError> {
        let records = self.token_file.read()?;
        Ok(records.into_iter().filter(|r| r.endpoint == endpoint).map(|r| r.token_name).collect())
    }

    /// Makes a random token, keeps its hash, takes it into use, and returns it this once. One of the same name is replaced.
    ///
    /// # Errors
    /// When the token file cannot be written.
    pub fn issue_token(&self, endpoint: &str, name: &str, scope: Scope) -> Result<String, HostError> {
        let token = tokens::random_token()?;
        let record = tokens::record(endpoint, name, &token, scope)?;
        let _change = self.token_change.lock().unwrap_or_else(PoisonError::into_inner);
        let mut records = self.token_file.read()?;
        records.retain(|r| r.endpoint != endpoint || r.token_name != name);
        records.push(record);
        self.token_file.write(&records)?;
        self.tokens.replace(records);
        Ok(token)
    }

    /// Takes one given token into use for every endpoint, with scope `full`, beside the kept ones. It is not kept.
    ///
    /// # Errors
    /// When the system has no randomness for the salt, or the token file cannot be read.
    pub fn use_token(&self, name: &str, token: &str) -> Result<(), HostError> {
        let mut records = self.token_file.read()?;
        for endpoint in self.registry.endpoints() {
            records.push(tokens::record(&endpoint, name, token, Scope::Full)?);
        }
        self.tokens.replace(records);
        Ok(())
    }

    /// What handlers of the host's own need to work like the built-in ones.
    #[must_use]
    pub fn tool_deps(&self) -> &ToolDeps {
        &self.deps
    }

    /// Stops background work and closes the pools; running statements finish.
    pub fn close(&self) {
        self.rag.shutdown(Deadline::after_ms(RAG_STOP_MS));
        self.gateway.close();
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("registry", &self.registry).finish_non_exhaustive()
    }
}

/// Makes the data folder, open to its owner only.
fn private_folder(path: &Path) -> Result<(), HostError> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|e| HostError::file(path, e))
}
