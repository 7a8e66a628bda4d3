//! Business domains and their members; a set of members is replaced as one unit.

use harvest::HarvestResult;
use rusqlite::{Connection, OptionalExtension, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::agent::running;
use crate::catalog::Catalog;
use crate::fail::{self, StoreResult};
use crate::keys::ObjectRef;
use crate::llm_index::{self, SearchRow};
use crate::object_tags;
use crate::objects::resolve;
use crate::relationships::current;
use crate::store::now;
use crate::text_enum::text_enum;

use super::action;

text_enum! {
    /// The part that an object plays in a domain.
    MemberRole {
        /// A thing of the business.
        Entity = "entity",
        /// Something that happened, with measures.
        Fact = "fact",
        /// Describes facts.
        Dimension = "dimension",
        /// A log.
        Log = "log",
        /// Pairs of other objects.
        Bridge = "bridge",
        /// A small list of codes.
        Lookup = "lookup",
    }
}

/// A domain to write.
#[derive(Debug, Clone)]
// Exhaustive: callers fill every field from their arguments.
pub struct DomainUpsert {
    /// The agent run.
    pub agent_run_id: i64,
    /// Unique in the agent run.
    pub domain_key: String,
    /// A short title; `None` keeps the present one.
    pub title: Option<String>,
    /// What it is about; `None` keeps the present one.
    pub description: Option<String>,
    /// 0 to 1.
    pub confidence: f64,
}

/// A written domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct DomainUpserted {
    pub domain_id: i64,
    pub domain_key: String,
    /// inserted or updated.
    pub action: String,
}

/// One member to set.
#[derive(Debug, Clone)]
// Exhaustive: callers fill every field from their arguments.
pub struct DomainMember {
    /// The object, in the agent run's discovery run.
    pub object_id: i64,
    /// Its part.
    pub role: Option<MemberRole>,
    /// 0 to 1.
    pub confidence: f64,
}

/// Members were set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct MembersSet {
    pub domain_id: i64,
    pub domain_key: String,
    /// Number of members now.
    pub members: u64,
    /// members_set.
    pub status: String,
}

/// Which domains to list.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct DomainListRequest {
    /// The target.
    pub target_id: String,
    /// The run that object ids refer to.
    pub run_id: i64,
    /// Only of this agent run.
    pub agent_run_id: Option<i64>,
    /// Only this one.
    pub domain_key: Option<String>,
    /// Members as well.
    pub include_members: bool,
    /// Domains at most.
    pub limit: usize,
    /// Domains left out at the start.
    pub offset: usize,
}

impl DomainListRequest {
    /// The first page of a target's domains with their members.
    pub fn new(target_id: impl Into<String>, run_id: i64) -> Self {
        Self { target_id: target_id.into(), run_id, include_members: true, limit: 50, ..Self::default() }
    }
}

/// A page of domains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct DomainList {
    /// By key, newest agent run first.
    pub domains: Vec<DomainRow>,
    /// Where the next page starts.
    #[serde(skip)]
    pub next_offset: Option<usize>,
}

/// One domain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct DomainRow {
    pub domain_id: i64,
    pub domain_key: String,
    pub title: String,
    pub description: String,
    pub confidence: f64,
    pub agent_run_id: i64,
    pub created_at: i64,
    pub member_count: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<Vec<DomainMemberRow>>,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct DomainMemberRow {
    /// Id in the run asked for; null if the object is gone.
    pub object_id: Option<i64>,
    pub object_key: String,
    pub role: Option<String>,
    pub confidence: f64,
}

impl Catalog {
    /// Writes a domain, one per agent run and key.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FAILED_PRECONDITION` for a finished agent run.
    pub fn domain_upsert(&self, request: &DomainUpsert) -> HarvestResult<DomainUpserted> {
        self.store().write(|tx| {
            let (scope, run_id) = running(tx, request.agent_run_id)?;
            let existed = find(tx, request.agent_run_id, &request.domain_key)?.is_some();
            let (domain_id, title, description): (i64, String, String) = tx
                .query_row(
                    "INSERT INTO llm_domains(target_id, run_id, agent_run_id, domain_key, title, description, confidence,
                       created_at) VALUES (?1, ?2, ?3, ?4, COALESCE(?5, ''), COALESCE(?6, ''), ?7, ?8)
                     ON CONFLICT(agent_run_id, domain_key) DO UPDATE SET title = COALESCE(?5, title),
                       description = COALESCE(?6, description), confidence = excluded.confidence
                     RETURNING domain_id, title, description",
                    params![
                        scope.target_id,
                        run_id,
                        request.agent_run_id,
                        request.domain_key,
                        request.title,
                        request.description,
                        request.confidence,
                        now()
                    ],
                    |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)),
                )
                .db()?;
            llm_index::put(
                tx,
                &SearchRow {
                    kind: "domain",
                    ref_id: domain_id,
                    key: &request.domain_key,
                    title: &title,
                    body: &description,
                    tags: "",
                    target_id: &scope.target_id,
                    run_id: Some(run_id),
                    object_uid: None,
                },
            )?;
            Ok(DomainUpserted {
                domain_id,
                domain_key: request.domain_key.clone(),
                action: action(existed).to_owned(),
            })
        })
    }

    /// Replaces the members of a domain as one unit.
    ///
    /// # Errors
    /// `NOT_FOUND` for the domain or any member (nothing is changed then), `FAILED_PRECONDITION`.
    pub fn domain_set_members(
        &self,
        agent_run_id: i64,
        domain_key: &str,
        members: &[DomainMember],
    ) -> HarvestResult<MembersSet> {
        self.store().write(|tx| {
            let (scope, run_id) = running(tx, agent_run_id)?;
            let domain_id =
                find(tx, agent_run_id, domain_key)?.ok_or_else(|| fail::not_found("domain", domain_key))?;
            let mut touched = member_uids(tx, domain_id)?;
            tx.execute("DELETE FROM llm_domain_members WHERE domain_id = ?1", [domain_id]).db()?;
            for member in members {
                let object = resolve(tx, run_id, &ObjectRef::id(member.object_id))?;
                tx.prepare_cached(
                    "INSERT INTO llm_domain_members(domain_id, target_id, object_id, object_uid, object_key, role,
                       confidence) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                     ON CONFLICT(domain_id, object_uid) DO UPDATE SET role = excluded.role,
                       confidence = excluded.confidence",
                )
                .db()?
                .execute(params![
                    domain_id,
                    scope.target_id,
                    object.object_id,
                    object.uid,
                    object.key(),
                    member.role.map(MemberRole::as_str),
                    member.confidence
                ])
                .db()?;
                touched.push(object.uid);
            }
            for uid in &touched {
                object_tags::refresh(tx, &scope.target_id, uid)?;
            }
            let count = member_uids(tx, domain_id)?.len() as u64;
            Ok(MembersSet {
                domain_id,
                domain_key: domain_key.to_owned(),
                members: count,
                status: "members_set".to_owned(),
            })
        })
    }

    /// Domains of a target.
    ///
    /// # Errors
    /// Those of the store.
    pub fn domain_list(&self, request: &DomainListRequest) -> HarvestResult<DomainList> {
        self.store().read(|c| {
            let mut domains = rows(c, request)?;
            let next_offset =
                (domains.len() > request.limit).then_some(request.offset.saturating_add(request.limit));
            domains.truncate(request.limit);
            if request.include_members {
                for domain in &mut domains {
                    domain.members = Some(members(c, request.run_id, domain.domain_id)?);
                }
            }
            Ok(DomainList { domains, next_offset })
        })
    }
}

fn find(c: &Connection, agent_run_id: i64, key: &str) -> HarvestResult<Option<i64>> {
    c.prepare_cached("SELECT domain_id FROM llm_domains WHERE agent_run_id = ?1 AND domain_key = ?2")
        .db()?
        .query_row((agent_run_id, key), |r| r.get(0))
        .optional()
        .db()
}

/// Whether some agent of the target knows the domain.
pub(crate) fn is_known(c: &Connection, target_id: &str, key: &str) -> HarvestResult<bool> {
    c.prepare_cached("SELECT EXISTS(SELECT 1 FROM llm_domains WHERE target_id = ?1 AND domain_key = ?2)")
        .db()?
        .query_row((target_id, key), |r| r.get(0))
        .db()
}

fn member_uids(c: &Connection, domain_id: i64) -> HarvestResult<Vec<String>> {
    let mut statement =
        c.prepare_cached("SELECT object_uid FROM llm_domain_members WHERE domain_id = ?1").db()?;
    let rows = statement.query_map([domain_id], |r| r.get(0)).db()?;
    rows.collect::<rusqlite::Result<_>>().db()
}

fn rows(c: &Connection, request: &DomainListRequest) -> HarvestResult<Vec<DomainRow>> {
    let mut statement = c
        .prepare_cached(
            "SELECT domain_id, domain_key, title, description, confidence, agent_run_id, created_at,
               (SELECT COUNT(*) FROM llm_domain_members m WHERE m.domain_id = d.domain_id) FROM llm_domains d
             WHERE target_id = ?1 AND (?2 IS NULL OR agent_run_id = ?2) AND (?3 IS NULL OR domain_key = ?3)
             ORDER BY domain_key, agent_run_id DESC LIMIT ?4 OFFSET ?5",
        )
        .db()?;
    let rows = statement
        .query_map(
            params![
                request.target_id,
                request.agent_run_id,
                request.domain_key,
                request.limit.saturating_add(1) as i64,
                request.offset as i64
            ],
            |r| {
                Ok(DomainRow {
                    domain_id: r.get(0)?,
                    domain_key: r.get(1)?,
                    title: r.get(2)?,
                    description: r.get(3)?,
                    confidence: r.get(4)?,
                    agent_run_id: r.get(5)?,
                    created_at: r.get(6)?,
                    member_count: r.get(7)?,
                    members: None,
                })
            },
        )
        .db()?;
    rows.collect::<rusqlite::Result<_>>().db()
}

fn members(c: &Connection, run_id: i64, domain_id: i64) -> HarvestResult<Vec<DomainMemberRow>> {
    let mut statement = c
        .prepare_cached(
            "SELECT object_uid, object_key, role, confidence FROM llm_domain_members WHERE domain_id = ?1
             ORDER BY object_key",
        )
        .db()?;
    let rows = statement
        .query_map([domain_id], |r| {
            let member = DomainMemberRow {
                object_id: None,
                object_key: r.get(1)?,
                role: r.get(2)?,
                confidence: r.get(3)?,
            };
            Ok((r.get::<_, String>(0)?, member))
        })
        .db()?;
    let mut out = Vec::new();
    for row in rows {
        let (uid, mut member) = row.db()?;
        member.object_id = current(c, run_id, &uid)?.map(|(id, _)| id);
        out.push(member);
    }
    Ok(out)
}
