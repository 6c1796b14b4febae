// SPDX-License-Identifier: MIT
import agentmem = require('libagentmem-node');

const smu: agentmem.Smu = agentmem.alloc({ type: 'conversation', data: 'text' });
export const size: number = smu.size;
