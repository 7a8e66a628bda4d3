//! Calls that may wait: tools, prompts and resources, behind the door or as tasks; it does not know how answers travel.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mcp::{
    CallContext, ClientCapabilities, Dispatcher, Era, ErrorCode, Incoming, PreparedTool, Rounds, RpcError,
    ToolError,
};
use serde_json::Value;

use crate::event::Event;
use crate::exchange::{Exchange, Headers, Reply};
use crate::gate::{CancelOnDrop, GateError, guarded};
use crate::link::SessionLink;
use crate::task::{Ending, LateTaskLink, NewTask, Task, TaskLink};

type Outcome = Result<Reply, RpcError>;

/// `tools/call`.
pub(crate) async fn call_tool(x: Arc<Exchange>) -> Outcome {
    let mut incoming = x.take_incoming()?;
    let mut cx = x.context(&incoming);
    let rounds = x.core.dispatcher.open_rounds(&cx, &mut incoming)?;
    let prepared = x.core.dispatcher.prepare_tool(&x.route.endpoint, &x.caller, &mut incoming.params)?;
    let _ = x.tool.set(Arc::clone(&prepared.spec));
    check_param_headers(&x, &prepared)?;
    if let Some(refusal) = &prepared.refusal {
        return finished(&x, x.core.dispatcher.tool_failure(x.era, refusal));
    }
    let capabilities = incoming.capabilities();
    check_task_support(&x, &prepared, &capabilities)?;
    if let Some(rounds) = &rounds {
        cx.client = Arc::clone(rounds) as _;
    }
    if Dispatcher::starts_as_task(&x.route.endpoint, x.era, &prepared.spec, cx.client.as_ref()) {
        return start_task(&x, cx, prepared, capabilities).await;
    }
    if prepared.spec.inline {
        let job = || {
            let rounds = rounds.as_deref();
            x.core.dispatcher.run_tool(&x.route.endpoint, x.era, &cx, prepared, rounds)
        };
        return match guarded(job) {
            Ok(result) => finished(&x, result?),
            Err(error) => gate_failure(&x, error),
        };
    }
    let late = prepared.spec.task_late && x.route.endpoint.tasks && capabilities.has_tasks();
    let mut live = x.live_context(&mut incoming);
    link(&x, &mut live, rounds.as_ref());
    match rounds {
        Some(rounds) if late => run_late(&x, live, prepared, rounds, capabilities).await,
        rounds => run_at_door(&x, live, prepared, rounds).await,
    }
}

fn check_param_headers(x: &Exchange, prepared: &PreparedTool) -> Result<(), RpcError> {
    let (Era::Modern, Some(headers)) = (x.era, &x.headers) else { return Ok(()) };
    let compiled = x.core.schemas.compiled(&prepared.spec);
    compiled.param_headers.iter().try_for_each(|header| header.check(&Headers(headers), &prepared.arguments))
}

/// A tool that only runs as a task is refused where the client cannot follow one.
fn check_task_support(
    x: &Exchange,
    prepared: &PreparedTool,
    client: &ClientCapabilities,
) -> Result<(), RpcError> {
    if !prepared.spec.task_required || (x.era.is_modern() && client.has_tasks() && x.route.endpoint.tasks) {
        return Ok(());
    }
    Err(RpcError::missing_capability(ClientCapabilities::tasks_required()))
}

/// The way back to the client: rounds in the modern era, the session in the legacy one.
fn link(x: &Exchange, cx: &mut CallContext, rounds: Option<&Arc<Rounds>>) {
    match (rounds, &x.session) {
        (Some(rounds), _) => cx.client = Arc::clone(rounds) as _,
        (None, Some(session)) => {
            if let Some(events) = x.events() {
                let ask_timeout = ask_timeout(x);
                cx.client = Arc::new(SessionLink { session: Arc::clone(session), events, ask_timeout });
            }
        }
        _ => {}
    }
}

fn ask_timeout(x: &Exchange) -> Duration {
    Duration::from_millis(x.core.config.load().ask_timeout_ms)
}

/// Runs a tool behind the door; the client's leaving cancels it.
async fn run_at_door(
    x: &Arc<Exchange>,
    cx: CallContext,
    prepared: PreparedTool,
    rounds: Option<Arc<Rounds>>,
) -> Outcome {
    let _tracked = x.track();
    let mut guard = CancelOnDrop::new(x.cancel.clone());
    let deadline = cx.deadline;
    let exchange = Arc::clone(x);
    let outcome = x
        .core
        .gate
        .run(&x.cancel, deadline, move || {
            let x = &exchange;
            x.core.dispatcher.run_tool(&x.route.endpoint, x.era, &cx, prepared, rounds.as_deref())
        })
        .await;
    guard.disarm();
    match outcome {
        Ok(result) => finished(x, result?),
        Err(error) => gate_failure(x, error),
    }
}

/// Passes a result on, unless it is larger than allowed.
fn finished(x: &Exchange, result: String) -> Outcome {
    let bytes_max = x.core.config.load().response_bytes_max;
    if result.len() <= bytes_max {
        return Ok(Reply::Result(result.into()));
    }
    if x.method != "tools/call" {
        return Err(RpcError::new(
            RpcError::INTERNAL,
            format!("the result is larger than {bytes_max} bytes"),
        ));
    }
    let error = ToolError::limit("the result is larger than this server sends: ask for less")
        .with("limit", "response_bytes_max")
        .with("value", bytes_max);
    Ok(Reply::Result(x.core.dispatcher.tool_failure(x.era, &error).into()))
}

fn gate_failure(x: &Exchange, error: GateError) -> Outcome {
    match error {
        GateError::Deadline => {
            let timeout_ms = x.timeout_ms();
            let error =
                ToolError::new(ErrorCode::DeadlineExceeded, "the call took longer than the server allows")
                    .with("timeout_ms", timeout_ms)
                    .with("layer", "server");
            if x.method == "tools/call" {
                return Ok(Reply::Result(x.core.dispatcher.tool_failure(x.era, &error).into()));
            }
            Err(RpcError::new(RpcError::INTERNAL, error.message.clone()).with_data(error.to_value()))
        }
        GateError::Panicked(text) => Err(x.core.incident(&text)),
        GateError::Closed => Err(RpcError::new(RpcError::INTERNAL, "the server is shutting down")),
    }
}

/// Resources, prompts and completion: providers may block, so they go through the door too.
pub(crate) async fn documents(x: Arc<Exchange>) -> Outcome {
    let mut incoming = x.take_incoming()?;
    let mut cx = x.live_context(&mut incoming);
    let rounds = x.core.dispatcher.open_rounds(&cx, &mut incoming)?;
    link(&x, &mut cx, rounds.as_ref());
    let _tracked = x.track();
    let mut guard = CancelOnDrop::new(x.cancel.clone());
    let deadline = cx.deadline;
    let exchange = Arc::clone(&x);
    let outcome = x
        .core
        .gate
        .run(&x.cancel, deadline, move || serve_document(&exchange, incoming, &cx, rounds.as_deref()))
        .await;
    guard.disarm();
    match outcome {
        Ok(result) => finished(&x, result?),
        Err(error) => gate_failure(&x, error),
    }
}

fn serve_document(
    x: &Exchange,
    mut incoming: Incoming,
    cx: &CallContext,
    rounds: Option<&Rounds>,
) -> Result<String, RpcError> {
    let (dispatcher, endpoint) = (&x.core.dispatcher, &x.route.endpoint);
    match incoming.method.as_str() {
        "resources/read" => dispatcher.read_resource(endpoint, &incoming, cx, rounds),
        "prompts/get" => dispatcher.get_prompt(endpoint, &incoming, cx, rounds),
        _ => dispatcher.serve_plain(endpoint, &mut incoming, cx),
    }
}

fn new_task(
    x: &Exchange,
    cx: &CallContext,
    capabilities: ClientCapabilities,
) -> Result<Arc<Task>, ToolError> {
    let config = x.core.config.load();
    x.core.tasks.create(NewTask {
        cx,
        endpoint: Arc::clone(&x.route.endpoint.auth_path),
        capabilities,
        ttl_ms: config.task_ttl_ms,
        poll_interval_ms: config.task_poll_interval_ms,
        tasks_max: config.tasks_max,
        bytes_max: config.task_results_bytes_max,
    })
}

/// The result that hands a task to its caller.
fn created(x: &Exchange, task: &Task) -> Outcome {
    let mut members = task.members(false);
    members.insert("resultType".into(), "task".into());
    Ok(Reply::Result(x.core.dispatcher.object_result(x.era, &members).into()))
}

fn task_deadline(x: &Exchange) -> Option<Instant> {
    Instant::now().checked_add(Duration::from_millis(x.core.config.load().task_timeout_ms))
}

/// Creates a task and runs its tool behind the door of tasks; the answer does not wait for it.
async fn start_task(
    x: &Arc<Exchange>,
    mut cx: CallContext,
    prepared: PreparedTool,
    capabilities: ClientCapabilities,
) -> Outcome {
    let (exchange, bare) = (Arc::clone(x), cx.clone());
    // It may write a file.
    let made = tokio::task::spawn_blocking(move || new_task(&exchange, &bare, capabilities)).await;
    let task = match made.map_err(|error| x.core.incident(&error.to_string()))? {
        Ok(task) => task,
        Err(error) => return finished(x, x.core.dispatcher.tool_failure(x.era, &error)),
    };
    let link = Arc::new(TaskLink { task: Arc::clone(&task), ask_timeout: ask_timeout(x) });
    cx.client = Arc::clone(&link) as _;
    cx.progress = link;
    cx.deadline = task_deadline(x);
    let reply = created(x, &task);
    let exchange = Arc::clone(x);
    tokio::spawn(async move {
        let job = {
            let exchange = Arc::clone(&exchange);
            move || {
                let x = &exchange;
                x.core.dispatcher.run_tool(&x.route.endpoint, x.era, &cx, prepared, None)
            }
        };
        let outcome = exchange.core.task_gate.run(&task.cancel, task_deadline(&exchange), job).await;
        end_task(&exchange, task, outcome).await;
    });
    reply
}

async fn end_task(x: &Exchange, task: Arc<Task>, outcome: Result<Result<String, RpcError>, GateError>) {
    let outcome = match outcome {
        Ok(Ok(text)) => finished(x, text),
        Ok(Err(error)) => Err(error),
        Err(error) => gate_failure(x, error),
    };
    let ended = tokio::task::spawn_blocking(move || match outcome {
        Ok(Reply::Result(text)) => {
            task.end(Ending::Completed(serde_json::from_str::<Value>(&text).unwrap_or_default()), text.len());
        }
        Ok(Reply::Listen(_)) => task.end(Ending::Cancelled, 0),
        Err(error) => task.end(Ending::Failed(error), 0),
    });
    if let Err(error) = ended.await {
        x.core.incident(&error.to_string());
    }
}

/// Runs a tool that may become a task: the answer is its result, its questions, or the task.
async fn run_late(
    x: &Arc<Exchange>,
    mut cx: CallContext,
    prepared: PreparedTool,
    rounds: Arc<Rounds>,
    capabilities: ClientCapabilities,
) -> Outcome {
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let bare = cx.clone();
    let made: Arc<Mutex<Option<Arc<Task>>>> = Arc::default();
    let (weak, keep) = (Arc::downgrade(x), Arc::clone(&made));
    let make = move || {
        let exchange: Arc<Exchange> = weak.upgrade()?;
        let task = new_task(&exchange, &bare, capabilities.clone()).ok()?;
        *keep.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Arc::clone(&task));
        tell.try_send(Event::Task(task.id().to_owned())).ok()?;
        Some(task)
    };
    cx.client = Arc::new(LateTaskLink {
        rounds: Arc::clone(&rounds),
        make: Box::new(make),
        task: Mutex::new(None),
        ask_timeout: ask_timeout(x),
    });
    cx.deadline = task_deadline(x);
    let mut guard = CancelOnDrop::new(x.cancel.clone());
    let (exchange, deadline) = (Arc::clone(x), cx.deadline);
    // Spawned: the tool goes on when this request has been answered.
    let mut running = tokio::spawn(async move {
        let job = {
            let x = Arc::clone(&exchange);
            move || x.core.dispatcher.run_tool(&x.route.endpoint, x.era, &cx, prepared, Some(&rounds))
        };
        let outcome = exchange.core.task_gate.run(&exchange.cancel, deadline, job).await;
        let task = made.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        match task {
            Some(task) => {
                end_task(&exchange, task, outcome).await;
                None
            }
            None => Some(outcome),
        }
    });
    let outcome = tokio::select! {
        biased;
        Some(Event::Task(id)) = told.recv() => {
            let task = x.core.tasks.get(&id, &x.caller.token_name, &x.route.endpoint.auth_path)?;
            created(x, &task)
        }
        joined = &mut running => match joined {
            Ok(Some(Ok(result))) => result.and_then(|text| finished(x, text)),
            Ok(Some(Err(error))) => gate_failure(x, error),
            Ok(None) => Err(x.core.incident("a task ended before it was announced")),
            Err(error) => Err(x.core.incident(&error.to_string())),
        },
    };
    guard.disarm();
    outcome
}
