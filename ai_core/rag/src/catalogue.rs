//! Which sources a caller sees and which spaces they use, read from one state of the store; it knows no search.

use ai_core::{AiError, AiErrorCode, AiResult};

use crate::database::Session;
use crate::records::Space;
use crate::store::{self, AclEntry, SourceRow};

/// Who asks. Scopes are checked by the host before; this decides about sources.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RagCaller {
    /// The caller's name, as access lists spell it.
    pub name: String,
    /// Targets that the caller may use; `None` means all. Sources on other targets do not exist for the caller.
    pub targets: Option<Vec<String>>,
}

impl RagCaller {
    /// A caller who may use every target.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), targets: None }
    }

    /// Restricts the caller to sources on these targets (and sources without a target).
    #[must_use]
    pub fn with_targets(mut self, targets: Vec<String>) -> Self {
        self.targets = Some(targets);
        self
    }
}

/// What a caller wants to do with a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    Search,
    Fetch,
    Sync,
}

/// Sources, rights and spaces of one state of the store.
#[derive(Debug)]
pub(crate) struct Catalogue {
    pub(crate) sources: Vec<SourceRow>,
    acl: Vec<(i64, AclEntry)>,
    pub(crate) spaces: Vec<Space>,
    /// (source, space, active)
    pub(crate) roles: Vec<(i64, i64, bool)>,
}

impl Catalogue {
    pub(crate) fn read(c: &dyn Session) -> AiResult<Self> {
        Self::with(c, store::sources_all(c)?)
    }

    /// As [`read`](Self::read), for a search: unchanged settings are not read anew.
    pub(crate) fn of(c: &dyn Session, store: &store::Store) -> AiResult<Self> {
        Self::with(c, store.sources(c)?)
    }

    fn with(c: &dyn Session, sources: Vec<SourceRow>) -> AiResult<Self> {
        Ok(Self {
            sources,
            acl: store::acl_all(c)?,
            spaces: store::spaces_all(c)?,
            roles: store::roles_all(c)?,
        })
    }

    fn entry(&self, source_id: i64, caller: &RagCaller) -> Option<Option<&AclEntry>> {
        let mut rows = self.acl.iter().filter(|(id, _)| *id == source_id).map(|(_, e)| e).peekable();
        rows.peek()?;
        let rows: Vec<&AclEntry> = rows.collect();
        let own = rows.iter().find(|e| e.caller == caller.name);
        Some(own.or_else(|| rows.iter().find(|e| e.caller == "*")).copied())
    }

    /// Whether a source exists for a caller at all.
    pub(crate) fn exists_for(&self, source: &SourceRow, caller: &RagCaller) -> bool {
        let target = source.config.as_ref().ok().and_then(|c| c.target_id.as_deref());
        let target_open = match (target, &caller.targets) {
            (Some(target), Some(open)) => open.iter().any(|t| t == target),
            _ => true,
        };
        target_open && source.kind == "rag" && !matches!(self.entry(source.source_id, caller), Some(None))
    }

    /// Whether a caller has a right on a source that exists for them.
    pub(crate) fn permits(&self, source: &SourceRow, caller: &RagCaller, right: Right) -> bool {
        self.exists_for(source, caller)
            && match self.entry(source.source_id, caller) {
                None => true,
                Some(None) => false,
                Some(Some(entry)) => match right {
                    Right::Search => entry.can_search,
                    Right::Fetch => entry.can_fetch,
                    Right::Sync => entry.can_sync,
                },
            }
    }

    /// The sources that a caller can search now.
    pub(crate) fn searchable(&self, caller: &RagCaller) -> Vec<&SourceRow> {
        self.sources.iter().filter(|s| s.enabled && self.permits(s, caller, Right::Search)).collect()
    }

    /// Picks among the searchable sources; a name or number that is not among them is `NOT_FOUND`.
    pub(crate) fn pick(
        &self,
        caller: &RagCaller,
        ids: &[i64],
        names: &[String],
    ) -> AiResult<Vec<&SourceRow>> {
        let open = self.searchable(caller);
        for id in ids {
            if !open.iter().any(|s| s.source_id == *id) {
                return Err(AiError::not_found(format!("no source has number {id}")).with("source_id", *id));
            }
        }
        for name in names {
            if !open.iter().any(|s| s.name == *name) {
                return Err(AiError::not_found(format!("no source is named {name:?}"))
                    .with("source_name", name.clone()));
            }
        }
        Ok(open
            .into_iter()
            .filter(|s| ids.is_empty() || ids.contains(&s.source_id))
            .filter(|s| names.is_empty() || names.contains(&s.name))
            .collect())
    }

    /// The space that answers for a source.
    pub(crate) fn active_space(&self, source_id: i64) -> Option<&Space> {
        let (_, space_id, _) = self.roles.iter().find(|(s, _, active)| *s == source_id && *active)?;
        self.spaces.iter().find(|s| s.space_id == *space_id)
    }

    /// Every space of a source that must follow its documents: the active one and those under construction.
    pub(crate) fn spaces_of(&self, source_id: i64) -> Vec<(&Space, bool)> {
        let roles = self.roles.iter().filter(|(s, ..)| *s == source_id);
        roles
            .filter_map(|(_, id, active)| {
                self.spaces.iter().find(|s| s.space_id == *id).map(|s| (s, *active))
            })
            .collect()
    }

    /// A source by name, as long as it exists for the caller.
    pub(crate) fn by_name(&self, caller: &RagCaller, name: &str) -> AiResult<&SourceRow> {
        self.sources
            .iter()
            .find(|s| s.name == name && self.exists_for(s, caller))
            .ok_or_else(|| AiError::not_found(format!("no source is named {name:?}")))
    }
}

/// `FAILED_PRECONDITION` with a sentence.
pub(crate) fn precondition(message: impl Into<String>) -> AiError {
    AiError::new(AiErrorCode::FailedPrecondition, message)
}
