// SPDX-License-Identifier: MIT
// The extension for pi, without pi; tests/native has it with the real one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import extension from '../lib/pi.mjs';
import { descriptors } from './tools.mjs';

test('a system prompt is kept, and may be empty', () => {
  const handlers = {};
  extension({ on: (event, handler) => (handlers[event] = handler) });
  const before = descriptors();
  handlers.before_agent_start({ systemPrompt: 'You are a careful reviewer.' });
  assert.equal(descriptors(), before + 1);
  handlers.before_agent_start({ systemPrompt: '' });
  assert.equal(descriptors(), before);
  handlers.session_shutdown();
});
