#!/usr/bin/env -S node --import tsx
// Runs the sources as they are, without a build: npm run dev -- groups
import {settings} from '@oclif/core';

process.env.NODE_ENV = 'development';
settings.debug = true;
const {main} = await import('../src/cli/main.ts');
await main(import.meta.url);
