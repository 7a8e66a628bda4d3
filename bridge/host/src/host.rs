//! The second and third phase: an open host with its parts, and the server over them; it does not listen by itself.

use std::path::Path;
use std::sync::Arc;

use ai_core::Deadline;
use ai_core_rag::Rag;
use bridge::{NameStyle, ObserverLayer, ToolHandlerRegistry, ToolLayer};
use harvest_catalog::{Catalog, DataIndexes, LogOptions, LogWriter, StoreOptions};
use harvest_gateway::{CallScope, Gateway, TargetInfo};
use mcp::{Change, ChangeFeed, Endpoint, ServerInfo, ToolHandler as _};
use mcp_config::{AdminSession, AdminSql};
use mcp_server::{Server, ServerBuilder};
use mcp_tools::{
    CallBook, CallerNames, CatalogCompleter, CatalogDeps, CatalogPrompts, CatalogResources, McpStatsTables,
    OpsDeps, ToolDeps, add_catalog_tools, config_tools, query_tools,
};

use crate::ai::{AI, AI_INSTRUCTIONS, AiSide, AiSwitch};
use crate::ai_stats::{AiMetrics, Counted, GenaiStats};
use crate::auditing::Auditor;
use crate::call_log::CallLog;
use crate::config::HostConfig;
use crate::configuration;
use crate::drivers;
use crate::error::HostError;
use crate::ops::{self, BookHooks, BookLayer};
use crate::rag;
use crate::runtime::{HostRuntime, Parts, TableDirectory};
use crate::statistics::{METRICS_PATH, MetricsPage, StatsSide, Usage};
use crate::stores::Stores;

/// How long a running ingestion may take to reach its next commit when the host closes, in milliseconds.
const RAG_STOP_MS: u64 = 5_000;

/// The audit log until the configuration names another one.
const AUDIT_FILE: &str = "mcp_audit.db";

/// The endpoint of inventory, SQL, discovery and memory.
pub(crate) const QUERY: &str = "/mcp/query";

/// The endpoint of the running configuration.
pub(crate) const CONFIG: &str = "/mcp/config";

const CONFIG_INSTRUCTIONS: &str = "The running configuration of this server. Begin with get_status, find variables with \
list_variables, read one with get_config and change it with set_config. query takes SQL and verbs such as \
LOAD MCP VARIABLES TO RUNTIME; reload_config moves whole modules between layers. Secrets are never shown.";

const QUERY_INSTRUCTIONS: &str = "Read-only access to relational databases and what is known about them. \
Begin with list_targets. Find tables with catalog.search in plain words, look at one with catalog.get_object or describe_table, \
see how tables join with suggest_joins, then run one SELECT at a time with run_sql_readonly. \
Anything that would change data is refused. Keep what you learn with the llm.* tools.";

/// An open host: stores are open, targets are known, tools are registered. Share it behind an `Arc`.
pub struct Host {
    pub(crate) audit: Arc<Auditor>,
    book: Arc<CallBook>,
    pub(crate) stats: Arc<StatsSide>,
    ops: OpsDeps,
    gateway: Arc<Gateway>,
    catalog: Catalog,
    registry: Arc<ToolHandlerRegistry>,
    deps: ToolDeps,
    memory: CatalogDeps,
    prompts: Arc<CatalogPrompts>,
    pub(crate) rag: Arc<Rag>,
    pub(crate) ai: Arc<AiSide>,
    changes: ChangeFeed,
    pub(crate) admin: Arc<AdminSql>,
    pub(crate) runtime: Arc<HostRuntime>,
}

impl Host {
    /// Opens configuration and stores, puts the configuration into use, then registers the tools. No backend is contacted
    /// yet. A configuration that is refused does not fail this: nothing of it runs, and [`AdminSql::start_refusal`] says why.
    ///
    /// # Errors
    /// What the folder or a store fails with; a handler that does not fit.
    pub fn open(mut config: HostConfig) -> Result<Self, HostError> {
        config.settings.allow_privileged_backend |= config.allow_privileged_backend;
        private_folder(&config.data_dir)?;
        if config.backends.is_some() && !config.targets.is_empty() {
            let message = "a host that keeps its own backends takes no targets with theirs".to_owned();
            return Err(HostError::Target(message));
        }
        let directory = Arc::new(TableDirectory::new(config.backends.clone()));
        let gateway = Gateway::new(drivers::all(), Arc::clone(&directory) as _, config.settings.clone());
        let log = Arc::new(CallLog::default());
        let book = CallBook::new();
        let audit = Auditor::open(&config.data_dir.join(AUDIT_FILE))?;
        let layers: Vec<Arc<dyn ToolLayer>> = vec![
            Arc::new(BookLayer(Arc::clone(&book))),
            Arc::clone(&audit) as _,
            Arc::new(ObserverLayer::new(Arc::clone(&log) as _)),
        ];
        let registry = Arc::new(ToolHandlerRegistry::with_layers(NameStyle::Dotted, layers));
        let runtime = Arc::new(HostRuntime::new(
            Arc::clone(&gateway),
            directory,
            Arc::clone(&registry),
            (config.settings.clone(), config.server.clone()),
            configuration::extra(&config.targets),
            Arc::clone(&audit),
        ));
        runtime.add_consumer(Arc::clone(&audit) as Arc<_>);
        let stats = StatsSide::new(Arc::clone(&registry));
        runtime.add_consumer(Arc::clone(&stats) as Arc<_>);
        let genai = AiSwitch::new();
        runtime.add_consumer(Arc::clone(&genai) as Arc<_>);
        let admin = configuration::open(&config, Arc::clone(&runtime), Arc::clone(&genai))?;
        let store = |variable: &str| -> Result<StoreOptions, HostError> {
            let reply = admin.execute(&AdminSession::local(), &format!("SELECT @@mcp-{variable}"), &[], 1)?;
            let path = reply.rows.first().and_then(|row| row.first()).and_then(|cell| cell.as_str());
            Ok(StoreOptions::new(config.data_dir.join(path.unwrap_or_default())))
        };
        let catalog = Catalog::open(store("catalog_path")?)?;
        let changes = ChangeFeed::new();
        let deps = ToolDeps::new(Arc::clone(&gateway), Some(catalog.clone()))?;
        let logs = Arc::new(LogWriter::start(catalog.clone(), LogOptions::default())?);
        log.start(Arc::clone(&logs));
        let data = DataIndexes::open(store("fts_path")?)?;
        runtime.add_consumer(Arc::new(Stores::new(catalog.clone(), data.clone())));
        let memory = CatalogDeps::new(deps.clone(), Some(data.clone()))
            .with_usage(Arc::new(Usage { book: Arc::clone(&book), catalog: catalog.clone() }))
            .with_logs(Arc::clone(&logs))
            .with_changes(changes.clone());
        let query = add_catalog_tools(query_tools(&deps), &memory);
        let prompts = Arc::new(CatalogPrompts::new(&memory, query.specs()));
        let tools = query.specs().iter().map(|spec| spec.name.clone()).collect();
        runtime.set_parts(Parts {
            book: Arc::clone(&book),
            memory: memory.clone(),
            logs: Arc::clone(&logs),
            tools,
        });
        admin.set_audit(Arc::clone(&audit) as Arc<_>);
        if let Err(error) = admin.start() {
            tracing::error!(%error, "the configuration is refused: the listener stays down");
        }
        registry.register(QUERY, Arc::new(query))?;
        registry.register(CONFIG, Arc::new(config_tools(&admin)))?;
        let ai = genai.start(&config.data_dir, &deps)?;
        registry.register(AI, Arc::new(bridge_ai::ai_tools(&ai.deps)))?;
        let rag = rag::open(&config.data_dir, &gateway, genai.config().rag)?;
        registry.register(rag::RAG, Arc::new(bridge_ai::rag_tools(&rag)))?;
        let hub = Arc::clone(&stats.hub);
        genai.count_also(Counted { book: Arc::clone(&book), rag: Arc::clone(&rag), hub, logs });
        admin.add_stats(Arc::new(GenaiStats(Arc::clone(&genai))))?;
        let names = Arc::clone(&runtime);
        let callers: CallerNames = Arc::new(move || names.token_names(QUERY));
        let ai_metrics = AiMetrics(Arc::downgrade(&ai));
        let ops = OpsDeps::new(deps.clone(), Arc::clone(&book), callers)
            .with_admin(Arc::clone(&admin))
            .with_stats(Arc::clone(&stats.hub))
            .with_data(data)
            .with_more_metrics(Arc::new(move || ai_metrics.text()));
        admin.add_stats(Arc::new(McpStatsTables::new(
            Arc::clone(&gateway),
            Arc::clone(&book),
            Arc::clone(&stats.hub),
        )))?;
        ops::register(&registry, &ops)?;
        stats.start(&ops)?;
        Ok(Self {
            audit,
            book,
            stats,
            ops,
            gateway,
            catalog,
            registry,
            deps,
            memory,
            prompts,
            rag,
            ai,
            changes,
            admin,
            runtime,
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
                CONFIG => endpoint.with_instructions(CONFIG_INSTRUCTIONS),
                AI => endpoint.with_instructions(AI_INSTRUCTIONS),
                rag::RAG => endpoint.with_instructions(rag::RAG_INSTRUCTIONS),
                other => match ops::instructions(other) {
                    Some(text) => endpoint.with_instructions(text),
                    None => endpoint,
                },
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
            .config(self.runtime.server_config())
            .hooks(Arc::new(BookHooks(Arc::clone(&self.book), Arc::clone(&self.audit))))
            .page(METRICS_PATH, Arc::new(MetricsPage(self.ops.clone())))
            .authenticator(Arc::clone(&self.runtime.tokens) as Arc<_>);
        self.endpoints().into_iter().fold(builder, ServerBuilder::endpoint)
    }

    /// What handlers of the host's own need to work like the built-in ones.
    #[must_use]
    pub fn tool_deps(&self) -> &ToolDeps {
        &self.deps
    }

    /// The AI side: model service, detector, history; for a host that puts them on ports of its own.
    #[must_use]
    pub fn ai(&self) -> &bridge_ai::AiDeps {
        &self.ai.deps
    }

    /// Metrics of models and detector as Prometheus text; names begin with `proxysql_genai_`.
    #[must_use]
    pub fn ai_metrics_text(&self) -> String {
        AiMetrics(Arc::downgrade(&self.ai)).text()
    }

    /// Stops background work and closes the pools; running statements finish.
    pub fn close(&self) {
        self.rag.shutdown(Deadline::after_ms(RAG_STOP_MS));
        self.ai.close();
        self.stats.close();
        self.gateway.close();
        self.runtime.audit_end();
        self.audit.close();
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
