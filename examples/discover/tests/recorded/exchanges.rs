//! Recorded exchanges with a model: what was asked without its random boundary, and the answer; it knows no socket.

use std::path::PathBuf;

use serde_json::{Value, json};

/// What stands for the boundary that is new for each question.
const BOUNDARY: &str = "DATA-boundary";

/// Questions with answers, in the order in which they were asked.
#[derive(Clone, Default)]
pub(crate) struct Exchanges(Vec<(Value, Value)>);

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recorded/exchanges.jsonl")
}

impl Exchanges {
    pub(crate) fn read() -> Self {
        let text = std::fs::read_to_string(file()).expect("the recorded exchanges");
        let line = |line: &str| {
            let mut pair: Value = serde_json::from_str(line).expect("a JSON line");
            (pair["asked"].take(), pair["answer"].take())
        };
        Self(text.lines().map(line).collect())
    }

    pub(crate) fn write(&self) {
        let lines =
            self.0.iter().map(|(asked, answer)| json!({"asked": asked, "answer": answer}).to_string() + "\n");
        std::fs::write(file(), lines.collect::<String>()).expect("writes the exchanges");
    }

    pub(crate) fn add(&mut self, asked: Value, answer: Value) {
        self.0.push((asked, answer));
    }

    pub(crate) fn answer(&self, asked: &Value) -> Option<&Value> {
        self.0.iter().find(|(known, _)| known == asked).map(|(_, answer)| answer)
    }

    /// The messages behind the system message, which is the same for every question, and the names of the tools on offer.
    pub(crate) fn asked(request: &Value) -> Value {
        let messages = request["messages"].as_array().cloned().unwrap_or_default();
        let system = messages.first().and_then(|m| m["content"].as_str()).unwrap_or_default();
        let boundary =
            system.rsplit_once("The boundary line is ").map(|(_, rest)| rest.trim_end_matches('.'));
        let rest: Vec<Value> = messages
            .iter()
            .skip(1)
            .map(|message| match boundary {
                Some(boundary) => {
                    let text = message.to_string().replace(boundary, BOUNDARY);
                    serde_json::from_str(&text).unwrap_or_default()
                }
                None => message.clone(),
            })
            .collect();
        let tools = request["tools"].as_array().into_iter().flatten();
        let tools: Vec<&str> = tools.filter_map(|tool| tool["function"]["name"].as_str()).collect();
        json!({"messages": rest, "tools": tools})
    }
}
