// What both TypeScript SDKs share: the loop over pages and calls, and the report; it knows neither SDK.

/** Lists every page of tools, makes the job's calls, prints one line of JSON. */
export async function exercise(client, job, protocol) {
  const tools = [];
  let cursor;
  do {
    const page = await client.listTools(cursor ? { cursor } : undefined);
    tools.push(...page.tools.map((tool) => tool.name));
    cursor = page.nextCursor;
  } while (cursor);
  const called = [];
  for (const call of job.calls) {
    const result = await client.callTool({ name: call.name, arguments: call.arguments });
    called.push({ name: call.name, is_error: result.isError === true, blocks: result.content.length });
  }
  console.log(JSON.stringify({ protocol: protocol(), tools, called }));
  await client.close();
}

/** The request options that carry the token. */
export function authorized(job) {
  return { requestInit: { headers: { Authorization: `Bearer ${job.token}` } } };
}
