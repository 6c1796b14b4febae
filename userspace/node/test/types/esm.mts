// SPDX-License-Identifier: MIT
// Compiled only: what is right has to compile, what is wrong must not.
import agentmem, { History, Smu, agent, alloc, allocAsync, append, attach, backend, mark, share, stats } from 'libagentmem-node';
import { SmuSessionStore, ToolResults } from 'libagentmem-node/claude';
import type { AgentStats, SmuStats, Type } from 'libagentmem-node';

const smu: Smu = alloc({ type: 'tool-def', data: new Uint8Array(3), importance: 7 });
const kind: Type = smu.type;
const content: Buffer = smu.buffer;
const later: Promise<Smu> = allocAsync({ type: 'conversation', data: 'text', base: smu });
const one: SmuStats = stats(smu);
const all: AgentStats = stats('domain');
const which: 'kernel' | 'fallback' = backend();
mark(smu, { temperature: 'cold' });
mark('self', { state: 'idle', name: 'x' });
agent({ importance: 3 });
share(append(smu, 'more'), process.pid, { revoke: true });
attach(agentmem.attach(smu.digest).digest)[Symbol.dispose]();
const history = new History({ smu, type: 'conversation' });
const state: Smu | null = history.follow('/dev/null');
const store = new SmuSessionStore();
const kept: Smu | null = store.smu({ projectKey: 'p', sessionId: 's' });
const results: Smu | undefined = new ToolResults().get('toolu');
export const used = [kept, results, state, smu.copy(1, 2), kind, content, later, one.holders, all.name, which];

// @ts-expect-error: no such type
alloc({ type: 'prompt', data: 'x' });
// @ts-expect-error: data is missing
alloc({ type: 'tool-def' });
// @ts-expect-error: an object has no state
mark(smu, { state: 'idle' });
// @ts-expect-error: read-only
smu.digest = '';
// @ts-expect-error: made by functions only
new Smu();
// @ts-expect-error: a buffer, not an Smu
append(content, 'x');
