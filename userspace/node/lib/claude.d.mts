// SPDX-License-Identifier: MIT
export * from './claude.js';
