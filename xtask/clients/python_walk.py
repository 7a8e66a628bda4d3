"""An agent without a model of its own: walks questions to SQL and two-phase discovery with the tools and prompts of a server.

It knows the contract of the tools and the words of the prompts, and nothing of the server's inside. The one argument is JSON:
url, token and authority of the query endpoint, and ai, the URL of the endpoint with models, or null."""

import asyncio
import contextlib
import json
import re
import ssl
import sys

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

STEPS = []
QUESTION = "How many orders did each customer segment place?"


def step(name: str, fine: bool, seen: object) -> None:
    """Records one step; the first that is not fine ends the walk."""
    STEPS.append(name)
    if not fine:
        print(f"step {len(STEPS)} failed: {name}: {json.dumps(seen, default=str)[:2000]}", file=sys.stderr, flush=True)
        raise SystemExit(1)


class Agent:
    """Calls tools and keeps to what the endpoint offers."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.progress = []

    async def ok(self, tool: str, **arguments: object) -> dict:
        result = await self.client.call_tool(tool, arguments)
        step(tool, not result.is_error, [arguments, result.structured_content])
        return result.structured_content

    async def refused(self, code: str, tool: str, **arguments: object) -> dict:
        result = await self.client.call_tool(tool, arguments)
        error = (result.structured_content or {}).get("error", {})
        step(f"{tool} is refused", bool(result.is_error) and error.get("code") == code, [arguments, error])
        return error

    async def long(self, tool: str, **arguments: object) -> dict:
        async def saw(progress: float, total: float | None, message: str | None) -> None:
            self.progress.append(message)

        result = await self.client.call_tool(tool, arguments, progress_callback=saw)
        step(tool, not result.is_error, [arguments, result.structured_content])
        return result.structured_content

    async def prompt(self, name: str, **arguments: str) -> str:
        got = await self.client.get_prompt(name, arguments)
        return "\n".join(message.content.text for message in got.messages)

    async def tools(self) -> set:
        names, cursor = set(), None
        while True:
            page = await self.client.list_tools(cursor=cursor) if cursor else await self.client.list_tools()
            names.update(tool.name for tool in page.tools)
            cursor = page.next_cursor
            if not cursor:
                return names


def named(text: str) -> list:
    """The tools that a prompt names."""
    return re.findall(r"`([a-z_]+(?:\.[a-z_]+)?)`", text)


async def discover(agent: Agent, target: str) -> None:
    """Two-phase discovery, stage by stage as the prompt says."""
    offered = await agent.tools()
    text = await agent.prompt("two_phase_discovery", target_id=target, max_objects="6")
    stages = re.findall(r"^## (\d \w+|Shutdown).*?^Tools: (.*?)$", text, re.M | re.S)
    step("the prompt has seven stages", len(stages) == 7, stages)
    missing = [tool for _, tools in stages for tool in named(tools) if tool not in offered]
    step("its tools are on offer", not missing and "run_sql_readonly" in named(stages[5][1]), [missing, stages])
    await agent.ok("discovery.list_runs", target_id=target)
    run = await agent.long("discovery.run_static", target_id=target, notes="walk")
    step("a harvest tells how far it is", len(agent.progress) >= 5, agent.progress)
    opened = await agent.ok("agent.run_start", target_id=target, run_id=run["run_id"], model_name="walk")
    own = {"agent_run_id": opened["agent_run_id"]}
    await agent.ok("agent.event_append", **own, event_type="note", payload={"plan": [name for name, _ in stages]})

    listed = await agent.ok("catalog.list_objects", target_id=target, object_type="table", page_size=200)
    ranked = sorted(listed["results"], key=lambda o: (-3 * o["fk_in"] - o["fk_out"], o["object_key"]))[:6]
    top = [o["object_key"] for o in ranked]
    await agent.ok("agent.event_append", **own, event_type="decision", payload={"top": top})
    for found in ranked:
        await summarise(agent, target, found, own)
    await relate(agent, target, own)
    await group(agent, ranked, own)
    await answerable(agent, target, top, own)
    await agent.ok("llm.note_add", **own, scope="global", title="Walk finished", body="Six tables are described.")
    await agent.ok("agent.event_append", **own, event_type="note", payload={"finished": True})
    closed = await agent.ok("agent.run_finish", **own, status="success")
    step("the run holds what was written", closed["artifacts"].get("summary", closed["artifacts"].get("summaries")) == 6, closed)
    await agent.refused("FAILED_PRECONDITION", "llm.note_add", **own, scope="global", body="too late")
    hits = await agent.ok("llm.search", target_id=target, query="parcel walkable")
    step("notes, domains and metrics are found", {h["kind"] for h in hits["results"]} >= {"note", "domain", "metric"}, hits)


async def summarise(agent: Agent, target: str, found: dict, own: dict) -> None:
    one = {"object_id": found["object_id"], "target_id": target}
    document = await agent.ok("catalog.get_object", **one)
    await agent.ok("catalog.get_relationships", **one)
    await agent.refused("NOT_FOUND", "llm.summary_get", **one)
    columns = [column["name"] for column in document["columns"]]
    summary = {
        "hypothesis": f"Rows of {found['object_key']} with {', '.join(columns[:5])}.",
        "grain": "one row",
        "primary_key": [c["name"] for c in document["columns"] if c["is_pk"]],
        "time_columns": [c["name"] for c in document["columns"] if c["is_time"]],
        "join_keys": [c["name"] for c in document["columns"] if c["is_id_like"]],
        "example_questions": ["How many?", "Which are the newest?", "Which belong together?"],
        "warnings": [],
    }
    written = await agent.ok(
        "llm.summary_upsert", **own, object_id=found["object_id"], summary=summary, confidence=0.7,
        sources={"read": ["catalog.get_object"]},
    )
    step("every column that it names exists", written["warnings"] == [], written)
    again = await agent.ok("llm.summary_get", **one)
    step("a summary is found again", again["summaries"][0]["summary"]["hypothesis"] == summary["hypothesis"], again)


async def relate(agent: Agent, target: str, own: dict) -> None:
    """Writes down what the names suggest and the values confirm."""
    found = await agent.ok(
        "find_reference_candidates", target_id=target, schema="main", table="invoices", column="order_id")
    best = found["candidates"][0]
    step("values speak for orders", best["parent_table"] == "orders" and best["confidence"] >= 0.6, found)
    ends = {}
    for side, key in (("child", "main.invoices"), ("parent", f"main.{best['parent_table']}")):
        document = await agent.ok("catalog.get_object", target_id=target, object_key=key, object_type="table")
        ends[f"{side}_object_id"] = document["object"]["object_id"]
    evidence = {"signals": [{"signal": "name", "value": "order_id"}, {"signal": "overlap", "value": best["confidence"]}]}
    await agent.ok(
        "llm.relationship_upsert", **own, **ends, child_column="order_id", parent_column=best["parent_column"],
        confidence=0.8, evidence=evidence,
    )


async def group(agent: Agent, ranked: list, own: dict) -> None:
    for key, part in (("core", ranked[:3]), ("rest", ranked[3:])):
        await agent.ok(
            "llm.domain_upsert", **own, domain_key=key, title=f"Parcel {key}", description="A walkable part of the shop.")
        members = [{"object_id": o["object_id"], "role": "entity"} for o in part]
        await agent.ok("llm.domain_set_members", **own, domain_key=key, members=members)
        await agent.ok(
            "llm.note_add", **own, scope="domain", domain_key=key, title=f"Domain {key}", body="Walkable, with parcels.")


async def answerable(agent: Agent, target: str, top: list, own: dict) -> None:
    for key in top[:2]:
        sql = f"SELECT count(*) AS n FROM {key}"
        counted = await agent.ok("run_sql_readonly", target_id=target, sql=sql)
        step("a metric's statement has run", counted["row_count"] == 1, counted)
        name = key.rpartition(".")[2]
        metric = await agent.ok(
            "llm.metric_upsert", **own, metric_key=f"{name}_count", title=f"Walkable number of {name}", domain_key="core",
            sql_template=sql, depends=[key],
        )
        step("and passes the gate", metric["sql_valid"] is True, metric)
        await agent.ok(
            "llm.question_template_add", **own, title=f"Count {name}", question_nl=f"How many rows does {name} hold?",
            template={"sql": sql}, example_sql=sql,
        )


async def ask(agent: Agent, target: str) -> None:
    """The learning loop: find, write, run, remember; then find again, reuse, report."""
    offered = await agent.tools()
    text = await agent.prompt("nl2sql", question=QUESTION, target_id=target)
    missing = [tool for tool in named(text) if tool not in offered]
    step("the prompt names tools on offer", named(text) and not missing, [named(text), missing])
    first = await agent.ok("llm.search", target_id=target, query=QUESTION, include_objects=True)
    step("nothing can be reused yet", not any(hit["reuse"] for hit in first["results"]), first)
    keys = set()
    for words in ("orders", "customer segment"):
        found = await agent.ok("catalog.search", target_id=target, query=words)
        keys.update(hit["object_key"] for hit in found["results"])
    step("the tables are found", {"main.orders", "main.customers"} <= keys, sorted(keys))
    joins = await agent.ok("suggest_joins", target_id=target, schema="main", table_a="orders", table_b="customers")
    condition = joins["candidates"][0]["join_condition"]
    document = await agent.ok("catalog.get_object", target_id=target, object_key="main.customers", object_type="table")
    step("the column is there", any(c["name"] == "segment" for c in document["columns"]), document)
    await agent.refused("INVALID_ARGUMENT", "run_sql_readonly", target_id=target, sql="SELECT segmnt FROM customers")
    await agent.refused("PERMISSION_DENIED", "run_sql_readonly", target_id=target, sql="DELETE FROM orders")
    sql = f"SELECT segment, count(*) AS orders FROM orders JOIN customers ON {condition} GROUP BY segment ORDER BY 1"
    await agent.ok("explain_sql", target_id=target, sql=sql)
    rows = await agent.ok("run_sql_readonly", target_id=target, sql=sql)
    step("rows come back", rows["row_count"] == 3, rows)
    added = await agent.ok(
        "llm.question_template_add", target_id=target, title="Orders by segment", question_nl=QUESTION, template={},
        example_sql=sql, confidence=0.8,
    )
    again = await agent.ok(
        "llm.search", target_id=target, query="how many orders has each customer segment placed", include_objects=True)
    best = again["results"][0]
    step("the question is known now", best["id"] == added["template_id"] and bool(best["objects"]), best)
    same = await agent.ok("llm.search", target_id=target, query=QUESTION)
    best = same["results"][0]
    step("it may be reused as it is", best["reuse"] and best["id"] == added["template_id"], best)
    reused = await agent.ok("run_sql_readonly", target_id=target, sql=best["example_sql"])
    step("with the same rows", reused["rows"] == rows["rows"], reused)
    counts = await agent.ok(
        "llm.question_template_feedback", target_id=target, template_id=best["id"], outcome="success",
        row_count=reused["row_count"],
    )
    step("its success is counted", counts["success_count"] == 1, counts)
    text = await agent.prompt("nl2sql", question=QUESTION, target_id=target)
    step("the prompt shows it", best["example_sql"] in text, text)
    await learn(agent, target)


async def learn(agent: Agent, target: str) -> None:
    """Two statements for one question: the one that fails goes behind, and is retired from reuse."""
    question = "What is the average rating of the suppliers?"
    ids = []
    for expression in ("avg(rating)", "avg(coalesce(rating, 0))"):
        added = await agent.ok(
            "llm.question_template_add", target_id=target, title="Average rating", question_nl=question, template={},
            example_sql=f"SELECT {expression} FROM suppliers",
        )
        ids.append(added["template_id"])

    async def order() -> list:
        hits = await agent.ok("llm.search", target_id=target, query=question, kinds=["question_template"])
        return [hit["id"] for hit in hits["results"] if hit["id"] in ids]

    before = await order()
    for _ in range(2):
        counts = await agent.ok(
            "llm.question_template_feedback", target_id=target, template_id=before[0], outcome="failure", error="wrong")
    step("two failures make it suspect", counts["status"] == "suspect", counts)
    step("and put it behind", await order() == before[::-1], [before, await order()])


async def resources(agent: Agent, target: str) -> None:
    listed = await agent.client.list_resources()
    step("targets and schemas are resources", any(f"{target}" in str(r.uri) for r in listed.resources), listed)
    templates = await agent.client.list_resource_templates()
    step("objects are a resource template", bool(templates.resource_templates), templates)
    read = await agent.client.read_resource(f"schema://{target}/main/customers")
    document = json.loads(read.contents[0].text)
    step("a document of an object", "segment" in json.dumps(document) and "Rows of main.customers" in json.dumps(document), document)


async def convert(agent: Agent, target: str) -> None:
    """Questions on the endpoint with models, without a model: the stored question answers, another is refused."""
    known = await agent.ok("ai.nl2sql_convert", target_id=target, natural_language=QUESTION)
    step("the stored statement, not run", known["sql"].startswith("SELECT segment") and "rows" not in known, known)
    error = await agent.refused(
        "FAILED_PRECONDITION", "ai.nl2sql_convert", target_id=target, natural_language="Who sold the most skis in May?")
    step("it says that there is no model", "ER_NL2SQL_NO_MODEL" in json.dumps(error), error)


async def connect(stack: contextlib.AsyncExitStack, job: dict, url: str) -> Agent:
    trust = ssl.create_default_context(cafile=job["authority"])
    headers = {"Authorization": f"Bearer {job['token']}"}
    http = await stack.enter_async_context(httpx2.AsyncClient(verify=trust, headers=headers, timeout=600))
    mode = {"legacy": "legacy", "modern": "2026-07-28"}[job["era"]]
    return Agent(await stack.enter_async_context(Client(streamable_http_client(url, http_client=http), mode=mode)))


async def main() -> None:
    job = json.loads(sys.argv[1])
    async with contextlib.AsyncExitStack() as stack:
        agent = await connect(stack, job, job["url"])
        prompts = {prompt.name for prompt in (await agent.client.list_prompts()).prompts}
        step("the prompts are listed", prompts == {"two_phase_discovery", "nl2sql", "explore_schema"}, sorted(prompts))
        targets = await agent.ok("list_targets")
        target = targets["default_target_id"]
        await discover(agent, target)
        await ask(agent, target)
        await resources(agent, target)
        text = await agent.prompt("explore_schema", target_id=target)
        offered = await agent.tools()
        step("explore_schema names tools on offer", named(text) and not set(named(text)) - offered, named(text))
        if job.get("ai"):
            await convert(await connect(stack, job, job["ai"]), target)
        print(json.dumps({"protocol": agent.client.protocol_version, "steps": len(STEPS)}))


asyncio.run(main())
