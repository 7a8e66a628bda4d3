//! Multi-round-trip requests of the modern era: answers so far and the sealed state between rounds; it does not know cryptography.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ask::{Ask, AskFailure, ClientLink, Judgement};
use crate::context::CallContext;
use crate::json::ObjectWriter;
use crate::meta::ClientCapabilities;
use crate::rpc::RpcError;

/// How long a client may take between two rounds, in seconds.
pub const STATE_LIFETIME_S: u64 = 900;
/// Largest `requestState` that is made or read, in bytes.
pub const STATE_BYTES_MAX: usize = 64 * 1024;

/// Authenticates state that travels through the client.
pub trait StateSeal: Send + Sync {
    /// Text from which [`open`](Self::open) gives `plain` back, and that nobody else can make.
    fn seal(&self, plain: &[u8]) -> String;

    /// The sealed bytes; `None` for text that this server did not seal.
    fn open(&self, sealed: &str) -> Option<Vec<u8>>;

    /// A collision-resistant digest, as text.
    fn digest(&self, bytes: &[u8]) -> String;

    /// Whether the state of this digest is used for the first time as a proof. Later calls with the same digest give `false`,
    /// so that one confirmation confirms one call.
    fn spend(&self, digest: &str) -> bool {
        let _ = digest;
        true
    }
}

/// What a sealed state is good for: one caller, one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Binding {
    caller: String,
    endpoint: String,
    method: String,
    name: String,
    arguments: String,
}

#[derive(Serialize, Deserialize)]
struct State {
    binding: Binding,
    expires_s: u64,
    asked: Vec<String>,
    answers: Map<String, Value>,
    #[serde(default)]
    kept: Option<Value>,
}

#[derive(Default)]
struct Progress {
    answers: Map<String, Value>,
    asked: Vec<String>,
    kept: Option<Value>,
    /// Digest of the state that came in; gone once it has been looked at as a proof.
    proof: Option<String>,
    /// Whether that proof holds for this request.
    proven: bool,
}

/// The rounds of one modern request: the [`ClientLink`] of a call without a channel back to its client.
pub struct Rounds {
    capabilities: ClientCapabilities,
    binding: Binding,
    seal: Arc<dyn StateSeal>,
    progress: Mutex<Progress>,
    protocol: Option<RpcError>,
}

impl Rounds {
    /// Reads `inputResponses` and `requestState` out of `params`. `name` is the tool, prompt or URI; `arguments` stay in `params`.
    ///
    /// # Errors
    /// `-32602` for responses that are no object, and for a state that is forged, expired or of another request.
    pub fn open(
        seal: Arc<dyn StateSeal>,
        cx: &CallContext,
        capabilities: ClientCapabilities,
        method: &str,
        name: &str,
        params: &mut Map<String, Value>,
    ) -> Result<Self, RpcError> {
        let answers = match params.remove("inputResponses") {
            None => Map::new(),
            Some(Value::Object(map)) => map,
            Some(_) => return Err(RpcError::invalid_params("inputResponses is not an object")),
        };
        let sealed = match params.remove("requestState") {
            None => None,
            Some(Value::String(text)) if text.len() <= STATE_BYTES_MAX => Some(text),
            Some(_) => return Err(RpcError::invalid_params("requestState is not text of at most 64 KiB")),
        };
        let askable = ["elicitation", "sampling", "roots"].iter().any(|c| capabilities.has(c));
        let mut binding = Binding {
            caller: cx.caller.token_name.clone(),
            endpoint: cx.endpoint.to_string(),
            method: method.to_owned(),
            name: name.to_owned(),
            arguments: String::new(),
        };
        let mut progress = Progress::default();
        // The digest costs a serialization: only where a state is or may be in play.
        if askable || sealed.is_some() {
            let arguments = params.get("arguments").map(Value::to_string).unwrap_or_default();
            binding.arguments = seal.digest(arguments.as_bytes());
        }
        if let Some(sealed) = sealed {
            progress = read_state(seal.as_ref(), &sealed, &binding)?;
        }
        let mut protocol = None;
        for (key, answer) in answers {
            if !answer.is_object() {
                protocol = Some(RpcError::invalid_params(format!(
                    "inputResponses[{:?}] is not an object",
                    crate::rpc::clip(&key)
                )));
            }
            progress.answers.insert(key, answer);
        }
        Ok(Self { capabilities, binding, seal, progress: Mutex::new(progress), protocol })
    }

    /// The members of an `input_required` result: `resultType`, `inputRequests`, `requestState`.
    ///
    /// # Errors
    /// `-32603` when the state would be larger than 64 KiB.
    pub(crate) fn write_need_input(&self, asks: &[Ask], out: &mut ObjectWriter) -> Result<(), RpcError> {
        let progress = self.lock();
        let state = State {
            binding: self.binding.clone(),
            expires_s: now_s().saturating_add(STATE_LIFETIME_S),
            asked: asks.iter().map(|a| a.key.clone()).chain(progress.asked.iter().cloned()).collect(),
            answers: progress.answers.clone(),
            kept: progress.kept.clone(),
        };
        drop(progress);
        let plain = serde_json::to_vec(&state).unwrap_or_default();
        let sealed = self.seal.seal(&plain);
        if sealed.len() > STATE_BYTES_MAX {
            return Err(RpcError::new(RpcError::INTERNAL, "the state of this request outgrew 64 KiB"));
        }
        out.raw("resultType", "\"input_required\"");
        out.field("inputRequests", &input_requests(asks));
        out.field("requestState", &sealed);
        Ok(())
    }

    /// A state proves once: whoever sends it again is asked again.
    fn prove(&self, progress: &mut Progress) -> bool {
        if let Some(digest) = progress.proof.take() {
            progress.proven = self.seal.spend(&digest);
        }
        progress.proven
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The `inputRequests` map of some questions.
#[must_use]
pub fn input_requests(asks: &[Ask]) -> Map<String, Value> {
    asks.iter()
        .map(|ask| (ask.key.clone(), serde_json::json!({"method": ask.method(), "params": ask.params()})))
        .collect()
}

fn read_state(seal: &dyn StateSeal, sealed: &str, binding: &Binding) -> Result<Progress, RpcError> {
    let refused =
        |why: &str| RpcError::invalid_params(format!("requestState {why}: repeat the request without it"));
    let plain = seal.open(sealed).ok_or_else(|| refused("was not made by this server"))?;
    let state: State = serde_json::from_slice(&plain).map_err(|_| refused("is not readable"))?;
    if state.binding != *binding {
        return Err(refused("belongs to another request"));
    }
    if state.expires_s < now_s() {
        return Err(refused("has expired"));
    }
    let proof = Some(seal.digest(sealed.as_bytes()));
    Ok(Progress { answers: state.answers, asked: state.asked, kept: state.kept, proof, proven: false })
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

impl ClientLink for Rounds {
    fn capabilities(&self) -> ClientCapabilities {
        self.capabilities.clone()
    }

    fn ask(&self, _: &CallContext, asks: &[Ask]) -> Result<Vec<Value>, AskFailure> {
        if let Some(ask) = asks.iter().find(|a| !a.is_possible(&self.capabilities)) {
            return Err(AskFailure::MissingCapability(ask.capability()));
        }
        if let Some(error) = &self.protocol {
            return Err(AskFailure::Protocol(error.clone()));
        }
        let mut progress = self.lock();
        let (mut found, mut open) = (Vec::with_capacity(asks.len()), Vec::new());
        for ask in asks {
            let known = !ask.proven || (progress.asked.contains(&ask.key) && self.prove(&mut progress));
            match progress.answers.get(&ask.key).filter(|_| known).map(|a| (ask.judge(a), a)) {
                Some((Judgement::Good, answer)) => found.push(answer.clone()),
                Some((Judgement::Malformed, _)) => {
                    let what = format!("inputResponses[{:?}] does not answer {}", ask.key, ask.method());
                    return Err(AskFailure::Protocol(RpcError::invalid_params(what)));
                }
                Some((Judgement::AskAgain, _)) | None => open.push(ask.clone()),
            }
        }
        if open.is_empty() {
            return Ok(found);
        }
        // Unasked answers are not carried along: only what this call asked for is kept.
        let keys: Vec<String> = open.iter().map(|a| a.key.clone()).collect();
        progress.answers.retain(|key, _| !keys.contains(key));
        Err(AskFailure::NeedInput(open))
    }

    fn recall(&self) -> Option<Value> {
        self.lock().kept.clone()
    }

    fn remember(&self, state: Value) {
        self.lock().kept = Some(state);
    }
}

#[cfg(test)]
#[path = "rounds/tests.rs"]
mod tests;
