//! Tests of tasks; they know no transport.

use mcp::{Caller, Scope};

use super::*;

fn new(cx: &CallContext, tasks_max: usize) -> NewTask<'_> {
    let capabilities = ClientCapabilities::new(json!({"elicitation": {}}).as_object().cloned().unwrap());
    NewTask {
        cx,
        endpoint: "/mcp/x".into(),
        capabilities,
        ttl_ms: 60_000,
        poll_interval_ms: 100,
        tasks_max,
        bytes_max: 1000,
    }
}

fn cx(name: &str) -> CallContext {
    CallContext::new(Caller::new(name, Scope::Full), "/mcp/x")
}

#[test]
fn tasks_belong_to_their_caller_and_are_bounded() {
    let tasks = Tasks::default();
    let task = tasks.create(new(&cx("a"), 1)).unwrap();
    assert!(tasks.get(task.id(), "a", "/mcp/x").is_ok());
    assert_eq!(tasks.get(task.id(), "b", "/mcp/x").err().map(|e| e.code), Some(-32602));
    assert_eq!(tasks.get(task.id(), "a", "/mcp/y").err().map(|e| e.code), Some(-32602));
    let refused = |max| tasks.create(new(&cx("a"), max)).err().map(|e| e.code);
    assert_eq!(refused(1), Some(ErrorCode::LimitExceeded));
    task.end(Ending::Completed(json!({})), 1000);
    assert_eq!(refused(9), Some(ErrorCode::LimitExceeded), "results that are kept count too");
}

#[test]
fn answers_are_taken_one_by_one() {
    let tasks = Tasks::default();
    let context = cx("a");
    let task = tasks.create(new(&context, 9)).unwrap();
    let link = TaskLink { task: Arc::clone(&task), ask_timeout: Duration::from_secs(10) };
    let ask = |key: &str| Ask::elicit(key, "?", json!({"type": "object", "properties": {}}));
    let waiting = std::thread::spawn(move || link.ask(&context, &[ask("a"), ask("b")]));
    while task.members(true)["status"] != "input_required" {
        std::thread::yield_now();
    }
    let yes = json!({"action": "accept", "content": {}});
    let answer = |key: &str, value: &Value| {
        task.update([(key.to_owned(), value.clone())].into_iter().collect::<Map<_, _>>())
    };
    assert!(answer("a-1", &json!(1)).is_err());
    assert!(answer("nope", &json!(1)).is_ok());
    answer("a-1", &yes).unwrap();
    let open: Vec<String> =
        task.members(true)["inputRequests"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(open, ["b-2"]);
    answer("b-2", &yes).unwrap();
    assert_eq!(waiting.join().unwrap().unwrap().len(), 2);
    task.cancel_now();
    task.end(Ending::Completed(json!({})), 2);
    assert_eq!(task.members(true)["status"], "cancelled");
}
