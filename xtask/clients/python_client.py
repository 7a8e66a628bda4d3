"""The official Python SDK as a client: lists the tools of a server and calls some; it knows no server of ours."""

import asyncio
import contextlib
import json
import ssl
import sys

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

MODES = {"legacy": "legacy", "modern": "2026-07-28", "auto": "auto"}


async def connect(stack: contextlib.AsyncExitStack, job: dict) -> Client:
    mode = MODES[job["era"]]
    if job["transport"] == "stdio":
        command, *args = job["command"]
        return Client(StdioServerParameters(command=command, args=args), mode=mode)
    trust = ssl.create_default_context(cafile=job["authority"])
    headers = {"Authorization": f"Bearer {job['token']}"}
    http = await stack.enter_async_context(httpx2.AsyncClient(verify=trust, headers=headers, timeout=60))
    return Client(streamable_http_client(job["url"], http_client=http), mode=mode)


async def tools_of(client: Client) -> list:
    tools, cursor = [], None
    while True:
        page = await client.list_tools(cursor=cursor) if cursor else await client.list_tools()
        tools.extend(page.tools)
        cursor = page.next_cursor
        if not cursor:
            return tools


async def main() -> None:
    job = json.loads(sys.argv[1])
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(await connect(stack, job))
        tools = await tools_of(client)
        called = []
        for call in job["calls"]:
            result = await client.call_tool(call["name"], call["arguments"])
            called.append({"name": call["name"], "is_error": bool(result.is_error), "blocks": len(result.content)})
        report = {"protocol": client.protocol_version, "tools": [tool.name for tool in tools], "called": called}
        print(json.dumps(report))


asyncio.run(main())
