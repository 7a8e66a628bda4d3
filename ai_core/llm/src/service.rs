//! The whole LLM side as one part: bridge, services and pool under one configuration; it does not know who calls it.

mod backends;

use std::sync::mpsc::{TrySendError, sync_channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

use ai_core::{
    AiError, AiResult, CallContext, Deadline, EmbedKind, Embedder, EmbedderInfo, LlmClient, LlmDelta,
    LlmError, LlmErrorCode, LlmFlow, LlmRequest, LlmResponse, Reranker,
};
use arc_swap::ArcSwap;
use serde::Serialize;

use crate::bridge::{BridgeStatus, LlmBridge, LlmDeps};
use crate::config::LlmConfig;
use crate::pool::Pool;
use crate::pool_job::{DeltaSink, Job, JobOutput, JobRunner, JobWork};
use crate::pool_types::{PoolLimits, PoolStats};
use crate::rerank::{LexicalReranker, normalise_scores};

pub use backends::HostModels;
use backends::{EmbedBackend, RerankBackend, Runner, choose};

/// Pieces of a stream that may wait for a slow receiver; then reading stops.
const STREAM_PIECES_MAX: usize = 64;
/// How often a waiting side of a stream looks for a cancel.
const STREAM_POLL: Duration = Duration::from_millis(5);

/// Which services are in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ServiceChoice {
    /// `builtin`, `local`, `openai`, `llama_cpp`, or `none` with the reason.
    pub embedding_provider: String,
    /// Its model.
    pub embedding_model: String,
    /// Vector length; 0 = not known yet.
    pub embedding_dim: usize,
    /// Whether its vectors are lexical.
    pub embedding_lexical: bool,
    /// `builtin`, `http`, `local`, or `none` with the reason.
    pub rerank_provider: String,
}

struct Inner {
    pool: Pool,
    runner: Arc<Runner>,
}

/// The LLM side: a [`LlmClient`] whose calls go through the pool, with embedding and reranking beside it.
#[derive(Clone)]
pub struct LlmService {
    inner: Arc<Inner>,
}

impl LlmService {
    /// Starts everything; nothing goes over the network before the first call.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` naming every bad setting, `UNAVAILABLE` for an unreadable store or no threads.
    pub fn start(config: LlmConfig, deps: LlmDeps, models: HostModels) -> AiResult<Self> {
        let limits = pool_limits(&config);
        let bridge = Arc::new(LlmBridge::new(config, deps)?);
        let services = choose(&bridge, &models, None);
        let runner = Arc::new(Runner { bridge, services: ArcSwap::from_pointee(services), models });
        let metrics = runner.bridge.metrics.clone();
        let pool = Pool::start_measured(limits, runner.clone(), metrics)?;
        let service = Self { inner: Arc::new(Inner { pool, runner }) };
        let embedder = PooledEmbedder { inner: Arc::downgrade(&service.inner), inline_when_single: true };
        service.inner.runner.bridge.set_embedder(Some(Arc::new(embedder)));
        Ok(service)
    }

    /// Replaces the configuration as a whole. Services whose settings are unchanged keep connections and caches.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` naming every bad setting; nothing is changed then.
    pub fn reload(&self, config: LlmConfig) -> AiResult<u64> {
        let limits = pool_limits(&config);
        let runner = &self.inner.runner;
        let generation = runner.bridge.reload(config)?;
        let old = runner.services.load_full();
        runner.services.store(Arc::new(choose(&runner.bridge, &runner.models, Some(&old))));
        self.inner.pool.set_limits(limits)?;
        Ok(generation)
    }

    /// The bridge behind the pool, for status, usage and cache.
    #[must_use]
    pub fn bridge(&self) -> &LlmBridge {
        &self.inner.runner.bridge
    }

    /// Counters and states.
    #[must_use]
    pub fn status(&self) -> (BridgeStatus, PoolStats) {
        (self.bridge().status(), self.inner.pool.stats())
    }

    /// Everything that was counted and measured, as Prometheus text; names begin with `proxysql_genai_`.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        let (bridge, pool) = self.status();
        let mut gauges = vec![
            ("budget_remaining_usd", vec![], (bridge.budget_usd - bridge.spend.daily.dollars()).max(0.0)),
            ("cloud_requests_last_hour", vec![], bridge.spend.cloud_requests_last_hour as f64),
            ("job_queue_bytes", vec![], pool.queued_bytes as f64),
            ("job_queue_depth", vec![], pool.queued as f64),
        ];
        for (kind, active) in self.inner.pool.active_kinds() {
            gauges.push(("jobs_active", vec![("kind", kind)], active as f64));
        }
        for provider in &bridge.providers {
            let open = f64::from(u8::from(provider.breaker_open));
            gauges.push(("llm_breaker_open", vec![("provider", provider.name.as_str())], open));
        }
        let c = &bridge.cache;
        gauges.push(("llm_cache_bytes", vec![], c.bytes as f64));
        gauges.push(("llm_cache_entries", vec![], c.entries as f64));
        for (result, count) in [
            ("exact", c.exact_hits),
            ("semantic", c.semantic_hits),
            ("miss", c.misses),
            ("store", c.stores),
            ("evict", c.evictions),
            ("purge", c.purged),
        ] {
            gauges.push(("llm_cache_total", vec![("result", result)], count as f64));
        }
        self.bridge().metrics.text(&gauges)
    }

    /// The pool, for jobs that are polled instead of waited for.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.inner.pool
    }

    /// Which services are in force.
    #[must_use]
    pub fn choice(&self) -> ServiceChoice {
        let services = self.inner.runner.services.load();
        let info = match &services.embed {
            EmbedBackend::Http(http) => http.info(),
            EmbedBackend::Host(host) => host.info(),
            EmbedBackend::Missing(why) => EmbedderInfo::new(format!("none: {why}"), "", 0),
        };
        let rerank = match &services.rerank {
            RerankBackend::Http(_) => "http".to_owned(),
            RerankBackend::Host(_) => "local".to_owned(),
            RerankBackend::Builtin => "builtin".to_owned(),
            RerankBackend::Missing(why) => format!("none: {why}"),
        };
        ServiceChoice {
            embedding_provider: info.provider,
            embedding_model: info.model,
            embedding_dim: info.dim,
            embedding_lexical: info.lexical,
            rerank_provider: rerank,
        }
    }

    /// The configured embedder, through the pool.
    #[must_use]
    pub fn embedder(&self) -> Arc<dyn Embedder> {
        Arc::new(PooledEmbedder { inner: Arc::downgrade(&self.inner), inline_when_single: false })
    }

    /// The configured reranker, through the pool.
    #[must_use]
    pub fn reranker(&self) -> Arc<dyn Reranker> {
        Arc::new(PooledReranker { service: self.clone() })
    }

    /// Vectors of `inputs`, in input order; `model` empty = the configured.
    ///
    /// # Errors
    /// As [`Embedder::embed`], `UNAVAILABLE` for a full queue.
    pub fn embed(
        &self,
        model: &str,
        inputs: Vec<String>,
        kind: EmbedKind,
        call: &CallContext,
    ) -> AiResult<Vec<Vec<f32>>> {
        embed_in(&self.inner, model, inputs, kind, call)
    }

    /// The service's own scores of `documents`, in input order; [`normalise_scores`] makes 0–1 of them.
    ///
    /// # Errors
    /// As [`Reranker::rerank`], `UNAVAILABLE` for a full queue.
    pub fn rerank(
        &self,
        model: &str,
        query: &str,
        documents: Vec<String>,
        call: &CallContext,
    ) -> AiResult<Vec<f32>> {
        let call = bounded(call, self.bridge().snapshot().config.rerank_timeout_ms.saturating_mul(4));
        let work = JobWork::Rerank { model: model.to_owned(), query: query.to_owned(), documents };
        match self.inner.pool.call(Job::new(work, call)) {
            Ok(JobOutput::Scores(scores)) => Ok(scores),
            Ok(_) => Err(AiError::internal("a rerank job brought something else")),
            Err(error) => Err(error.into_ai()),
        }
    }

    /// Refuses new work, finishes what fits into `grace`, cancels the rest, joins every thread.
    pub fn stop(&self, grace: Duration) {
        self.inner.pool.stop(grace);
    }

    fn ask(
        &self,
        request: &LlmRequest,
        call: &CallContext,
        on_delta: Option<&mut dyn FnMut(LlmDelta) -> LlmFlow>,
    ) -> Result<LlmResponse, LlmError> {
        let total_ms = match request.max_latency_ms {
            0 => self.bridge().snapshot().config.llm_total_timeout_ms,
            ms => ms,
        };
        // The total time includes the queue.
        let call = bounded(call, total_ms);
        let (stream, pieces) = match &on_delta {
            Some(_) => {
                let (sink, pieces) = channel(&call);
                (Some(sink), Some(pieces))
            }
            None => (None, None),
        };
        let work = JobWork::Llm { request: Box::new(request.clone()), stream };
        let ticket = self.inner.pool.submit(Job::new(work, call))?;
        if let (Some(pieces), Some(on_delta)) = (pieces, on_delta) {
            // Ends when the worker is done with the job: then the sending side is dropped.
            while let Ok(piece) = pieces.recv() {
                if on_delta(piece) == LlmFlow::Stop {
                    drop(pieces);
                    ticket.cancel();
                    break;
                }
            }
        }
        match ticket.wait() {
            Ok(JobOutput::Llm(response)) => Ok(*response),
            Ok(_) => Err(LlmError::new(LlmErrorCode::Internal, "a model job brought something else")),
            Err(error) => Err(error.into_llm()),
        }
    }
}

impl LlmClient for LlmService {
    fn complete(&self, request: &LlmRequest, call: &CallContext) -> Result<LlmResponse, LlmError> {
        self.ask(request, call, None)
    }

    fn stream(
        &self,
        request: &LlmRequest,
        call: &CallContext,
        on_delta: &mut dyn FnMut(LlmDelta) -> LlmFlow,
    ) -> Result<LlmResponse, LlmError> {
        self.ask(request, call, Some(on_delta))
    }
}

fn bounded(call: &CallContext, total_ms: u64) -> CallContext {
    call.clone().with_deadline(Deadline::after_ms(total_ms))
}

/// A bounded way for pieces from the worker to the caller: a slow receiver slows the reading.
fn channel(call: &CallContext) -> (DeltaSink, std::sync::mpsc::Receiver<LlmDelta>) {
    let (sender, receiver) = sync_channel(STREAM_PIECES_MAX);
    let (cancel, deadline) = (call.cancel.clone(), call.deadline);
    let sink = move |delta: LlmDelta| {
        let mut piece = delta;
        loop {
            match sender.try_send(piece) {
                Ok(()) => return LlmFlow::Continue,
                Err(TrySendError::Disconnected(_)) => return LlmFlow::Stop,
                Err(TrySendError::Full(back)) => piece = back,
            }
            if cancel.is_cancelled() || deadline.is_some_and(Deadline::is_over) {
                return LlmFlow::Stop;
            }
            std::thread::sleep(STREAM_POLL);
        }
    };
    (Box::new(sink), receiver)
}

fn embed_in(
    inner: &Inner,
    model: &str,
    inputs: Vec<String>,
    kind: EmbedKind,
    call: &CallContext,
) -> AiResult<Vec<Vec<f32>>> {
    let call = bounded(call, inner.runner.bridge.snapshot().config.embedding_timeout_ms.saturating_mul(4));
    let work = JobWork::Embed { model: model.to_owned(), inputs, kind };
    match inner.pool.call(Job::new(work, call)) {
        Ok(JobOutput::Vectors(vectors)) => Ok(vectors),
        Ok(_) => Err(AiError::internal("an embed job brought something else")),
        Err(error) => Err(error.into_ai()),
    }
}

/// The configured embedder behind the pool's bounds.
struct PooledEmbedder {
    inner: Weak<Inner>,
    /// With one worker, work that a worker waits for must not wait for a worker.
    inline_when_single: bool,
}

impl Embedder for PooledEmbedder {
    fn info(&self) -> EmbedderInfo {
        let inner = self.inner.upgrade();
        let services = inner.as_ref().map(|i| i.runner.services.load());
        match services.as_ref().map(|s| &s.embed) {
            Some(EmbedBackend::Http(http)) => http.info(),
            Some(EmbedBackend::Host(host)) => host.info(),
            _ => EmbedderInfo::new("none", "", 0),
        }
    }

    fn embed(&self, inputs: &[&str], kind: EmbedKind, deadline: Deadline) -> AiResult<Vec<Vec<f32>>> {
        let inner = self.inner.upgrade().ok_or_else(|| AiError::unavailable("the LLM side is stopped"))?;
        let call = CallContext::default().with_deadline(deadline);
        if self.inline_when_single && inner.pool.limits().threads < 2 {
            return inner.runner.embed("", inputs, kind, &call);
        }
        embed_in(&inner, "", inputs.iter().map(|t| (*t).to_owned()).collect(), kind, &call)
    }
}

struct PooledReranker {
    service: LlmService,
}

impl Reranker for PooledReranker {
    fn model(&self) -> String {
        match &self.service.inner.runner.services.load().rerank {
            RerankBackend::Http(http) => http.model(),
            RerankBackend::Host(host) => host.model(),
            _ => LexicalReranker.model(),
        }
    }

    fn rerank(&self, query: &str, documents: &[&str], deadline: Deadline) -> AiResult<Vec<f32>> {
        let documents = documents.iter().map(|d| (*d).to_owned()).collect();
        let call = CallContext::default().with_deadline(deadline);
        Ok(normalise_scores(&self.service.rerank("", query, documents, &call)?))
    }
}

fn pool_limits(config: &LlmConfig) -> PoolLimits {
    PoolLimits {
        threads: config.threads,
        queue_max_jobs: config.queue_max_jobs,
        queue_max_bytes: config.queue_max_bytes,
        batch_size: config.embedding_batch_size,
        batch_wait_ms: config.embedding_batch_wait_ms,
    }
}
