//! Agents' memory: agent runs, records of every kind side by side, staleness, templates and their learning loop.

use harvest::HarvestCode;
use serde_json::{Map, Value as Json, json};

use super::support::{TestStore, harvest, shop, store};
use crate::{
    AgentListRequest, AgentStatus, DocumentParts, DomainListRequest, DomainMember, DomainUpsert, EventType,
    LlmSearchRequest, LlmSearchResponse, MemberRole, MetricListRequest, MetricUpsert, NoteAdd, NoteScope,
    ObjectRef, Outcome, RecordKind, RelType, RelationshipUpsert, SearchRequest, SummaryStatus, SummaryUpsert,
    TemplateAdd, TemplateFeedback,
};

fn map(value: Json) -> Map<String, Json> {
    match value {
        Json::Object(map) => map,
        _ => Map::new(),
    }
}

struct Agent {
    t: TestStore,
    run: i64,
    id: i64,
}

fn agent() -> Agent {
    let t = store();
    let run = harvest(&t.catalog, "a", shop()).run_id;
    let id = t.catalog.agent_run_start("a", run, "model", None, None, "tester").expect("start").agent_run_id;
    Agent { t, run, id }
}

impl Agent {
    fn object(&self, key: &str) -> i64 {
        let found = self.t.catalog.get_object("a", self.run, &ObjectRef::key(key), DocumentParts::default());
        found.expect("object").object.object_id
    }

    fn summary(&self, key: &str, confidence: f64, status: SummaryStatus) -> SummaryUpsert {
        SummaryUpsert {
            agent_run_id: self.id,
            object: ObjectRef::key(key),
            summary: map(json!({"hypothesis": "People who buy things", "join_keys": ["id", "nope"],
                                "synonyms": ["clients"]})),
            confidence,
            status,
            sources: Some(json!({"sql": "SELECT 1"})),
            force: false,
        }
    }

    fn template(&self, question: &str, sql: &str) -> TemplateAdd {
        TemplateAdd {
            target_id: "a".into(),
            run_id: self.run,
            agent_run_id: None,
            caller: "tester".into(),
            title: "Orders of a customer".into(),
            question_nl: question.into(),
            template: map(json!({"steps": ["count orders"]})),
            example_sql: Some(sql.into()),
            sql_valid: Some(true),
            related: Vec::new(),
            tables: vec![harvest::TableRef { schema: None, name: "Orders".into() }],
            default_schema: "shop".into(),
            confidence: 0.6,
        }
    }

    fn search(&self, run: i64, query: &str) -> LlmSearchResponse {
        self.t.catalog.llm_search(&LlmSearchRequest::new("a", run, query)).expect("search")
    }
}

#[test]
fn an_agent_run_has_a_life_of_its_own() {
    let a = agent();
    let c = &a.t.catalog;
    let event = c.agent_event_append(a.id, EventType::Decision, &map(json!({"x": 1}))).expect("event");
    assert_eq!(
        c.agent_event_append(a.id, EventType::Note, &map(json!({}))).expect("2").event_id,
        event.event_id + 1
    );
    let long = map(json!({"x": "y".repeat(70_000)}));
    assert_eq!(
        c.agent_event_append(a.id, EventType::Note, &long).expect_err("long").code,
        HarvestCode::LimitExceeded
    );
    let refused = c.delete_run("a", a.run, false).expect_err("an agent works on it");
    assert_eq!(refused.code, HarvestCode::FailedPrecondition);
    let done = c.agent_run_finish(a.id, AgentStatus::Success, None).expect("finish");
    assert_eq!(done, c.agent_run_finish(a.id, AgentStatus::Success, None).expect("repeat"));
    let conflict = c.agent_run_finish(a.id, AgentStatus::Failed, None).expect_err("other status");
    assert_eq!(conflict.code, HarvestCode::Conflict);
    let late = c.agent_event_append(a.id, EventType::Note, &map(json!({}))).expect_err("closed");
    assert_eq!(late.code, HarvestCode::FailedPrecondition);
    let mut request = AgentListRequest::new("a");
    request.agent_run_id = Some(a.id);
    request.include_events = true;
    let list = c.agent_run_list(&request).expect("list");
    assert_eq!((list.agent_runs[0].events, list.events.expect("events").len()), (2, 2));
    request.target_id = "b".into();
    assert_eq!(c.agent_run_list(&request).expect_err("foreign").code, HarvestCode::NotFound);
}

#[test]
fn the_first_record_of_every_kind_coexists() {
    let a = agent();
    let c = &a.t.catalog;
    let summary = c.summary_upsert(&a.summary("shop.customers", 0.7, SummaryStatus::Draft)).expect("summary");
    assert_eq!((summary.action.as_str(), summary.band.as_str()), ("inserted", "likely"));
    assert_eq!(summary.warnings, ["join_keys: the object has no column \"nope\""]);
    let domain = |title: &str| DomainUpsert {
        agent_run_id: a.id,
        domain_key: "sales".into(),
        title: Some(title.into()),
        description: Some("selling things".into()),
        confidence: 0.8,
    };
    let domain_id = c.domain_upsert(&domain("Things sold")).expect("domain").domain_id;
    assert_eq!(c.domain_upsert(&domain("Things we sell")).expect("again").action, "updated");
    let metric = c
        .metric_upsert(&MetricUpsert {
            agent_run_id: a.id,
            metric_key: "revenue".into(),
            title: "Things revenue".into(),
            description: None,
            domain_key: Some("sales".into()),
            grain: None,
            unit: Some("EUR".into()),
            sql_template: None,
            sql_valid: None,
            depends: vec![ObjectRef::key("shop.orders")],
            confidence: 0.6,
        })
        .expect("metric");
    let template =
        c.template_add(&a.template("How many things did customer 7 order?", "SELECT 1")).expect("template");
    let note = c
        .note_add(&NoteAdd {
            agent_run_id: a.id,
            scope: NoteScope::Object,
            body: "things are shipped weekly".into(),
            object_id: Some(a.object("shop.orders")),
            schema_name: None,
            domain_key: None,
            title: None,
            tags: vec!["shipments".into()],
        })
        .expect("note");
    assert_eq!(
        (summary.summary_id, domain_id, metric.metric_id, template.template_id, note.note_id),
        (1, 1, 1, 1, 1)
    );
    let hits = a.search(a.run, "things").results;
    let mut kinds: Vec<&str> = hits.iter().map(|h| h.kind.as_str()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["domain", "metric", "note", "question_template", "summary"]);
    let of = |kind: &str| hits.iter().find(|h| h.kind == kind).expect("kind");
    assert_eq!(of("domain").title, "Things we sell");
    assert_eq!(of("note").tags, ["shipments"]);
    assert_eq!(
        (of("summary").related_objects[0].as_str(), of("summary").confidence),
        ("shop.customers", 0.7)
    );
    assert!(of("metric").template_json.is_none() && of("question_template").template_json.is_some());
    let found = c.search(&SearchRequest::new(a.run, "a", "clients")).expect("synonym").results;
    assert_eq!(
        (found[0].object_key.as_str(), found[0].matched_in.as_slice()),
        ("shop.customers", ["tags".to_owned()].as_slice())
    );
    assert_eq!(found[0].summary.as_deref(), Some("People who buy things"));
}

#[test]
fn stronger_summaries_stay_until_their_object_changes() {
    let a = agent();
    let c = &a.t.catalog;
    c.summary_upsert(&a.summary("shop.customers", 0.9, SummaryStatus::Validated)).expect("first");
    let weaker =
        c.summary_upsert(&a.summary("shop.customers", 0.99, SummaryStatus::Draft)).expect_err("weaker");
    assert_eq!((weaker.code, weaker.details["existing_id"].as_i64()), (HarvestCode::Conflict, Some(1)));
    let mut forced = a.summary("shop.customers", 0.2, SummaryStatus::Draft);
    forced.force = true;
    assert_eq!(c.summary_upsert(&forced).expect("forced").action, "updated");
    assert_eq!(a.search(a.run, "people").results.len(), 1, "an upsert changes the hit and adds none");
    c.summary_upsert(&a.summary("shop.customers", 0.9, SummaryStatus::Stable)).expect("stable");
    let mut changed = shop();
    changed[0].columns.remove(2);
    let next = harvest(c, "a", changed).run_id;
    let got = c.summary_get("a", next, &ObjectRef::key("shop.customers"), None, true).expect("earlier run");
    assert!(got.summaries[0].stale && got.summaries[0].run_id == Some(a.run));
    let old = c.summary_get("a", a.run, &ObjectRef::key("shop.customers"), None, true).expect("own run");
    assert!(!old.summaries[0].stale);
    let id = c.agent_run_start("a", next, "m", None, None, "t").expect("start").agent_run_id;
    let mut again = a.summary("shop.customers", 0.3, SummaryStatus::Draft);
    again.agent_run_id = id;
    assert_eq!(c.summary_upsert(&again).expect("a stale record yields").action, "inserted");
    let none = c.summary_get("a", next, &ObjectRef::key("shop.orders"), None, true).expect_err("none");
    assert_eq!(none.code, HarvestCode::NotFound);
}

#[test]
fn relationships_need_their_columns_and_go_stale() {
    let a = agent();
    let c = &a.t.catalog;
    let mut upsert = RelationshipUpsert {
        agent_run_id: a.id,
        child: ObjectRef::key("shop.order_items"),
        child_column: "sku".into(),
        parent: ObjectRef::key("shop.customers"),
        parent_column: "email".into(),
        confidence: 0.7,
        rel_type: RelType::Polymorphic,
        evidence: Some(map(json!({"sample": "x"}))),
    };
    let first = c.relationship_upsert(&upsert).expect("first");
    assert_eq!((first.action.as_str(), first.warnings.len()), ("inserted", 1));
    assert_eq!(c.relationship_upsert(&upsert).expect("second").action, "updated");
    upsert.parent_column = "mail".into();
    assert_eq!(c.relationship_upsert(&upsert).expect_err("column").code, HarvestCode::NotFound);
    let mut changed = shop();
    changed[0].comment = "changed".into();
    let next = harvest(c, "a", changed).run_id;
    for (run, stale) in [(a.run, false), (next, true)] {
        let links = c
            .get_relationships(
                "a",
                run,
                &ObjectRef::key("shop.customers"),
                &crate::RelationshipFilter::default(),
            )
            .expect("links");
        let one = &links.llm_relationships[0];
        assert_eq!(
            (one.direction.as_str(), one.stale, one.child.object_key.as_str()),
            ("in", stale, "shop.order_items")
        );
    }
}

#[test]
fn domain_members_are_replaced_as_one_unit() {
    let a = agent();
    let c = &a.t.catalog;
    let domain = DomainUpsert {
        agent_run_id: a.id,
        domain_key: "sales".into(),
        title: None,
        description: None,
        confidence: 0.6,
    };
    c.domain_upsert(&domain).expect("domain");
    let member = |id: i64| DomainMember { object_id: id, role: Some(MemberRole::Fact), confidence: 0.6 };
    let orders = a.object("shop.orders");
    assert_eq!(c.domain_set_members(a.id, "sales", &[member(orders)]).expect("set").members, 1);
    let bad = c.domain_set_members(a.id, "sales", &[member(a.object("shop.customers")), member(9_999)]);
    assert_eq!(bad.expect_err("unknown member").code, HarvestCode::NotFound);
    let list = c.domain_list(&DomainListRequest::new("a", a.run)).expect("list");
    let members = list.domains[0].members.as_ref().expect("members");
    assert_eq!((members.len(), members[0].object_id), (1, Some(orders)));
    let hits = c.search(&SearchRequest::new(a.run, "a", "sales")).expect("search").results;
    assert_eq!((hits.len(), hits[0].tags.as_slice()), (1, ["sales".to_owned()].as_slice()));
    c.domain_set_members(a.id, "sales", &[]).expect("empty");
    assert!(c.search(&SearchRequest::new(a.run, "a", "sales")).expect("search").results.is_empty());
}

#[test]
fn a_repeated_question_may_be_reused_until_its_table_changes() {
    let a = agent();
    let c = &a.t.catalog;
    let question = "How many orders did customer 'Ann' place in 2023?";
    let sql = "SELECT COUNT(*) FROM orders WHERE customer_id = 7";
    let added = c.template_add(&a.template(question, sql)).expect("add");
    assert_eq!(
        (added.action.as_str(), added.related_objects.as_slice()),
        ("inserted", ["shop.orders".to_owned()].as_slice())
    );
    let merged = c
        .template_add(&a.template(
            "how many orders did customer \"Bob\" place in 1999",
            "select COUNT(*) FROM orders WHERE customer_id = 8",
        ))
        .expect("merge");
    assert_eq!((merged.template_id, merged.action.as_str()), (added.template_id, "merged"));
    let hit = &a.search(a.run, "How many orders did customer 'Eve' place in 2020?").results[0];
    assert!(hit.reuse && hit.score >= 0.999, "{hit:?}");
    let other = &a.search(a.run, "orders with the largest discount").results[0];
    assert!(!other.reuse && other.score < 0.8);
    let mut request = LlmSearchRequest::new("a", a.run, question);
    request.include_objects = true;
    let with_objects = c.llm_search(&request).expect("search").results.remove(0);
    assert_eq!(with_objects.objects.expect("objects")[0].object.object_key, "shop.orders");
    let mut changed = shop();
    changed[3].columns.remove(3);
    let next = harvest(c, "a", changed).run_id;
    let stale = &a.search(next, question).results[0];
    assert!(stale.stale && !stale.reuse);
    let checks = c.templates_to_check("a", next).expect("checks");
    assert_eq!(checks.len(), 1);
    c.template_checked(added.template_id, next, Ok(())).expect("passes");
    let fresh = &a.search(next, question).results[0];
    assert!(!fresh.stale && fresh.reuse);
    assert!(c.templates_to_check("a", next).expect("checks").is_empty());
    c.template_checked(added.template_id, next, Err("no such column")).expect("fails");
    assert!(!a.search(next, question).results[0].reuse);
}

#[test]
fn feedback_makes_templates_suspect_active_and_retired() {
    let a = agent();
    let c = &a.t.catalog;
    let id = c.template_add(&a.template("how many orders", "SELECT 1")).expect("add").template_id;
    let give = |outcome: Outcome| {
        c.template_feedback(&TemplateFeedback {
            target_id: "a".into(),
            template_id: id,
            caller: "t".into(),
            outcome,
            error: None,
            row_count: Some(1),
            ms: Some(0.5),
        })
        .expect("feedback")
    };
    assert_eq!(give(Outcome::Failure).status, "active");
    assert_eq!(give(Outcome::Failure).status, "suspect");
    let good = give(Outcome::Success);
    assert_eq!((good.status.as_str(), good.success_rate), ("active", 0.4));
    let last = (0..12).fold(good, |_, _| give(Outcome::Failure));
    assert_eq!((last.status.as_str(), last.use_count, last.failure_count), ("retired", 15, 14));
    assert!(a.search(a.run, "how many orders").results.is_empty());
    let mut request = LlmSearchRequest::new("a", a.run, "");
    assert!(c.llm_search(&request).expect("list").results.is_empty());
    request.kinds = vec![RecordKind::QuestionTemplate];
    assert_eq!(c.llm_search(&request).expect("list").results.len(), 1);
}

#[test]
fn feedback_changes_the_order_of_templates() {
    let a = agent();
    let c = &a.t.catalog;
    let question = "how many orders are there";
    let ids: Vec<i64> = ["count(*)", "max(id)", "min(id)"]
        .iter()
        .map(|sql| {
            c.template_add(&a.template(question, &format!("SELECT {sql} FROM Orders")))
                .expect("add")
                .template_id
        })
        .collect();
    let order = || a.search(a.run, question).results.iter().map(|hit| hit.id).collect::<Vec<_>>();
    let give = |template_id: i64, outcome: Outcome| {
        let caller = "t".into();
        let feedback = TemplateFeedback {
            target_id: "a".into(),
            template_id,
            caller,
            outcome,
            error: None,
            row_count: None,
            ms: None,
        };
        c.template_feedback(&feedback).map(drop).expect("feedback");
    };
    // The last of equals gets better by success, the first worse by failure.
    let before = order();
    assert_eq!(before.len(), ids.len());
    give(before[2], Outcome::Success);
    assert_eq!(order()[0], before[2]);
    give(before[0], Outcome::Failure);
    assert_eq!(order(), [before[2], before[1], before[0]]);
}

#[test]
fn metrics_tell_when_their_objects_change() {
    let a = agent();
    let c = &a.t.catalog;
    let mut metric = MetricUpsert {
        agent_run_id: a.id,
        metric_key: "orders".into(),
        title: "Orders".into(),
        description: None,
        domain_key: Some("none".into()),
        grain: None,
        unit: None,
        sql_template: None,
        sql_valid: None,
        depends: vec![ObjectRef::key("shop.orders")],
        confidence: 0.6,
    };
    assert_eq!(c.metric_upsert(&metric).expect_err("domain").code, HarvestCode::NotFound);
    metric.domain_key = None;
    c.metric_upsert(&metric).expect("metric");
    let next = harvest(c, "a", shop().into_iter().filter(|o| o.name != "orders").collect()).run_id;
    let at = |run: i64| c.metric_list(&MetricListRequest::new("a", run)).expect("list").metrics.remove(0);
    assert!(!at(a.run).stale && at(next).stale);
    assert_eq!(at(next).depends[0].object_id, None);
}

#[test]
fn deleting_a_run_keeps_what_agents_know_unless_asked() {
    let a = agent();
    let c = &a.t.catalog;
    c.summary_upsert(&a.summary("shop.customers", 0.7, SummaryStatus::Draft)).expect("summary");
    c.agent_run_finish(a.id, AgentStatus::Success, None).expect("finish");
    let next = harvest(c, "a", shop()).run_id;
    let deleted = c.delete_run("a", a.run, false).expect("delete");
    assert_eq!((deleted.kept_llm, deleted.deleted["objects"]), (1, 4));
    let kept = &a.search(next, "people").results[0];
    assert!(!kept.stale && kept.run_id.is_none());
    let id = c.agent_run_start("a", next, "m", None, None, "t").expect("start").agent_run_id;
    let mut second = a.summary("shop.orders", 0.7, SummaryStatus::Draft);
    second.agent_run_id = id;
    c.summary_upsert(&second).expect("second");
    c.agent_run_finish(id, AgentStatus::Success, None).expect("finish");
    let last = harvest(c, "a", shop()).run_id;
    assert_eq!(c.delete_run("a", next, true).expect("delete").deleted["llm_object_summaries"], 1);
    let left = a.search(last, "people").results;
    assert_eq!((left.len(), left[0].key.as_str()), (1, "shop.customers"));
    assert!(c.check_integrity().expect("check").is_empty());
}
