// SPDX-License-Identifier: MIT
export * from './index.js';
import * as agentmem from './index.js';
export default agentmem;
