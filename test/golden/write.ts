// Writes the golden files anew from what the build prints: npm run generate does it last.
import {writeFileSync} from 'node:fs';
import {goldenFile, goldenTexts} from './all.js';

for (const [name, text] of Object.entries(await goldenTexts())) writeFileSync(goldenFile(name), text);
