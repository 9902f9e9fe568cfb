#!/usr/bin/env -S node --import tsx
// Runs the sources as they are, without a build: npm run dev -- groups
const {join} = require('node:path');

const source = (name) => import(`../src/${name}.ts`);

void (async () => {
  process.env.NODE_ENV = 'development';
  const {settings} = await import('@oclif/core');
  settings.debug = true;
  const {main} = await source('cli/startup/main');
  await main({root: join(__dirname, '..'), commandOf: (id) => source(`commands/${id}`)});
})();
