//! Any bytes are a message or a refusal, and an id that is read is the text that was sent.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcp::{Message, RpcError, read_message};

fuzz_target!(|bytes: &[u8]| match read_message(bytes) {
    Ok(Message::Request { id, .. } | Message::Response { id, .. }) => {
        let text = std::str::from_utf8(bytes).expect("a message is text");
        assert!(text.contains(id.as_json()), "the id was changed");
    }
    Ok(Message::Notification { .. }) => {}
    Err(failure) => assert!(
        [RpcError::PARSE, RpcError::INVALID_REQUEST, RpcError::INVALID_PARAMS].contains(&failure.error.code)
    ),
});
