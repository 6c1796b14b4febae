// look.mjs DIGEST...: which of the objects are there, the first one's text, and the agents of this user.
import { agent, agents, attach, stats } from 'libagentmem-node';

agent({ name: 'looks' });
const found = process.argv.slice(2).map((digest) => {
  try {
    return String(attach(digest));
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
    return null;
  }
});
const seen = agents().flatMap((pid) => {
  try {
    return [stats(pid)];
  } catch {
    return []; // it has ended
  }
});
console.log(
  JSON.stringify({
    held: found.map((text) => text !== null),
    first: found[0] ?? null,
    agents: seen.map(({ name, state }) => [name, state]),
    logical: stats('domain').logicalBytes,
  }),
);
