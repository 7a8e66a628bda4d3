//! Documents beside the endpoints, such as metrics; it does not know what they say.

use mcp::Caller;

/// A document that is fetched with GET.
pub trait Page: Send + Sync {
    /// Path of the endpoint whose tokens open it.
    fn endpoint(&self) -> &str;

    /// Media type and text. `None` means that there is nothing here now (404). Called on an async thread: it must not block.
    fn read(&self, caller: &Caller) -> Option<(&'static str, String)>;
}
