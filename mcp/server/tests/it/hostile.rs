//! Bytes that no client should send: the server answers or closes, and goes on serving.

use std::io::{Read as _, Write as _};

use proptest::prelude::*;
use serde_json::json;

use crate::client::{Ask, connect};
use crate::world::{PATH, World};

#[test]
fn random_bytes_and_random_bodies_do_no_harm() {
    let world = World::new();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(60));
    runner
        .run(&proptest::collection::vec(any::<u8>(), 0..300), |bytes| {
            let mut stream = connect(world.address);
            stream.set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
            let _ = stream.write_all(&bytes);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
            prop_assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 4"));
            let answer = Ask::post(world.address, PATH, bytes).send();
            prop_assert_eq!(answer.status, 400);
            Ok(())
        })
        .unwrap();
    assert_eq!(Ask::modern(world.address, PATH, "tools/list", json!({})).send().status, 200);
}

#[test]
fn deep_json_is_refused() {
    let world = World::new();
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        let bodies =
            [deep.clone(), format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{deep}}}"#)];
        for body in bodies {
            let answer = Ask::post(world.address, PATH, body).send();
            assert_eq!(answer.status, 400);
        }
    }
}

#[test]
fn hostile_headers_are_refused_or_ignored() {
    let world = World::new();
    let list = Ask::modern(world.address, PATH, "tools/list", json!({}));
    for (name, value) in [
        ("Authorization", "Bearer \u{e9}"),
        ("Mcp-Session-Id", "../../etc/passwd"),
        ("Last-Event-ID", "18446744073709551616-0"),
        ("Accept", "application/json;q=abc, */*"),
    ] {
        assert_eq!(list.clone().with(name, value).send().status, 200, "{name}");
    }
    assert_eq!(list.clone().with("Mcp-Method", "tools/list\u{e9}").send().status, 400);
    let huge = list.with("X-Big", &"x".repeat(400_000)).send();
    assert!(huge.status == 431 || huge.status == 400, "{}", huge.status);
}
