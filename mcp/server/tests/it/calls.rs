//! Calls: answers as JSON or events, cancellation, deadlines, panics, questions, tasks, changes.

use std::sync::atomic::Ordering;

use mcp::Scope;
use mcp_server::ServerConfig;
use serde_json::{Value, json};

use crate::client::Ask;
use crate::world::{PATH, World, growing};

fn call(world: &World, name: &str) -> Ask {
    Ask::modern(world.address, PATH, "tools/call", json!({"name": name, "arguments": {}}))
}

#[test]
fn progress_and_logs_make_a_stream_only_where_they_are_wanted() {
    let world = World::new();
    assert_eq!(call(&world, "steps").send().header("content-type"), Some("application/json"));
    let params =
        json!({"name": "steps", "_meta": {"progressToken": 7, "io.modelcontextprotocol/logLevel": "info"}});
    let answer = Ask::modern(world.address, PATH, "tools/call", params.clone()).send();
    let methods: Vec<Value> = answer
        .body
        .lines()
        .filter_map(|l| l.strip_prefix("data: "))
        .map(|l| serde_json::from_str::<Value>(l).unwrap())
        .map(|m| m["params"]["progress"].as_f64().map_or_else(|| m["method"].clone(), |p| json!(p)))
        .collect();
    assert_eq!(methods, [json!(1.0), json!(2.0), json!(3.0), json!("notifications/message"), Value::Null]);
    let json_only =
        Ask::modern(world.address, PATH, "tools/call", params).with("Accept", "application/json").send();
    assert_eq!(json_only.json()["result"]["structuredContent"], json!({"steps": 3}));
}

#[test]
fn closing_the_connection_cancels_the_call() {
    let world = World::new();
    for accept in ["application/json", "text/event-stream"] {
        world.watch.cancelled.store(false, Ordering::SeqCst);
        let stream = call(&world, "wait").with("Accept", accept).open();
        world.watch.until("the call runs", |w| w.running.load(Ordering::SeqCst) == 1);
        drop(stream);
        world.watch.until("the call is cancelled", |w| w.cancelled.load(Ordering::SeqCst));
        world.watch.until("the call has ended", |w| w.running.load(Ordering::SeqCst) == 0);
    }
}

#[test]
fn a_call_over_its_deadline_is_cancelled_and_says_so() {
    let mut config = ServerConfig::default();
    config.call_timeout_ms = 50;
    let world = World::with(config, |b| b.anonymous(Scope::Full));
    let answer = call(&world, "wait").send();
    assert_eq!(answer.json()["result"]["isError"], true);
    world.watch.until("the call is cancelled", |w| w.cancelled.load(Ordering::SeqCst));
}

#[test]
fn a_tool_that_bounds_its_own_time_outlives_the_limit_for_calls() {
    for stream_after_ms in [1, 60_000] {
        let mut config = ServerConfig::default();
        (config.call_timeout_ms, config.stream_after_ms) = (50, stream_after_ms);
        let world = World::with(config, |b| b.anonymous(Scope::Full));
        let address = world.address;
        let caller = std::thread::spawn(move || {
            let params = json!({"name": "wait_own_time", "arguments": {}});
            Ask::modern(address, PATH, "tools/call", params).send()
        });
        world.watch.until("the call runs", |w| w.running.load(Ordering::SeqCst) == 1);
        std::thread::sleep(std::time::Duration::from_millis(300));
        world.watch.release.store(true, Ordering::SeqCst);
        let answer = caller.join().unwrap();
        let last = answer
            .body
            .lines()
            .filter_map(|l| l.strip_prefix("data: ").or(Some(l)))
            .rfind(|l| l.starts_with('{'));
        let last: Value = serde_json::from_str(last.unwrap()).unwrap();
        assert_eq!(last["result"]["structuredContent"], json!({"waited": true}), "{last}");
    }
    let mut config = ServerConfig::default();
    (config.call_timeout_ms, config.task_timeout_ms) = (60_000, 50);
    let world = World::with(config, |b| b.anonymous(Scope::Full));
    let answer = call(&world, "wait_own_time").send();
    assert_eq!(answer.json()["result"]["isError"], true, "tasks have a limit, and so has it");
}

#[test]
fn panics_become_incidents_without_their_text() {
    let world = World::new();
    for name in ["panic", "panic_inline"] {
        let answer = call(&world, name).send();
        assert_eq!(answer.code(), -32603);
        assert!(answer.json()["error"]["data"]["incident_id"].is_string());
        assert!(!answer.body.contains("secret"));
    }
    assert_eq!(call(&world, "change").send().code(), 0);
}

#[test]
fn modern_questions_end_the_call_and_are_answered_by_the_next() {
    let world = World::new();
    assert_eq!(call(&world, "ask").send().json()["error"]["code"], -32021);
    let ask = |mut params: Value| {
        Ask::modern_with(world.address, PATH, "tools/call", &mut params, json!({"elicitation": {}}))
            .send()
            .json()
    };
    let first = ask(json!({"name": "ask"}));
    assert_eq!(first["result"]["inputRequests"]["who"]["method"], "elicitation/create");
    let state = first["result"]["requestState"].clone();
    let answers = json!({"who": {"action": "accept", "content": {"name": "Ada"}}});
    let second = ask(json!({"name": "ask", "requestState": state, "inputResponses": answers}));
    assert_eq!(second["result"]["structuredContent"], json!({"hello": "Ada"}));
    let forged = format!("{}x", state.as_str().unwrap());
    assert_eq!(
        ask(json!({"name": "ask", "requestState": forged, "inputResponses": answers}))["error"]["code"],
        -32602
    );
    let yes = json!({"sure": {"action": "accept", "content": {"confirm": true}}});
    let asked = ask(json!({"name": "wipe"}))["result"]["requestState"].clone();
    let confirmed = json!({"name": "wipe", "requestState": asked, "inputResponses": yes});
    assert_eq!(ask(confirmed.clone())["result"]["structuredContent"], json!({"wiped": true}));
    assert_eq!(
        ask(confirmed)["result"]["resultType"],
        "input_required",
        "one confirmation confirms one call"
    );
    let unproven = json!({"sure": {"action": "accept", "content": {"confirm": true}}});
    assert_eq!(
        ask(json!({"name": "wipe", "inputResponses": unproven}))["result"]["resultType"],
        "input_required"
    );
}

#[test]
fn tasks_are_created_answered_and_fetched() {
    let world = World::new();
    let capabilities = json!({"elicitation": {}, "extensions": {"io.modelcontextprotocol/tasks": {}}});
    let ask = |method: &str, mut params: Value| {
        Ask::modern_with(world.address, PATH, method, &mut params, capabilities.clone()).send().json()
    };
    let created = ask("tools/call", json!({"name": "job"}))["result"].clone();
    assert_eq!((created["resultType"].as_str(), created["status"].as_str()), (Some("task"), Some("working")));
    let id = created["taskId"].clone();
    let mut state = Value::Null;
    world.watch.until("the task asks", |_| {
        state = ask("tasks/get", json!({"taskId": id}))["result"].clone();
        state["status"] == "input_required"
    });
    assert_eq!(state["statusMessage"], "asking");
    let key = state["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
    let answers = json!({key: {"action": "accept", "content": {}}});
    assert_eq!(
        ask("tasks/update", json!({"taskId": id, "inputResponses": answers}))["result"]["resultType"],
        "complete"
    );
    world.watch.until("the task is done", |_| {
        let state = ask("tasks/get", json!({"taskId": id}))["result"].clone();
        state["status"] == "completed" && state["result"]["structuredContent"] == json!({"done": true})
    });
    let stranger = Ask::modern(world.address, PATH, "tasks/get", json!({"taskId": id})).send();
    assert_eq!(stranger.code(), -32021);
}

#[test]
fn changes_reach_modern_listeners_with_their_subscription() {
    let world = World::new();
    let filter = json!({"notifications": {"toolsListChanged": true, "promptsListChanged": true,
                        "resourceSubscriptions": ["doc://a"]}});
    let mut stream = Ask::modern(world.address, PATH, "subscriptions/listen", filter).open();
    let first = stream.message().unwrap();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    // The endpoint has no prompts, so that part is not promised.
    let honoured = json!({"toolsListChanged": true, "resourceSubscriptions": ["doc://a"]});
    assert_eq!(first["params"]["notifications"], honoured);
    call(&world, "change").send();
    for method in ["notifications/tools/list_changed", "notifications/resources/updated"] {
        let message = stream.message().unwrap();
        assert_eq!(message["method"], method);
        assert_eq!(message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 1);
    }
    world.running.server().shutdown();
    let last = stream.message().unwrap();
    assert_eq!(last["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 1);
    assert!(stream.message().is_none());
}

#[test]
fn endpoints_come_and_go_and_lists_follow_their_generation() {
    let world = World::new();
    let (endpoint, tools) = growing("/mcp/late");
    let list = |path: &str| Ask::modern(world.address, path, "tools/list", json!({})).send();
    assert_eq!(list("/mcp/late").status, 404);
    world.running.server().add_endpoint(endpoint);
    let count = |path: &str| list(path).json()["result"]["tools"].as_array().unwrap().len();
    assert_eq!((count("/mcp/late"), count("/mcp/late")), (1, 1));
    let filter = json!({"notifications": {"toolsListChanged": true}});
    let mut stream = Ask::modern(world.address, "/mcp/late", "subscriptions/listen", filter).open();
    stream.message();
    tools.generation.store(2, Ordering::SeqCst);
    assert_eq!(stream.message().unwrap()["method"], "notifications/tools/list_changed");
    assert_eq!(count("/mcp/late"), 3);
    assert!(world.running.server().remove_endpoint("/mcp/late"));
    assert_eq!(list("/mcp/late").status, 404);
}

#[test]
fn shutdown_lets_running_calls_finish() {
    let world = World::new();
    let (address, watch) = (world.address, std::sync::Arc::clone(&world.watch));
    let caller = std::thread::spawn(move || {
        Ask::modern(address, PATH, "tools/call", json!({"name": "wait", "arguments": {}})).send()
    });
    watch.until("the call runs", |w| w.running.load(Ordering::SeqCst) == 1);
    world.running.server().shutdown();
    std::thread::sleep(std::time::Duration::from_millis(50));
    watch.release.store(true, Ordering::SeqCst);
    assert_eq!(caller.join().unwrap().json()["result"]["structuredContent"], json!({"waited": true}));
    world.running.wait().unwrap();
}

#[test]
fn hooks_see_every_request_also_one_whose_client_leaves() {
    #[derive(Default)]
    struct Seen(std::sync::Mutex<Vec<String>>);
    impl mcp_server::Hooks for Seen {
        fn request_finished(&self, report: &mcp_server::RequestReport<'_>) {
            let tool = report.tool.unwrap_or("-");
            self.0.lock().unwrap().push(format!("{} {tool} {:?}", report.method, report.error_code));
        }
        fn request_refused(&self, _: &str, _: &str, status: u16) {
            self.0.lock().unwrap().push(format!("refused {status}"));
        }
    }
    let seen = std::sync::Arc::new(Seen::default());
    let hooks = std::sync::Arc::clone(&seen);
    let world = World::with(ServerConfig::default(), move |b| b.anonymous(Scope::Full).hooks(hooks));
    call(&world, "change").send();
    call(&world, "panic").send();
    call(&world, "nope").send();
    Ask::post(world.address, PATH, "{").send();
    let stream = call(&world, "wait").open();
    world.watch.until("the call runs", |w| w.running.load(Ordering::SeqCst) == 1);
    drop(stream);
    world.watch.until("five reports", |_| seen.0.lock().unwrap().len() == 5);
    assert_eq!(
        *seen.0.lock().unwrap(),
        [
            "tools/call change None",
            "tools/call panic Some(-32603)",
            "tools/call - Some(-32602)",
            "refused 400",
            "tools/call wait None"
        ]
    );
}
