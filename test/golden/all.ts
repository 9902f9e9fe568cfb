import {join} from 'node:path';
import {helpTexts} from './help-texts.js';
import {invocationTexts} from './invocations.js';
import {statusTexts} from './status-texts.js';

/** Texts that are committed as they are printed, by the names of their files. */
export const goldenTexts = async (): Promise<Record<string, string>> => ({
  ...(await helpTexts()),
  ...invocationTexts(),
  ...statusTexts(),
});

export const goldenFile = (name: string): string => join(import.meta.dirname, name);
