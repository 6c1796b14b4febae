// sdk.mjs [KEY DIGEST]: a query of the Claude Agent SDK whose session and results are SMUs; or one that goes on with a session
// that another process holds. Answers a line, and holds what it has while its input is open.
import { query } from '@anthropic-ai/claude-agent-sdk';
import { SmuSessionStore, ToolResults } from 'libagentmem-node/claude';

const [key, digest] = process.argv.slice(2);
const store = new SmuSessionStore();
const results = new ToolResults();
const options = {
  sessionStore: store,
  hooks: results.hooks,
  permissionMode: 'bypassPermissions',
  allowDangerouslySkipPermissions: true,
  settingSources: [],
};
let seen = key && JSON.parse(key);
if (seen) {
  store.restore(seen, digest);
  options.resume = seen.sessionId;
}
const append = store.append.bind(store);
store.append = (to, entries) => {
  seen ??= to;
  return append(to, entries);
};
let last;
for await (const message of query({ prompt: 'Read the files, one after another.', options }))
  if (message.type === 'result') last = message.result;
const answer = {
  last,
  key: seen,
  digest: store.smu(seen).digest,
  entries: await store.load(seen),
  results: [...results.values()].map(String),
};
console.log(JSON.stringify(answer));
if (!key) process.stdin.resume();
