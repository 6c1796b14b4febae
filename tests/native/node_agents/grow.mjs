// grow.mjs BINDING DIRECTORY: has each file of lines grow again, line by line, and keeps every state of it.
import { appendFileSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const [binding, directory] = process.argv.slice(2);
const { History, attach, stats } = await import(binding);
const { SmuSessionStore } = await import(new URL('lib/claude.mjs', `file://${binding}`));

/** One file ends in the midst of a line. */
function parsed(line) {
  try {
    return [JSON.parse(line)];
  } catch {
    return [];
  }
}

const names = readdirSync(directory).filter((name) => name.endsWith('.jsonl')).sort((a, b) => parseInt(a) - parseInt(b));
const digests = [];
const held = [];
let [states, copies, equal] = [0, 0, true];
for (const name of names) {
  const text = readFileSync(join(directory, name), 'utf8');
  const lines = text.split(/(?<=\n)/);
  const grown = join(directory, `${name}.grown`);
  const history = new History();
  for (const line of lines) {
    appendFileSync(grown, line);
    const smu = history.follow(grown);
    held.push(attach(smu.digest)); // so that no state goes when the next one comes
    copies += smu.size;
    states++;
  }
  equal &&= String(history.smu) === text;
  digests.push(history.smu.digest);
  const store = new SmuSessionStore();
  const entries = lines.flatMap(parsed);
  for (const entry of entries) await store.append({ projectKey: 'p', sessionId: name }, [entry]);
  equal &&= JSON.stringify(await store.load({ projectKey: 'p', sessionId: name })) === JSON.stringify(entries);
  store.close();
}
console.log(JSON.stringify({ digests, equal, states, copies, unique: stats('domain').residentTop }));
