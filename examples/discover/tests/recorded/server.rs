//! A model server of one thread a connection: answers from recorded exchanges or by rule, and stops where a test wants it to.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::exchanges::Exchanges;
use crate::scripted;

/// Where answers come from.
pub(crate) enum Played {
    Recorded(Exchanges),
    Scripted,
}

#[derive(Default)]
struct State {
    asked: usize,
    stop: Option<(usize, bool)>,
    stopped: bool,
    unknown: Vec<String>,
    exchanges: Exchanges,
}

struct Shared {
    played: Played,
    state: Mutex<State>,
    moved: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct ModelServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl ModelServer {
    pub(crate) fn start(played: Played) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared { played, state: Mutex::default(), moved: Condvar::new() });
        let served = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&served);
                // A client that is killed leaves a broken connection behind.
                std::thread::spawn(move || serve(&shared, stream).ok());
            }
        });
        Self { address, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1/chat/completions", self.address)
    }

    /// The `at`th question from now on gets no answer until [`go_on`](Self::go_on), or a stop follows its answer.
    pub(crate) fn stop_at(&self, at: usize, before_the_answer: bool) {
        self.shared.state().stop = Some((at, before_the_answer));
    }

    pub(crate) fn has_stopped(&self) -> bool {
        self.shared.state().stopped
    }

    pub(crate) fn go_on(&self) {
        let mut state = self.shared.state();
        (state.stop, state.stopped) = (None, false);
        self.shared.moved.notify_all();
    }

    pub(crate) fn restart_count(&self) {
        self.shared.state().asked = 0;
    }

    pub(crate) fn asked(&self) -> usize {
        self.shared.state().asked
    }

    /// Questions that no exchange answers.
    pub(crate) fn unknown(&self) -> Vec<String> {
        self.shared.state().unknown.clone()
    }

    pub(crate) fn exchanges(&self) -> Exchanges {
        self.shared.state().exchanges.clone()
    }
}

fn serve(shared: &Shared, stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    while let Some(body) = request(&mut reader)? {
        let request: Value = serde_json::from_slice(&body)?;
        let stop_after = {
            let mut state = shared.state();
            state.asked += 1;
            let (asked, stop) = (state.asked, state.stop);
            if stop == Some((asked, true)) {
                state.stopped = true;
                let _gone_on = shared.moved.wait_while(state, |s| s.stopped);
                return Ok(());
            }
            stop == Some((asked, false))
        };
        let (status, answer) = answer(shared, &request);
        let text = answer.to_string();
        write!(
            writer,
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{text}",
            text.len()
        )?;
        writer.flush()?;
        if stop_after {
            shared.state().stopped = true;
        }
    }
    Ok(())
}

/// The body of the next request on the connection.
fn request(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Vec<u8>>> {
    let mut length = 0;
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(body))
}

fn answer(shared: &Shared, request: &Value) -> (&'static str, Value) {
    let asked = Exchanges::asked(request);
    let message = match &shared.played {
        Played::Recorded(exchanges) => exchanges.answer(&asked).cloned(),
        Played::Scripted => {
            let message = scripted::answer(&asked);
            shared.state().exchanges.add(asked.clone(), message.clone());
            Some(message)
        }
    };
    let Some(message) = message else {
        shared.state().unknown.push(format!("{asked:#}"));
        return ("500 Internal Server Error", json!({"error": {"message": "no such exchange"}}));
    };
    let finish = if message.get("tool_calls").is_some() { "tool_calls" } else { "stop" };
    let usage = json!({"prompt_tokens": asked.to_string().len() / 4, "completion_tokens": message.to_string().len() / 4});
    (
        "200 OK",
        json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": "scripted",
               "choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage}),
    )
}
