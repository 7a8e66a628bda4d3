//! The engine's own second check: what a prepared statement may do; it never reads SQL text.

use std::sync::Arc;

use harvest::{DialectName, GatePolicy};
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use crate::guard::Shared;

/// Functions that no policy can allow, because they load code or reach files.
const NEVER: &[&str] =
    &["edit", "fts3_tokenizer", "load_extension", "readfile", "writefile", "lsmode", "fsdir"];

/// The authorizer of one connection: reads, selects and harmless functions pass, everything else is refused.
pub(crate) fn authorizer(
    shared: Arc<Shared>,
) -> impl FnMut(AuthContext<'_>) -> Authorization + Send + 'static {
    let policy = GatePolicy::default();
    move |context: AuthContext<'_>| {
        if shared.own() {
            return Authorization::Allow;
        }
        match refusal(&context, &shared, &policy) {
            None => Authorization::Allow,
            Some(what) => {
                shared.set_denied(Some(what));
                Authorization::Deny
            }
        }
    }
}

fn refusal(context: &AuthContext<'_>, shared: &Shared, policy: &GatePolicy) -> Option<String> {
    let what = match context.action {
        AuthAction::Select | AuthAction::Recursive => return None,
        AuthAction::Read { table_name, .. } => {
            if !harvest_gate::is_denied_object(DialectName::Sqlite, None, table_name, policy) {
                return None;
            }
            format!("the object {table_name}")
        }
        AuthAction::Function { function_name } => {
            let name = function_name.to_ascii_lowercase();
            // The arrows of JSON are functions to the engine.
            let built_in = matches!(name.as_str(), "->" | "->>")
                || harvest_gate::is_allowed_function(DialectName::Sqlite, None, &name, policy);
            if built_in || (!NEVER.contains(&name.as_str()) && shared.is_extra_function(&name)) {
                return None;
            }
            format!("the function {name}")
        }
        AuthAction::Pragma { pragma_name, pragma_value } => {
            if harvest_gate::is_allowed_pragma(pragma_name, pragma_value.is_some()) {
                return None;
            }
            format!("PRAGMA {}", pragma_name.to_ascii_lowercase())
        }
        AuthAction::Insert { table_name }
        | AuthAction::Delete { table_name }
        | AuthAction::Update { table_name, .. } => {
            format!("a change of {table_name}")
        }
        AuthAction::Attach { .. } | AuthAction::Detach { .. } => "ATTACH".to_owned(),
        AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } => "transaction control".to_owned(),
        AuthAction::Analyze { .. } | AuthAction::Reindex { .. } => "maintenance".to_owned(),
        _ => "a change of the schema".to_owned(),
    };
    Some(what)
}
