//! Hooks around a statement: what they see, what they may say, in which order, and what a panic means; it runs no statement.

mod context;
mod reply;

#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::ArcSwap;

pub use context::{
    DigestNote, Phase, PostQueryFeedback, PreQueryContext, PreQueryContextBuilder, SqlMode, TransactionState,
};
pub use reply::{PendingReply, Reply, RowSet};

/// Why a hook refuses a statement.
// Exhaustive: hosts map each to their own error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DenyCode {
    /// Judged as an attack or against policy.
    PermissionDenied,
    /// Too many in a time.
    RateLimited,
    /// The hook failed and is set to refuse then.
    HookFailed,
}

/// What a hook says before a statement runs.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// Go on.
    Allow,
    /// Refuse.
    Deny {
        /// The class.
        code: DenyCode,
        /// One sentence for the caller.
        message: String,
        /// Number under which logs have the details; empty when there is none.
        incident: String,
    },
    /// Go on with this text.
    Rewrite(Vec<u8>),
    /// Answer this and run nothing.
    Answer(RowSet),
}

/// Judges statements before they run.
pub trait PreQueryHook: Send + Sync {
    /// Name in logs and statistics.
    fn name(&self) -> &str;

    /// Judges one statement. Must be quick.
    fn before(&self, context: &PreQueryContext<'_>) -> Verdict;

    /// Whether it judges the final text again when a later hook has changed it.
    fn judges_final_text(&self) -> bool {
        false
    }
}

/// Hears of statements that ran.
pub trait PostQueryHook: Send + Sync {
    /// Name in logs and statistics.
    fn name(&self) -> &str;

    /// Takes note of one statement. Must not block.
    fn after(&self, context: &PreQueryContext<'_>, feedback: &PostQueryFeedback);
}

/// Answers statements that begin with a prefix of its own, such as `LLM:`.
pub trait PrefixHook: Send + Sync {
    /// The prefixes, compared without case after leading blanks.
    fn prefixes(&self) -> &[&str];

    /// Answers at once or from another thread through `reply`; `body` is the text after the prefix.
    fn answer(&self, context: &PreQueryContext<'_>, body: &str, reply: Reply);
}

/// What a panic of a hook means.
// Exhaustive: there are two ways to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FailPolicy {
    /// The statement goes on.
    #[default]
    Open,
    /// The statement is refused.
    Closed,
}

#[derive(Clone)]
enum Kind {
    Pre(Arc<dyn PreQueryHook>, FailPolicy),
    Post(Arc<dyn PostQueryHook>),
    Prefix(Arc<dyn PrefixHook>),
}

#[derive(Clone)]
struct Registered {
    id: u64,
    order: i32,
    kind: Kind,
}

struct Inner {
    hooks: ArcSwap<Vec<Registered>>,
    change: Mutex<u64>,
    panics: AtomicU64,
}

/// Any number of hooks, changed at any time without stopping traffic. Clones share the list.
#[derive(Clone)]
pub struct HookRegistry {
    inner: Arc<Inner>,
}

impl Default for HookRegistry {
    fn default() -> Self {
        Self::new()
    }
}

impl HookRegistry {
    /// A registry without hooks.
    #[must_use]
    pub fn new() -> Self {
        let inner = Inner {
            hooks: ArcSwap::from_pointee(Vec::new()),
            change: Mutex::new(0),
            panics: AtomicU64::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Adds a pre hook; lower orders run first, equal orders in order of registration.
    pub fn before(&self, order: i32, policy: FailPolicy, hook: Arc<dyn PreQueryHook>) -> HookHandle {
        self.add(order, Kind::Pre(hook, policy))
    }

    /// Adds a post hook.
    pub fn after(&self, order: i32, hook: Arc<dyn PostQueryHook>) -> HookHandle {
        self.add(order, Kind::Post(hook))
    }

    /// Adds a prefix hook; these run before all pre hooks.
    pub fn prefix(&self, order: i32, hook: Arc<dyn PrefixHook>) -> HookHandle {
        self.add(order, Kind::Prefix(hook))
    }

    /// Panics of hooks that were caught so far.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.inner.panics.load(Ordering::Relaxed)
    }

    /// Whether there is no hook.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inner.hooks.load().is_empty()
    }

    fn add(&self, order: i32, kind: Kind) -> HookHandle {
        let mut next = self.inner.change.lock().unwrap_or_else(PoisonError::into_inner);
        *next += 1;
        let id = *next;
        let mut hooks = self.inner.hooks.load().as_ref().clone();
        hooks.push(Registered { id, order, kind });
        hooks.sort_by_key(|hook| (hook.order, hook.id));
        self.inner.hooks.store(Arc::new(hooks));
        HookHandle { inner: Arc::downgrade(&self.inner), id }
    }

    /// Starts the prefix hook that the text asks for, if there is one.
    #[must_use]
    pub fn answer_prefix(&self, context: &PreQueryContext<'_>) -> Option<PendingReply> {
        let hooks = self.inner.hooks.load();
        let text = std::str::from_utf8(context.sql()).ok()?.trim_start();
        for hook in hooks.iter() {
            let Kind::Prefix(hook) = &hook.kind else { continue };
            for prefix in hook.prefixes() {
                let Some(head) = text.get(..prefix.len()) else { continue };
                if head.eq_ignore_ascii_case(prefix) && !prefix.is_empty() {
                    let (reply, pending) = Reply::pair();
                    let body = &text[prefix.len()..];
                    // A panic drops the reply, which the waiting side sees as UNAVAILABLE.
                    if catch_unwind(AssertUnwindSafe(|| hook.answer(context, body, reply))).is_err() {
                        self.inner.panics.fetch_add(1, Ordering::Relaxed);
                    }
                    return Some(pending);
                }
            }
        }
        None
    }

    /// Runs the pre hooks in order. `Rewrite` in the answer means that the text changed and every hook allows it.
    #[must_use]
    pub fn judge(&self, context: &PreQueryContext<'_>) -> Verdict {
        let hooks = self.inner.hooks.load();
        let mut text: Option<Vec<u8>> = None;
        // Hooks that have judged a text which is no longer the final one.
        let mut asked: Vec<(&Arc<dyn PreQueryHook>, FailPolicy, usize)> = Vec::new();
        let mut rewrites = 0;
        for hook in hooks.iter() {
            let Kind::Pre(hook, policy) = &hook.kind else { continue };
            let verdict = match &text {
                Some(text) => self.ask(hook, *policy, &context.with_sql(text)),
                None => self.ask(hook, *policy, context),
            };
            match verdict {
                Verdict::Allow => {}
                Verdict::Rewrite(fresh) => {
                    rewrites += 1;
                    text = Some(fresh);
                }
                end => return end,
            }
            asked.push((hook, *policy, rewrites));
        }
        let Some(text) = text else { return Verdict::Allow };
        let last = context.with_sql(&text);
        let again = asked.iter().filter(|(hook, _, seen)| *seen < rewrites && hook.judges_final_text());
        for (hook, policy, _) in again {
            match self.ask(hook, *policy, &last) {
                Verdict::Allow => {}
                Verdict::Rewrite(_) => {
                    return Verdict::Deny {
                        code: DenyCode::PermissionDenied,
                        message: format!("hook {} would change the final text again", hook.name()),
                        incident: String::new(),
                    };
                }
                end => return end,
            }
        }
        Verdict::Rewrite(text)
    }

    fn ask(
        &self,
        hook: &Arc<dyn PreQueryHook>,
        policy: FailPolicy,
        context: &PreQueryContext<'_>,
    ) -> Verdict {
        match catch_unwind(AssertUnwindSafe(|| hook.before(context))) {
            Ok(verdict) => verdict,
            Err(_) => {
                self.inner.panics.fetch_add(1, Ordering::Relaxed);
                match policy {
                    FailPolicy::Open => Verdict::Allow,
                    FailPolicy::Closed => Verdict::Deny {
                        code: DenyCode::HookFailed,
                        message: "a check of the statement failed".to_owned(),
                        incident: String::new(),
                    },
                }
            }
        }
    }

    /// Tells the post hooks.
    pub fn report(&self, context: &PreQueryContext<'_>, feedback: &PostQueryFeedback) {
        for hook in self.inner.hooks.load().iter() {
            let Kind::Post(hook) = &hook.kind else { continue };
            if catch_unwind(AssertUnwindSafe(|| hook.after(context, feedback))).is_err() {
                self.inner.panics.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl std::fmt::Debug for HookRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HookRegistry").field("hooks", &self.inner.hooks.load().len()).finish_non_exhaustive()
    }
}

/// Keeps a hook registered; dropping it takes the hook out.
#[must_use = "the hook is taken out when this is dropped"]
pub struct HookHandle {
    inner: Weak<Inner>,
    id: u64,
}

impl Drop for HookHandle {
    fn drop(&mut self) {
        let Some(inner) = self.inner.upgrade() else { return };
        let _change = inner.change.lock().unwrap_or_else(PoisonError::into_inner);
        let mut hooks = inner.hooks.load().as_ref().clone();
        hooks.retain(|hook| hook.id != self.id);
        inner.hooks.store(Arc::new(hooks));
    }
}

impl std::fmt::Debug for HookHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HookHandle").field("id", &self.id).finish_non_exhaustive()
    }
}
