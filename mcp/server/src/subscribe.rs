//! `subscriptions/listen`: a stream of the changes a modern client asked for; it does not know how the stream travels.

use std::collections::BTreeSet;
use std::sync::Arc;

use mcp::{Change, ChangeSubscription, Endpoint, META_SUBSCRIPTION_ID, RpcError};
use serde_json::{Map, Value, json};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::event::notification;
use crate::exchange::{Exchange, Reply};

/// Changes that a stream may have waiting; a client that does not keep up loses some.
const CHANGES_MAX: usize = 256;
/// Resources that one stream may follow.
const RESOURCES_MAX: usize = 1024;

/// What a stream carries.
#[derive(Debug, Default, Clone, PartialEq)]
struct Wanted {
    tools: bool,
    prompts: bool,
    resources: bool,
    uris: BTreeSet<String>,
}

impl Wanted {
    /// What was asked for and can be delivered.
    fn read(filter: &Map<String, Value>, endpoint: &Endpoint) -> Result<Self, RpcError> {
        let flag = |key: &str| filter.get(key) == Some(&Value::Bool(true));
        let subscribable = endpoint.resources.as_ref().is_some_and(|r| r.subscribable());
        let mut wanted = Self {
            tools: flag("toolsListChanged"),
            prompts: flag("promptsListChanged") && endpoint.prompts.is_some(),
            resources: flag("resourcesListChanged") && endpoint.resources.is_some(),
            uris: BTreeSet::new(),
        };
        if let Some(Value::Array(uris)) = filter.get("resourceSubscriptions").filter(|_| subscribable) {
            if uris.len() > RESOURCES_MAX {
                return Err(RpcError::invalid_params(format!(
                    "a stream follows at most {RESOURCES_MAX} resources"
                )));
            }
            wanted.uris = uris.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        }
        Ok(wanted)
    }

    fn acknowledged(&self) -> Value {
        let mut map = Map::new();
        for (key, on) in [
            ("toolsListChanged", self.tools),
            ("promptsListChanged", self.prompts),
            ("resourcesListChanged", self.resources),
        ] {
            if on {
                map.insert(key.into(), true.into());
            }
        }
        if !self.uris.is_empty() {
            map.insert("resourceSubscriptions".into(), json!(self.uris));
        }
        Value::Object(map)
    }

    fn message(&self, change: &Change, id: &Value) -> Option<String> {
        let meta = json!({META_SUBSCRIPTION_ID: id});
        let (method, params) = match change {
            Change::Tools if self.tools => ("notifications/tools/list_changed", json!({"_meta": meta})),
            Change::Prompts if self.prompts => ("notifications/prompts/list_changed", json!({"_meta": meta})),
            Change::Resources if self.resources => {
                ("notifications/resources/list_changed", json!({"_meta": meta}))
            }
            Change::ResourceUpdated(uri) if self.uris.contains(uri) => {
                ("notifications/resources/updated", json!({"uri": uri, "_meta": meta}))
            }
            _ => return None,
        };
        Some(notification(method, &params))
    }
}

/// An open stream. Dropping it ends the subscription.
pub(crate) struct Listening {
    pub(crate) first: Option<String>,
    pub(crate) changes: mpsc::Receiver<String>,
    /// The result that ends the stream in good order.
    pub(crate) last: String,
    _subscription: ChangeSubscription,
    _permit: OwnedSemaphorePermit,
}

/// `subscriptions/listen`.
pub(crate) async fn listen(x: Arc<Exchange>) -> Result<Reply, RpcError> {
    let incoming = x.take_incoming()?;
    if !x.era.is_modern() {
        return Err(RpcError::method_not_found(&x.method));
    }
    let Some(Value::Object(filter)) = incoming.params.get("notifications") else {
        return Err(RpcError::invalid_params("params.notifications is missing or not an object"));
    };
    let wanted = Wanted::read(filter, &x.route.endpoint)?;
    let permit = x
        .core
        .streams
        .try_acquire()
        .ok_or_else(|| RpcError::new(RpcError::INTERNAL, "too many open streams: try again later"))?;
    let id = x.id.to_value();
    let acknowledged = json!({"notifications": wanted.acknowledged(), "_meta": {META_SUBSCRIPTION_ID: id}});
    let (send, changes) = mpsc::channel(CHANGES_MAX);
    let first = notification("notifications/subscriptions/acknowledged", &acknowledged);
    let last = end_of_stream(&x, &id);
    let subscription = x.route.endpoint.changes.subscribe(move |change| {
        if let Some(message) = wanted.message(change, &id) {
            let _ = send.try_send(message);
        }
    });
    Ok(Reply::Listen(Listening {
        first: Some(first),
        changes,
        last,
        _subscription: subscription,
        _permit: permit,
    }))
}

fn end_of_stream(x: &Exchange, id: &Value) -> String {
    let mut meta = Map::new();
    meta.insert(META_SUBSCRIPTION_ID.into(), id.clone());
    meta.insert(mcp::META_SERVER_INFO.into(), json!(x.core.dispatcher.info()));
    let mut members = Map::new();
    members.insert("_meta".into(), Value::Object(meta));
    crate::event::result_message(&x.id, &x.core.dispatcher.object_result(x.era, &members))
}
