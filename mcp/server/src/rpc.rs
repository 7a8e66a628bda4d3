//! The method table and its middleware, carried by jsonrpsee; it does not know what methods do or how answers travel.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use jsonrpsee::core::middleware::{Batch, Notification, RpcServiceT};
use jsonrpsee::core::server::{
    ConnectionId, MethodCallback, MethodResponse, Methods, ResponsePayload, RpcModule,
};
use jsonrpsee::types::{ErrorCode as RpcCode, ErrorObject, Id, Request};
use jsonrpsee::{Extensions, IntoResponse};
use mcp::RpcError;

use crate::core::incident;
use crate::exchange::{Exchange, Reply};
use crate::gate::panic_text;
use crate::hooks::{Hooks, RequestReport};
use crate::{call, methods, subscribe};

type Outcome = Result<Reply, RpcError>;

/// How a method ended, for the middleware: the answer itself waits in the exchange, because jsonrpsee cannot carry every
/// id that callers use.
struct Ended(Option<RpcError>);

impl IntoResponse for Ended {
    type Output = ();

    fn into_response(self) -> ResponsePayload<'static, ()> {
        match self.0 {
            None => ResponsePayload::success(()),
            Some(error) => {
                let code = i32::try_from(error.code).unwrap_or(RpcCode::InternalError.code());
                ResponsePayload::error(ErrorObject::owned(code, error.message, error.data))
            }
        }
    }
}

/// The methods and the middleware around them.
pub(crate) struct RpcStack {
    service: Observe<CatchPanics<Table>>,
}

impl RpcStack {
    pub(crate) fn new(hooks: Arc<dyn Hooks>) -> Self {
        let table = Table { methods: method_table() };
        let caught = CatchPanics { inner: table, hooks: Arc::clone(&hooks) };
        Self { service: Observe { inner: caught, hooks } }
    }

    /// Serves one request; its answer.
    pub(crate) async fn serve(&self, exchange: &Arc<Exchange>) -> Outcome {
        // Method names are looked up by text; id and parameters stay in the exchange.
        let mut request = Request::owned(exchange.method.clone(), None, Id::Null);
        request.extensions.insert(Arc::clone(exchange));
        self.service.call(request).await;
        exchange.take_reply().unwrap_or_else(|| Err(RpcError::method_not_found(&exchange.method)))
    }
}

fn method_table() -> Methods {
    let mut module = RpcModule::new(());
    macro_rules! register {
        ($($name:literal => $method:path),* $(,)?) => {$(
            // Names are distinct literals, so that no registration can fail.
            let registered = module.register_async_method($name, |_, _, extensions: Extensions| async move {
                answer(&extensions, |exchange| $method(exchange)).await
            });
            debug_assert!(registered.is_ok());
        )*};
    }
    register! {
        "server/discover" => methods::plain,
        "initialize" => methods::initialize,
        "ping" => methods::plain,
        "logging/setLevel" => methods::set_level,
        "tools/list" => methods::list_tools,
        "tools/describe" => methods::plain,
        "tools/call" => call::call_tool,
        "resources/list" => call::documents,
        "resources/templates/list" => call::documents,
        "resources/read" => call::documents,
        "resources/subscribe" => methods::subscribe,
        "resources/unsubscribe" => methods::unsubscribe,
        "prompts/list" => call::documents,
        "prompts/get" => call::documents,
        "completion/complete" => call::documents,
        "subscriptions/listen" => subscribe::listen,
        "tasks/get" => methods::task_get,
        "tasks/update" => methods::task_update,
        "tasks/cancel" => methods::task_cancel,
    }
    module.into()
}

async fn answer<F, Fut>(extensions: &Extensions, method: F) -> Ended
where
    F: FnOnce(Arc<Exchange>) -> Fut,
    Fut: Future<Output = Outcome>,
{
    let Some(exchange) = extensions.get::<Arc<Exchange>>().cloned() else {
        return Ended(Some(RpcError::new(RpcError::INTERNAL, "a request without an exchange")));
    };
    let outcome = method(Arc::clone(&exchange)).await;
    let ended = Ended(outcome.as_ref().err().cloned());
    exchange.put_reply(outcome);
    ended
}

/// Looks a method up and calls it.
#[derive(Clone)]
struct Table {
    methods: Methods,
}

impl RpcServiceT for Table {
    type MethodResponse = MethodResponse;
    type NotificationResponse = ();
    type BatchResponse = ();

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let callback = match self.methods.method(&request.method) {
            Some(MethodCallback::Async(callback)) => Some(Arc::clone(callback)),
            _ => None,
        };
        let extensions = request.extensions;
        async move {
            match callback {
                Some(callback) => {
                    let params = jsonrpsee::types::Params::new(None);
                    callback(Id::Null, params, ConnectionId(0), usize::MAX, extensions).await
                }
                None => MethodResponse::error(Id::Null, ErrorObject::from(RpcCode::MethodNotFound)),
            }
        }
    }

    fn batch<'a>(&self, _: Batch<'a>) -> impl Future<Output = ()> + Send + 'a {
        std::future::ready(())
    }

    fn notification<'a>(&self, _: Notification<'a>) -> impl Future<Output = ()> + Send + 'a {
        std::future::ready(())
    }
}

/// Turns a panic into an error with an incident id.
struct CatchPanics<S> {
    inner: S,
    hooks: Arc<dyn Hooks>,
}

impl<S> RpcServiceT for CatchPanics<S>
where
    S: RpcServiceT<MethodResponse = MethodResponse, NotificationResponse = (), BatchResponse = ()>
        + Send
        + Sync,
{
    type MethodResponse = MethodResponse;
    type NotificationResponse = ();
    type BatchResponse = ();

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let exchange = request.extensions.get::<Arc<Exchange>>().cloned();
        let hooks = Arc::clone(&self.hooks);
        let inner = Caught(Box::pin(self.inner.call(request)));
        async move {
            match inner.await {
                Ok(response) => response,
                Err(text) => {
                    let error = incident(hooks.as_ref(), &text);
                    if let Some(exchange) = exchange {
                        exchange.put_reply(Err(error));
                    }
                    MethodResponse::error(Id::Null, ErrorObject::from(RpcCode::InternalError))
                }
            }
        }
    }

    fn batch<'a>(&self, _: Batch<'a>) -> impl Future<Output = ()> + Send + 'a {
        std::future::ready(())
    }

    fn notification<'a>(&self, _: Notification<'a>) -> impl Future<Output = ()> + Send + 'a {
        std::future::ready(())
    }
}

struct Caught<F>(Pin<Box<F>>);

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, String>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx))) {
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(payload) => Poll::Ready(Err(panic_text(payload.as_ref()))),
        }
    }
}

/// Tells the hooks about each request, also one whose client leaves.
struct Observe<S> {
    inner: S,
    hooks: Arc<dyn Hooks>,
}

impl<S> RpcServiceT for Observe<S>
where
    S: RpcServiceT<MethodResponse = MethodResponse, NotificationResponse = (), BatchResponse = ()>
        + Send
        + Sync,
{
    type MethodResponse = MethodResponse;
    type NotificationResponse = ();
    type BatchResponse = ();

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let observed = request.extensions.get::<Arc<Exchange>>().cloned().map(|exchange| {
            self.hooks.request_started(&exchange.route.endpoint.path);
            Observed { exchange, hooks: Arc::clone(&self.hooks), started: Instant::now(), code: None }
        });
        let inner = self.inner.call(request);
        async move {
            let response = inner.await;
            if let Some(mut observed) = observed {
                observed.code = response.as_error_code();
            }
            response
        }
    }

    fn batch<'a>(&self, _: Batch<'a>) -> impl Future<Output = ()> + Send + 'a {
        std::future::ready(())
    }

    fn notification<'a>(&self, _: Notification<'a>) -> impl Future<Output = ()> + Send + 'a {
        std::future::ready(())
    }
}

struct Observed {
    exchange: Arc<Exchange>,
    hooks: Arc<dyn Hooks>,
    started: Instant,
    code: Option<i32>,
}

impl Drop for Observed {
    fn drop(&mut self) {
        let (response_bytes, code) = self.exchange.outcome();
        let duration = self.started.elapsed();
        let tool = self.exchange.tool.get().map(|spec| spec.name.as_str());
        let error_code = code.or(self.code.map(i64::from));
        tracing::debug!(
            endpoint = &*self.exchange.route.endpoint.path,
            method = %self.exchange.method,
            tool,
            caller = %self.exchange.caller.token_name,
            error_code,
            traceparent = self.exchange.traceparent.as_deref(),
            micros = duration.as_micros() as u64,
            "served"
        );
        self.hooks.request_finished(&RequestReport {
            endpoint: &self.exchange.route.endpoint.path,
            method: &self.exchange.method,
            tool,
            caller: &self.exchange.caller.token_name,
            address: &self.exchange.caller.address,
            error_code,
            duration,
            response_bytes,
        });
    }
}
