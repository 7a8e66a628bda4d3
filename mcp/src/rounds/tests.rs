//! Tests of multi-round-trip state; the seal here is a toy that only detects changes.

use serde_json::json;

use super::*;
use crate::context::Caller;
use crate::spec::Scope;

struct Toy;

impl StateSeal for Toy {
    fn seal(&self, plain: &[u8]) -> String {
        format!("{}.{}", crate::base64::encode(plain), plain.len())
    }
    fn open(&self, sealed: &str) -> Option<Vec<u8>> {
        let (body, len) = sealed.split_once('.')?;
        let plain = crate::base64::decode(body)?;
        (plain.len().to_string() == len).then_some(plain)
    }
    fn digest(&self, bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }
}

fn capabilities() -> ClientCapabilities {
    ClientCapabilities::new(json!({"elicitation": {}}).as_object().cloned().unwrap())
}

fn open(caller: &str, params: Value) -> Result<Rounds, RpcError> {
    let cx = CallContext::new(Caller::new(caller, Scope::Full), "/mcp/x");
    let mut params = params.as_object().cloned().unwrap();
    Rounds::open(Arc::new(Toy), &cx, capabilities(), "tools/call", "t", &mut params)
}

fn ask(key: &str) -> Ask {
    Ask::elicit(key, "?", json!({"type": "object", "properties": {}}))
}

fn run(rounds: &Rounds, asks: &[Ask]) -> Result<Vec<Value>, AskFailure> {
    rounds.ask(&CallContext::new(Caller::new("a", Scope::Full), "/mcp/x"), asks)
}

fn state_of(rounds: &Rounds, asks: &[Ask]) -> String {
    let mut out = ObjectWriter::with_capacity(64);
    rounds.write_need_input(asks, &mut out).unwrap();
    let result: Value = serde_json::from_str(&out.finish()).unwrap();
    result["requestState"].as_str().unwrap().to_owned()
}

#[test]
fn answers_of_earlier_rounds_are_carried_in_the_state() {
    let yes = json!({"action": "accept", "content": {}});
    let first = open("a", json!({})).unwrap();
    assert_eq!(run(&first, &[ask("one")]), Err(AskFailure::NeedInput(vec![ask("one")])));
    let state = state_of(&first, &[ask("one")]);
    let second = open("a", json!({"requestState": state, "inputResponses": {"one": yes}})).unwrap();
    assert!(run(&second, &[ask("one")]).is_ok());
    assert!(run(&second, &[ask("two")]).is_err());
    let state = state_of(&second, &[ask("two")]);
    let third = open("a", json!({"requestState": state, "inputResponses": {"two": yes}})).unwrap();
    assert_eq!(run(&third, &[ask("one"), ask("two")]).unwrap().len(), 2);
}

#[test]
fn state_belongs_to_one_caller_and_one_request() {
    let state = state_of(&open("a", json!({"arguments": {"x": 1}})).unwrap(), &[ask("one")]);
    let code = |caller, params| open(caller, params).err().map(|e| e.code);
    assert_eq!(code("a", json!({"arguments": {"x": 1}, "requestState": state})), None);
    assert_eq!(code("b", json!({"arguments": {"x": 1}, "requestState": state})), Some(-32602));
    assert_eq!(code("a", json!({"arguments": {"x": 2}, "requestState": state})), Some(-32602));
    assert_eq!(
        code("a", json!({"arguments": {"x": 1}, "requestState": format!("{state}-TAMPERED")})),
        Some(-32602)
    );
    assert_eq!(code("a", json!({"requestState": 1})), Some(-32602));
    assert_eq!(code("a", json!({"inputResponses": null})), Some(-32602));
}

#[test]
fn a_proven_question_needs_the_state_that_asked_it() {
    let yes = json!({"action": "accept", "content": {}});
    let proven = ask("sure").proven();
    let unasked = open("a", json!({"inputResponses": {"sure": yes}})).unwrap();
    assert!(matches!(run(&unasked, std::slice::from_ref(&proven)), Err(AskFailure::NeedInput(_))));
    let state = state_of(&unasked, std::slice::from_ref(&proven));
    let asked = open("a", json!({"requestState": state, "inputResponses": {"sure": yes}})).unwrap();
    assert!(run(&asked, std::slice::from_ref(&proven)).is_ok());
}
