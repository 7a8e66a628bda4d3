//! Tests of the envelope reader; they know nothing of methods.

use proptest::prelude::*;

use super::*;

fn error(text: &str) -> (i64, Option<String>) {
    let failure = read_message(text.as_bytes()).expect_err(text);
    (failure.error.code, failure.id.map(|id| id.as_json().to_owned()))
}

#[test]
fn ids_survive_exactly() {
    for id in ["0", "-1", "1.0", "1e3", "18446744073709551616", "\"\"", "\"a\\u0062\"", "\"é\""] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
        match read_message(text.as_bytes()) {
            Ok(Message::Request { id: read, .. }) => assert_eq!(read.as_json(), id),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn failures_have_their_codes_and_ids() {
    let invalid = RpcError::INVALID_REQUEST;
    assert_eq!(error("{"), (RpcError::PARSE, None));
    assert_eq!(error(""), (RpcError::PARSE, None));
    assert_eq!(error("[1,"), (RpcError::PARSE, None));
    assert_eq!(error(r#"{"jsonrpc":"2.0","id":1,"method":"a"} x"#), (RpcError::PARSE, None));
    assert_eq!(error("[]"), (invalid, None));
    assert_eq!(error("7"), (invalid, None));
    assert_eq!(error(r#"{"id":7,"method":"a"}"#), (invalid, Some("7".into())));
    assert_eq!(error(r#"{"jsonrpc":"1.0","id":-1,"method":"a"}"#), (invalid, Some("-1".into())));
    assert_eq!(error(r#"{"jsonrpc":"2.0","id":1.0,"method":3}"#), (invalid, Some("1.0".into())));
    assert_eq!(error(r#"{"jsonrpc":"2.0","id":"x"}"#), (invalid, Some("\"x\"".into())));
    assert_eq!(error(r#"{"jsonrpc":"2.0","id":null,"method":"a"}"#), (invalid, None));
    assert_eq!(error(r#"{"jsonrpc":"2.0","id":{},"method":"a"}"#), (invalid, None));
    assert_eq!(error(r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"a"}"#), (invalid, None));
    assert_eq!(
        error(r#"{"jsonrpc":"2.0","id":4,"method":"a","params":[1]}"#),
        (RpcError::INVALID_PARAMS, Some("4".into()))
    );
}

#[test]
fn notifications_and_responses_are_told_apart() {
    let read = |text: &str| read_message(text.as_bytes()).unwrap();
    assert!(matches!(read(r#"{"jsonrpc":"2.0","method":"a"}"#), Message::Notification { .. }));
    assert!(matches!(
        read(r#"{"jsonrpc":"2.0","id":1,"result":null}"#),
        Message::Response { outcome: Ok(Value::Null), .. }
    ));
    assert!(matches!(
        read(r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}"#),
        Message::Response { outcome: Err(_), .. }
    ));
}

#[test]
fn deep_json_is_refused_without_a_crash() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(200_000), close.repeat(200_000));
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"a","params":{deep}}}"#);
        assert_eq!(error(&text).0, RpcError::PARSE);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Err(failure) = read_message(&bytes) {
            prop_assert!(matches!(failure.error.code, RpcError::PARSE | RpcError::INVALID_REQUEST | RpcError::INVALID_PARAMS));
        }
    }

    #[test]
    fn json_like_text_is_read_or_refused(text in r#"[\{\}\[\]":,a-z0-9 .\\-]{0,80}"#) {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,{text}"#);
        let _ = read_message(text.as_bytes());
    }

    #[test]
    fn numbers_and_strings_come_back_verbatim(number in any::<i64>(), word in "[ -!#-\\[\\]-~]{0,40}") {
        for id in [number.to_string(), format!("\"{word}\"")] {
            let text = format!(r#"{{"method":"m","id": {id} ,"jsonrpc":"2.0"}}"#);
            match read_message(text.as_bytes()) {
                Ok(Message::Request { id: read, .. }) => prop_assert_eq!(read.as_json(), id),
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }
}
