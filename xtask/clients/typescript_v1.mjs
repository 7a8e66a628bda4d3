// The official TypeScript SDK, first line, as a client of the legacy era; it knows no server of ours.

import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const job = JSON.parse(process.argv[2]);
// The packages lie in a folder of their own, not beside this file.
const require = createRequire(`${process.env.CLIENT_PACKAGES}/package.json`);
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { Client } = await load('@modelcontextprotocol/sdk/client/index.js');
const { StdioClientTransport } = await load('@modelcontextprotocol/sdk/client/stdio.js');
const { StreamableHTTPClientTransport } = await load('@modelcontextprotocol/sdk/client/streamableHttp.js');
const { exercise, authorized } = await import(new URL('./common.mjs', import.meta.url));

const client = new Client({ name: 'penstock-check', version: '1' });
const transport =
  job.transport === 'stdio'
    ? new StdioClientTransport({ command: job.command[0], args: job.command.slice(1) })
    : new StreamableHTTPClientTransport(new URL(job.url), authorized(job));
let protocol = null;
transport.setProtocolVersion = ((inner) => (version) => {
  protocol = version;
  inner?.call(transport, version);
})(transport.setProtocolVersion);
await client.connect(transport);
await exercise(client, job, () => protocol);
