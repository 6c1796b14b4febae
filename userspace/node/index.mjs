// SPDX-License-Identifier: MIT
import agentmem from './index.js';

export default agentmem;
export const {
  History, Smu, adopt, agent, agents, alloc, allocAsync, append, appendAsync, attach, attachAsync, backend, mark, markAsync, share, stats,
} = agentmem;
