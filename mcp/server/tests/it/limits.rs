//! Bounds: bodies, results, requests at once, slow clients, connections.

use std::io::{Read as _, Write as _};
use std::sync::atomic::Ordering;

use mcp::Scope;
use mcp_server::ServerConfig;
use serde_json::json;

use crate::client::{Ask, connect};
use crate::world::{PATH, World};

fn world(change: impl FnOnce(&mut ServerConfig)) -> World {
    let mut config = ServerConfig::default();
    change(&mut config);
    World::with(config, |b| b.anonymous(Scope::Full))
}

#[test]
fn large_bodies_are_refused_by_their_announced_and_their_real_size() {
    let world = world(|c| c.body_bytes_max = 2048);
    let big = Ask::post(world.address, PATH, "x".repeat(3000)).send();
    assert_eq!((big.status, big.header("connection")), (413, Some("close")));
    let announced = Ask::post(world.address, PATH, "").with("Content-Length", "99999999999999999999").send();
    assert_eq!(announced.status, 400, "a length beyond 64 bit is no length");
    let mut stream = connect(world.address);
    let head = Ask::post(world.address, PATH, "").with("Transfer-Encoding", "chunked").head();
    stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
    for _ in 0..4 {
        let _ = stream.write_all(format!("400\r\n{}\r\n", "x".repeat(1024)).as_bytes());
    }
    let mut answer = [0; 64];
    let read = stream.read(&mut answer).unwrap();
    assert!(String::from_utf8_lossy(&answer[..read]).contains("413"));
}

#[test]
fn large_results_are_failures_of_their_tool() {
    let world = world(|c| c.response_bytes_max = 100_000);
    let answer =
        Ask::modern(world.address, PATH, "tools/call", json!({"name": "big", "arguments": {}})).send();
    assert_eq!(answer.json()["result"]["structuredContent"]["error"]["code"], "LIMIT_EXCEEDED");
}

#[test]
fn a_full_server_says_so_and_when_to_come_back() {
    let world = world(|c| {
        c.requests_max = 1;
        c.request_wait_ms = 10;
    });
    let call = Ask::modern(world.address, PATH, "tools/call", json!({"name": "wait", "arguments": {}}));
    let stream = call.open();
    world.watch.until("the call runs", |w| w.running.load(Ordering::SeqCst) == 1);
    let list = Ask::modern(world.address, PATH, "tools/list", json!({}));
    let busy = list.send();
    assert_eq!((busy.status, busy.header("retry-after")), (503, Some("1")));
    drop(stream);
    world.watch.until("there is room again", |_| list.send().status == 200);
}

#[test]
fn open_streams_are_bounded_and_do_not_use_up_requests() {
    let world = world(|c| {
        c.requests_max = 1;
        c.streams_max = 2;
    });
    let listen = Ask::modern(world.address, PATH, "subscriptions/listen", json!({"notifications": {}}));
    let mut streams: Vec<_> = (0..2).map(|_| listen.open()).collect();
    for stream in &mut streams {
        assert!(stream.message().is_some());
    }
    assert_eq!(listen.send().code(), -32603);
    assert_eq!(Ask::modern(world.address, PATH, "tools/list", json!({})).send().status, 200);
}

#[test]
fn half_open_connections_are_closed() {
    let world = world(|c| {
        c.header_timeout_ms = 100;
        c.body_timeout_ms = 100;
    });
    let mut slow_head = connect(world.address);
    slow_head.write_all(b"POST /mcp/test HTTP/1.1\r\nHost: loc").unwrap();
    let mut rest = Vec::new();
    slow_head.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"));
    let mut silent = connect(world.address);
    silent.read_to_end(&mut rest).unwrap();
    let slow_body = Ask::post(world.address, PATH, "{").with("Content-Length", "100").send();
    assert_eq!(slow_body.status, 408);
}

#[test]
fn connections_are_bounded() {
    let world = world(|c| c.connections_max = 2);
    let kept: Vec<_> = (0..2).map(|_| connect(world.address)).collect();
    std::thread::sleep(std::time::Duration::from_millis(100));
    let mut third = connect(world.address);
    let mut rest = Vec::new();
    let _ = third.read_to_end(&mut rest);
    assert!(rest.is_empty(), "a connection beyond the bound is dropped");
    drop(kept);
    world.watch.until("there is room again", |_| {
        let mut stream = connect(world.address);
        let ask = Ask::modern(world.address, PATH, "tools/list", json!({}));
        let head = format!("{}Content-Length: {}\r\n\r\n", ask.head(), ask.body.len());
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(&ask.body);
        let mut first = [0; 12];
        stream.read_exact(&mut first).is_ok() && first.ends_with(b"200")
    });
}

#[test]
fn bounds_and_listeners_change_while_the_server_runs() {
    struct Metrics;
    impl mcp_server::Page for Metrics {
        fn endpoint(&self) -> &str {
            PATH
        }
        fn read(&self, _: &mcp::Caller) -> Option<(&'static str, String)> {
            Some(("text/plain; version=0.0.4", "up 1\n".to_owned()))
        }
    }
    let mut world = World::with(ServerConfig::default(), |b| {
        b.anonymous(Scope::Full).page("/metrics", std::sync::Arc::new(Metrics))
    });
    let page = Ask::post(world.address, "/metrics", "").method("GET").send();
    assert_eq!((page.status, page.body.as_str()), (200, "up 1\n"));
    assert_eq!(page.header("content-type"), Some("text/plain; version=0.0.4"));
    let list = Ask::modern(world.address, PATH, "tools/list", json!({}));
    let mut small = ServerConfig::default();
    small.body_bytes_max = 10;
    world.running.server().reconfigure(small);
    assert_eq!(list.send().status, 413);
    world.running.server().reconfigure(ServerConfig::default());
    assert_eq!(list.send().status, 200);
    let zero = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    world.running.listen(zero, None).unwrap();
    let moved = Ask::modern(world.running.address(), PATH, "tools/list", json!({}));
    assert_eq!(moved.send().status, 200);
    let same = world.running.address();
    world.running.listen(same, None).unwrap();
    assert_eq!(moved.send().status, 200);
    world.running.pause().unwrap();
    assert!(!world.running.is_listening() && std::net::TcpStream::connect(same).is_err());
    world.running.stop().unwrap();
}

#[test]
fn a_client_that_reads_nothing_is_given_up() {
    let world = world(|c| c.write_timeout_ms = 100);
    let call = Ask::modern(world.address, PATH, "tools/call", json!({"name": "big", "arguments": {}}));
    let one = format!("{}Content-Length: {}\r\n\r\n", call.head(), call.body.len());
    let mut stream = connect(world.address);
    stream.set_write_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
    // Answers of hundreds of kilobytes each: the socket's buffers fill, and the server must not wait for ever.
    for _ in 0..200 {
        if stream.write_all(one.as_bytes()).and_then(|()| stream.write_all(&call.body)).is_err() {
            break;
        }
    }
    std::thread::sleep(std::time::Duration::from_millis(500));
    let mut rest = Vec::new();
    let ended = stream.read_to_end(&mut rest);
    assert!(ended.is_ok() || ended.is_err_and(|e| e.kind() != std::io::ErrorKind::WouldBlock));
    assert!(rest.len() < 200 * 400_000);
}
