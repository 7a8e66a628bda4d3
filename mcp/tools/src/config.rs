//! The tools of `/mcp/config`: the running configuration and the admin interface, one file a tool.

mod get_config;
mod get_status;
mod list_variables;
mod query;
mod reload_config;
mod set_config;
pub(crate) mod shared;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use mcp_config::AdminSql;

use crate::toolbox::Toolbox;

/// The tools over a configuration.
#[must_use]
pub fn config_tools(admin: &Arc<AdminSql>) -> Toolbox {
    Toolbox::new()
        .with(get_config::GetConfig(Arc::clone(admin)))
        .with(set_config::SetConfig(Arc::clone(admin)))
        .with(reload_config::ReloadConfig(Arc::clone(admin)))
        .with(list_variables::ListVariables(Arc::clone(admin)))
        .with(get_status::GetStatus(Arc::clone(admin)))
        .with(query::Query(Arc::clone(admin)))
}
