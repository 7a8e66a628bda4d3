// The official TypeScript SDK, second line, as a client; it knows no server of ours.

import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const job = JSON.parse(process.argv[2]);
// The packages lie in a folder of their own, not beside this file.
const require = createRequire(`${process.env.CLIENT_PACKAGES}/package.json`);
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { Client, StreamableHTTPClientTransport } = await load('@modelcontextprotocol/client');
const { StdioClientTransport } = await load('@modelcontextprotocol/client/stdio');
const { exercise, authorized } = await import(new URL('./common.mjs', import.meta.url));

const modes = { legacy: 'legacy', auto: 'auto', modern: { pin: '2026-07-28' } };
const client = new Client({ name: 'penstock-check', version: '1' }, { versionNegotiation: { mode: modes[job.era] } });
const transport =
  job.transport === 'stdio'
    ? new StdioClientTransport({ command: job.command[0], args: job.command.slice(1) })
    : new StreamableHTTPClientTransport(new URL(job.url), authorized(job));
await client.connect(transport);
await exercise(client, job, () => client.getNegotiatedProtocolVersion?.() ?? null);
