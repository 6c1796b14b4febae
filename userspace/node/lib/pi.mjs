// SPDX-License-Identifier: MIT
// An extension for the coding agent pi: `pi -e .../libagentmem-node/lib/pi.mjs`. Its session, its system prompt and what tools answered
// are kept as SMUs as long as it runs, and it says what it is doing.
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import agentmem from '../index.js';

const { History, agent, alloc } = agentmem;

export default function extension(pi) {
  const history = new History();
  const held = new Map(); // by what they are
  const keep = (what, type, data) => {
    const smu = data ? alloc({ type, data }) : undefined; // a system prompt may be empty
    held.get(what)?.close();
    held.set(what, smu);
  };
  const follow = (context) => {
    const file = context.sessionManager.getSessionFile();
    if (file && existsSync(file)) history.follow(file);
  };

  pi.on('session_start', (_event, context) => {
    agent({ name: `pi ${basename(context.cwd)}`, state: 'idle' });
    follow(context);
  });
  pi.on('before_agent_start', (event) => {
    agent({ state: 'active' });
    keep('system prompt', 'system-prompt', event.systemPrompt);
  });
  pi.on('tool_result', (event) => keep(event.toolCallId, 'tool-result', JSON.stringify(event.content)));
  pi.on('turn_end', (_event, context) => follow(context));
  pi.on('agent_end', (_event, context) => {
    follow(context);
    agent({ state: 'idle' });
  });
  pi.on('session_shutdown', () => {
    history.close();
    for (const smu of held.values()) smu?.close();
    held.clear();
  });
}
