// SPDX-License-Identifier: MIT
import claude from './claude.js';

export const { SmuSessionStore, ToolResults } = claude;
