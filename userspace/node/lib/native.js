// SPDX-License-Identifier: MIT
'use strict';

const { join } = require('node:path');

const TOOLS = 'a C compiler, make, python3, pkgconf, and the headers of zstd and nettle';

function load() {
  try {
    return require('node-gyp-build')(join(__dirname, '..'));
  } catch (cause) {
    const what = `libagentmem-node has no binary that works here (${process.platform}-${process.arch}, Node ${process.version})`;
    const next = `next: npm rebuild libagentmem-node --build-from-source, which needs ${TOOLS}`;
    throw Object.assign(new Error(`${what}: ${cause.message}\n${next}`, { cause }), { code: 'ERR_AGENTMEM_NO_BINARY' });
  }
}

module.exports = load();
