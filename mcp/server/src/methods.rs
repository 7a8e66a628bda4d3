//! The methods that need the server's state: handshake with sessions, log level, subscriptions, tasks; it does not know tools.

use std::sync::Arc;

use mcp::{ClientCapabilities, Era, LogLevel, RpcError};
use serde_json::{Map, Value};

use crate::exchange::{Exchange, Reply};
use crate::session::Session;
use crate::stream::StreamBounds;
use crate::task::Task;

type Outcome = Result<Reply, RpcError>;

/// A method that the dispatcher serves from memory.
pub(crate) async fn plain(x: Arc<Exchange>) -> Outcome {
    let mut incoming = x.take_incoming()?;
    let cx = x.context(&incoming);
    let result = x.core.dispatcher.serve_plain(&x.route.endpoint, &mut incoming, &cx)?;
    Ok(Reply::Result(result.into()))
}

/// `tools/list`, from the cache where it can.
pub(crate) async fn list_tools(x: Arc<Exchange>) -> Outcome {
    let incoming = x.take_incoming()?;
    let list = x.route.list_tools(&x.core.dispatcher, x.era, &x.caller, &incoming.params)?;
    Ok(Reply::Result(list))
}

/// `initialize`: opens a session where the endpoint has them.
pub(crate) async fn initialize(x: Arc<Exchange>) -> Outcome {
    let incoming = x.take_incoming()?;
    if x.era.is_modern() {
        return Err(RpcError::method_not_found(&x.method));
    }
    let (version, result) = x.core.dispatcher.initialize(&x.route.endpoint, &incoming.params)?;
    if x.route.endpoint.sessions {
        let config = x.core.config.load();
        let capabilities = match incoming.params.get("capabilities") {
            Some(Value::Object(map)) => ClientCapabilities::new(map.clone()),
            _ => ClientCapabilities::default(),
        };
        let bounds =
            StreamBounds { events_max: config.stream_events_max, bytes_max: config.stream_bytes_max };
        let (endpoint, caller) = (Arc::clone(&x.route.endpoint.path), x.caller.token_name.clone());
        let session = x
            .core
            .sessions
            .insert(config.sessions_max, |id| {
                Session::new(id, endpoint, caller, version, capabilities, bounds)
            })
            .map_err(|error| x.core.incident(&format!("no session id: {error}")))?;
        session.follow(&x.route.endpoint.changes);
        let _ = x.opened.set(session);
    }
    Ok(Reply::Result(result.into()))
}

/// The session of a legacy method that needs one.
fn session_of(x: &Exchange) -> Result<&Arc<Session>, RpcError> {
    match (&x.session, x.era) {
        (Some(session), Era::Legacy(_)) => Ok(session),
        _ => Err(RpcError::method_not_found(&x.method)),
    }
}

/// `logging/setLevel`.
pub(crate) async fn set_level(x: Arc<Exchange>) -> Outcome {
    let session = session_of(&x)?;
    let incoming = x.take_incoming()?;
    let level: LogLevel = incoming
        .params
        .get("level")
        .and_then(|level| serde_json::from_value(level.clone()).ok())
        .ok_or_else(|| RpcError::invalid_params("params.level is not a log level"))?;
    session.set_log_level(level);
    Ok(Reply::Result("{}".into()))
}

fn resource_uri(x: &Exchange) -> Result<String, RpcError> {
    let subscribable = x.route.endpoint.resources.as_ref().is_some_and(|r| r.subscribable());
    if !subscribable {
        return Err(RpcError::method_not_found(&x.method));
    }
    match x.take_incoming()?.params.get("uri") {
        Some(Value::String(uri)) if mcp::is_safe_uri(uri) => Ok(uri.clone()),
        _ => Err(RpcError::invalid_params("params.uri is missing or not a URI")),
    }
}

/// `resources/subscribe`.
pub(crate) async fn subscribe(x: Arc<Exchange>) -> Outcome {
    let session = session_of(&x)?;
    let uri = resource_uri(&x)?;
    if !session.subscribe(&uri) {
        return Err(RpcError::invalid_params("the session follows too many resources"));
    }
    Ok(Reply::Result("{}".into()))
}

/// `resources/unsubscribe`.
pub(crate) async fn unsubscribe(x: Arc<Exchange>) -> Outcome {
    let session = session_of(&x)?;
    session.unsubscribe(&resource_uri(&x)?);
    Ok(Reply::Result("{}".into()))
}

/// The task that a request names, for clients that declare the extension.
fn task_of(x: &Exchange) -> Result<(Arc<Task>, Map<String, Value>), RpcError> {
    let incoming = x.take_incoming()?;
    if !x.era.is_modern() || !x.route.endpoint.tasks {
        return Err(RpcError::method_not_found(&x.method));
    }
    if !incoming.capabilities().has_tasks() {
        return Err(RpcError::missing_capability(ClientCapabilities::tasks_required()));
    }
    let Some(Value::String(id)) = incoming.params.get("taskId") else {
        return Err(RpcError::invalid_params("params.taskId is missing or not a string"));
    };
    let task = x.core.tasks.get(id, &x.caller.token_name, &x.route.endpoint.auth_path)?;
    Ok((task, incoming.params))
}

/// `tasks/get`: the state of a task with its questions, its result or its error.
pub(crate) async fn task_get(x: Arc<Exchange>) -> Outcome {
    let (task, _) = task_of(&x)?;
    let result = x.core.dispatcher.object_result(x.era, &task.members(true));
    Ok(Reply::Result(result.into()))
}

/// `tasks/update`: answers to a task's questions.
pub(crate) async fn task_update(x: Arc<Exchange>) -> Outcome {
    let (task, mut params) = task_of(&x)?;
    match params.remove("inputResponses") {
        Some(Value::Object(answers)) => task.update(answers)?,
        _ => return Err(RpcError::invalid_params("params.inputResponses is missing or not an object")),
    }
    Ok(Reply::Result(x.core.dispatcher.empty_result(x.era).into()))
}

/// `tasks/cancel`: the same answer whether the task still ran or not.
pub(crate) async fn task_cancel(x: Arc<Exchange>) -> Outcome {
    let (task, _) = task_of(&x)?;
    // It may write a file.
    let ended = tokio::task::spawn_blocking(move || task.cancel_now()).await;
    ended.map_err(|error| x.core.incident(&error.to_string()))?;
    Ok(Reply::Result(x.core.dispatcher.empty_result(x.era).into()))
}
